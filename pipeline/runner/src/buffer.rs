//! Rows that wait for their table's next commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{concat_batches, is_not_null, take_record_batch};
use arrow::error::ArrowError;
use frontier::Ledger;
use schemas::Partition;
use schemas::tables::{SOURCE_OFFSET, source_columns, with_source};

use crate::RunnerError;
use crate::chain::Sink;

/// Rows of one output with the offsets that caused them.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    offsets: Vec<i64>,
    batches: Vec<RecordBatch>,
}

impl Gathered {
    pub(crate) fn push(&mut self, offsets: &[i64], rows: RecordBatch) {
        if !offsets.is_empty() {
            self.offsets.extend_from_slice(offsets);
            self.batches.push(rows);
        }
    }

    /// All rows as one batch in order of offset, if there are any: rows of several writers (the log's rejects, the
    /// units) come batch by batch, and their order must not depend on where batches ended.
    pub(crate) fn take(self) -> Result<Option<(Vec<i64>, RecordBatch)>, ArrowError> {
        let rows = match self.batches.as_slice() {
            [] => return Ok(None),
            [rows] => rows.clone(),
            [first, ..] => concat_batches(&first.schema(), &self.batches)?,
        };
        if self.offsets.is_sorted() {
            return Ok(Some((self.offsets, rows)));
        }
        let positions = stable_order(&self.offsets);
        let mut offsets = self.offsets;
        offsets.sort();
        Ok(Some((offsets, take_record_batch(&rows, &positions)?)))
    }
}

/// Positions that sort the offsets and keep equal ones in their order.
fn stable_order(offsets: &[i64]) -> Int64Array {
    let mut positions: Vec<i64> = (0_i64..).take(offsets.len()).collect();
    positions.sort_by_key(|position| usize::try_from(*position).map(|index| offsets[index]).unwrap_or(i64::MAX));
    Int64Array::from(positions)
}

/// Refuses rows without one offset each, in order.
pub(crate) fn check_offsets(output: &str, offsets: &[i64], rows: &RecordBatch) -> Result<(), RunnerError> {
    if offsets.len() == rows.num_rows() && offsets.is_sorted() {
        return Ok(());
    }
    Err(misfit(output, "the offsets are not one a row in order"))
}

pub(crate) fn misfit(output: &str, reason: impl std::fmt::Display) -> RunnerError {
    RunnerError::Rows { output: output.to_string(), reason: reason.to_string() }
}

/// Rows by table, with source columns appended and rows below the table's frontier left out.
pub(crate) struct TableBuffers {
    topic: &'static str,
    partition: Partition,
    tables: BTreeMap<&'static str, Gathered>,
    ledger: Ledger,
    rows_written: BTreeMap<&'static str, u64>,
    rows_suppressed: u64,
}

impl TableBuffers {
    pub(crate) fn new(topic: &'static str, partition: Partition, ledger: Ledger) -> Self {
        Self { topic, partition, tables: BTreeMap::new(), ledger, rows_written: BTreeMap::new(), rows_suppressed: 0 }
    }

    pub(crate) fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    pub(crate) fn rows_written(&self) -> &BTreeMap<&'static str, u64> {
        &self.rows_written
    }

    pub(crate) fn rows_suppressed(&self) -> u64 {
        self.rows_suppressed
    }

    /// Takes a table's rows in order of offset.
    pub(crate) fn take(&mut self, table: &'static str) -> Result<Vec<RecordBatch>, RunnerError> {
        let rows = self.tables.remove(table).unwrap_or_default().take();
        Ok(rows.map_err(|error| misfit(table, error))?.map(|(_, rows)| rows).into_iter().collect())
    }

    /// The rows and where they came from. Rows that bring a place along (dead letters from their topic) keep it.
    fn with_places(&self, offsets: &[i64], rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let here: [ArrayRef; 3] = [
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(self.topic, offsets.len()))),
            Arc::new(Int32Array::from_value(self.partition.0, offsets.len())),
            Arc::new(Int64Array::from(offsets.to_vec())),
        ];
        let mut columns = rows.columns().to_vec();
        let schema = rows.schema();
        let Ok(_) = schema.index_of(SOURCE_OFFSET) else {
            columns.extend(here);
            return RecordBatch::try_new(with_source(&schema), columns);
        };
        let mut fields = schema.fields().to_vec();
        for (field, here) in source_columns().into_iter().zip(here) {
            let index = schema.index_of(field.name())?;
            columns[index] = zip(&is_not_null(&columns[index])?, &columns[index], &here)?;
            fields[index] = Arc::new(field);
        }
        RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns)
    }
}

impl Sink for TableBuffers {
    /// Adds rows for a table. I-1: those below the table's commit frontier are in it already and are left out.
    fn push(&mut self, table: &'static str, offsets: &[i64], rows: &RecordBatch) -> Result<(), RunnerError> {
        check_offsets(table, offsets, rows)?;
        let suppressed = self.ledger.suppress(table, offsets);
        self.rows_suppressed += suppressed as u64;
        let (kept, offsets) = (rows.num_rows() - suppressed, &offsets[suppressed..]);
        if kept == 0 {
            return Ok(());
        }
        let rows = self.with_places(offsets, &rows.slice(suppressed, kept)).map_err(|error| misfit(table, error))?;
        *self.rows_written.entry(table).or_default() += kept as u64;
        self.tables.entry(table).or_default().push(offsets, rows);
        Ok(())
    }
}
