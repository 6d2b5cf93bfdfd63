//! An expression over one row, part by part. It is what [`super::batches`] must agree with.
//!
//! It may depend on fields and lists. It refuses nothing: what is not there is missing.

use std::borrow::Cow;

use crate::expression::scalar::{
    Comparison, compare_exactly, compare_numbers, finite, hour, lower_characters, nearest_number, quotient, weekday,
};
use crate::expression::tree::{Condition, InList, Integer, Number, OneOf, Operands, Text, Time, Value};
use crate::fields::Field;

/// The values of one row. Each is asked for only with a field of its type; `None` is missing.
pub trait Row {
    /// Value of an integer.
    fn integer(&self, field: &Field) -> Option<i64>;
    /// Value of a number. What is not finite counts as missing.
    fn number(&self, field: &Field) -> Option<f64>;
    /// Value of a text.
    fn text(&self, field: &Field) -> Option<&str>;
    /// Value of what is true or false.
    fn boolean(&self, field: &Field) -> Option<bool>;
    /// Value of a time, microseconds since the epoch, UTC.
    fn time_us(&self, field: &Field) -> Option<i64>;
}

impl Condition {
    pub(crate) fn of_row(&self, row: &dyn Row) -> Option<bool> {
        match self {
            Self::Literal(value) => Some(*value),
            Self::Field(field) => row.boolean(field),
            Self::Not(inner) => inner.of_row(row).map(|inner| !inner),
            Self::And(parts) => joined(parts, row, false),
            Self::Or(parts) => joined(parts, row, true),
            Self::Compare(comparison, operands) => operands.of_row(row, *comparison),
            Self::InIntegers(value, OneOf(values)) => value.of_row(row).map(|value| values.contains(&value)),
            Self::InNumbers(value, OneOf(values)) => value.of_row(row).map(|value| values.contains(&value)),
            Self::InTexts(value, OneOf(values)) => {
                value.of_row(row).map(|value| values.iter().any(|known| **known == *value))
            }
            Self::InList(in_list) => in_list.of_row(row),
            Self::Missing(value, is_wanted) => Some(value.is_missing_in_row(row) == *is_wanted),
        }
    }
}

/// What joined conditions give, where one of them decides: false for `and`, true for `or`.
fn joined(parts: &[Condition], row: &dyn Row, deciding: bool) -> Option<bool> {
    let mut is_one_missing = false;
    for part in parts {
        match part.of_row(row) {
            Some(value) if value == deciding => return Some(deciding),
            Some(_) => {}
            None => is_one_missing = true,
        }
    }
    (!is_one_missing).then_some(!deciding)
}

impl Operands {
    pub(crate) fn of_row(&self, row: &dyn Row, comparison: Comparison) -> Option<bool> {
        let order = match self {
            Self::Booleans(left, right) => left.of_row(row)?.cmp(&right.of_row(row)?),
            Self::Integers(left, right) => left.of_row(row)?.cmp(&right.of_row(row)?),
            Self::Numbers(left, right) => compare_numbers(left.of_row(row)?, right.of_row(row)?),
            Self::IntegerNumber(left, right) => compare_exactly(left.of_row(row)?, right.of_row(row)?),
            Self::NumberInteger(left, right) => compare_exactly(right.of_row(row)?, left.of_row(row)?).reverse(),
            Self::Texts(left, right) => left.of_row(row)?.cmp(&right.of_row(row)?),
            Self::Times(left, right) => left.of_row(row)?.cmp(&right.of_row(row)?),
        };
        Some(comparison.accepts(order))
    }
}

impl InList {
    fn of_row(&self, row: &dyn Row) -> Option<bool> {
        let value = self.value.of_row(row)?;
        let time_us = row.time_us(&self.time)?;
        let merchant = self.merchant.as_ref().and_then(|merchant| row.text(merchant));
        Some(self.list.holds(&value, merchant, time_us))
    }
}

impl Value {
    fn is_missing_in_row(&self, row: &dyn Row) -> bool {
        match self {
            Self::Boolean(value) => value.of_row(row).is_none(),
            Self::Integer(value) => value.of_row(row).is_none(),
            Self::Number(value) => value.of_row(row).is_none(),
            Self::Text(value) => value.of_row(row).is_none(),
            Self::Time(value) => value.of_row(row).is_none(),
        }
    }
}

impl Integer {
    pub(crate) fn of_row(&self, row: &dyn Row) -> Option<i64> {
        match self {
            Self::Literal(value) | Self::Duration(value) => Some(*value),
            Self::Field(field) => row.integer(field),
            Self::Negate(inner) => inner.of_row(row)?.checked_neg(),
            Self::Absolute(inner) => inner.of_row(row)?.checked_abs(),
            Self::Operation(operation, left, right) => operation.of_integers(left.of_row(row)?, right.of_row(row)?),
            Self::Between(to, from) => to.of_row(row)?.checked_sub(from.of_row(row)?),
            Self::Hour(time) => time.of_row(row).map(hour),
            Self::Weekday(time) => time.of_row(row).map(weekday),
        }
    }
}

impl Number {
    pub(crate) fn of_row(&self, row: &dyn Row) -> Option<f64> {
        match self {
            Self::Literal(value) => Some(*value),
            Self::Field(field) => row.number(field).and_then(finite),
            Self::Nearest(inner) => inner.of_row(row).map(nearest_number),
            Self::Negate(inner) => inner.of_row(row).map(|inner| -inner),
            Self::Absolute(inner) => inner.of_row(row).map(f64::abs),
            Self::Operation(operation, left, right) => operation.of_numbers(left.of_row(row)?, right.of_row(row)?),
            Self::Divide(left, right) => quotient(left.of_row(row)?, right.of_row(row)?),
        }
    }
}

impl Text {
    pub(crate) fn of_row<'a>(&'a self, row: &'a dyn Row) -> Option<Cow<'a, str>> {
        match self {
            Self::Literal(value) => Some(Cow::Borrowed(value)),
            Self::Field(field) => row.text(field).map(Cow::Borrowed),
            Self::Lower(inner) => inner.of_row(row).map(|inner| lower_characters(&inner).collect()),
        }
    }
}

impl Time {
    pub(crate) fn of_row(&self, row: &dyn Row) -> Option<i64> {
        match self {
            Self::Field(field) => row.time_us(field),
            Self::Later(time, by) => time.of_row(row)?.checked_add(by.of_row(row)?),
            Self::Earlier(time, by) => time.of_row(row)?.checked_sub(by.of_row(row)?),
            Self::Of(extreme, left, right) => extreme.operation().of_integers(left.of_row(row)?, right.of_row(row)?),
        }
    }
}
