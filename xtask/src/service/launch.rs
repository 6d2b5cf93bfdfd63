//! A service that is ready to be started: its command, its log, the wait until it answers, and the ports for it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::ServiceError;

/// Quick starts matter more than speed after minutes: a broker takes 3.7 s instead of 4.4 s, measured on two busy cores.
pub const JAVA_ARGUMENTS: [&str; 2] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

const POLL_WAIT: Duration = Duration::from_millis(50);
/// Two minutes: a start takes seconds, on a machine that builds at the same time many more.
const POLLS_MAX: usize = 2400;

/// Ports are taken from below 32768, where Linux begins to take those of outgoing connections: a client that keeps
/// knocking at the port of a stopped service would some day connect to itself and hold the port.
const PORTS: std::ops::Range<u32> = 10240..32768;
/// Ports from which one process's search starts, so that processes which start services at once do not meet.
const PORTS_A_PROCESS: u32 = 32;
/// Ports tried before giving up.
const PORTS_TRIED_MAX: usize = 500;

/// Lines of the log that an error shows.
const LOG_END_LINES: usize = 15;

/// A service that is ready to be started, and started again.
pub struct Launch {
    /// What errors call it: `the broker`.
    pub name: &'static str,
    /// Where clients connect: `127.0.0.1:PORT`.
    pub address: String,
    /// The service's settings, with whose path a word of its command ends.
    pub settings: PathBuf,
    /// What it writes, over all its starts.
    pub log: PathBuf,
    /// What starts it.
    pub command: Vec<OsString>,
    /// What it writes when all of it runs.
    pub started: &'static str,
}

impl Launch {
    pub fn command(&self) -> Vec<&OsStr> {
        self.command.iter().map(OsString::as_os_str).collect()
    }

    /// Bytes of the log so far: where a start that comes next begins to write.
    pub fn log_length(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    /// Waits until the service that writes its log from this byte on is ready and answers. `has_ended_within` waits that
    /// long and says whether it has ended.
    pub fn wait_until_ready(
        &self,
        log_start: u64,
        mut has_ended_within: impl FnMut(Duration) -> bool,
    ) -> Result<(), ServiceError> {
        for _ in 0..POLLS_MAX {
            if has_ended_within(POLL_WAIT) {
                return Err(self.failure("ended while it started"));
            }
            let text = self.log_from(log_start);
            if text.contains(self.started) && self.answers() {
                return Ok(());
            }
        }
        Err(self.failure("did not become ready in time"))
    }

    /// An error with the end of the log.
    pub fn failure(&self, what: &str) -> ServiceError {
        let text = self.log_from(0);
        let lines: Vec<&str> = text.lines().collect();
        let log_end = lines[lines.len().saturating_sub(LOG_END_LINES)..].join("\n");
        ServiceError::Service { name: self.name, what: what.to_string(), log: self.log.clone(), log_end }
    }

    fn log_from(&self, start: u64) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }

    fn answers(&self) -> bool {
        let address: Option<SocketAddr> = self.address.parse().ok();
        address.is_some_and(|address| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
    }
}

/// The folder of a service, made if it is not there, by its full path. `name` is what a refusal calls the service, whose
/// settings and lists of paths some characters would break.
pub fn service_folder(folder: &Path, name: &str) -> Result<PathBuf, ServiceError> {
    fs::create_dir_all(folder).map_err(ServiceError::files(folder))?;
    let folder = folder.canonicalize().map_err(ServiceError::files(folder))?;
    if folder.to_str().is_none_or(|text| text.contains([',', '\\', '\n'])) {
        let refusal = format!("{}: {name} cannot use a folder with a comma or backslash", folder.display());
        return Err(ServiceError::Refused(refusal));
    }
    Ok(folder)
}

/// Runs a program to its end; what it writes is shown only if it fails.
pub fn run(command: &mut Command) -> Result<(), ServiceError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |said: String| ServiceError::Program { program: program.clone(), said };
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(failed(String::from_utf8_lossy(&said).trim().to_string()))
}

/// The port that was asked for, refused if it is taken, or a free one.
pub fn port(asked: Option<u16>) -> Result<u16, ServiceError> {
    match asked {
        Some(port) if !is_free(port) => Err(ServiceError::Refused(format!("port {port} is taken: choose another one"))),
        Some(port) => Ok(port),
        None => free_port(),
    }
}

/// A port that nobody listens on.
pub fn free_port() -> Result<u16, ServiceError> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(PORTS_A_PROCESS);
    let candidate = || {
        let number = first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        u16::try_from(PORTS.start + number % (PORTS.end - PORTS.start)).ok()
    };
    let free = (0..PORTS_TRIED_MAX).filter_map(|_| candidate()).find(|port| is_free(*port));
    free.ok_or_else(|| ServiceError::Refused(format!("none of {PORTS_TRIED_MAX} ports on 127.0.0.1 is free")))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
