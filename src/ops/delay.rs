//! A member of a group that measures how long records wait (from their append to the end of the commit of what was made
//! of them), and notes which partitions are read and how often a transaction is aborted. Everything else it leaves to the
//! member that it wraps.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use log::LogBatch;
use log::group::{Bounds, Event, GroupError, GroupLog, TopicPartition};
use prometheus_client::metrics::histogram::Histogram;
use schemas::{Offset, Partition};

use super::Ops;
use super::metrics::{RemedyLabels, UnitLabel};
use super::unit::ABORT;
use crate::clock;

const MICROSECONDS_A_SECOND: f64 = 1e6;
/// The unit that takes no snapshots: its offsets lie in the tables.
const STATELESS: &str = "lake";

/// A member whose commits are measured against the append times of the records behind them.
pub struct MeasuredLog {
    inner: Box<dyn GroupLog>,
    ops: Arc<Ops>,
    unit: &'static str,
    delays: Histogram,
    waiting: Waiting,
    clock: fn() -> i64,
}

impl MeasuredLog {
    /// The member of this unit, measured.
    pub fn new(inner: Box<dyn GroupLog>, ops: &Arc<Ops>, unit: &'static str) -> Self {
        let delays = ops.metrics.append_to_commit_seconds.get_or_create_owned(&UnitLabel { unit });
        Self { inner, ops: ops.clone(), unit, delays, waiting: Waiting::default(), clock: clock::now_us }
    }
}

impl GroupLog for MeasuredLog {
    fn next(&mut self, rows_max: usize, wait: Duration) -> Result<Event, GroupError> {
        let event = self.inner.next(rows_max, wait)?;
        if let Event::Batch { partition, batch, next } = &event {
            self.waiting.read(*partition, batch, *next);
        }
        Ok(event)
    }

    fn start(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), GroupError> {
        for (of, _) in starts {
            self.waiting.start(*of);
            if self.unit != STATELESS {
                self.ops.metrics.snapshots.begin(self.unit, of.partition);
            }
        }
        self.inner.start(starts)
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), GroupError> {
        for of in partitions {
            self.waiting.batches.remove(of);
            self.ops.metrics.snapshots.end(self.unit, of.partition);
        }
        self.inner.release(partitions)
    }

    fn committed(&mut self, partition: TopicPartition) -> Result<Option<Offset>, GroupError> {
        let committed = self.inner.committed(partition)?;
        self.waiting.committed.insert(partition, committed.unwrap_or_default());
        Ok(committed)
    }

    fn bounds(&mut self, partition: TopicPartition) -> Result<Bounds, GroupError> {
        self.inner.bounds(partition)
    }

    fn partition_count(&mut self, topic: &'static str) -> Result<u16, GroupError> {
        self.inner.partition_count(topic)
    }

    fn send(&mut self, topic: &'static str, partition: Partition, rows: &RecordBatch) -> Result<(), GroupError> {
        self.inner.send(topic, partition, rows)
    }

    fn commit(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<(), GroupError> {
        self.inner.commit(offsets)?;
        if let Some(oldest_us) = self.waiting.commit(offsets) {
            self.delays.observe(((self.clock)() - oldest_us).max(0) as f64 / MICROSECONDS_A_SECOND);
        }
        Ok(())
    }

    fn abort(&mut self) -> Result<(), GroupError> {
        self.ops.metrics.rebuilds.get_or_create(&RemedyLabels { unit: self.unit, remedy: ABORT }).inc();
        self.inner.abort()
    }

    fn lag(&self) -> Vec<(TopicPartition, i64)> {
        self.inner.lag()
    }
}

impl Drop for MeasuredLog {
    /// What was read here is another member's from now on.
    fn drop(&mut self) {
        for of in self.waiting.batches.keys() {
            self.ops.metrics.snapshots.end(self.unit, of.partition);
        }
    }
}

/// Batches that were handed out and not committed yet.
#[derive(Default)]
struct Waiting {
    /// One entry for each partition that is read.
    batches: BTreeMap<TopicPartition, VecDeque<Batch>>,
    /// Records below were committed before: what a replay reads of them is not waiting for a commit.
    committed: BTreeMap<TopicPartition, Offset>,
}

struct Batch {
    first: i64,
    next: Offset,
    oldest_us: i64,
}

impl Waiting {
    fn read(&mut self, partition: TopicPartition, batch: &LogBatch, next: Offset) {
        let committed = self.committed.get(&partition).copied().unwrap_or_default();
        let replayed = batch.offsets.partition_point(|offset| *offset < committed.0);
        let appended_us = batch.appended_us.get(replayed..).unwrap_or_default();
        // A topic whose timestamps are its producers' says nothing (-1).
        let oldest_us = appended_us.iter().filter(|us| **us >= 0).min();
        if let (Some(first), Some(oldest_us)) = (batch.offsets.get(replayed), oldest_us) {
            let batch = Batch { first: *first, next, oldest_us: *oldest_us };
            self.batches.entry(partition).or_default().push_back(batch);
        }
    }

    /// Append time of the oldest record of a commit, where it holds any.
    fn commit(&mut self, offsets: &[(TopicPartition, Offset)]) -> Option<i64> {
        let mut oldest_us = None;
        for (partition, next) in offsets {
            self.committed.insert(*partition, *next);
            let Some(batches) = self.batches.get_mut(partition) else { continue };
            for batch in batches.iter_mut().take_while(|batch| batch.first < next.0) {
                oldest_us = Some(oldest_us.map_or(batch.oldest_us, |oldest: i64| oldest.min(batch.oldest_us)));
                batch.first = next.0;
            }
            while batches.front().is_some_and(|batch| batch.next <= *next) {
                batches.pop_front();
            }
        }
        oldest_us
    }

    /// The partition is read from now on; what was handed out of it before was dropped.
    fn start(&mut self, partition: TopicPartition) {
        self.batches.insert(partition, VecDeque::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTITION: TopicPartition = TopicPartition { topic: "payments", partition: Partition(3) };

    /// Records at these offsets, each appended at ten times its offset.
    fn batch(offsets: std::ops::Range<i64>) -> LogBatch {
        let appended_us = offsets.clone().map(|offset| offset * 10).collect();
        let rows = RecordBatch::new_empty(schemas::topics::payments_topic());
        LogBatch { rows, offsets: offsets.collect(), rejects: Vec::new(), appended_us }
    }

    #[test]
    fn a_commit_is_measured_from_its_oldest_record() {
        let mut waiting = Waiting::default();
        waiting.read(PARTITION, &batch(5..8), Offset(8));
        waiting.read(PARTITION, &batch(8..10), Offset(11));
        let other = TopicPartition { partition: Partition(4), ..PARTITION };
        waiting.read(other, &batch(2..3), Offset(3));
        assert_eq!(waiting.commit(&[(PARTITION, Offset(8))]), Some(50));
        assert_eq!(waiting.commit(&[(PARTITION, Offset(11)), (other, Offset(3))]), Some(20));
        assert_eq!(waiting.commit(&[(PARTITION, Offset(11))]), None, "a commit without new records says nothing");
        assert!(waiting.batches[&PARTITION].is_empty());
    }

    /// Without the frontier that was committed before, a replay after an outage would count its length again.
    #[test]
    fn replayed_records_and_dropped_batches_are_left_out() {
        let mut waiting = Waiting::default();
        waiting.committed.insert(PARTITION, Offset(7));
        waiting.read(PARTITION, &batch(5..7), Offset(7));
        waiting.read(PARTITION, &batch(6..9), Offset(9));
        assert_eq!(waiting.commit(&[(PARTITION, Offset(9))]), Some(70));
        waiting.read(PARTITION, &batch(9..12), Offset(12));
        waiting.start(PARTITION);
        assert_eq!(waiting.commit(&[(PARTITION, Offset(12))]), None);
    }

    #[test]
    fn a_batch_that_is_cut_by_a_commit_counts_in_both() {
        let mut waiting = Waiting::default();
        waiting.read(PARTITION, &batch(0..10), Offset(10));
        assert_eq!(waiting.commit(&[(PARTITION, Offset(4))]), Some(0));
        assert_eq!(waiting.commit(&[(PARTITION, Offset(4))]), None);
        assert_eq!(waiting.commit(&[(PARTITION, Offset(10))]), Some(0));
    }
}
