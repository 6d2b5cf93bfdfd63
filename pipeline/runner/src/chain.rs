//! A chain of units over one input log: each unit's forwarded rows are the next one's input.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use log::{LogBatch, Reject};
use schemas::ids::ContentHash;
use schemas::topics::{self, kind};
use schemas::unit::{BundleSource, Control, ControlChange, Destination, Input, Output, Unit};
use schemas::{Offset, Partition};

use crate::RunnerError;

/// Takes what the units of a chain make.
pub(crate) trait Sink {
    /// Rows of an output that is a table.
    fn push(&mut self, output: &'static str, offsets: &[i64], rows: &RecordBatch) -> Result<(), RunnerError>;

    /// Rows that the last unit forwards.
    fn forward(&mut self, _output: &'static str, _offsets: &[i64], _rows: &RecordBatch) -> Result<(), RunnerError> {
        Ok(())
    }
}

/// What a chain does with control records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Controls {
    /// Those addressed to its units are applied; any other is a dead letter.
    Apply,
    /// They are told apart in the same way and not applied: another process's units do that.
    Check,
    /// Every record of the topic is one. Those addressed to its units are applied, those to others are left alone;
    /// one that says nothing is a dead letter.
    All,
    /// They are records like any other.
    PassOn,
}

/// Name of the dead-letter table, which every chain writes besides its units' outputs.
pub(crate) const DEAD_LETTERS: &str = "dead_letters";
/// Type of the control records that bring a schema into force, which the reader of the log has done already.
const SCHEMA: &str = "schema";
const BAD_CONTROL_DETAIL: &str =
    "the control record names no unit of this chain, or its type, id or hash is missing or malformed";

/// Units in order, and where they read.
pub struct Chain {
    topic: &'static str,
    partition: Partition,
    units: Vec<Box<dyn Unit>>,
    /// Which unit owns a table, by name of the table.
    owners: BTreeMap<&'static str, &'static str>,
    controls: Controls,
}

impl Chain {
    /// A chain over one partition of `topic`. The first unit must be there.
    pub fn new(topic: &'static str, partition: Partition, units: Vec<Box<dyn Unit>>) -> Self {
        assert!(!units.is_empty(), "a chain has at least one unit");
        let mut owners = BTreeMap::from([(DEAD_LETTERS, units[0].name())]);
        for unit in &units {
            for output in unit.outputs() {
                if output.destination == Destination::Table {
                    owners.entry(output.name).or_insert(unit.name());
                }
            }
        }
        Self { topic, partition, units, owners, controls: Controls::Apply }
    }

    /// The chain with another way to take control records.
    pub(crate) fn with_controls(self, controls: Controls) -> Self {
        Self { controls, ..self }
    }

    /// Name of the topic.
    pub fn topic(&self) -> &'static str {
        self.topic
    }

    /// Number of the partition.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Every table that this chain writes with the app id of its frontier: unit/topic/partition.
    pub fn tables(&self) -> BTreeMap<&'static str, String> {
        let app_id = |owner| format!("{owner}/{}/{}", self.topic, self.partition);
        self.owners.iter().map(|(table, owner)| (*table, app_id(owner))).collect()
    }

    pub(crate) fn units(&self) -> &[Box<dyn Unit>] {
        &self.units
    }

    pub(crate) fn units_mut(&mut self) -> &mut [Box<dyn Unit>] {
        &mut self.units
    }

    /// Folds one batch of the log through the units into the sink.
    pub(crate) fn feed(
        &mut self,
        batch: &LogBatch,
        bundles: &dyn BundleSource,
        sink: &mut dyn Sink,
    ) -> Result<(), RunnerError> {
        sink.push(DEAD_LETTERS, &reject_offsets(&batch.rejects), &letters_of(&batch.rejects))?;
        let kinds = batch.rows.column_by_name("kind").map(|column| column.as_string::<i32>());
        let mut start = 0;
        for row in 0..batch.rows.num_rows() {
            let is_kind = || kinds.is_some_and(|kinds| kinds.is_valid(row) && kinds.value(row) == kind::CONTROL);
            let is_control = match self.controls {
                Controls::Apply | Controls::Check => is_kind(),
                Controls::All => true,
                Controls::PassOn => false,
            };
            if is_control {
                self.feed_rows(batch, start..row, sink)?;
                self.feed_control(batch, row, bundles, sink)?;
                start = row + 1;
            }
        }
        self.feed_rows(batch, start..batch.rows.num_rows(), sink)
    }

    fn feed_rows(
        &mut self,
        batch: &LogBatch,
        rows: std::ops::Range<usize>,
        sink: &mut dyn Sink,
    ) -> Result<(), RunnerError> {
        if rows.is_empty() {
            return Ok(());
        }
        let offsets = batch.offsets[rows.clone()].to_vec();
        let rows = batch.rows.slice(rows.start, rows.len());
        self.pass_on(0, Input { topic: self.topic, partition: self.partition, offsets, rows }, sink)
    }

    fn pass_on(&mut self, index: usize, input: Input, sink: &mut dyn Sink) -> Result<(), RunnerError> {
        let mut outputs = Vec::new();
        self.units[index].process(&input, &mut outputs)?;
        self.route(index, outputs, sink)
    }

    /// Sends a unit's outputs to tables or to the next unit, in the order in which it made them.
    fn route(&mut self, index: usize, outputs: Vec<Output>, sink: &mut dyn Sink) -> Result<(), RunnerError> {
        let specs = self.units[index].outputs();
        for output in outputs {
            let spec = specs.iter().find(|spec| spec.name == output.name).ok_or_else(|| RunnerError::Rows {
                output: output.name.to_string(),
                reason: format!("{} declares no such output", self.units[index].name()),
            })?;
            match spec.destination {
                Destination::Table => sink.push(output.name, &output.offsets, &output.rows)?,
                Destination::NextUnit if index + 1 < self.units.len() => {
                    let Output { offsets, rows, .. } = output;
                    let input = Input { topic: self.topic, partition: self.partition, offsets, rows };
                    self.pass_on(index + 1, input, sink)?;
                }
                Destination::NextUnit => sink.forward(output.name, &output.offsets, &output.rows)?,
            }
        }
        Ok(())
    }

    fn feed_control(
        &mut self,
        batch: &LogBatch,
        row: usize,
        bundles: &dyn BundleSource,
        sink: &mut dyn Sink,
    ) -> Result<(), RunnerError> {
        let offset = Offset(batch.offsets[row]);
        let record = ControlRecord::read(&batch.rows, row);
        if record.change_type == Some(SCHEMA) {
            return Ok(());
        }
        let unit = record.unit.and_then(|name| self.units.iter().position(|unit| unit.name() == name));
        let (index, named) = match (self.controls, record.named(), unit) {
            (Controls::Check, Some(_), Some(_)) => return Ok(()),
            (Controls::All, Some(_), None) if record.unit.is_some() => return Ok(()),
            (_, Some(named), Some(index)) => (index, named),
            // What is addressed to nobody here must not depend on what this process can load.
            _ => {
                let detail = BAD_CONTROL_DETAIL.to_string();
                let reject = Reject { offset, reason: "bad_control", detail };
                return sink.push(DEAD_LETTERS, &[offset.0], &letters_of(&[reject]));
            }
        };
        let change = match named {
            Named::Bundle(hash) => ControlChange::Bundle { hash, content: load(offset, hash, bundles)? },
            Named::Rules(hash) => ControlChange::Rules { hash, content: load(offset, hash, bundles)? },
            Named::Key(change) => change,
        };
        let control = Control { offset, received_at_us: record.received_at_us, change };
        let mut outputs = Vec::new();
        self.units[index].control(&control, &mut outputs)?;
        self.route(index, outputs, sink)
    }
}

/// The control columns of one row.
struct ControlRecord<'a> {
    unit: Option<&'a str>,
    change_type: Option<&'a str>,
    id: Option<&'a str>,
    hash: Option<&'a str>,
    received_at_us: i64,
}

impl<'a> ControlRecord<'a> {
    fn read(rows: &'a RecordBatch, row: usize) -> Self {
        let text = |name: &str| {
            let column: &StringArray = rows.column_by_name(name)?.as_string();
            column.is_valid(row).then(|| column.value(row))
        };
        // Between topics a record's received_at travels as its event_time.
        let time = rows.column_by_name("received_at").or_else(|| rows.column_by_name("event_time"));
        let received: Option<&TimestampMicrosecondArray> =
            time.map(|column| column.as_primitive::<TimestampMicrosecondType>());
        Self {
            unit: text("control_unit"),
            change_type: text("control_type"),
            id: text("control_id"),
            hash: text("control_hash"),
            received_at_us: received.filter(|times| times.is_valid(row)).map_or(0, |times| times.value(row)),
        }
    }

    /// What the record brings into force; `None` where it cannot be understood.
    fn named(&self) -> Option<Named> {
        let key = |kind: &str, id: &str, check_value: &str| ControlChange::Key {
            kind: kind.to_string(),
            id: id.to_string(),
            check_value: check_value.to_string(),
        };
        match (self.change_type?, self.id, self.hash?) {
            ("bundle", _, hash) => ContentHash::from_hex(hash).map(Named::Bundle),
            ("rules", _, hash) => ContentHash::from_hex(hash).map(Named::Rules),
            (kind @ ("key_set" | "token_key" | "routing_key"), Some(id), check_value) => {
                Some(Named::Key(key(kind, id, check_value)))
            }
            _ => None,
        }
    }
}

/// What a control record names, before anything is loaded.
enum Named {
    Bundle(ContentHash),
    Rules(ContentHash),
    Key(ControlChange),
}

fn load(offset: Offset, hash: ContentHash, bundles: &dyn BundleSource) -> Result<Vec<u8>, RunnerError> {
    bundles.checked(hash).map_err(|reason| RunnerError::Bundle { offset, hash: hash.to_hex(), reason })
}

fn reject_offsets(rejects: &[Reject]) -> Vec<i64> {
    rejects.iter().map(|reject| reject.offset.0).collect()
}

fn letters_of(rejects: &[Reject]) -> RecordBatch {
    let schema = topics::dead_letters();
    let no_time = TimestampMicrosecondArray::new_null(rejects.len()).with_timezone("UTC");
    RecordBatch::try_new(
        schema,
        vec![
            Arc::new(StringArray::from_iter_values(rejects.iter().map(|_| "log"))),
            Arc::new(StringArray::from_iter_values(rejects.iter().map(|reject| reject.reason))),
            Arc::new(StringArray::from_iter_values(rejects.iter().map(|reject| reject.detail.as_str()))),
            Arc::new(no_time.clone()),
            Arc::new(no_time),
        ],
    )
    .expect("the columns are those of the dead-letter schema, all of one length")
}
