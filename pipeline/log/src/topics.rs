//! How the topics must be set up on a broker, and what is wrong with those that are there.
//!
//! Card data decides: closed frames stay on topic `transactions` for minutes and in segments of minutes, since a
//! segment is deleted as a whole. Exactly once decides the rest: broker time stamps every record (LogAppendTime), nothing
//! is compacted, and what a replay or the lake still has to read is kept for days. This module knows no broker: it
//! compares texts.

use std::collections::BTreeMap;

/// Partitions of a topic unless said otherwise: room to scale by processes, since the number is fixed for life.
pub const PARTITIONS: u16 = 24;
/// Copies of each partition, where there are as many brokers.
pub const REPLICATION: u16 = 3;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// Retention without end.
const ENDLESS: i64 = -1;
/// Longest that closed frames may lie on the transactions topic.
const FRAMES_MS_MAX: i64 = 30 * MINUTE_MS;
/// Longest life of a segment with frames after its first record.
const FRAME_SEGMENT_MS_MAX: i64 = 10 * MINUTE_MS;
/// Shortest time for which a topic keeps what the lake, or a unit that was down for a weekend, has to read.
const KEPT_MS_MIN: i64 = 7 * DAY_MS;

const RETENTION: &str = "retention.ms";
const RETENTION_BYTES: &str = "retention.bytes";
const SEGMENT: &str = "segment.ms";
const TIMESTAMPS: &str = "message.timestamp.type";
const CLEANUP: &str = "cleanup.policy";
const IN_SYNC: &str = "min.insync.replicas";

/// Name of a topic with its number of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The topic.
    pub topic: &'static str,
    /// Its partitions.
    pub partitions: u16,
}

/// What is wrong with a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The topic.
    pub topic: &'static str,
    /// What was found and what is needed.
    pub problem: String,
    /// What to do, as a command where there is one.
    pub fix: String,
}

/// A topic as a broker has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Number of its partitions.
    pub partitions: u16,
    /// Copies of each.
    pub replication: u16,
    /// Its settings.
    pub settings: BTreeMap<String, String>,
}

/// Every topic, with this number of partitions where it is free. `control` has one: what comes into force has one order.
pub fn wanted(partitions: u16) -> Vec<Wanted> {
    let partitions_of = |topic| if topic == "control" { 1 } else { partitions };
    let topics = schemas::topics::all().into_iter();
    topics.map(|(topic, _)| Wanted { topic, partitions: partitions_of(topic) }).collect()
}

/// Settings with which a topic is created. `audit` keeps everything for ever, frames included: for published test keys
/// only.
pub fn settings_of(topic: &str, replication: u16, audit: bool) -> Vec<(&'static str, String)> {
    let retention = match topic {
        _ if audit => ENDLESS,
        "control" => ENDLESS,
        "transactions" => FRAMES_MS_MAX,
        _ => KEPT_MS_MIN,
    };
    let mut settings = vec![
        (TIMESTAMPS, "LogAppendTime".to_string()),
        (CLEANUP, "delete".to_string()),
        (RETENTION, retention.to_string()),
        (RETENTION_BYTES, ENDLESS.to_string()),
        (IN_SYNC, in_sync_min(replication).to_string()),
    ];
    if topic == "transactions" {
        settings.push((SEGMENT, FRAME_SEGMENT_MS_MAX.to_string()));
    }
    settings
}

/// One copy may be away, so that a broker can be restarted.
fn in_sync_min(replication: u16) -> u16 {
    replication.saturating_sub(1).max(1)
}

/// What is wrong with a topic; nothing where all is well.
pub fn check(topic: &'static str, found: Option<&Found>, audit: bool) -> Vec<Wrong> {
    let Some(found) = found else {
        let fix = "create it with `till topics create`".to_string();
        return vec![Wrong { topic, problem: "is missing".to_string(), fix }];
    };
    let mut wrong = Vec::new();
    if topic == "control" && found.partitions != 1 {
        wrong.push(Wrong {
            topic,
            problem: format!(
                "has {} partitions and must have 1, since what comes into force has one order",
                found.partitions
            ),
            fix: "delete it while it is empty, and create it with `till topics create`".to_string(),
        });
    }
    let setting = |name: &str| found.settings.get(name).map(String::as_str).unwrap_or_default();
    let number = |name: &str| setting(name).parse::<i64>().ok();
    let mut demand = |holds: bool, name: &str, needed: String, value: String| {
        if !holds {
            wrong.push(Wrong {
                topic,
                problem: format!("{name} is {:?} and must be {needed}", setting(name)),
                fix: format!(
                    "kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {name}={value}"
                ),
            });
        }
    };
    demand(setting(TIMESTAMPS) == "LogAppendTime", TIMESTAMPS, "LogAppendTime".into(), "LogAppendTime".into());
    demand(setting(CLEANUP) == "delete", CLEANUP, "delete".into(), "delete".into());
    demand(number(RETENTION_BYTES) == Some(ENDLESS), RETENTION_BYTES, "-1 (no bound)".into(), ENDLESS.to_string());
    let retention = number(RETENTION);
    let is_endless = retention == Some(ENDLESS);
    match topic {
        "transactions" => {
            let holds = audit && is_endless || retention.is_some_and(|ms| (1..=FRAMES_MS_MAX).contains(&ms));
            let needed = format!("at most {FRAMES_MS_MAX}, since closed frames lie there");
            demand(holds, RETENTION, needed, FRAMES_MS_MAX.to_string());
            let holds = audit || number(SEGMENT).is_some_and(|ms| (1..=FRAME_SEGMENT_MS_MAX).contains(&ms));
            let needed = format!("at most {FRAME_SEGMENT_MS_MAX}, since a segment is deleted as a whole");
            demand(holds, SEGMENT, needed, FRAME_SEGMENT_MS_MAX.to_string());
        }
        "control" => demand(is_endless, RETENTION, "-1 (for ever)".into(), ENDLESS.to_string()),
        _ => {
            let holds = is_endless || retention.is_some_and(|ms| ms >= KEPT_MS_MIN);
            let needed = format!("at least {KEPT_MS_MIN}, for the lake and units that were down");
            demand(holds, RETENTION, needed, KEPT_MS_MIN.to_string());
        }
    }
    let in_sync = in_sync_min(found.replication).to_string();
    let holds = number(IN_SYNC).is_some_and(|least| least >= i64::from(in_sync_min(found.replication)));
    demand(holds, IN_SYNC, format!("at least {in_sync} with {} copies", found.replication), in_sync);
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(topic: &'static str, replication: u16, audit: bool) -> Found {
        let settings = settings_of(topic, replication, audit).into_iter();
        let partitions = if topic == "control" { 1 } else { 12 };
        Found { partitions, replication, settings: settings.map(|(name, value)| (name.to_string(), value)).collect() }
    }

    #[test]
    fn what_is_created_passes_its_check() {
        for wanted in wanted(12) {
            for (replication, audit) in [(1, false), (3, false), (1, true)] {
                assert_eq!(check(wanted.topic, Some(&made(wanted.topic, replication, audit)), audit), []);
            }
        }
    }

    #[test]
    fn each_wrong_setting_is_named_with_its_fix() {
        let cases = [
            ("transactions", "retention.ms", "604800000", "retention.ms=1800000"),
            ("transactions", "retention.ms", "-1", "retention.ms=1800000"),
            ("transactions", "segment.ms", "604800000", "segment.ms=600000"),
            ("payments", "message.timestamp.type", "CreateTime", "message.timestamp.type=LogAppendTime"),
            ("payments", "cleanup.policy", "compact", "cleanup.policy=delete"),
            ("decisions", "retention.ms", "3600000", "retention.ms=604800000"),
            ("decisions", "retention.bytes", "1000000", "retention.bytes=-1"),
            ("control", "retention.ms", "604800000", "retention.ms=-1"),
            ("pings", "min.insync.replicas", "1", "min.insync.replicas=2"),
        ];
        for (topic, name, value, fix) in cases {
            let mut found = made(topic, 3, false);
            found.settings.insert(name.to_string(), value.to_string());
            let [wrong] = check(topic, Some(&found), false).try_into().expect("one thing is wrong");
            assert!(wrong.problem.starts_with(&format!("{name} is {value:?}")), "{wrong:?}");
            assert!(wrong.fix.ends_with(fix) && wrong.fix.contains(topic), "{wrong:?}");
        }
    }

    #[test]
    fn missing_topics_and_a_divided_control_topic_are_found() {
        assert_eq!(check("pings", None, false)[0].problem, "is missing");
        let divided = Found { partitions: 2, ..made("control", 1, false) };
        assert_eq!(check("control", Some(&divided), false).len(), 1);
    }

    #[test]
    fn an_audit_may_keep_frames_and_nothing_else_may() {
        let endless = made("transactions", 1, true);
        assert_eq!(check("transactions", Some(&endless), true), []);
        assert_eq!(check("transactions", Some(&endless), false).len(), 1);
    }
}
