//! A client that looks at brokers, topics and offsets without being a member of a group.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset as RawOffset, TopicPartitionList};
use schemas::{Offset, Partition};

use super::close::closed_within;
use super::context::ObserverContext;
use super::errors::{failed, found, of_code, remedy};
use super::membership::{Membership, Place};
use super::reading::appended_us;
use super::settings::{Settings, named};
use crate::group::{Bounds, GroupError, Remedy};

/// One attempt to reach a broker, and how many: 5 s in all, so that a wrong address is told soon.
const ATTEMPT: Duration = Duration::from_millis(500);
const ATTEMPTS: usize = 10;
/// Time to take in events that are there.
const HEARING: Duration = Duration::from_millis(5);
/// One wait for a topic to appear, and how many: brokers learn of a new topic one after the other.
const APPEARANCE: Duration = Duration::from_millis(100);
const APPEARANCES: usize = 50;
/// One look for a record.
const LOOK: Duration = Duration::from_millis(100);
/// Longest wait for the description of a group, which nobody is in a hurry for.
const DESCRIPTION: Duration = Duration::from_secs(5);
/// Offsets at the end of a partition among which its newest record is looked for; some hold ends of transactions.
const TAIL: i64 = 16;

/// A consumer outside of groups. Its group name only says whose offsets it looks at.
pub(super) struct Observer {
    consumer: Option<BaseConsumer<ObserverContext>>,
    call_timeout: Duration,
    topic_prefix: String,
}

impl Observer {
    /// Connects; fails within about 5 s when no broker answers, and at once when one refuses.
    pub(super) fn connect(settings: &Settings, group: &str) -> Result<Self, GroupError> {
        Self::connect_with(&settings.observer(group), settings)
    }

    /// The same with another configuration of the client.
    pub(super) fn connect_with(config: &ClientConfig, settings: &Settings) -> Result<Self, GroupError> {
        let doing = "connecting to kafka";
        let consumer = BaseConsumer::from_config_and_context(config, ObserverContext::default())
            .map_err(|error| failed(doing, &error))?;
        let topic_prefix = settings.topic_prefix.clone();
        let observer = Self { consumer: Some(consumer), call_timeout: settings.call_timeout, topic_prefix };
        let consumer = observer.consumer();
        for _ in 0..ATTEMPTS {
            if consumer.client().fetch_cluster_id(ATTEMPT).is_some() {
                return Ok(observer);
            }
            observer.hear();
            if let Some((error, _)) = consumer.context().trouble()
                && remedy(&error).is_final()
            {
                break;
            }
        }
        let trouble = consumer.context().trouble();
        let is_refused = trouble.as_ref().is_some_and(|(error, _)| remedy(error).is_final());
        let remedy = if is_refused { Remedy::Stop } else { Remedy::Retry };
        let reason = trouble.map_or_else(|| "none answers".to_string(), |(_, reason)| reason);
        let reason =
            format!("no broker of {} can be used: {reason}; check the address, and that it runs", settings.brokers);
        Err(found(doing, reason, remedy))
    }

    pub(super) fn consumer(&self) -> &BaseConsumer<ObserverContext> {
        self.consumer.as_ref().expect("the consumer is taken away by drop alone")
    }

    /// Takes in what librdkafka has found out, which comes as events. A poll that may not wait ends after one event,
    /// also one that it hands to the context, and each failed connection leaves several.
    fn hear(&self) {
        while self.consumer().poll(HEARING).is_some() {}
    }

    /// What the brokers say about all topics.
    pub(super) fn topics(&self) -> Result<Metadata, GroupError> {
        let answer = self.consumer().fetch_metadata(None, self.call_timeout);
        answer.map_err(|error| failed("looking for topics", &error))
    }

    /// Number of partitions of a topic. A topic that was made just now is waited for.
    pub(super) fn partition_count(&self, topic: &str) -> Result<usize, GroupError> {
        for _ in 0..APPEARANCES {
            match self.counted(topic) {
                Err(KafkaError::MetadataFetch(
                    RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::LeaderNotAvailable,
                )) => std::thread::sleep(APPEARANCE),
                answer => return answer.map_err(|error| failed(format!("looking for topic {topic}"), &error)),
            }
        }
        let missing = |error: KafkaError| failed(format!("looking for topic {topic}"), &error);
        // It has been waited for: by now it is missing.
        self.counted(topic).map_err(|error| GroupError { remedy: Remedy::Stop, ..missing(error) })
    }

    /// Every partition of some topics, which are waited for as by [`Observer::partition_count`].
    pub(super) fn partitions(&self, topics: &[&str]) -> Result<BTreeSet<Place>, GroupError> {
        let mut partitions = BTreeSet::new();
        for topic in topics {
            let count = i32::try_from(self.partition_count(topic)?).unwrap_or(i32::MAX);
            let name = named(&self.topic_prefix, topic);
            partitions.extend((0..count).map(|partition| (name.to_string(), partition)));
        }
        Ok(partitions)
    }

    fn counted(&self, topic: &str) -> Result<usize, KafkaError> {
        let name = named(&self.topic_prefix, topic);
        let metadata = self.consumer().fetch_metadata(Some(&name), self.call_timeout)?;
        let answer = metadata.topics().first();
        if let Some(error) = answer.and_then(|answer| answer.error()) {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        match answer.map_or(0, |answer| answer.partitions().len()) {
            0 => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)),
            count => Ok(count),
        }
    }

    /// First offset of a partition, and the end for readers of committed records.
    pub(super) fn bounds(&self, topic: &str, partition: Partition) -> Result<Bounds, GroupError> {
        let found = self.consumer().fetch_watermarks(&named(&self.topic_prefix, topic), partition.0, self.call_timeout);
        let (start, end) = found.map_err(|error| failed(format!("asking what {topic}/{partition} holds"), &error))?;
        Ok(Bounds { start: Offset(start), end: Offset(end) })
    }

    /// Offsets that the group has committed, in the order asked for; `None`: never.
    pub(super) fn committed(&self, partitions: &[(&str, Partition)]) -> Result<Vec<Option<Offset>>, GroupError> {
        let names = partitions.iter().map(|(topic, partition)| (named(&self.topic_prefix, topic), *partition));
        let names: Vec<_> = names.collect();
        let asked: Vec<_> = names.iter().map(|(name, partition)| (name.as_ref(), *partition)).collect();
        committed(self.consumer(), &asked, self.call_timeout)
    }

    /// What each member of a group holds; `None` while the group is in no state to say so.
    pub(super) fn membership(&self, group: &str) -> Result<Option<Membership>, GroupError> {
        let doing = || format!("asking what the members of the group {group} hold");
        // What happened to connections since the last question is of no interest, and would be kept.
        self.hear();
        let described = self.consumer().fetch_group_list(Some(group), self.call_timeout.min(DESCRIPTION));
        let described = described.map_err(|error| failed(doing(), &error))?;
        Membership::of_stable(described.groups()).map_err(|error| found(doing(), error.to_string(), Remedy::Retry))
    }

    /// Whether a committed record lies at the offset or after it. Offsets alone do not say: the last ones may be
    /// markers of transactions or aborted records.
    pub(super) fn has_records_after(
        &self,
        topic: &str,
        partition: Partition,
        offset: Offset,
    ) -> Result<bool, GroupError> {
        let doing = || format!("looking for records of {topic}/{partition} from offset {offset} on");
        let list = offsets_list([(named(&self.topic_prefix, topic), partition, offset)])
            .map_err(|error| failed(doing(), &error))?;
        self.consumer().assign(&list).map_err(|error| failed(doing(), &error))?;
        let answer = self.first_record(&doing);
        self.consumer().unassign().map_err(|error| failed(doing(), &error))?;
        answer
    }

    /// When the newest of a partition's last committed records was appended, microseconds UTC; `None` where there is
    /// none, or the topic's timestamps are its producers'.
    pub(super) fn newest_append_us(&self, topic: &str, partition: Partition) -> Result<Option<i64>, GroupError> {
        let doing = || format!("looking for the newest record of {topic}/{partition}");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&named(&self.topic_prefix, topic), partition.0, RawOffset::OffsetTail(TAIL))
            .and_then(|()| self.consumer().assign(&list))
            .map_err(|error| failed(doing(), &error))?;
        let answer = self.last_append(&doing);
        self.consumer().unassign().map_err(|error| failed(doing(), &error))?;
        answer
    }

    fn last_append(&self, doing: &dyn Fn() -> String) -> Result<Option<i64>, GroupError> {
        let mut newest = None;
        for _ in 0..self.call_timeout.as_millis() / LOOK.as_millis() {
            match self.consumer().poll(LOOK) {
                Some(Ok(message)) => newest = Some(appended_us(&message)).filter(|us| *us >= 0),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(newest),
                Some(Err(error)) if remedy(&error).is_final() => return Err(failed(doing(), &error)),
                Some(Err(_)) | None => {}
            }
        }
        // A partition that grows all the time has no end, and what was read of it is new enough.
        newest.map(Some).ok_or_else(|| found(doing(), "the brokers have not answered in time", Remedy::Retry))
    }

    fn first_record(&self, doing: &dyn Fn() -> String) -> Result<bool, GroupError> {
        for _ in 0..self.call_timeout.as_millis() / LOOK.as_millis() {
            match self.consumer().poll(LOOK) {
                Some(Ok(_)) => return Ok(true),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(false),
                Some(Err(error)) if remedy(&error).is_final() => return Err(failed(doing(), &error)),
                Some(Err(_)) | None => {}
            }
        }
        Err(found(doing(), "the brokers have not answered in time", Remedy::Retry))
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        closed_within("a consumer outside of groups", self.consumer.take());
    }
}

/// Whether the brokers can be reached.
pub(super) fn reach(settings: &Settings) -> Result<(), GroupError> {
    Observer::connect(settings, &settings.group("observer")).map(drop)
}

/// Offsets that the consumer's group has committed.
pub(super) fn committed<C: rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(&str, Partition)],
    timeout: Duration,
) -> Result<Vec<Option<Offset>>, GroupError> {
    let doing = "asking for committed offsets";
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition(topic, partition.0);
    }
    let answer = consumer.committed_offsets(list, timeout).map_err(|error| failed(doing, &error))?;
    let of_one = |(topic, partition): &(&str, Partition)| {
        let doing = || format!("{doing} of {topic}/{partition}");
        let element = answer.find_partition(topic, partition.0);
        let Some(element) = element else { return Err(found(doing(), "no answer", of_code(RDKafkaErrorCode::Retry))) };
        element.error().map_err(|error| failed(doing(), &error))?;
        match element.offset() {
            RawOffset::Offset(offset) => Ok(Some(Offset(offset))),
            _ => Ok(None),
        }
    };
    partitions.iter().map(of_one).collect()
}

/// The form in which librdkafka takes partitions with offsets.
pub(super) fn offsets_list<'a>(
    offsets: impl IntoIterator<Item = (Cow<'a, str>, Partition, Offset)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in offsets {
        list.add_partition_offset(&topic, partition.0, RawOffset::Offset(offset.0))?;
    }
    Ok(list)
}
