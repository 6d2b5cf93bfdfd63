//! A service that stays after the process that started it. There is one of a kind for each user; a file in the cache
//! folder says where it is. A process is taken for it only if a word of its command ends with the settings that it was
//! started with: the number in the file may long belong to another.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::ServiceError;
use super::launch::{Launch, run};

const POLL_WAIT: Duration = Duration::from_millis(50);
/// A minute.
const STOP_POLLS_MAX: usize = 1200;

/// A kind of service that may stand.
pub struct Kind {
    /// What messages call it: `a broker`.
    pub name: &'static str,
    /// Its word in `cargo xtask WORD down`, and the start of the names of its note and folder.
    pub word: &'static str,
    /// Name of its log in its folder.
    pub log: &'static str,
}

/// A standing service.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Identifier of the Java process.
    pub process: u32,
    /// Where clients connect: `127.0.0.1:PORT`.
    pub address: String,
    /// Its settings; data and log lie beside them.
    pub settings: PathBuf,
}

impl Standing {
    /// The folder with its data, settings and log.
    pub fn folder(&self) -> &Path {
        self.settings.parent().unwrap_or(&self.settings)
    }

    fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.process, self.address, self.settings.display())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let process = lines.next()?.parse().ok()?;
        Some(Self { process, address: lines.next()?.to_string(), settings: lines.next()?.into() })
    }

    /// Whether the process still is this service. One that has ended and was not waited for has no command.
    fn runs(&self) -> bool {
        let command = fs::read(format!("/proc/{}/cmdline", self.process)).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|word| word.ends_with(self.settings.as_os_str().as_encoded_bytes()))
    }
}

impl Kind {
    /// The one that stands now.
    pub fn status(&self, cache: &Path) -> Option<Standing> {
        let text = fs::read_to_string(self.note(cache)).ok()?;
        Standing::parse(&text).filter(Standing::runs)
    }

    /// Starts what `prepare` makes ready in a folder, so that it stays after this process, and waits until it answers.
    pub fn up(
        &self,
        cache: &Path,
        folder: Option<PathBuf>,
        prepare: impl FnOnce(&Path) -> Result<Launch, ServiceError>,
    ) -> Result<Standing, ServiceError> {
        if let Some(Standing { address, .. }) = self.status(cache) {
            let (name, word) = (self.name, self.word);
            let refusal = format!("{name} stands at {address}; `cargo xtask {word} down` stops it");
            return Err(ServiceError::Refused(refusal));
        }
        let folder = folder.unwrap_or_else(|| cache.join(format!("{}-standing", self.word)));
        let launch = prepare(&folder)?;
        let log_start = launch.log_length();
        let files = || ServiceError::files(&launch.log);
        let log = File::options().create(true).append(true).open(&launch.log).map_err(files())?;
        let errors = log.try_clone().map_err(files())?;
        // A closed terminal must not end it: a group of its own, and deaf to the hang-up.
        let mut java = Command::new("sh");
        java.arg("-c").arg("trap '' HUP; exec \"$@\"").arg("sh").args(launch.command()).process_group(0);
        java.stdin(Stdio::null()).stdout(log).stderr(errors);
        let failed =
            |error: std::io::Error| ServiceError::Program { program: "java".to_string(), said: error.to_string() };
        let mut java = java.spawn().map_err(failed)?;
        let (address, settings) = (launch.address.clone(), launch.settings.clone());
        let standing = Standing { process: java.id(), address, settings };
        let note = self.note(cache);
        let written = fs::write(&note, standing.to_text()).map_err(ServiceError::files(&note));
        let has_ended_within = |wait| {
            std::thread::sleep(wait);
            !matches!(java.try_wait(), Ok(None))
        };
        match written.and_then(|()| launch.wait_until_ready(log_start, has_ended_within)) {
            Ok(()) => Ok(standing),
            Err(error) => {
                // An error here would only hide the one that matters.
                let _ = java.kill().and_then(|()| java.wait());
                Err(error)
            }
        }
    }

    /// Stops the standing one and waits for its end; the one that was stopped, if one stood.
    pub fn down(&self, cache: &Path) -> Result<Option<Standing>, ServiceError> {
        let Some(standing) = self.status(cache) else { return Ok(None) };
        run(Command::new("sh").args(["-c", "kill -s TERM \"$1\"", "sh", &standing.process.to_string()]))?;
        for _ in 0..STOP_POLLS_MAX {
            if !standing.runs() {
                let note = self.note(cache);
                fs::remove_file(&note).map_err(ServiceError::files(&note))?;
                return Ok(Some(standing));
            }
            std::thread::sleep(POLL_WAIT);
        }
        let log = standing.folder().join(self.log);
        Err(ServiceError::Refused(format!("{} does not stop; see its log {}", self.name, log.display())))
    }

    /// The file that says where the standing one is.
    pub fn note(&self, cache: &Path) -> PathBuf {
        cache.join(format!("{}-standing.txt", self.word))
    }
}
