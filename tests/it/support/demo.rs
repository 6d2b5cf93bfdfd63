//! Demos that are made once for all tests that only read them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{Ended, all_rows, copy_folder, text, till};

/// Seed of the shared demos.
pub const SEED: &str = "7";
/// Start of the names of their folders, followed by the id of the process whose they are.
const FOLDER: &str = "it-demo-";

/// A finished demo.
pub struct Demo {
    pub dir: PathBuf,
    pub ended: Ended,
    /// What its tables hold.
    pub rows: Vec<String>,
}

impl Demo {
    /// Runs a demo into this folder.
    fn make(dir: PathBuf, days: &str) -> Self {
        let plan = ["--seed", SEED, "--merchants", "5", "--days", days];
        let ended = till(&[&["demo", "--dir", text(&dir)], &plan[..]].concat()).with_exit(0);
        let rows = all_rows(&dir.join("lake"));
        Self { dir, ended, rows }
    }

    pub fn input(&self) -> PathBuf {
        self.dir.join("input")
    }

    pub fn lake(&self) -> PathBuf {
        self.dir.join("lake")
    }

    pub fn truth(&self, file: &str) -> Vec<serde_json::Value> {
        super::ndjson(&self.dir.join("truth").join(file))
    }

    /// A copy for a test that changes it.
    pub fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&self.dir, copy.path());
        copy
    }
}

/// A demo of one day.
pub fn one_day() -> &'static Demo {
    static DEMO: OnceLock<Demo> = OnceLock::new();
    DEMO.get_or_init(|| Demo::make(shared_folder().join("one"), "1"))
}

/// A demo of the same town and two days, made in one run.
pub fn two_days() -> &'static Demo {
    static DEMO: OnceLock<Demo> = OnceLock::new();
    DEMO.get_or_init(|| Demo::make(shared_folder().join("two"), "2"))
}

/// The folder of this process. Nothing runs after the last test, so those of processes that have ended go first.
fn shared_folder() -> PathBuf {
    static FOLDER_OF_PROCESS: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        for entry in fs::read_dir(parent).unwrap() {
            let path = entry.unwrap().path();
            let owner = path.file_name().unwrap().to_str().and_then(|name| name.strip_prefix(FOLDER));
            if owner.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
                // Another process may do the same at the same time.
                let _ = fs::remove_dir_all(&path);
            }
        }
        let folder = parent.join(format!("{FOLDER}{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    };
    FOLDER_OF_PROCESS.get_or_init(make).clone()
}
