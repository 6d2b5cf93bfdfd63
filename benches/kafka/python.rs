//! The same work by hand in Python, with the libraries that one would take for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;
use crate::feed::TOPIC;

/// Names a Python that has the libraries.
const PYTHON: &str = "TILL_BENCH_PYTHON";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/python/peer.py");
const FEATURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/python/features.py");
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/python/requirements.txt");

/// A Python with the libraries: the one that is named, or an environment that is made here once. None, after a line
/// that says why, where neither can be had.
pub fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(PYTHON) {
        return Some(named.into());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-python");
    let python = folder.join("bin/python");
    let is_there = || quiet(Command::new(&python).args(["-c", "import confluent_kafka, deltalake, orjson, pyarrow"]));
    if is_there() {
        return Some(python);
    }
    let made = quiet(Command::new("python3").args(["-m", "venv"]).arg(&folder))
        && quiet(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS]));
    if made && is_there() {
        return Some(python);
    }
    eprintln!(
        "SKIPPED: the Python way; pip could not install {REQUIREMENTS}. {PYTHON} can name a Python that has them"
    );
    None
}

/// The peer, which ends when it has so many events in the table.
pub fn command(python: &Path, brokers: &str, events: u64, table: &Path) -> Result<Command, Failure> {
    let mut command = Command::new(python);
    command.args([SCRIPT, brokers, TOPIC, &events.to_string()]).arg(table).stdin(Stdio::null());
    Ok(command)
}

/// The peer of features, which ends when it has had so many events.
pub fn features_command(python: &Path, brokers: &str, topic: &str, events: u64) -> Command {
    let mut command = Command::new(python);
    command.args([FEATURES, brokers, topic, &events.to_string()]).stdin(Stdio::null());
    command
}

fn quiet(command: &mut Command) -> bool {
    let output = command.stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}
