//! Opens Parquet files.

use std::fs::File;
use std::path::Path;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::datatypes::Schema;

use crate::LogError;
use crate::columnar::{Records, damaged, match_columns};

/// Rows decoded at a time.
const DECODE_ROWS: usize = 8_192;

/// How many records a file holds, and how those from `rows` on are read.
pub(crate) fn open(path: &Path, name: &str, topic: &Schema, rows: u64) -> Result<(u64, Records), LogError> {
    let file = File::open(path).map_err(LogError::file(name))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(name, &error))?;
    let rows_total = u64::try_from(builder.metadata().file_metadata().num_rows())
        .map_err(|_| damaged(name, &"its number of rows is negative"))?;
    let columns = match match_columns(topic, builder.schema()) {
        Ok(columns) => columns,
        Err(rejected) => return Ok((rows_total, rejected)),
    };
    let file_fields = builder.schema().fields().iter().enumerate();
    let wanted = file_fields.filter(|(_, field)| columns.iter().flatten().any(|name| name == field.name()));
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.map(|(index, _)| index));
    let batches = builder
        .with_projection(mask)
        .with_batch_size(DECODE_ROWS)
        .with_offset(usize::try_from(rows).map_err(|error| damaged(name, &error))?)
        .build()
        .map_err(|error| damaged(name, &error))?;
    Ok((rows_total, Records::Decoded { batches: Box::new(batches), columns }))
}
