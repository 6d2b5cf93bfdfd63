//! Columns of several batches as one array, found by name.

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array, new_empty_array,
};
use arrow::compute::{SortColumn, cast, concat, lexsort_to_indices};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::error::ArrowError;
use schemas::topics::timestamp;

/// A column of all batches in one array of this type.
pub(crate) fn column(batches: &[RecordBatch], name: &str, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let part = |batch: &RecordBatch| {
        let found = batch.column_by_name(name);
        cast(found.ok_or_else(|| ArrowError::SchemaError(format!("there is no column {name}")))?, data_type)
    };
    let parts: Vec<ArrayRef> = batches.iter().map(part).collect::<Result<_, _>>()?;
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    if parts.is_empty() { Ok(new_empty_array(data_type)) } else { concat(&parts) }
}

pub(crate) fn texts(batches: &[RecordBatch], name: &str) -> Result<StringArray, ArrowError> {
    Ok(column(batches, name, &DataType::Utf8)?.as_string::<i32>().clone())
}

pub(crate) fn times(batches: &[RecordBatch], name: &str) -> Result<TimestampMicrosecondArray, ArrowError> {
    Ok(column(batches, name, &timestamp())?.as_primitive::<TimestampMicrosecondType>().clone())
}

/// Rows in the order of these columns.
pub(crate) fn ordered(columns: Vec<ArrayRef>) -> Result<UInt32Array, ArrowError> {
    let columns: Vec<SortColumn> = columns.into_iter().map(|values| SortColumn { values, options: None }).collect();
    lexsort_to_indices(&columns, None)
}
