//! How many rows a second go from files into a Delta table, one core: `cargo bench -p tillstream --profile release
//! --bench files_to_delta`.
//!
//! The pings of a simulated town, as Parquet and as NDJSON, run through the folder log, the trips unit, the runner and
//! the lake: each row is checked, gets its source columns, and is committed with its frontier, synced to the disk, beside
//! snapshots. The baseline of the same run reads the same file with Arrow's own reader and writes its rows to one
//! Parquet file with the same compression, and does nothing else. Nothing is asserted about time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::{LineDelimitedWriter, ReaderBuilder};
use lake::{Lake, LakeError};
use log::{FolderLog, LogReader};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use runner::{Chain, Settings, SnapshotStore, Surroundings, TableError, Tables};
use schemas::ids::ContentHash;
use schemas::unit::BundleSource;
use schemas::{Offset, Partition, tables, topics};
use simulator::Plan;
use tokio::runtime::{Builder, Runtime};
use trips::TripsUnit;

/// A town of some 450,000 pings.
const PLAN: Plan = Plan { seed: 7, days: 3, merchants: 40 };
/// Rows that the baseline decodes at a time: as many as the runner's batches have.
const BATCH_ROWS: usize = 8_192;
/// Rounds in which each way is timed once, one after the other; odd, so that the median is one of them.
const ROUNDS: usize = 7;

type Failure = Box<dyn std::error::Error>;

/// A format of the input.
#[derive(Clone, Copy)]
enum Format {
    Parquet,
    Ndjson,
}

impl Format {
    fn ending(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Ndjson => "ndjson",
        }
    }
}

fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    simulator::simulate(&PLAN, &folder.join("input"), &folder.join("truth"), &mut |_| {})?;
    let inputs = [(Format::Parquet, folder.join("input/pings")), (Format::Ndjson, folder.join("ndjson"))];
    let rows = write_ndjson(&inputs[0].1, &inputs[1].1)?;
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    println!(
        "{rows} records (pings and ticks) of {} days in a town of {} merchants, {} cores, of which one works; median of \
         {ROUNDS} rounds\n",
        PLAN.days,
        PLAN.merchants,
        std::thread::available_parallelism()?
    );
    println!("| way | rows a second | share of the baseline |\n|---|---:|---:|");
    for (format, input) in &inputs {
        let mut seconds = [Vec::new(), Vec::new()];
        for round in 0..ROUNDS {
            let target = folder.join(format!("{}-{round}", format.ending()));
            std::fs::create_dir(&target)?;
            let baseline = || decode_and_write(*format, input, &target.join("baseline.parquet"));
            let chain = || run_chain(&runtime, input, &target);
            // Who goes first finds the file cache as the other left it.
            let times = if round % 2 == 0 {
                [timed(rows, baseline)?, timed(rows, chain)?]
            } else {
                let chain_time = timed(rows, chain)?;
                [timed(rows, baseline)?, chain_time]
            };
            seconds.iter_mut().zip(times).for_each(|(seconds, time)| seconds.push(time.as_secs_f64()));
            std::fs::remove_dir_all(&target)?;
        }
        print_lines(*format, rows, &seconds);
    }
    Ok(())
}

fn print_lines(format: Format, rows: u64, [baseline, chain]: &[Vec<f64>; 2]) {
    let shares: Vec<f64> = baseline.iter().zip(chain).map(|(baseline, chain)| baseline / chain).collect();
    let rate = |seconds: &[f64]| rows as f64 / median(seconds);
    let name = format.ending();
    println!("| baseline: {name} to parquet, decode and write alone | {:.0} | 1.00 |", rate(baseline));
    println!("| {name} to Delta through log, unit, runner and lake | {:.0} | {:.2} |", rate(chain), median(&shares));
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// How long it takes; that it does all rows is checked.
fn timed(rows: u64, work: impl FnOnce() -> Result<u64, Failure>) -> Result<Duration, Failure> {
    let start = Instant::now();
    let done = work()?;
    let time = start.elapsed();
    if done == rows { Ok(time) } else { Err(format!("{done} rows of {rows} were handled").into()) }
}

/// Batches of one file with Arrow's own readers.
fn read(format: Format, path: &Path) -> Result<Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>, Failure> {
    let file = File::open(path)?;
    Ok(match format {
        Format::Parquet => {
            Box::new(ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS).build()?)
        }
        Format::Ndjson => {
            Box::new(ReaderBuilder::new(topics::pings()).with_batch_size(BATCH_ROWS).build(BufReader::new(file))?)
        }
    })
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, Failure>>()?;
    files.sort();
    Ok(files)
}

/// The baseline.
fn decode_and_write(format: Format, input: &Path, output: &Path) -> Result<u64, Failure> {
    let compression = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(File::create(output)?, topics::pings(), Some(properties))?;
    let mut rows = 0;
    for path in files_of(input)? {
        for batch in read(format, &path)? {
            let batch = batch?;
            rows += batch.num_rows() as u64;
            writer.write(&batch)?;
        }
    }
    writer.close()?;
    Ok(rows)
}

/// Writes the town's Parquet files as NDJSON too; returns the number of rows.
fn write_ndjson(from: &Path, to: &Path) -> Result<u64, Failure> {
    std::fs::create_dir(to)?;
    let mut rows = 0;
    for path in files_of(from)? {
        let name = path.file_stem().ok_or("a file of the input has no name")?;
        let file = File::create(to.join(name).with_extension(Format::Ndjson.ending()))?;
        let mut writer = LineDelimitedWriter::new(std::io::BufWriter::new(file));
        for batch in read(Format::Parquet, &path)? {
            let batch = batch?;
            rows += batch.num_rows() as u64;
            writer.write(&batch)?;
        }
        writer.finish()?;
        std::io::Write::flush(&mut writer.into_inner())?;
    }
    Ok(rows)
}

/// The whole way, into a lake of its own.
fn run_chain(runtime: &Runtime, input: &Path, target: &Path) -> Result<u64, Failure> {
    let mut chain = Chain::new("pings", Partition(0), vec![Box::new(TripsUnit::new())]);
    let lake = Lake::open(&target.join("lake"), runtime.handle().clone())?;
    let mut tables = LakeTables { lake, open: BTreeMap::new() };
    let snapshots = SnapshotStore::open(&target.join("snapshots"), "bench")?;
    let stop = AtomicBool::new(false);
    let mut surroundings =
        Surroundings { tables: &mut tables, snapshots: &snapshots, bundles: &NoBundles, stop: &stop };
    let schema = topics::pings();
    let mut open = |resume: Option<(&log::LogIdentity, Offset)>| -> Result<Box<dyn LogReader>, log::LogError> {
        Ok(Box::new(FolderLog::open(input, Arc::clone(&schema), resume)?))
    };
    let settings = Settings::default();
    let mut batch_rows = || settings.batch_rows_max;
    let report = runner::run(&mut chain, &mut surroundings, &settings, &mut open, &mut batch_rows, &mut |_| {})?;
    Ok(report.ended_at.0.unsigned_abs())
}

/// The lake's tables, each opened when it is first used.
struct LakeTables {
    lake: Lake,
    open: BTreeMap<String, lake::Table>,
}

impl LakeTables {
    fn table(&mut self, name: &str) -> Result<&mut lake::Table, TableError> {
        if !self.open.contains_key(name) {
            let spec = tables::by_name(name).expect("the schemas know the tables of the units");
            let table = self.lake.table(&spec).map_err(|error| table_error(name, &error))?;
            self.open.insert(name.to_string(), table);
        }
        Ok(self.open.get_mut(name).expect("it was opened above"))
    }
}

impl Tables for LakeTables {
    fn frontier(&mut self, table: &str, app_id: &str) -> Result<Option<Offset>, TableError> {
        self.table(table)?.frontier(app_id).map_err(|error| table_error(table, &error))
    }

    fn commit(&mut self, table: &str, rows: &[RecordBatch], frontiers: &[(String, Offset)]) -> Result<(), TableError> {
        self.table(table)?.append(rows, frontiers).map_err(|error| table_error(table, &error))?;
        Ok(())
    }

    fn refresh(&mut self) {
        self.open.clear();
    }
}

fn table_error(table: &str, error: &LakeError) -> TableError {
    TableError { table: table.to_string(), reason: error.to_string(), fenced: false }
}

/// The pings of a town bring no bundle into force.
struct NoBundles;

impl BundleSource for NoBundles {
    fn bundle(&self, _hash: ContentHash) -> Result<Vec<u8>, String> {
        Err("there are no bundles in this benchmark".to_string())
    }
}
