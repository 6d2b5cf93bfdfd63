//! Death at a named moment, for tests of recovery. With `TILL_FAULT=POINT` or `TILL_FAULT=POINT:N` in the environment the
//! process aborts when it gets to the point for the first or the N-th time, as abruptly as a kill: nothing is closed,
//! committed or removed. Without the variable nothing here is in the way of anything.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use frontier::SnapshotPermit;
use lake::{CommitPoint, Lake};
use log::group::{Bounds, Event, GroupError, GroupLog, TopicPartition};
use runner::{RunnerError, Snapshot, SnapshotLabel, SnapshotStore, Snapshots, StoredSnapshot, Unfit, Writing};
use schemas::{Offset, Partition};

use crate::failure::Failure;

const VARIABLE: &str = "TILL_FAULT";

/// Where a process may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Rows are sent, their transaction is not committed.
    BeforeCommit,
    /// The transaction is committed, and the runner has not been told: the answer is lost.
    AfterCommit,
    /// A snapshot is about to be written.
    BeforeSnapshot,
    /// A snapshot lies under its temporary name.
    SnapshotRename,
    /// Partitions came or went, and the runner has not been told.
    InRebalance,
    /// What goes to another process is committed and snapshotted, and still this one's.
    BeforeRelease,
    /// The lake is about to write a table, mostly with other tables of the same round committed.
    LakeBetweenTables,
    /// A table's files are written, and no commit names them.
    LakeAfterUpload,
    /// A table's commit is written, and nobody has been told.
    LakeAfterCommit,
}

impl Point {
    const ALL: [(&'static str, Self); 9] = [
        ("before-commit", Self::BeforeCommit),
        ("after-commit", Self::AfterCommit),
        ("before-snapshot", Self::BeforeSnapshot),
        ("snapshot-rename", Self::SnapshotRename),
        ("in-rebalance", Self::InRebalance),
        ("before-release", Self::BeforeRelease),
        ("lake-between-tables", Self::LakeBetweenTables),
        ("lake-after-upload", Self::LakeAfterUpload),
        ("lake-after-commit", Self::LakeAfterCommit),
    ];
}

struct Fault {
    point: Point,
    /// Times until it happens.
    left: AtomicU32,
}

/// The fault that this process was started with, if any.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<Fault>>);

impl Faults {
    /// What the environment asks for.
    pub fn from_environment() -> Result<Self, Failure> {
        match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => Self::parse(&text).ok_or_else(|| {
                let names = Point::ALL.map(|(name, _)| name).join(", ");
                Failure::usage(format!("{VARIABLE} is {text:?}"))
                    .with_help(format!("it is a point or POINT:N with N from 1: {names}"))
            }),
            _ => Ok(Self::default()),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, times) = text.split_once(':').unwrap_or((text, "1"));
        let (_, point) = Point::ALL.into_iter().find(|(known, _)| *known == name)?;
        let times = times.parse().ok().filter(|times| *times > 0)?;
        Some(Self(Some(Arc::new(Fault { point, left: AtomicU32::new(times) }))))
    }

    /// The process is at a point: dies here, if it is the one and the time.
    fn reach(&self, point: Point) {
        if self.is_due(point) {
            eprintln!("{VARIABLE}: dying at {point:?}");
            std::process::abort();
        }
    }

    fn is_due(&self, point: Point) -> bool {
        let fault = self.0.as_ref().filter(|fault| fault.point == point);
        fault.is_some_and(|fault| fault.left.fetch_sub(1, Ordering::Relaxed) == 1)
    }

    /// The member, with its points.
    pub fn member(&self, log: Box<dyn GroupLog>) -> Box<dyn GroupLog> {
        if self.0.is_none() { log } else { Box::new(FaultyLog { log, faults: self.clone() }) }
    }

    /// The snapshots of a partition, with their points.
    pub fn snapshots(&self, store: SnapshotStore) -> Box<dyn Snapshots> {
        if self.0.is_none() { Box::new(store) } else { Box::new(FaultySnapshots { store, faults: self.clone() }) }
    }

    /// The lake, with its points.
    pub fn lake(&self, lake: Lake) -> Lake {
        if self.0.is_none() {
            return lake;
        }
        let faults = self.clone();
        lake.with_commit_hook(Arc::new(move |_, point| {
            faults.reach(match point {
                CommitPoint::BeforeUpload => Point::LakeBetweenTables,
                CommitPoint::AfterUpload => Point::LakeAfterUpload,
                CommitPoint::AfterCommit => Point::LakeAfterCommit,
            });
        }))
    }
}

struct FaultyLog {
    log: Box<dyn GroupLog>,
    faults: Faults,
}

impl GroupLog for FaultyLog {
    fn next(&mut self, rows_max: usize, wait: Duration) -> Result<Event, GroupError> {
        let event = self.log.next(rows_max, wait)?;
        if matches!(event, Event::Assigned(_) | Event::Revoked(_) | Event::Lost(_)) {
            self.faults.reach(Point::InRebalance);
        }
        Ok(event)
    }

    fn start(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), GroupError> {
        self.log.start(starts)
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), GroupError> {
        self.faults.reach(Point::BeforeRelease);
        self.log.release(partitions)
    }

    fn committed(&mut self, partition: TopicPartition) -> Result<Option<Offset>, GroupError> {
        self.log.committed(partition)
    }

    fn bounds(&mut self, partition: TopicPartition) -> Result<Bounds, GroupError> {
        self.log.bounds(partition)
    }

    fn partition_count(&mut self, topic: &'static str) -> Result<u16, GroupError> {
        self.log.partition_count(topic)
    }

    fn send(&mut self, topic: &'static str, partition: Partition, rows: &RecordBatch) -> Result<(), GroupError> {
        self.log.send(topic, partition, rows)
    }

    fn commit(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<(), GroupError> {
        self.faults.reach(Point::BeforeCommit);
        self.log.commit(offsets)?;
        self.faults.reach(Point::AfterCommit);
        Ok(())
    }

    fn abort(&mut self) -> Result<(), GroupError> {
        self.log.abort()
    }

    fn lag(&self) -> Vec<(TopicPartition, i64)> {
        self.log.lag()
    }
}

struct FaultySnapshots {
    store: SnapshotStore,
    faults: Faults,
}

impl Snapshots for FaultySnapshots {
    fn labels(&self) -> Result<Vec<Result<SnapshotLabel, Unfit>>, RunnerError> {
        self.store.labels()
    }

    fn load(&self, at: Offset) -> Result<Result<StoredSnapshot, Unfit>, RunnerError> {
        self.store.load(at)
    }

    fn write(&self, permit: SnapshotPermit, snapshot: Snapshot) -> Result<Box<dyn Writing>, RunnerError> {
        self.faults.reach(Point::BeforeSnapshot);
        if self.faults.is_due(Point::SnapshotRename) {
            // What the store leaves behind that dies before it renames; that this fails too does not matter any more.
            let path = self.store.temporary_path(snapshot.label.at);
            let _ = fs::File::create(path).and_then(|mut file| snapshot.write_to(&mut file));
            eprintln!("{VARIABLE}: dying at {:?}", Point::SnapshotRename);
            std::process::abort();
        }
        self.store.write(permit, snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_due_once_at_its_time() {
        for (name, point) in Point::ALL {
            let faults = Faults::parse(&format!("{name}:2")).expect("the name is of the list");
            let other = Point::ALL.into_iter().find(|(_, other)| *other != point).expect("there are others").1;
            assert_eq!([point, other, point, point].map(|point| faults.is_due(point)), [false, false, true, false]);
        }
        assert!(Faults::parse("after-commit").expect("once is the default").is_due(Point::AfterCommit));
        assert!(!Faults::default().is_due(Point::AfterCommit));
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for wrong in ["never", "after-commit:0", "after-commit:", "after-commit:-1", ":1"] {
            assert!(Faults::parse(wrong).is_none(), "{wrong}");
        }
    }
}
