//! What windows over payments cost: `cargo bench -p tillstream --profile release --bench windows`.
//!
//! The payments are those of the handbook's simulation, half a year of 5,000 customers at 10,000 terminals (`--days N`
//! for less), the windows its own: count and mean amount of a customer in 1, 7 and 30 days with the payment itself, count
//! and share of frauds of a terminal in as many days, a week late. The baseline of the same run is what a program would
//! do that keeps a list of payments for each key and adds up what lies in the window. Then each payment is timed by
//! itself, with windows of one day and of 90. Everything runs three times, in turn, and the best of each counts, since
//! other work on the machine only ever adds. One core; nothing is asserted about time.

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use fraud::windows::{Definition, Function, WindowSet, Windows};
use simulator::handbook::{Handbook, HandbookPlan};

const DAY_US: i64 = 24 * 3600 * 1_000_000;
const SPANS_DAYS: [i64; 3] = [1, 7, 30];
const DELAY_DAYS: i64 = 7;
/// How often each part runs.
const ROUNDS: usize = 3;
/// Lengths of which single payments are timed.
const TIMED_DAYS: [i64; 2] = [1, 90];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut days = std::env::args().skip_while(|argument| argument != "--days").skip(1);
    let days = days.next().map(|days| days.parse()).transpose()?.unwrap_or(HandbookPlan::default().days);
    let handbook = Handbook::generate(&HandbookPlan { days, ..HandbookPlan::default() }, &mut |_| {})?;
    let batches: Vec<RecordBatch> = handbook.batches().collect::<Result<_, _>>()?;
    let payments: usize = batches.iter().map(RecordBatch::num_rows).sum();
    println!("{payments} payments of {days} days, 12 windows, one core\n");

    let (mut plain, mut ours) = (Duration::MAX, Duration::MAX);
    let mut windows = Windows::new(set(handbook_windows()))?;
    for _ in 0..ROUNDS {
        let (took, plain_check) = timed(|| self::plain(&batches));
        plain = plain.min(took);
        windows = Windows::new(set(handbook_windows()))?;
        let (took, check) = timed(|| summed(&mut windows, &batches));
        ours = ours.min(took);
        if check? != plain_check {
            return Err("the two ways do not agree".into());
        }
    }
    println!("| | payments a second | ratio |\n|---|---:|---:|");
    for (name, took) in [("list of payments, added up", plain), ("windows", ours)] {
        let ratio = plain.as_secs_f64() / took.as_secs_f64();
        println!("| {name} | {:.0} | {ratio:.2} |", payments as f64 / took.as_secs_f64());
    }
    let bytes = windows.save()?.len();
    let entries = windows.entries();
    println!("\nat the end {entries} entries are kept, {:.1} bytes each as saved\n", bytes as f64 / entries as f64);
    drop(windows);

    let mut best = [[u128::MAX; 3]; TIMED_DAYS.len()];
    for _ in 0..ROUNDS {
        for (days, best) in TIMED_DAYS.into_iter().zip(&mut best) {
            let windows = (0..SPANS_DAYS.len()).flat_map(|number| of_span(&number.to_string(), days));
            let took = latencies(set(windows.collect()), &batches)?;
            best.iter_mut().zip(took).for_each(|(best, took)| *best = took.min(*best));
        }
    }
    println!("| windows of | p50 | p99 | p99.9 |\n|---|---:|---:|---:|");
    for (days, [p50, p99, p999]) in TIMED_DAYS.into_iter().zip(best) {
        println!("| {days} days | {p50} ns | {p99} ns | {p999} ns |");
    }
    let [p50, p99, p999] = [0, 1, 2].map(|part| best[1][part] as f64 / best[0][part] as f64);
    println!("| ratio | {p50:.2} | {p99:.2} | {p999:.2} |");
    Ok(())
}

fn set(windows: Vec<Definition>) -> WindowSet {
    WindowSet {
        windows,
        time: "event_time".to_string(),
        lateness_us: DAY_US,
        keys_max: 1_000_000,
        labels_follow: false,
    }
}

fn handbook_windows() -> Vec<Definition> {
    SPANS_DAYS.into_iter().flat_map(|days| of_span(&format!("{days}d"), days)).collect()
}

/// The handbook's four windows of so many days.
fn of_span(name: &str, days: i64) -> [Definition; 4] {
    let window = |function: &Function, what: &str, key: &str, delay_days: i64| Definition {
        name: format!("{what}_{name}"),
        function: function.clone(),
        key: vec![key.to_string()],
        filter: None,
        length_us: days * DAY_US,
        delay_us: delay_days * DAY_US,
        includes_current: delay_days == 0,
    };
    [
        window(&Function::Count, "customer_count", "customer_id", 0),
        window(&Function::Mean("amount_minor".to_string()), "customer_mean", "customer_id", 0),
        window(&Function::Count, "terminal_count", "terminal_id", DELAY_DAYS),
        window(&Function::Mean("fraud".to_string()), "terminal_risk", "terminal_id", DELAY_DAYS),
    ]
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed(), done)
}

/// Sum of all counts.
fn summed(windows: &mut Windows, batches: &[RecordBatch]) -> Result<i64, Failure> {
    let mut sum = 0;
    for batch in batches {
        let values = windows.process(batch)?;
        let counts = values.columns().iter().filter_map(|column| column.as_primitive_opt::<Int64Type>());
        sum += counts.map(|column| column.iter().flatten().sum::<i64>()).sum::<i64>();
        black_box(values);
    }
    Ok(sum)
}

/// The same by lists.
fn plain(batches: &[RecordBatch]) -> i64 {
    let mut keys: [HashMap<String, VecDeque<(i64, i64)>>; 2] = Default::default();
    let mut sum = 0;
    for batch in batches {
        let column = |name: &str| batch.column_by_name(name).expect("the handbook has this column");
        let times = column("event_time").as_primitive::<TimestampMicrosecondType>();
        let amounts = column("amount_minor").as_primitive::<Int64Type>();
        let frauds = column("fraud").as_boolean();
        let names = ["customer_id", "terminal_id"].map(|name| column(name).as_string::<i32>());
        for row in 0..batch.num_rows() {
            let values = [amounts.value(row), i64::from(frauds.value(row))];
            for (kind, delay_days) in [0, DELAY_DAYS].into_iter().enumerate() {
                let list = keys[kind].entry(names[kind].value(row).to_string()).or_default();
                list.push_back((times.value(row), values[kind]));
                let end_us = times.value(row) - delay_days * DAY_US;
                while list.front().is_some_and(|(at_us, _)| *at_us <= end_us - SPANS_DAYS[2] * DAY_US) {
                    list.pop_front();
                }
                for days in SPANS_DAYS {
                    let inside = list.iter().filter(|(at_us, _)| *at_us > end_us - days * DAY_US && *at_us <= end_us);
                    let (count, total) = inside.fold((0, 0), |(count, total), (_, value)| (count + 1, total + value));
                    black_box(total as f64 / count as f64);
                    sum += count;
                }
            }
        }
    }
    sum
}

/// Median, 99 and 99.9 % of the time for one payment, nanoseconds, the reading of the clock included.
fn latencies(set: WindowSet, batches: &[RecordBatch]) -> Result<[u128; 3], Failure> {
    let mut windows = Windows::new(set)?;
    let mut values = vec![None; windows.set().windows.len()];
    let mut took = Vec::new();
    for batch in batches {
        let payments = windows.bind(batch)?;
        for row in 0..batch.num_rows() {
            let start = Instant::now();
            windows.enter(&payments, row, &mut values);
            took.push(start.elapsed().as_nanos());
            black_box(&values);
        }
    }
    took.sort_unstable();
    Ok([500, 990, 999].map(|part| took[(took.len() - 1) * part / 1_000]))
}
