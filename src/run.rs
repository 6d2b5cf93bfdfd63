//! `till run`: files in, tables out. The units run chained in this process, one thread for each input log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use authorize::AuthorizeUnit;
use clap::Args;
use decode::DecodeUnit;
use decode::keys::KeyRing;
use lake::Lake;
use log::{FolderLog, LogReader};
use runner::{Chain, Report, SnapshotStore, Surroundings};
use schemas::unit::Unit;
use schemas::{Partition, topics};
use serde_json::json;
use tokio::runtime::Runtime;
use trips::TripsUnit;

use crate::config::{Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::progress::Bars;
use crate::wiring::{FolderBundles, LakeTables, Locks, load_keys, start_runtime};
use crate::{maintain, output};

/// A file log has one partition.
const PARTITION: Partition = Partition(0);

/// Run the units over an input folder and append to the lake; on a lake that has rows already it goes on where that
/// stands.
#[derive(Args)]
#[command(after_help = "The input folder has one subfolder a topic (transactions/, pings/) with .ndjson, .avro, \
    .parquet or .csv files that are read in name order, and bundles/ and keys/. New files must sort after those that \
    were read; what was read must not change.")]
pub struct RunArgs {
    /// Input folder, as `till simulate` writes it.
    #[arg(long, value_name = "DIR")]
    input: PathBuf,
    /// Folder of keys.json [default: keys in the input folder; without a key file the published test keys].
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    /// Chooses the size of each batch from this seed; no result depends on it.
    #[arg(long, hide = true)]
    batch_rows_seed: Option<u64>,
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
    let config = Config::resolve(&args.lake, &args.state)?;
    let keys = args.keys.clone().unwrap_or_else(|| args.input.join("keys"));
    let job = Job { input: &args.input, keys: &keys, config: &config, batch_rows_seed: args.batch_rows_seed };
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
    let locks = Locks::take(job.config)?;
    let ring = Arc::new(load_keys(job.keys)?);
    let runtime = start_runtime()?;
    let lake = Lake::open(&job.config.lake, runtime.handle().clone())?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(&runtime, stop.clone());
    let bars = Bars::default();
    let results: Vec<Result<Report, Failure>> = std::thread::scope(|scope| {
        let start = |topic: &'static str| {
            let (lake, ring, stop, bars) = (lake.clone(), ring.clone(), &stop, bars.clone());
            scope.spawn(move || {
                let result = run_chain(job, topic, &ring, lake, stop, &bars);
                // The other chain stops at its next batch, committed and ready to go on.
                stop.fetch_or(result.is_err(), Ordering::Relaxed);
                result
            })
        };
        let threads: Vec<_> = topics.iter().map(|topic| start(topic)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let reports = results.into_iter().collect::<Result<Vec<_>, _>>()?;
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

/// The first Ctrl-C stops after the batch at hand, the second at once: nothing is lost either way.
fn stop_on_interrupt(runtime: &Runtime, stop: Arc<AtomicBool>) {
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.store(true, Ordering::Relaxed);
            eprintln!("stopping after the batch at hand; Ctrl-C again stops at once");
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(130);
            }
        }
    });
}

fn chain_of(topic: &'static str, ring: &Arc<KeyRing>) -> Chain {
    let units: Vec<Box<dyn Unit>> = match topic {
        "transactions" => vec![Box::new(DecodeUnit::new(ring.clone())), Box::new(AuthorizeUnit::new())],
        _ => vec![Box::new(TripsUnit::new())],
    };
    Chain::new(topic, PARTITION, units)
}

fn run_chain(
    job: &Job<'_>,
    topic: &'static str,
    ring: &Arc<KeyRing>,
    lake: Lake,
    stop: &AtomicBool,
    bars: &Bars,
) -> Result<Report, Failure> {
    let mut chain = chain_of(topic, ring);
    let schema = topics::all().into_iter().find(|(name, _)| *name == topic).map(|(_, schema)| schema);
    let schema = schema.expect("the topics of the chains are among all topics");
    let folder = job.input.join(topic);
    let snapshots = SnapshotStore::open(&job.config.state.join("snapshots").join(format!("{topic}-{PARTITION}")))?;
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
