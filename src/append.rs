//! Records that people add to an input folder's transactions: what a broker's topic gets from publishers and gateways, an
//! embedded run reads from a file behind all others.

use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::compute::max;
use arrow::datatypes::TimestampMicrosecondType;
use clap::Args;
use jiff::Timestamp;
use log::{FolderLog, LogReader};
use schemas::topics;
use serde_json::Value;

use crate::config::{BrokerFlags, Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::wiring::write_durably;

const TOPIC: &str = "transactions";
/// Records read at once.
const ROWS_MAX: usize = 4_096;
/// Stands behind the name of the file before: greater than any letter of an ending, and less than another day's name.
const BEHIND: &str = ".~";

/// Where records of people come: into an input folder, or on the brokers' topics.
#[derive(Args)]
pub struct Place {
    /// Input folder of embedded runs; the next run reads them behind what is there.
    #[arg(long, value_name = "DIR", conflicts_with = "brokers")]
    pub input: Option<PathBuf>,
    #[command(flatten)]
    brokers: BrokerFlags,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    state: StateFlags,
}

impl Place {
    /// The configuration with what was said of brokers, lake and state.
    pub fn config(&self) -> Result<Config, Failure> {
        Config::resolve_with(&self.lake, &self.state, &self.brokers)
    }
}

/// Appends records in a file of their own; they are received when the last record that is there was. `what` is a word of
/// its name. Returns its path.
pub fn to_transactions(input: &Path, what: &str, mut records: Vec<Value>) -> Result<PathBuf, Failure> {
    let folder = input.join(TOPIC);
    let failed =
        |error: std::io::Error| Failure::usage(format!("{} is no folder of transactions: {error}", folder.display()));
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    let is_read = |name: &String| FolderLog::file_endings().any(|ending| name.ends_with(&format!(".{ending}")));
    let last = names.into_iter().filter(is_read).max();
    let last = last.ok_or_else(|| Failure::usage(format!("{} holds no transactions yet", folder.display())))?;
    let received_us = newest_us(&folder.join(&last))?;
    let received = Timestamp::from_microsecond(received_us).map_err(Failure::failed)?.to_string();
    for record in &mut records {
        record["received_at"] = Value::String(received.clone());
    }
    let path = folder.join(name_behind(&last, what));
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    write_durably(&path, lines.as_bytes())
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
    Ok(path)
}

/// A name that sorts right behind another: `2026-03-02.~0001-rules.ndjson` follows `2026-03-02.ndjson`, and
/// `2026-03-02.~0002-alerts.ndjson` follows that.
fn name_behind(last: &str, what: &str) -> String {
    let (stem, number) = match last.split_once(BEHIND) {
        Some((stem, rest)) => (stem, rest.split('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)),
        None => (last.rsplit_once('.').map_or(last, |(stem, _)| stem), 0_u32),
    };
    format!("{stem}{BEHIND}{:04}-{what}.ndjson", number + 1)
}

/// The newest `received_at` of a file, microseconds UTC.
fn newest_us(path: &Path) -> Result<i64, Failure> {
    let schema = topics::by_name(TOPIC).expect("transactions are a topic");
    let mut log = FolderLog::of_file(path, schema)?;
    let mut newest_us = None;
    while let Some(batch) = log.poll(ROWS_MAX)? {
        let times =
            batch.rows.column_by_name("received_at").map(|column| column.as_primitive::<TimestampMicrosecondType>());
        newest_us = newest_us.max(times.and_then(max));
    }
    newest_us.ok_or_else(|| Failure::usage(format!("{} holds no record with a time", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_sorts_behind_what_is_there_and_before_the_next_day() {
        let first = name_behind("2026-03-02.ndjson", "rules");
        let second = name_behind(&first, "alerts");
        assert_eq!(
            [first.as_str(), second.as_str()],
            ["2026-03-02.~0001-rules.ndjson", "2026-03-02.~0002-alerts.ndjson"]
        );
        let mut names = vec!["2026-03-03.ndjson", &second, &first, "2026-03-02.parquet"];
        names.sort_unstable();
        assert_eq!(names, ["2026-03-02.parquet", &first, &second, "2026-03-03.ndjson"]);
    }
}
