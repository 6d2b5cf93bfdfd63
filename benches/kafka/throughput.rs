//! Events a second and processor time of each way from the topic.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use log::wire::Format;
use serde_json::Value;
use xtask::kafka::{Broker, Options};

use crate::feed::{self, PARTITIONS};
use crate::process::{Cost, cost_to_its_end, cost_until, output_of, till};
use crate::{Failure, bare, number, python};

const EVENTS: u64 = 500_000;
/// The table of the pings.
const TABLE: &str = "pings";

/// Measures every way and prints the table.
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let events = number(arguments, "--events", EVENTS)?;
    println!(
        "{events} pings on {PARTITIONS} partitions, {} cores with the broker on them, one run of each\n",
        std::thread::available_parallelism()?
    );
    println!("| format | way | events a second | share of the first | processor-seconds a million | times the first |");
    println!("|---|---|---:|---:|---:|---:|");
    let mut first = None;
    for (name, format) in [("JSON", Format::Json), ("Avro", Format::Avro), ("frames", Format::Registry(1))] {
        let broker = broker_with(format, events)?;
        for (way, cost) in ways(name, broker.bootstrap(), events)? {
            let first = *first.get_or_insert(cost);
            print_line(name, way, events, cost, first);
        }
    }
    Ok(())
}

fn print_line(format: &str, way: &str, events: u64, cost: Cost, first: Cost) {
    let events = events as f64;
    let [time, first_time] = [cost, first].map(|cost| cost.time.as_secs_f64());
    let [processor, first_processor] = [cost, first].map(|cost| cost.processor.as_secs_f64());
    println!(
        "| {format} | {way} | {:.0} | {:.2} | {:.2} | {:.1} |",
        events / time,
        first_time / time,
        processor * 1e6 / events,
        processor / first_processor
    );
}

/// A broker that holds the pings in this format and nothing else.
fn broker_with(format: Format, events: u64) -> Result<Broker, Failure> {
    let broker = Broker::start(&Options { is_tuned: true, ..Options::default() })?;
    let brokers = broker.bootstrap();
    create_topics(brokers, "", PARTITIONS)?;
    let bytes = feed::feed(brokers, format, events)?;
    eprintln!("{format:?}: {} bytes a record", bytes / events.max(1));
    Ok(broker)
}

/// Keeps systems on one broker apart.
pub const PREFIX: &str = "TILL_KAFKA_PREFIX";

/// Makes the topics of the system with this prefix as the program wants them.
pub fn create_topics(brokers: &str, prefix: &str, partitions: u16) -> Result<(), Failure> {
    let partitions = partitions.to_string();
    let mut create = till(["topics", "create", "--partitions", &partitions, "--brokers", brokers]);
    output_of(create.env(PREFIX, prefix))?;
    Ok(())
}

fn ways(format: &str, brokers: &str, events: u64) -> Result<Vec<(&'static str, Cost)>, Failure> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let file = folder.join("bare.parquet").display().to_string();
    let received = cost_to_its_end(&mut bare::command(brokers, events, None)?, events)?;
    let mut ways = vec![("received and left", received)];
    if format == "JSON" {
        let written = cost_to_its_end(&mut bare::command(brokers, events, Some(&file))?, events)?;
        ways.push(("bare loop: decoded into one Parquet file", written));
    }
    ways.push(("till run lake", lake(folder, brokers, events)?));
    let python = if format == "JSON" { python::find() } else { None };
    if let Some(python) = python {
        let mut peer = python::command(&python, brokers, events, &folder.join("python"))?;
        ways.push(("Python by hand, into Delta", cost_to_its_end(&mut peer, events)?));
    }
    Ok(ways)
}

fn lake(folder: &Path, brokers: &str, events: u64) -> Result<Cost, Failure> {
    let (lake, state) = (folder.join("lake"), folder.join("state"));
    let mut committed = Committed::new(lake.join(TABLE));
    let mut command = till(["run", "lake", "--brokers", brokers]);
    command.arg("--lake").arg(&lake).arg("--state").arg(&state);
    let cost = cost_until(&mut command, &mut || Ok(committed.rows()? >= events))?;
    match committed.rows()? {
        rows if rows == events => Ok(cost),
        rows => Err(format!("{rows} rows are in the table, of {events} events").into()),
    }
}

/// Rows of a Delta table, counted by the statistics of its commits.
struct Committed {
    log: PathBuf,
    seen: BTreeSet<PathBuf>,
    rows: u64,
}

impl Committed {
    fn new(table: PathBuf) -> Self {
        Self { log: table.join("_delta_log"), seen: BTreeSet::new(), rows: 0 }
    }

    fn rows(&mut self) -> Result<u64, Failure> {
        // Without the table there are no rows yet.
        let Ok(entries) = std::fs::read_dir(&self.log) else { return Ok(0) };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") && self.seen.insert(path.clone()) {
                self.rows += rows_of(&std::fs::read_to_string(&path)?)?;
            }
        }
        Ok(self.rows)
    }
}

/// Rows that a commit adds (Delta protocol, "Per-file statistics").
fn rows_of(commit: &str) -> Result<u64, Failure> {
    let mut rows = 0;
    for line in commit.lines() {
        let action: Value = serde_json::from_str(line)?;
        if let Some(statistics) = action["add"]["stats"].as_str() {
            let statistics: Value = serde_json::from_str(statistics)?;
            rows += statistics["numRecords"].as_u64().ok_or("a file has no number of rows")?;
        }
    }
    Ok(rows)
}
