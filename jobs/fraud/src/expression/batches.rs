//! An expression over a whole batch, part by part, each part a loop over its columns.
//!
//! It may depend on Arrow, fields and lists. It refuses to stop early: a part that could not decide a row any more is
//! computed anyway, which is cheaper than to ask.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::ArrowNativeType;

use crate::expression::columns::Columns;
use crate::expression::scalar::{
    Comparison, compare_exactly, compare_numbers, finite, hour, lower_characters, nearest_number, quotient, weekday,
};
use crate::expression::tree::{Condition, InList, Integer, Number, OneOf, Operands, Text, Time, Value};
use crate::expression::vectors::{Texts, Truth, Vector};

/// Most texts of `in (...)` that are compared one by one: equality looks at lengths first, order cannot.
const SEARCHED_ONE_BY_ONE_MAX: usize = 8;

impl Value {
    /// The value of each row as an array of its type.
    pub(crate) fn of_columns(&self, columns: &Columns) -> ArrayRef {
        let rows = columns.len();
        match self {
            Self::Boolean(value) => {
                let Truth { yes, no } = value.of_columns(columns);
                let present = &yes | &no;
                Arc::new(BooleanArray::new(yes, Some(NullBuffer::new(present))))
            }
            Self::Integer(value) => {
                let (values, present) = value.of_columns(columns).into_parts(rows);
                Arc::new(Int64Array::new(values, present))
            }
            Self::Number(value) => {
                let (values, present) = value.of_columns(columns).into_parts(rows);
                Arc::new(Float64Array::new(values, present))
            }
            Self::Text(value) => match value.of_columns(columns) {
                Texts::Rows(texts) => Arc::new(texts.into_owned()),
                Texts::Constant(text) => Arc::new(StringArray::from_iter(std::iter::repeat_n(text, rows))),
            },
            Self::Time(value) => {
                let (values, present) = value.of_columns(columns).into_parts(rows);
                Arc::new(TimestampMicrosecondArray::new(values, present).with_timezone("UTC"))
            }
        }
    }

    fn missing_columns(&self, columns: &Columns) -> Truth {
        let rows = columns.len();
        match self {
            Self::Boolean(value) => value.of_columns(columns).is_missing(),
            Self::Integer(value) => value.of_columns(columns).is_missing(rows),
            Self::Number(value) => value.of_columns(columns).is_missing(rows),
            Self::Text(value) => value.of_columns(columns).is_missing(rows),
            Self::Time(value) => value.of_columns(columns).is_missing(rows),
        }
    }
}

impl Condition {
    pub(crate) fn of_columns(&self, columns: &Columns) -> Truth {
        let rows = columns.len();
        match self {
            Self::Literal(value) => Truth::constant(rows, Some(*value)),
            Self::Field(field) => columns.booleans(field),
            Self::Not(inner) => inner.of_columns(columns).not(),
            Self::And(parts) => parts
                .iter()
                .map(|part| part.of_columns(columns))
                .reduce(|left, right| left.and(&right))
                .unwrap_or_else(|| Truth::constant(rows, Some(true))),
            Self::Or(parts) => parts
                .iter()
                .map(|part| part.of_columns(columns))
                .reduce(|left, right| left.or(&right))
                .unwrap_or_else(|| Truth::constant(rows, Some(false))),
            Self::Compare(comparison, operands) => operands.of_columns(columns, *comparison),
            Self::InIntegers(value, OneOf(values)) => {
                value.of_columns(columns).test(rows, |value| values.binary_search(&value).is_ok())
            }
            Self::InNumbers(value, OneOf(values)) => {
                let known = |value: f64| values.binary_search_by(|known| compare_numbers(*known, value)).is_ok();
                value.of_columns(columns).test(rows, known)
            }
            Self::InTexts(value, OneOf(values)) => {
                let value = value.of_columns(columns);
                if values.len() <= SEARCHED_ONE_BY_ONE_MAX {
                    value.test(rows, |_, value| values.iter().any(|known| **known == *value))
                } else {
                    value.test(rows, |_, value| values.binary_search_by(|known| (**known).cmp(value)).is_ok())
                }
            }
            Self::InList(in_list) => in_list.of_columns(columns),
            Self::Missing(value, true) => value.missing_columns(columns),
            Self::Missing(value, false) => value.missing_columns(columns).not(),
        }
    }
}

impl Operands {
    fn of_columns(&self, columns: &Columns, comparison: Comparison) -> Truth {
        let rows = columns.len();
        match self {
            Self::Booleans(left, right) => {
                let same = left.of_columns(columns).same(&right.of_columns(columns));
                // Booleans are only equal or not.
                if comparison == Comparison::Unequal { same.not() } else { same }
            }
            Self::Integers(left, right) => {
                compared(comparison, &left.of_columns(columns), &right.of_columns(columns), rows)
            }
            Self::Numbers(left, right) => {
                compared(comparison, &left.of_columns(columns), &right.of_columns(columns), rows)
            }
            Self::IntegerNumber(left, right) => {
                let accepts = |left, right| comparison.accepts(compare_exactly(left, right));
                left.of_columns(columns).test_both(&right.of_columns(columns), rows, accepts)
            }
            Self::NumberInteger(left, right) => {
                let accepts = |left, right| comparison.accepts(compare_exactly(right, left).reverse());
                left.of_columns(columns).test_both(&right.of_columns(columns), rows, accepts)
            }
            Self::Texts(left, right) => {
                let (left, right) = (left.of_columns(columns), right.of_columns(columns));
                match comparison {
                    Comparison::Equal => left.test_both(&right, rows, |left, right| left == right),
                    Comparison::Unequal => left.test_both(&right, rows, |left, right| left != right),
                    _ => left.test_both(&right, rows, |left, right| comparison.accepts(left.cmp(right))),
                }
            }
            Self::Times(left, right) => {
                compared(comparison, &left.of_columns(columns), &right.of_columns(columns), rows)
            }
        }
    }
}

/// A loop for each comparison, so that none asks which it is. Numbers are finite here, so that each pair has an order.
fn compared<T: ArrowNativeType>(comparison: Comparison, left: &Vector<T>, right: &Vector<T>, rows: usize) -> Truth {
    match comparison {
        Comparison::Equal => left.test_both(right, rows, |left, right| left == right),
        Comparison::Unequal => left.test_both(right, rows, |left, right| left != right),
        Comparison::Less => left.test_both(right, rows, |left, right| left < right),
        Comparison::AtMost => left.test_both(right, rows, |left, right| left <= right),
        Comparison::Greater => left.test_both(right, rows, |left, right| left > right),
        Comparison::AtLeast => left.test_both(right, rows, |left, right| left >= right),
    }
}

impl InList {
    fn of_columns(&self, columns: &Columns) -> Truth {
        let rows = columns.len();
        let times = columns.integers(&self.time);
        let merchants = self.merchant.as_ref().and_then(|merchant| columns.texts(merchant));
        let merchant = |row: usize| merchants.filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row));
        let holds = |row: usize, value: &str| {
            times.value(row).is_some_and(|time_us| self.list.holds(value, merchant(row), time_us))
        };
        let Truth { yes, no } = self.value.of_columns(columns).test(rows, holds);
        // Without the payment's time nobody knows which entries are in force. `yes` is false there already.
        Truth { no: &no & &times.is_missing(rows).no, yes }
    }
}

impl Integer {
    pub(crate) fn of_columns(&self, columns: &Columns) -> Vector<i64> {
        match self {
            Self::Literal(value) | Self::Duration(value) => Vector::Constant(Some(*value)),
            Self::Field(field) => columns.integers(field),
            Self::Negate(inner) => inner.of_columns(columns).map(i64::checked_neg),
            Self::Absolute(inner) => inner.of_columns(columns).map(i64::checked_abs),
            Self::Operation(operation, left, right) => {
                let (left, right) = (left.of_columns(columns), right.of_columns(columns));
                left.combine(&right, |left, right| operation.of_integers(left, right))
            }
            Self::Between(to, from) => to.of_columns(columns).combine(&from.of_columns(columns), i64::checked_sub),
            Self::Hour(time) => time.of_columns(columns).map(|time_us| Some(hour(time_us))),
            Self::Weekday(time) => time.of_columns(columns).map(|time_us| Some(weekday(time_us))),
        }
    }
}

impl Number {
    pub(crate) fn of_columns(&self, columns: &Columns) -> Vector<f64> {
        match self {
            Self::Literal(value) => Vector::Constant(finite(*value)),
            Self::Field(field) => columns.numbers(field),
            Self::Nearest(inner) => inner.of_columns(columns).map(|value| Some(nearest_number(value))),
            Self::Negate(inner) => inner.of_columns(columns).map(|value| Some(-value)),
            Self::Absolute(inner) => inner.of_columns(columns).map(|value| Some(value.abs())),
            Self::Operation(operation, left, right) => {
                let (left, right) = (left.of_columns(columns), right.of_columns(columns));
                left.combine(&right, |left, right| operation.of_numbers(left, right))
            }
            Self::Divide(left, right) => left.of_columns(columns).combine(&right.of_columns(columns), quotient),
        }
    }
}

impl Text {
    pub(crate) fn of_columns<'a>(&'a self, columns: &'a Columns) -> Texts<'a> {
        match self {
            Self::Literal(value) => Texts::Constant(Some(Cow::Borrowed(value))),
            Self::Field(field) => match columns.texts(field) {
                Some(texts) => Texts::Rows(Cow::Borrowed(texts)),
                None => Texts::Constant(None),
            },
            Self::Lower(inner) => match inner.of_columns(columns) {
                Texts::Constant(text) => {
                    Texts::Constant(text.map(|text| lower_characters(&text).collect::<String>().into()))
                }
                Texts::Rows(texts) => Texts::Rows(Cow::Owned(lowered(&texts))),
            },
        }
    }
}

/// One text of all rows is the scratch of each.
fn lowered(texts: &StringArray) -> StringArray {
    // A slice shares the bytes of all that it was cut from.
    let bytes = texts.value_offsets().last().zip(texts.value_offsets().first()).map_or(0, |(end, start)| end - start);
    let mut lowered = StringBuilder::with_capacity(texts.len(), bytes.as_usize());
    let mut scratch = String::new();
    for text in texts {
        scratch.clear();
        match text {
            // Most texts are plain letters, which need no tables.
            Some(text) if text.is_ascii() => {
                scratch.push_str(text);
                scratch.make_ascii_lowercase();
            }
            Some(text) => scratch.extend(lower_characters(text)),
            None => {}
        }
        lowered.append_option(text.map(|_| &scratch));
    }
    lowered.finish()
}

impl Time {
    pub(crate) fn of_columns(&self, columns: &Columns) -> Vector<i64> {
        match self {
            Self::Field(field) => columns.integers(field),
            Self::Later(time, by) => time.of_columns(columns).combine(&by.of_columns(columns), i64::checked_add),
            Self::Earlier(time, by) => time.of_columns(columns).combine(&by.of_columns(columns), i64::checked_sub),
            Self::Of(extreme, left, right) => {
                let (left, right) = (left.of_columns(columns), right.of_columns(columns));
                left.combine(&right, |left, right| extreme.operation().of_integers(left, right))
            }
        }
    }
}
