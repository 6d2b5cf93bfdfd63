//! Partitioned logs: a folder of files read as one log, or one file alone, and an in-memory log with transactions.
//!
//! A record either becomes a row in the topic's schema or a [`Reject`] that says why not; bad input never fails a
//! batch, and each record keeps its offset either way. A [`LogIdentity`] remembers what was read, so that a restart
//! over other input is refused instead of doubling or losing records.
//! This crate may depend on schemas, on Arrow and its readers; it refuses async, clocks, and any judgement about what
//! a value means: a latitude of 95 degrees is a number and passes.

mod avro;
mod columnar;
mod convert;
mod csv;
mod error;
mod folder;
mod gather;
mod gpx;
pub mod group;
mod identity;
mod json;
pub mod kafka;
mod lines;
pub mod memory;
mod names;
mod ndjson;
mod parquet;
pub mod reason;
mod screen;
#[cfg(test)]
mod testing;
pub mod topics;
pub mod wire;

pub use error::LogError;
pub use folder::FolderLog;
pub use identity::{FileIdentity, LogIdentity};

use arrow::array::RecordBatch;
use schemas::Offset;

/// A record that did not become a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Where the record lies.
    pub offset: Offset,
    /// Short code of what was wrong, one of [`reason`].
    pub reason: &'static str,
    /// File, line or row (from 1), column and cause; never any content of the record.
    pub detail: String,
}

/// What one poll read: rows and rejects together are all records between two positions.
#[derive(Debug, Clone, PartialEq)]
pub struct LogBatch {
    /// Rows in the topic's schema.
    pub rows: RecordBatch,
    /// Offset of each row, strictly increasing.
    pub offsets: Vec<i64>,
    /// Records that did not become rows, in order of offset.
    pub rejects: Vec<Reject>,
    /// When the log took each row, microseconds UTC; empty for a log that does not say.
    pub appended_us: Vec<i64>,
}

/// Reads one partition of a log in order. No result depends on the sizes of the polls.
pub trait LogReader {
    /// Next offset to read.
    fn position(&self) -> Offset;

    /// Reads on by `rows_max` offsets (at least one), or by as many as are left; `None` at the end of the log.
    /// A file log stops earlier where records of extreme length would fill the memory. An error is final: it comes
    /// after everything before the place where it happened has been handed out.
    fn poll(&mut self, rows_max: usize) -> Result<Option<LogBatch>, LogError>;

    /// What has been read up to the position; equal for readers at the same offset of the same input.
    fn identity(&self) -> LogIdentity;

    /// Bytes read and bytes in all, for a progress bar; 0 of 0 where that is not known.
    fn progress(&self) -> (u64, u64) {
        (0, 0)
    }
}
