//! The expression language of rules: small, typed, and the same over one row and over columns.
//!
//! ```text
//! amount_minor > 100_00 and (card_count_1h >= 5 or not mcc in ('5411', '5812'))
//! received_at - card_last_at < 30s and token in @stolen and terminal_risk is not missing
//! ```
//!
//! | written | means |
//! |---|---|
//! | `100_00`, `12.5`, `'it''s'`, `true` | an integer, a number, a text, a truth value |
//! | `30s`, `5m`, `2h`, `7d` | an integer: that many microseconds |
//! | `+ - *` | of integers an integer, with a number a number; an integer becomes the nearest number |
//! | `/` | always a number |
//! | time `+` or `-` integer, time `-` time | a time; an integer (microseconds) |
//! | `= != < <= > >=` | of one type; integers and numbers compare exactly, texts by their bytes |
//! | `x in ('a', 'b')`, `x in @list` | whether it is one of them; lists hold texts ([`crate::lists`]) |
//! | `x is missing`, `x is not missing` | whether there is no value |
//! | `not`, `and`, `or` | `not` binds tighter than `and`, `and` tighter than `or`, comparisons tighter than `not` |
//! | `abs(x)`, `min(x, y, ...)`, `max(x, y, ...)` | of integers, numbers; `min` and `max` also of times |
//! | `hour(t)`, `weekday(t)` | in UTC: 0 to 23; 1 (Monday) to 7 (Sunday), by ISO 8601 |
//! | `lower(x)` | each letter in lower case by Unicode |
//! | `#` | a comment up to the end of its line |
//!
//! # Missing
//!
//! A value may be missing, and that means one thing everywhere:
//!
//! * A field without a value is missing. A number that is not finite is missing; NaN is never a value.
//! * Arithmetic or a function with a missing value is missing. So is an integer that overflows, and a division by zero.
//! * A comparison or `in` with a missing value is missing, neither true nor false. `in @list` is so too where the
//!   payment's time is missing.
//! * `not` of missing is missing. `and` is false where one side is false, `or` true where one side is true, whatever
//!   the other is; else a missing side makes them missing (Kleene's logic, as in SQL).
//! * A condition holds only where it is true. So a comparison with a missing value does not hold under `not` either:
//!   without an amount neither `amount > 5` holds nor `not (amount > 5)`.
//! * Only `is missing` makes missing true, and `is not missing` makes it false.
//!
//! It may depend on Arrow, fields and lists. It refuses deep nests, long texts and long lists of values with an error,
//! and panics on no text.

mod batches;
pub(crate) mod check;
mod columns;
mod error;
mod lexer;
pub(crate) mod parser;
mod rows;
mod scalar;
mod syntax;
pub(crate) mod text;
pub(crate) mod tree;
pub(crate) mod uses;
mod values;
mod vectors;

use std::fmt;

use arrow::array::{ArrayRef, RecordBatch};

use crate::fields::{Field, FieldType, Fields};
use crate::lists::Lists;
use check::Checker;
use parser::Parser;
use syntax::Syntax;
use text::Writer;
use tree::Value;

pub(crate) use lexer::Token;
pub(crate) use vectors::{Truth, Vector};

pub use columns::{Columns, ColumnsRow, EvaluateError};
pub use error::ParseError;
pub use rows::Row;
pub use values::{FieldValue, FieldValues, ValueError};

/// Longest text of an expression that is parsed by itself, bytes: some hundred lines.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Highest tree, levels: more than people can follow, and far less than a stack of 2 MiB holds.
pub const DEPTH_MAX: usize = 100;

/// Most values of one `in (...)`: more are a list.
pub const LIST_VALUES_MAX: usize = 1_000;

/// Most errors of a text that are said: each unknown name is compared with all that are known.
pub const ERRORS_MAX: usize = 100;

/// An expression that was parsed, with types that fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    value: Value,
}

impl Expression {
    /// Parses a text. `lists` are those that it may name.
    ///
    /// # Errors
    /// Everything that is wrong with it: where its grammar is broken the first such place, else all unknown names and
    /// all types that do not fit; at most [`ERRORS_MAX`].
    pub fn parse(text: &str, fields: &Fields, lists: &Lists) -> Result<Self, Vec<ParseError>> {
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("this is longer than {TEXT_BYTES_MAX} bytes");
            return Err(vec![ParseError::new(0..text.len(), message)]);
        }
        let syntax = whole(text).map_err(|error| vec![error])?;
        let mut errors = Vec::new();
        let value = Checker { fields, lists, errors: &mut errors }.value(&syntax);
        errors.truncate(ERRORS_MAX);
        value.filter(|_| errors.is_empty()).map(|value| Self { value }).ok_or(errors)
    }

    /// What it gives.
    pub fn field_type(&self) -> FieldType {
        self.value.field_type()
    }

    /// The fields that it reads, in order of their indexes.
    pub fn fields(&self) -> Vec<Field> {
        let mut used = uses::Uses::default();
        used.value(&self.value);
        used.fields()
    }

    /// Its value in each row of a batch, as an array of its type; times with the time zone UTC.
    ///
    /// # Errors
    /// Fails where the batch has no such columns as the fields say.
    pub fn evaluate_columns(&self, batch: &RecordBatch) -> Result<ArrayRef, EvaluateError> {
        Ok(self.value.of_columns(&Columns::bind(batch, &self.fields())?))
    }

    /// Its value in one row; `None` is missing.
    pub fn evaluate_row(&self, row: &dyn Row) -> Option<FieldValue> {
        match &self.value {
            Value::Boolean(value) => value.of_row(row).map(FieldValue::Boolean),
            Value::Integer(value) => value.of_row(row).map(FieldValue::Integer),
            Value::Number(value) => value.of_row(row).map(FieldValue::Number),
            Value::Text(value) => value.of_row(row).map(|text| FieldValue::Text(text.into_owned())),
            Value::Time(value) => value.of_row(row).map(FieldValue::Time),
        }
    }

    /// Its text with the values of a row, where it is true or false; else its text.
    pub fn filled_in(&self, row: &dyn Row) -> String {
        match &self.value {
            Value::Boolean(condition) => Writer::filled(condition, row),
            _ => self.to_string(),
        }
    }
}

/// Parses back to the same expression.
impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&Writer::plain(&self.value))
    }
}

/// What a text says that is one expression and nothing else.
fn whole(text: &str) -> Result<Syntax, ParseError> {
    let mut parser = Parser::new(text);
    let syntax = parser.expression()?;
    if *parser.peek() == Token::End { Ok(syntax) } else { Err(parser.trailing()) }
}

#[cfg(test)]
pub(crate) mod tests;
