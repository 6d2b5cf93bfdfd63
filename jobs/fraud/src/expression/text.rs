//! Expressions as text: so that they parse back to the same tree, and with the values of a row filled in.
//!
//! It may depend on `jiff` for written times. It refuses long values and long lists of values where a row is filled in:
//! a decision stores that text, and people read it.

use std::fmt;

use jiff::Timestamp;

use crate::expression::parser::power;
use crate::expression::rows::Row;
use crate::expression::scalar::{Comparison, DAY_US, HOUR_US, MINUTE_US, Operation, SECOND_US};
use crate::expression::tree::{Condition, Extreme, Integer, Number, OneOf, Operands, Text, Time, Value};
use crate::fields::{Field, FieldType};

/// Longest text that is filled in, characters: the rest is cut off and replaced by `…`.
pub const VALUE_CHARACTERS_MAX: usize = 64;

/// Values of `in (...)` that are shown where a row is filled in; how many more there are is said.
const SHOWN_VALUES_MAX: usize = 8;

/// Writes a tree. With a row each field is followed by its value.
pub(crate) struct Writer<'a> {
    text: String,
    row: Option<&'a dyn Row>,
}

impl Writer<'_> {
    /// The text that parses back to this.
    pub(crate) fn plain(value: &Value) -> String {
        let mut writer = Writer { text: String::new(), row: None };
        writer.value(value, power::OR);
        writer.text
    }

    /// The text of a condition that parses back to this.
    pub(crate) fn plain_condition(condition: &Condition) -> String {
        let mut writer = Writer { text: String::new(), row: None };
        writer.condition(condition, power::OR);
        writer.text
    }

    /// The text of a condition with the values of a row.
    pub(crate) fn filled(condition: &Condition, row: &dyn Row) -> String {
        let mut writer = Writer { text: String::new(), row: Some(row) };
        writer.condition(condition, power::OR);
        writer.text
    }

    fn push(&mut self, text: impl fmt::Display) {
        use fmt::Write;
        // Writing to a string does not fail.
        let _ = write!(self.text, "{text}");
    }

    /// In parentheses where it binds less tightly than its place needs.
    fn bound(&mut self, own_power: u8, power_min: u8, write: impl FnOnce(&mut Self)) {
        let is_loose = own_power < power_min;
        if is_loose {
            self.push('(');
        }
        write(self);
        if is_loose {
            self.push(')');
        }
    }

    fn value(&mut self, value: &Value, power_min: u8) {
        match value {
            Value::Boolean(value) => self.condition(value, power_min),
            Value::Integer(value) => self.integer(value, power_min),
            Value::Number(value) => self.number(value, power_min),
            Value::Text(value) => self.text(value, power_min),
            Value::Time(value) => self.time(value, power_min),
        }
    }

    fn condition(&mut self, condition: &Condition, power_min: u8) {
        match condition {
            Condition::Literal(value) => self.push(value),
            Condition::Field(field) => self.field(field, power_min),
            Condition::Not(inner) => self.bound(power::NOT, power_min, |writer| {
                writer.push("not ");
                writer.condition(inner, power::NOT);
            }),
            Condition::And(parts) => self.bound(power::AND, power_min, |writer| {
                writer.separated(parts, " and ", |writer, part| writer.condition(part, power::NOT));
            }),
            Condition::Or(parts) => self.bound(power::OR, power_min, |writer| {
                writer.separated(parts, " or ", |writer, part| writer.condition(part, power::AND));
            }),
            Condition::Compare(comparison, operands) => {
                self.bound(power::COMPARE, power_min, |writer| writer.comparison(*comparison, operands));
            }
            Condition::InIntegers(value, OneOf(values)) => self.bound(power::COMPARE, power_min, |writer| {
                writer.integer(value, side(matches!(**value, Integer::Field(_))));
                writer.one_of(values, |writer, value| writer.push(value));
            }),
            Condition::InNumbers(value, OneOf(values)) => self.bound(power::COMPARE, power_min, |writer| {
                writer.number(value, side(matches!(**value, Number::Field(_))));
                writer.one_of(values, |writer, value| writer.decimal(*value));
            }),
            Condition::InTexts(value, OneOf(values)) => self.bound(power::COMPARE, power_min, |writer| {
                writer.text(value, side(matches!(**value, Text::Field(_))));
                writer.one_of(values, |writer, value| writer.quoted(value));
            }),
            Condition::InList(in_list) => self.bound(power::COMPARE, power_min, |writer| {
                writer.text(&in_list.value, side(matches!(in_list.value, Text::Field(_))));
                writer.push(format_args!(" in @{}", in_list.list.name()));
            }),
            Condition::Missing(value, is_wanted) => self.bound(power::COMPARE, power_min, |writer| {
                let is_field = matches!(
                    **value,
                    Value::Integer(Integer::Field(_))
                        | Value::Number(Number::Field(_))
                        | Value::Text(Text::Field(_))
                        | Value::Time(Time::Field(_))
                        | Value::Boolean(Condition::Field(_))
                );
                writer.value(value, side(is_field));
                writer.push(if *is_wanted { " is missing" } else { " is not missing" });
            }),
        }
    }

    fn separated<T>(&mut self, parts: &[T], separator: &str, write: impl Fn(&mut Self, &T)) {
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                self.push(separator);
            }
            write(self, part);
        }
    }

    fn one_of<T>(&mut self, values: &[T], write: impl Fn(&mut Self, &T)) {
        let shown = if self.row.is_some() { values.len().min(SHOWN_VALUES_MAX) } else { values.len() };
        self.push(" in (");
        self.separated(&values[..shown], ", ", write);
        if shown < values.len() {
            self.push(format_args!(", and {} more", values.len() - shown));
        }
        self.push(')');
    }

    fn comparison(&mut self, comparison: Comparison, operands: &Operands) {
        let is_equal = comparison == Comparison::Equal;
        let is_field = begins_with_field(operands);
        // A field that equals the other side has its value: `currency = 'EUR'`, not `currency = 'EUR' = 'EUR'`.
        let is_said = |row: &&dyn Row| is_equal && is_field && operands.of_row(*row, comparison) == Some(true);
        let row = self.row.filter(|row| !is_said(row));
        let filled_row = std::mem::replace(&mut self.row, row);
        let power_min = side(is_field && !is_equal);
        match operands {
            Operands::Booleans(value, _) => self.condition(value, power::ADD),
            Operands::Integers(value, _) | Operands::IntegerNumber(value, _) => self.integer(value, power_min),
            Operands::Numbers(value, _) | Operands::NumberInteger(value, _) => self.number(value, power_min),
            Operands::Texts(value, _) => self.text(value, power_min),
            Operands::Times(value, _) => self.time(value, power_min),
        }
        self.row = filled_row;
        self.push(format_args!(" {} ", comparison.sign()));
        match operands {
            Operands::Booleans(_, value) => self.condition(value, power::ADD),
            Operands::Integers(_, value) | Operands::NumberInteger(_, value) => self.integer(value, power::ADD),
            Operands::Numbers(_, value) | Operands::IntegerNumber(_, value) => self.number(value, power::ADD),
            Operands::Texts(_, value) => self.text(value, power::ADD),
            Operands::Times(_, value) => self.time(value, power::ADD),
        }
    }

    fn field(&mut self, field: &Field, power_min: u8) {
        let Some(row) = self.row else { return self.push(field.name()) };
        self.bound(power::COMPARE, power_min, |writer| {
            writer.push(format_args!("{} = ", field.name()));
            writer.value_of(field, row);
        });
    }

    fn value_of(&mut self, field: &Field, row: &dyn Row) {
        let written = match field.field_type() {
            FieldType::Integer => row.integer(field).map(|value| self.push(value)),
            FieldType::Number => row.number(field).filter(|value| value.is_finite()).map(|value| self.decimal(value)),
            FieldType::Text => row.text(field).map(|value| self.quoted(&shortened(value, VALUE_CHARACTERS_MAX))),
            FieldType::Boolean => row.boolean(field).map(|value| self.push(value)),
            FieldType::Time => row.time_us(field).map(|value| match Timestamp::from_microsecond(value) {
                Ok(time) => self.push(time),
                Err(_) => self.push(format_args!("{value} us")),
            }),
        };
        if written.is_none() {
            self.push("missing");
        }
    }

    /// Always with a decimal point, by which it is told from an integer.
    fn decimal(&mut self, value: f64) {
        let digits = value.to_string();
        self.push(&digits);
        if !digits.contains('.') {
            self.push(".0");
        }
    }

    fn quoted(&mut self, text: &str) {
        self.push(format_args!("'{}'", text.replace('\'', "''")));
    }

    /// With the largest unit of which it is a whole number.
    fn duration(&mut self, duration_us: i64) {
        let units = [(DAY_US, 'd'), (HOUR_US, 'h'), (MINUTE_US, 'm'), (SECOND_US, 's')];
        match units.into_iter().find(|(unit_us, _)| duration_us % unit_us == 0) {
            Some((unit_us, unit)) => self.push(format_args!("{}{unit}", duration_us / unit_us)),
            None => self.push(duration_us),
        }
    }

    fn call(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        self.push(format_args!("{name}("));
        write(self);
        self.push(')');
    }

    fn integer(&mut self, integer: &Integer, power_min: u8) {
        match integer {
            Integer::Literal(value) => self.push(value),
            Integer::Duration(value) => self.duration(*value),
            Integer::Field(field) => self.field(field, power_min),
            Integer::Negate(inner) => self.bound(power::SIGN, power_min, |writer| {
                writer.push('-');
                // A sign before digits would become part of the literal.
                let is_unsigned = matches!(**inner, Integer::Literal(value) | Integer::Duration(value) if value >= 0);
                let own_power = if is_unsigned { power::OR } else { power::VALUE };
                writer.bound(own_power, power::VALUE, |writer| writer.integer(inner, power::SIGN));
            }),
            Integer::Absolute(inner) => self.call("abs", |writer| writer.integer(inner, power::OR)),
            Integer::Operation(operation, left, right) => match infix(*operation) {
                Some((sign, own_power)) => self.bound(own_power, power_min, |writer| {
                    writer.integer(left, own_power);
                    writer.push(format_args!(" {sign} "));
                    writer.integer(right, own_power + 1);
                }),
                None => self.call(extreme_name(*operation), |writer| writer.integers_of(*operation, integer)),
            },
            Integer::Between(to, from) => self.bound(power::ADD, power_min, |writer| {
                writer.time(to, power::ADD);
                writer.push(" - ");
                writer.time(from, power::MULTIPLY);
            }),
            Integer::Hour(time) => self.call("hour", |writer| writer.time(time, power::OR)),
            Integer::Weekday(time) => self.call("weekday", |writer| writer.time(time, power::OR)),
        }
    }

    /// The values of `min` or `max`, whose tree is one of pairs from the left.
    fn integers_of(&mut self, operation: Operation, integer: &Integer) {
        match integer {
            Integer::Operation(own, left, right) if *own == operation => {
                self.integers_of(operation, left);
                self.push(", ");
                self.integer(right, power::OR);
            }
            other => self.integer(other, power::OR),
        }
    }

    fn number(&mut self, number: &Number, power_min: u8) {
        match number {
            Number::Literal(value) => self.decimal(*value),
            Number::Field(field) => self.field(field, power_min),
            Number::Nearest(inner) => self.integer(inner, power_min),
            Number::Negate(inner) => self.bound(power::SIGN, power_min, |writer| {
                writer.push('-');
                let is_unsigned = matches!(**inner, Number::Literal(value) if value >= 0.0);
                let own_power = if is_unsigned { power::OR } else { power::VALUE };
                writer.bound(own_power, power::VALUE, |writer| writer.number(inner, power::SIGN));
            }),
            Number::Absolute(inner) => self.call("abs", |writer| writer.number(inner, power::OR)),
            Number::Operation(operation, left, right) => match infix(*operation) {
                Some((sign, own_power)) => self.bound(own_power, power_min, |writer| {
                    writer.number(left, own_power);
                    writer.push(format_args!(" {sign} "));
                    writer.number(right, own_power + 1);
                }),
                None => self.call(extreme_name(*operation), |writer| writer.numbers_of(*operation, number)),
            },
            Number::Divide(left, right) => self.bound(power::MULTIPLY, power_min, |writer| {
                writer.number(left, power::MULTIPLY);
                writer.push(" / ");
                writer.number(right, power::SIGN);
            }),
        }
    }

    fn numbers_of(&mut self, operation: Operation, number: &Number) {
        match number {
            Number::Operation(own, left, right) if *own == operation => {
                self.numbers_of(operation, left);
                self.push(", ");
                self.number(right, power::OR);
            }
            // The first values were integers all.
            Number::Nearest(integer) => self.integers_of(operation, integer),
            other => self.number(other, power::OR),
        }
    }

    fn text(&mut self, text: &Text, power_min: u8) {
        match text {
            Text::Literal(value) => self.quoted(value),
            Text::Field(field) => self.field(field, power_min),
            Text::Lower(inner) => self.call("lower", |writer| writer.text(inner, power::OR)),
        }
    }

    fn time(&mut self, time: &Time, power_min: u8) {
        match time {
            Time::Field(field) => self.field(field, power_min),
            Time::Later(time, by) => self.bound(power::ADD, power_min, |writer| {
                writer.time(time, power::ADD);
                writer.push(" + ");
                writer.integer(by, power::MULTIPLY);
            }),
            Time::Earlier(time, by) => self.bound(power::ADD, power_min, |writer| {
                writer.time(time, power::ADD);
                writer.push(" - ");
                writer.integer(by, power::MULTIPLY);
            }),
            Time::Of(extreme, ..) => {
                self.call(extreme_name(extreme.operation()), |writer| writer.times_of(*extreme, time));
            }
        }
    }

    fn times_of(&mut self, extreme: Extreme, time: &Time) {
        match time {
            Time::Of(own, left, right) if *own == extreme => {
                self.times_of(extreme, left);
                self.push(", ");
                self.time(right, power::OR);
            }
            other => self.time(other, power::OR),
        }
    }
}

/// How tightly one side of a comparison must bind: a field alone stands there without parentheses, filled in or not.
fn side(is_field: bool) -> u8 {
    if is_field { power::OR } else { power::ADD }
}

/// Whether the first of what is compared is a field alone.
fn begins_with_field(operands: &Operands) -> bool {
    match operands {
        Operands::Booleans(value, _) => matches!(value, Condition::Field(_)),
        Operands::Integers(value, _) | Operands::IntegerNumber(value, _) => matches!(value, Integer::Field(_)),
        Operands::Numbers(value, _) | Operands::NumberInteger(value, _) => matches!(value, Number::Field(_)),
        Operands::Texts(value, _) => matches!(value, Text::Field(_)),
        Operands::Times(value, _) => matches!(value, Time::Field(_)),
    }
}

fn infix(operation: Operation) -> Option<(char, u8)> {
    match operation {
        Operation::Add => Some(('+', power::ADD)),
        Operation::Subtract => Some(('-', power::ADD)),
        Operation::Multiply => Some(('*', power::MULTIPLY)),
        Operation::Least | Operation::Greatest => None,
    }
}

fn extreme_name(operation: Operation) -> &'static str {
    if operation == Operation::Least { "min" } else { "max" }
}

/// A text in one line of so many characters at most, and `…` where something was cut off.
pub(crate) fn shortened(text: &str, characters_max: usize) -> String {
    let visible = |sign: char| if sign.is_control() { ' ' } else { sign };
    let mut short: String = text.chars().take(characters_max).map(visible).collect();
    if text.chars().nth(characters_max).is_some() {
        short.push('…');
    }
    short
}
