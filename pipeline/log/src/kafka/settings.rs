//! What a program says about its brokers, and the clients' configurations that follow from it.
//!
//! Settings that carry the guarantees (isolation, idempotence, assignment, checks of checksums) belong to the program:
//! naming one of them among the passed-through properties is refused, whatever its value.

use std::borrow::Cow;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::group::{GroupError, Remedy};
use crate::wire::Formats;

/// Properties that the program sets itself.
const OWNED: [&str; 27] = [
    "acks",
    "allow.auto.create.topics",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "debug",
    "delivery.report.only.error",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "isolation.level",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "request.required.acks",
    "session.timeout.ms",
    "socket.timeout.ms",
    "statistics.interval.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

/// How a group shares out: what a member keeps goes on being read meanwhile.
const ASSIGNMENT: &str = "cooperative-sticky";
/// Memory for records fetched ahead, over all partitions of the topics that a member reads. A partition's share is
/// bounded by [`PREFETCH_PARTITION_KIB`].
const PREFETCH_KIB: usize = 64 * 1024;
const PREFETCH_PARTITION_KIB: std::ops::RangeInclusive<usize> = 512..=16 * 1024;
/// Records fetched ahead over all partitions: librdkafka keeps some 400 bytes beside each, which the limit in bytes does
/// not count.
const PREFETCH_RECORDS: usize = 200_000;
const PREFETCH_PARTITION_RECORDS: std::ops::RangeInclusive<usize> = 1_000..=50_000;
/// How long a broker may hold back a fetch that has less than [`FETCH_BYTES`] to give. Answers wait for it, and so does a
/// new partition, so it is short; the price is this many answers a second.
const FETCH_WAIT_MS: &str = "10";
/// Bytes that a fetch waits for. Without it every record that a broker takes is an answer of its own: at a thousand
/// swipes a second fetches alone kept a core of the broker busy, and answers took thirty times as long.
const FETCH_BYTES: &str = "65536";
/// Pause before a full queue of fetched records is looked at again; the default of a second halves a fast reader's
/// throughput.
const FETCH_BACKOFF_MS: &str = "5";
/// How often clients count, milliseconds: lags are told from it, and ends of outages.
const STATISTICS_MS: &str = "1000";
/// Longest pause between attempts to reach a broker, so that one that is back is found within a second.
const RECONNECT_MS: &str = "1000";
/// How long a producer collects records into one request. Answers wait for it.
const LINGER_MS: &str = "2";
/// Records that a producer holds before a sender waits.
const PRODUCER_RECORDS: &str = "100000";
/// Bytes that a producer holds before a sender waits, in KiB.
const PRODUCER_KIB: &str = "65536";
/// Heartbeats in a session: two may be lost before the third decides.
const SESSION_HEARTBEATS: u32 = 3;

/// How brokers are reached and how long they may take.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Addresses (`host:port`, separated by commas) of some brokers of the cluster.
    pub brokers: String,
    /// librdkafka properties that are passed through: `security.protocol`, `ssl.ca.location`, `sasl.mechanisms`, ...
    pub properties: Vec<(String, String)>,
    /// Name of this process among those that run the same unit: stable over restarts, different for each process.
    pub instance: String,
    /// How long one call to the brokers may take.
    pub call_timeout: Duration,
    /// After this time without a sign of life a member's partitions go to others.
    pub session_timeout: Duration,
    /// After this time the broker aborts a transaction whose producer is gone; until then its readers wait.
    pub transaction_timeout: Duration,
    /// Formats of the records that are written.
    pub formats: Formats,
    /// Start of the names of groups and of transactional ids, to which access lists refer.
    pub prefix: String,
    /// Start of the names of topics on the brokers, where several systems share a cluster.
    pub topic_prefix: String,
}

/// Name of a topic on the brokers of a system whose topics begin with this.
pub(super) fn named<'a>(prefix: &str, topic: &'a str) -> Cow<'a, str> {
    if prefix.is_empty() { Cow::Borrowed(topic) } else { Cow::Owned(format!("{prefix}{topic}")) }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_string(),
            properties: Vec::new(),
            instance: "0".to_string(),
            call_timeout: Duration::from_secs(10),
            session_timeout: Duration::from_secs(10),
            transaction_timeout: Duration::from_secs(15),
            formats: Formats::Json,
            prefix: "till".to_string(),
            topic_prefix: String::new(),
        }
    }
}

/// The settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A passed-through property belongs to the program.
    #[error("kafka property {key} is set by the program itself; leave it out")]
    Owned {
        /// The property.
        key: String,
    },
    /// No broker is named.
    #[error("no kafka broker is named; give at least one as host:port")]
    NoBrokers,
    /// The instance's name cannot be part of a group's or transaction's name.
    #[error(
        "kafka instance {instance:?} is no name of letters, digits, '.', '_' and '-'; give each process a stable name of its own"
    )]
    Instance {
        /// What was given.
        instance: String,
    },
}

impl From<SettingsError> for GroupError {
    fn from(error: SettingsError) -> Self {
        Self { doing: "reading the kafka settings".to_string(), reason: error.to_string(), remedy: Remedy::Stop }
    }
}

impl Settings {
    /// Whether the settings can be used.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.brokers.trim().is_empty() {
            return Err(SettingsError::NoBrokers);
        }
        let is_plain = |character: char| character.is_ascii_alphanumeric() || ".-_".contains(character);
        if self.instance.is_empty() || !self.instance.chars().all(is_plain) {
            return Err(SettingsError::Instance { instance: self.instance.clone() });
        }
        match self.properties.iter().find(|(key, _)| OWNED.contains(&key.trim())) {
            Some((key, _)) => Err(SettingsError::Owned { key: key.clone() }),
            None => Ok(()),
        }
    }

    /// Name of a topic on the brokers.
    pub(super) fn topic<'a>(&self, topic: &'a str) -> Cow<'a, str> {
        named(&self.topic_prefix, topic)
    }

    /// The topic that bears a name on the brokers; `None` for one of another system.
    pub(super) fn plain<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(self.topic_prefix.as_str())
    }

    /// Name of a unit's consumer group.
    pub fn group(&self, unit: &str) -> String {
        format!("{}-{unit}", self.prefix)
    }

    /// Name of this process in a unit's group (`group.instance.id`).
    pub(super) fn instance_id(&self, unit: &str) -> String {
        format!("{unit}-{}", self.instance)
    }

    /// A member of a unit's group that reads topics with so many partitions in all.
    pub(super) fn member(&self, unit: &str, partition_count: usize) -> ClientConfig {
        let mut config = self.prefetching(&self.group(unit), partition_count);
        config
            .set("group.instance.id", self.instance_id(unit))
            .set("partition.assignment.strategy", ASSIGNMENT)
            .set("statistics.interval.ms", STATISTICS_MS)
            // It says when the member gets another identity, and nothing else does.
            .set("debug", "cgrp")
            .set_log_level(RDKafkaLogLevel::Debug);
        self.passed_through(config)
    }

    /// A consumer that is told by hand which partitions, so many, it reads.
    pub(super) fn by_hand(&self, partition_count: usize) -> ClientConfig {
        self.passed_through(self.prefetching(&self.group("by-hand"), partition_count))
    }

    /// A consumer whose memory for records fetched ahead is bounded over all of so many partitions.
    fn prefetching(&self, group: &str, partition_count: usize) -> ClientConfig {
        let share = partition_count.max(1);
        let kib = (PREFETCH_KIB / share).clamp(*PREFETCH_PARTITION_KIB.start(), *PREFETCH_PARTITION_KIB.end());
        let records =
            (PREFETCH_RECORDS / share).clamp(*PREFETCH_PARTITION_RECORDS.start(), *PREFETCH_PARTITION_RECORDS.end());
        let mut config = self.consumer(group);
        config.set("queued.max.messages.kbytes", kib.to_string()).set("queued.min.messages", records.to_string());
        config
    }

    /// A member of a unit's group for a moment, without a name in it: the group forgets it when it leaves.
    pub(super) fn guest(&self, unit: &str) -> ClientConfig {
        let mut config = self.consumer(&self.group(unit));
        config.set("partition.assignment.strategy", ASSIGNMENT);
        self.passed_through(config)
    }

    /// A consumer that is told by hand what to read, and looks at offsets of a group without being its member.
    pub(super) fn observer(&self, group: &str) -> ClientConfig {
        self.passed_through(self.consumer(group))
    }

    /// The same, which sees open transactions too.
    pub(super) fn uncommitted(&self, group: &str) -> ClientConfig {
        let mut config = self.observer(group);
        config.set("isolation.level", "read_uncommitted");
        config
    }

    /// The transactional producer of a unit's outputs.
    pub(super) fn transactional(&self, unit: &str) -> ClientConfig {
        let mut config = self.producing();
        config
            .set("transactional.id", format!("{}-{unit}-{}", self.prefix, self.instance))
            .set("transaction.timeout.ms", self.transaction_timeout.as_millis().to_string());
        self.passed_through(config)
    }

    /// An idempotent producer without transactions.
    pub(super) fn feeding(&self) -> ClientConfig {
        self.passed_through(self.producing())
    }

    fn consumer(&self, group: &str) -> ClientConfig {
        let heartbeat = self.session_timeout / SESSION_HEARTBEATS;
        let mut config = self.common();
        config
            .set("group.id", group)
            .set("session.timeout.ms", self.session_timeout.as_millis().to_string())
            .set("heartbeat.interval.ms", heartbeat.as_millis().to_string())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            .set("enable.partition.eof", "true")
            .set("allow.auto.create.topics", "false")
            .set("fetch.queue.backoff.ms", FETCH_BACKOFF_MS)
            .set("fetch.wait.max.ms", FETCH_WAIT_MS)
            .set("fetch.min.bytes", FETCH_BYTES);
        config
    }

    fn producing(&self) -> ClientConfig {
        let mut config = self.common();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("statistics.interval.ms", STATISTICS_MS)
            .set("delivery.report.only.error", "true")
            .set("linger.ms", LINGER_MS)
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", PRODUCER_RECORDS)
            .set("queue.buffering.max.kbytes", PRODUCER_KIB);
        config
    }

    /// How long an answer to one request is waited for. librdkafka asks that it be shorter than a transaction.
    pub(super) fn request_timeout(&self) -> Duration {
        self.call_timeout.min(self.transaction_timeout / 2)
    }

    fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", format!("{}-{}", self.prefix, self.instance))
            .set("socket.keepalive.enable", "true")
            .set("socket.timeout.ms", self.request_timeout().as_millis().to_string())
            .set("reconnect.backoff.max.ms", RECONNECT_MS);
        config
    }

    fn passed_through(&self, mut config: ClientConfig) -> ClientConfig {
        for (key, value) in &self.properties {
            config.set(key.trim(), value);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_carries_the_guarantees_cannot_be_passed_through() {
        for key in OWNED {
            let settings =
                Settings { properties: vec![(key.to_string(), "anything".to_string())], ..Settings::default() };
            assert_eq!(settings.check(), Err(SettingsError::Owned { key: key.to_string() }));
        }
        let properties = vec![("security.protocol".to_string(), "ssl".to_string())];
        assert_eq!(Settings { properties, ..Settings::default() }.check(), Ok(()));
    }

    /// Fails when a setting of the program's own is missing in the list of those that are refused.
    #[test]
    fn every_setting_with_a_guarantee_is_owned() {
        let tunable = [
            "client.id",
            "compression.type",
            "fetch.min.bytes",
            "fetch.queue.backoff.ms",
            "fetch.wait.max.ms",
            "linger.ms",
            "queue.buffering.max.kbytes",
            "queue.buffering.max.messages",
            "queued.max.messages.kbytes",
            "queued.min.messages",
            "reconnect.backoff.max.ms",
            "socket.keepalive.enable",
        ];
        let settings = Settings::default();
        for config in [
            settings.member("lake", 24),
            settings.guest("lake"),
            settings.by_hand(4),
            settings.observer("till-lake"),
            settings.transactional("decode"),
            settings.feeding(),
        ] {
            for key in config.config_map().keys() {
                assert!(OWNED.contains(key) || tunable.contains(key), "{key} is neither owned nor tunable");
            }
        }
    }

    #[test]
    fn prefetching_is_bounded_over_all_partitions() {
        let kib = |count| {
            let config = Settings::default().member("lake", count);
            config.get("queued.max.messages.kbytes").and_then(|kib| kib.parse::<usize>().ok()).unwrap()
        };
        assert_eq!([kib(0), kib(1), kib(16), kib(128), kib(100_000)], [16 * 1024, 16 * 1024, 4096, 512, 512]);
    }

    #[test]
    fn names_are_refused_early() {
        for instance in ["", "a b", "a/b"] {
            let settings = Settings { instance: instance.to_string(), ..Settings::default() };
            assert_eq!(settings.check(), Err(SettingsError::Instance { instance: instance.to_string() }));
        }
        let settings = Settings { brokers: " ".to_string(), ..Settings::default() };
        assert_eq!(settings.check(), Err(SettingsError::NoBrokers));
    }
}
