//! Whole towns, small ones: what is written agrees with the truth, with itself, and with every other run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use decode::keys::KeyRing;
use schemas::ids::ContentHash;
use schemas::reasons::Reason;
use schemas::topics;
use serde_json::Value;
use tempfile::TempDir;

use super::*;

mod content;
mod frauds;
mod replay;

/// A town in a temporary folder.
struct Written {
    folder: TempDir,
    summary: Summary,
}

impl Written {
    fn new(seed: u64, days: u32, merchants: u32) -> Self {
        let folder = TempDir::new().unwrap();
        let summary = write(folder.path(), seed, days, merchants).unwrap();
        Self { folder, summary }
    }

    fn input(&self) -> std::path::PathBuf {
        self.folder.path().join("input")
    }

    /// Every file below the folder with its bytes.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(self.folder.path(), "", &mut files);
        files
    }

    /// Every line of a file of the truth.
    fn truth(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("truth").join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Every line of the transactions topic by file and number, broken ones included.
    fn lines(&self) -> Vec<(String, u64, String)> {
        let mut lines = Vec::new();
        for (name, content) in self.files() {
            if let Some(file) = name.strip_prefix("input/").filter(|name| name.starts_with("transactions/")) {
                let text = String::from_utf8(content).unwrap();
                lines.extend(text.lines().zip(0..).map(|(line, row)| (file.to_string(), row, line.to_string())));
            }
        }
        lines
    }

    /// Rows of the transactions topic that are not broken as a whole.
    fn records(&self) -> Vec<Value> {
        let dead = self.dead_rows();
        let whole = self.lines().into_iter().filter(|(file, row, _)| !dead.contains(&(file.clone(), *row)));
        whole.map(|(_, _, line)| serde_json::from_str(&line).unwrap()).collect()
    }

    fn dead_rows(&self) -> BTreeSet<(String, u64)> {
        let broken = self.truth("broken.ndjson").into_iter().filter(|row| row["expected"] == "dead_letter");
        broken.map(|row| (text(&row["file"]), row["row"].as_u64().unwrap())).collect()
    }
}

fn write(folder: &Path, seed: u64, days: u32, merchants: u32) -> Result<Summary, SimulatorError> {
    simulate(&Plan { seed, days, merchants }, &folder.join("input"), &folder.join("truth"), &mut |_| {})
}

fn collect(folder: &Path, name: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{name}{}{}", if name.is_empty() { "" } else { "/" }, entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            collect(&entry.path(), &name, files);
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_string()
}

/// Fails when anything depends on a hash map's order, on a clock or on what another run left behind.
#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let (one, same, other) = (Written::new(1, 1, 5), Written::new(1, 1, 5), Written::new(2, 1, 5));
    let (one, same, other) = (one.files(), same.files(), other.files());
    assert!(one == same, "two runs differ");
    for name in ["input/transactions/2026-03-02.ndjson", "input/pings/2026-03-02.parquet", "truth/cards.ndjson"] {
        assert_ne!(one[name], other[name], "{name}");
    }
    assert!(one.keys().all(|name| !name.ends_with(writer::PARTIAL)));
}

/// Fails when a day's files depend on how many days were asked for, or days that lie there are written again otherwise.
#[test]
fn days_appended_are_the_days_of_one_long_run() {
    let (grown, whole) = (Written::new(3, 1, 5), Written::new(3, 3, 5));
    let first = grown.files();
    let summary = write(grown.folder.path(), 3, 3, 5).unwrap();
    assert_eq!((summary.days, summary.days_written), (3, 2));
    let grown = grown.files();
    for name in first.keys().filter(|name| name.contains("2026-03-02")) {
        assert!(first[name] == grown[name], "{name} was changed");
    }
    for name in ["truth/payments.ndjson", "truth/frauds.ndjson"] {
        assert!(grown[name].starts_with(&first[name]), "{name} does not start as before");
    }
    assert!(grown == whole.files(), "appended days differ");
}

#[test]
fn a_run_that_has_nothing_to_do_changes_nothing() {
    let town = Written::new(3, 2, 1);
    let files = town.files();
    let summary = write(town.folder.path(), 3, 1, 1).unwrap();
    assert_eq!((summary.days, summary.days_written), (2, 0));
    assert!(files == town.files());
    // Without its truth the town is played again; the input stays as it is, even where it was changed.
    let first_day = town.input().join("transactions/2026-03-02.ndjson");
    fs::write(&first_day, "changed").unwrap();
    fs::remove_file(town.folder.path().join("truth/cards.ndjson")).unwrap();
    assert_eq!(write(town.folder.path(), 3, 1, 1).unwrap().days_written, 0);
    assert_eq!(fs::read(&first_day).unwrap(), b"changed");
    fs::write(&first_day, &files["input/transactions/2026-03-02.ndjson"]).unwrap();
    assert!(files == town.files());
}

#[test]
fn another_town_and_foreign_files_are_refused() {
    let town = Written::new(3, 1, 1);
    let files = town.files();
    for (seed, merchants) in [(4, 1), (3, 2)] {
        let error = write(town.folder.path(), seed, 2, merchants).unwrap_err();
        assert!(matches!(error, SimulatorError::OtherPlan { .. }), "{error}");
    }
    fs::remove_file(town.input().join("simulation.json")).unwrap();
    let error = write(town.folder.path(), 3, 1, 1).unwrap_err();
    assert!(error.to_string().contains("files that no simulation wrote"), "{error}");
    for (days, merchants) in [(0, 1), (1, 0), (DAYS_MAX + 1, 1), (1, MERCHANTS_MAX + 1)] {
        let folder = TempDir::new().unwrap();
        assert!(matches!(write(folder.path(), 1, days, merchants), Err(SimulatorError::Plan { .. })));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    assert_eq!(files.len(), town.files().len() + 1);
}

/// Fails when events are kept after they happened: then four times the days keep four times as much.
#[test]
fn what_is_kept_does_not_grow_with_days() {
    let (short, long) = (Written::new(4, 2, 2).summary, Written::new(4, 8, 2).summary);
    assert!(long.swipes > 3 * short.swipes);
    assert!(long.in_flight_max < 2 * short.in_flight_max, "{} {}", long.in_flight_max, short.in_flight_max);
}

#[test]
fn progress_reaches_its_end() {
    let folder = TempDir::new().unwrap();
    let mut seen = Vec::new();
    let (input, truth) = (folder.path().join("input"), folder.path().join("truth"));
    let summary =
        simulate(&Plan { seed: 1, days: 2, merchants: 1 }, &input, &truth, &mut |step| seen.push(step)).unwrap();
    assert!(seen.is_sorted_by_key(|step| (step.hours_done, step.swipes)));
    let last = seen.last().unwrap();
    assert_eq!((last.hours_done, last.hours, last.swipes), (48, 48, summary.swipes));
}
