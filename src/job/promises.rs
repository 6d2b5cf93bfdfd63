//! Promised times of arrival from a CSV file.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema};
use jiff::Timestamp;

use crate::failure::Failure;

const DEVICE: &str = "device";
const PROMISED_AT: &str = "promised_at";
const FROM: &str = "from";

/// Reads a file: a batch with `device_id`, `promised_at` and `from_at`.
pub(super) fn read(path: &Path) -> Result<RecordBatch, Failure> {
    let of_file = |problem: String| {
        Failure::usage(format!("{}: {problem}", path.display()))
            .with_help("promises are CSV with the columns device, promised_at (RFC 3339) and, if wanted, from")
    };
    let content = std::fs::read(path).map_err(|error| of_file(error.to_string()))?;
    parse(&content).map_err(of_file)
}

fn parse(content: &[u8]) -> Result<RecordBatch, String> {
    let csv = |error: arrow::error::ArrowError| error.to_string();
    let format = Format::default().with_header(true);
    let (inferred, _) = format.infer_schema(Cursor::new(content), Some(0)).map_err(csv)?;
    let names: Vec<&str> = inferred.fields().iter().map(|field| field.name().trim()).collect();
    if let Some(missing) = [DEVICE, PROMISED_AT].into_iter().find(|name| !names.contains(name)) {
        return Err(format!("there is no column {missing}"));
    }
    if let Some(unknown) = names.iter().find(|name| ![DEVICE, PROMISED_AT, FROM].contains(*name)) {
        return Err(format!("column {unknown:?} is unknown"));
    }
    let schema =
        Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>()));
    let reader = ReaderBuilder::new(schema.clone()).with_format(format).build(Cursor::new(content)).map_err(csv)?;
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().map_err(csv)?;
    let rows = concat_batches(&schema, &batches).map_err(csv)?;
    let text = |name: &str| rows.column_by_name(name).map(|column| column.as_string::<i32>());
    let required = |name: &str| -> Result<&StringArray, String> {
        let column = text(name).ok_or_else(|| format!("there is no column {name}"))?;
        match (0..column.len()).find(|row| value(column, *row).is_none()) {
            Some(row) => Err(format!("line {}: {name} is empty", row + 2)),
            None => Ok(column),
        }
    };
    let (devices, promised) = (required(DEVICE)?, required(PROMISED_AT)?);
    let from = match text(FROM) {
        Some(column) => times(column, FROM)?,
        None => vec![None; rows.num_rows()],
    };
    let as_column =
        |times: Vec<Option<i64>>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")) };
    let columns: [(&str, ArrayRef); 3] = [
        ("device_id", Arc::new(devices.clone())),
        (PROMISED_AT, as_column(times(promised, PROMISED_AT)?)),
        ("from_at", as_column(from)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).map_err(csv)
}

/// A value that says something.
fn value(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row).trim()).filter(|text| !text.is_empty())
}

/// Times in microseconds. The first line of the file is its head.
fn times(column: &StringArray, name: &str) -> Result<Vec<Option<i64>>, String> {
    let time = |row: usize| match value(column, row) {
        None => Ok(None),
        Some(text) => match text.parse::<Timestamp>() {
            Ok(time) => Ok(Some(time.as_microsecond())),
            Err(_) => Err(format!("line {}: {name} is {text:?}, not a time like 2026-03-02T12:30:00Z", row + 2)),
        },
    };
    (0..column.len()).map(time).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_read_and_refused_by_their_lines() {
        let batch = parse(
            b"promised_at,device,from\n2026-03-02T12:00:00Z,a,\n2026-03-02T12:00:00+01:00,b,2026-03-02T10:00:00Z\n",
        );
        let batch = batch.unwrap();
        assert_eq!((batch.num_rows(), batch.column_by_name("from_at").unwrap().null_count()), (2, 1));
        assert_eq!(parse(b"device,promised_at\n").unwrap().num_rows(), 0);
        for (content, expected) in [
            (&b"device\na\n"[..], "no column promised_at"),
            (b"device,promised_at,form\n", "column \"form\" is unknown"),
            (b"device,promised_at\na,2026-03-02T12:00:00Z\nb,noon\n", "line 3: promised_at is \"noon\""),
            (b"device,promised_at\n,2026-03-02T12:00:00Z\n", "line 2: device is empty"),
        ] {
            let problem = parse(content).unwrap_err();
            assert!(problem.contains(expected), "{expected:?} is not in {problem:?}");
        }
    }
}
