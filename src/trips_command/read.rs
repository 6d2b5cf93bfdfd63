//! A file of pings into memory, with the rows that are none counted by reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use log::{FolderLog, LogReader};
use schemas::{Offset, topics};
use trips::recording::Recording;
use trips::words;

use crate::failure::Failure;
use crate::progress::Bars;

/// Rows read at a time.
const POLL_ROWS: usize = 8_192;
/// Bad rows of which place and cause are kept.
const SHOWN_MAX: usize = 5;

/// Rows that cannot be a ping.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BadRows {
    /// How many by reason.
    pub counts: BTreeMap<&'static str, u64>,
    /// Place and cause of the first.
    pub first: Vec<String>,
}

/// Bad rows of one poll of which place and cause are kept, with their offsets.
#[derive(Default)]
struct Noted(Vec<(i64, String)>);

impl BadRows {
    fn count(&mut self, reason: &'static str) {
        *self.counts.entry(reason).or_default() += 1;
    }

    /// Keeps the first of a poll, in the order of the file.
    fn keep(&mut self, mut noted: Noted) {
        noted.0.sort_unstable();
        let room = SHOWN_MAX - self.first.len();
        self.first.extend(noted.0.into_iter().map(|(_, text)| text).take(room));
    }

    /// How many in all.
    pub fn all(&self) -> u64 {
        self.counts.values().sum()
    }

    /// How many by reason, the most first.
    pub fn text(&self) -> String {
        by_count(&self.counts)
    }
}

/// Counts by reason in one line, the most first.
pub fn by_count(counts: &BTreeMap<&'static str, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(reason, count)| (std::cmp::Reverse(**count), **reason));
    let texts = counts.into_iter().map(|(reason, count)| format!("{reason} {}", words::thousands(*count)));
    texts.collect::<Vec<_>>().join(", ")
}

/// What was read.
pub struct Read {
    /// The fixes.
    pub recording: Recording,
    /// Rows in all.
    pub rows: u64,
    /// Rows that are no fixes.
    pub bad: BadRows,
}

/// Reads a file to its end.
///
/// # Errors
/// A file that is not there, of no known ending, without the columns of a ping, damaged, or without a usable ping.
pub fn read(path: &Path, bars: &Bars) -> Result<Read, Failure> {
    let shown = path.display();
    let endings: Vec<String> = FolderLog::file_endings().map(|ending| format!(".{ending}")).collect();
    if !FolderLog::file_endings().any(|ending| super::files::ends_in(path, ending)) {
        return Err(Failure::usage(format!("{shown}: its ending names no kind of file that can be read"))
            .with_help(format!("a file of pings ends in {}", endings.join(", "))));
    }
    match fs::metadata(path) {
        Err(error) => return Err(Failure::usage(format!("cannot read {shown}: {error}"))),
        Ok(metadata) if !metadata.is_file() => {
            return Err(Failure::usage(format!("{shown} is no file")).with_help("name one file of pings"));
        }
        Ok(_) => {}
    }
    let mut log = FolderLog::of_file(path, topics::pings())?;
    let bar = bars.bar("reading", log.progress().1);
    let mut read = Read { recording: Recording::default(), rows: 0, bad: BadRows::default() };
    while let Some(batch) = log.poll(POLL_ROWS)? {
        let Read { recording, bad, .. } = &mut read;
        let mut noted = Noted::default();
        for reject in &batch.rejects {
            bad.count(reject.reason);
            if noted.0.len() < SHOWN_MAX {
                noted.0.push((reject.offset.0, format!("{} ({})", reject.detail, reject.reason)));
            }
        }
        // Rejects and what the crate does not take for a fix come apart: of each the first are enough.
        let noted_max = noted.0.len() + SHOWN_MAX;
        let on_bad = |row: usize, reason: &'static str, cause: &'static str| {
            bad.count(reason);
            if noted.0.len() < noted_max {
                let offset = batch.offsets[row];
                noted.0.push((offset, format!("{}: {cause} ({reason})", log.place_of(Offset(offset)))));
            }
        };
        recording.add(&batch.rows, on_bad).map_err(Failure::failed)?;
        bad.keep(noted);
        read.rows = u64::try_from(log.position().0).unwrap_or_default();
        bar.set_position(log.progress().0);
    }
    bar.finish_and_clear();
    if read.recording.fixes() > 0 {
        return Ok(read);
    }
    let (rows, others) = (words::counted(read.rows, "row", "rows"), read.recording.other_rows());
    let mut message = format!("no row of {shown} is a usable ping: {rows}");
    if read.bad.all() > 0 {
        message += &format!(", {}", read.bad.text());
    }
    if others > 0 {
        message += &format!(", {} of the log itself", words::counted(others, "record", "records"));
    }
    let failure = Failure::failed(message);
    Err(if read.bad.first.is_empty() { failure } else { failure.with_help(read.bad.first.join("\n")) })
}
