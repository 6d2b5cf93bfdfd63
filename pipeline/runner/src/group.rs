//! Drives units over the partitions that a consumer group gives to this process.
//!
//! [`run_unit`] serves a unit whose outputs are topics: rows and offsets commit in one transaction, snapshots of each
//! partition's state follow. [`run_collect`] serves the lake: many topics into tables, whose commits hold the offsets.
//! Both hold one lane for each partition, and nothing is shared between lanes but the commit. They know the group only
//! through [`log::group::GroupLog`], tables through [`crate::Tables`] and the time through [`Clock`]; they refuse to
//! decide anything by time but when to commit.

mod collect;
mod driver;
mod fold;
mod lane;
mod member;
mod pass;
mod planted;
mod records;
mod route;
mod unit;

pub use collect::CollectSpec;
pub use fold::{Folded, fold_partition};
pub use pass::pass_through;
pub use route::{Placing, Route, Routed, destination};
pub use unit::UnitSpec;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use log::group::{GroupError, GroupLog, TopicPartition};
use schemas::Offset;

use crate::RunnerError;
use collect::CollectWork;
use driver::Driver;
use unit::UnitWork;

/// Bounds of a group run.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// Largest number of records in one batch.
    pub batch_rows_max: usize,
    /// So many records wait at most for a commit; it bounds the rows in memory and in one transaction.
    pub commit_rows: u64,
    /// A record waits at most so long for its commit. It must be well below the transaction's own timeout.
    pub commit_interval: Duration,
    /// Where nothing is left to read, what waits is committed at once, if the last commit began at least so long ago;
    /// `None`: it waits for the interval all the same.
    pub commit_early: Option<Duration>,
    /// Snapshots are taken at multiples of this offset, when a partition goes, and at a graceful stop. A unit without
    /// outputs of its own (the lake) takes none.
    pub snapshot_rows: i64,
    /// Besides, a partition that has moved gets one after this time: retention passes where few records come too.
    pub snapshot_interval: Duration,
    /// How long one wait for an event takes at most: the longest time until a stop is noticed.
    pub wait: Duration,
}

impl Default for GroupSettings {
    /// Figures for answers within tens of milliseconds: a transaction costs about 15 ms, so it is made at most some
    /// twenty times a second.
    fn default() -> Self {
        Self {
            batch_rows_max: 8_192,
            commit_rows: 65_536,
            commit_interval: Duration::from_millis(50),
            commit_early: Some(Duration::from_millis(50)),
            snapshot_rows: 65_536,
            snapshot_interval: Duration::from_secs(60),
            wait: Duration::from_millis(200),
        }
    }
}

/// Time as the driver knows it: when to commit and how long to pause. No result depends on it.
pub trait Clock {
    /// Time since some fixed moment; it never goes back.
    fn now(&self) -> Duration;

    /// Waits.
    fn sleep(&self, pause: Duration);
}

/// Told what a driver does, for metrics. Every method does nothing by default.
pub trait Observer {
    /// A batch of so many records was read.
    fn read(&mut self, _unit: &'static str, _partition: TopicPartition, _records: u64) {}

    /// A commit made so many rows visible.
    fn committed(&mut self, _rows: u64, _took: Duration) {}

    /// A snapshot was written.
    fn snapshot(&mut self, _partition: TopicPartition, _at: Offset, _bytes: u64, _took: Duration) {}

    /// So many records were not used, for a reason that is in their rows: this output is that of dead letters, or of the
    /// fixes that cleaning left out.
    fn left_out(&mut self, _output: &'static str, _reason: &str, _count: u64) {}

    /// Whether everything that lies in the assigned partitions has been read and committed, when that changes.
    fn caught_up(&mut self, _all: bool) {}

    /// So many partitions are assigned now.
    fn assigned(&mut self, _partitions: usize) {}

    /// Records between where each partition has been read and its end, about once a second.
    fn lag(&mut self, _lags: &[(TopicPartition, i64)]) {}

    /// The member was of no more use, and a new one is made.
    fn rebuilt(&mut self, _reason: &str) {}
}

/// An observer that looks away.
impl Observer for () {}

/// What a group run did, up to its graceful stop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupReport {
    /// Records read, those of replays included.
    pub records: u64,
    /// Rows committed, by topic or table.
    pub rows_written: BTreeMap<&'static str, u64>,
    /// Rows of replays that the outputs had already.
    pub rows_suppressed: u64,
    /// How often a transaction, a table or the member failed and the lanes went back.
    pub went_back: u64,
    /// Next offset to read of each partition that was assigned at the end.
    pub positions: BTreeMap<TopicPartition, Offset>,
}

/// Makes a member of the group; called again where one was of no more use.
pub type Connect<'a> = dyn FnMut() -> Result<Box<dyn GroupLog>, GroupError> + 'a;

/// What a group run needs besides its unit.
pub struct GroupSurroundings<'a> {
    /// Makes the member.
    pub connect: &'a mut Connect<'a>,
    /// Bounds.
    pub settings: &'a GroupSettings,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Set from outside to stop after the batch at hand.
    pub stop: &'a AtomicBool,
    /// Told what happens.
    pub observer: &'a mut dyn Observer,
}

/// Runs a unit whose outputs are topics until it is told to stop; then everything that was read is committed, and a
/// snapshot of each partition is left from which another process goes on without a replay.
pub fn run_unit(spec: UnitSpec<'_>, surroundings: GroupSurroundings<'_>) -> Result<GroupReport, RunnerError> {
    let snapshot_rows = surroundings.settings.snapshot_rows;
    Driver::new(UnitWork::new(spec, snapshot_rows), surroundings).run()
}

/// Runs the lake unit until it is told to stop: rows of many topics into tables.
pub fn run_collect(spec: CollectSpec<'_>, surroundings: GroupSurroundings<'_>) -> Result<GroupReport, RunnerError> {
    Driver::new(CollectWork::new(spec), surroundings).run()
}

#[cfg(test)]
mod tests;
