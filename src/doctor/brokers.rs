//! Checks of brokers and topics.

use log::kafka::{Admin, Settings};
use log::wire::RECEIVED_AHEAD_MAX_US;
use schemas::Partition;

use super::Finding;
use crate::config::Config;
use crate::{kafka, topics};

/// Whose newest records are looked at: every gateway appends a tick a second.
const CLOCK_TOPIC: &str = "transactions";
const MICROSECONDS_A_SECOND: i64 = 1_000_000;

/// Brokers that answer.
pub struct Brokers {
    /// How they are reached.
    pub settings: Settings,
    /// The connection.
    pub admin: Admin,
}

/// A connection, or what keeps it from being made.
pub fn connect(config: &Config) -> Result<Brokers, Finding> {
    let connected = kafka::settings(config, "doctor").and_then(|settings| {
        let admin = Admin::connect(&settings)?;
        Ok(Brokers { settings, admin })
    });
    connected.map_err(|failure| {
        let brokers = config.kafka.brokers.as_deref().unwrap_or_default();
        let fix = "see that the brokers run and that address, port and kafka.properties are right";
        Finding::error("brokers", brokers, failure, fix)
    })
}

/// Every topic is there as it must be. In a demo closed frames may stay, since everybody knows their keys.
pub fn topics(brokers: &Brokers, is_demo: bool) -> Vec<Finding> {
    const CHECK: &str = "topics";
    let found = match topics::found(&brokers.admin) {
        Ok(found) => found,
        Err(failure) => return vec![Finding::error(CHECK, "every topic", failure, "let this user describe topics")],
    };
    let all = schemas::topics::all().into_iter();
    let wrong = all.flat_map(|(topic, _)| log::topics::check(topic, found.get(topic), is_demo));
    wrong.map(|wrong| Finding::error(CHECK, wrong.topic, wrong.problem, wrong.fix)).collect()
}

/// No broker's clock is ahead of this machine's by more than the log's records may be ahead of their append. Nothing is
/// written to find out: the newest records of the busiest topic bear the brokers' time, so a clock that is behind, or one
/// of a topic without records, goes unseen.
pub fn clock(brokers: &Brokers, now_us: i64) -> Vec<Finding> {
    const CHECK: &str = "clock";
    let newest = match brokers.admin.newest_append_us(CLOCK_TOPIC) {
        Ok(newest) => newest,
        Err(error) => {
            let problem = format!("its newest records cannot be read: {error}");
            return vec![Finding::warning(CHECK, format!("topic {CLOCK_TOPIC}"), problem, "see to that first")];
        }
    };
    newest.into_iter().filter_map(|(partition, append_us)| ahead(partition, append_us - now_us)).collect()
}

fn ahead(partition: Partition, ahead_us: i64) -> Option<Finding> {
    (ahead_us > RECEIVED_AHEAD_MAX_US).then(|| {
        let seconds = ahead_us / MICROSECONDS_A_SECOND;
        let problem = format!("its leader's clock is {seconds} s ahead of this machine's");
        let fix = "let all machines follow the same time servers: a gateway whose clock is ahead of its broker's has its \
                   records refused";
        Finding::error("clock", format!("{CLOCK_TOPIC}/{partition}"), problem, fix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_well_ahead_is_found() {
        for ahead_us in [i64::MIN, -1, 0, RECEIVED_AHEAD_MAX_US] {
            assert_eq!(ahead(Partition(3), ahead_us), None);
        }
        let found = ahead(Partition(3), RECEIVED_AHEAD_MAX_US + MICROSECONDS_A_SECOND).unwrap();
        assert!(found.subject == "transactions/3" && found.problem.contains("6 s"), "{found:?}");
    }
}
