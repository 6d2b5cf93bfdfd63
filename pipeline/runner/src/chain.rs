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
use crate::buffer::TableBuffers;

/// Name of the dead-letter table, which every chain writes besides its units' outputs.
pub(crate) const DEAD_LETTERS: &str = "dead_letters";

/// Units in order, and where they read.
pub struct Chain {
    topic: &'static str,
    partition: Partition,
    units: Vec<Box<dyn Unit>>,
    /// Which unit owns a table, by name of the table.
    owners: BTreeMap<&'static str, &'static str>,
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
        Self { topic, partition, units, owners }
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

    /// Folds one batch of the log through the units into the buffers.
    pub(crate) fn feed(
        &mut self,
        batch: &LogBatch,
        bundles: &dyn BundleSource,
        buffers: &mut TableBuffers,
    ) -> Result<(), RunnerError> {
        buffers.push(DEAD_LETTERS, &reject_offsets(&batch.rejects), &letters_of(&batch.rejects))?;
        let kinds = batch.rows.column_by_name("kind").map(|column| column.as_string::<i32>());
        let mut start = 0;
        for row in 0..batch.rows.num_rows() {
            let is_control = kinds.is_some_and(|kinds| kinds.is_valid(row) && kinds.value(row) == kind::CONTROL);
            if is_control {
                self.feed_rows(batch, start..row, buffers)?;
                self.feed_control(batch, row, bundles, buffers)?;
                start = row + 1;
            }
        }
        self.feed_rows(batch, start..batch.rows.num_rows(), buffers)
    }

    fn feed_rows(
        &mut self,
        batch: &LogBatch,
        rows: std::ops::Range<usize>,
        buffers: &mut TableBuffers,
    ) -> Result<(), RunnerError> {
        if rows.is_empty() {
            return Ok(());
        }
        let offsets = batch.offsets[rows.clone()].to_vec();
        let rows = batch.rows.slice(rows.start, rows.len());
        self.pass_on(0, Input { topic: self.topic, partition: self.partition, offsets, rows }, buffers)
    }

    fn pass_on(&mut self, index: usize, input: Input, buffers: &mut TableBuffers) -> Result<(), RunnerError> {
        let mut outputs = Vec::new();
        self.units[index].process(&input, &mut outputs)?;
        self.route(index, outputs, buffers)
    }

    /// Sends a unit's outputs to tables or to the next unit, in the order in which it made them.
    fn route(&mut self, index: usize, outputs: Vec<Output>, buffers: &mut TableBuffers) -> Result<(), RunnerError> {
        let specs = self.units[index].outputs();
        for output in outputs {
            let spec = specs.iter().find(|spec| spec.name == output.name).ok_or_else(|| RunnerError::Rows {
                output: output.name.to_string(),
                reason: format!("{} declares no such output", self.units[index].name()),
            })?;
            match spec.destination {
                Destination::Table => buffers.push(output.name, &output.offsets, &output.rows)?,
                Destination::NextUnit if index + 1 < self.units.len() => {
                    let Output { offsets, rows, .. } = output;
                    let input = Input { topic: self.topic, partition: self.partition, offsets, rows };
                    self.pass_on(index + 1, input, buffers)?;
                }
                Destination::NextUnit => {}
            }
        }
        Ok(())
    }

    fn feed_control(
        &mut self,
        batch: &LogBatch,
        row: usize,
        bundles: &dyn BundleSource,
        buffers: &mut TableBuffers,
    ) -> Result<(), RunnerError> {
        let offset = Offset(batch.offsets[row]);
        let record = ControlRecord::read(&batch.rows, row);
        let unit = record.unit.and_then(|name| self.units.iter().position(|unit| unit.name() == name));
        let understood = match unit {
            Some(index) => record.change(offset, bundles)?.map(|change| (index, change)),
            // What is addressed to nobody here must not depend on what this process can load.
            None => None,
        };
        let Some((index, change)) = understood else {
            let reject = Reject {
                offset,
                reason: "bad_control",
                detail:
                    "the control record names no unit of this chain, or its type, id or hash is missing or malformed"
                        .to_string(),
            };
            return buffers.push(DEAD_LETTERS, &[offset.0], &letters_of(&[reject]));
        };
        let control = Control { offset, received_at_us: record.received_at_us, change };
        let mut outputs = Vec::new();
        self.units[index].control(&control, &mut outputs)?;
        self.route(index, outputs, buffers)
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
        let received: Option<&TimestampMicrosecondArray> =
            rows.column_by_name("received_at").map(|column| column.as_primitive::<TimestampMicrosecondType>());
        Self {
            unit: text("control_unit"),
            change_type: text("control_type"),
            id: text("control_id"),
            hash: text("control_hash"),
            received_at_us: received.filter(|times| times.is_valid(row)).map_or(0, |times| times.value(row)),
        }
    }

    /// What the record brings into force; `None` where it cannot be understood.
    fn change(&self, offset: Offset, bundles: &dyn BundleSource) -> Result<Option<ControlChange>, RunnerError> {
        let change = match (self.change_type, self.id, self.hash) {
            (Some("bundle"), _, Some(hash)) => match ContentHash::from_hex(hash) {
                Some(hash) => ControlChange::Bundle { hash, content: load(offset, hash, bundles)? },
                None => return Ok(None),
            },
            (Some(kind @ ("key_set" | "token_key" | "routing_key")), Some(id), Some(check_value)) => {
                ControlChange::Key { kind: kind.to_string(), id: id.to_string(), check_value: check_value.to_string() }
            }
            _ => return Ok(None),
        };
        Ok(Some(change))
    }
}

fn load(offset: Offset, hash: ContentHash, bundles: &dyn BundleSource) -> Result<Vec<u8>, RunnerError> {
    let fail = |reason| RunnerError::Bundle { offset, hash: hash.to_hex(), reason };
    let content = bundles.bundle(hash).map_err(fail)?;
    if ContentHash::of(&content) == hash {
        Ok(content)
    } else {
        Err(fail("its content has another hash; restore the published file".to_string()))
    }
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
