//! From options to a broker that can be started: its folder with settings, certificates and formatted storage, its
//! command, and the wait until it answers.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::KafkaError;
use super::certificates;
use super::options::{Options, Place, Ports, Security, server_properties};

/// The cluster's identifier, 16 bytes in URL-safe Base64. It is the same for all: no two of these brokers ever meet.
const CLUSTER: &str = "tillstreamtestkafka00A";

/// Quick starts matter more than speed after minutes: 3.7 s instead of 4.4 s, measured on two busy cores.
const JAVA_ARGUMENTS: [&str; 3] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"];

/// For a broker that is measured: all of the compiler, which pays after half a minute of work.
const JAVA_TUNED_ARGUMENTS: [&str; 3] = ["-XX:+UseSerialGC", "-Xms1g", "-Xmx1g"];

/// What a broker writes when all of it runs.
const STARTED: &str = "Kafka Server started";

const POLL_WAIT: Duration = Duration::from_millis(50);
/// Two minutes: a start takes seconds, on a machine that builds at the same time many more.
const POLLS_MAX: usize = 2400;

/// Ports are taken from below 32768, where Linux begins to take those of outgoing connections: a client that keeps
/// knocking at the port of a stopped broker would some day connect to itself and hold the port.
const PORTS: std::ops::Range<u32> = 10240..32768;
/// Ports from which one process's search starts, so that processes which start brokers at once do not meet.
const PORTS_A_PROCESS: u32 = 32;
/// Ports tried before giving up.
const PORTS_TRIED_MAX: usize = 500;

/// Lines of the log that an error shows.
const LOG_END_LINES: usize = 15;

/// A broker that is ready to be started, and started again.
pub(super) struct Launch {
    /// Where clients connect: `127.0.0.1:PORT`.
    pub bootstrap: String,
    /// The broker's settings, the last word of its command.
    pub settings: PathBuf,
    /// What it writes, over all its starts.
    pub log: PathBuf,
    command: Vec<OsString>,
}

impl Launch {
    /// Writes settings and certificates into the folder and formats its storage, if that was not done before.
    pub fn prepare(options: &Options, folder: &Path, libraries: &Path) -> Result<Self, KafkaError> {
        fs::create_dir_all(folder).map_err(KafkaError::files(folder))?;
        let folder = folder.canonicalize().map_err(KafkaError::files(folder))?;
        if folder.to_str().is_none_or(|text| text.contains([',', '\\', '\n'])) {
            let refusal = format!("{}: Kafka cannot use a folder with a comma or backslash", folder.display());
            return Err(KafkaError::Refused(refusal));
        }
        let clients = match options.port {
            Some(port) if !is_free(port) => {
                return Err(KafkaError::Refused(format!("port {port} is taken: choose another one")));
            }
            Some(port) => port,
            None => free_port()?,
        };
        let ports = Ports { clients, controller: free_port()?, inside: free_port()? };
        if let Security::SaslTls { .. } = options.security {
            certificates::make(&folder)?;
        }
        let settings = folder.join("server.properties");
        let place = Place { folder: &folder, ports: &ports, store_password: certificates::STORE_PASSWORD };
        fs::write(&settings, server_properties(options, &place)).map_err(KafkaError::files(&settings))?;
        let mut classes = libraries.as_os_str().to_owned();
        classes.push("/*");
        if !folder.join("data/meta.properties").exists() {
            format_storage(options, &classes, &settings)?;
        }
        let mut command: Vec<OsString> = vec!["java".into()];
        let arguments = if options.is_tuned { JAVA_TUNED_ARGUMENTS } else { JAVA_ARGUMENTS };
        command.extend(arguments.map(OsString::from));
        command.extend(["-cp".into(), classes, "kafka.Kafka".into(), settings.clone().into()]);
        let log = folder.join("kafka.log");
        Ok(Self { bootstrap: format!("127.0.0.1:{clients}"), settings, log, command })
    }

    pub fn command(&self) -> Vec<&OsStr> {
        self.command.iter().map(OsString::as_os_str).collect()
    }

    /// Bytes of the log so far: where a start that comes next begins to write.
    pub fn log_length(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    /// Waits until the broker that writes its log from this byte on is ready and answers. `has_ended_within` waits that
    /// long and says whether the broker has ended.
    pub fn wait_until_ready(
        &self,
        log_start: u64,
        mut has_ended_within: impl FnMut(Duration) -> bool,
    ) -> Result<(), KafkaError> {
        for _ in 0..POLLS_MAX {
            if has_ended_within(POLL_WAIT) {
                return Err(self.failure("ended while it started"));
            }
            let text = self.log_from(log_start);
            if text.contains(STARTED) && self.answers() {
                return Ok(());
            }
        }
        Err(self.failure("did not become ready in time"))
    }

    /// An error with the end of the log.
    pub fn failure(&self, what: &str) -> KafkaError {
        let text = self.log_from(0);
        let lines: Vec<&str> = text.lines().collect();
        let log_end = lines[lines.len().saturating_sub(LOG_END_LINES)..].join("\n");
        KafkaError::Broker { what: what.to_string(), log: self.log.clone(), log_end }
    }

    fn log_from(&self, start: u64) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }

    fn answers(&self) -> bool {
        let address: Option<SocketAddr> = self.bootstrap.parse().ok();
        address.is_some_and(|address| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
    }
}

/// Makes the storage, and in it the user with whose name clients connect.
fn format_storage(options: &Options, classes: &OsStr, settings: &Path) -> Result<(), KafkaError> {
    let mut java = Command::new("java");
    java.args(JAVA_ARGUMENTS).arg("-cp").arg(classes);
    java.args(["kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", CLUSTER, "--config"]).arg(settings);
    if let Security::SaslTls { user, password } = &options.security {
        java.arg("--add-scram").arg(format!("SCRAM-SHA-512=[name={user},password={password}]"));
    }
    run(&mut java)
}

/// Runs a program to its end; what it writes is shown only if it fails.
pub(super) fn run(command: &mut Command) -> Result<(), KafkaError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |said: String| KafkaError::Program { program: program.clone(), said };
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(failed(String::from_utf8_lossy(&said).trim().to_string()))
}

fn free_port() -> Result<u16, KafkaError> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(PORTS_A_PROCESS);
    let candidate = || {
        let number = first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        u16::try_from(PORTS.start + number % (PORTS.end - PORTS.start)).ok()
    };
    let free = (0..PORTS_TRIED_MAX).filter_map(|_| candidate()).find(|port| is_free(*port));
    free.ok_or_else(|| KafkaError::Refused(format!("none of {PORTS_TRIED_MAX} ports on 127.0.0.1 is free")))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
