//! Kafka's own libraries, fetched once by Maven into a cache folder, and the programs that this needs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{KafkaError, say};

/// The release of Kafka. Another one gets another folder in the cache. Releases 4.3.0 and 4.3.1 take a partition that has
/// no leader for a moment for a deleted one and leave out the end of its transaction (KAFKA-20734): a committed
/// transaction then stays open in it, which no client can mend.
const VERSION: &str = "4.2.1";

/// Least major version of Java that runs it (Kafka 4 release notes).
const JAVA_MIN: u32 = 17;

/// What Maven is to fetch. `slf4j-simple` writes the broker's log to standard error, without settings of its own.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tillstream</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
  <build><plugins><plugin><artifactId>maven-dependency-plugin</artifactId><version>3.8.1</version></plugin></plugins></build>
</project>
"#;

/// Whether a broker could be started as far as programs go; else what is missing and how to get it. Maven is needed only
/// until Kafka is in the cache.
///
/// # Errors
///
/// A sentence for people.
pub fn available() -> Result<(), String> {
    let java = said_by("java", "-version").ok_or(format!("java is missing: {}", java_advice()))?;
    match java_major(&java) {
        Some(major) if major >= JAVA_MIN => {}
        _ => {
            let found = java.lines().next().unwrap_or_default();
            return Err(format!("java is too old ({found}): {}", java_advice()));
        }
    }
    let cached = cache().is_ok_and(|cache| libraries_in(&cache).exists());
    if !cached && said_by("mvn", "--version").is_none() {
        return Err("mvn is missing: install Maven (Debian: apt-get install maven)".to_string());
    }
    Ok(())
}

fn java_advice() -> String {
    format!("install Java {JAVA_MIN} or later (Debian: apt-get install openjdk-17-jdk-headless)")
}

/// What the program writes when asked for its version; `None` if it cannot be run.
fn said_by(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok().filter(|output| output.status.success())?;
    Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

/// The major version in what `java -version` says: `17` of `openjdk version "17.0.15"`, `8` of `java version "1.8.0_402"`.
pub(super) fn java_major(said: &str) -> Option<u32> {
    let (_, version) = said.split_once("version \"")?;
    let version = version.strip_prefix("1.").unwrap_or(version);
    let digits = version.find(|sign: char| !sign.is_ascii_digit()).map_or(version, |end| &version[..end]);
    digits.parse().ok()
}

/// The folder with everything that outlives a process: Kafka itself and the standing broker.
///
/// # Errors
///
/// If the environment names neither `XDG_CACHE_HOME` nor `HOME`.
pub(super) fn cache() -> Result<PathBuf, KafkaError> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    let refusal = || KafkaError::Refused("set XDG_CACHE_HOME or HOME: Kafka is kept in a cache folder".to_string());
    Ok(cache.ok_or_else(refusal)?.join("tillstream"))
}

fn libraries_in(cache: &Path) -> PathBuf {
    cache.join(format!("kafka-{VERSION}"))
}

/// The folder with Kafka's libraries. The first call on a machine fetches them, 44 MB; other processes wait for it.
///
/// # Errors
///
/// If a program is missing, Maven fails, or the cache cannot be written.
pub(super) fn libraries() -> Result<PathBuf, KafkaError> {
    available().map_err(KafkaError::Unavailable)?;
    let cache = cache()?;
    let libraries = libraries_in(&cache);
    if libraries.exists() {
        return Ok(libraries);
    }
    fs::create_dir_all(&cache).map_err(KafkaError::files(&cache))?;
    let lock_path = cache.join(format!("kafka-{VERSION}.lock"));
    let lock = File::create(&lock_path).map_err(KafkaError::files(&lock_path))?;
    lock.lock().map_err(KafkaError::files(&lock_path))?;
    // Whoever held the lock before may have fetched it. The lock is let go when the file is closed, also by a kill.
    if !libraries.exists() {
        fetch(&cache, &libraries)?;
    }
    Ok(libraries)
}

/// Only what is complete gets the name: a fetch that was cut short is begun again.
fn fetch(cache: &Path, libraries: &Path) -> Result<(), KafkaError> {
    say(&format!("fetching Apache Kafka {VERSION} (44 MB) with Maven, once"));
    let scratch =
        tempfile::Builder::new().prefix("kafka-fetch-").tempdir_in(cache).map_err(KafkaError::files(cache))?;
    let pom = scratch.path().join("pom.xml");
    fs::write(&pom, POM.replace("VERSION", VERSION)).map_err(KafkaError::files(&pom))?;
    let fetched = scratch.path().join("lib");
    let mut maven = Command::new("mvn");
    maven.args(["--quiet", "--batch-mode", "--strict-checksums", "--file"]).arg(&pom);
    maven.arg("dependency:copy-dependencies").arg("-DincludeScope=runtime");
    maven.arg(format!("-DoutputDirectory={}", fetched.display()));
    let output = maven.output().map_err(|error| KafkaError::Fetch(error.to_string()))?;
    if !output.status.success() || !fetched.exists() {
        return Err(KafkaError::Fetch(String::from_utf8_lossy(&output.stdout).trim().to_string()));
    }
    fs::rename(&fetched, libraries).map_err(KafkaError::files(libraries))
}
