//! The metrics and their names. `docs/operating.md` says what each of them means to an operator, and a test compares.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use schemas::Partition;

/// Start of every name.
const PREFIX: &str = "till";
/// Rows of a batch: one when idle, thousands under load.
const ROWS_BUCKETS: [f64; 9] = [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0];
/// Seconds of one commit: milliseconds to a topic, tens to hundreds of them to tables.
const COMMIT_BUCKETS: [f64; 12] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// Seconds from a record's append to the commit of what was made of it: fine where a phone waits for the answer, up to
/// the length of an outage.
const DELAY_BUCKETS: [f64; 15] =
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0];
const MICROSECONDS_A_SECOND: f64 = 1e6;

/// Label of a metric of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct UnitLabel {
    pub(super) unit: &'static str,
}

/// Labels of a metric of one input partition of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LagLabels {
    pub(super) unit: &'static str,
    pub(super) topic: &'static str,
    pub(super) partition: i32,
}

/// Labels of dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabels {
    pub(super) unit: &'static str,
    pub(super) reason: &'static str,
}

/// Label of fixes that cleaning left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FaultLabels {
    pub(super) reason: &'static str,
}

/// Labels of fresh starts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RemedyLabels {
    pub(super) unit: &'static str,
    pub(super) remedy: &'static str,
}

type Histograms = Family<UnitLabel, Histogram, fn() -> Histogram>;

/// Every metric of the process.
pub(super) struct Metrics {
    registry: Registry,
    pub(super) lag_records: Family<LagLabels, Gauge>,
    pub(super) batch_rows: Histograms,
    pub(super) commit_seconds: Histograms,
    pub(super) append_to_commit_seconds: Histograms,
    pub(super) dead_letters: Family<ReasonLabels, Counter>,
    pub(super) ping_faults: Family<FaultLabels, Counter>,
    pub(super) records: Family<UnitLabel, Counter>,
    pub(super) assigned_partitions: Family<UnitLabel, Gauge>,
    pub(super) rebuilds: Family<RemedyLabels, Counter>,
    pub(super) caught_up: Family<UnitLabel, Gauge>,
    pub(super) snapshots: Arc<Snapshots>,
}

impl Metrics {
    pub(super) fn new(clock: fn() -> i64) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register(
            "build",
            "The program that runs, by its version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let snapshots = Arc::new(Snapshots { clock, taken: Mutex::default() });
        registry.register_collector(Box::new(snapshots.clone()));
        let mut new = Registered(&mut registry);
        Self {
            lag_records: new.add(
                "lag_records",
                "Offsets between what was read of a partition and its end, ends of transactions among them",
            ),
            batch_rows: new.histograms("batch_rows", "Records read at once", || Histogram::new(ROWS_BUCKETS)),
            commit_seconds: new.histograms("commit_seconds", "Duration of a commit", || Histogram::new(COMMIT_BUCKETS)),
            append_to_commit_seconds: new.histograms(
                "append_to_commit_seconds",
                "From the append of the oldest input record of a commit, by the broker's clock, to the end of the \
                 commit, by this machine's",
                || Histogram::new(DELAY_BUCKETS),
            ),
            dead_letters: new.add("dead_letters", "Records that could not be used"),
            ping_faults: new.add("ping_faults", "Fixes that cleaning left out"),
            records: new.add("records", "Records read, replayed ones included"),
            assigned_partitions: new.add("assigned_partitions", "Partitions that this process reads"),
            rebuilds: new.add("rebuilds", "Times that a unit went back to its snapshots"),
            caught_up: new.add("caught_up", "1 when each assigned partition has been read to its end, else 0"),
            snapshots,
            registry,
        }
    }

    /// Everything in the Prometheus text format.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string never fails.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }
}

/// Makes a metric and registers it.
struct Registered<'a>(&'a mut Registry);

impl Registered<'_> {
    fn add<M: Metric + Default + Clone>(&mut self, name: &str, help: &str) -> M {
        self.keep(name, help, M::default())
    }

    fn histograms(&mut self, name: &str, help: &str, make: fn() -> Histogram) -> Histograms {
        self.keep(name, help, Family::new_with_constructor(make))
    }

    fn keep<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }
}

/// The newest snapshot of each partition that this process reads. An age grows while nobody reports anything, so it is
/// computed when somebody asks.
pub(super) struct Snapshots {
    clock: fn() -> i64,
    taken: Mutex<BTreeMap<(&'static str, Partition), Taken>>,
}

/// When a snapshot was written, and its size; before the first one of this process, when reading began.
struct Taken {
    at_us: i64,
    bytes: Option<u64>,
}

/// Labels of a metric of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SnapshotLabels {
    unit: &'static str,
    partition: i32,
}

impl Snapshots {
    /// A snapshot was written just now.
    pub(super) fn written(&self, unit: &'static str, partition: Partition, bytes: u64) {
        self.taken().insert((unit, partition), Taken { at_us: (self.clock)(), bytes: Some(bytes) });
    }

    /// The unit reads this partition from now on, if it did not before.
    pub(super) fn begin(&self, unit: &'static str, partition: Partition) {
        let at_us = (self.clock)();
        self.taken().entry((unit, partition)).or_insert(Taken { at_us, bytes: None });
    }

    /// The unit reads this partition no longer.
    pub(super) fn end(&self, unit: &'static str, partition: Partition) {
        self.taken().remove(&(unit, partition));
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<(&'static str, Partition), Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn encode_each<N>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        value: impl Fn(&Taken) -> Option<N>,
    ) -> fmt::Result
    where
        ConstGauge<N>: EncodeMetric,
    {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for ((unit, partition), taken) in self.taken().iter() {
            if let Some(value) = value(taken) {
                let labels = SnapshotLabels { unit, partition: partition.0 };
                ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots").finish_non_exhaustive()
    }
}

impl Collector for Snapshots {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now_us = (self.clock)();
        let age = ("snapshot_age_seconds", "Since the last snapshot of this process, or since it began to read");
        self.encode_each(&mut encoder, age, |taken| {
            Some((now_us - taken.at_us).max(0) as f64 / MICROSECONDS_A_SECOND)
        })?;
        let size = ("snapshot_bytes", "Size of the last snapshot of this process");
        self.encode_each(&mut encoder, size, |taken| taken.bytes)
    }
}
