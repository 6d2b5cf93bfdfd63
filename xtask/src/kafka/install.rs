//! Kafka's own libraries, as Maven brings them.

use std::path::PathBuf;

use super::ServiceError;
use crate::service::maven::{self, Package};

/// Releases 4.3.0 and 4.3.1 take a partition that has no leader for a moment for a deleted one and leave out the end of its
/// transaction (KAFKA-20734): what was committed stays open in it, which no client can mend.
///
/// Another release gets another folder in the cache. `slf4j-simple` writes the broker's log to standard error, without
/// settings of its own.
const KAFKA: Package = Package {
    name: "Apache Kafka 4.2.1",
    folder: "kafka-4.2.1",
    megabytes: 44,
    dependencies: "\
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.2.1</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>",
    finish: Ok,
};

/// Whether a broker could be started as far as programs go; else what is missing and how to get it. Maven is needed only
/// until Kafka is in the cache.
///
/// # Errors
///
/// A sentence for people.
pub fn available() -> Result<(), String> {
    maven::available(&KAFKA)
}

/// The folder with Kafka's libraries. The first call on a machine fetches them; other processes wait for it.
///
/// # Errors
///
/// If a program is missing, Maven fails, or the cache cannot be written.
pub(super) fn libraries() -> Result<PathBuf, ServiceError> {
    maven::folder(&KAFKA)
}
