//! Apache Kafka on this machine: one broker that is its own controller, on free loopback ports, from the artifacts that
//! Apache publishes for Maven. Nothing is faked, so transactions, fencing and rebalances are what they are elsewhere.
//!
//! A [`Broker`] belongs to the process that started it: a small shell holds it, and ends it when that process is gone,
//! however it went. What [`standing`] starts stays until it is stopped.

mod broker;
mod certificates;
mod install;
mod keeper;
mod launch;
mod options;
pub mod standing;

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

pub use broker::Broker;
pub use install::available;
pub use options::{Options, Security};

/// Environment variable that turns a test without a broker from skipped to failed.
const REQUIRE: &str = "TILL_REQUIRE_KAFKA";

/// Why there is no broker. None of these passes by itself: each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// Java or Maven is missing or too old.
    #[error("{0}")]
    Unavailable(String),
    /// Maven did not bring Kafka.
    #[error("fetching Kafka failed: {0}\nis a Maven repository reachable from here?")]
    Fetch(String),
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Files {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program could not be started, or said that it failed.
    #[error("{program} failed: {said}")]
    Program {
        /// Name of the program.
        program: String,
        /// What it or the system said.
        said: String,
    },
    /// The broker ended, or did not answer in time.
    #[error("the broker {what}; its log {} ends with:\n{log_end}", log.display())]
    Broker {
        /// What it did or failed to do.
        what: String,
        /// Its log, which is gone with the broker's folder if that was a temporary one.
        log: PathBuf,
        /// Last lines of the log.
        log_end: String,
    },
    /// The call does not fit the state or the options.
    #[error("{0}")]
    Refused(String),
}

impl KafkaError {
    fn files(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Files { path, source }
    }
}

/// A broker for all tests of a process. It cannot be stopped or paused, since others use it: tests that do so start a
/// [`Broker`] of their own. Tests keep apart by the names of their topics, groups and transactional ids.
pub struct SharedBroker {
    bootstrap: String,
    /// Held only; what a keeper hears cannot be shared by threads.
    _broker: Mutex<Broker>,
}

impl SharedBroker {
    /// Where clients connect: `127.0.0.1:PORT`, in plaintext.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

/// The broker that the tests of this process share, started at the first call; it ends with the process. Where it
/// cannot be had the answer is `None`, after a line on standard error that the test runner does not hold back.
///
/// # Panics
///
/// Where it cannot be had and `TILL_REQUIRE_KAFKA` is `1`; and where all is there and the broker does not start.
pub fn shared(test_name: &str) -> Option<&'static SharedBroker> {
    static SHARED: OnceLock<SharedBroker> = OnceLock::new();
    can_start(test_name).then(|| SHARED.get_or_init(shared_broker))
}

/// Whether a test can have a [`Broker`] of its own. If not, the test should end: a line on standard error says that it
/// was skipped and what it misses.
///
/// # Panics
///
/// If not, and `TILL_REQUIRE_KAFKA` is `1`.
pub fn can_start(test_name: &str) -> bool {
    static READY: OnceLock<Result<(), String>> = OnceLock::new();
    let ready = READY.get_or_init(|| install::libraries().map(|_| ()).map_err(|error| error.to_string()));
    let Err(reason) = ready else { return true };
    assert!(std::env::var_os(REQUIRE).is_none_or(|value| value != "1"), "{test_name} needs Kafka: {reason}");
    say(&format!("SKIPPED: {test_name} needs Kafka: {reason}"));
    false
}

fn shared_broker() -> SharedBroker {
    let broker = Broker::start(&Options::default()).unwrap_or_else(|error| panic!("{error}"));
    SharedBroker { bootstrap: broker.bootstrap().to_string(), _broker: Mutex::new(broker) }
}

/// Writes a line to standard error itself: what `eprintln!` says, a test runner keeps to itself if the test passes.
fn say(line: &str) {
    // In one piece, for other tests write at the same time. If it cannot be written there is nobody to tell.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
