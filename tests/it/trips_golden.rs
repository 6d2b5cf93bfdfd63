//! The golden stops of the published detectors are what the libraries say today: made again, they are the same bytes.
//!
//! tests/python/trips_golden.py makes them, in an environment of its own that it downloads; the interpreter that
//! `TILL_TRIPS_PYTHON` names starts it (Python 3.11). Without that variable the test says so and passes: the golden
//! files themselves are read by the tests of `jobs/trips`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Ended, text};

/// Name of the variable with the interpreter.
const PYTHON: &str = "TILL_TRIPS_PYTHON";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/trips")
}

/// The files of a folder by name.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let file =
        |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap());
    fs::read_dir(folder).unwrap().map(|entry| file(entry.unwrap())).collect()
}

/// The first line of each file in which two folders differ.
fn differences(one: &Path, other: &Path) -> Vec<String> {
    let (one, other) = (files(one), files(other));
    let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
    names.sort();
    names.dedup();
    let difference = |name: &String| {
        let (Some(left), Some(right)) = (one.get(name), other.get(name)) else {
            return Some(format!("{name}: only in one folder"));
        };
        let lines = left.lines().count().max(right.lines().count());
        let line = (0..lines).find(|line| left.lines().nth(*line) != right.lines().nth(*line))?;
        Some(format!("{name}:{}: {:?} is now {:?}", line + 1, left.lines().nth(line), right.lines().nth(line)))
    };
    names.into_iter().filter_map(difference).collect()
}

#[test]
fn the_libraries_still_say_what_the_golden_files_say() {
    let Some(python) = std::env::var_os(PYTHON) else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: the golden stops are not made again, that needs {PYTHON}");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/trips_golden.py");
    let output = Command::new(python).arg("-B").arg(script).arg(folder.path()).output();
    Ended::from(output.expect("TILL_TRIPS_PYTHON names an interpreter that starts")).with_exit(0);
    assert_eq!(differences(&golden(), folder.path()), Vec::<String>::new());
}

#[test]
fn a_changed_and_a_missing_golden_file_are_found() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files(&golden()) {
        fs::write(folder.path().join(name), content).unwrap();
    }
    assert_eq!(differences(&golden(), folder.path()), Vec::<String>::new());
    let changed = folder.path().join("skmob.json");
    fs::write(&changed, fs::read_to_string(&changed).unwrap().replacen("52.6291", "52.6292", 1)).unwrap();
    fs::remove_file(folder.path().join("tracks.csv")).unwrap();
    let found = differences(&golden(), folder.path());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("skmob.json:4: "), "{found:?}");
    assert_eq!(found[1], "tracks.csv: only in one folder", "{}", text(folder.path()));
}
