//! What one poll gathers, and the interface of a file.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use schemas::Offset;

use crate::identity::FileIdentity;
use crate::{LogBatch, LogError, Reject};

/// One file of a log, read record by record in order.
pub(crate) trait Source: Send {
    /// Reads at least one and at most `rows_max` records; returns how many, 0 at the end of the file.
    fn read(&mut self, rows_max: usize, gathered: &mut Gathered) -> Result<usize, LogError>;

    /// What was read so far.
    fn identity(&self) -> FileIdentity;

    /// Bytes that the records read so far take, about.
    fn bytes_read(&self) -> u64;

    /// Why no record of the file can become a row, if its columns already tell.
    fn mismatch(&self) -> Option<Mismatch> {
        None
    }
}

/// Columns of a file that are not those of its topic.
pub(crate) struct Mismatch {
    /// What is wrong with them.
    pub(crate) cause: String,
    /// Names of the file's columns, comma separated.
    pub(crate) found: String,
}

/// Where records lie, for people.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) file: String,
    /// What a record is called: line, record or row.
    pub(crate) unit: &'static str,
}

impl Place {
    /// Says what is wrong with a record, counted from 0 here and from 1 in the text.
    pub(crate) fn detail(&self, row: u64, cause: &str) -> String {
        format!("{}, {} {}: {cause}", self.file, self.unit, row + 1)
    }
}

/// Rows and rejects of one poll.
pub(crate) struct Gathered {
    /// Offset of the first record of the file at hand.
    pub(crate) file_start: i64,
    /// Bytes of text that the poll has read, the measure of the memory that it takes.
    pub(crate) text_bytes: usize,
    batches: Vec<RecordBatch>,
    offsets: Vec<i64>,
    rejects: Vec<Reject>,
}

impl Gathered {
    pub(crate) fn new() -> Self {
        Self { file_start: 0, text_bytes: 0, batches: Vec::new(), offsets: Vec::new(), rejects: Vec::new() }
    }

    fn offset(&self, row: u64) -> i64 {
        self.file_start + i64::try_from(row).expect("a file has fewer than 2^63 records")
    }

    /// Adds rows with their numbers in the file, from 0.
    pub(crate) fn rows(&mut self, rows: impl Iterator<Item = u64>, batch: RecordBatch) {
        let file_start = self.offset(0);
        self.offsets.extend(rows.map(|row| file_start + row.cast_signed()));
        self.batches.push(batch);
    }

    /// Adds a record that does not become a row. Without a place its offset alone says where it lies.
    pub(crate) fn reject(&mut self, place: Option<&Place>, row: u64, reason: &'static str, cause: &str) {
        let detail = place.map_or_else(|| cause.to_string(), |place| place.detail(row, cause));
        self.rejects.push(Reject { offset: Offset(self.offset(row)), reason, detail });
    }

    /// Everything in order of offset.
    pub(crate) fn finish(mut self, schema: &SchemaRef) -> Result<LogBatch, ArrowError> {
        self.rejects.sort_by_key(|reject| reject.offset);
        let rows = match self.batches.len() {
            1 => self.batches.swap_remove(0),
            _ => concat_batches(schema, &self.batches)?,
        };
        Ok(LogBatch { rows, offsets: self.offsets, rejects: self.rejects, appended_us: Vec::new() })
    }
}
