//! Partitions of any topic, read by hand: from offsets that the reader names, outside of groups.
//!
//! It is for whoever keeps its offsets with its own output, and shares partitions out by itself. It starts where it is
//! told and nowhere else, sees committed records alone, and hands them out as they lie there.

use std::time::Duration;

use rdkafka::Message;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use schemas::{Offset, Partition};

use super::close::closed_within;
use super::context::ObserverContext;
use super::errors::{failed, remedy};
use super::observer::offsets_list;
use super::reading::appended_us;
use super::settings::Settings;
use crate::group::{GroupError, Remedy};

/// A consumer of some partitions of a topic.
pub struct HandReader {
    consumer: Option<BaseConsumer<ObserverContext>>,
    topic: String,
}

/// What was found.
pub enum Found<'a> {
    /// The next record of a partition.
    Record(TopicRecord<'a>),
    /// All records that a partition held at that moment were handed out.
    End(Partition),
}

/// A record as the broker gave it.
pub struct TopicRecord<'a>(BorrowedMessage<'a>);

impl TopicRecord<'_> {
    /// Where it lies.
    pub fn partition(&self) -> Partition {
        Partition(self.0.partition())
    }

    /// Where it lies in its partition.
    pub fn offset(&self) -> i64 {
        self.0.offset()
    }

    /// When the broker appended it, microseconds UTC; negative where its time is the producer's.
    pub fn appended_us(&self) -> i64 {
        appended_us(&self.0)
    }

    /// What placed it among the partitions; empty where it has none.
    pub fn key(&self) -> &[u8] {
        self.0.key().unwrap_or_default()
    }

    /// What it says; empty where it has none.
    pub fn payload(&self) -> &[u8] {
        self.0.payload().unwrap_or_default()
    }
}

impl HandReader {
    /// Begins to read partitions of a topic, each from its offset on.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn open(settings: &Settings, topic: &str, starts: &[(Partition, Offset)]) -> Result<Self, GroupError> {
        settings.check()?;
        let doing = || format!("reading topic {topic}");
        let config = settings.by_hand(starts.len());
        let consumer: BaseConsumer<ObserverContext> =
            BaseConsumer::from_config_and_context(&config, ObserverContext::default())
                .map_err(|error| failed(doing(), &error))?;
        offsets_list(starts.iter().map(|(partition, offset)| (settings.topic(topic), *partition, *offset)))
            .and_then(|list| consumer.assign(&list))
            .map_err(|error| failed(doing(), &error))?;
        Ok(Self { consumer: Some(consumer), topic: topic.to_string() })
    }

    /// The next thing that is found, waited for so long at most. Errors that pass by themselves look like silence.
    ///
    /// # Errors
    /// An offset that the log does not hold, a topic that is gone, access that is denied.
    pub fn poll(&self, wait: Duration) -> Result<Option<Found<'_>>, GroupError> {
        match self.consumer().poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(Found::Record(TopicRecord(message)))),
            Some(Err(KafkaError::PartitionEOF(partition))) => Ok(Some(Found::End(Partition(partition)))),
            Some(Err(error)) if remedy(&error) == Remedy::Retry => Ok(None),
            Some(Err(error)) => Err(failed(format!("reading topic {}", self.topic), &error)),
        }
    }

    fn consumer(&self) -> &BaseConsumer<ObserverContext> {
        self.consumer.as_ref().expect("the consumer is taken away by drop alone")
    }
}

impl Drop for HandReader {
    fn drop(&mut self) {
        closed_within("a consumer outside of groups", self.consumer.take());
    }
}
