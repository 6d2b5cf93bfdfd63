//! What librdkafka says by itself, in an operator's log: an outage of brokers is a line when it begins and one when it
//! ends, not one for each attempt to connect.

use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::Statistics;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::error::KafkaError;

use super::errors::remedy;
use crate::group::Remedy;

/// State of a broker's connection that can be used, in librdkafka's statistics.
const UP: &str = "UP";

/// Writes what one client says.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Whether trouble that passes by itself was told and has not passed.
    is_in_trouble: AtomicBool,
}

impl Words {
    /// Trouble of the client as a whole.
    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        if remedy(error) != Remedy::Retry || self.begins() {
            tracing::warn!(target: "till::kafka", "{error}: {reason}");
        } else {
            tracing::debug!(target: "till::kafka", "{error}: {reason}");
        }
    }

    /// What the client counts, about once a second.
    pub(super) fn statistics(&self, statistics: &Statistics) {
        let is_up = statistics.brokers.values().any(|broker| broker.state == UP);
        if is_up && self.ends() {
            tracing::warn!(target: "till::kafka", "a broker can be reached again");
        }
    }

    /// A line of its log.
    pub(super) fn log(&self, level: Level, facility: &str, message: &str) {
        match (level, facility) {
            // A property that is passed through and belongs to the other kind of client; a connection that failed, of
            // which the client also tells as an error.
            (Level::Warning, "CONFWARN") | (_, "FAIL") => {
                tracing::debug!(target: "till::kafka", "{facility}: {message}");
            }
            // A coordinator that is just loading; the client asks again by itself.
            (Level::Warning, "GETPID") | (Level::Notice | Level::Info, _) => {
                tracing::info!(target: "till::kafka", "{facility}: {message}");
            }
            (Level::Debug, _) => tracing::debug!(target: "till::kafka", "{facility}: {message}"),
            (Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning, _) => {
                tracing::warn!(target: "till::kafka", "{facility}: {message}");
            }
        }
    }

    fn begins(&self) -> bool {
        !self.is_in_trouble.swap(true, Ordering::Relaxed)
    }

    fn ends(&self) -> bool {
        self.is_in_trouble.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if each attempt of an outage is a line, or a second outage is not told.
    #[test]
    fn an_outage_is_told_when_it_begins_and_when_it_ends() {
        let words = Words::default();
        assert!(!words.ends());
        assert_eq!([words.begins(), words.begins(), words.begins()], [true, false, false]);
        assert_eq!([words.ends(), words.ends()], [true, false]);
        assert!(words.begins());
    }
}
