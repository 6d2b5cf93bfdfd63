//! A service that belongs to this process: started, stopped, killed, paused and started again by tests.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::ServiceError;
use super::keeper::Keeper;
use super::launch::Launch;

/// How long a service may take to stop by itself. A broker takes half a second, and longer while clients keep it busy.
const STOP_WAIT: Duration = Duration::from_secs(60);

/// The folder of a service.
pub enum Folder {
    /// One that stays.
    Given(PathBuf),
    /// One that goes with the service.
    Temporary(TempDir),
}

impl Folder {
    /// The folder that was asked for, or a temporary one whose name starts with this.
    pub fn of(asked: Option<&Path>, prefix: &str) -> Result<Self, ServiceError> {
        match asked {
            Some(folder) => Ok(Self::Given(folder.to_path_buf())),
            None => tempfile::Builder::new()
                .prefix(prefix)
                .tempdir()
                .map(Self::Temporary)
                .map_err(ServiceError::files(&std::env::temp_dir())),
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            Self::Given(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// A service of this process. Dropping it kills it, and removes its folder if that was a temporary one; so does the end of
/// this process, however it comes.
pub struct Held {
    keeper: Keeper,
    launch: Launch,
    folder: PathBuf,
    is_temporary: bool,
}

impl Held {
    /// Starts it and waits until it answers.
    pub fn start(launch: Launch, folder: Folder) -> Result<Self, ServiceError> {
        let log_start = launch.log_length();
        let path = folder.path().to_path_buf();
        let is_temporary = matches!(folder, Folder::Temporary(_));
        let keeper = Keeper::start(&launch.command(), &launch.log, is_temporary.then_some(&*path))?;
        // From here on the keeper removes it, also when this process cannot.
        if let Folder::Temporary(folder) = folder {
            let _ = folder.keep();
        }
        let mut held = Self { keeper, launch, folder: path, is_temporary };
        held.wait_until_ready(log_start)?;
        Ok(held)
    }

    pub fn address(&self) -> &str {
        &self.launch.address
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn process(&self) -> u32 {
        self.keeper.process()
    }

    /// Lets it shut down in order, and waits for that. Nothing happens if it has ended.
    pub fn stop(&mut self) -> Result<(), ServiceError> {
        self.keeper.signal("TERM")?;
        // A paused process would not see it.
        self.keeper.signal("CONT")?;
        self.wait_for_end()
    }

    /// Kills it and waits for its end. Nothing happens if it has ended.
    pub fn kill(&mut self) -> Result<(), ServiceError> {
        self.keeper.signal("KILL")?;
        self.wait_for_end()
    }

    /// Starts it again after its end, and waits until it answers.
    pub fn restart(&mut self) -> Result<(), ServiceError> {
        if !self.keeper.has_ended_within(Duration::ZERO) {
            let refusal = format!("{} runs: stop or kill it before a restart", self.launch.name);
            return Err(ServiceError::Refused(refusal));
        }
        let log_start = self.launch.log_length();
        let temporary = self.is_temporary.then_some(self.folder.as_path());
        let keeper = Keeper::start(&self.launch.command(), &self.launch.log, temporary)?;
        std::mem::replace(&mut self.keeper, keeper).keep_folder()?;
        self.wait_until_ready(log_start)
    }

    /// Sends it a signal by its name without `SIG`.
    pub fn signal(&mut self, name: &str) -> Result<(), ServiceError> {
        self.keeper.signal(name)
    }

    fn wait_until_ready(&mut self, log_start: u64) -> Result<(), ServiceError> {
        self.launch.wait_until_ready(log_start, |wait| self.keeper.has_ended_within(wait))
    }

    fn wait_for_end(&mut self) -> Result<(), ServiceError> {
        match self.keeper.has_ended_within(STOP_WAIT) {
            true => Ok(()),
            false => Err(self.launch.failure("did not end in time")),
        }
    }
}
