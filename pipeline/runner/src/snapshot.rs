//! Snapshots: the state of a chain after everything below S, in one file, byte-equal for equal S.
//!
//! A start reads the label of each, which is what the frontier rules ask for, and the states only of the one that it
//! goes on from: two are kept, and each may be a gigabyte.

mod format;
mod store;

pub use store::SnapshotStore;

use std::collections::BTreeMap;
use std::ops::Range;

use frontier::{Plan, SnapshotHead, SnapshotPermit};
use log::LogIdentity;
use schemas::Offset;
use serde::{Deserialize, Serialize};

use crate::RunnerError;

/// How often a start looks at the snapshots anew because the one that it had chosen is gone or damaged. Others replace
/// them once a minute at most.
const LISTINGS_MAX: u32 = 8;

/// What a snapshot says of itself, besides the states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotLabel {
    /// S: the state is that after everything below.
    pub at: Offset,
    /// Outputs that had reached S when this was written.
    pub outputs: Vec<String>,
    /// Number of partitions of the input.
    pub partitions: u32,
    /// Logic version of each unit.
    pub logic: BTreeMap<String, u32>,
    /// What had been read of each file.
    pub identity: LogIdentity,
    /// Number of partitions of each topic that the unit writes to; none for tables.
    pub output_partitions: BTreeMap<String, u32>,
}

impl SnapshotLabel {
    /// What the frontier rules need to know.
    pub fn head(&self) -> SnapshotHead {
        SnapshotHead {
            at: self.at,
            outputs: self.outputs.iter().cloned().collect(),
            partitions: self.partitions,
            output_partitions: self.output_partitions.clone(),
            logic: self.logic.clone(),
        }
    }
}

/// A snapshot to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What it says of itself.
    pub label: SnapshotLabel,
    /// Saved bytes of each unit, in chain order.
    pub states: Vec<(String, Vec<u8>)>,
}

/// A snapshot as it was read: the whole file, and where each unit's saved bytes lie in it.
#[derive(Debug)]
pub struct StoredSnapshot {
    /// What it says of itself.
    pub label: SnapshotLabel,
    bytes: Vec<u8>,
    states: Vec<(String, Range<usize>)>,
}

/// Why a snapshot cannot be used.
#[derive(Debug)]
pub enum Unfit {
    /// It is not there any more: another process has written newer ones.
    Gone,
    /// Something is wrong with it.
    Damaged {
        /// Where it lies.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

/// Keeps one partition's snapshots.
pub trait Snapshots {
    /// The label of each, oldest first, checked by itself; the states behind it may be damaged nevertheless.
    fn labels(&self) -> Result<Vec<Result<SnapshotLabel, Unfit>>, RunnerError>;

    /// The one with this S, checked as a whole.
    fn load(&self, at: Offset) -> Result<Result<StoredSnapshot, Unfit>, RunnerError>;

    /// Begins to write a snapshot durably, as a whole or not at all, and to remove old ones. The permit proves that every
    /// output has reached S (I-2), which stays true however long it takes: no output goes back.
    fn write(&self, permit: SnapshotPermit, snapshot: Snapshot) -> Result<Box<dyn Writing>, RunnerError>;
}

/// A snapshot that is being written. One that is dropped is written to its end, unless the process ends before.
pub trait Writing {
    /// Whether [`Writing::wait`] would answer at once.
    fn is_done(&self) -> bool;

    /// Waits until it lies there; returns its size in bytes, or why it could not be written.
    fn wait(self: Box<Self>) -> Result<u64, RunnerError>;
}

/// Lets the rules choose among the snapshots and loads the one that they choose. A damaged one is passed over with a
/// warning where another is left, and is an error where it was the only one.
///
/// The plan is made from labels, after they were read: what it asks for besides must be newer than they are. It is made
/// again where its choice turns out to be damaged, or was removed by another process in the meantime.
pub fn find_start<E: From<RunnerError>>(
    store: &dyn Snapshots,
    plan: &mut dyn FnMut(&[SnapshotHead]) -> Result<Plan, E>,
) -> Result<(Plan, Option<StoredSnapshot>), E> {
    let mut damaged = BTreeMap::new();
    for _ in 0..LISTINGS_MAX {
        let heads = sound_heads(store, &damaged)?;
        let plan = plan(&heads)?;
        let Some(at) = plan.snapshot else { return Ok((plan, None)) };
        match store.load(at)? {
            Ok(snapshot) => return Ok((plan, Some(snapshot))),
            Err(Unfit::Gone) => {}
            Err(Unfit::Damaged { path, reason }) => {
                damaged.insert(at, pass_over(path, reason));
            }
        }
    }
    let reason = format!("{LISTINGS_MAX} that were chosen one after the other could not be read; start again");
    Err(RunnerError::Snapshot { path: "of this partition".to_string(), reason }.into())
}

/// What the rules need to know of each snapshot that is sound, as far as one knows.
fn sound_heads(
    store: &dyn Snapshots,
    damaged: &BTreeMap<Offset, (String, String)>,
) -> Result<Vec<SnapshotHead>, RunnerError> {
    let mut heads = Vec::new();
    let mut newest_damage = None;
    for label in store.labels()? {
        match label {
            Ok(label) => match damaged.get(&label.at) {
                Some(damage) => newest_damage = Some(damage.clone()),
                None => heads.push(label.head()),
            },
            Err(Unfit::Gone) => {}
            Err(Unfit::Damaged { path, reason }) => newest_damage = Some(pass_over(path, reason)),
        }
    }
    match newest_damage {
        Some((path, reason)) if heads.is_empty() => Err(RunnerError::Snapshot { path, reason }),
        _ => Ok(heads),
    }
}

fn pass_over(path: String, reason: String) -> (String, String) {
    tracing::warn!(path, reason, "snapshot passed over");
    (path, reason)
}

#[cfg(test)]
mod tests;
