//! A broker that stays: `cargo xtask kafka up`, `status` and `down`. There is one for each user; a file in the cache
//! folder says where it is. A process is taken for it only if its command names the settings that it was started with:
//! the number in the file may long belong to another.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::launch::{Launch, run};
use super::options::Options;
use super::{KafkaError, install};

/// Port for clients unless another one is asked for: Kafka's own.
pub const PORT: u16 = 9092;

const POLL_WAIT: Duration = Duration::from_millis(50);
/// A minute.
const STOP_POLLS_MAX: usize = 1200;

/// The standing broker.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Identifier of the Java process.
    pub process: u32,
    /// Where clients connect: `127.0.0.1:PORT`.
    pub bootstrap: String,
    /// Its `server.properties`; data and log lie beside it.
    pub settings: PathBuf,
}

impl Standing {
    /// The folder with its data, settings and log.
    pub fn folder(&self) -> &Path {
        self.settings.parent().unwrap_or(&self.settings)
    }

    fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.process, self.bootstrap, self.settings.display())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let process = lines.next()?.parse().ok()?;
        Some(Self { process, bootstrap: lines.next()?.to_string(), settings: lines.next()?.into() })
    }

    /// Whether the process still is this broker. One that has ended and was not waited for has no command.
    fn runs(&self) -> bool {
        let command = fs::read(format!("/proc/{}/cmdline", self.process)).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|word| word == self.settings.as_os_str().as_encoded_bytes())
    }
}

/// The broker that stands now.
///
/// # Errors
///
/// If there is no cache folder.
pub fn status() -> Result<Option<Standing>, KafkaError> {
    Ok(status_in(&install::cache()?))
}

pub(super) fn status_in(cache: &Path) -> Option<Standing> {
    let text = fs::read_to_string(note(cache)).ok()?;
    Standing::parse(&text).filter(Standing::runs)
}

/// Starts a broker that stays after this process, and waits until it answers. `folder` is where its data lies, by
/// default a folder in the cache; it stays when the broker is stopped and is used again.
///
/// # Errors
///
/// If one stands already, the port is taken, or the broker does not start.
pub fn up(port: u16, folder: Option<PathBuf>) -> Result<Standing, KafkaError> {
    up_in(&install::cache()?, port, folder)
}

pub(super) fn up_in(cache: &Path, port: u16, folder: Option<PathBuf>) -> Result<Standing, KafkaError> {
    if let Some(Standing { bootstrap, .. }) = status_in(cache) {
        let refusal = format!("a broker stands at {bootstrap}; `cargo xtask kafka down` stops it");
        return Err(KafkaError::Refused(refusal));
    }
    let libraries = install::libraries()?;
    let folder = folder.unwrap_or(cache.join("kafka-standing"));
    let options = Options { port: Some(port), ..Options::default() };
    let launch = Launch::prepare(&options, &folder, &libraries)?;
    let log_start = launch.log_length();
    let log = File::options().create(true).append(true).open(&launch.log).map_err(KafkaError::files(&launch.log))?;
    let errors = log.try_clone().map_err(KafkaError::files(&launch.log))?;
    // A closed terminal must not end it: a group of its own, and deaf to the hang-up.
    let mut java = Command::new("sh");
    java.arg("-c").arg("trap '' HUP; exec \"$@\"").arg("sh").args(launch.command()).process_group(0);
    java.stdin(Stdio::null()).stdout(log).stderr(errors);
    let failed = |error: std::io::Error| KafkaError::Program { program: "java".to_string(), said: error.to_string() };
    let mut java = java.spawn().map_err(failed)?;
    let standing =
        Standing { process: java.id(), bootstrap: launch.bootstrap.clone(), settings: launch.settings.clone() };
    let written = fs::write(note(cache), standing.to_text()).map_err(KafkaError::files(&note(cache)));
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

/// Stops the standing broker and waits for its end. The answer is the broker that was stopped, if one stood.
///
/// # Errors
///
/// If it still runs after a minute.
pub fn down() -> Result<Option<Standing>, KafkaError> {
    down_in(&install::cache()?)
}

pub(super) fn down_in(cache: &Path) -> Result<Option<Standing>, KafkaError> {
    let Some(standing) = status_in(cache) else { return Ok(None) };
    run(Command::new("sh").args(["-c", "kill -s TERM \"$1\"", "sh", &standing.process.to_string()]))?;
    for _ in 0..STOP_POLLS_MAX {
        if !standing.runs() {
            fs::remove_file(note(cache)).map_err(KafkaError::files(&note(cache)))?;
            return Ok(Some(standing));
        }
        std::thread::sleep(POLL_WAIT);
    }
    let log = standing.folder().join("kafka.log");
    Err(KafkaError::Refused(format!("the broker does not stop; see its log {}", log.display())))
}

/// The file that says where the standing broker is.
pub(super) fn note(cache: &Path) -> PathBuf {
    cache.join("kafka-standing.txt")
}
