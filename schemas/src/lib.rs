//! What travels on the topics and what is stored in the tables: one definition for every crate.
//!
//! Here are the Arrow and Avro schemas, money, identifiers, offsets, reason codes with their sentences, the
//! bundles that control records name, and the trait through which the runner drives a unit.
//! This crate may depend on Arrow and on hash functions; it refuses input and output, clocks and any knowledge of
//! the crates above it.

pub mod alerting;
pub mod avro;
pub mod bundles;
pub mod durations;
pub mod findings;
pub mod ids;
pub mod judgement;
pub mod money;
pub mod movement;
pub mod parts;
pub mod placement;
pub mod places;
pub mod reasons;
pub mod tables;
pub mod topics;
pub mod unit;
pub mod views;

/// Position in one partition of a log, exclusive: the next offset to read. Offsets start at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Offset(pub i64);

impl std::fmt::Display for Offset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a partition of a topic. A file log has the one partition 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Partition(pub i32);

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
