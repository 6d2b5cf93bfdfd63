//! Transactions of a file in one frame: Arrow's columns are copied once, batch by batch, and Polars works on the copy.
//!
//! It may depend on Arrow and on Polars. It refuses rows without time, customer, terminal, amount or label, amounts that
//! are no whole numbers, and more values than a training takes.

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use polars::prelude::{
    BooleanChunked, ChunkAgg, Column, DataFrame, Float64Chunked, Int32Chunked, Int64Chunked, IntoColumn,
    NewChunkedArray, UInt32Chunked,
};
use schemas::topics::timestamp;

use super::EvaluationError;
use crate::measures::DAY_US;
use crate::model::train::VALUES_MAX;

/// Place in the file, from 0.
pub(super) const ROW: &str = "row";
/// Microseconds UTC.
pub(super) const TIME: &str = "time_us";
/// Days since 1970-01-01, cut at midnight UTC.
pub(super) const DAY: &str = "day";
/// Place of the customer's name among all names in order.
pub(super) const CUSTOMER: &str = "customer";
/// Place of the terminal's name among all names in order.
pub(super) const TERMINAL: &str = "terminal";
/// Minor units.
pub(super) const AMOUNT: &str = "amount_minor";
/// Label.
pub(super) const FRAUD: &str = "is_fraud";
/// 0 is genuine; 1 is any fraud where the file tells none apart.
pub(super) const SCENARIO: &str = "scenario";

/// Most rows: what 32 bits count.
pub const ROWS_MAX: usize = u32::MAX as usize;

/// Which columns of a file mean what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// When it was paid, a timestamp.
    pub time: String,
    /// Whose card it was, a text or an integer; one card each.
    pub customer: String,
    /// Where it was paid, a text or an integer.
    pub terminal: String,
    /// How much, an integer of minor units.
    pub amount: String,
    /// Whether it was fraud: true and false, or 1 and 0.
    pub label: String,
    /// Which kind of fraud, an integer, 0 for none; every fraud is of kind 1 where there is no such column.
    pub scenario: Option<String>,
    /// Features for the model: numbers, or true and false. What is missing or not finite is missing to the model.
    pub features: Vec<String>,
}

/// Transactions that are being read.
#[derive(Debug)]
pub struct TransactionsReader {
    columns: Columns,
    times_us: Vec<i64>,
    customers: Names,
    terminals: Names,
    amounts_minor: Vec<i64>,
    labels: Vec<bool>,
    scenarios: Vec<i32>,
    features: Vec<Vec<f64>>,
}

/// Names by number, numbers in the order of coming.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<Box<str>, u32>,
    of_rows: Vec<u32>,
}

impl Names {
    fn push(&mut self, name: &str) {
        let number = self.numbers.get(name).copied().unwrap_or_else(|| {
            let next = self.numbers.len() as u32;
            self.numbers.insert(name.into(), next);
            next
        });
        self.of_rows.push(number);
    }

    /// The rows' numbers in the order of names, whatever the order of rows.
    fn in_order(self) -> Vec<u32> {
        let mut names: Vec<(Box<str>, u32)> = self.numbers.into_iter().collect();
        names.sort_unstable();
        let mut places = vec![0; names.len()];
        for (place, (_, number)) in (0..).zip(&names) {
            places[*number as usize] = place;
        }
        self.of_rows.into_iter().map(|number| places[number as usize]).collect()
    }
}

impl TransactionsReader {
    /// Reads these columns.
    pub fn new(columns: Columns) -> Self {
        Self {
            times_us: Vec::new(),
            customers: Names::default(),
            terminals: Names::default(),
            amounts_minor: Vec::new(),
            labels: Vec::new(),
            scenarios: Vec::new(),
            features: vec![Vec::new(); columns.features.len()],
            columns,
        }
    }

    /// Reads the rows of a batch; batches come in the order of the file.
    ///
    /// # Errors
    /// Names the column, and the row of the file where one is wrong.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), EvaluationError> {
        let before = self.times_us.len();
        let rows = before + batch.num_rows();
        let values = rows.saturating_mul(self.columns.features.len());
        if rows > ROWS_MAX || values > VALUES_MAX {
            return Err(EvaluationError::TooMany { rows, features: self.columns.features.len() });
        }
        let times = present(batch, &self.columns.time, &timestamp(), before)?;
        self.times_us.extend(times.as_primitive::<TimestampMicrosecondType>().values());
        for (name, names) in
            [(&self.columns.customer, &mut self.customers), (&self.columns.terminal, &mut self.terminals)]
        {
            let texts = present(batch, name, &DataType::Utf8, before)?;
            texts.as_string::<i32>().iter().flatten().for_each(|text| names.push(text));
        }
        let amounts = present(batch, &self.columns.amount, &DataType::Int64, before)?;
        self.amounts_minor.extend(amounts.as_primitive::<Int64Type>().values());
        self.read_labels(batch, before)?;
        for (name, values) in self.columns.features.iter().zip(&mut self.features) {
            let column = cast_of(batch, name, &DataType::Float64)?;
            let finite = |value: Option<f64>| value.filter(|value| value.is_finite()).unwrap_or(f64::NAN);
            values.extend(column.as_primitive::<Float64Type>().iter().map(finite));
        }
        Ok(())
    }

    fn read_labels(&mut self, batch: &RecordBatch, before: usize) -> Result<(), EvaluationError> {
        let name = &self.columns.label;
        let labels = present(batch, name, &DataType::Int64, before)?;
        let labels = labels.as_primitive::<Int64Type>().values();
        let scenarios = match &self.columns.scenario {
            Some(name) => present(batch, name, &DataType::Int64, before)?.as_primitive::<Int64Type>().values().clone(),
            None => labels.clone(),
        };
        for (row, (label, scenario)) in labels.iter().zip(&scenarios).enumerate() {
            let wrong = |problem: String| EvaluationError::Row { row: before + row, problem };
            if !(0..=1).contains(label) {
                return Err(wrong(format!("column {name} is {label}, neither 0 nor 1")));
            }
            let kind = i32::try_from(*scenario).map_err(|_| wrong(format!("no fraud is of kind {scenario}")))?;
            if (kind != 0) != (*label != 0) {
                return Err(wrong(format!("column {name} is {label}, the kind of fraud {kind}")));
            }
            self.labels.push(*label != 0);
            self.scenarios.push(kind);
        }
        Ok(())
    }

    /// All that was read.
    ///
    /// # Errors
    /// Fails where there is no row.
    pub fn finish(self) -> Result<Transactions, EvaluationError> {
        let rows = self.times_us.len();
        if rows == 0 {
            return Err(EvaluationError::NoRows);
        }
        let days = self.times_us.iter().map(|time_us| time_us.div_euclid(DAY_US));
        let mut columns: Vec<Column> = vec![
            Int64Chunked::from_iter_values(DAY.into(), days).into_column(),
            UInt32Chunked::from_vec(ROW.into(), (0..rows as u32).collect()).into_column(),
            Int64Chunked::from_vec(TIME.into(), self.times_us).into_column(),
            UInt32Chunked::from_vec(CUSTOMER.into(), self.customers.in_order()).into_column(),
            UInt32Chunked::from_vec(TERMINAL.into(), self.terminals.in_order()).into_column(),
            Int64Chunked::from_vec(AMOUNT.into(), self.amounts_minor).into_column(),
            BooleanChunked::from_slice(FRAUD.into(), &self.labels).into_column(),
            Int32Chunked::from_vec(SCENARIO.into(), self.scenarios).into_column(),
        ];
        let features = self.features.into_iter().enumerate();
        columns.extend(
            features.map(|(place, values)| Float64Chunked::from_vec(feature(place).into(), values).into_column()),
        );
        let frame = DataFrame::new(rows, columns)?;
        Ok(Transactions { frame, features: self.columns.features })
    }
}

/// Column of a feature by its place: names of the file's columns may be any.
pub(super) fn feature(place: usize) -> String {
    format!("feature {place}")
}

/// A column as this type.
fn cast_of(batch: &RecordBatch, name: &str, data_type: &DataType) -> Result<ArrayRef, EvaluationError> {
    let refused = |problem: String| EvaluationError::Column { name: name.to_string(), problem };
    let column = batch.column_by_name(name).ok_or_else(|| refused("it is not there".to_string()))?;
    let found = column.data_type();
    let is_number = found.is_integer() || *found == DataType::Boolean;
    let is_text = matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let fits = match data_type {
        DataType::Timestamp(..) => matches!(found, DataType::Timestamp(..)),
        DataType::Utf8 => is_text || found.is_integer(),
        DataType::Float64 => is_number || found.is_floating(),
        _ => is_number,
    };
    if !fits {
        return Err(refused(format!("it is of type {found}, which cannot be read as {data_type}")));
    }
    cast(column, data_type).map_err(|error| refused(error.to_string()))
}

/// A column as this type in which nothing is missing; `before` rows were read already.
fn present(batch: &RecordBatch, name: &str, data_type: &DataType, before: usize) -> Result<ArrayRef, EvaluationError> {
    let column = cast_of(batch, name, data_type)?;
    match (0..column.len()).find(|row| column.is_null(*row)) {
        Some(row) => Err(EvaluationError::Row { row: before + row, problem: format!("column {name} is missing") }),
        None => Ok(column),
    }
}

/// Transactions of a file.
#[derive(Debug, Clone)]
pub struct Transactions {
    /// Columns by the names above and [`feature`]; rows in the order of the file.
    pub(super) frame: DataFrame,
    features: Vec<String>,
}

impl Transactions {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.frame.height()
    }

    /// From the first payment to just behind the last, microseconds UTC.
    pub fn span(&self) -> Result<Range<i64>, EvaluationError> {
        let times = self.frame.column(TIME)?.i64()?;
        let (first, last) = times.min().zip(times.max()).ok_or(EvaluationError::NoRows)?;
        Ok(first..last.saturating_add(1))
    }

    /// Names of the features.
    pub fn features(&self) -> &[String] {
        &self.features
    }
}
