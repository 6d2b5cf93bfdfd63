//! A guest: a member of a group for a moment, whose coming and going makes the group share its partitions out anew.
//!
//! It has no name in the group (`group.instance.id`), so that the brokers call every member together when it comes, and
//! again when it leaves. Of the share that it is given it reads nothing: it adds no partition to what its client fetches,
//! and commits nothing. Should it vanish without leaving, the group forgets it after a session.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;

use super::close::closed_within;
use super::errors::failed;
use super::settings::Settings;
use crate::group::GroupError;

/// One wait for the group, and how many: a minute in all. The group waits for each member to come, and a member comes
/// when it has answered what it was asked before: it commits and saves its state.
const WAIT: Duration = Duration::from_millis(100);
const WAITS: usize = 600;

/// What the group told the guest.
#[derive(Default)]
struct GuestContext {
    has_share: AtomicBool,
}

impl ClientContext for GuestContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "till::kafka", ?level, "guest: {facility}: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "till::kafka", "guest: {error}: {reason}");
    }
}

impl ConsumerContext for GuestContext {
    /// Takes everything and gives everything back at once, with nothing to read in between.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, cause: RDKafkaRespErr, _: &mut TopicPartitionList) {
        let nothing = TopicPartitionList::new();
        let is_share = cause == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let answered =
            if is_share { consumer.incremental_assign(&nothing) } else { consumer.incremental_unassign(&nothing) };
        if let Err(error) = answered {
            tracing::debug!(target: "till::kafka", %error, "the guest could not answer its group");
        }
        self.has_share.fetch_or(is_share, Ordering::SeqCst);
    }
}

/// Joins a unit's group for these topics (by their names on the brokers), waits until the group has shared out, leaves it.
/// Whether the group has. It ends early where `goes_on` no longer holds; leaving takes some seconds at most.
pub(super) fn visit(
    settings: &Settings,
    unit: &str,
    topics: &[&str],
    goes_on: impl Fn() -> bool,
) -> Result<bool, GroupError> {
    let doing = || format!("visiting the group {}", settings.group(unit));
    let guest = BaseConsumer::from_config_and_context(&settings.guest(unit), GuestContext::default())
        .map_err(|error| failed(doing(), &error))?;
    guest.subscribe(topics).map_err(|error| failed(doing(), &error))?;
    let has_share = || guest.context().has_share.load(Ordering::SeqCst);
    for _ in 0..WAITS {
        if has_share() || !goes_on() {
            break;
        }
        // Errors pass or end with the waits; there are no records, since nothing is read.
        drop(guest.poll(WAIT));
    }
    let has_shared = has_share();
    closed_within("a guest of a group", guest);
    Ok(has_shared)
}
