//! Transactions of a file or a query, batch by batch, with names and types that windows understand.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use fraud::fields::{FieldType, Fields};
use lake::open_session;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemas::topics::timestamp;

use crate::failure::Failure;
use crate::wiring::start_runtime;

/// Transactions of a batch.
const BATCH_ROWS: usize = 65_536;
/// Most digits after the point: a millionth of a unit.
const DIGITS_MAX: u32 = 6;
/// Significant digits from which on a decimal may be one that binary floating point wrote.
const FLOAT_DIGITS: usize = 15;

/// A column of decimals that are read as whole numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimals {
    column: String,
    digits: u32,
}

impl FromStr for Decimals {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(column, digits)| Some((plain(column), digits.parse().ok()?)));
        match parts {
            Some((column, digits)) if digits <= DIGITS_MAX && !column.is_empty() => Ok(Self { column, digits }),
            _ => Err(format!("say COLUMN=DIGITS with 0 to {DIGITS_MAX} digits, such as amount=2")),
        }
    }
}

impl Decimals {
    /// The digits of a decimal as a whole number; nothing where it has more of them, or is none. So many digits as only
    /// binary floating point writes are taken for the decimal that it meant: 410.45000000000005 is 410.45.
    fn whole(&self, text: &str) -> Option<i64> {
        let text = text.trim();
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let (units, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let fraction = fraction.trim_end_matches('0');
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if units.is_empty() || !are_digits(units) || !are_digits(fraction) {
            return None;
        }
        if fraction.len() > self.digits as usize {
            let is_float = units.len() + fraction.len() >= FLOAT_DIGITS;
            return is_float.then(|| text.parse().ok().and_then(|number| self.of_number(number))).flatten();
        }
        let padded = format!("{units}{fraction:0<width$}", width = self.digits as usize);
        padded.parse::<i64>().ok().map(|whole| sign * whole)
    }

    /// Binary floating point says a decimal within a few of its last digits.
    fn of_number(&self, number: f64) -> Option<i64> {
        let scaled = number * 10_f64.powi(self.digits.cast_signed());
        (scaled.abs() < 1e15 && (scaled - scaled.round()).abs() < 1e-4).then(|| scaled.round() as i64)
    }

    /// The column's name, as windows write it.
    pub fn column(&self) -> &str {
        &self.column
    }

    /// The column as whole numbers, and the rows of values that have more digits or are no decimals: those are missing.
    pub fn read(&self, column: &ArrayRef) -> Result<(ArrayRef, Vec<usize>), String> {
        let whole: Int64Array = if column.data_type().is_floating() {
            let numbers = cast(column, &DataType::Float64).map_err(|error| error.to_string())?;
            numbers
                .as_primitive::<Float64Type>()
                .iter()
                .map(|number| number.and_then(|number| self.of_number(number)))
                .collect()
        } else {
            let texts = cast(column, &DataType::Utf8).map_err(|error| error.to_string())?;
            texts.as_string::<i32>().iter().map(|text| text.and_then(|text| self.whole(text))).collect()
        };
        let bad = (0..column.len()).filter(|row| whole.is_null(*row) && column.is_valid(*row)).collect();
        Ok((Arc::new(whole), bad))
    }

    /// What is wrong with a value that does not become a whole number.
    pub fn complaint(&self) -> String {
        format!("more than {} digits follow the point, or it is no decimal", self.digits)
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

/// The transactions of a file or of a query.
pub struct Transactions {
    /// The file, or the lake that was asked.
    path: PathBuf,
    /// Their number where it is known before, else 0.
    rows: u64,
    time: String,
    decimals: Vec<Decimals>,
    schema: SchemaRef,
    fields: Fields,
    batches: Batches,
}

impl Transactions {
    /// Opens a file and looks at its columns; of CSV all of it is read once to know their types.
    pub fn open(path: &Path, time: &str, decimals: &[Decimals]) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::usage(format!("cannot read {}: {error}", path.display()));
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        let file = File::open(path).map_err(|error| failed(&error))?;
        let (stored, rows, batches): (SchemaRef, u64, Batches) = match ending.as_str() {
            "parquet" => {
                let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| failed(&error))?;
                let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default();
                let schema = builder.schema().clone();
                let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(|error| failed(&error))?;
                (schema, rows, Box::new(reader))
            }
            "csv" => csv(file, decimals).map_err(|error| failed(&error))?,
            _ => return Err(failed(&"the file must end with .csv or .parquet")),
        };
        Self::new(path, (stored, rows, batches), time, decimals)
    }

    /// Asks a lake for them, in the order of the answer.
    pub fn ask(lake: &Path, sql: &str, time: &str, decimals: &[Decimals]) -> Result<Self, Failure> {
        let runtime = start_runtime()?;
        let mut stream = runtime.block_on(async { Ok::<_, Failure>(open_session(lake).await?.query(sql).await?) })?;
        let schema = stream.schema();
        let next = move || runtime.block_on(std::future::poll_fn(|context| stream.as_mut().poll_next(context)));
        let batches = std::iter::from_fn(next);
        let batches = batches.map(|batch| batch.map_err(|error| ArrowError::ExternalError(Box::new(error))));
        Self::new(lake, (schema, 0, Box::new(batches)), time, decimals)
    }

    fn new(
        path: &Path,
        (stored, rows, batches): (SchemaRef, u64, Batches),
        time: &str,
        decimals: &[Decimals],
    ) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::usage(format!("cannot read {}: {error}", path.display()));
        let time = plain(time);
        let named = |name: &str| decimals.iter().find(|decimals| decimals.column == name);
        let column = |field: &Arc<Field>| {
            let name = plain(field.name());
            let data_type = match field.data_type() {
                _ if name == time => timestamp(),
                _ if named(&name).is_some() => DataType::Int64,
                DataType::Utf8View => DataType::Utf8,
                data_type => data_type.clone(),
            };
            Field::new(name, data_type, true)
        };
        let schema = Arc::new(Schema::new(stored.fields().iter().map(column).collect::<Vec<_>>()));
        let missing = decimals.iter().map(|decimals| &decimals.column).chain([&time]);
        if let Some(missing) = missing.into_iter().find(|name| schema.field_with_name(name).is_err()) {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(failed(&format!("it has no column {missing}")).with_help(format!(
                "name it, as in --time {}; it has {}",
                names[0],
                names.join(", ")
            )));
        }
        let typed = |field: &Arc<Field>| Some((field.name().clone(), field_type(field.data_type())?));
        let fields = Fields::new(schema.fields().iter().filter_map(typed)).map_err(|error| failed(&error))?;
        Ok(Self { path: path.to_path_buf(), rows, time, decimals: decimals.to_vec(), schema, fields, batches })
    }

    /// Number of transactions.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Name of the column with the time.
    pub fn time(&self) -> &str {
        &self.time
    }

    /// Columns of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What windows may speak of.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    fn read(&self, batch: &RecordBatch) -> Result<RecordBatch, Failure> {
        let wrong =
            |name: &str, problem: String| Failure::failed(format!("{}: column {name}: {problem}", self.path.display()));
        let columns = self.schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
            let name = field.name();
            match self.decimals.iter().find(|decimals| decimals.column == *name) {
                Some(decimals) => match decimals.read(column).map_err(|problem| wrong(name, problem))? {
                    (whole, bad) if bad.is_empty() => Ok(whole),
                    (_, bad) => Err(wrong(name, format!("row {} of a batch: {}", bad[0] + 1, decimals.complaint()))),
                },
                None => cast(column, field.data_type()).map_err(|error| wrong(name, error.to_string())),
            }
        });
        let columns = columns.collect::<Result<Vec<_>, Failure>>()?;
        RecordBatch::try_new(self.schema.clone(), columns).map_err(Failure::failed)
    }
}

impl Iterator for Transactions {
    type Item = Result<RecordBatch, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?;
        let failed = |error| Failure::failed(format!("cannot read {}: {error}", self.path.display()));
        Some(batch.map_err(failed).and_then(|batch| self.read(&batch)))
    }
}

/// A CSV file with a head line. Columns of decimals stay texts, so that no digit is lost.
fn csv(mut file: File, decimals: &[Decimals]) -> Result<(SchemaRef, u64, Batches), ArrowError> {
    let format = Format::default().with_header(true);
    let (inferred, rows) = format.infer_schema(BufReader::new(&file), None)?;
    file.rewind()?;
    let column = |field: &Arc<Field>| {
        let is_decimal = decimals.iter().any(|decimals| decimals.column == plain(field.name()));
        let data_type = match field.data_type() {
            _ if is_decimal => DataType::Utf8,
            DataType::Null => DataType::Utf8,
            data_type => data_type.clone(),
        };
        Field::new(field.name(), data_type, true)
    };
    let schema = Arc::new(Schema::new(inferred.fields().iter().map(column).collect::<Vec<_>>()));
    let reader = ReaderBuilder::new(schema.clone()).with_header(true).with_batch_size(BATCH_ROWS).build(file)?;
    Ok((schema, rows as u64, Box::new(reader)))
}

/// A column's name as windows write it.
pub fn plain(name: &str) -> String {
    let letter = |sign: char| if sign.is_ascii_alphanumeric() { sign.to_ascii_lowercase() } else { '_' };
    name.trim().chars().map(letter).collect()
}

fn field_type(data_type: &DataType) -> Option<FieldType> {
    Some(match data_type {
        DataType::Boolean => FieldType::Boolean,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => FieldType::Text,
        DataType::Timestamp(..) => FieldType::Time,
        data_type if data_type.is_integer() => FieldType::Integer,
        data_type if data_type.is_floating() => FieldType::Number,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, StringArray};

    use super::*;

    fn cents() -> Decimals {
        "Tx Amount=2".parse().unwrap()
    }

    #[test]
    fn decimals_become_whole_numbers_exactly_or_not_at_all() {
        let cents = cents();
        assert_eq!(cents.column, "tx_amount");
        let whole = ["57.16", "0.1", "-3", "12.500", "90071992547409.93"].map(|text| cents.whole(text));
        assert_eq!(whole, [Some(5_716), Some(10), Some(-300), Some(1_250), Some(9_007_199_254_740_993)]);
        let floats = ["410.45000000000005", "630.3499999999999", "0.12345678901234567"].map(|text| cents.whole(text));
        assert_eq!(floats, [Some(41_045), Some(63_035), None]);
        assert_eq!(["1.234", "", ".", "1e3", "abc", "1.2.3"].map(|text| cents.whole(text)), [None; 6]);
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(57.16), None, Some(0.1 + 0.2)]));
        let (read, bad) = cents.read(&numbers).unwrap();
        assert!(bad.is_empty());
        assert_eq!(
            read.as_primitive::<arrow::datatypes::Int64Type>().iter().collect::<Vec<_>>(),
            [Some(5_716), None, Some(30)]
        );
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["1.00", "1.001"]));
        assert_eq!(cents.read(&texts).unwrap().1, [1]);
    }

    #[test]
    fn what_is_no_column_and_digits_is_refused() {
        for wrong in ["amount", "amount=", "amount=x", "=2", "amount=7"] {
            assert!(wrong.parse::<Decimals>().is_err(), "{wrong}");
        }
    }
}
