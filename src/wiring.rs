//! Where the crates meet: the lake's tables as the runner sees them, bundles from folders, keys from a file, and the
//! locks that keep two runs apart.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use decode::keys::KeyRing;
use lake::{Lake, LakeError};
use runner::{TableError, Tables};
use schemas::Offset;
use schemas::ids::ContentHash;
use schemas::unit::BundleSource;
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use crate::clock;
use crate::config::Config;
use crate::failure::Failure;

/// Most processes that share a state folder without names of their own.
const INSTANCES_MAX: u32 = 256;

/// The runtime on which the lake and its sessions work.
pub fn start_runtime() -> Result<Runtime, Failure> {
    Runtime::new().map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))
}

/// The lake's tables, each opened when it is first used.
pub struct LakeTables {
    lake: Lake,
    open: BTreeMap<String, lake::Table>,
}

impl LakeTables {
    /// The tables of this lake.
    pub fn new(lake: Lake) -> Self {
        Self { lake, open: BTreeMap::new() }
    }

    fn table(&mut self, name: &str) -> Result<&mut lake::Table, TableError> {
        if !self.open.contains_key(name) {
            let spec = schemas::tables::by_name(name).ok_or_else(|| TableError {
                table: name.to_string(),
                reason: "the schemas know no such table".to_string(),
                fenced: false,
            })?;
            let table = self.lake.table(&spec).map_err(|error| table_error(name, &error))?;
            self.open.insert(name.to_string(), table);
        }
        Ok(self.open.get_mut(name).expect("it was opened above"))
    }
}

impl Tables for LakeTables {
    fn frontier(&mut self, table: &str, app_id: &str) -> Result<Option<Offset>, TableError> {
        self.table(table)?.frontier(app_id).map_err(|error| table_error(table, &error))
    }

    fn commit(&mut self, table: &str, rows: &[RecordBatch], app_id: &str, next: Offset) -> Result<(), TableError> {
        let frontiers = [(app_id.to_string(), next)];
        self.table(table)?.append(rows, &frontiers).map_err(|error| table_error(table, &error))?;
        Ok(())
    }
}

fn table_error(table: &str, error: &LakeError) -> TableError {
    let prefix = format!("table {table}: ");
    let text = error.to_string();
    TableError {
        table: table.to_string(),
        reason: text.strip_prefix(&prefix).unwrap_or(&text).to_string(),
        fenced: matches!(error, LakeError::Fenced { .. }),
    }
}

/// Bundles of an input folder, copied into the state folder as they come into force, so that a later start needs the
/// state alone.
pub struct FolderBundles {
    input: PathBuf,
    state: PathBuf,
}

impl FolderBundles {
    /// Bundles of this input folder and this state folder.
    pub fn new(input: &Path, state: &Path) -> Self {
        Self { input: input.join("bundles"), state: state.join("bundles") }
    }
}

impl BundleSource for FolderBundles {
    fn bundle(&self, hash: ContentHash) -> Result<Vec<u8>, String> {
        let name = format!("{}.json", hash.to_hex());
        let kept = self.state.join(&name);
        if let Ok(content) = fs::read(&kept)
            && ContentHash::of(&content) == hash
        {
            return Ok(content);
        }
        let path = self.input.join(&name);
        let content = fs::read(&path).map_err(|error| {
            format!(
                "neither {} nor {} can be read ({error}); put the published file there",
                path.display(),
                kept.display()
            )
        })?;
        if ContentHash::of(&content) == hash {
            fs::create_dir_all(&self.state)
                .and_then(|()| write_durably(&kept, &content))
                .map_err(|error| format!("it cannot be kept as {}: {error}", kept.display()))?;
        }
        Ok(content)
    }
}

/// Writes a file under a temporary name, syncs and renames it.
pub fn write_durably(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = File::create(&temporary)?;
    std::io::Write::write_all(&mut file, content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Reads the key file of a folder. Without one the published test keys alone are there, which open the readers' frames
/// of the vendors' manuals and no others. A key whose cryptoperiod is over is refused.
pub fn load_keys(folder: &Path) -> Result<KeyRing, Failure> {
    let path = folder.join("keys.json");
    let content = match fs::read(&path) {
        Ok(content) => Zeroizing::new(content),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(KeyRing::published()),
        Err(error) => return Err(Failure::usage(format!("cannot read {}: {error}", path.display()))),
    };
    let ring = KeyRing::from_json(&content).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let today = clock::today();
    let expired = ring.key_sets().iter().find(|key_set| key_set.not_after().is_some_and(|last| last < today));
    match expired {
        Some(key_set) => Err(Failure::usage(format!(
            "{}: the cryptoperiod of key set {:?} is over; replace the key",
            path.display(),
            key_set.id()
        ))),
        None => Ok(ring),
    }
}

/// Locks of a run, held until it is dropped or the process dies: one embedded run for each lake, one process for each
/// instance name.
pub struct Locks {
    /// Name under which this process holds its lock in the state folder.
    pub instance: String,
    _held: [File; 2],
}

impl Locks {
    /// Takes both locks or refuses.
    pub fn take(config: &Config) -> Result<Self, Failure> {
        let lake = lock(&config.lake.join("_run.lock"))?.ok_or_else(|| {
            Failure::refused(format!("another run writes into the lake {}", config.lake.display()))
                .with_help("wait until it has ended, or choose another lake with --lake")
        })?;
        let instances = config.state.join("instances");
        let take = |name: &str| lock(&instances.join(format!("{name}.lock")));
        if let Some(name) = &config.instance {
            if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
                return Err(Failure::usage(format!(
                    "instance name {name:?} has other signs than letters, digits, - and _"
                )));
            }
            let held = take(name)?.ok_or_else(|| {
                Failure::refused(format!("the instance {name} runs already with the state {}", config.state.display()))
                    .with_help("choose another name with --instance, or none")
            })?;
            return Ok(Self { instance: name.clone(), _held: [lake, held] });
        }
        for number in 1..=INSTANCES_MAX {
            if let Some(held) = take(&number.to_string())? {
                return Ok(Self { instance: number.to_string(), _held: [lake, held] });
            }
        }
        Err(Failure::refused(format!("{INSTANCES_MAX} processes use the state {}", config.state.display())))
    }
}

/// The file, locked; nothing where somebody else holds it.
fn lock(path: &Path) -> Result<Option<File>, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("cannot lock {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let file = File::options().create(true).append(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
