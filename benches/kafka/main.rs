//! What it costs to read a topic into tables, and how long a phone waits for its answer, with a real broker beside it:
//! `cargo bench -p tillstream --profile release --bench kafka`.
//!
//! Without more words it measures throughput: pings lie on a topic of four partitions, and each way of reading them is a
//! process of its own that is timed from its start until it has them all. The first way, against which all others are
//! set, receives the records and does nothing with them. `--events 2000000` says how many; start and membership of a
//! group, about two seconds, weigh little then.
//!
//! `-- latency` measures answers: decode and authorize run as processes on `--partitions`, the phones of a simulated town
//! swipe `--rate` times a second for `--seconds`, for several pauses between commits.
//!
//! `-- features` measures `till fraud features` over a topic of two million JSON payments.
//!
//! Broker, phones and units share the machine, so the figures say less than the ratios. Nothing is asserted about time.
//! It needs what `cargo xtask kafka up` needs, and Python 3 with pip for the Python way, which is left out otherwise.

mod bare;
mod features;
mod feed;
mod latency;
mod process;
mod python;
mod throughput;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(bare::WORD) => bare::run(&arguments[1..]),
        Some(features::WORD) => features::bare(&arguments[1..]),
        Some("features") => features::run(&arguments),
        Some("latency") => latency::run(&arguments),
        _ => throughput::run(&arguments),
    }
}

/// The number after a flag, or what holds without it.
fn number(arguments: &[String], flag: &str, default: u64) -> Result<u64, Failure> {
    let mut values = arguments.iter().skip_while(|argument| *argument != flag).skip(1);
    values.next().map_or(Ok(default), |value| value.parse().map_err(|_| format!("{flag} {value}: not a number").into()))
}
