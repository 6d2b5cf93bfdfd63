//! The choice of a start from what a crash, a stop or an operator left behind.

use std::collections::{BTreeMap, BTreeSet};

use schemas::Offset;

/// What the rules need to know of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotHead {
    /// S: its state is that after everything below.
    pub at: Offset,
    /// Outputs that had reached S when it was written.
    pub outputs: BTreeSet<String>,
    /// Number of partitions of the input when it was written.
    pub partitions: u32,
    /// Number of partitions of each topic that the unit wrote to when it was written; none for tables.
    pub output_partitions: BTreeMap<String, u32>,
    /// Version of each unit's logic that made its state.
    pub logic: BTreeMap<String, u32>,
}

/// What a start finds.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// Every readable snapshot, in any order.
    pub snapshots: &'a [SnapshotHead],
    /// C of every output; 0 for one that never committed.
    pub outputs: &'a BTreeMap<String, Offset>,
    /// First offset that the log still has.
    pub log_start: Offset,
    /// Number of partitions of the input now.
    pub log_partitions: u32,
    /// Number of partitions of each output topic now.
    pub output_partitions: &'a BTreeMap<String, u32>,
    /// Version of each unit's logic in this program.
    pub logic: &'a BTreeMap<String, u32>,
}

/// A start that loses and doubles nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// S of the snapshot to load; without one the state is empty.
    pub snapshot: Option<Offset>,
    /// First offset to read.
    pub read_from: Offset,
}

/// Why a start would lose or double something. An operator must act first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// State is kept by partition, and keys move when the number of partitions changes.
    #[error(
        "{topic} has {found} partitions and the snapshot at offset {at} was made with {expected}; a topic keeps \
         its partitions for life, so restore them or start with a new lake and state"
    )]
    PartitionCount {
        /// The input, or the output topic by its name.
        topic: String,
        /// S of the snapshot.
        at: Offset,
        /// Partitions when it was written.
        expected: u32,
        /// Partitions now.
        found: u32,
    },
    /// An output has forgotten what it had: it was deleted, restored from a copy, or is another one.
    #[error(
        "{output} stands at offset {found}, and the snapshot at offset {at} proves that it had reached that; restore \
         it, or remove the state folder to fill it anew from the start of the log"
    )]
    WentBack {
        /// The output.
        output: String,
        /// S of the snapshot.
        at: Offset,
        /// C of the output now.
        found: Offset,
    },
    /// The log no longer has the records from which the state must be rebuilt.
    #[error(
        "records from offset {needed} are needed and the log starts at offset {log_start}; restore the older records, \
         or a snapshot at offset {log_start} or later"
    )]
    RetentionPassed {
        /// First offset needed.
        needed: Offset,
        /// First offset that the log has.
        log_start: Offset,
    },
    /// Records between S and the outputs would be replayed by logic that did not write their rows.
    #[error(
        "{unit} has logic version {program}, the snapshot at offset {at} was made by version {snapshot}, and outputs \
         hold rows after it up to offset {output_at}; run the older program until it stops by itself, then this one"
    )]
    LogicChanged {
        /// The unit.
        unit: String,
        /// S of the snapshot.
        at: Offset,
        /// Version in the snapshot; 0 where it did not have the unit.
        snapshot: u32,
        /// Version in this program; 0 where it does not have the unit.
        program: u32,
        /// Largest C of an output.
        output_at: Offset,
    },
    /// The log ends before what an output says it has read: it is another log, or was cut.
    #[error("the log ends at offset {end}, and {output} has read it up to offset {frontier}; restore the log")]
    LogCut {
        /// The output.
        output: String,
        /// Its C.
        frontier: Offset,
        /// End of the log.
        end: Offset,
    },
}

/// Chooses a start, or says why there is none that loses and doubles nothing.
///
/// | found | start |
/// |---|---|
/// | no snapshot fits | at the log's first record, if that is offset 0 |
/// | newest snapshot with S <= every C | there; rows from S to each C are left out of that output |
/// | that snapshot is of another logic | only if S = every C |
/// | a snapshot remembers an output that is behind it | refused: C went back |
/// | a snapshot of another partition count | refused |
pub fn plan(found: &Found<'_>) -> Result<Plan, Refusal> {
    for snapshot in found.snapshots {
        check_partitions(snapshot, found)?;
        for output in &snapshot.outputs {
            let stands_at = found.outputs.get(output).copied().unwrap_or_default();
            if stands_at < snapshot.at {
                return Err(Refusal::WentBack { output: output.clone(), at: snapshot.at, found: stands_at });
            }
        }
    }
    let least = found.outputs.values().copied().min().unwrap_or_default();
    // I-2: a snapshot ahead of an output, one added since, would leave that output's rows out for ever.
    let usable = found.snapshots.iter().filter(|snapshot| snapshot.at <= least);
    let chosen = usable.max_by_key(|snapshot| snapshot.at);
    let read_from = chosen.map_or(Offset(0), |snapshot| snapshot.at);
    if read_from < found.log_start {
        return Err(Refusal::RetentionPassed { needed: read_from, log_start: found.log_start });
    }
    if let Some(snapshot) = chosen {
        check_logic(snapshot, found)?;
    }
    Ok(Plan { snapshot: chosen.map(|snapshot| snapshot.at), read_from })
}

/// Rows of a key lie on the partition that the count chose, in the input as in the outputs.
fn check_partitions(snapshot: &SnapshotHead, found: &Found<'_>) -> Result<(), Refusal> {
    let refusal = |topic: String, expected, found| Refusal::PartitionCount { topic, at: snapshot.at, expected, found };
    if snapshot.partitions != found.log_partitions {
        return Err(refusal("the input".to_string(), snapshot.partitions, found.log_partitions));
    }
    let now = |topic: &String| found.output_partitions.get(topic).copied();
    let counts = snapshot.output_partitions.iter().filter_map(|(topic, then)| Some((topic, *then, now(topic)?)));
    match counts.into_iter().find(|(_, then, now)| then != now) {
        Some((topic, then, now)) => Err(refusal(format!("topic {topic}"), then, now)),
        None => Ok(()),
    }
}

fn check_logic(snapshot: &SnapshotHead, found: &Found<'_>) -> Result<(), Refusal> {
    let output_at = found.outputs.values().copied().max().unwrap_or_default();
    let version = |versions: &BTreeMap<String, u32>, unit: &str| versions.get(unit).copied().unwrap_or_default();
    let mut units = snapshot.logic.keys().chain(found.logic.keys());
    let changed = units.find(|unit| version(&snapshot.logic, unit) != version(found.logic, unit));
    match changed {
        Some(unit) if output_at > snapshot.at => Err(Refusal::LogicChanged {
            unit: unit.clone(),
            at: snapshot.at,
            snapshot: version(&snapshot.logic, unit),
            program: version(found.logic, unit),
            output_at,
        }),
        _ => Ok(()),
    }
}
