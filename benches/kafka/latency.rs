//! How long phones wait for their answers, for several pauses between commits.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::kafka::{Broker, Options};

use crate::process::{Running, children_processor, output_of, till};
use crate::throughput::{PREFIX, create_topics};
use crate::{Failure, number};

/// Partitions of each topic.
const PARTITIONS: u64 = 12;
/// Swipes a second, and seconds.
const RATE: u64 = 5_000;
const SECONDS: u64 = 20;
/// Traffic that nobody measures, before all.
const WARM_UP_S: u64 = 40;
/// Pauses between commits, milliseconds.
const COMMITS_MS: [u32; 3] = [5, 20, 50];
const COMMIT_MS: &str = "TILL_KAFKA_COMMIT_MS";
/// Swipes of a merchant of a town on its one day; a little fewer than there are.
const SWIPES_PER_MERCHANT: u64 = 90;
const MERCHANTS_MIN: u64 = 40;
/// Longest wait until a unit has its partitions, and between two looks.
const START: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);
/// A pause is as good as another whose slow answers take up to so much longer; then fewer commits are better.
const ALIKE: f64 = 1.1;

/// What phones saw.
struct Seen {
    swipes: u64,
    given_up: u64,
    /// Median, 99 % and 99.9 %, milliseconds.
    waits_ms: [f64; 3],
    /// Processor time of decode and authorize from their start on.
    processor: Duration,
}

/// Measures each pause and prints the table.
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let (rate, seconds) = (number(arguments, "--rate", RATE)?, number(arguments, "--seconds", SECONDS)?);
    let partitions = u16::try_from(number(arguments, "--partitions", PARTITIONS)?)?;
    let folder = tempfile::tempdir()?;
    let town = folder.path().join("town");
    let merchants = (rate * seconds.max(WARM_UP_S) / SWIPES_PER_MERCHANT).max(MERCHANTS_MIN).to_string();
    output_of(till(["simulate", "--merchants", &merchants, "--out"]).arg(&town))?;
    println!(
        "{rate} swipes a second for {seconds} s in a town of {merchants} merchants, {partitions} partitions, {} cores with \
         broker, phones, decode and authorize on them\n",
        std::thread::available_parallelism()?
    );
    println!(
        "| commit after, ms | median, ms | 99 %, ms | 99.9 %, ms | swipes | given up | units, processor-seconds |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    let broker = Broker::start(&Options { is_tuned: true, ..Options::default() })?;
    let bench = Bench { brokers: broker.bootstrap(), folder: folder.path(), partitions, rate };
    // A broker that has just started compiles its own code for its first half minute.
    bench.measure("warm", COMMITS_MS[1], WARM_UP_S)?;
    let mut measured = Vec::new();
    for commit_ms in COMMITS_MS {
        let Seen { swipes, given_up, waits_ms, processor } =
            bench.measure(&format!("commit{commit_ms}"), commit_ms, seconds)?;
        let [median, p99, p999] = waits_ms;
        println!(
            "| {commit_ms} | {median:.1} | {p99:.1} | {p999:.1} | {swipes} | {given_up} | {:.1} |",
            processor.as_secs_f64()
        );
        measured.push((commit_ms, p99));
    }
    let best = measured.iter().map(|(_, p99)| *p99).fold(f64::INFINITY, f64::min);
    let recommended = measured.iter().rev().find(|(_, p99)| *p99 <= best * ALIKE);
    if let Some((commit_ms, _)) = recommended {
        println!(
            "\nrecommended here: kafka.commit_ms = {commit_ms} (the longest pause within a tenth of the best 99 %)"
        );
    }
    Ok(())
}

/// What all measurements share.
struct Bench<'a> {
    brokers: &'a str,
    folder: &'a Path,
    partitions: u16,
    rate: u64,
}

impl Bench<'_> {
    /// Plays phones against a system of its own: a reader's counters and the numbers of swipes must not have been seen.
    fn measure(&self, name: &str, commit_ms: u32, seconds: u64) -> Result<Seen, Failure> {
        let &Self { brokers, folder, partitions, rate } = self;
        create_topics(brokers, name, partitions)?;
        let (town, keys) = (folder.join("town"), folder.join("town/keys"));
        let (lake, state) = (folder.join(name).join("lake"), folder.join(name).join("state"));
        let before = children_processor()?;
        let start = |unit: &str, more: &[&Path]| -> Result<Running, Failure> {
            let mut command = till(["run", unit, "--brokers", brokers, "--lake"]);
            command.arg(&lake).arg("--state").arg(&state).args(more);
            command.env(COMMIT_MS, commit_ms.to_string()).env(PREFIX, name);
            let mut unit_process = Running::start(&mut command)?;
            wait_until_ready(&mut unit_process, unit, &state, partitions)?;
            Ok(unit_process)
        };
        let units =
            [start("decode", &[Path::new("--demo-keys"), Path::new("--keys"), &keys])?, start("authorize", &[])?];
        let (rate, seconds) = (rate.to_string(), seconds.to_string());
        let mut phones =
            till(["simulate", "--live", "--json", "--rate", &rate, "--seconds", &seconds, "--brokers", brokers]);
        phones.arg("--out").arg(&town).arg("--lake").arg(&lake).arg("--state").arg(&state).env(PREFIX, name);
        let with_phones = children_processor()?;
        let seen: Value = serde_json::from_str(&output_of(&mut phones)?)?;
        let of_phones = children_processor()?.saturating_sub(with_phones);
        for unit in units {
            unit.stop()?;
        }
        let processor = children_processor()?.saturating_sub(before).saturating_sub(of_phones);
        let count = |name: &str| seen["phones"][name].as_u64().ok_or_else(|| format!("the phones counted no {name}"));
        let wait = |share: &str| seen["answer_ms"][share].as_f64().unwrap_or(f64::NAN);
        Ok(Seen {
            swipes: count("swipes")?,
            given_up: count("given_up")?,
            waits_ms: ["p50", "p99", "p99.9"].map(wait),
            processor,
        })
    }
}

/// Waits until a unit has its partitions: it leaves a snapshot of each before it reads on.
fn wait_until_ready(unit: &mut Running, name: &str, state: &Path, partitions: u16) -> Result<(), Failure> {
    let (start, prefix) = (Instant::now(), format!("{name}-"));
    while start.elapsed() < START {
        unit.must_run()?;
        if snapshots(&state.join("snapshots"), &prefix)? == usize::from(partitions) {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(format!("{name} does not have its partitions after {START:?}").into())
}

/// Partitions that have a snapshot.
fn snapshots(folder: &Path, prefix: &str) -> Result<usize, Failure> {
    // Before the first one there is no folder.
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(0) };
    let mut count = 0;
    for entry in entries {
        let partition = entry?;
        if partition.file_name().to_string_lossy().starts_with(prefix) {
            let mut files = std::fs::read_dir(partition.path())?.filter_map(Result::ok);
            count += usize::from(files.any(|file| file.path().extension().is_some_and(|end| end == "snapshot")));
        }
    }
    Ok(count)
}
