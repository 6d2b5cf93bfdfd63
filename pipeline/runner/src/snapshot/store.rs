//! The folder that holds one partition's snapshots, each named after its S.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use frontier::SnapshotPermit;
use schemas::Offset;

use super::{Snapshot, SnapshotLabel, Snapshots, StoredSnapshot, Unfit, Writing};
use crate::RunnerError;

/// Snapshots kept: the newest, and one more should the newest be damaged.
const SNAPSHOTS_KEPT: usize = 2;
const SUFFIX: &str = "snapshot";
/// End of the names of files that are being written, after the offset and the instance.
const TEMPORARY: &str = "tmp";

/// The folder that holds one partition's snapshots.
#[derive(Debug, Clone)]
pub struct SnapshotStore {
    folder: PathBuf,
    instance: String,
}

impl SnapshotStore {
    /// Opens (creating) the folder and removes what interrupted writes of an earlier process of this instance left
    /// behind. An instance is one live process at a time, the only one of this name that shares the folder.
    ///
    /// What other instances are writing stays: one that does not know yet that it lost the partition may be writing still.
    pub fn open(folder: &Path, instance: &str) -> Result<Self, RunnerError> {
        let store = Self { folder: folder.to_path_buf(), instance: instance.to_string() };
        fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        for entry in fs::read_dir(folder).map_err(|error| failed(folder, error))? {
            let path = entry.map_err(|error| failed(folder, error))?.path();
            if store.is_own_temporary(&path) {
                remove(&path)?;
            }
        }
        Ok(store)
    }

    /// Where this instance writes the snapshot at an offset until it is whole.
    pub fn temporary_path(&self, at: Offset) -> PathBuf {
        self.path_of(at).with_extension(format!("{}.{TEMPORARY}", self.instance))
    }

    fn is_own_temporary(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let instance = name.split_once('.').and_then(|(_, rest)| rest.strip_suffix(TEMPORARY)?.strip_suffix('.'));
        instance == Some(self.instance.as_str())
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

    fn path_of(&self, at: Offset) -> PathBuf {
        self.folder.join(format!("{:020}.{SUFFIX}", at.0))
    }

    /// Writes by temporary name, fsync, rename, fsync of the folder.
    fn write_here(&self, snapshot: &Snapshot) -> Result<u64, RunnerError> {
        let path = self.path_of(snapshot.label.at);
        // Two processes may write the same snapshot, where one does not know yet that it lost the partition.
        let temporary = self.temporary_path(snapshot.label.at);
        let write = || -> std::io::Result<u64> {
            let mut file = File::create(&temporary)?;
            let bytes = snapshot.write_to(&mut file)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.folder)?.sync_all()?;
            Ok(bytes)
        };
        let bytes = write().map_err(|error| failed(&path, error))?;
        let paths = self.paths()?;
        for old in &paths[..paths.len().saturating_sub(SNAPSHOTS_KEPT)] {
            remove(old)?;
        }
        Ok(bytes)
    }

    /// What was read of a file, if it is sound and the file is named after the S that it says.
    fn checked<T>(
        &self,
        path: &Path,
        read: std::io::Result<Result<T, String>>,
        at: impl Fn(&T) -> Offset,
    ) -> Result<Result<T, Unfit>, RunnerError> {
        let damaged = |reason| Ok(Err(Unfit::Damaged { path: path.display().to_string(), reason }));
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Err(Unfit::Gone)),
            Err(error) => Err(failed(path, error)),
            Ok(Err(reason)) => damaged(reason),
            Ok(Ok(found)) if self.path_of(at(&found)) != path => {
                damaged(format!("it is that of offset {}, but its name says another", at(&found)))
            }
            Ok(Ok(found)) => Ok(Ok(found)),
        }
    }
}

impl Snapshots for SnapshotStore {
    fn labels(&self) -> Result<Vec<Result<SnapshotLabel, Unfit>>, RunnerError> {
        let label = |path: PathBuf| {
            let read = File::open(&path).and_then(|mut file| SnapshotLabel::read_from(&mut file));
            self.checked(&path, read, |label| label.at)
        };
        self.paths()?.into_iter().map(label).collect()
    }

    fn load(&self, at: Offset) -> Result<Result<StoredSnapshot, Unfit>, RunnerError> {
        let path = self.path_of(at);
        let read = fs::read(&path).map(StoredSnapshot::from_bytes);
        self.checked(&path, read, |snapshot| snapshot.label.at)
    }

    fn write(&self, permit: SnapshotPermit, snapshot: Snapshot) -> Result<Box<dyn Writing>, RunnerError> {
        assert_eq!(permit.at(), snapshot.label.at, "I-2: a permit is for one S");
        let (store, path) = (self.clone(), self.path_of(snapshot.label.at));
        let thread = thread::Builder::new().name("snapshot".to_string()).spawn(move || store.write_here(&snapshot));
        Ok(Box::new(OnThread(Some(thread.map_err(|error| failed(&path, error))?))))
    }
}

/// A snapshot that a thread of its own writes.
struct OnThread(Option<JoinHandle<Result<u64, RunnerError>>>);

impl Writing for OnThread {
    fn is_done(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn wait(mut self: Box<Self>) -> Result<u64, RunnerError> {
        let thread = self.0.take().expect("only the end of this takes the thread away");
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Drop for OnThread {
    /// What is not under its last name yet is removed when this instance opens the folder next.
    fn drop(&mut self) {
        if let Some(thread) = self.0.take()
            && let Ok(Err(error)) = thread.join()
        {
            tracing::warn!(%error, "a snapshot that nobody waited for was not written");
        }
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
