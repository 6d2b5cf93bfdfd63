//! An in-memory broker: topics with partitions, and transactions that behave like Kafka's.
//!
//! What it keeps of Kafka: rows sent in a transaction take their offsets at once, the marker that commits or aborts it
//! takes one more in each partition, so offsets have gaps; readers see committed rows only and stop at the first
//! transaction that is still open; offsets of inputs commit together with rows; and a producer with the same
//! transactional id fences the one before. It is for tests and simulation; it refuses files and threads of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use schemas::{Offset, Partition};

use crate::{LogBatch, LogError, LogIdentity, LogReader};

mod group;

pub use group::{Call, Hook, Membership, MemoryMember, Moment};

/// What a broker refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// The topic or its partition is not there.
    #[error("topic {0} has no partition {1}; create the topic with enough partitions")]
    NoPartition(String, Partition),
    /// A topic exists already.
    #[error("topic {0} exists already; partition counts are fixed for a topic's life")]
    TopicExists(String),
    /// Rows have another schema than their topic.
    #[error("rows sent to topic {0} do not have its schema; send the topic's columns in its order")]
    WrongSchema(String),
    /// A newer producer with the same transactional id has taken over: stop.
    #[error("producer {0} was fenced by a newer one with the same id; stop, it goes on from here")]
    Fenced(String),
    /// No transaction is open, or one is open already.
    #[error("producer {id} called {call} although a transaction is {state}")]
    Transaction {
        /// The transactional id.
        id: String,
        /// What was called.
        call: &'static str,
        /// Open or not open.
        state: &'static str,
    },
}

/// Topics, producers and committed input offsets; clones are the same broker.
#[derive(Debug, Clone, Default)]
pub struct Broker(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<String, Topic>,
    producers: BTreeMap<String, ProducerState>,
    /// Committed offsets by group, topic and partition.
    committed: BTreeMap<InputPartition, Offset>,
    groups: BTreeMap<String, group::Group>,
    /// First offset of partitions whose older records are gone.
    starts: BTreeMap<(String, Partition), Offset>,
}

/// Group, topic and partition.
type InputPartition = (String, String, Partition);

#[derive(Debug)]
struct Topic {
    schema: SchemaRef,
    partitions: BTreeMap<Partition, Vec<Segment>>,
}

/// Consecutive offsets of one partition.
#[derive(Debug)]
struct Segment {
    first: i64,
    /// Rows; `None` for a marker, which takes one offset.
    rows: Option<RecordBatch>,
    visibility: Visibility,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Visibility {
    Committed,
    Aborted,
    /// In the open transaction of this producer.
    Open(String),
}

#[derive(Debug, Default)]
struct ProducerState {
    epoch: u64,
    open: Option<Transaction>,
}

#[derive(Debug, Default)]
struct Transaction {
    partitions: BTreeSet<(String, Partition)>,
    offsets: BTreeMap<InputPartition, Offset>,
}

impl Segment {
    fn end(&self) -> i64 {
        let offsets = self.rows.as_ref().map_or(1, RecordBatch::num_rows);
        self.first + i64::try_from(offsets).expect("a batch has fewer than 2^63 rows")
    }
}

impl State {
    fn partition(&mut self, topic: &str, partition: Partition) -> Result<(&SchemaRef, &mut Vec<Segment>), MemoryError> {
        let found = self
            .topics
            .get_mut(topic)
            .and_then(|topic| topic.partitions.get_mut(&partition).map(|segments| (&topic.schema, segments)));
        found.ok_or_else(|| MemoryError::NoPartition(topic.to_string(), partition))
    }

    fn append(
        &mut self,
        topic: &str,
        partition: Partition,
        rows: Option<RecordBatch>,
        visibility: Visibility,
    ) -> Result<Offset, MemoryError> {
        let (schema, segments) = self.partition(topic, partition)?;
        if rows.as_ref().is_some_and(|rows| rows.schema() != *schema) {
            return Err(MemoryError::WrongSchema(topic.to_string()));
        }
        let first = segments.last().map_or(0, Segment::end);
        if rows.as_ref().is_none_or(|rows| rows.num_rows() > 0) {
            segments.push(Segment { first, rows, visibility });
        }
        Ok(Offset(first))
    }

    /// Ends a producer's open transaction, if there is one.
    fn end(&mut self, id: &str, outcome: &Visibility) -> Result<(), MemoryError> {
        let Some(transaction) = self.producers.get_mut(id).and_then(|producer| producer.open.take()) else {
            return Ok(());
        };
        let open = Visibility::Open(id.to_string());
        for (topic, partition) in &transaction.partitions {
            let (_, segments) = self.partition(topic, *partition)?;
            for segment in segments.iter_mut().filter(|segment| segment.visibility == open) {
                segment.visibility = outcome.clone();
            }
            self.append(topic, *partition, None, outcome.clone())?;
        }
        if *outcome == Visibility::Committed {
            self.committed.extend(transaction.offsets);
        }
        Ok(())
    }
}

impl Broker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no call panics while it holds the lock")
    }

    /// Creates a topic with partitions 0 to `partitions - 1`.
    pub fn create_topic(&self, topic: &str, schema: SchemaRef, partitions: u16) -> Result<(), MemoryError> {
        let partitions = (0..partitions).map(|number| (Partition(i32::from(number)), Vec::new())).collect();
        let mut state = self.state();
        if state.topics.contains_key(topic) {
            return Err(MemoryError::TopicExists(topic.to_string()));
        }
        state.topics.insert(topic.to_string(), Topic { schema, partitions });
        Ok(())
    }

    /// Appends rows outside any transaction; returns the offset of the first.
    pub fn append(&self, topic: &str, partition: Partition, rows: RecordBatch) -> Result<Offset, MemoryError> {
        self.state().append(topic, partition, Some(rows), Visibility::Committed)
    }

    /// A producer with a transactional id. An older one with the same id is fenced and its open transaction aborted.
    pub fn producer(&self, id: &str) -> Result<Producer, MemoryError> {
        let mut state = self.state();
        state.end(id, &Visibility::Aborted)?;
        let producer = state.producers.entry(id.to_string()).or_default();
        producer.epoch += 1;
        Ok(Producer { broker: self.clone(), id: id.to_string(), epoch: producer.epoch })
    }

    /// A reader of committed rows, from an offset on.
    pub fn reader(&self, topic: &str, partition: Partition, from: Offset) -> Result<MemoryReader, MemoryError> {
        let schema = self.state().partition(topic, partition)?.0.clone();
        Ok(MemoryReader { broker: self.clone(), topic: topic.to_string(), partition, schema, position: from.0 })
    }

    /// The committed input offset of a group; `None`: never committed.
    pub fn committed(&self, group: &str, topic: &str, partition: Partition) -> Option<Offset> {
        self.state().committed.get(&(group.to_string(), topic.to_string(), partition)).copied()
    }
}

/// Writes in transactions.
#[derive(Debug)]
pub struct Producer {
    broker: Broker,
    id: String,
    epoch: u64,
}

impl Producer {
    /// The broker, if this producer is not fenced and its transaction is open or not, as `call` needs it.
    fn checked(&self, call: &'static str, needs_open: bool) -> Result<MutexGuard<'_, State>, MemoryError> {
        let state = self.broker.state();
        let current = state.producers.get(&self.id).filter(|current| current.epoch == self.epoch);
        let current = current.ok_or_else(|| MemoryError::Fenced(self.id.clone()))?;
        if current.open.is_some() == needs_open {
            return Ok(state);
        }
        let now = if needs_open { "not open" } else { "open" };
        Err(MemoryError::Transaction { id: self.id.clone(), call, state: now })
    }

    fn open<'state>(&self, state: &'state mut State) -> &'state mut Transaction {
        let producer = state.producers.get_mut(&self.id);
        producer.and_then(|producer| producer.open.as_mut()).expect("checked has found the transaction open")
    }

    /// Begins a transaction.
    pub fn begin(&self) -> Result<(), MemoryError> {
        let mut state = self.checked("begin", false)?;
        let producer = state.producers.get_mut(&self.id);
        producer.expect("checked has found the producer").open = Some(Transaction::default());
        Ok(())
    }

    /// Sends rows in the open transaction; returns the offset of the first.
    pub fn send(&self, topic: &str, partition: Partition, rows: RecordBatch) -> Result<Offset, MemoryError> {
        let mut state = self.checked("send", true)?;
        let is_empty = rows.num_rows() == 0;
        let first = state.append(topic, partition, Some(rows), Visibility::Open(self.id.clone()))?;
        if !is_empty {
            self.open(&mut state).partitions.insert((topic.to_string(), partition));
        }
        Ok(first)
    }

    /// Commits, with the transaction, that a group has read a partition up to `next`.
    pub fn send_offset(&self, group: &str, topic: &str, partition: Partition, next: Offset) -> Result<(), MemoryError> {
        let mut state = self.checked("send_offset", true)?;
        self.open(&mut state).offsets.insert((group.to_string(), topic.to_string(), partition), next);
        Ok(())
    }

    /// Makes the transaction's rows and offsets visible, all at once.
    pub fn commit(&self) -> Result<(), MemoryError> {
        self.checked("commit", true)?.end(&self.id, &Visibility::Committed)
    }

    /// Drops the transaction: nobody reads its rows.
    pub fn abort(&self) -> Result<(), MemoryError> {
        self.checked("abort", true)?.end(&self.id, &Visibility::Aborted)
    }
}

/// Where readers of committed rows stop: at the first transaction that is still open.
fn stable_end(segments: &[Segment]) -> i64 {
    let is_open = |segment: &&Segment| matches!(segment.visibility, Visibility::Open(_));
    let open = segments.iter().find(is_open).map(|segment| segment.first);
    open.or(segments.last().map(Segment::end)).unwrap_or(0)
}

/// Reads the committed rows of one partition. Offsets of markers and aborted rows count in a poll, so that it never
/// passes the position asked for; a batch of them alone has no rows.
#[derive(Debug)]
pub struct MemoryReader {
    broker: Broker,
    topic: String,
    partition: Partition,
    schema: SchemaRef,
    position: i64,
}

impl LogReader for MemoryReader {
    fn position(&self) -> Offset {
        Offset(self.position)
    }

    fn poll(&mut self, rows_max: usize) -> Result<Option<LogBatch>, LogError> {
        let mut state = self.broker.state();
        let (_, segments) =
            state.partition(&self.topic, self.partition).expect("topics and their partitions are never removed");
        let stable_end = stable_end(segments);
        let wanted = i64::try_from(rows_max.max(1)).unwrap_or(i64::MAX);
        let end = self.position.saturating_add(wanted).min(stable_end);
        if end <= self.position {
            return Ok(None);
        }
        let mut batches = Vec::new();
        let mut offsets = Vec::new();
        for segment in segments.iter().filter(|segment| segment.visibility == Visibility::Committed) {
            let (start, stop) = (segment.first.max(self.position), segment.end().min(end));
            if let (Some(rows), true) = (&segment.rows, start < stop) {
                let index = |offset: i64| usize::try_from(offset).expect("an index into a batch in memory");
                batches.push(rows.slice(index(start - segment.first), index(stop - start)));
                offsets.extend(start..stop);
            }
        }
        self.position = end;
        Ok(Some(LogBatch {
            rows: concat_batches(&self.schema, &batches)?,
            offsets,
            rejects: Vec::new(),
            appended_us: Vec::new(),
        }))
    }

    fn identity(&self) -> LogIdentity {
        LogIdentity::default()
    }
}

#[cfg(test)]
mod tests;
