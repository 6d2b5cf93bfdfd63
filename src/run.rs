//! `till run`: files in, tables out, or topics in, topics and tables out. Over files the units run chained in this
//! process, one thread for each input log; over topics see [`group`].

mod group;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use decode::keys::KeyRing;
use lake::Lake;
use log::{FolderLog, LogReader};
use runner::{Chain, Report, SnapshotStore, Surroundings};
use schemas::unit::Unit;
use schemas::{Partition, topics};
use serde_json::json;
use trips::TripsUnit;

use crate::config::{BrokerFlags, Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::progress::Bars;
use crate::scoring::{authorize_unit, decode_unit};
use crate::wiring::{
    Company, FolderBundles, LakeTables, Locks, load_keys, on_threads, open_lake, start_runtime, stop_on_interrupt,
};
use crate::{maintain, output};

/// A file log has one partition.
const PARTITION: Partition = Partition(0);

/// Run the units over an input folder, or over a broker's topics, and append to the lake; where there are rows already it
/// goes on from there.
///
/// With --input it ends with the input. With --brokers it goes on until it is stopped; any number of processes share the
/// partitions, each with all units or with the one that is named.
#[derive(Args)]
#[command(after_help = "The input folder has one subfolder a topic (transactions/, pings/) with .ndjson, .avro, \
    .parquet or .csv files that are read in name order, and bundles/ and keys/. New files must sort after those that \
    were read; what was read must not change.")]
pub struct RunArgs {
    /// The one unit to run [default: all].
    #[arg(value_enum)]
    unit: Option<group::UnitName>,
    /// Input folder, as `till simulate` writes it.
    #[arg(long, value_name = "DIR", conflicts_with = "brokers")]
    input: Option<PathBuf>,
    /// Folder of keys.json [default: keys in the input folder; without a key file the published test keys].
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Accept keys that are marked as a demo's in a run on brokers.
    #[arg(long)]
    demo_keys: bool,
    /// Serve /healthz, /readyz and /metrics (Prometheus) on this address in a run on brokers; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<std::net::SocketAddr>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    /// Chooses the size of each batch from this seed; no result depends on it.
    #[arg(long, hide = true)]
    batch_rows_seed: Option<u64>,
    #[command(flatten)]
    brokers: BrokerFlags,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    state: StateFlags,
}

/// What to run, for `till run` and `till demo` alike.
pub struct Job<'a> {
    /// Input folder.
    pub input: &'a Path,
    /// Folder of keys.json.
    pub keys: &'a Path,
    /// Everything else.
    pub config: &'a Config,
    /// Seed of the batch sizes, where they are to differ.
    pub batch_rows_seed: Option<u64>,
}

/// What was run.
pub struct Outcome {
    /// Name of this process in the state folder.
    pub instance: String,
    /// Topics in the order of their chains, with what each did.
    pub reports: Vec<(&'static str, Report)>,
    /// Whether it was stopped before the end of the input.
    pub stopped: bool,
}

/// Runs the command.
pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let config = Config::resolve_with(&args.lake, &args.state, &args.brokers)?;
    if args.unit.is_some() && config.kafka.brokers.is_none() {
        return Err(Failure::usage("one unit alone runs on brokers").with_help("name them with --brokers"));
    }
    let Some(input) = &args.input else {
        if config.kafka.brokers.is_none() {
            return Err(Failure::usage("there is nothing to read")
                .with_help("name an input folder with --input, or brokers with --brokers"));
        }
        let keys = args.keys.as_deref();
        let (demo_keys, listen) = (args.demo_keys, args.listen);
        let job = group::GroupJob { unit: args.unit, keys, demo_keys, listen, config: &config };
        return group::run(&job, args.json);
    };
    let keys = args.keys.clone().unwrap_or_else(|| input.join("keys"));
    let job = Job { input, keys: &keys, config: &config, batch_rows_seed: args.batch_rows_seed };
    let outcome = execute(&job)?;
    if outcome.stopped {
        eprintln!("stopped; the same command goes on from here");
    }
    if args.json {
        return output::print_json(&as_json(&outcome));
    }
    print_outcome(&outcome, &config)
}

/// Runs the units over the input's logs to their ends, or until Ctrl-C.
pub fn execute(job: &Job<'_>) -> Result<Outcome, Failure> {
    let topics: Vec<&'static str> =
        ["transactions", "pings"].into_iter().filter(|topic| job.input.join(topic).is_dir()).collect();
    if topics.is_empty() {
        return Err(Failure::usage(format!("{} has neither transactions/ nor pings/", job.input.display()))
            .with_help("name an input folder with --input; `till simulate --out DIR` writes one"));
    }
    let locks = Locks::take(job.config, Company::Alone)?;
    let ring = Arc::new(load_keys(job.keys)?);
    let runtime = start_runtime()?;
    let lake = open_lake(job.config, &runtime)?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(&runtime, stop.clone());
    let bars = Bars::default();
    let reports = on_threads(&topics, &stop, |topic| run_chain(job, topic, &locks, &ring, lake.clone(), &stop, &bars))?;
    let outcome = Outcome {
        instance: locks.instance.clone(),
        reports: topics.into_iter().zip(reports).collect(),
        stopped: stop.load(Ordering::Relaxed),
    };
    // Without new records too: a run that was killed may have left small files to merge.
    if !outcome.stopped {
        maintain::maintain_all(&lake, &job.config.policy)?;
    }
    Ok(outcome)
}

fn chain_of(topic: &'static str, ring: &Arc<KeyRing>) -> Chain {
    let units: Vec<Box<dyn Unit>> = match topic {
        "transactions" => vec![Box::new(decode_unit(ring.clone())), Box::new(authorize_unit())],
        _ => vec![Box::new(TripsUnit::new())],
    };
    Chain::new(topic, PARTITION, units)
}

fn run_chain(
    job: &Job<'_>,
    topic: &'static str,
    locks: &Locks,
    ring: &Arc<KeyRing>,
    lake: Lake,
    stop: &AtomicBool,
    bars: &Bars,
) -> Result<Report, Failure> {
    let mut chain = chain_of(topic, ring);
    let schema = topics::by_name(topic);
    let schema = schema.expect("the topics of the chains are among all topics");
    let folder = job.input.join(topic);
    let folder_of_snapshots = job.config.state.join("snapshots").join(format!("{topic}-{PARTITION}"));
    let snapshots = SnapshotStore::open(&folder_of_snapshots, &locks.instance)?;
    let mut tables = LakeTables::new(lake);
    let bundles = FolderBundles::new(job.input, &job.config.state);
    let mut surroundings = Surroundings { tables: &mut tables, snapshots: &snapshots, bundles: &bundles, stop };
    let bar = bars.bar(topic, 0);
    let mut open = |resume: Option<(&log::LogIdentity, schemas::Offset)>| -> Result<Box<dyn LogReader>, log::LogError> {
        Ok(Box::new(FolderLog::open(&folder, schema.clone(), resume)?))
    };
    let mut sizes = job.batch_rows_seed.map(BatchSizes);
    let rows_max = job.config.settings.batch_rows_max;
    let mut batch_rows = || sizes.as_mut().map_or(rows_max, |sizes| sizes.next(rows_max));
    let mut progress = |progress: runner::Progress| {
        bar.set_length(progress.bytes.1);
        bar.set_position(progress.bytes.0);
        let doing = if progress.replaying { ", replaying what the tables have" } else { "" };
        bar.set_message(format!("{} records{doing}", progress.position));
    };
    let report =
        runner::run(&mut chain, &mut surroundings, &job.config.settings, &mut open, &mut batch_rows, &mut progress)?;
    bar.finish();
    Ok(report)
}

/// Batch sizes from 1 up to a bound, small ones as likely as large ones (SplitMix64).
struct BatchSizes(u64);

impl BatchSizes {
    fn next(&mut self, max: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        let width = (bits % u64::from(usize::BITS - max.leading_zeros())) as u32 + 1;
        ((bits >> 32) as usize % (1 << width)).clamp(1, max)
    }
}

fn as_json(outcome: &Outcome) -> serde_json::Value {
    let chain = |(topic, report): &(&str, Report)| {
        json!({
            "topic": topic,
            "loaded_snapshot": report.loaded_snapshot,
            "started_at": report.started_at,
            "ended_at": report.ended_at,
            "rows_written": report.rows_written,
            "rows_suppressed": report.rows_suppressed,
        })
    };
    json!({
        "instance": outcome.instance,
        "stopped": outcome.stopped,
        "logs": outcome.reports.iter().map(chain).collect::<Vec<_>>(),
    })
}

fn print_outcome(outcome: &Outcome, config: &Config) -> Result<(), Failure> {
    let mut table = output::table(["log", "records", "from", "table", "rows written"]);
    for (topic, report) in &outcome.reports {
        let records = (report.ended_at.0 - report.started_at.0).to_string();
        let from = report.started_at.to_string();
        if report.rows_written.is_empty() {
            table.add_row([*topic, &records, &from, "-", "0"]);
        }
        for (written, rows) in &report.rows_written {
            table.add_row([*topic, &records, &from, written, &rows.to_string()]);
        }
    }
    output::print(&table.to_string())?;
    for (topic, report) in outcome.reports.iter().filter(|(_, report)| report.rows_suppressed > 0) {
        eprintln!("{topic}: {} rows of the replay were in the tables already", report.rows_suppressed);
    }
    eprintln!("look at it with: till sql --lake {} '\\d'", config.lake.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_sizes_stay_in_their_bounds_and_differ() {
        for max in [1, 2, 7, 8_192] {
            let mut sizes = BatchSizes(1);
            let drawn: Vec<usize> = (0..1_000).map(|_| sizes.next(max)).collect();
            assert!(drawn.iter().all(|size| (1..=max).contains(size)));
            assert!(max == 1 || drawn.contains(&1) && drawn.iter().any(|size| *size > max / 4));
        }
    }
}
