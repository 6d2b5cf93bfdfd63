//! Programs that serve on loopback, which tests and people need here: how they are fetched, started, held by a process or
//! left standing. What is special about one of them stands with it ([`crate::kafka`], [`crate::registry`]).

pub(crate) mod held;
pub(crate) mod keeper;
pub(crate) mod launch;
pub(crate) mod maven;
pub(crate) mod standing;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use standing::Standing;

/// Environment variable that turns a test without a service from skipped to failed.
const REQUIRE: &str = "TILL_REQUIRE_KAFKA";

/// Why there is no service. None of these passes by itself: each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Java or Maven is missing or too old.
    #[error("{0}")]
    Unavailable(String),
    /// Maven did not bring it.
    #[error("fetching {what} failed: {said}\nis a Maven repository reachable from here?")]
    Fetch {
        /// What was to be fetched.
        what: String,
        /// What Maven said.
        said: String,
    },
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
    /// The service ended, or did not answer in time.
    #[error("{name} {what}; its log {} ends with:\n{log_end}", log.display())]
    Service {
        /// What it is called.
        name: &'static str,
        /// What it did or failed to do.
        what: String,
        /// Its log, which is gone with the service's folder if that was a temporary one.
        log: PathBuf,
        /// Last lines of the log.
        log_end: String,
    },
    /// The call does not fit the state or the options.
    #[error("{0}")]
    Refused(String),
}

impl ServiceError {
    pub(crate) fn files(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Files { path, source }
    }
}

/// Whether a test can have a service, which `fetch` brings here. What that found is kept in `ready`, since nothing changes
/// it within a process. If not, a line on standard error says that the test was skipped and what it misses.
///
/// # Panics
///
/// If not, and `TILL_REQUIRE_KAFKA` is `1`.
pub(crate) fn can_start(
    test_name: &str,
    name: &str,
    ready: &OnceLock<Result<(), String>>,
    fetch: fn() -> Result<PathBuf, ServiceError>,
) -> bool {
    let ready = ready.get_or_init(|| fetch().map(|_| ()).map_err(|error| error.to_string()));
    let Err(reason) = ready else { return true };
    assert!(std::env::var_os(REQUIRE).is_none_or(|value| value != "1"), "{test_name} needs {name}: {reason}");
    say(&format!("SKIPPED: {test_name} needs {name}: {reason}"));
    false
}

/// Writes a line to standard error itself: what `eprintln!` says, a test runner keeps to itself if the test passes.
pub(crate) fn say(line: &str) {
    // In one piece, for other tests write at the same time. If it cannot be written there is nobody to tell.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
