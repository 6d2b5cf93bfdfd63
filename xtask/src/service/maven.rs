//! What Maven fetches once into a cache folder, and the programs that this needs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{ServiceError, say};

/// Least major version of Java that runs what is fetched here (release notes of Kafka 4 and Apicurio Registry 2.6).
const JAVA_MIN: u32 = 17;

/// What Maven is to fetch.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tillstream</groupId>
  <artifactId>fetched</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
DEPENDENCIES
  </dependencies>
  <build><plugins><plugin><artifactId>maven-dependency-plugin</artifactId><version>3.8.1</version></plugin></plugins></build>
</project>
"#;

/// Something that Maven has.
pub struct Package {
    /// Name and version for people.
    pub name: &'static str,
    /// Its folder in the cache.
    pub folder: &'static str,
    /// How much is fetched.
    pub megabytes: u32,
    /// Maven's words for it.
    pub dependencies: &'static str,
    /// Makes of the folder of fetched files the one that is kept, within the same folder.
    pub finish: fn(PathBuf) -> Result<PathBuf, ServiceError>,
}

/// Whether a package could be used as far as programs go; else what is missing and how to get it. Maven is needed only
/// until the package is in the cache.
///
/// # Errors
///
/// A sentence for people.
pub fn available(package: &Package) -> Result<(), String> {
    let java = said_by("java", "-version").ok_or(format!("java is missing: {}", java_advice()))?;
    match java_major(&java) {
        Some(major) if major >= JAVA_MIN => {}
        _ => {
            let found = java.lines().next().unwrap_or_default();
            return Err(format!("java is too old ({found}): {}", java_advice()));
        }
    }
    let cached = cache().is_ok_and(|cache| cache.join(package.folder).exists());
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
pub fn java_major(said: &str) -> Option<u32> {
    let (_, version) = said.split_once("version \"")?;
    let version = version.strip_prefix("1.").unwrap_or(version);
    let digits = version.find(|sign: char| !sign.is_ascii_digit()).map_or(version, |end| &version[..end]);
    digits.parse().ok()
}

/// The folder with everything that outlives a process: packages and standing services.
///
/// # Errors
///
/// If the environment names neither `XDG_CACHE_HOME` nor `HOME`.
pub fn cache() -> Result<PathBuf, ServiceError> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    let refusal =
        || ServiceError::Refused("set XDG_CACHE_HOME or HOME: what is fetched is kept in a cache folder".to_string());
    Ok(cache.ok_or_else(refusal)?.join("tillstream"))
}

/// The folder with a package's files. The first call on a machine fetches them; other processes wait for it.
///
/// # Errors
///
/// If a program is missing, Maven fails, or the cache cannot be written.
pub fn folder(package: &Package) -> Result<PathBuf, ServiceError> {
    available(package).map_err(ServiceError::Unavailable)?;
    let cache = cache()?;
    let folder = cache.join(package.folder);
    if folder.exists() {
        return Ok(folder);
    }
    fs::create_dir_all(&cache).map_err(ServiceError::files(&cache))?;
    let lock_path = cache.join(format!("{}.lock", package.folder));
    let lock = File::create(&lock_path).map_err(ServiceError::files(&lock_path))?;
    lock.lock().map_err(ServiceError::files(&lock_path))?;
    // Whoever held the lock before may have fetched it. The lock is let go when the file is closed, also by a kill.
    if !folder.exists() {
        fetch(package, &cache, &folder)?;
    }
    Ok(folder)
}

/// Only what is complete gets the name: a fetch that was cut short is begun again.
fn fetch(package: &Package, cache: &Path, folder: &Path) -> Result<(), ServiceError> {
    let Package { name, megabytes, .. } = package;
    say(&format!("fetching {name} ({megabytes} MB) with Maven, once"));
    let scratch = tempfile::Builder::new().prefix("fetch-").tempdir_in(cache).map_err(ServiceError::files(cache))?;
    let pom = scratch.path().join("pom.xml");
    fs::write(&pom, POM.replace("DEPENDENCIES", package.dependencies)).map_err(ServiceError::files(&pom))?;
    let fetched = scratch.path().join("fetched");
    let mut maven = Command::new("mvn");
    maven.args(["--quiet", "--batch-mode", "--strict-checksums", "--file"]).arg(&pom);
    maven.arg("dependency:copy-dependencies").arg("-DincludeScope=runtime");
    maven.arg(format!("-DoutputDirectory={}", fetched.display()));
    let failed = |said: String| ServiceError::Fetch { what: name.to_string(), said };
    let output = maven.output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() || !fetched.exists() {
        return Err(failed(String::from_utf8_lossy(&output.stdout).trim().to_string()));
    }
    let finished = (package.finish)(fetched)?;
    fs::rename(&finished, folder).map_err(ServiceError::files(folder))
}
