//! The transactions as Arrow batches, as a Parquet file and as a CSV file. A file is written under a temporary name and
//! renamed when it is complete.
//!
//! It may depend on how the crate's writers name files; it refuses to change what it writes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::SimulatorError;
use crate::clock::SECOND_US;
use crate::handbook::{Handbook, HandbookProgress, HandbookStep, Transaction};
use crate::writer::{partial, rename};

/// Transactions of a batch and of a row group; so many wait in memory in their columns.
const BATCH_ROWS: usize = 65_536;
/// Currency of all amounts; the handbook names none, its authors pay in this one.
const CURRENCY: &str = "EUR";

/// Columns of the transactions; none is ever null.
///
/// `transaction_id` counts from 0 in the order of time; `event_time` is UTC in microseconds, whole seconds;
/// `customer_id` and `terminal_id` are `C-00042` and `T-00042`; `amount_minor` is cents of `currency`; `scenario` is 0
/// where `fraud` is false, else 1 to 3.
pub fn schema() -> SchemaRef {
    let columns = [
        ("transaction_id", DataType::Int64),
        ("event_time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("customer_id", DataType::Utf8),
        ("terminal_id", DataType::Utf8),
        ("amount_minor", DataType::Int64),
        ("currency", DataType::Utf8),
        ("fraud", DataType::Boolean),
        ("scenario", DataType::Int32),
    ];
    Arc::new(Schema::new(columns.map(|(name, data_type)| Field::new(name, data_type, false)).to_vec()))
}

impl Handbook {
    /// The transactions in the order of their ids, in the columns of [`schema`]; no batch is empty.
    pub fn batches(&self) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
        let firsts = (0..).step_by(BATCH_ROWS);
        firsts.zip(self.transactions.chunks(BATCH_ROWS)).map(|(first, transactions)| self.batch(first, transactions))
    }

    fn batch(&self, first: i64, transactions: &[Transaction]) -> Result<RecordBatch, ArrowError> {
        let time_us = |transaction: &Transaction| self.start_us + i64::from(transaction.time_s) * SECOND_US;
        let names_of = |names: &[String], number: fn(&Transaction) -> u32| {
            StringArray::from_iter_values(transactions.iter().map(|transaction| &names[number(transaction) as usize]))
        };
        let times = TimestampMicrosecondArray::from_iter_values(transactions.iter().map(time_us));
        let amounts = transactions.iter().map(|transaction| transaction.amount_minor);
        let frauds = transactions.iter().map(|transaction| Some(transaction.scenario != 0));
        let scenarios = transactions.iter().map(|transaction| i32::from(transaction.scenario));
        RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(Int64Array::from_iter_values((first..).take(transactions.len()))),
                Arc::new(times.with_timezone("UTC")),
                Arc::new(names_of(&self.customer_names, |transaction| transaction.customer)),
                Arc::new(names_of(&self.terminal_names, |transaction| transaction.terminal)),
                Arc::new(Int64Array::from_iter_values(amounts)),
                Arc::new(StringArray::from_iter_values(transactions.iter().map(|_| CURRENCY))),
                Arc::new(frauds.collect::<BooleanArray>()),
                Arc::new(Int32Array::from_iter_values(scenarios)),
            ],
        )
    }

    /// Writes the transactions as Parquet; a file of that name is replaced. `progress` is called after each row group.
    pub fn write_parquet(&self, path: &Path, progress: &mut dyn FnMut(HandbookProgress)) -> Result<(), SimulatorError> {
        let failed = |source: ParquetError| SimulatorError::Parquet { path: path.to_path_buf(), source };
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(BATCH_ROWS))
            .build();
        let mut writer = ArrowWriter::try_new(create(path)?, schema(), Some(properties)).map_err(failed)?;
        let mut written = 0;
        for batch in self.batches() {
            let batch = batch.map_err(|error| failed(error.into()))?;
            writer.write(&batch).map_err(failed)?;
            written += batch.num_rows();
            progress(self.written(written));
        }
        writer.close().map_err(failed)?;
        rename(path)
    }

    /// Writes the transactions as CSV with a header; a file of that name is replaced. Times are RFC 3339. `progress` is
    /// called after each 65,536 rows.
    pub fn write_csv(&self, path: &Path, progress: &mut dyn FnMut(HandbookProgress)) -> Result<(), SimulatorError> {
        let failed = |source: ArrowError| SimulatorError::Csv { path: path.to_path_buf(), source };
        let mut writer = arrow::csv::Writer::new(BufWriter::new(create(path)?));
        let mut written = 0;
        // The writer puts its header before the first batch, so that an empty one makes a header without rows.
        writer.write(&RecordBatch::new_empty(schema())).map_err(failed)?;
        for batch in self.batches() {
            let batch = batch.map_err(failed)?;
            writer.write(&batch).map_err(failed)?;
            written += batch.num_rows();
            progress(self.written(written));
        }
        writer.into_inner().flush().map_err(SimulatorError::file("write", path))?;
        rename(path)
    }

    fn written(&self, rows: usize) -> HandbookProgress {
        HandbookProgress { step: HandbookStep::File, done: rows as u64, total: self.transactions.len() as u64 }
    }
}

fn create(path: &Path) -> Result<File, SimulatorError> {
    let unfinished = partial(path);
    File::create(&unfinished).map_err(SimulatorError::file("create", &unfinished))
}
