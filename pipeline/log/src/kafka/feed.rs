//! A plain producer for whoever feeds a log: gateways, the simulator, the publisher of control records.
//!
//! Records reach the log once and in order for each partition while the producer lives (idempotence). What it does not
//! give is a transaction: after a failure the sender does not know which of its last records arrived.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::producer::Producer;
use schemas::Partition;

use super::close::closed_within;
use super::context::DeliveryContext;
use super::errors::{failed, found};
use super::observer;
use super::outputs::{Sender, drained, enqueue};
use super::records::Record;
use super::settings::{Settings, named};
use crate::group::{GroupError, Remedy};

/// Sends payloads, as they are, to partitions that the sender names.
pub struct Feeder {
    sender: Option<Sender>,
    call_timeout: Duration,
    topic_prefix: String,
}

impl Feeder {
    /// Connects to the brokers; fails within about 5 s when none answers.
    pub fn connect(settings: &Settings) -> Result<Self, GroupError> {
        settings.check()?;
        observer::reach(settings)?;
        let sender = Sender::from_config_and_context(&settings.feeding(), DeliveryContext::default())
            .map_err(|error| failed("making a producer", &error))?;
        let topic_prefix = settings.topic_prefix.clone();
        Ok(Self { sender: Some(sender), call_timeout: settings.call_timeout, topic_prefix })
    }

    /// Queues one record; waits while the queue is full, at most for the call timeout.
    pub fn send(
        &self,
        topic: &str,
        partition: Partition,
        key: Option<&[u8]>,
        payload: &[u8],
    ) -> Result<(), GroupError> {
        self.send_record(topic, partition, Record { key, payload, header: None })
    }

    /// The same with a record that a [`RecordWriter`](super::RecordWriter) made.
    pub fn send_record(&self, topic: &str, partition: Partition, record: Record<'_>) -> Result<(), GroupError> {
        enqueue(self.sender(), (&named(&self.topic_prefix, topic), partition), record, self.call_timeout)
    }

    /// Waits until the brokers have all records that were sent. An error names the first record's partition that
    /// could not be delivered since the last flush.
    pub fn flush(&self, timeout: Duration) -> Result<(), GroupError> {
        let is_empty = drained(self.sender(), timeout);
        if let Some(lost) = self.sender().client().context().take() {
            return Err(failed(format!("delivering a record to {}", lost.place), &lost.error));
        }
        let late = || found("delivering records", "the brokers have not taken all records in time", Remedy::Retry);
        is_empty.then_some(()).ok_or_else(late)
    }

    fn sender(&self) -> &Sender {
        self.sender.as_ref().expect("the producer is taken away by drop alone")
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        closed_within("the feeding producer", self.sender.take());
    }
}
