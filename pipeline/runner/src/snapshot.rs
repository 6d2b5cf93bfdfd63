//! Snapshots: the state of a chain after everything below S, in one file, byte-equal for equal S.
//!
//! Layout: 8 bytes magic, 4 bytes format version (little endian), the body (postcard), 32 bytes SHA-256 of all before.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use frontier::{SnapshotHead, SnapshotPermit};
use log::LogIdentity;
use schemas::Offset;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::RunnerError;

const MAGIC: &[u8; 8] = b"TILLSNAP";
/// Raised when the layout changes; a reader knows every version up to its own. Format 1 has no counts of outputs.
const FORMAT_VERSION: u32 = 2;
/// Snapshots kept: the newest, and one more should the newest be damaged.
const SNAPSHOTS_KEPT: usize = 2;
const SUFFIX: &str = "snapshot";

/// What a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// S: the state is that after everything below.
    pub at: Offset,
    /// Outputs that had reached S when this was written.
    pub outputs: Vec<String>,
    /// Number of partitions of the input.
    pub partitions: u32,
    /// Logic version of each unit.
    pub logic: BTreeMap<String, u32>,
    /// What had been read of each file.
    pub identity: LogIdentity,
    /// Saved bytes of each unit, in chain order.
    pub states: Vec<(String, Vec<u8>)>,
    /// Number of partitions of each topic that the unit writes to; none for tables.
    pub output_partitions: BTreeMap<String, u32>,
}

/// The body in format 1.
#[derive(Deserialize)]
struct SnapshotV1 {
    at: Offset,
    outputs: Vec<String>,
    partitions: u32,
    logic: BTreeMap<String, u32>,
    identity: LogIdentity,
    states: Vec<(String, Vec<u8>)>,
}

impl From<SnapshotV1> for Snapshot {
    fn from(old: SnapshotV1) -> Self {
        let SnapshotV1 { at, outputs, partitions, logic, identity, states } = old;
        Self { at, outputs, partitions, logic, identity, states, output_partitions: BTreeMap::new() }
    }
}

impl Snapshot {
    /// The snapshot as it is stored; equal snapshots give equal bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::from(*MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        let mut bytes = postcard::to_extend(self, bytes).map_err(|error| error.to_string())?;
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        Ok(bytes)
    }

    /// The inverse of [`Snapshot::to_bytes`], for every format up to this program's; the error says what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let body_end = bytes.len().checked_sub(32).ok_or("shorter than its checksum")?;
        let (content, digest) = bytes.split_at(body_end);
        if Sha256::digest(content).as_slice() != digest {
            return Err("its checksum does not fit its content".to_string());
        }
        let body = content.strip_prefix(MAGIC).ok_or("it is not a snapshot")?;
        let (version, body) = body.split_first_chunk::<4>().ok_or("it is not a snapshot")?;
        match u32::from_le_bytes(*version) {
            1 => postcard::from_bytes(body).map(SnapshotV1::into).map_err(|error| error.to_string()),
            FORMAT_VERSION => postcard::from_bytes(body).map_err(|error| error.to_string()),
            other => Err(format!("it has format {other}, this program reads up to {FORMAT_VERSION}")),
        }
    }

    /// What the frontier rules need to know of it.
    pub fn head(&self) -> SnapshotHead {
        SnapshotHead {
            at: self.at,
            outputs: self.outputs.iter().cloned().collect(),
            partitions: self.partitions,
            output_partitions: self.output_partitions.clone(),
            logic: self.logic.clone(),
        }
    }
}

/// Keeps one partition's snapshots.
pub trait Snapshots {
    /// Every readable snapshot, oldest first. A damaged one is passed over with a warning where an older one is left,
    /// and is an error where it was the only one.
    fn load_all(&self) -> Result<Vec<Snapshot>, RunnerError>;

    /// Writes a snapshot durably, as a whole or not at all, and removes old ones; returns its size in bytes. The permit
    /// proves that every output has reached S (I-2).
    fn write(&self, permit: SnapshotPermit, snapshot: &Snapshot) -> Result<u64, RunnerError>;
}

/// The folder that holds one partition's snapshots.
#[derive(Debug, Clone)]
pub struct SnapshotStore {
    folder: PathBuf,
}

impl SnapshotStore {
    /// Opens (creating) the folder and removes what an interrupted write left behind.
    pub fn open(folder: &Path) -> Result<Self, RunnerError> {
        let store = Self { folder: folder.to_path_buf() };
        fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        for entry in fs::read_dir(folder).map_err(|error| failed(folder, error))? {
            let path = entry.map_err(|error| failed(folder, error))?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                remove(&path)?;
            }
        }
        Ok(store)
    }

    fn paths(&self) -> Result<Vec<PathBuf>, RunnerError> {
        let entries = fs::read_dir(&self.folder).map_err(|error| failed(&self.folder, error))?;
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| failed(&self.folder, error))?.path();
            if path.extension().is_some_and(|extension| extension == SUFFIX) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }
}

impl Snapshots for SnapshotStore {
    fn load_all(&self) -> Result<Vec<Snapshot>, RunnerError> {
        let paths = self.paths()?;
        let mut snapshots = Vec::new();
        let mut damaged = None;
        for path in &paths {
            let bytes = match fs::read(path) {
                Ok(bytes) => bytes,
                // Another process has written newer ones meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(path, error)),
            };
            match Snapshot::from_bytes(&bytes) {
                Ok(snapshot) => snapshots.push(snapshot),
                Err(reason) => {
                    tracing::warn!(path = %path.display(), reason, "snapshot passed over");
                    damaged = Some(RunnerError::Snapshot { path: path.display().to_string(), reason });
                }
            }
        }
        match damaged {
            Some(error) if snapshots.is_empty() => Err(error),
            _ => Ok(snapshots),
        }
    }

    /// By temporary name, fsync, rename, fsync of the folder.
    fn write(&self, permit: SnapshotPermit, snapshot: &Snapshot) -> Result<u64, RunnerError> {
        assert_eq!(permit.at(), snapshot.at, "I-2: a permit is for one S");
        let path = self.folder.join(format!("{:020}.{SUFFIX}", snapshot.at.0));
        let bytes =
            snapshot.to_bytes().map_err(|reason| RunnerError::Snapshot { path: path.display().to_string(), reason })?;
        // Two processes may write the same snapshot, where one does not know yet that it lost the partition.
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|error| failed(&path, error))?;
        let paths = self.paths()?;
        for old in &paths[..paths.len().saturating_sub(SNAPSHOTS_KEPT)] {
            remove(old)?;
        }
        Ok(bytes.len() as u64)
    }
}

/// Removes a file that another process may have removed already.
fn remove(path: &Path) -> Result<(), RunnerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path, error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path, error: std::io::Error) -> RunnerError {
    RunnerError::Snapshot { path: path.display().to_string(), reason: error.to_string() }
}
