//! The partitions that a member reads: each has a queue of its own, from which batches are made.
//!
//! One queue for all of them would not do: the end of a partition is told without its topic. A queue is taken before
//! its partition is assigned, so that no record of it can come another way, and a partition that goes to another offset
//! keeps its queue: what lies in it from before is dropped by librdkafka (each fetch carries the version of the seek
//! that it belongs to).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Timestamp};
use schemas::Offset;

use super::context::MemberContext;
use super::errors::{failed, found, remedy};
use super::headers::schema_header;
use crate::group::{Event, GroupError, Remedy, TopicPartition};
use crate::wire::{Decoder, RawRecords, SchemaSource};

/// Bytes of payloads in a batch; the record that passes it is the last.
const BATCH_BYTES: usize = 8 << 20;
const MICROSECONDS_PER_MILLISECOND: i64 = 1_000;

/// A partition that is assigned in librdkafka.
struct Reader {
    queue: PartitionQueue<MemberContext>,
    /// What is read of it; none while it is not started or released.
    cursor: Option<Cursor>,
}

/// Where a partition is being read.
struct Cursor {
    next: Offset,
    decoder: Decoder,
}

/// How the records of one look at a queue ended.
enum End {
    /// There is more, or there will be.
    Open,
    /// The end of the partition.
    OfPartition,
    Failed(GroupError),
}

/// The partitions of a member.
#[derive(Default)]
pub(super) struct Reading {
    readers: BTreeMap<TopicPartition, Reader>,
    /// What follows the last batch.
    follows: VecDeque<Result<Event, GroupError>>,
    /// The partition looked at last, so that each has its turn.
    last: Option<TopicPartition>,
    raw: RawRecords,
    source: Option<Arc<dyn SchemaSource>>,
}

impl Reading {
    /// Where the decoders find schemas that control records name.
    pub(super) fn set_source(&mut self, source: Arc<dyn SchemaSource>) {
        self.source = Some(source);
    }

    /// Whether librdkafka has the partition among those it fetches.
    pub(super) fn is_assigned(&self, partition: TopicPartition) -> bool {
        self.readers.contains_key(&partition)
    }

    /// Whether the partition is started and not released.
    pub(super) fn is_started(&self, partition: TopicPartition) -> bool {
        self.readers.get(&partition).is_some_and(|reader| reader.cursor.is_some())
    }

    /// Takes the partition's queue; before it is assigned.
    pub(super) fn attach(
        &mut self,
        consumer: &Arc<BaseConsumer<MemberContext>>,
        context: &MemberContext,
        partition: TopicPartition,
    ) -> Result<(), GroupError> {
        let queue = consumer.split_partition_queue(&consumer.context().name_of(partition.topic), partition.partition.0);
        let mut queue =
            queue.ok_or_else(|| found(format!("starting {partition}"), "it has no queue", Remedy::Rebuild))?;
        let signal = Arc::clone(&context.signal);
        queue.set_nonempty_callback(move || signal.raise());
        self.readers.insert(partition, Reader { queue, cursor: None });
        Ok(())
    }

    /// Hands the partition out from this offset on.
    pub(super) fn start(&mut self, partition: TopicPartition, next: Offset) -> Result<(), GroupError> {
        self.forget(partition);
        let mut decoder = Decoder::new(partition.topic)?;
        if let Some(source) = &self.source {
            decoder = decoder.with_source(Arc::clone(source));
            let noted = source.noted(partition, next).map_err(|reason| {
                found(format!("looking for the schemas in force on {partition}"), reason, Remedy::Refuse)
            })?;
            decoder.resume(&noted)?;
        }
        if let Some(reader) = self.readers.get_mut(&partition) {
            reader.cursor = Some(Cursor { next, decoder });
        }
        Ok(())
    }

    /// Hands nothing of the partition out any more.
    pub(super) fn stop(&mut self, partition: TopicPartition) {
        self.forget(partition);
        if let Some(reader) = self.readers.get_mut(&partition) {
            reader.cursor = None;
        }
    }

    /// Gives the partition's queue up; after it was unassigned.
    pub(super) fn detach(&mut self, partition: TopicPartition) {
        self.readers.remove(&partition);
    }

    /// Next offset to read of each started partition.
    pub(super) fn positions(&self) -> impl Iterator<Item = (TopicPartition, Offset)> {
        self.readers.iter().filter_map(|(partition, reader)| Some((*partition, reader.cursor.as_ref()?.next)))
    }

    /// The next batch or end of a partition that lies there already.
    pub(super) fn next(&mut self, rows_max: usize) -> Result<Option<Event>, GroupError> {
        if let Some(followed) = self.follows.pop_front() {
            return followed.map(Some);
        }
        for partition in self.turns() {
            if let Some(event) = self.look(partition, rows_max)? {
                self.last = Some(partition);
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Started partitions, those after the last one first.
    fn turns(&self) -> Vec<TopicPartition> {
        let started = || self.positions().map(|(partition, _)| partition);
        let is_later = |partition: &TopicPartition| Some(*partition) > self.last;
        started().filter(is_later).chain(started().filter(|partition| !is_later(partition))).collect()
    }

    fn look(&mut self, partition: TopicPartition, rows_max: usize) -> Result<Option<Event>, GroupError> {
        let Some(Reader { queue, cursor: Some(cursor) }) = self.readers.get_mut(&partition) else { return Ok(None) };
        self.raw.clear();
        let end = collect(queue, partition, cursor, &mut self.raw, rows_max);
        let end = match end {
            End::Open => None,
            End::OfPartition => Some(Ok(Event::CaughtUp(partition))),
            End::Failed(error) => Some(Err(error)),
        };
        if self.raw.is_empty() {
            return end.transpose();
        }
        let batch = cursor.decoder.decode(&self.raw)?;
        // Before anybody can commit past them.
        for change in cursor.decoder.take_changes() {
            let noted = self.source.as_ref().map_or(Ok(()), |source| source.note(partition, change));
            noted.map_err(|reason| found(format!("noting a schema of {partition}"), reason, Remedy::Stop))?;
        }
        self.follows.extend(end);
        Ok(Some(Event::Batch { partition, batch, next: cursor.next }))
    }

    fn forget(&mut self, partition: TopicPartition) {
        self.follows.retain(|followed| !matches!(followed, Ok(Event::CaughtUp(of)) if *of == partition));
    }
}

/// Takes what lies in the queue, up to the bounds of a batch.
fn collect(
    queue: &PartitionQueue<MemberContext>,
    partition: TopicPartition,
    cursor: &mut Cursor,
    raw: &mut RawRecords,
    rows_max: usize,
) -> End {
    while raw.len() < rows_max.max(1) && raw.bytes.len() < BATCH_BYTES {
        match queue.poll(Duration::ZERO) {
            Some(Ok(message)) => {
                if message.offset() >= cursor.next.0 {
                    let payload = message.payload().unwrap_or_default();
                    let header = schema_header(&message, payload);
                    raw.push_with(message.offset(), appended_us(&message), payload, header);
                    cursor.next = Offset(message.offset() + 1);
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return End::OfPartition,
            // The client goes on by itself after what passes.
            Some(Err(error)) if remedy(&error) == Remedy::Retry => {}
            Some(Err(error)) => {
                return End::Failed(failed(format!("reading {partition} at offset {}", cursor.next), &error));
            }
            None => break,
        }
    }
    End::Open
}

/// When the broker appended the record; -1 on a topic whose timestamps are its producers'.
pub(super) fn appended_us(message: &BorrowedMessage<'_>) -> i64 {
    match message.timestamp() {
        Timestamp::LogAppendTime(milliseconds) => milliseconds.saturating_mul(MICROSECONDS_PER_MILLISECOND),
        Timestamp::CreateTime(_) | Timestamp::NotAvailable => -1,
    }
}
