//! Making files survive a loss of power: Delta and the object store under it never sync.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::LakeError;

/// Folder of a table's log inside the table's folder.
const LOG_FOLDER: &str = "_delta_log";

/// Folder of a table's log.
pub(crate) fn log_folder(folder: &Path) -> PathBuf {
    folder.join(LOG_FOLDER)
}

/// File of one commit.
pub(crate) fn commit_file(folder: &Path, version: u64) -> PathBuf {
    log_folder(folder).join(format!("{version:020}.json"))
}

/// Names of the files of a version's checkpoint in the table's log.
pub(crate) fn checkpoint_files(table: &str, folder: &Path, version: u64) -> Result<Vec<String>, LakeError> {
    let start = format!("{version:020}.checkpoint");
    let mut names = file_names(table, &log_folder(folder))?;
    names.retain(|name| name.starts_with(&start) && name.ends_with(".parquet"));
    Ok(names)
}

/// Writes a file's content to the disk, or a folder's entries.
pub(crate) fn sync(table: &str, path: &Path) -> Result<(), LakeError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|cause| LakeError::io(table, "sync", path, cause))
}

/// Writes a commit and its folder entry to the disk.
pub(crate) fn sync_commit(table: &str, folder: &Path, version: u64) -> Result<(), LakeError> {
    sync(table, &commit_file(folder, version))?;
    sync(table, &log_folder(folder))
}

/// Names of the files of a folder, sorted. A missing folder has none.
pub(crate) fn file_names(table: &str, folder: &Path) -> Result<Vec<String>, LakeError> {
    let listed = match std::fs::read_dir(folder) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed,
    };
    let failed = |cause| LakeError::io(table, "list", folder, cause);
    let mut names = Vec::new();
    for entry in listed.map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// When a file was last written, milliseconds since the epoch; `None` if it is gone.
pub(crate) fn modified_ms(table: &str, path: &Path) -> Result<Option<i64>, LakeError> {
    let modified = match std::fs::metadata(path).and_then(|metadata| metadata.modified()) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        modified => modified.map_err(|cause| LakeError::io(table, "look at", path, cause))?,
    };
    let since_epoch = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Some(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)))
}

/// Deletes a file; whether it was still there.
pub(crate) fn delete(table: &str, path: &Path) -> Result<bool, LakeError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(LakeError::io(table, "delete", path, cause)),
    }
}
