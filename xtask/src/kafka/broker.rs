//! A broker that belongs to this process: started, stopped, killed, paused and started again by tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::keeper::Keeper;
use super::launch::Launch;
use super::options::{Options, Security};
use super::{KafkaError, certificates, install};

/// How long a broker may take to stop by itself. It takes half a second, and longer while clients keep it busy.
const STOP_WAIT: Duration = Duration::from_secs(60);

/// A broker of this process. Dropping it kills it, and removes its folder if that was a temporary one; so does the end
/// of this process, however it comes.
pub struct Broker {
    keeper: Keeper,
    launch: Launch,
    folder: PathBuf,
    is_temporary: bool,
    ca_pem: Option<PathBuf>,
}

impl Broker {
    /// Starts a broker and waits until it answers: about 5 s, and once on a machine what it takes to fetch Kafka.
    ///
    /// # Errors
    ///
    /// If Kafka cannot be had here, the folder cannot be used, or the broker does not start.
    pub fn start(options: &Options) -> Result<Self, KafkaError> {
        let libraries = install::libraries()?;
        let (folder, temporary) = match &options.folder {
            Some(folder) => (folder.clone(), None),
            None => {
                let temporary = temporary_folder()?;
                (temporary.path().to_path_buf(), Some(temporary))
            }
        };
        let launch = Launch::prepare(options, &folder, &libraries)?;
        let log_start = launch.log_length();
        let keeper = Keeper::start(&launch.command(), &launch.log, temporary.as_ref().map(TempDir::path))?;
        // From here on the keeper removes it, also when this process cannot.
        let is_temporary = temporary.map(TempDir::keep).is_some();
        let ca_pem = matches!(options.security, Security::SaslTls { .. }).then(|| certificates::ca_pem(&folder));
        let mut broker = Self { keeper, launch, folder, is_temporary, ca_pem };
        broker.wait_until_ready(log_start)?;
        Ok(broker)
    }

    /// Where clients connect, by the security that was asked for: `127.0.0.1:PORT`. A restart does not change it.
    pub fn bootstrap(&self) -> &str {
        &self.launch.bootstrap
    }

    /// The certificate of the authority that a client by TLS must trust (`ssl.ca.location`); `None` in plaintext.
    pub fn ca_pem(&self) -> Option<&Path> {
        self.ca_pem.as_deref()
    }

    /// The folder with its data (`data`), settings (`server.properties`) and log (`kafka.log`).
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Identifier of the Java process.
    pub fn process(&self) -> u32 {
        self.keeper.process()
    }

    /// Lets it shut down in order, and waits for that. Nothing happens if it has ended.
    ///
    /// # Errors
    ///
    /// If it still runs after a minute.
    pub fn stop(&mut self) -> Result<(), KafkaError> {
        self.keeper.signal("TERM")?;
        // A paused process would not see it.
        self.keeper.signal("CONT")?;
        self.wait_for_end()
    }

    /// Kills it, as a machine that loses power would but for what the system holds in memory, and waits for its end.
    /// Nothing happens if it has ended.
    ///
    /// # Errors
    ///
    /// If it still runs after a minute.
    pub fn kill(&mut self) -> Result<(), KafkaError> {
        self.keeper.signal("KILL")?;
        self.wait_for_end()
    }

    /// Starts it again after [`Broker::stop`] or [`Broker::kill`], on the same ports with the same data, and waits until it
    /// answers.
    ///
    /// # Errors
    ///
    /// If it runs, or does not start.
    pub fn restart(&mut self) -> Result<(), KafkaError> {
        if !self.keeper.has_ended_within(Duration::ZERO) {
            return Err(KafkaError::Refused("the broker runs: stop or kill it before a restart".to_string()));
        }
        let log_start = self.launch.log_length();
        let temporary = self.is_temporary.then_some(self.folder.as_path());
        let keeper = Keeper::start(&self.launch.command(), &self.launch.log, temporary)?;
        std::mem::replace(&mut self.keeper, keeper).keep_folder()?;
        self.wait_until_ready(log_start)
    }

    /// Stops it in its tracks, its connections open: to clients it looks like a network that lost it.
    ///
    /// # Errors
    ///
    /// If the signal cannot be sent.
    pub fn pause(&mut self) -> Result<(), KafkaError> {
        self.keeper.signal("STOP")
    }

    /// Lets it go on after [`Broker::pause`].
    ///
    /// # Errors
    ///
    /// If the signal cannot be sent.
    pub fn resume(&mut self) -> Result<(), KafkaError> {
        self.keeper.signal("CONT")
    }

    fn wait_until_ready(&mut self, log_start: u64) -> Result<(), KafkaError> {
        self.launch.wait_until_ready(log_start, |wait| self.keeper.has_ended_within(wait))
    }

    fn wait_for_end(&mut self) -> Result<(), KafkaError> {
        match self.keeper.has_ended_within(STOP_WAIT) {
            true => Ok(()),
            false => Err(self.launch.failure("did not end in time")),
        }
    }
}

fn temporary_folder() -> Result<TempDir, KafkaError> {
    tempfile::Builder::new().prefix("till-kafka-").tempdir().map_err(KafkaError::files(&std::env::temp_dir()))
}
