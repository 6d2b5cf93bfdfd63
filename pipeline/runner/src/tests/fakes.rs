//! A log, tables, bundles and two units that are small and unforgiving: any record left out or folded twice changes
//! every later row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use log::{LogBatch, LogError, LogIdentity, LogReader, Reject};
use schemas::Offset;
use schemas::ids::ContentHash;
use schemas::tables::{SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TOPIC};
use schemas::topics;
use schemas::unit::{BundleSource, Control, ControlChange, Destination, Input, Output, OutputSpec, Unit, UnitError};

use crate::{TableError, Tables};

/// Topic of the fake log.
pub(super) const TOPIC: &str = "transactions";

/// Unit, type, id and hash of a control record.
pub(super) type ControlFields = [Option<String>; 4];

/// A record of the fake log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Value(i64),
    /// Does not parse.
    Reject,
    Control(ControlFields),
}

/// A control record.
pub(super) fn control(fields: [&str; 4]) -> Record {
    Record::Control(fields.map(|field| (!field.is_empty()).then(|| field.to_string())))
}

/// A control record that brings a factor into force.
pub(super) fn factor(unit: &str, content: &str) -> Record {
    control([unit, "bundle", "", &ContentHash::of(content.as_bytes()).to_hex()])
}

pub(super) fn reject(offset: i64) -> Reject {
    Reject { offset: Offset(offset), reason: "not_json", detail: format!("record {offset}") }
}

/// Counts down and fails at the end; 0 never fails.
#[derive(Debug, Clone, Default)]
pub(super) struct Fuse(Arc<AtomicU32>);

impl Fuse {
    pub(super) fn new(left: u32) -> Fuse {
        Fuse(Arc::new(AtomicU32::new(left)))
    }

    pub(super) fn blows(&self) -> bool {
        self.0.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) == Ok(1)
    }
}

/// Reads the records from an offset on.
pub(super) struct FakeLog {
    pub(super) records: Arc<Vec<Record>>,
    pub(super) position: i64,
    pub(super) fuse: Fuse,
}

pub(super) fn batch_of(records: &[Record], first: i64) -> LogBatch {
    let mut rows: Vec<(&str, Option<i64>, ControlFields)> = Vec::new();
    let (mut offsets, mut rejects) = (Vec::new(), Vec::new());
    for (record, offset) in records.iter().zip(first..) {
        match record {
            Record::Reject => rejects.push(reject(offset)),
            Record::Value(value) => rows.push(("swipe", Some(*value), Default::default())),
            Record::Control(fields) => rows.push((topics::kind::CONTROL, None, fields.clone())),
        }
        if *record != Record::Reject {
            offsets.push(offset);
        }
    }
    let text = |index: usize| Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2[index].clone())));
    let times: TimestampMicrosecondArray = offsets.iter().map(|offset| Some(offset * 1_000)).collect();
    let columns: [(&str, Arc<dyn Array>); 7] = [
        ("kind", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)))),
        ("value", Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1)))),
        ("received_at", Arc::new(times.with_timezone("UTC"))),
        ("control_unit", text(0)),
        ("control_type", text(1)),
        ("control_id", text(2)),
        ("control_hash", text(3)),
    ];
    LogBatch { rows: RecordBatch::try_from_iter(columns).unwrap(), offsets, rejects, appended_us: Vec::new() }
}

impl LogReader for FakeLog {
    fn position(&self) -> Offset {
        Offset(self.position)
    }

    fn poll(&mut self, rows_max: usize) -> Result<Option<LogBatch>, LogError> {
        if self.fuse.blows() {
            return Err(LogError::Missing { file: "the fuse".to_string() });
        }
        let start = usize::try_from(self.position).unwrap().min(self.records.len());
        let end = self.records.len().min(start + rows_max);
        if start == end {
            return Ok(None);
        }
        let batch = batch_of(&self.records[start..end], self.position);
        self.position = end as i64;
        Ok(Some(batch))
    }

    fn identity(&self) -> LogIdentity {
        LogIdentity::default()
    }
}

/// Bundles by hash.
#[derive(Debug, Clone, Default)]
pub(super) struct FakeBundles(pub(super) BTreeMap<String, Vec<u8>>);

impl FakeBundles {
    pub(super) fn of(contents: &[&str]) -> FakeBundles {
        let entry = |content: &&str| (ContentHash::of(content.as_bytes()).to_hex(), content.as_bytes().to_vec());
        FakeBundles(contents.iter().map(entry).collect())
    }
}

impl BundleSource for FakeBundles {
    fn bundle(&self, hash: ContentHash) -> Result<Vec<u8>, String> {
        self.0.get(&hash.to_hex()).cloned().ok_or_else(|| "looked for in memory".to_string())
    }
}

/// A row as text, with its offset.
pub(super) type Line = (i64, String);

/// Rows of a batch with their offsets, source columns left out.
pub(super) fn lines(offsets: &[i64], rows: &RecordBatch) -> Vec<Line> {
    let source = [SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET];
    let names: Vec<_> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    let shown: Vec<usize> = (0..names.len()).filter(|index| !source.contains(&names[*index].as_str())).collect();
    let line = |row: usize| {
        let values = shown.iter().map(|index| array_value_to_string(rows.column(*index), row).unwrap());
        values.collect::<Vec<_>>().join("|")
    };
    offsets.iter().copied().zip((0..rows.num_rows()).map(line)).collect()
}

/// Tables in memory, which may fail before or after one of their commits.
#[derive(Debug, Default)]
pub(super) struct FakeTables {
    pub(super) rows: BTreeMap<String, Vec<Line>>,
    pub(super) frontiers: BTreeMap<String, Offset>,
    pub(super) before: Fuse,
    pub(super) after: Fuse,
    pub(super) fenced: bool,
}

impl FakeTables {
    fn failure(&self, table: &str) -> TableError {
        TableError { table: table.to_string(), reason: "the fuse blew".to_string(), fenced: self.fenced }
    }
}

impl Tables for FakeTables {
    fn frontier(&mut self, table: &str, app_id: &str) -> Result<Option<Offset>, TableError> {
        assert!(app_id.ends_with("/transactions/3"), "{app_id}");
        Ok(self.frontiers.get(table).copied())
    }

    fn commit(&mut self, table: &str, rows: &[RecordBatch], frontiers: &[(String, Offset)]) -> Result<(), TableError> {
        let [(app_id, next)] = frontiers else { panic!("a chain has one app id a table: {frontiers:?}") };
        assert!(app_id.ends_with("/transactions/3"), "{app_id}");
        if self.before.blows() {
            return Err(self.failure(table));
        }
        let frontier = self.frontiers.get(table).copied().unwrap_or_default();
        assert!(*next > frontier, "a commit to {table} must move its frontier");
        for batch in rows {
            let offsets = batch.column_by_name(SOURCE_OFFSET).unwrap().as_primitive::<Int64Type>().values();
            assert!(offsets.iter().all(|offset| (frontier.0..next.0).contains(offset)), "I-1: {table} {offsets:?}");
            let topics = batch.column_by_name(SOURCE_TOPIC).unwrap().as_string::<i32>();
            assert!(topics.iter().all(|topic| topic == Some(TOPIC)));
            self.rows.entry(table.to_string()).or_default().extend(lines(offsets, batch));
        }
        self.frontiers.insert(table.to_string(), *next);
        if self.after.blows() { Err(self.failure(table)) } else { Ok(()) }
    }

    fn refresh(&mut self) {}
}

/// A unit whose state is one number into which each record is folded.
pub(super) struct Counter {
    pub(super) name: &'static str,
    pub(super) version: u32,
    pub(super) save_fuse: Fuse,
    state: i64,
    factor: Option<(ContentHash, i64)>,
}

impl Counter {
    pub(super) fn new(name: &'static str, version: u32, save_fuse: Fuse) -> Counter {
        Counter { name, version, save_fuse, state: 7, factor: None }
    }

    fn rows_table(&self) -> &'static str {
        if self.name == "first" { "first_rows" } else { "second_rows" }
    }

    fn parse(&self, content: &[u8]) -> Result<i64, UnitError> {
        let text = std::str::from_utf8(content).ok();
        text.and_then(|text| text.parse().ok()).ok_or_else(|| UnitError::NotLoadable {
            unit: self.name,
            what: "the factor".to_string(),
            reason: "it is no number".to_string(),
        })
    }
}

fn value_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("value", DataType::Int64, false)]))
}

fn values(name: &'static str, rows: &[(i64, i64)]) -> Output {
    let column = Int64Array::from_iter_values(rows.iter().map(|row| row.1));
    let batch = RecordBatch::try_new(value_schema(), vec![Arc::new(column)]).unwrap();
    Output { name, offsets: rows.iter().map(|row| row.0).collect(), rows: batch }
}

fn letters(unit: &'static str, offsets: &[i64]) -> Output {
    let text = |value: &str| Arc::new(StringArray::from_iter_values(offsets.iter().map(|_| value)));
    let none = Arc::new(TimestampMicrosecondArray::new_null(offsets.len()).with_timezone("UTC"));
    let columns: Vec<Arc<dyn Array>> = vec![text(unit), text("odd"), text("state"), none.clone(), none];
    let rows = RecordBatch::try_new(topics::dead_letters(), columns).unwrap();
    Output { name: "dead_letters", offsets: offsets.to_vec(), rows }
}

impl Unit for Counter {
    fn name(&self) -> &'static str {
        self.name
    }

    fn logic_version(&self) -> u32 {
        self.version
    }

    fn outputs(&self) -> Vec<OutputSpec> {
        let spec = |name, schema, destination| OutputSpec { name, schema, destination };
        vec![
            spec(self.rows_table(), value_schema(), Destination::Table),
            spec("quiet", value_schema(), Destination::Table),
            spec("dead_letters", topics::dead_letters(), Destination::Table),
            spec("onward", value_schema(), Destination::NextUnit),
        ]
    }

    fn process(&mut self, input: &Input, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        let column = input.rows.column_by_name("value").unwrap().as_primitive::<Int64Type>();
        let (mut rows, mut odd, mut onward) = (Vec::new(), Vec::new(), Vec::new());
        for (value, offset) in column.values().iter().zip(&input.offsets) {
            let factor = self.factor.map_or(1, |(_, factor)| factor);
            self.state = (self.state * 31 + value * factor + offset).rem_euclid(1_000_003);
            let state = self.state;
            // Some records cause several rows, some none.
            rows.extend((0..state % 3).map(|copy| (*offset, state + copy)));
            onward.extend((0..state % 4).map(|copy| (*offset, state * 2 + copy)));
            odd.extend((state % 5 == 0).then_some(*offset));
        }
        outputs.push(values("onward", &onward));
        outputs.push(letters(self.name, &odd));
        outputs.push(values(self.rows_table(), &rows));
        Ok(())
    }

    fn control(&mut self, control: &Control, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        assert_eq!(control.received_at_us, control.offset.0 * 1_000);
        let value = match &control.change {
            ControlChange::Bundle { hash, content } | ControlChange::Rules { hash, content } => {
                self.factor = Some((*hash, self.parse(content)?));
                self.state
            }
            ControlChange::Key { kind, id, check_value } => {
                (kind.len() * 100 + id.len() * 10 + check_value.len()) as i64
            }
        };
        self.state += 1;
        outputs.push(values(self.rows_table(), &[(control.offset.0, value)]));
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>, UnitError> {
        if self.save_fuse.blows() {
            return Err(UnitError::Internal { unit: self.name, reason: "the fuse blew".to_string() });
        }
        let hash = self.factor.map(|(hash, _)| hash.to_hex()).unwrap_or_default();
        Ok(format!("{} {hash}", self.state).into_bytes())
    }

    fn restore(&mut self, state: &[u8], bundles: &dyn BundleSource) -> Result<(), UnitError> {
        let text = String::from_utf8(state.to_vec()).unwrap();
        let (state, hash) = text.split_once(' ').unwrap();
        self.state = state.parse().unwrap();
        self.factor = None;
        if let Some(hash) = ContentHash::from_hex(hash) {
            let fail = |reason| UnitError::NotLoadable { unit: self.name, what: hash.to_hex(), reason };
            let content = bundles.bundle(hash).map_err(fail)?;
            self.factor = Some((hash, self.parse(&content)?));
        }
        Ok(())
    }
}
