//! Looks into a file: its bytes as they lie there, and for Parquet every decoded value as well.

use std::fs::{self, File};
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::needles::Needles;

/// Findings in one file, which say its name, where it was and what, never the secret itself.
pub fn scan(path: &Path, needles: &Needles) -> Vec<String> {
    let finding = |place: &str, what: &str| format!("{}, {place}: {what}", path.display());
    let raw = needles.found_in(&fs::read(path).unwrap());
    let mut findings: Vec<String> = raw.into_iter().map(|what| finding("bytes", what)).collect();
    if path.extension().is_some_and(|ending| ending == "parquet") {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        let mut values = Vec::new();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                values.clear();
                append_values(column, &mut values);
                findings.extend(needles.found_in(&values).into_iter().map(|what| finding(field.name(), what)));
            }
        }
    }
    findings
}

/// Appends every value, each with a line end so that no two of them make a third.
fn append_values(array: &ArrayRef, values: &mut Vec<u8>) {
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|column| append_values(column, values)),
        DataType::List(_) => append_values(array.as_list::<i32>().values(), values),
        DataType::Map(_, _) => {
            array.as_map().entries().columns().iter().for_each(|column| append_values(column, values));
        }
        DataType::Utf8View | DataType::BinaryView | DataType::LargeBinary | DataType::LargeUtf8 | DataType::Utf8 => {
            append_values(&cast(array, &DataType::Binary).unwrap(), values);
        }
        DataType::Binary => {
            for value in array.as_binary::<i32>().iter().flatten() {
                values.extend_from_slice(value);
                values.push(b'\n');
            }
        }
        _ => {
            let options = FormatOptions::new();
            let formatter = ArrayFormatter::try_new(array.as_ref(), &options).unwrap();
            for row in (0..array.len()).filter(|row| array.is_valid(*row)) {
                values.extend_from_slice(formatter.value(row).to_string().as_bytes());
                values.push(b'\n');
            }
        }
    }
}
