//! What one unit reports. The handles of its metrics are made once, so that a report on the hot path is an addition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use log::group::TopicPartition;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use runner::group::Observer;
use schemas::Offset;
use trips::Reason as Fault;

use super::Ops;
use super::metrics::{FaultLabels, LagLabels, ReasonLabels, RemedyLabels, UnitLabel};

/// Reasons of dead letters that have a value of their own in the label `reason`; every other is counted as
/// [`OTHER`], so that nothing that a record says can make a new time series.
#[rustfmt::skip] // by who refuses
const REASONS: [&str; 33] = [
    // the reader of the log
    log::reason::EMPTY_LINE, log::reason::LINE_TOO_LONG, log::reason::BAD_UTF8, log::reason::BAD_JSON,
    log::reason::WRONG_FIELD_COUNT, log::reason::UNCLOSED_QUOTE, log::reason::MISSING_COLUMN, log::reason::BAD_VALUE,
    log::reason::WRONG_SCHEMA, log::reason::EMPTY_RECORD, log::reason::UNKNOWN_FORMAT, log::reason::UNKNOWN_SCHEMA,
    log::reason::SCHEMA_NOT_IN_FORCE, log::reason::BAD_AVRO, log::reason::RECEIVED_IN_FUTURE,
    // the runner
    "bad_control", "wrong_partition",
    // decode and authorize
    "time_out_of_range", "unknown_kind", "swipe_without_sender", "withdraw_without_sender", "no_payment_id",
    "malformed", "unknown_origin", "unreadable_payment_id", "unreadable_token",
    // trips
    "device_missing", "device_too_long", "time_missing", "received_at_out_of_range", "position_missing",
    "latitude_out_of_range", "longitude_out_of_range",
];
const OTHER: &str = "other";
/// What a unit does about a failure: it aborts its transaction, or makes a new member of the group. Both go back to the
/// snapshots.
pub(super) const ABORT: &str = "abort";
const REBUILD: &str = "rebuild";

/// Where one unit reports what it does.
pub struct UnitMetrics {
    ops: Arc<Ops>,
    unit: &'static str,
    batch_rows: Histogram,
    records: Counter,
    commit_seconds: Histogram,
    assigned: Gauge,
    caught_up: Gauge,
    dead_letters: BTreeMap<&'static str, Counter>,
    /// By reason, in the order of all.
    ping_faults: [Counter; Fault::ALL.len()],
    lag: BTreeMap<TopicPartition, Gauge>,
}

impl UnitMetrics {
    pub(super) fn new(ops: Arc<Ops>, unit: &'static str) -> Self {
        let label = UnitLabel { unit };
        let metrics = &ops.metrics;
        // Counters start at 0 before anything happens, so that a first failure shows as a rise.
        let letters = |reason| (reason, metrics.dead_letters.get_or_create_owned(&ReasonLabels { unit, reason }));
        for remedy in [ABORT, REBUILD] {
            drop(metrics.rebuilds.get_or_create(&RemedyLabels { unit, remedy }));
        }
        drop(metrics.append_to_commit_seconds.get_or_create(&label));
        Self {
            unit,
            batch_rows: metrics.batch_rows.get_or_create_owned(&label),
            records: metrics.records.get_or_create_owned(&label),
            commit_seconds: metrics.commit_seconds.get_or_create_owned(&label),
            assigned: metrics.assigned_partitions.get_or_create_owned(&label),
            caught_up: metrics.caught_up.get_or_create_owned(&label),
            dead_letters: [letters(OTHER)].into(),
            ping_faults: Fault::ALL
                .map(|fault| metrics.ping_faults.get_or_create_owned(&FaultLabels { reason: fault.code() })),
            lag: BTreeMap::new(),
            ops,
        }
    }
}

impl Observer for UnitMetrics {
    fn read(&mut self, _unit: &'static str, _partition: TopicPartition, records: u64) {
        self.batch_rows.observe(records as f64);
        self.records.inc_by(records);
    }

    fn committed(&mut self, _rows: u64, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }

    fn snapshot(&mut self, partition: TopicPartition, _at: Offset, bytes: u64, _took: Duration) {
        self.ops.metrics.snapshots.written(self.unit, partition.partition, bytes);
    }

    fn left_out(&mut self, output: &'static str, reason: &str, count: u64) {
        if let Some(fault) = Fault::ALL.into_iter().find(|fault| output == "ping_faults" && fault.code() == reason) {
            self.ping_faults[fault as usize].inc_by(count);
            return;
        }
        let reason = REASONS.into_iter().find(|known| *known == reason).unwrap_or(OTHER);
        let labels = ReasonLabels { unit: self.unit, reason };
        let make = || self.ops.metrics.dead_letters.get_or_create_owned(&labels);
        self.dead_letters.entry(reason).or_insert_with(make).inc_by(count);
    }

    fn caught_up(&mut self, all: bool) {
        self.caught_up.set(i64::from(all));
        self.ops.update(self.unit, |state| state.has_caught_up |= all);
    }

    fn assigned(&mut self, partitions: usize) {
        self.assigned.set(i64::try_from(partitions).unwrap_or(i64::MAX));
        self.ops.update(self.unit, |state| {
            // What came has not been read yet; what is left after some went has.
            state.has_caught_up &= (1..=state.assigned).contains(&partitions);
            state.assigned = partitions;
        });
    }

    fn lag(&mut self, lags: &[(TopicPartition, i64)]) {
        let unit = self.unit;
        let family = &self.ops.metrics.lag_records;
        let labels = |of: &TopicPartition| LagLabels { unit, topic: of.topic, partition: of.partition.0 };
        let read: BTreeSet<_> = lags.iter().map(|(partition, _)| *partition).collect();
        self.lag.retain(|partition, _| {
            let is_read = read.contains(partition);
            // A partition that another process reads would show its last lag here for ever.
            if !is_read {
                family.remove(&labels(partition));
            }
            is_read
        });
        for (partition, records) in lags {
            let make = || family.get_or_create_owned(&labels(partition));
            self.lag.entry(*partition).or_insert_with(make).set(*records);
        }
    }

    fn rebuilt(&mut self, _reason: &str) {
        self.ops.metrics.rebuilds.get_or_create(&RemedyLabels { unit: self.unit, remedy: REBUILD }).inc();
    }
}

impl Drop for UnitMetrics {
    /// A unit that has ended reads nothing: its partitions are another process's.
    fn drop(&mut self) {
        self.lag(&[]);
        self.assigned(0);
        self.caught_up(false);
    }
}
