//! What survives a crash (tables, snapshots, the log) and runs over it; the fold that they are compared with.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use schemas::ids::ContentHash;
use schemas::unit::{BundleSource, Control, ControlChange, Input, Output, Unit};
use schemas::{Offset, Partition};
use tempfile::TempDir;

use super::fakes::{
    ControlFields, Counter, FakeBundles, FakeLog, FakeTables, Fuse, Line, Record, TOPIC, batch_of, lines, reject,
};
use crate::{Chain, Report, RunnerError, Settings, SnapshotStore, Surroundings, run};

/// Where a run ends before its time. Each counts from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crash {
    Never,
    BeforeCommit(u32),
    AfterCommit(u32),
    /// While a unit's state is saved for a snapshot.
    Save(u32),
    /// Before a batch is read.
    Poll(u32),
    /// Told to stop after a batch: it commits, takes a snapshot and ends well.
    Stop(u32),
}

/// Every crash within the first so many commits, saves and batches.
pub(super) fn crashes(count: u32) -> Vec<Crash> {
    let kinds = [Crash::BeforeCommit, Crash::AfterCommit, Crash::Save, Crash::Poll, Crash::Stop];
    kinds.into_iter().flat_map(|kind| (1..=count).map(kind)).collect()
}

/// Name of the process, which is the same after each crash.
pub(super) const INSTANCE: &str = "one";
pub(super) const SETTINGS: Settings = Settings { batch_rows_max: 64, commit_rows: 3, snapshot_rows: 4 };

pub(super) struct World {
    folder: TempDir,
    pub(super) records: Arc<Vec<Record>>,
    pub(super) bundles: FakeBundles,
    pub(super) tables: FakeTables,
    pub(super) logic: u32,
    pub(super) settings: Settings,
}

impl World {
    pub(super) fn new(records: &[Record]) -> World {
        World {
            folder: TempDir::new().unwrap(),
            records: Arc::new(records.to_vec()),
            bundles: FakeBundles::of(&["2", "5"]),
            tables: FakeTables::default(),
            logic: 1,
            settings: SETTINGS,
        }
    }

    pub(super) fn snapshot_folder(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }

    /// Names of the files beside the snapshots, and of those.
    pub(super) fn files(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(super) fn snapshot_bytes(&self) -> BTreeMap<String, Vec<u8>> {
        let bytes = |name: String| (name.clone(), std::fs::read(self.folder.path().join(&name)).unwrap());
        self.files().into_iter().map(bytes).collect()
    }

    /// A process: it starts, runs in batches of these sizes over and over, and ends as it is told.
    pub(super) fn run(&mut self, crash: Crash, batch_sizes: &[usize]) -> Result<Report, RunnerError> {
        let fuse = |left: Option<u32>| Fuse::new(left.unwrap_or_default());
        self.tables.before = fuse(if let Crash::BeforeCommit(at) = crash { Some(at) } else { None });
        self.tables.after = fuse(if let Crash::AfterCommit(at) = crash { Some(at) } else { None });
        let save = fuse(if let Crash::Save(at) = crash { Some(at) } else { None });
        let poll = fuse(if let Crash::Poll(at) = crash { Some(at) } else { None });
        let store = SnapshotStore::open(self.folder.path(), INSTANCE)?;
        let units: Vec<Box<dyn Unit>> = vec![
            Box::new(Counter::new("first", self.logic, save.clone())),
            Box::new(Counter::new("second", self.logic, save)),
        ];
        let mut chain = Chain::new(TOPIC, Partition(3), units);
        let stop = AtomicBool::new(false);
        let batches = Cell::new(0_u32);
        let mut surroundings =
            Surroundings { tables: &mut self.tables, snapshots: &store, bundles: &self.bundles, stop: &stop };
        let records = self.records.clone();
        run(
            &mut chain,
            &mut surroundings,
            &self.settings,
            &mut |snapshot| {
                let position = snapshot.map_or(0, |(_, at)| at.0);
                Ok(Box::new(FakeLog { records: records.clone(), position, fuse: poll.clone() }))
            },
            &mut || batch_sizes[batches.replace(batches.get() + 1) as usize % batch_sizes.len()],
            &mut |_| {
                if crash == Crash::Stop(batches.get()) {
                    stop.store(true, Ordering::Relaxed);
                }
            },
        )
    }

    /// I-1: each table holds exactly the rows of the fold below its frontier.
    pub(super) fn check(&self) {
        let fold = fold(&self.records, &self.bundles, self.logic);
        for (table, rows) in &self.tables.rows {
            assert!(fold.contains_key(table) || rows.is_empty(), "{table} has no rows in the fold");
        }
        for (table, expected) in fold {
            let frontier = self.tables.frontiers.get(&table).copied().unwrap_or_default();
            let expected: Vec<Line> = expected.into_iter().filter(|(offset, _)| *offset < frontier.0).collect();
            let found = self.tables.rows.get(&table).cloned().unwrap_or_default();
            assert_eq!(found, expected, "{table} up to offset {frontier}");
        }
    }

    /// Every table has come to the end of the log, and holds the whole fold.
    pub(super) fn check_complete(&self) {
        let end = Offset(self.records.len() as i64);
        for table in ["dead_letters", "first_rows", "quiet", "second_rows"] {
            assert_eq!(self.tables.frontiers.get(table), Some(&end), "{table}");
        }
        self.check();
    }
}

/// The rows of every table, made record by record by the units alone.
pub(super) fn fold(records: &[Record], bundles: &FakeBundles, logic: u32) -> BTreeMap<String, Vec<Line>> {
    let mut units = ["first", "second"].map(|name| Counter::new(name, logic, Fuse::default()));
    let mut tables: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for (record, offset) in records.iter().zip(0..) {
        let batch = batch_of(std::slice::from_ref(record), offset);
        match record {
            Record::Reject => letter(&mut tables, offset, reject(offset).reason, &reject(offset).detail),
            Record::Value(_) => {
                let (topic, partition) = (TOPIC, Partition(3));
                let input = Input { topic, partition, offsets: vec![offset], rows: batch.rows };
                let mut outputs = Vec::new();
                units[0].process(&input, &mut outputs).unwrap();
                settle(&mut units, outputs, &mut tables);
            }
            Record::Control(fields) => match understood(fields, bundles) {
                Some((unit, change)) => {
                    let control = Control { offset: Offset(offset), received_at_us: offset * 1_000, change };
                    let mut outputs = Vec::new();
                    units[unit].control(&control, &mut outputs).unwrap();
                    settle(&mut units, outputs, &mut tables);
                }
                None => letter(
                    &mut tables,
                    offset,
                    "bad_control",
                    "the control record names no unit of this chain, or its type, id or hash is missing or malformed",
                ),
            },
        }
    }
    tables
}

fn letter(tables: &mut BTreeMap<String, Vec<Line>>, offset: i64, reason: &str, detail: &str) {
    tables.entry("dead_letters".to_string()).or_default().push((offset, format!("log|{reason}|{detail}||")));
}

/// Puts the first unit's rows into tables, then those that the second makes of what was passed on.
fn settle(units: &mut [Counter; 2], outputs: Vec<Output>, tables: &mut BTreeMap<String, Vec<Line>>) {
    let mut store = |output: &Output| {
        tables.entry(output.name.to_string()).or_default().extend(lines(&output.offsets, &output.rows));
    };
    let mut seconds = Vec::new();
    for output in &outputs {
        if output.name == "onward" {
            let (offsets, rows) = (output.offsets.clone(), output.rows.clone());
            let input = Input { topic: TOPIC, partition: Partition(3), offsets, rows };
            units[1].process(&input, &mut seconds).unwrap();
        }
    }
    for output in seconds.iter().chain(&outputs).filter(|output| output.name != "onward") {
        store(output);
    }
}

fn understood(fields: &ControlFields, bundles: &FakeBundles) -> Option<(usize, ControlChange)> {
    let [unit, kind, id, hash] = fields.each_ref().map(Option::as_deref);
    let unit = ["first", "second"].iter().position(|name| Some(*name) == unit)?;
    let change = match kind? {
        "bundle" => {
            let hash = ContentHash::from_hex(hash?)?;
            ControlChange::Bundle { hash, content: bundles.bundle(hash).unwrap() }
        }
        kind @ ("key_set" | "token_key" | "routing_key") => {
            ControlChange::Key { kind: kind.to_string(), id: id?.to_string(), check_value: hash?.to_string() }
        }
        _ => return None,
    };
    Some((unit, change))
}
