//! A schema registry on this machine: Apicurio Registry with Confluent's interface, on a loopback port, from the archive
//! that its makers publish for Maven. It keeps schemas in memory alone, and refuses those that are not backward compatible
//! with the newest of their subject, as Confluent's does unless told otherwise.
//!
//! A [`Registry`] belongs to the process that started it and ends with it; what [`standing`] starts stays until it is
//! stopped.

pub mod standing;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crate::service::held::{Folder, Held};
use crate::service::launch::{JAVA_ARGUMENTS, Launch, port, run, service_folder};
use crate::service::maven::{self, Package};
use crate::service::{self, ServiceError};

/// The archive holds the program with all of its libraries, hence no others.
const APICURIO: Package = Package {
    name: "Apicurio Registry 2.6.13",
    folder: "apicurio-2.6.13",
    megabytes: 142,
    dependencies: "    <dependency>
      <groupId>io.apicurio</groupId><artifactId>apicurio-registry-app</artifactId><version>2.6.13.Final</version>
      <type>tar.gz</type><classifier>all</classifier>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
    </dependency>",
    finish: unpacked,
};

/// The program within the archive; its libraries lie beside it.
const PROGRAM: &str = "apicurio-registry-app-2.6.13.Final-runner.jar";
/// Bound of the registry's memory: it takes half of it for some hundred schemas.
const HEAP: &str = "-Xmx256m";
/// What it writes when all of it runs.
const STARTED: &str = "Listening on: http";
const LOG: &str = "registry.log";
/// Path of the interface that Confluent's clients speak.
const INTERFACE: &str = "/apis/ccompat/v7";
/// Longest wait for its answer to the one request that is made here.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// A registry of this process. Dropping it kills it and removes its folder; so does the end of this process, however it
/// comes.
pub struct Registry {
    held: Held,
}

impl Registry {
    /// Starts a registry and waits until it answers: about 5 s, and once on a machine what it takes to fetch it.
    ///
    /// # Errors
    ///
    /// If it cannot be had here, or does not start.
    pub fn start() -> Result<Self, ServiceError> {
        let program = program()?;
        let folder = Folder::of(None, "till-registry-")?;
        let held = Held::start(prepare(None, folder.path(), &program)?, folder)?;
        keep_compatible(held.address())?;
        Ok(Self { held })
    }

    /// What clients take for the registry's address: `http://127.0.0.1:PORT/...`.
    pub fn url(&self) -> String {
        url(self.held.address())
    }

    /// Identifier of the Java process.
    pub fn process(&self) -> u32 {
        self.held.process()
    }

    /// Stops it for good: what it knew is gone.
    ///
    /// # Errors
    ///
    /// If it still runs after a minute.
    pub fn stop(mut self) -> Result<(), ServiceError> {
        self.held.stop()
    }
}

/// A registry for all tests of a process, which keep apart by the names of their subjects.
pub struct SharedRegistry {
    url: String,
    /// Held only; what a keeper hears cannot be shared by threads.
    _registry: Mutex<Registry>,
}

impl SharedRegistry {
    /// What clients take for the registry's address.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// The registry that the tests of this process share, started at the first call; it ends with the process. Where it
/// cannot be had the answer is `None`, after a line on standard error that the test runner does not hold back.
///
/// # Panics
///
/// Where it cannot be had and `TILL_REQUIRE_KAFKA` is `1`; and where all is there and it does not start.
pub fn shared(test_name: &str) -> Option<&'static SharedRegistry> {
    static SHARED: OnceLock<SharedRegistry> = OnceLock::new();
    let start = || {
        let registry = Registry::start().unwrap_or_else(|error| panic!("{error}"));
        SharedRegistry { url: registry.url(), _registry: Mutex::new(registry) }
    };
    can_start(test_name).then(|| SHARED.get_or_init(start))
}

/// Whether a test can have a [`Registry`] of its own. If not, the test should end: a line on standard error says that it
/// was skipped and what it misses.
///
/// # Panics
///
/// If not, and `TILL_REQUIRE_KAFKA` is `1`.
pub fn can_start(test_name: &str) -> bool {
    static READY: OnceLock<Result<(), String>> = OnceLock::new();
    service::can_start(test_name, "a schema registry", &READY, program)
}

/// The folder with the program. The first call on a machine fetches it; other processes wait for it.
fn program() -> Result<PathBuf, ServiceError> {
    maven::folder(&APICURIO)
}

fn unpacked(fetched: PathBuf) -> Result<PathBuf, ServiceError> {
    let archive = fetched.join("apicurio-registry-app-2.6.13.Final-all.tar.gz");
    let folder = fetched.join("unpacked");
    fs::create_dir_all(&folder).map_err(ServiceError::files(&folder))?;
    run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&folder))?;
    Ok(folder)
}

/// Writes the settings into the folder, and says how a registry is started by them.
fn prepare(asked: Option<u16>, folder: &Path, program: &Path) -> Result<Launch, ServiceError> {
    let folder = service_folder(folder, "a registry")?;
    let port = port(asked)?;
    let settings = folder.join("application.properties");
    let text = format!("quarkus.http.host=127.0.0.1\nquarkus.http.port={port}\n");
    fs::write(&settings, text).map_err(ServiceError::files(&settings))?;
    let mut command: Vec<OsString> = vec!["java".into()];
    command.extend(JAVA_ARGUMENTS.map(OsString::from));
    let mut location = OsString::from("-Dquarkus.config.locations=");
    location.push(&settings);
    command.extend([HEAP.into(), location, "-jar".into(), program.join(PROGRAM).into()]);
    let log = folder.join(LOG);
    Ok(Launch { name: "the registry", address: format!("127.0.0.1:{port}"), settings, log, command, started: STARTED })
}

fn url(address: &str) -> String {
    format!("http://{address}{INTERFACE}")
}

/// Sets the rule that Confluent's registry starts with; this one starts without.
fn keep_compatible(address: &str) -> Result<(), ServiceError> {
    const RULE: &str = r#"{"compatibility":"BACKWARD"}"#;
    let failed = |said: String| ServiceError::Program { program: "setting the registry's rule".to_string(), said };
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        let head = format!("PUT {INTERFACE}/config HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        let about = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{RULE}", RULE.len());
        stream.write_all(format!("{head}{about}").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => Ok(()),
        Ok(answer) => Err(failed(answer)),
        Err(error) => Err(failed(error.to_string())),
    }
}
