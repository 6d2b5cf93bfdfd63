//! The transactional producer of a member's outputs.
//!
//! A transaction opens with the first record or, without one, with the offsets. Its calls block and run under the
//! watchdog. When a commit's outcome is unknown the caller is told to rebuild: the next producer with the same
//! transactional id waits for the brokers to settle it, and the group's offsets then say which way it went.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::RecordBatch;
use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use schemas::Partition;

use super::context::DeliveryContext;
use super::errors::{failed, found};
use super::headers::SchemaHeader;
use super::records::{Record, RecordWriter};
use super::settings::{Settings, named};
use super::watchdog::Watchdog;
use crate::group::{GroupError, Remedy};
use crate::wire::Formats;

/// Pause before a queue is looked at again that is full or not yet empty. A commit waits for it, so it is short.
const PAUSE: Duration = Duration::from_millis(1);

/// Producer that hands its records' failures to its context, on a thread of its own.
pub(super) type Sender = ThreadedProducer<DeliveryContext>;

/// A transactional producer with the writers of its topics.
pub(super) struct Outputs {
    sender: Sender,
    writers: BTreeMap<&'static str, RecordWriter>,
    formats: Formats,
    call_timeout: Duration,
    topic_prefix: String,
    is_open: bool,
}

impl Outputs {
    /// Makes the producer known to the brokers, which fences an earlier one of the same id and ends what it left open.
    pub(super) fn connect(settings: &Settings, unit: &str, watchdog: &Watchdog) -> Result<Self, GroupError> {
        let doing = "making the transactional producer known";
        let config = settings.transactional(unit);
        let sender = Sender::from_config_and_context(&config, DeliveryContext::default())
            .map_err(|error| failed(doing, &error))?;
        let timeout = settings.call_timeout;
        watchdog
            .watched(doing, timeout, || sender.init_transactions(timeout))
            .map_err(|error| failed(doing, &error))?;
        Ok(Self {
            sender,
            writers: BTreeMap::new(),
            formats: settings.formats.clone(),
            call_timeout: timeout,
            topic_prefix: settings.topic_prefix.clone(),
            is_open: false,
        })
    }

    /// Adds rows to the transaction.
    pub(super) fn send(
        &mut self,
        topic: &'static str,
        partition: Partition,
        rows: &RecordBatch,
    ) -> Result<(), GroupError> {
        self.open()?;
        let Self { sender, writers, formats, call_timeout, topic_prefix, .. } = self;
        let name = named(topic_prefix, topic);
        let writer = match writers.entry(topic) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                new.insert(RecordWriter::new(topic, formats.of(topic)?)?)
            }
        };
        writer.write(rows, &mut |_, record| enqueue(sender, (&name, partition), record, *call_timeout))
    }

    /// Commits the records sent, and the offsets with them.
    pub(super) fn commit(
        &mut self,
        offsets: &TopicPartitionList,
        member: &ConsumerGroupMetadata,
        watchdog: &Watchdog,
    ) -> Result<(), GroupError> {
        self.open()?;
        let timeout = self.call_timeout;
        self.deliver()?;
        let doing = "sending offsets to the transaction";
        watchdog
            .watched(doing, timeout, || self.sender.send_offsets_to_transaction(offsets, member, timeout))
            .map_err(|error| failed(doing, &error))?;
        let doing = "committing the transaction";
        let committed = watchdog.watched(doing, timeout, || self.sender.commit_transaction(timeout));
        committed.map_err(|error| {
            let error = failed(doing, &error);
            // The brokers may have committed: the same call cannot be made again with other offsets.
            if error.remedy == Remedy::Retry { GroupError { remedy: Remedy::Rebuild, ..error } } else { error }
        })?;
        self.is_open = false;
        Ok(())
    }

    /// Drops the records sent since the last commit.
    pub(super) fn abort(&mut self, watchdog: &Watchdog) -> Result<(), GroupError> {
        if self.is_open {
            let doing = "aborting the transaction";
            let timeout = self.call_timeout;
            watchdog
                .watched(doing, timeout, || self.sender.abort_transaction(timeout))
                .map_err(|error| failed(doing, &error))?;
            self.is_open = false;
        }
        self.sender.client().context().take();
        Ok(())
    }

    fn open(&mut self) -> Result<(), GroupError> {
        if !self.is_open {
            self.sender.begin_transaction().map_err(|error| failed("beginning a transaction", &error))?;
            self.is_open = true;
        }
        Ok(())
    }

    /// Waits until every record is on the brokers. librdkafka's own wait looks every 100 ms only.
    fn deliver(&self) -> Result<(), GroupError> {
        let doing = "delivering records";
        let is_empty = drained(&self.sender, self.call_timeout);
        if let Some(lost) = self.sender.client().context().take() {
            let error = failed(format!("{doing} to {}", lost.place), &lost.error);
            // What is sent again must be everything of the transaction, not the next records.
            return Err(if error.remedy == Remedy::Retry {
                GroupError { remedy: Remedy::Abort, ..error }
            } else {
                error
            });
        }
        if is_empty {
            Ok(())
        } else {
            Err(found(doing, "the brokers have not taken all records in time", Remedy::Retry))
        }
    }
}

/// Whether the brokers took everything that was sent within the timeout.
pub(super) fn drained(sender: &Sender, timeout: Duration) -> bool {
    let mut waits_left = attempts(timeout);
    while sender.in_flight_count() > 0 {
        if waits_left == 0 {
            return false;
        }
        waits_left -= 1;
        std::thread::sleep(PAUSE);
    }
    true
}

/// Puts one record into the producer's queue, and waits while that is full.
pub(super) fn enqueue(
    sender: &Sender,
    (topic, partition): (&str, Partition),
    sent: Record<'_>,
    timeout: Duration,
) -> Result<(), GroupError> {
    let mut record = BaseRecord::to(topic).partition(partition.0).payload(sent.payload);
    record.key = sent.key;
    record.headers = sent.header.map(SchemaHeader::copied);
    let mut waits_left = attempts(timeout);
    loop {
        let Err((error, refused)) = sender.send(record) else { return Ok(()) };
        let is_full = error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        if !is_full || waits_left == 0 {
            let error = failed(format!("sending a record to {topic}/{partition}"), &error);
            // Records before this one are queued already: the call cannot be made again.
            return Err(if is_full { GroupError { remedy: Remedy::Abort, ..error } } else { error });
        }
        waits_left -= 1;
        record = refused;
        std::thread::sleep(PAUSE);
    }
}

fn attempts(timeout: Duration) -> u128 {
    timeout.as_millis() / PAUSE.as_millis()
}
