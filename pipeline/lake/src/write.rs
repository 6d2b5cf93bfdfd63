//! Rows to Parquet files of a table, on the disk before any commit names them.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use deltalake::DeltaTable;
use deltalake::kernel::Add;
use deltalake::writer::{DeltaWriter, RecordBatchWriter};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use schemas::movement;

use crate::create::stored_schema;
use crate::{LakeError, disk};

/// Rows of a row group: large enough for dictionaries to pay, small enough to be skipped by its statistics.
const ROW_GROUP_ROWS_MAX: usize = 131_072;

/// A file that reaches this size is closed and another one begun.
pub(crate) const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Writes rows into new Parquet files of one table.
pub(crate) struct FileWriter<'a> {
    table: &'a str,
    folder: &'a Path,
    schema: SchemaRef,
    writer: RecordBatchWriter,
}

impl<'a> FileWriter<'a> {
    /// A writer for the table as this handle sees it.
    pub(crate) fn new(table: &'a str, folder: &'a Path, delta: &DeltaTable) -> Result<Self, LakeError> {
        let schema = Arc::new(stored_schema(delta, table)?);
        let writer = RecordBatchWriter::for_table(delta)
            .map_err(|error| LakeError::delta(table, "write", error))?
            .with_writer_properties(writer_properties(&schema))
            .with_target_file_size(FILE_BYTES_MAX);
        Ok(FileWriter { table, folder, schema, writer })
    }

    /// Writes a batch, whose columns are found by name; columns that it lacks become null.
    pub(crate) async fn write(&mut self, rows: &RecordBatch) -> Result<(), LakeError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let rows =
            align(rows, &self.schema).map_err(|problem| LakeError::Rows { table: self.table.to_string(), problem })?;
        self.writer.write(rows).await.map_err(|error| LakeError::delta(self.table, "write", error))
    }

    /// Closes the files and syncs them and their folder.
    pub(crate) async fn finish(mut self) -> Result<Vec<Add>, LakeError> {
        let adds = self.writer.flush().await.map_err(|error| LakeError::delta(self.table, "write", error))?;
        for add in &adds {
            disk::sync(self.table, &self.folder.join(&add.path))?;
        }
        if !adds.is_empty() {
            disk::sync(self.table, self.folder)?;
        }
        Ok(adds)
    }
}

/// Rows of the files, by the statistics that they carry.
pub(crate) fn record_count(adds: &[Add]) -> u64 {
    let counts = adds.iter().filter_map(|add| add.get_stats().ok().flatten());
    counts.map(|statistics| u64::try_from(statistics.num_records).unwrap_or_default()).sum()
}

/// Bytes of the files.
pub(crate) fn byte_count(adds: &[Add]) -> u64 {
    adds.iter().map(|add| u64::try_from(add.size).unwrap_or_default()).sum()
}

/// The batch with the table's columns in the table's order.
fn align(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    if let Some(unknown) = rows.schema().fields().iter().find(|field| schema.field_with_name(field.name()).is_err()) {
        return Err(format!("column {} is unknown", unknown.name()));
    }
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = match rows.column_by_name(field.name()) {
            None => new_null_array(field.data_type(), rows.num_rows()),
            Some(column) if column.data_type() == field.data_type() => column.clone(),
            // Lists may differ in the name of their element only.
            Some(column) if column.data_type().equals_datatype(field.data_type()) => {
                cast(column, field.data_type()).map_err(|cause| format!("column {}: {cause}", field.name()))?
            }
            Some(column) => {
                return Err(format!("column {} is {}, not {}", field.name(), column.data_type(), field.data_type()));
            }
        };
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(format!("column {} is required and has {} nulls", field.name(), column.null_count()));
        }
        columns.push(column);
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(|cause| cause.to_string())
}

fn writer_properties(schema: &Schema) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by("tillstream".to_string())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX));
    // Times and offsets rise row by row: their differences are small, and no two are equal, so a dictionary is lost.
    for field in schema.fields() {
        if matches!(field.data_type(), DataType::Timestamp(_, _) | DataType::Int64) {
            let column = ColumnPath::from(field.name().as_str());
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
    }
    let geometry = movement::geoparquet(schema).map(|text| KeyValue::new(movement::GEOPARQUET.to_string(), text));
    properties.set_key_value_metadata(geometry.map(|geometry| vec![geometry])).build()
}
