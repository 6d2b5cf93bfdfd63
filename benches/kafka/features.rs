//! `-- features`: what six features of a topic of JSON payments cost, exactly once into Delta with snapshots, beside a
//! bare loop that computes them and keeps nothing, and Python by hand with dicts and deques.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};
use fraud::fields::{FieldType, Fields};
use fraud::windows::{WindowSet, Windows, parse};
use log::kafka::{Admin, Feeder, Found, HandReader, Settings};
use log::wire::{ForeignDecoder, RawRecords};
use schemas::topics::timestamp;
use schemas::{Offset, Partition, placement};
use xtask::kafka::{Broker, Options};

use crate::feed::PARTITIONS;
use crate::process::{Cost, cost_of, cost_to_its_end, till};
use crate::{Failure, number, python};

/// The first argument of the bare loop's process.
pub const WORD: &str = "bare-features";
const EVENTS: u64 = 2_000_000;
const TOPIC: &str = "card-payments";
const CARDS: u64 = 20_000;
/// 2 March 2026, 08:00 UTC, and the time between two payments: two million are twelve days.
const START_US: i64 = 1_772_438_400_000_000;
const STEP_US: i64 = 500_000;
const BATCH_ROWS: usize = 8_192;
const WAIT: Duration = Duration::from_secs(10);
const FLUSH: Duration = Duration::from_secs(120);
const WINDOWS: &str = "window count_1h = count by card over 1h including current\n\
    window sum_1h = sum(amount_minor) by card over 1h including current\n\
    window count_1d = count by card over 1d including current\n\
    window sum_1d = sum(amount_minor) by card over 1d including current\n\
    window count_7d = count by card over 7d including current\n\
    window sum_7d = sum(amount_minor) by card over 7d including current\n";

/// Measures the ways and prints the table.
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let events = number(arguments, "--events", EVENTS)?;
    let broker = Broker::start(&Options { is_tuned: true, ..Options::default() })?;
    let brokers = broker.bootstrap();
    feed(brokers, events)?;
    println!("{events} JSON payments on {PARTITIONS} partitions, {CARDS} cards, six features, one run of each\n");
    println!("| way | events a second | processor-seconds a million | times the bare loop |");
    println!("|---|---:|---:|---:|");
    let mut bare = Command::new(std::env::current_exe()?);
    bare.args([WORD, brokers, &events.to_string()]).stdin(Stdio::null());
    let bare = cost_to_its_end(&mut bare, events)?;
    print_line("bare loop: consumed, decoded, windows; nothing kept", events, bare, bare);
    print_line("till fraud features --topic", events, ours(brokers, events)?, bare);
    if let Some(python) = python::find() {
        let mut peer = python::features_command(&python, brokers, TOPIC, events);
        print_line("Python by hand, dicts and deques; nothing kept", events, cost_to_its_end(&mut peer, events)?, bare);
    }
    Ok(())
}

fn print_line(way: &str, events: u64, cost: Cost, bare: Cost) {
    let (time, processor) = (cost.time.as_secs_f64(), cost.processor.as_secs_f64());
    println!(
        "| {way} | {:.0} | {:.2} | {:.2} |",
        events as f64 / time,
        processor * 1e6 / events as f64,
        processor / bare.processor.as_secs_f64()
    );
}

fn ours(brokers: &str, events: u64) -> Result<Cost, Failure> {
    let folder = tempfile::tempdir()?;
    let (windows, out) = (folder.path().join("windows.txt"), folder.path().join("lake/features"));
    fs::write(&windows, WINDOWS)?;
    let fields = "card:text,amount_minor:integer,event_time:time";
    let mut command = till(["fraud", "features", "--brokers", brokers, "--topic", TOPIC, "--fields", fields]);
    command.arg("--windows").arg(&windows).arg("--out").arg(&out).args(["--until-end", "--json"]);
    let (cost, printed) = cost_of(&mut command)?;
    let printed: serde_json::Value = serde_json::from_str(&printed)?;
    match printed["rows"].as_u64() {
        Some(rows) if rows == events => Ok(cost),
        rows => Err(format!("{rows:?} rows are in the table, of {events} payments").into()),
    }
}

fn settings(brokers: &str) -> Settings {
    Settings { brokers: brokers.to_string(), ..Settings::default() }
}

/// Payments of cards by number, one after the other in time.
fn feed(brokers: &str, events: u64) -> Result<(), Failure> {
    let settings = settings(brokers);
    Admin::connect(&settings)?.create_topic(TOPIC, PARTITIONS, 1, &[])?;
    let feeder = Feeder::connect(&settings)?;
    for event in 0..events {
        // A multiplier without a factor in common with the number of cards visits them in a scattered order.
        let card = format!("card-{:05}", event.wrapping_mul(7_919) % CARDS);
        let time = jiff::Timestamp::from_microsecond(START_US + event as i64 * STEP_US)?;
        let minor = event * 31 % 20_000 + 1;
        let payload = format!(
            "{{\"payment_id\":\"p{event}\",\"card\":\"{card}\",\"amount_minor\":{minor},\"currency\":\"EUR\",\
             \"event_time\":\"{time}\"}}"
        );
        let partition = placement::of_key(card.as_bytes(), PARTITIONS);
        feeder.send(TOPIC, partition, Some(card.as_bytes()), payload.as_bytes())?;
    }
    Ok(feeder.flush(FLUSH)?)
}

/// The bare loop, in a process of its own; prints how many payments it had.
pub fn bare(arguments: &[String]) -> Result<(), Failure> {
    let [brokers, events] = arguments else { return Err("brokers and a number are missing".into()) };
    let events: u64 = events.parse()?;
    let starts: Vec<_> = (0..i32::from(PARTITIONS)).map(|number| (Partition(number), Offset(0))).collect();
    let reader = HandReader::open(&settings(brokers), TOPIC, &starts)?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("card", DataType::Utf8, true),
        Field::new("amount_minor", DataType::Int64, true),
        Field::new("event_time", timestamp(), false),
    ]));
    let types = [FieldType::Text, FieldType::Integer, FieldType::Time];
    let fields = Fields::new(schema.fields().iter().map(|field| field.name().clone()).zip(types))?;
    let windows = parse(WINDOWS, &fields).map_err(|errors| format!("{errors:?}"))?;
    let set = WindowSet {
        windows,
        time: "event_time".into(),
        lateness_us: 86_400_000_000,
        keys_max: 20_000_000,
        labels_follow: false,
    };
    let mut lanes = Vec::new();
    for _ in &starts {
        lanes.push((RawRecords::default(), ForeignDecoder::json(&schema)?, Windows::new(set.clone())?));
    }
    let (mut had, mut computed) = (0, 0);
    while had < events {
        let Some(Found::Record(record)) = reader.poll(WAIT)? else { continue };
        let lane = &mut lanes[usize::try_from(record.partition().0)?];
        lane.0.push(record.offset(), record.appended_us(), record.payload());
        had += 1;
        if lane.0.len() >= BATCH_ROWS {
            computed += compute(lane)?;
        }
    }
    for lane in &mut lanes {
        computed += compute(lane)?;
    }
    println!("{computed}");
    Ok(())
}

fn compute((raw, decoder, windows): &mut (RawRecords, ForeignDecoder, Windows)) -> Result<usize, Failure> {
    let rows = decoder.decode(raw)?.rows;
    raw.clear();
    Ok(windows.process(&rows)?.num_rows())
}
