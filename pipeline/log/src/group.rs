//! A member of a consumer group with the transactional producer of its outputs, as the runner sees it.
//!
//! One member serves one unit in one process. It is told which partitions come and go, reads them from offsets that
//! the runner names, and commits what it sent together with how far it has read. Whoever implements it keeps this:
//!
//! * Of a partition nothing is handed out before its [`GroupLog::start`] and nothing after its release, revoked or not.
//! * Batches of one partition come in order, without gaps but for offsets at which the log has no readable record.
//! * What [`GroupLog::commit`] was told is visible to others as a whole or not at all, rows and offsets together.
//! * A member that has lost a partition to another cannot commit for it any more, even where it does not know yet.

use std::time::Duration;

use arrow::array::RecordBatch;
use schemas::{Offset, Partition};

use crate::LogBatch;

/// One partition of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: &'static str,
    /// Its partition.
    pub partition: Partition,
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// What happens to a member.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// These partitions are this member's from now on. Nothing of them is read until they are started.
    Assigned(Vec<TopicPartition>),
    /// These go to another member, which waits for it: commit what was read of them, then release them.
    Revoked(Vec<TopicPartition>),
    /// These are another member's already: drop what was not committed, abort, then release them.
    Lost(Vec<TopicPartition>),
    /// Records of one partition. `next` is where reading goes on: everything below it has been handed out or is no
    /// readable record.
    Batch {
        /// Where they lie.
        partition: TopicPartition,
        /// Rows and rejects.
        batch: LogBatch,
        /// Next offset to read.
        next: Offset,
    },
    /// Everything that the partition holds at this moment has been handed out.
    CaughtUp(TopicPartition),
    /// Nothing happened within the wait.
    Idle,
}

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// It passes: make the same call again after a pause.
    Retry,
    /// Abort the transaction and go back to the snapshots; the member itself is sound.
    Abort,
    /// This member is of no more use (fenced, or its producer failed for good): drop it, make a new one and go back to
    /// the snapshots.
    Rebuild,
    /// Nothing helps without an operator.
    Stop,
    /// Neither; and going on could lose or double something: what is needed is missing, or another thing than it was.
    Refuse,
}

impl Remedy {
    /// Whether the caller can do nothing by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Stop | Self::Refuse)
    }
}

/// A call on a member failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {reason}")]
pub struct GroupError {
    /// What was being done.
    pub doing: String,
    /// What went wrong and, where only an operator can help, what to do.
    pub reason: String,
    /// What the caller can do.
    pub remedy: Remedy,
}

impl GroupError {
    /// Whether going on could lose or double something (exit code 3).
    pub fn is_refusal(&self) -> bool {
        self.remedy == Remedy::Refuse
    }
}

/// First offset that a partition still has, and the next one that it will give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First offset that is still there.
    pub start: Offset,
    /// End of what readers of committed records may see.
    pub end: Offset,
}

/// A member of a consumer group and the producer of its outputs.
pub trait GroupLog {
    /// What happens next; [`Event::Idle`] after at most `wait`. A batch has at most `rows_max` records.
    fn next(&mut self, rows_max: usize, wait: Duration) -> Result<Event, GroupError>;

    /// Reads assigned partitions from these offsets on. One that is being read already goes to the offset, and what was
    /// fetched of it and not handed out is dropped.
    fn start(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), GroupError>;

    /// Reads these no longer. It is the answer to [`Event::Revoked`] and [`Event::Lost`].
    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), GroupError>;

    /// Offset that the group has committed; `None`: never. It waits for open transactions that would change it.
    fn committed(&mut self, partition: TopicPartition) -> Result<Option<Offset>, GroupError>;

    /// What the partition holds.
    fn bounds(&mut self, partition: TopicPartition) -> Result<Bounds, GroupError>;

    /// Number of partitions of a topic.
    fn partition_count(&mut self, topic: &'static str) -> Result<u16, GroupError>;

    /// Adds rows to the transaction, which the first call after a commit opens. Rows have the topic's schema.
    fn send(&mut self, topic: &'static str, partition: Partition, rows: &RecordBatch) -> Result<(), GroupError>;

    /// Commits what was sent, if anything, together with the next offset to read of each partition. A member without
    /// outputs commits the offsets alone.
    fn commit(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<(), GroupError>;

    /// Drops what was sent since the last commit.
    fn abort(&mut self) -> Result<(), GroupError>;

    /// Records between where each started partition has been read and its end, where the log knows it.
    fn lag(&self) -> Vec<(TopicPartition, i64)> {
        Vec::new()
    }
}
