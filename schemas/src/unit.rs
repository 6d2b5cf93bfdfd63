//! The trait through which the runner drives a unit, and what passes between them.
//!
//! A unit is a pure fold: state and records in, rows out. It has no clock, no files and no network.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::ids::ContentHash;
use crate::{Offset, Partition};

/// Records of one input partition, in order. `offsets[i]` is where row `i` lies in the log; offsets increase strictly
/// in a batch read from a log and never decrease in one that an earlier unit of the chain forwarded.
#[derive(Debug, Clone)]
pub struct Input {
    /// Topic of the chain's input log.
    pub topic: &'static str,
    /// Partition of the chain's input log.
    pub partition: Partition,
    /// One offset for each row.
    pub offsets: Vec<i64>,
    /// The rows, in the schema of the topic.
    pub rows: RecordBatch,
}

/// Rows that a unit made. `offsets[i]` is the input offset whose record caused row `i`; offsets never decrease.
/// The rows have the output's schema **without** the source columns, which the runner appends.
#[derive(Debug, Clone)]
pub struct Output {
    /// Name of one of the unit's [`OutputSpec`]s.
    pub name: &'static str,
    /// One causing offset for each row.
    pub offsets: Vec<i64>,
    /// The rows.
    pub rows: RecordBatch,
}

/// Where an output's rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To the next unit of the chain.
    NextUnit,
    /// To the table of the output's name.
    Table,
}

/// One output that a unit may write.
#[derive(Debug, Clone)]
pub struct OutputSpec {
    /// Name of the table, or of the topic that leads to the next unit.
    pub name: &'static str,
    /// Schema of the rows as the unit makes them (no source columns).
    pub schema: SchemaRef,
    /// Where they go.
    pub destination: Destination,
}

/// A control record addressed to this unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Where it lies in the log.
    pub offset: Offset,
    /// Its `received_at`, microseconds UTC.
    pub received_at_us: i64,
    /// What comes into force.
    pub change: ControlChange,
}

/// What a control record brings into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlChange {
    /// A bundle, with its bytes, whose SHA-256 is the hash (the runner has checked).
    Bundle {
        /// Name by which the record quotes it and the tables keep it.
        hash: ContentHash,
        /// The bundle's JSON.
        content: Vec<u8>,
    },
    /// Rules with their windows, lists and model: the bytes of a [`RulesBundle`](crate::bundles::RulesBundle).
    Rules {
        /// Name by which the record quotes it and the tables keep it.
        hash: ContentHash,
        /// The bundle's JSON.
        content: Vec<u8>,
    },
    /// A key: `kind` is `key_set`, `token_key` or `routing_key`.
    Key {
        /// Kind of key.
        kind: String,
        /// Identifier or version of the key.
        id: String,
        /// Its check value in hexadecimal.
        check_value: String,
    },
}

/// Finds a bundle's bytes by their hash.
pub trait BundleSource {
    /// The bytes, or what is missing and where it was looked for.
    fn bundle(&self, hash: ContentHash) -> Result<Vec<u8>, String>;

    /// The same, where they are what the hash names.
    fn checked(&self, hash: ContentHash) -> Result<Vec<u8>, String> {
        let content = self.bundle(hash)?;
        let is_right = ContentHash::of(&content) == hash;
        is_right
            .then_some(content)
            .ok_or_else(|| "its content has another hash; restore the published file".to_string())
    }
}

/// Why a unit cannot go on. A bad record is never an error: it becomes a decision or a dead letter.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// A bundle or key that is in force cannot be loaded here. The process stops; nothing is lost.
    #[error("{unit} cannot load {what}: {reason}")]
    NotLoadable {
        /// Which unit.
        unit: &'static str,
        /// The bundle or key.
        what: String,
        /// Why.
        reason: String,
    },
    /// A snapshot's bytes do not belong to this unit or version.
    #[error("{unit} cannot read its snapshot: {reason}")]
    Snapshot {
        /// Which unit.
        unit: &'static str,
        /// Why.
        reason: String,
    },
    /// An invariant of the code does not hold; the process stops before it commits.
    #[error("{unit}: {reason}")]
    Internal {
        /// Which unit.
        unit: &'static str,
        /// What was found.
        reason: String,
    },
}

/// A deterministic step of the pipeline for one input partition.
///
/// For equal state and equal records the rows and the saved bytes are equal, whatever the batch borders.
pub trait Unit: Send {
    /// Name of the unit as it appears in app ids, snapshots and refusals: `decode`, `authorize`, `trips`.
    fn name(&self) -> &'static str;

    /// Version of the unit's logic: raised whenever the same log would give other rows or another state.
    fn logic_version(&self) -> u32;

    /// Every output that the unit may write.
    fn outputs(&self) -> Vec<OutputSpec>;

    /// Folds records into the state and appends the rows that they cause.
    fn process(&mut self, input: &Input, outputs: &mut Vec<Output>) -> Result<(), UnitError>;

    /// Applies a control record addressed to this unit, between the record before it and the one after.
    fn control(&mut self, control: &Control, outputs: &mut Vec<Output>) -> Result<(), UnitError>;

    /// The state as bytes; equal states give equal bytes. Holds no card data and no bundle contents, only their hashes.
    fn save(&self) -> Result<Vec<u8>, UnitError>;

    /// Replaces the state by saved bytes, loading what they name from `bundles`.
    fn restore(&mut self, state: &[u8], bundles: &dyn BundleSource) -> Result<(), UnitError>;
}
