//! A broker that belongs to this process: started, stopped, killed, paused and started again by tests.

use std::path::{Path, PathBuf};

use super::options::{Options, Security};
use super::{ServiceError, certificates, install, launch};
use crate::service::held::{Folder, Held};

/// A broker of this process. Dropping it kills it, and removes its folder if that was a temporary one; so does the end
/// of this process, however it comes.
pub struct Broker {
    held: Held,
    ca_pem: Option<PathBuf>,
}

impl Broker {
    /// Starts a broker and waits until it answers: about 5 s, and once on a machine what it takes to fetch Kafka.
    ///
    /// # Errors
    ///
    /// If Kafka cannot be had here, the folder cannot be used, or the broker does not start.
    pub fn start(options: &Options) -> Result<Self, ServiceError> {
        let libraries = install::libraries()?;
        let folder = Folder::of(options.folder.as_deref(), "till-kafka-")?;
        let launch = launch::prepare(options, folder.path(), &libraries)?;
        let is_secure = matches!(options.security, Security::SaslTls { .. });
        let ca_pem = is_secure.then(|| certificates::ca_pem(folder.path()));
        Ok(Self { held: Held::start(launch, folder)?, ca_pem })
    }

    /// Where clients connect, by the security that was asked for: `127.0.0.1:PORT`. A restart does not change it.
    pub fn bootstrap(&self) -> &str {
        self.held.address()
    }

    /// The certificate of the authority that a client by TLS must trust (`ssl.ca.location`); `None` in plaintext.
    pub fn ca_pem(&self) -> Option<&Path> {
        self.ca_pem.as_deref()
    }

    /// The folder with its data (`data`), settings (`server.properties`) and log (`kafka.log`).
    pub fn folder(&self) -> &Path {
        self.held.folder()
    }

    /// Identifier of the Java process.
    pub fn process(&self) -> u32 {
        self.held.process()
    }

    /// Lets it shut down in order, and waits for that. Nothing happens if it has ended.
    ///
    /// # Errors
    ///
    /// If it still runs after a minute.
    pub fn stop(&mut self) -> Result<(), ServiceError> {
        self.held.stop()
    }

    /// Kills it, as a machine that loses power would but for what the system holds in memory, and waits for its end.
    /// Nothing happens if it has ended.
    ///
    /// # Errors
    ///
    /// If it still runs after a minute.
    pub fn kill(&mut self) -> Result<(), ServiceError> {
        self.held.kill()
    }

    /// Starts it again after [`Broker::stop`] or [`Broker::kill`], on the same ports with the same data, and waits until it
    /// answers.
    ///
    /// # Errors
    ///
    /// If it runs, or does not start.
    pub fn restart(&mut self) -> Result<(), ServiceError> {
        self.held.restart()
    }

    /// Stops it in its tracks, its connections open: to clients it looks like a network that lost it.
    ///
    /// # Errors
    ///
    /// If the signal cannot be sent.
    pub fn pause(&mut self) -> Result<(), ServiceError> {
        self.held.signal("STOP")
    }

    /// Lets it go on after [`Broker::pause`].
    ///
    /// # Errors
    ///
    /// If the signal cannot be sent.
    pub fn resume(&mut self) -> Result<(), ServiceError> {
        self.held.signal("CONT")
    }
}
