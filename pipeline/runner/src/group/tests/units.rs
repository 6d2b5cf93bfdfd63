//! A unit whose every row depends on every record before, the records that it reads, and what of the world survives a
//! process: snapshots and tables in memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use frontier::SnapshotPermit;
use log::group::TopicPartition;
use schemas::ids::ContentHash;
use schemas::tables::source_columns;
use schemas::topics::{self, kind, timestamp};
use schemas::unit::{BundleSource, Control, ControlChange, Destination, Input, Output, OutputSpec, Unit, UnitError};
use schemas::{Offset, Partition};

use crate::{RunnerError, Snapshot, SnapshotLabel, Snapshots, StoredSnapshot, TableError, Tables, Unfit, Writing};

/// Topic that the unit reads.
pub(super) const INPUT: &str = "payments";

pub(super) fn place(topic: &'static str, partition: i32) -> TopicPartition {
    TopicPartition { topic, partition: Partition(partition) }
}

pub(super) fn times(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

pub(super) fn input_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        Field::new("kind", DataType::Utf8, false),
        text("payment_id"),
        Field::new("value", DataType::Int64, false),
        Field::new("event_time", timestamp(), false),
        text("control_unit"),
        text("control_type"),
        text("control_id"),
        text("control_hash"),
    ]))
}

/// A record of the input.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) kind: &'static str,
    pub(super) payment_id: Option<String>,
    pub(super) value: i64,
    /// Unit, type, id, hash.
    pub(super) control: [Option<&'static str>; 4],
}

pub(super) fn value(value: i64) -> Record {
    let payment_id = Some(format!("k{}", value.rem_euclid(7)));
    Record { kind: kind::SWIPE, payment_id, value, control: [None; 4] }
}

/// A record with the payment id of a route.
pub(super) fn routed(route: u16) -> Record {
    Record { payment_id: Some(format!("{route:04x}{}", "a".repeat(24))), ..value(i64::from(route)) }
}

pub(super) fn control(unit: &'static str, change: &'static str) -> Record {
    let control = [Some(unit), Some(change), Some("v1"), Some("0011")];
    Record { kind: kind::CONTROL, payment_id: None, value: 0, control }
}

pub(super) fn rows(records: &[Record]) -> RecordBatch {
    let text = |index: usize| -> ArrayRef {
        Arc::new(records.iter().map(|record| record.control[index]).collect::<StringArray>())
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(records.iter().map(|record| record.kind))),
        Arc::new(records.iter().map(|record| record.payment_id.clone()).collect::<StringArray>()),
        Arc::new(Int64Array::from_iter_values(records.iter().map(|record| record.value))),
        times(records.iter().map(|_| Some(1))),
        text(0),
        text(1),
        text(2),
        text(3),
    ];
    RecordBatch::try_new(input_schema(), columns).unwrap()
}

/// Every value of every row as text.
pub(super) fn lines(rows: &RecordBatch) -> Vec<String> {
    let line = |row: usize| {
        let values = rows.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
        values.collect::<Vec<_>>().join("|")
    };
    (0..rows.num_rows()).map(line).collect()
}

/// State: one number into which each record is folded. It writes labels and dead letters.
pub(super) struct Teller {
    state: i64,
    pub(super) version: u32,
}

impl Teller {
    pub(super) fn make() -> Box<dyn Unit> {
        Box::new(Teller { state: 7, version: 1 })
    }

    pub(super) fn of_version(version: u32) -> Box<dyn Unit> {
        Box::new(Teller { state: 7, version })
    }
}

fn labels(rows: Vec<(i64, String, String)>) -> Output {
    let offsets: Vec<i64> = rows.iter().map(|row| row.0).collect();
    let time = || times(rows.iter().map(|row| Some(row.0)));
    let text = |values: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let columns = vec![
        text(rows.iter().map(|row| row.1.as_str()).collect()),
        text(rows.iter().map(|row| row.2.as_str()).collect()),
        Arc::new(StringArray::new_null(rows.len())),
        time(),
        time(),
        time(),
    ];
    Output { name: "labels", offsets, rows: RecordBatch::try_new(topics::labels(), columns).unwrap() }
}

pub(super) fn letters(unit: &str, offsets: &[i64]) -> Output {
    let text = |value: &str| Arc::new(StringArray::from_iter_values(offsets.iter().map(|_| value)));
    let none = times(offsets.iter().map(|_| None));
    let columns: Vec<ArrayRef> = vec![text(unit), text("odd"), text("state"), none.clone(), none];
    let rows = RecordBatch::try_new(topics::dead_letters(), columns).unwrap();
    Output { name: "dead_letters", offsets: offsets.to_vec(), rows }
}

impl Unit for Teller {
    fn name(&self) -> &'static str {
        "authorize"
    }

    fn logic_version(&self) -> u32 {
        self.version
    }

    fn outputs(&self) -> Vec<OutputSpec> {
        let spec = |name, schema| OutputSpec { name, schema, destination: Destination::Table };
        vec![spec("labels", topics::labels()), spec("dead_letters", topics::dead_letters())]
    }

    fn process(&mut self, input: &Input, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        let values = input.rows.column_by_name("value").unwrap().as_primitive::<Int64Type>();
        let ids = input.rows.column_by_name("payment_id").unwrap().as_string::<i32>();
        let (mut rows, mut odd) = (Vec::new(), Vec::new());
        for (row, offset) in input.offsets.iter().enumerate() {
            self.state = (self.state * 31 + values.value(row) * 7 + 1).rem_euclid(1_000_003);
            let id = if ids.is_valid(row) { ids.value(row) } else { "none" };
            let label = |copy| format!("p{}@{offset}:{}+{copy}", input.partition, self.state);
            rows.extend((0..self.state % 3).map(|copy| (*offset, id.to_string(), label(copy))));
            odd.extend((self.state % 5 == 0).then_some(*offset));
        }
        outputs.push(letters("authorize", &odd));
        outputs.push(labels(rows));
        Ok(())
    }

    fn control(&mut self, control: &Control, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        let ControlChange::Key { kind, .. } = &control.change else { panic!("no bundles here") };
        self.state += kind.len() as i64;
        outputs.push(labels(vec![(control.offset.0, "control".to_string(), format!("{kind} {}", self.state))]));
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>, UnitError> {
        Ok(self.state.to_le_bytes().to_vec())
    }

    fn restore(&mut self, state: &[u8], _bundles: &dyn BundleSource) -> Result<(), UnitError> {
        self.state = i64::from_le_bytes(state.try_into().unwrap());
        Ok(())
    }
}

pub(super) struct NoBundles;

impl BundleSource for NoBundles {
    fn bundle(&self, _hash: ContentHash) -> Result<Vec<u8>, String> {
        Err("there are none".to_string())
    }
}

/// A moment outside the log at which a process can die or be paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    BeforeRename,
    AfterRename,
    AfterUpload,
    AfterTableCommit,
}

/// Sees those moments; an error is why the process dies.
pub(super) type OutsideHook = Rc<dyn Fn(Outside) -> Result<(), String>>;

/// Snapshots of all partitions as bytes, by S.
pub(super) type Disk = Rc<RefCell<BTreeMap<i32, BTreeMap<i64, Vec<u8>>>>>;

/// Whether who looks at a snapshot that is being written finds that it is there.
pub(super) type IsDone = Rc<dyn Fn() -> bool>;

/// One partition's snapshots in memory.
#[derive(Clone)]
pub(super) struct MemorySnapshots {
    pub(super) disk: Disk,
    pub(super) partition: Partition,
    pub(super) hook: OutsideHook,
    pub(super) is_done: IsDone,
}

/// A snapshot that is being written. If its process dies, it never was.
struct MemoryWriting {
    store: MemorySnapshots,
    snapshot: Snapshot,
}

impl Writing for MemoryWriting {
    fn is_done(&self) -> bool {
        (self.store.is_done)()
    }

    fn wait(self: Box<Self>) -> Result<u64, RunnerError> {
        self.store.write_here(&self.snapshot)
    }
}

impl Snapshots for MemorySnapshots {
    fn labels(&self) -> Result<Vec<Result<SnapshotLabel, Unfit>>, RunnerError> {
        let disk = self.disk.borrow();
        let stored = disk.get(&self.partition.0).into_iter().flat_map(BTreeMap::values);
        Ok(stored.map(|bytes| Ok(SnapshotLabel::read_from(&mut bytes.as_slice()).unwrap().unwrap())).collect())
    }

    fn load(&self, at: Offset) -> Result<Result<StoredSnapshot, Unfit>, RunnerError> {
        let disk = self.disk.borrow();
        let stored = disk.get(&self.partition.0).and_then(|stored| stored.get(&at.0));
        Ok(stored.map(|bytes| StoredSnapshot::from_bytes(bytes.clone()).unwrap()).ok_or(Unfit::Gone))
    }

    fn write(&self, permit: SnapshotPermit, snapshot: Snapshot) -> Result<Box<dyn Writing>, RunnerError> {
        assert_eq!(permit.at(), snapshot.label.at);
        Ok(Box::new(MemoryWriting { store: self.clone(), snapshot }))
    }
}

impl MemorySnapshots {
    fn write_here(&self, snapshot: &Snapshot) -> Result<u64, RunnerError> {
        let label = &snapshot.label;
        let died = |reason| RunnerError::Snapshot { path: "memory".to_string(), reason };
        let mut bytes = Vec::new();
        let size = snapshot.write_to(&mut bytes).unwrap();
        assert_eq!(size, bytes.len() as u64);
        (self.hook)(Outside::BeforeRename).map_err(died)?;
        let mut disk = self.disk.borrow_mut();
        let stored = disk.entry(self.partition.0).or_default();
        let before = stored.insert(label.at.0, bytes.clone());
        // The same S again by other logic is what a start after a graceful stop writes.
        let other_logic = |before: Vec<u8>| StoredSnapshot::from_bytes(before).unwrap().label.logic != label.logic;
        assert!(before.is_none_or(|before| before == bytes || other_logic(before)), "snapshots of one S differ");
        while stored.len() > 2 {
            stored.pop_first();
        }
        drop(disk);
        (self.hook)(Outside::AfterRename).map_err(died)?;
        Ok(size)
    }
}

/// A table with the frontiers of its app ids.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) rows: Vec<RecordBatch>,
    pub(super) frontiers: BTreeMap<String, Offset>,
    pub(super) commits: u32,
}

/// All tables by name.
pub(super) type Lake = Rc<RefCell<BTreeMap<String, Stored>>>;

/// One process's view of the tables: a commit fails whose app ids do not stand where this process remembers them.
pub(super) struct MemoryTables {
    pub(super) lake: Lake,
    pub(super) asked: BTreeMap<(String, String), Option<Offset>>,
    pub(super) hook: OutsideHook,
}

impl MemoryTables {
    pub(super) fn new(lake: &Lake, hook: OutsideHook) -> Self {
        Self { lake: lake.clone(), asked: BTreeMap::new(), hook }
    }
}

impl Tables for MemoryTables {
    fn frontier(&mut self, table: &str, app_id: &str) -> Result<Option<Offset>, TableError> {
        let lake = &self.lake;
        let stored = || lake.borrow().get(table).and_then(|stored| stored.frontiers.get(app_id).copied());
        Ok(*self.asked.entry((table.to_string(), app_id.to_string())).or_insert_with(stored))
    }

    fn commit(&mut self, table: &str, rows: &[RecordBatch], frontiers: &[(String, Offset)]) -> Result<(), TableError> {
        let error = |reason: String, fenced| TableError { table: table.to_string(), reason, fenced };
        (self.hook)(Outside::AfterUpload).map_err(|reason| error(reason, false))?;
        let mut lake = self.lake.borrow_mut();
        let stored = lake.entry(table.to_string()).or_default();
        for (app_id, next) in frontiers {
            let remembered = self.asked.get(&(table.to_string(), app_id.clone())).expect("its frontier was asked for");
            if *remembered != stored.frontiers.get(app_id).copied() {
                return Err(error(format!("{app_id} was written by another process"), true));
            }
            assert!(remembered.is_none_or(|remembered| remembered < *next), "a commit moves its frontiers");
        }
        stored.rows.extend_from_slice(rows);
        stored.commits += 1;
        for (app_id, next) in frontiers {
            stored.frontiers.insert(app_id.clone(), *next);
            self.asked.insert((table.to_string(), app_id.clone()), Some(*next));
        }
        drop(lake);
        (self.hook)(Outside::AfterTableCommit).map_err(|reason| error(reason, false))
    }

    fn refresh(&mut self) {
        self.asked.clear();
    }
}

/// The lines of a table in the order of its commits.
pub(super) fn table_lines(lake: &Lake, table: &str) -> Vec<String> {
    let lake = lake.borrow();
    lake.get(table).into_iter().flat_map(|stored| stored.rows.iter().flat_map(lines)).collect()
}

/// Names of the source columns, to find them in rows.
pub(super) fn source_names() -> Vec<String> {
    source_columns().into_iter().map(|field| field.name().clone()).collect()
}
