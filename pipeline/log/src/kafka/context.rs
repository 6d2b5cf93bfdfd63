//! What librdkafka tells between calls: rebalances, statistics, failed deliveries, its own words about trouble.
//!
//! Its callbacks run inside the calls of the member's own thread; they only write down what happened. How each
//! rebalance is answered is documented at [`MemberContext::rebalance`].

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Message, Statistics, TopicPartitionList};
use schemas::Partition;

use super::settings::named;
use super::words::Words;
use crate::group::{Event, TopicPartition};

/// Wakes the member's thread when something lies in one of its queues.
#[derive(Default)]
pub(super) struct Signal {
    is_raised: Mutex<bool>,
    raised: Condvar,
}

impl Signal {
    pub(super) fn raise(&self) {
        *lock(&self.is_raised) = true;
        self.raised.notify_one();
    }

    /// Before the queues are looked at, so that what comes later raises it anew.
    pub(super) fn clear(&self) {
        *lock(&self.is_raised) = false;
    }

    pub(super) fn wait(&self, wait: Duration) {
        let raised = lock(&self.is_raised);
        drop(self.raised.wait_timeout_while(raised, wait, |is_raised| !*is_raised));
    }
}

/// What the group asked of the member and has not been answered.
#[derive(Default)]
pub(super) struct Group {
    /// Events that the member has not been told yet.
    pub(super) events: VecDeque<Event>,
    /// Partitions of the revocation that waits for its answer; the group has at most one at a time.
    pub(super) leaving: BTreeSet<TopicPartition>,
    /// Whether they are another member's already.
    pub(super) is_lost: bool,
    /// An answer that librdkafka refused.
    pub(super) refused: Option<String>,
}

/// Facility under which librdkafka writes that the member has another identity in the group, before it joins under it.
const NEW_IDENTITY: &str = "MEMBERID";

/// Who the member is to its group. A group that has not heard of a member for its session gives its partitions away, and
/// takes it in again under another identity. librdkafka 2.12 tells of the loss but where it meets the member while it
/// joins (`rd_kafka_cgrp_handle_JoinGroup`, unknown member): there it goes on with partitions that are others' by then,
/// under a generation that the brokers accept. So it is noted here when the identity changes.
#[derive(Default)]
struct Identity {
    has_partitions: AtomicBool,
    has_changed: AtomicBool,
}

impl Identity {
    fn change(&self) {
        self.has_changed.fetch_or(self.has_partitions.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    fn assign(&self) {
        self.has_partitions.store(true, Ordering::SeqCst);
    }

    /// Whether it changed after the first partitions were assigned.
    fn is_another(&self) -> bool {
        self.has_changed.load(Ordering::SeqCst)
    }
}

/// Context of a group's member.
pub(super) struct MemberContext {
    topics: Vec<&'static str>,
    topic_prefix: String,
    group: Mutex<Group>,
    ends: Mutex<BTreeMap<TopicPartition, i64>>,
    is_closing: AtomicBool,
    words: Words,
    identity: Identity,
    pub(super) signal: Arc<Signal>,
}

impl MemberContext {
    pub(super) fn new(topics: &[&'static str], topic_prefix: &str) -> Self {
        Self {
            topics: topics.to_vec(),
            topic_prefix: topic_prefix.to_string(),
            group: Mutex::default(),
            ends: Mutex::default(),
            is_closing: AtomicBool::new(false),
            words: Words::default(),
            identity: Identity::default(),
            signal: Arc::default(),
        }
    }

    pub(super) fn group(&self) -> MutexGuard<'_, Group> {
        lock(&self.group)
    }

    /// Whether the group knows the member by another identity than when it gave it partitions: they may be others' now.
    pub(super) fn is_another(&self) -> bool {
        self.identity.is_another()
    }

    /// End of what readers of committed records may see, as the last statistics had it.
    pub(super) fn ends(&self) -> BTreeMap<TopicPartition, i64> {
        lock(&self.ends).clone()
    }

    /// From now on the group's wishes are met at once, so that closing can finish.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
    }

    /// The topic by this name, of those that the member reads.
    pub(super) fn topic(&self, name: &str) -> Option<&'static str> {
        let plain = name.strip_prefix(self.topic_prefix.as_str())?;
        self.topics.iter().copied().find(|topic| *topic == plain)
    }

    /// Name of a topic on the brokers.
    pub(super) fn name_of(&self, topic: &'static str) -> Cow<'static, str> {
        named(&self.topic_prefix, topic)
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<TopicPartition> {
        let elements = list.elements();
        let known = elements.iter().filter_map(|element| {
            let topic = self.topic(element.topic())?;
            Some(TopicPartition { topic, partition: Partition(element.partition()) })
        });
        known.collect()
    }

    /// Answers at once where nobody needs to be asked; `Err` for an answer that was refused.
    fn answer(
        &self,
        consumer: &BaseConsumer<Self>,
        is_assigned: bool,
        list: &TopicPartitionList,
    ) -> Result<(), KafkaError> {
        if self.is_closing.load(Ordering::SeqCst) {
            // Unassigning what was never started is refused, and a refused answer leaves the group waiting.
            return match is_assigned {
                true => consumer.incremental_assign(&TopicPartitionList::new()),
                false => consumer.incremental_unassign(&consumer.assignment()?),
            };
        }
        let partitions = self.partitions(list);
        if is_assigned {
            if !partitions.is_empty() {
                self.identity.assign();
                self.group().events.push_back(Event::Assigned(partitions));
            }
            return consumer.incremental_assign(&TopicPartitionList::new());
        }
        if partitions.is_empty() {
            return consumer.incremental_unassign(&TopicPartitionList::new());
        }
        let is_lost = consumer.assignment_lost();
        let mut group = self.group();
        group.leaving.extend(partitions.iter().copied());
        group.is_lost = is_lost;
        group.events.push_back(if is_lost { Event::Lost(partitions) } else { Event::Revoked(partitions) });
        Ok(())
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == NEW_IDENTITY {
            self.identity.change();
        }
        self.words.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.words.statistics(&statistics);
        let mut ends = lock(&self.ends);
        ends.clear();
        for (name, topic) in &statistics.topics {
            let Some(topic_name) = self.topic(name) else { continue };
            let known = topic.partitions.iter().filter(|(_, partition)| partition.ls_offset >= 0);
            ends.extend(known.map(|(number, partition)| {
                (TopicPartition { topic: topic_name, partition: Partition(*number) }, partition.ls_offset)
            }));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition comes this way too, and is no trouble.
        if error != KafkaError::Global(rdkafka::error::RDKafkaErrorCode::PartitionEOF) {
            self.words.error(&error, reason);
        }
    }
}

impl ConsumerContext for MemberContext {
    /// New partitions are taken over at once, with nothing to read: the group goes on, and each partition is added to
    /// what is read by its `start`, however long its snapshot takes to load. A revocation is answered when all of its
    /// partitions have been released: until then the group gives none of them to another member.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, cause: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let is_assigned = cause == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if let Err(error) = self.answer(consumer, is_assigned, list) {
            self.group().refused = Some(error.to_string());
        }
    }
}

/// Context of a producer: remembers the first record that could not be delivered.
#[derive(Default)]
pub(super) struct DeliveryContext {
    words: Words,
    failure: Arc<Mutex<Option<Undelivered>>>,
}

/// A record that could not be delivered.
#[derive(Debug, Clone)]
pub(super) struct Undelivered {
    pub(super) place: String,
    pub(super) error: KafkaError,
}

impl DeliveryContext {
    /// Takes the first failure since the last call.
    pub(super) fn take(&self) -> Option<Undelivered> {
        lock(&self.failure).take()
    }
}

impl ClientContext for DeliveryContext {
    fn stats(&self, statistics: Statistics) {
        self.words.statistics(&statistics);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.words.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.words.error(&error, reason);
    }
}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((error, message)) = result {
            let place = format!("{}/{}", message.topic(), message.partition());
            lock(&self.failure).get_or_insert(Undelivered { place, error: error.clone() });
        }
    }
}

/// Context of a client that looks around: remembers what librdkafka last said about trouble.
#[derive(Default)]
pub(super) struct ObserverContext {
    trouble: Mutex<Option<(KafkaError, String)>>,
}

impl ObserverContext {
    /// What was last said, with its cause in words.
    pub(super) fn trouble(&self) -> Option<(KafkaError, String)> {
        lock(&self.trouble).clone()
    }
}

impl ClientContext for ObserverContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "till::kafka", ?level, "{facility}: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let is_summary = error == KafkaError::Global(rdkafka::error::RDKafkaErrorCode::AllBrokersDown);
        let mut trouble = lock(&self.trouble);
        // "All brokers are down" follows the cause and says less.
        if !is_summary || trouble.is_none() {
            *trouble = Some((error, reason.to_string()));
        }
    }
}

impl ConsumerContext for ObserverContext {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if a member that joins for the first time counts as another, or one that comes back as the same.
    #[test]
    fn who_comes_back_under_another_identity_is_another() {
        let identity = Identity::default();
        identity.change();
        identity.change();
        assert!(!identity.is_another(), "it has nothing yet");
        identity.assign();
        identity.assign();
        assert!(!identity.is_another());
        identity.change();
        assert!(identity.is_another());
        identity.assign();
        assert!(identity.is_another(), "what it had before it still has");
    }
}
