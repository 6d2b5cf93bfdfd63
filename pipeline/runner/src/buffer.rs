//! Rows that wait for their table's next commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::Int64Type;
use frontier::Ledger;
use schemas::Partition;
use schemas::tables::{SOURCE_OFFSET, with_source};

use crate::RunnerError;

/// Rows by table, with source columns appended and rows below the table's frontier left out.
pub(crate) struct TableBuffers {
    topic: &'static str,
    partition: Partition,
    tables: BTreeMap<&'static str, Vec<RecordBatch>>,
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

    /// Adds rows for a table. I-1: those below the table's commit frontier are in it already and are left out.
    pub(crate) fn push(&mut self, table: &'static str, offsets: &[i64], rows: &RecordBatch) -> Result<(), RunnerError> {
        let misfit = |reason: String| RunnerError::Rows { output: table.to_string(), reason };
        if offsets.len() != rows.num_rows() || !offsets.is_sorted() {
            return Err(misfit("the offsets are not one a row in order".to_string()));
        }
        let suppressed = self.ledger.suppress(table, offsets);
        self.rows_suppressed += suppressed as u64;
        let kept = rows.num_rows() - suppressed;
        if kept == 0 {
            return Ok(());
        }
        let mut columns: Vec<ArrayRef> = rows.slice(suppressed, kept).columns().to_vec();
        columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(self.topic, kept))));
        columns.push(Arc::new(Int32Array::from_value(self.partition.0, kept)));
        columns.push(Arc::new(Int64Array::from(offsets[suppressed..].to_vec())));
        let batch =
            RecordBatch::try_new(with_source(&rows.schema()), columns).map_err(|error| misfit(error.to_string()))?;
        *self.rows_written.entry(table).or_default() += kept as u64;
        self.tables.entry(table).or_default().push(batch);
        Ok(())
    }

    /// Takes a table's rows as one batch in order of offset: rows of several writers (the log's rejects, the units)
    /// come batch by batch, and their order in the table must not depend on where batches ended.
    pub(crate) fn take(&mut self, table: &'static str) -> Result<Vec<RecordBatch>, RunnerError> {
        let Some(batches) = self.tables.remove(table) else { return Ok(Vec::new()) };
        let misfit = |error: arrow::error::ArrowError| RunnerError::Rows {
            output: table.to_string(),
            reason: error.to_string(),
        };
        let rows = concat_batches(&batches[0].schema(), &batches).map_err(misfit)?;
        let offsets = rows
            .column_by_name(SOURCE_OFFSET)
            .map(|column| column.as_primitive::<Int64Type>())
            .expect("push appends the source columns");
        if offsets.values().is_sorted() {
            return Ok(vec![rows]);
        }
        let positions = stable_order(offsets.values());
        Ok(vec![take_record_batch(&rows, &positions).map_err(misfit)?])
    }
}

/// Positions that sort the offsets and keep equal ones in their order.
fn stable_order(offsets: &[i64]) -> Int64Array {
    let mut positions: Vec<i64> = (0_i64..).take(offsets.len()).collect();
    positions.sort_by_key(|position| usize::try_from(*position).map(|index| offsets[index]).unwrap_or(i64::MAX));
    Int64Array::from(positions)
}
