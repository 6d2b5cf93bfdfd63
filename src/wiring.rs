//! Where the crates meet: the lake's tables as the runner sees them, bundles from folders, keys from a file, and the
//! locks that keep two runs apart.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use decode::keys::KeyRing;
use lake::{Lake, LakeError};
use log::group::TopicPartition;
use log::wire::{SchemaChange, SchemaSource};
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

/// The first Ctrl-C or SIGTERM stops after the batch at hand, the second at once: nothing is lost either way.
pub fn stop_on_interrupt(runtime: &Runtime, stop: Arc<AtomicBool>) {
    runtime.spawn(async move {
        if interrupted().await.is_ok() {
            stop.store(true, Ordering::Relaxed);
            eprintln!("stopping after the batch at hand; Ctrl-C again stops at once");
            if interrupted().await.is_ok() {
                std::process::exit(130);
            }
        }
    });
}

/// Waits for Ctrl-C or, where there are such signals, for SIGTERM.
async fn interrupted() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminated.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// The configuration's lake.
pub fn open_lake(config: &Config, runtime: &Runtime) -> Result<Lake, Failure> {
    Ok(Lake::open(&config.lake, runtime.handle().clone())?)
}

/// The configuration's lake, where there is one: opening another would make its folder.
pub fn existing_lake(config: &Config, runtime: &Runtime) -> Result<Option<Lake>, Failure> {
    config.lake.is_dir().then(|| open_lake(config, runtime)).transpose()
}

/// Runs the work of each item on a thread of its own. Where one fails, the others are told to stop.
pub fn on_threads<I: Copy + Send, T: Send>(
    items: &[I],
    stop: &AtomicBool,
    work: impl Fn(I) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    let results: Vec<Result<T, Failure>> = std::thread::scope(|scope| {
        let start = |item: I| {
            let work = &work;
            scope.spawn(move || {
                let result = work(item);
                // The others stop at their next batch, committed and ready to go on.
                stop.fetch_or(result.is_err(), Ordering::Relaxed);
                result
            })
        };
        let threads: Vec<_> = items.iter().map(|item| start(*item)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    results.into_iter().collect()
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

    fn commit(&mut self, table: &str, rows: &[RecordBatch], frontiers: &[(String, Offset)]) -> Result<(), TableError> {
        self.table(table)?.append(rows, frontiers).map_err(|error| table_error(table, &error))?;
        Ok(())
    }

    fn refresh(&mut self) {
        self.open.clear();
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

/// Bundles of the state folder, where `till control publish` puts them.
pub struct StateBundles {
    folder: PathBuf,
}

impl StateBundles {
    /// Bundles of this state folder.
    pub fn new(state: &Path) -> Self {
        Self { folder: state.join("bundles") }
    }
}

impl BundleSource for StateBundles {
    fn bundle(&self, hash: ContentHash) -> Result<Vec<u8>, String> {
        let path = self.folder.join(format!("{}.json", hash.to_hex()));
        fs::read(&path)
            .map_err(|error| format!("{} cannot be read ({error}); put the published file there", path.display()))
    }
}

/// Writer schemas of the state folder, and for each partition that a unit reads the notes of what came into force where:
/// one line a change, `offset id hash`.
pub struct StateSchemas {
    bundles: StateBundles,
    notes: PathBuf,
}

impl StateSchemas {
    /// Those of this state folder, for one unit.
    pub fn new(state: &Path, unit: &str) -> Self {
        Self { bundles: StateBundles::new(state), notes: state.join("schemas").join(unit) }
    }

    fn path(&self, partition: TopicPartition) -> PathBuf {
        self.notes.join(format!("{}-{}.txt", partition.topic, partition.partition))
    }

    fn read(&self, partition: TopicPartition) -> Result<Vec<SchemaChange>, String> {
        let path = self.path(partition);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let parse = |line: &str| {
            let mut words = line.split(' ');
            let offset = Offset(words.next()?.parse().ok()?);
            let (id, hash) = (words.next()?.parse().ok()?, ContentHash::from_hex(words.next()?)?);
            Some(SchemaChange { offset, id, hash })
        };
        let damaged = |line: &str| format!("{}: {line:?} is no note; restore the file", path.display());
        text.lines().map(|line| parse(line).ok_or_else(|| damaged(line))).collect()
    }
}

impl SchemaSource for StateSchemas {
    fn schema(&self, hash: ContentHash) -> Result<String, String> {
        let content = self.bundles.bundle(hash)?;
        String::from_utf8(content).map_err(|_| format!("the schema {} is no text", hash.to_hex()))
    }

    fn note(&self, partition: TopicPartition, change: SchemaChange) -> Result<(), String> {
        let mut changes = self.read(partition)?;
        if changes.contains(&change) {
            return Ok(());
        }
        changes.push(change);
        changes.sort_by_key(|change| change.offset);
        let line = |SchemaChange { offset, id, hash }: &SchemaChange| format!("{offset} {id} {}\n", hash.to_hex());
        let text: String = changes.iter().map(line).collect();
        let path = self.path(partition);
        fs::create_dir_all(&self.notes)
            .and_then(|()| write_durably(&path, text.as_bytes()))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    fn noted(&self, partition: TopicPartition, below: Offset) -> Result<Vec<SchemaChange>, String> {
        Ok(self.read(partition)?.into_iter().filter(|change| change.offset < below).collect())
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
    // A bare name lies in the folder at hand.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
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

/// Whether a run is alone on its lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// An embedded run: its logs have frontiers of their own, and nobody else may write.
    Alone,
    /// Processes that share the partitions of a broker's topics, and maintenance beside them.
    Shared,
}

/// Locks of a run, held until it is dropped or the process dies: one embedded run for each lake or any number of
/// processes on a broker's topics, one process for each instance name.
pub struct Locks {
    /// Name under which this process holds its lock in the state folder.
    pub instance: String,
    _held: [File; 2],
}

impl Locks {
    /// Takes both locks or refuses.
    pub fn take(config: &Config, company: Company) -> Result<Self, Failure> {
        let lake = lock(&config.lake.join("_run.lock"), company)?.ok_or_else(|| {
            Failure::refused(format!("another run writes into the lake {}", config.lake.display()))
                .with_help("wait until it has ended, or choose another lake with --lake")
        })?;
        let instances = config.state.join("instances");
        let take = |name: &str| lock(&instances.join(format!("{name}.lock")), Company::Alone);
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

/// The lock of maintenance, of which there is one at a time on a lake.
pub fn maintenance_lock(config: &Config) -> Result<File, Failure> {
    lock(&config.lake.join("_maintenance.lock"), Company::Alone)?.ok_or_else(|| {
        Failure::refused(format!("another process maintains the lake {}", config.lake.display()))
            .with_help("wait until it has ended")
    })
}

/// The lock of a job, of which there is one at a time on a lake. Jobs that cannot see it, on another machine, are kept
/// apart by their commits.
pub fn job_lock(config: &Config, table: &str) -> Result<File, Failure> {
    lock(&config.lake.join(format!("_job_{table}.lock")), Company::Alone)?.ok_or_else(|| {
        Failure::refused(format!("another job writes {table} of the lake {}", config.lake.display()))
            .with_help("wait until it has ended")
    })
}

/// The file, locked; nothing where somebody else holds it.
fn lock(path: &Path, company: Company) -> Result<Option<File>, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("cannot lock {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let file = File::options().create(true).append(true).open(path).map_err(failed)?;
    let locked = match company {
        Company::Alone => file.try_lock(),
        Company::Shared => file.try_lock_shared(),
    };
    match locked {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
