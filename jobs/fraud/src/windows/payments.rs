//! The payments of a batch, as windows read them.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use super::WindowError;
use super::labelled::{Answers, LABEL};
use crate::expression::Expression;

/// Between the parts of a key of several fields: a control character that no field holds.
const SEPARATOR: char = '\u{1f}';

/// A field of one payment; `None` is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    Number(Option<i64>),
    Text(Option<&'a str>),
}

enum FieldColumn {
    Number(Int64Array),
    Text(StringArray),
}

/// The payments of a batch: their times, and the fields that windows read.
pub struct Payments {
    times: Int64Array,
    columns: Vec<FieldColumn>,
    /// Which pass, by group of windows; all where there is none.
    filters: Vec<Option<BooleanArray>>,
    /// Which would pass as frauds, by group; as `filters` where labels do not follow.
    as_frauds: Vec<Option<BooleanArray>>,
}

impl Payments {
    pub(super) fn read(rows: &RecordBatch, time: &str, names: &[String]) -> Result<Self, WindowError> {
        let column = |name: &str| {
            let problem = || WindowError::Column { name: name.to_string(), problem: "it is not there".to_string() };
            rows.column_by_name(name).ok_or_else(problem)
        };
        let times = numbers(time, column(time)?)?;
        let read = |name: &String| {
            let column = column(name)?;
            Ok(match column.data_type() {
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                    let texts = cast(column, &DataType::Utf8).map_err(|error| unreadable(name, error.to_string()))?;
                    FieldColumn::Text(texts.as_string::<i32>().clone())
                }
                _ => FieldColumn::Number(numbers(name, column)?),
            })
        };
        let columns = names.iter().map(read).collect::<Result<_, WindowError>>()?;
        Ok(Self { times, columns, filters: Vec::new(), as_frauds: Vec::new() })
    }

    /// Refuses texts where numbers are added up.
    pub(super) fn check_numbers(
        &self,
        places: impl Iterator<Item = usize>,
        names: &[String],
    ) -> Result<(), WindowError> {
        let mut texts = places.filter(|place| matches!(self.columns[*place], FieldColumn::Text(_)));
        texts.next().map_or(Ok(()), |place| {
            Err(unreadable(&names[place], "it holds texts, of which only different ones can be counted".to_string()))
        })
    }

    /// Notes which payments pass the filters of groups, and of those of which labels follow which would as frauds.
    pub(super) fn with_filters<'a>(
        mut self,
        rows: &RecordBatch,
        filters: impl Iterator<Item = (Option<&'a Expression>, bool)>,
    ) -> Result<Self, WindowError> {
        for (filter, is_labelled) in filters {
            let passes = |rows: &RecordBatch| {
                let passes = filter.map(|filter| filter.evaluate_columns(rows)).transpose();
                let passes = passes.map_err(|error| unreadable("of a filter", error.to_string()))?;
                Ok(passes.map(|passes| passes.as_boolean().clone()))
            };
            let passing = passes(rows)?;
            self.as_frauds.push(if is_labelled { passes(&all_frauds(rows)?)? } else { passing.clone() });
            self.filters.push(passing);
        }
        Ok(self)
    }

    /// Under which label a payment passes the filter of a group.
    #[inline]
    pub(super) fn passes(&self, group: usize, row: usize) -> Answers {
        let passes = |filters: &[Option<BooleanArray>]| {
            u8::from(filters[group].as_ref().is_none_or(|passes| passes.is_valid(row) && passes.value(row)))
        };
        Answers(passes(&self.filters) | passes(&self.as_frauds) << 1)
    }

    #[inline]
    pub(super) fn time_us(&self, row: usize) -> Option<i64> {
        self.times.is_valid(row).then(|| self.times.value(row))
    }

    /// Writes the name of the key that some fields of a payment are; false where one of them is missing.
    #[inline]
    pub(super) fn name(&self, row: usize, fields: &[usize], name: &mut String) -> bool {
        for (part, field) in fields.iter().enumerate() {
            if part > 0 {
                name.push(SEPARATOR);
            }
            match self.cell(row, *field) {
                Cell::Text(Some(text)) => name.push_str(text),
                // Writing to a string never fails.
                Cell::Number(Some(number)) => drop(write!(name, "{number}")),
                Cell::Text(None) | Cell::Number(None) => return false,
            }
        }
        true
    }

    #[inline]
    pub(super) fn cell(&self, row: usize, place: usize) -> Cell<'_> {
        match &self.columns[place] {
            FieldColumn::Number(numbers) => Cell::Number(numbers.is_valid(row).then(|| numbers.value(row))),
            FieldColumn::Text(texts) => Cell::Text(texts.is_valid(row).then(|| texts.value(row))),
        }
    }
}

/// The same rows, each labelled as fraud.
fn all_frauds(rows: &RecordBatch) -> Result<RecordBatch, WindowError> {
    let unfit = |error: arrow::error::ArrowError| unreadable(LABEL, error.to_string());
    let place = rows.schema().index_of(LABEL).map_err(unfit)?;
    let mut columns = rows.columns().to_vec();
    columns[place] = Arc::new(BooleanArray::from(vec![true; rows.num_rows()]));
    RecordBatch::try_new(rows.schema(), columns).map_err(unfit)
}

fn numbers(name: &str, column: &ArrayRef) -> Result<Int64Array, WindowError> {
    let data_type = column.data_type();
    let is_exact = data_type.is_integer() || matches!(data_type, DataType::Boolean | DataType::Timestamp(..));
    let refuse = || unreadable(name, format!("{data_type} is no integer, Boolean, time or text"));
    let numbers = if is_exact { cast(column, &DataType::Int64).map_err(|_| refuse()) } else { Err(refuse()) };
    Ok(numbers?.as_primitive::<Int64Type>().clone())
}

fn unreadable(name: &str, problem: String) -> WindowError {
    WindowError::Column { name: name.to_string(), problem }
}
