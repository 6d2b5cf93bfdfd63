//! What an operator's commands ask of the brokers: topics and their settings, what partitions hold, how far groups are.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use schemas::{Offset, Partition};

use super::errors::{failed, found};
use super::observer::Observer;
use super::settings::Settings;
use crate::group::{Bounds, GroupError, Remedy};

/// A topic's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Its partitions.
    pub partitions: u16,
    /// Copies of each, the least of them.
    pub replication: u16,
}

/// A connection for looking at topics and groups and for making topics.
pub struct Admin {
    settings: Settings,
    observer: Observer,
    uncommitted: Observer,
    client: AdminClient<DefaultClientContext>,
    call_timeout: Duration,
}

impl Admin {
    /// Connects to the brokers; fails within about 5 s when none answers.
    pub fn connect(settings: &Settings) -> Result<Self, GroupError> {
        settings.check()?;
        let group = settings.group("observer");
        let observer = Observer::connect(settings, &group)?;
        let uncommitted = Observer::connect_with(&settings.uncommitted(&group), settings)?;
        let client = AdminClient::from_config(&settings.observer(&group))
            .map_err(|error| failed("making an admin client", &error))?;
        Ok(Self { settings: settings.clone(), observer, uncommitted, client, call_timeout: settings.call_timeout })
    }

    /// Every topic with the numbers of its partitions and their copies; those of Kafka's own (`__...`) are left out.
    pub fn topics(&self) -> Result<BTreeMap<String, Counts>, GroupError> {
        let metadata = self.observer.topics()?;
        let topics = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
        let small = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        let counts = |topic: &MetadataTopic| {
            let replication = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
            Counts { partitions: small(topic.partitions().len()), replication: small(replication.unwrap_or_default()) }
        };
        Ok(topics.filter_map(|topic| Some((self.settings.plain(topic.name())?.to_string(), counts(topic)))).collect())
    }

    /// Number of brokers of the cluster.
    pub fn broker_count(&self) -> Result<u16, GroupError> {
        Ok(u16::try_from(self.observer.topics()?.brokers().len()).unwrap_or(u16::MAX))
    }

    /// Name that the cluster gave itself when it was made.
    pub fn cluster_id(&self) -> Result<String, GroupError> {
        let id = self.client.inner().fetch_cluster_id(self.call_timeout);
        id.ok_or_else(|| found("asking for the cluster's id", "no answer", Remedy::Retry))
    }

    /// Settings in force of a topic, by name.
    pub fn describe_configs(&self, topic: &str) -> Result<BTreeMap<String, String>, GroupError> {
        let doing = || format!("asking for the settings of topic {topic}");
        let name = self.settings.topic(topic);
        let asked = [ResourceSpecifier::Topic(&name)];
        let answers = block_on(self.client.describe_configs(&asked, &self.options()));
        let answers = answers.map_err(|error| failed(doing(), &error))?;
        let answer = answers.into_iter().next().ok_or_else(|| found(doing(), "no answer", Remedy::Retry))?;
        let resource = answer.map_err(|code| failed(doing(), &KafkaError::AdminOp(code)))?;
        let known = resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
        Ok(known.collect())
    }

    /// Makes a topic with these settings; `false` if there is one of that name, which stays as it is.
    pub fn create_topic(
        &self,
        name: &str,
        partition_count: u16,
        replication: u16,
        configs: &[(&str, &str)],
    ) -> Result<bool, GroupError> {
        let doing = || format!("making topic {name}");
        let replication = TopicReplication::Fixed(i32::from(replication));
        let full_name = self.settings.topic(name);
        let topic = NewTopic::new(&full_name, i32::from(partition_count), replication);
        let topic = configs.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let answers = block_on(self.client.create_topics([&topic], &self.options()));
        let answers = answers.map_err(|error| failed(doing(), &error))?;
        match answers.into_iter().next() {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(failed(doing(), &KafkaError::AdminOp(code))),
            None => Err(found(doing(), "no answer", Remedy::Retry)),
        }
    }

    /// First offset of a partition, and the end for readers of committed records.
    pub fn bounds(&self, topic: &str, partition: Partition) -> Result<Bounds, GroupError> {
        self.observer.bounds(topic, partition)
    }

    /// Whether a transaction is open in a partition. What lies behind its start is hidden from readers until it ends: its
    /// producer commits or aborts it, or the broker does where that is dead.
    pub fn has_open_transaction(&self, topic: &str, partition: Partition) -> Result<bool, GroupError> {
        let stable = self.observer.bounds(topic, partition)?.end;
        Ok(stable < self.uncommitted.bounds(topic, partition)?.end)
    }

    /// Offsets that a group has committed, in the order asked for; `None`: never.
    pub fn committed(&self, group: &str, partitions: &[(&str, Partition)]) -> Result<Vec<Option<Offset>>, GroupError> {
        Observer::connect(&self.settings, group)?.committed(partitions)
    }

    /// Whether a committed record lies at the offset or after it: the only sound test of being caught up, since the
    /// last offsets of a partition may hold no readable record.
    pub fn has_records_after(&self, topic: &str, partition: Partition, offset: Offset) -> Result<bool, GroupError> {
        self.observer.has_records_after(topic, partition, offset)
    }

    /// When the newest of the last committed records of each partition was appended, microseconds UTC by the clock of
    /// the broker that leads it. Partitions without such a record are left out.
    pub fn newest_append_us(&self, topic: &str) -> Result<Vec<(Partition, i64)>, GroupError> {
        let count = i32::try_from(self.observer.partition_count(topic)?).unwrap_or(i32::MAX);
        let mut newest = Vec::new();
        for partition in (0..count).map(Partition) {
            newest.extend(self.observer.newest_append_us(topic, partition)?.map(|us| (partition, us)));
        }
        Ok(newest)
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.call_timeout)).operation_timeout(Some(self.call_timeout))
    }
}
