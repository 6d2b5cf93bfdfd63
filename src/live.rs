//! `till simulate --live`: phones and their gateway against a running system, in real time.
//!
//! The swipes of a simulated town are put on the log at a steady rate, whatever the answers do (an open loop), stamped
//! with the time at which the gateway takes them. For each swipe the phone waits for its decision; the gateway appends
//! what follows from it. Ticks are written every second. At the end it says what the phones saw.

mod decisions;
mod phones;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::Int32Type;
use clap::Args;
use indicatif::ProgressBar;
use log::kafka::{Admin, Feeder};
use log::{FolderLog, LogReader};
use schemas::ids::ContentHash;
use schemas::placement;
use schemas::topics::{self, kind};
use serde_json::json;

use crate::config::Config;
use crate::control::{PUBLISHED, Publisher};
use crate::failure::Failure;
use crate::progress::Bars;
use crate::wiring::{start_runtime, stop_on_interrupt, write_durably};
use crate::{clock, kafka, output, publish};
use decisions::Decisions;
use phones::{Append, Patience, Phones, SwipeKey};

const TRANSACTIONS: &str = "transactions";
const PINGS: &str = "pings";
/// Time between ticks, microseconds: what a live gateway promises.
const TICK_US: i64 = 1_000_000;
/// Longest wait for decisions between two looks at what is due.
const LOOK: Duration = Duration::from_millis(1);
/// Swipes kept in memory: an hour at the highest rate that is measured.
const SWIPES_MAX: usize = 2_000_000;

/// How phones are played.
#[derive(Args, Clone)]
pub struct LiveFlags {
    /// Play the town's phones and their gateway against a running system: swipes, ticks, answers, signatures and
    /// withdrawals in real time. Needs --brokers.
    #[arg(long, requires = "brokers")]
    pub live: bool,
    /// Swipes a second of --live, sent at their time whether or not earlier ones were answered.
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    rate: f64,
    /// Seconds for which --live swipes [default: until the town's swipes are used up].
    #[arg(long, value_name = "N")]
    seconds: Option<u32>,
    /// Write how each swipe ended for its phone to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    phones: Option<PathBuf>,
}

/// The town's swipes, each once.
struct Swipes {
    rows: RecordBatch,
    keys: Vec<SwipeKey>,
}

/// Plays the phones and prints what they saw.
pub fn run(input: &Path, config: &Config, flags: &LiveFlags, as_json: bool) -> Result<(), Failure> {
    if !(flags.rate > 0.0 && flags.rate <= 100_000.0) {
        return Err(Failure::usage("--rate must be above 0 and at most 100000 swipes a second"));
    }
    let runtime = start_runtime()?;
    let instance = format!("live-{}", std::process::id());
    let settings = kafka::writing_settings(config, &instance, &runtime, &PUBLISHED)?;
    let (feeder, admin) = (Feeder::connect(&settings)?, Admin::connect(&settings)?);
    let mut publisher = Publisher::new(&feeder, &admin, &settings.formats)?;
    publish::keep_bundles(input, config)?;
    publish::controls(input, &mut publisher)?;
    let swipes = Swipes::read(input)?;
    let decisions = Decisions::listen(&settings)?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(&runtime, stop.clone());
    let mut gateway =
        Gateway { publisher, swipes, phones: Phones::new(Patience::default()), decisions, sent_us: Vec::new() };
    let bar = Bars::default().bar("phones", gateway.swipes.keys.len() as u64);
    gateway.play(flags, &stop, &bar)?;
    bar.finish();
    if let Some(path) = &flags.phones {
        write_durably(path, gateway.phones.ends().as_bytes())
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
    }
    report(&gateway.phones, as_json)
}

impl Swipes {
    fn read(input: &Path) -> Result<Self, Failure> {
        let schema = topics::by_name(TRANSACTIONS).expect("transactions is a topic");
        let mut log = FolderLog::open(&input.join(TRANSACTIONS), schema.clone(), None)?;
        let (mut batches, mut keys) = (Vec::new(), Vec::new());
        let mut seen = std::collections::BTreeSet::new();
        while let Some(batch) = log.poll(8_192)? {
            let column = |name: &str| batch.rows.column_by_name(name).expect("the schema has this column");
            let (kinds, readers) = (column("kind").as_string::<i32>(), column("reader_id").as_string::<i32>());
            let stans = column("stan").as_primitive::<Int32Type>();
            let mut is_new = |row: usize| {
                let is_swipe = kinds.value(row) == kind::SWIPE && readers.is_valid(row) && stans.is_valid(row);
                let key = SwipeKey { reader_id: readers.value(row).to_string(), stan: stans.value(row) };
                let is_new = is_swipe && seen.insert(key.clone());
                keys.extend(is_new.then_some(key));
                Some(is_new)
            };
            let wanted = (0..batch.rows.num_rows()).map(&mut is_new).collect();
            batches.push(filter_record_batch(&batch.rows, &wanted).map_err(Failure::failed)?);
            if keys.len() > SWIPES_MAX {
                return Err(Failure::usage(format!("the town has more than {SWIPES_MAX} swipes"))
                    .with_help("take fewer days or merchants"));
            }
        }
        Ok(Self { rows: concat_batches(&schema, &batches).map_err(Failure::failed)?, keys })
    }

    /// Rows from `start` on, as phones sent them at one time and the gateway puts them on the log at another: what a
    /// phone sends again is what it sent before.
    fn stamped(&self, start: usize, count: usize, sent_us: i64, received_us: i64) -> Result<RecordBatch, Failure> {
        let rows = self.rows.slice(start, count);
        let mut columns = rows.columns().to_vec();
        for (name, time_us) in [("received_at", received_us), ("terminal_time", sent_us)] {
            let times = TimestampMicrosecondArray::from_value(time_us, count).with_timezone("UTC");
            columns[rows.schema().index_of(name).map_err(Failure::failed)?] = Arc::new(times);
        }
        RecordBatch::try_new(rows.schema(), columns).map_err(Failure::failed)
    }

    fn merchant(&self, row: usize) -> &str {
        self.rows.column_by_name("merchant_id").expect("the schema has this column").as_string::<i32>().value(row)
    }
}

/// The gateway: what phones want goes to the log, what is decided goes to the phones.
struct Gateway<'a> {
    publisher: Publisher<'a>,
    swipes: Swipes,
    phones: Phones,
    decisions: Decisions,
    /// When each phone swiped, microseconds UTC.
    sent_us: Vec<i64>,
}

impl Gateway<'_> {
    fn play(&mut self, flags: &LiveFlags, stop: &AtomicBool, bar: &ProgressBar) -> Result<(), Failure> {
        let start_us = clock::now_us();
        let all = self.swipes.keys.len();
        let wanted = flags.seconds.map_or(all, |seconds| ((f64::from(seconds) * flags.rate) as usize).min(all));
        let (mut sent, mut next_tick_us) = (0, start_us);
        loop {
            let now_us = clock::now_us();
            if now_us >= next_tick_us {
                self.tick(now_us)?;
                next_tick_us += TICK_US;
            }
            let elapsed_s = (now_us - start_us) as f64 / 1e6;
            let due = ((elapsed_s * flags.rate) as usize + 1).min(wanted);
            let is_stopping = stop.load(Ordering::Relaxed);
            if due > sent && !is_stopping {
                self.swipe(sent, due, start_us, flags.rate)?;
                sent = due;
            }
            let due = self.phones.due(now_us);
            self.append(&due, now_us)?;
            self.hear()?;
            bar.set_position(sent as u64);
            if (sent == wanted || is_stopping) && self.phones.are_done() {
                return self.publisher.flush();
            }
        }
    }

    /// Sends the swipes that are due. Waiting counts from the moment at which each was due, not from when it was sent.
    fn swipe(&mut self, start: usize, end: usize, start_us: i64, rate: f64) -> Result<(), Failure> {
        let now_us = clock::now_us();
        for row in start..end {
            let due_us = start_us + (row as f64 / rate * 1e6) as i64;
            self.phones.swipe(self.swipes.keys[row].clone(), due_us);
        }
        self.sent_us.resize(end, now_us);
        self.send_swipes(start, end - start, now_us)
    }

    /// Sends swipes of phones that swiped at the same time.
    fn send_swipes(&mut self, start: usize, count: usize, now_us: i64) -> Result<(), Failure> {
        let rows = self.swipes.stamped(start, count, self.sent_us[start], now_us)?;
        let partitions = self.publisher.partitions(TRANSACTIONS)?;
        let swipes = &self.swipes;
        let mut place = |row: usize| vec![placement::of_key(swipes.merchant(start + row).as_bytes(), partitions)];
        self.publisher.send(TRANSACTIONS, &rows, &mut place)
    }

    /// Appends what phones want, all at one time.
    fn append(&mut self, appends: &[Append], now_us: i64) -> Result<(), Failure> {
        let mut steps = Vec::new();
        for append in appends {
            match append {
                Append::Again(row) => self.send_swipes(*row, 1, now_us)?,
                Append::Answered(row, payment_id) => steps.push((kind::ANSWERED, *row, Some(payment_id.as_str()))),
                Append::Signature(row, payment_id) => steps.push((kind::SIGNATURE, *row, Some(payment_id.as_str()))),
                Append::Withdraw(row) => steps.push((kind::WITHDRAW, *row, None)),
            }
        }
        if steps.is_empty() {
            return Ok(());
        }
        let swipes = &self.swipes;
        let texts = |text: &dyn Fn(&Step) -> Option<String>| {
            Some(Arc::new(steps.iter().map(text).collect::<StringArray>()) as ArrayRef)
        };
        let kinds: Vec<_> = steps.iter().map(|(kind, ..)| *kind).collect();
        let rows = records(TRANSACTIONS, &kinds, now_us, &|name| match name {
            "merchant_id" => texts(&|(_, row, _)| Some(swipes.merchant(*row).to_string())),
            "reader_id" => texts(&|(_, row, _)| Some(swipes.keys[*row].reader_id.clone())),
            "stan" => {
                Some(Arc::new(Int32Array::from_iter_values(steps.iter().map(|(_, row, _)| swipes.keys[*row].stan))))
            }
            "payment_id" => texts(&|(_, _, payment_id)| payment_id.map(str::to_string)),
            "signature_sha256" => texts(&|(kind, _, payment_id)| {
                let signed = payment_id.filter(|_| *kind == kind::SIGNATURE)?;
                Some(ContentHash::of(signed.as_bytes()).to_hex())
            }),
            _ => None,
        })?;
        let partitions = self.publisher.partitions(TRANSACTIONS)?;
        let mut place = |step: usize| vec![placement::of_key(swipes.merchant(steps[step].1).as_bytes(), partitions)];
        self.publisher.send(TRANSACTIONS, &rows, &mut place)
    }

    fn tick(&mut self, now_us: i64) -> Result<(), Failure> {
        for topic in [TRANSACTIONS, PINGS] {
            let tick = records(topic, &[kind::TICK], now_us, &|_| None)?;
            let everywhere = self.publisher.everywhere(topic)?;
            self.publisher.send(topic, &tick, &mut |_| everywhere.clone())?;
        }
        Ok(())
    }

    /// Tells phones what was decided.
    fn hear(&mut self) -> Result<(), Failure> {
        let Some(batch) = self.decisions.next(LOOK)? else { return Ok(()) };
        let now_us = clock::now_us();
        let column = |name: &str| batch.rows.column_by_name(name).map(|column| column.as_string::<i32>());
        let (Some(kinds), Some(readers), Some(payments), Some(reasons)) =
            (column("kind"), column("reader_id"), column("payment_id"), column("reason"))
        else {
            return Err(Failure::failed("the decisions topic lacks a column that answers have"));
        };
        let stans = batch.rows.column_by_name("stan").map(|column| column.as_primitive::<Int32Type>());
        let mut appends = Vec::new();
        for row in (0..batch.rows.num_rows()).filter(|row| kinds.value(*row) == "authorization") {
            let Some(stans) = stans.filter(|stans| stans.is_valid(row) && readers.is_valid(row)) else { continue };
            let key = SwipeKey { reader_id: readers.value(row).to_string(), stan: stans.value(row) };
            let is_approved = reasons.value(row) == "approved";
            appends.extend(self.phones.decided(&key, payments.value(row), is_approved, now_us));
        }
        self.append(&appends, now_us)
    }
}

/// What a phone's gateway appends about the swipe of a row: kind, row and payment.
type Step<'a> = (&'static str, usize, Option<&'a str>);

/// Records of the transactions topic with these values beside kind and time, one a kind.
fn records(
    topic: &str,
    kinds: &[&str],
    received_at_us: i64,
    values: &dyn Fn(&str) -> Option<ArrayRef>,
) -> Result<RecordBatch, Failure> {
    let schema = topics::by_name(topic).expect("a gateway writes to topics that there are");
    let column = |field: &arrow::datatypes::Field| match field.name().as_str() {
        "kind" => Arc::new(StringArray::from(kinds.to_vec())) as ArrayRef,
        "received_at" => {
            Arc::new(TimestampMicrosecondArray::from_value(received_at_us, kinds.len()).with_timezone("UTC"))
        }
        name => values(name).unwrap_or_else(|| new_null_array(field.data_type(), kinds.len())),
    };
    let columns = schema.fields().iter().map(|field| column(field)).collect();
    RecordBatch::try_new(schema.clone(), columns).map_err(Failure::failed)
}

/// The wait that this share of the sorted waits does not exceed, milliseconds.
fn percentile_ms(waits_us: &[i64], share: f64) -> f64 {
    let rank = ((waits_us.len() as f64 * share).ceil() as usize).clamp(1, waits_us.len().max(1));
    waits_us.get(rank - 1).map_or(f64::NAN, |wait_us| *wait_us as f64 / 1e3)
}

fn report(phones: &Phones, as_json: bool) -> Result<(), Failure> {
    let seen = phones.seen();
    let waits_us = phones.waits_us();
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| percentile_ms(&waits_us, share));
    if as_json {
        return output::print_json(&json!({
            "phones": seen,
            "answer_ms": { "p50": p50, "p99": p99, "p99.9": p999 },
        }));
    }
    output::print(&format!(
        "{} swipes: {} approved, {} declined, {} given up; {} sent again, {} late answers, {} signatures",
        seen.swipes, seen.approved, seen.declined, seen.given_up, seen.retries, seen.late, seen.signed
    ))?;
    if waits_us.is_empty() {
        return output::print("no swipe was answered in time");
    }
    output::print(&format!("answers after {p50:.1} ms (median), {p99:.1} ms (99 %), {p999:.1} ms (99.9 %)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_waits_that_were_measured() {
        let waits: Vec<i64> = (1..=1_000).map(|wait| wait * 1_000).collect();
        assert_eq!(percentile_ms(&waits, 0.5), 500.0);
        assert_eq!(percentile_ms(&waits, 0.99), 990.0);
        assert_eq!(percentile_ms(&waits, 0.999), 999.0);
        assert_eq!(percentile_ms(&waits[..1], 0.999), 1.0);
    }
}
