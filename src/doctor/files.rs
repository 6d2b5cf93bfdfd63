//! Checks of folders, disk and tables.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use lake::Lake;

use super::Finding;

/// Free space below which a disk is nearly full: a share, and bytes that a snapshot, a checkpoint and a compaction can
/// need at once.
const FREE_PERCENT_MIN: u64 = 10;
const FREE_BYTES_MIN: u64 = 5 << 30;

/// The lake's folder takes files.
pub fn lake(folder: &Path) -> Vec<Finding> {
    const CHECK: &str = "lake";
    if !folder.is_dir() {
        let fix = "name the lake with --lake; before the first run, make the folder";
        return vec![Finding::error(CHECK, folder.display(), "there is no such folder", fix)];
    }
    let probe = Probe::new(folder);
    match probe.write() {
        Ok(_) => Vec::new(),
        Err(error) => vec![unwritable(CHECK, folder, &error)],
    }
}

/// The state folder takes files, and its file system knows locks: without them two processes of one name would both
/// run.
pub fn state(folder: &Path) -> Vec<Finding> {
    const CHECK: &str = "state";
    if !folder.is_dir() {
        let fix = "name the folder with --state; before the first run, make it";
        return vec![Finding::error(CHECK, folder.display(), "there is no such folder", fix)];
    }
    let probe = Probe::new(folder);
    match probe.write().and_then(|first| Ok((first, probe.open()?))) {
        Err(error) => vec![unwritable(CHECK, folder, &error)],
        Ok((first, second)) => match (first.try_lock(), second.try_lock()) {
            (Ok(()), Err(TryLockError::WouldBlock)) => Vec::new(),
            _ => vec![Finding::error(
                CHECK,
                folder.display(),
                "locks do not hold on its file system, so nothing keeps two processes of one name apart",
                "put the state folder on a local disk, or mount the network's file system with locks",
            )],
        },
    }
}

fn unwritable(check: &'static str, folder: &Path, error: &std::io::Error) -> Finding {
    let fix = "give the folder to the user who runs the units, and see that its file system is not read-only or full";
    Finding::error(check, folder.display(), format!("no file can be written there: {error}"), fix)
}

/// A file of this check alone, gone when it is dropped.
struct Probe(std::path::PathBuf);

impl Probe {
    fn new(folder: &Path) -> Self {
        Self(folder.join(format!("_doctor.{}.tmp", std::process::id())))
    }

    fn write(&self) -> std::io::Result<File> {
        let mut file = self.open()?;
        std::io::Write::write_all(&mut file, b"till doctor")?;
        file.sync_all()?;
        Ok(file)
    }

    fn open(&self) -> std::io::Result<File> {
        File::options().create(true).append(true).open(&self.0)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // Where it could not be written there is nothing to delete.
        let _ = fs::remove_file(&self.0);
    }
}

/// There is room on the disks of these folders.
pub fn disk(folders: &[&Path]) -> Vec<Finding> {
    let existing = folders.iter().filter(|folder| folder.is_dir());
    existing.filter_map(|folder| space(folder)).collect()
}

fn space(folder: &Path) -> Option<Finding> {
    const CHECK: &str = "disk";
    let space = match rustix::fs::statvfs(folder) {
        Ok(space) => space,
        Err(error) => {
            let problem = format!("its free space cannot be asked for: {error}");
            return Some(Finding::warning(CHECK, folder.display(), problem, "look at it with df"));
        }
    };
    let (free, total) = (space.f_bavail.saturating_mul(space.f_frsize), space.f_blocks.saturating_mul(space.f_frsize));
    is_short(free, total).then(|| {
        let problem = format!("{} MiB of {} MiB are free", free >> 20, total >> 20);
        let fix = "make room or move the folder; `till maintain` deletes what no kept version of a table needs";
        Finding::warning(CHECK, folder.display(), problem, fix)
    })
}

fn is_short(free: u64, total: u64) -> bool {
    free < FREE_BYTES_MIN || free < total / 100 * FREE_PERCENT_MIN
}

/// Each table opens, fits this program, and has the files that its newest version names.
pub fn tables(lake: &Lake) -> Vec<Finding> {
    const CHECK: &str = "tables";
    let mut findings = Vec::new();
    for spec in schemas::tables::all() {
        match lake.inspect(&spec, &[]) {
            Ok(None) => {}
            Ok(Some(found)) => findings.extend(found.damaged.into_iter().map(|problem| {
                let fix = "restore the file from a backup, under the same name; the rows of it cannot be made again \
                           where the log no longer has them";
                Finding::error(CHECK, spec.name, problem, fix)
            })),
            Err(error) => {
                let prefix = format!("table {}: ", spec.name);
                let text = error.to_string();
                let text = text.strip_prefix(&prefix).unwrap_or(&text);
                let (problem, fix) = text.split_once("; ").unwrap_or((text, "restore the table's folder"));
                findings.push(Finding::error(CHECK, spec.name, problem, fix));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_is_found_and_a_sound_one_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!((lake(folder.path()), state(folder.path())), (vec![], vec![]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "the probes are gone");
        let missing = folder.path().join("missing");
        for findings in [lake(&missing), state(&missing)] {
            assert_eq!(findings[0].problem, "there is no such folder");
        }
        assert!(!missing.exists());
    }

    /// A folder that takes no files: root may write anywhere, so a file stands where the folder of the probe would be.
    #[test]
    fn a_folder_that_takes_no_files_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let probe = Probe::new(folder.path());
        fs::create_dir(&probe.0).unwrap();
        for findings in [lake(folder.path()), state(folder.path())] {
            assert!(findings[0].problem.starts_with("no file can be written there"), "{findings:?}");
        }
    }

    #[test]
    fn space_is_short_below_a_tenth_or_five_gibibytes() {
        const GIB: u64 = 1 << 30;
        assert!(!is_short(60 * GIB, 500 * GIB) && !is_short(6 * GIB, 20 * GIB));
        assert!(is_short(40 * GIB, 500 * GIB) && is_short(4 * GIB, 20 * GIB));
        let folder = tempfile::tempdir().unwrap();
        let asked = rustix::fs::statvfs(folder.path()).unwrap();
        assert!(asked.f_frsize > 0 && asked.f_blocks >= asked.f_bavail);
    }
}
