//! `till run --brokers`: the units over the partitions of a broker's topics, as many processes as one likes.
//!
//! Each unit has a thread and a consumer group of its own; processes that run the same unit share its partitions.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::ValueEnum;
use decode::CatalogUnit;
use decode::keys::KeyRing;
use lake::Lake;
use log::group::{GroupError, GroupLog, TopicPartition};
use log::kafka::{KafkaLog, Settings};
use log::wire::SchemaSource;
use runner::group::{
    CollectSpec, GroupReport, GroupSettings, GroupSurroundings, UnitSpec, destination, pass_through, run_collect,
    run_unit,
};
use runner::{RunnerError, SnapshotStore, Snapshots};
use schemas::Partition;
use schemas::unit::Unit;
use serde_json::json;
use trips::{FixesUnit, TripsUnit};

use crate::clock::Monotonic;
use crate::config::Config;
use crate::failure::Failure;
use crate::faults::Faults;
use crate::ops::{self, MeasuredLog, Ops};
use crate::scoring::{authorize_unit, decode_unit};
use crate::wiring::{
    Company, LakeTables, Locks, StateBundles, StateSchemas, load_keys, on_threads, open_lake, start_runtime,
    stop_on_interrupt,
};
use crate::{kafka, output};

/// What a process can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum UnitName {
    /// Opens frames and checks the merchant's side: transactions to payments.
    Decode,
    /// Decides: payments to decisions and alerts.
    Authorize,
    /// Follows devices: pings to stops and trips.
    Trips,
    /// Fills the tables from all topics.
    Lake,
}

const ALL: [UnitName; 4] = [UnitName::Decode, UnitName::Authorize, UnitName::Trips, UnitName::Lake];
/// Topics that the lake reads: all but that with the closed frames.
const COLLECTED: [&str; 11] = [
    "payments",
    "decisions",
    "alerts",
    "labels",
    "pings",
    "ping_faults",
    "stops",
    "trips",
    "vehicles",
    "dead_letters",
    "control",
];
/// Longest time until a unit notices that it is to stop.
const WAIT: Duration = Duration::from_millis(100);

impl UnitName {
    fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Authorize => "authorize",
            Self::Trips => "trips",
            Self::Lake => "lake",
        }
    }

    fn topic(self) -> &'static str {
        match self {
            Self::Decode => "transactions",
            Self::Authorize => "payments",
            Self::Trips => "pings",
            Self::Lake => COLLECTED[0],
        }
    }
}

/// What to run.
pub struct GroupJob<'a> {
    /// One unit, or all.
    pub unit: Option<UnitName>,
    /// Folder of keys.json, which decode needs.
    pub keys: Option<&'a Path>,
    /// Whether keys that are marked as a demo's are accepted.
    pub demo_keys: bool,
    /// Where health and metrics are served.
    pub listen: Option<SocketAddr>,
    /// Everything else.
    pub config: &'a Config,
}

/// Runs the units until they are told to stop, and prints what they did.
pub fn run(job: &GroupJob<'_>, as_json: bool) -> Result<(), Failure> {
    let units: Vec<UnitName> = job.unit.map_or(ALL.to_vec(), |unit| vec![unit]);
    let ring = if units.contains(&UnitName::Decode) { Some(Arc::new(keys(job)?)) } else { None };
    let locks = Locks::take(job.config, Company::Shared)?;
    let runtime = start_runtime()?;
    let settings = kafka::writing_settings(job.config, &locks.instance, &runtime, &written(&units, ring.as_ref()))?;
    let faults = Faults::from_environment()?;
    let lake = match units.contains(&UnitName::Lake) {
        true => Some(faults.lake(open_lake(job.config, &runtime)?)),
        false => None,
    };
    let ops = Ops::new(&units.iter().map(|unit| unit.name()).collect::<Vec<_>>());
    if let Some(address) = job.listen {
        ops::serve(address, ops.clone(), runtime.handle())?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(&runtime, stop.clone());
    let process = Process { config: job.config, settings, ring, lake, stop: &stop, ops: &ops, faults };
    eprintln!("instance {} runs {}; Ctrl-C stops it", locks.instance, names(&units));
    let reports = on_threads(&units, &stop, |unit| {
        let result = process.run(unit);
        ops.ended(unit.name(), &result.as_ref().map_or_else(ToString::to_string, |_| "stopped".into()));
        result
    })?;
    print(&locks.instance, &units, &reports, as_json)
}

fn names(units: &[UnitName]) -> String {
    units.iter().map(|unit| unit.name()).collect::<Vec<_>>().join(", ")
}

/// The keys, refused where they are a demo's and nobody said that this is one.
fn keys(job: &GroupJob<'_>) -> Result<KeyRing, Failure> {
    let folder = job.keys.ok_or_else(|| {
        Failure::usage("decode needs keys")
            .with_help("name the folder of keys.json with --keys, or run other units here")
    })?;
    let ring = load_keys(folder)?;
    if ring.is_demo() && !job.demo_keys {
        return Err(Failure::usage(format!("the keys in {} are a demo's", folder.display()))
            .with_help("everybody knows them: use real ones, or say --demo-keys where this is a demo"));
    }
    Ok(ring)
}

fn make(unit: UnitName, ring: Option<&Arc<KeyRing>>) -> Box<dyn Unit> {
    match unit {
        UnitName::Decode => Box::new(decode_unit(ring.cloned().expect("the keys were loaded for decode"))),
        UnitName::Authorize => Box::new(authorize_unit()),
        _ => Box::new(TripsUnit::new()),
    }
}

/// Topics to which units write. The lake writes to none.
fn written(units: &[UnitName], ring: Option<&Arc<KeyRing>>) -> Vec<&'static str> {
    let of_unit = |unit: &UnitName| {
        let outputs = make(*unit, ring).outputs();
        let routes: Vec<_> = outputs.iter().filter_map(|output| destination(unit.name(), output.name)).collect();
        routes.into_iter().map(|route| route.topic)
    };
    let topics: BTreeSet<_> = units.iter().filter(|unit| **unit != UnitName::Lake).flat_map(of_unit).collect();
    topics.into_iter().collect()
}

/// What the units of this process share.
struct Process<'a> {
    config: &'a Config,
    settings: Settings,
    ring: Option<Arc<KeyRing>>,
    lake: Option<Lake>,
    stop: &'a AtomicBool,
    ops: &'a Arc<Ops>,
    faults: Faults,
}

impl Process<'_> {
    fn run(&self, unit: UnitName) -> Result<GroupReport, Failure> {
        let topics: &[&'static str] = match unit {
            UnitName::Lake => &COLLECTED,
            _ => &[unit.topic()],
        };
        let schemas: Arc<dyn SchemaSource> = Arc::new(StateSchemas::new(&self.config.state, unit.name()));
        let mut connect = || -> Result<Box<dyn GroupLog>, GroupError> {
            let log = KafkaLog::connect(&self.settings, unit.name(), topics, unit != UnitName::Lake)?;
            let log = self.faults.member(Box::new(log.with_schemas(schemas.clone())));
            Ok(Box::new(MeasuredLog::new(log, self.ops, unit.name())))
        };
        let kafka = &self.config.kafka;
        let run = &self.config.settings;
        let settings = GroupSettings {
            batch_rows_max: run.batch_rows_max,
            commit_rows: run.commit_rows.unsigned_abs(),
            commit_interval: if unit == UnitName::Lake { kafka.lake_commit } else { kafka.commit },
            // Answers wait for a unit's commits; a table's commit is a file, of which there should be few.
            commit_early: (unit != UnitName::Lake).then_some(kafka.commit),
            snapshot_rows: run.snapshot_rows,
            snapshot_interval: kafka.snapshot,
            wait: WAIT,
        };
        let clock = Monotonic::default();
        let surroundings = GroupSurroundings {
            connect: &mut connect,
            settings: &settings,
            clock: &clock,
            stop: self.stop,
            observer: &mut self.ops.unit(unit.name()),
        };
        let bundles = StateBundles::new(&self.config.state);
        let report = match unit {
            UnitName::Lake => {
                let lake = self.lake.clone().expect("the lake was opened for its unit");
                let spec = CollectSpec { make: &mut collector, tables: &mut LakeTables::new(lake), bundles: &bundles };
                run_collect(spec, surroundings)
            }
            _ => {
                let make = || make(unit, self.ring.as_ref());
                let snapshots = |partition| self.snapshots(unit, partition);
                let spec = UnitSpec { topic: unit.topic(), make: &make, snapshots: &snapshots, bundles: &bundles };
                run_unit(spec, surroundings)
            }
        };
        report.map_err(|error| Failure::from(error).of_unit(unit.name()))
    }

    fn snapshots(&self, unit: UnitName, partition: Partition) -> Result<Box<dyn Snapshots>, RunnerError> {
        let folder = self.config.state.join("snapshots").join(format!("{}-{}-{partition}", unit.name(), unit.topic()));
        Ok(self.faults.snapshots(SnapshotStore::open(&folder, &self.settings.instance)?))
    }
}

/// The unit by which the lake reads a partition.
fn collector(place: TopicPartition) -> Option<Box<dyn Unit>> {
    match place.topic {
        "pings" => Some(Box::new(FixesUnit::default())),
        "control" => Some(Box::new(CatalogUnit::default())),
        topic => pass_through(topic),
    }
}

fn print(instance: &str, units: &[UnitName], reports: &[GroupReport], as_json: bool) -> Result<(), Failure> {
    let each = || units.iter().zip(reports);
    if as_json {
        let unit = |(unit, report): (&UnitName, &GroupReport)| {
            json!({
                "unit": unit.name(),
                "records": report.records,
                "rows_written": report.rows_written,
                "rows_suppressed": report.rows_suppressed,
                "went_back": report.went_back,
            })
        };
        return output::print_json(&json!({ "instance": instance, "units": each().map(unit).collect::<Vec<_>>() }));
    }
    let mut table = output::table(["unit", "records", "to", "rows written"]);
    for (unit, report) in each() {
        if report.rows_written.is_empty() {
            table.add_row([unit.name(), &report.records.to_string(), "-", "0"]);
        }
        for (written, rows) in &report.rows_written {
            table.add_row([unit.name(), &report.records.to_string(), written, &rows.to_string()]);
        }
    }
    output::print(&table.to_string())
}
