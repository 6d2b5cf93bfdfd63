//! What Parquet and Avro have in common: batches of the file's own schema become rows of the topic's, by name.
//!
//! A column of a type that does not fit rejects each record of its file, by that column's name; a value that does
//! not fit rejects its own record only. The files cannot grow: they are hashed whole when they are opened.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::convert::{self, Column};
use crate::gather::{Gathered, Mismatch, Place, Source};
use crate::identity::{FileIdentity, Prefix};
use crate::screen::screen;
use crate::{LogError, names, reason};

/// Batches of a file in its own schema.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// How the records of a file are read.
pub(crate) enum Records {
    /// By decoding; for each column of the topic the name of the file's.
    Decoded { batches: Batches, columns: Vec<Option<String>> },
    /// Not at all: each is rejected for the same reason.
    Rejected { reason: &'static str, cause: String, found: String },
}

/// For each column of the topic the name of the file's column, or why no record of the file can be read.
pub(crate) fn match_columns(topic: &Schema, file: &Schema) -> Result<Vec<Option<String>>, Records> {
    let file_names: Vec<String> = file.fields().iter().map(|field| field.name().clone()).collect();
    let positions = names::positions(topic, &file_names);
    let missing = names::missing(topic, &positions);
    if !missing.is_empty() {
        let cause = format!("the file has no column {missing}");
        return Err(Records::Rejected { reason: reason::MISSING_COLUMN, cause, found: file_names.join(",") });
    }
    for (field, position) in topic.fields().iter().zip(&positions) {
        let Some(found) = position.map(|position| file.field(position)) else { continue };
        if !convert::fits(found.data_type(), field.data_type()) {
            let (name, from, to) = (found.name(), found.data_type(), field.data_type());
            let cause = format!("column {name} has type {from}, which does not fit {to}");
            return Err(Records::Rejected { reason: reason::WRONG_SCHEMA, cause, found: file_names.join(",") });
        }
    }
    Ok(positions.iter().map(|position| position.map(|position| file_names[position].clone())).collect())
}

/// A Parquet or Avro file.
pub(crate) struct ColumnarFile {
    place: Place,
    schema: SchemaRef,
    whole: Prefix,
    rows: u64,
    rows_total: u64,
    records: Records,
    /// Decoded rows that no poll has taken yet.
    rest: RecordBatch,
}

impl ColumnarFile {
    /// A file of `rows_total` records, `rows` of which were read before. `whole`: its hash, if it was taken already.
    pub(crate) fn open(
        path: &Path,
        name: &str,
        schema: &SchemaRef,
        rows: u64,
        whole: Option<Prefix>,
        (rows_total, records): (u64, Records),
    ) -> Result<Self, LogError> {
        Ok(Self {
            place: Place { file: name.to_string(), unit: "row" },
            schema: schema.clone(),
            whole: match whole {
                Some(whole) => whole,
                None => Prefix::read(path, name, u64::MAX)?,
            },
            rows,
            rows_total,
            records,
            rest: RecordBatch::new_empty(schema.clone()),
        })
    }

    /// The next rows of the file, in its own schema.
    fn take(&mut self, rows_max: usize) -> Result<RecordBatch, LogError> {
        let Records::Decoded { batches, .. } = &mut self.records else { return Ok(self.rest.clone()) };
        while self.rest.num_rows() == 0 {
            self.rest = match guarded(&self.place.file, || Ok(batches.next()))? {
                Some(Ok(batch)) => batch,
                Some(Err(error)) => return Err(damaged(&self.place.file, &error)),
                None => return Err(damaged(&self.place.file, &"it holds fewer records than it says")),
            };
        }
        let count = rows_max.min(self.rest.num_rows());
        let taken = self.rest.slice(0, count);
        self.rest = self.rest.slice(count, self.rest.num_rows() - count);
        Ok(taken)
    }

    fn convert(&self, taken: &RecordBatch) -> Result<Vec<Column>, ArrowError> {
        let Records::Decoded { columns, .. } = &self.records else { return Ok(Vec::new()) };
        let columns = columns.iter().zip(self.schema.fields()).map(|(name, field)| {
            let found = name.as_ref().and_then(|name| taken.column_by_name(name));
            match found {
                Some(array) => convert::from_column(array, field.data_type()),
                None => Ok(Column::missing(field.data_type(), taken.num_rows())),
            }
        });
        columns.collect()
    }
}

impl Source for ColumnarFile {
    fn read(&mut self, rows_max: usize, gathered: &mut Gathered) -> Result<usize, LogError> {
        let left = self.rows_total - self.rows;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(rows_max);
        if wanted == 0 {
            return Ok(0);
        }
        let read = if let Records::Rejected { reason, cause, .. } = &self.records {
            for row in self.rows..self.rows + wanted as u64 {
                gathered.reject(Some(&self.place), row, reason, cause);
            }
            wanted
        } else {
            let taken = self.take(wanted)?;
            let rows: Vec<u64> = (self.rows..).take(taken.num_rows()).collect();
            screen(&self.schema, self.convert(&taken)?, &rows, Some(&self.place), gathered)?;
            taken.num_rows()
        };
        self.rows += read as u64;
        Ok(read)
    }

    fn identity(&self) -> FileIdentity {
        FileIdentity {
            name: self.place.file.clone(),
            rows: self.rows,
            bytes: self.whole.bytes,
            sha256: self.whole.sha256(),
            open_end: true,
        }
    }

    fn bytes_read(&self) -> u64 {
        let share = u128::from(self.whole.bytes) * u128::from(self.rows) / u128::from(self.rows_total.max(1));
        u64::try_from(share).expect("a share of the file's bytes")
    }

    fn mismatch(&self) -> Option<Mismatch> {
        let Records::Rejected { cause, found, .. } = &self.records else { return None };
        Some(Mismatch { cause: cause.clone(), found: found.clone() })
    }
}

/// Reads from a file that may be damaged: the Parquet reader panics on some wrong bytes, and then too an operator
/// needs the file's name.
pub(crate) fn guarded<T>(file: &str, read: impl FnOnce() -> Result<T, LogError>) -> Result<T, LogError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(damaged(file, &"its bytes are damaged")))
}

/// A file that cannot be decoded.
pub(crate) fn damaged(file: &str, cause: &dyn std::fmt::Display) -> LogError {
    LogError::Format { file: file.to_string(), cause: format!("it cannot be read: {cause}") }
}

#[cfg(test)]
mod tests;
