//! Which records of a chunk become rows, and which are rejected by which column.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use schemas::topics::MALFORMED;

use crate::convert::Column;
use crate::gather::{Gathered, Place};
use crate::reason;

/// Adds a chunk's records to what a poll gathers. `columns` are the topic's in its order, `rows` the records' numbers
/// in their file or offsets on their broker.
///
/// A record without a readable value in a required column is rejected by the first such column. An optional value
/// that is unreadable becomes null and is named in the topic's `malformed` column; a topic without one rejects it.
pub(crate) fn screen(
    schema: &SchemaRef,
    mut columns: Vec<Column>,
    rows: &[u64],
    place: Option<&Place>,
    gathered: &mut Gathered,
) -> Result<(), ArrowError> {
    let malformed_index = schema.index_of(MALFORMED).ok();
    let mut rejected: BTreeMap<usize, (&'static str, &str)> = BTreeMap::new();
    for (field, column) in schema.fields().iter().zip(&columns).filter(|(field, _)| !field.is_nullable()) {
        for row in &column.bad {
            rejected.entry(*row).or_insert((reason::BAD_VALUE, field.name()));
        }
        if column.array.null_count() > 0 {
            for row in (0..rows.len()).filter(|row| column.array.is_null(*row)) {
                rejected.entry(row).or_insert((reason::MISSING_COLUMN, field.name()));
            }
        }
    }
    let mut malformed: BTreeMap<usize, String> = BTreeMap::new();
    for (index, (field, column)) in schema.fields().iter().zip(&columns).enumerate() {
        if !field.is_nullable() || Some(index) == malformed_index {
            continue;
        }
        for row in &column.bad {
            if malformed_index.is_none() {
                rejected.entry(*row).or_insert((reason::BAD_VALUE, field.name()));
                continue;
            }
            let names = malformed.entry(*row).or_default();
            if !names.is_empty() {
                names.push(',');
            }
            names.push_str(field.name());
        }
    }
    if let Some(index) = malformed_index {
        let names: StringArray = (0..rows.len()).map(|row| malformed.get(&row)).collect();
        columns[index].array = Arc::new(names);
    }

    for (row, (reason, column)) in &rejected {
        let cause = match *reason {
            reason::MISSING_COLUMN => format!("column {column} has no value"),
            _ => format!("column {column} has a value that its type cannot hold"),
        };
        gathered.reject(place, rows[*row], reason, &cause);
    }
    if rejected.is_empty() {
        let batch = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|column| column.array).collect())?;
        gathered.rows(rows.iter().copied(), batch);
    } else if rejected.len() < rows.len() {
        let kept: BooleanArray = (0..rows.len()).map(|row| Some(!rejected.contains_key(&row))).collect();
        let arrays = columns.iter().map(|column| filter(&column.array, &kept)).collect::<Result<_, _>>()?;
        let kept_rows = rows.iter().enumerate().filter(|(row, _)| !rejected.contains_key(row));
        gathered.rows(kept_rows.map(|(_, number)| *number), RecordBatch::try_new(schema.clone(), arrays)?);
    }
    Ok(())
}
