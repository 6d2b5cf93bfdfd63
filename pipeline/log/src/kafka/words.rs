//! What librdkafka says by itself, in an operator's log: an outage of brokers is one line in ten seconds, not one for
//! each attempt to connect.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::error::KafkaError;

use super::errors::remedy;
use crate::group::Remedy;

/// Between two lines about trouble that passes by itself.
const PAUSE: Duration = Duration::from_secs(10);

/// Writes what one client says.
#[derive(Debug, Default)]
pub(super) struct Words {
    told_at: Mutex<Option<Instant>>,
}

impl Words {
    /// Trouble of the client as a whole.
    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        if remedy(error) != Remedy::Retry || self.is_due(Instant::now()) {
            tracing::warn!(target: "till::kafka", "{error}: {reason}");
        } else {
            tracing::debug!(target: "till::kafka", "{error}: {reason}");
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

    fn is_due(&self, now: Instant) -> bool {
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told_at.is_none_or(|told_at| now.duration_since(told_at) >= PAUSE);
        if is_due {
            *told_at = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if each attempt of an outage is a line, or a second outage is not told.
    #[test]
    fn an_outage_is_told_once_in_a_while() {
        let words = Words::default();
        let start = Instant::now();
        let told = |seconds| words.is_due(start + Duration::from_secs(seconds));
        assert_eq!([0, 1, 9, 10, 11, 19, 20].map(told), [true, false, false, true, false, false, true]);
    }
}
