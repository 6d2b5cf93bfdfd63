//! Which fields and lists an expression reads.
//!
//! It may depend on fields and lists. It refuses nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::expression::tree::{Condition, Integer, Number, Operands, Text, Time, Value};
use crate::fields::Field;

/// Fields and lists that were seen.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    fields: BTreeMap<usize, Field>,
    /// Names of lists.
    pub(crate) lists: BTreeSet<String>,
}

impl Uses {
    /// In order of their indexes.
    pub(crate) fn fields(self) -> Vec<Field> {
        self.fields.into_values().collect()
    }

    pub(crate) fn field(&mut self, field: &Field) {
        self.fields.entry(field.index()).or_insert_with(|| field.clone());
    }

    /// Whether nothing was seen: what reads nothing is the same in every row.
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.lists.is_empty()
    }

    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Boolean(value) => self.condition(value),
            Value::Integer(value) => self.integer(value),
            Value::Number(value) => self.number(value),
            Value::Text(value) => self.text(value),
            Value::Time(value) => self.time(value),
        }
    }

    pub(crate) fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::Literal(_) => {}
            Condition::Field(field) => self.field(field),
            Condition::Not(inner) => self.condition(inner),
            Condition::And(parts) | Condition::Or(parts) => parts.iter().for_each(|part| self.condition(part)),
            Condition::Compare(_, operands) => self.operands(operands),
            Condition::InIntegers(value, _) => self.integer(value),
            Condition::InNumbers(value, _) => self.number(value),
            Condition::InTexts(value, _) => self.text(value),
            Condition::InList(in_list) => {
                self.text(&in_list.value);
                self.field(&in_list.time);
                in_list.merchant.iter().for_each(|merchant| self.field(merchant));
                self.lists.insert(in_list.list.name().to_string());
            }
            Condition::Missing(value, _) => self.value(value),
        }
    }

    fn operands(&mut self, operands: &Operands) {
        match operands {
            Operands::Booleans(left, right) => {
                self.condition(left);
                self.condition(right);
            }
            Operands::Integers(left, right) => {
                self.integer(left);
                self.integer(right);
            }
            Operands::Numbers(left, right) => {
                self.number(left);
                self.number(right);
            }
            Operands::IntegerNumber(integer, number) | Operands::NumberInteger(number, integer) => {
                self.integer(integer);
                self.number(number);
            }
            Operands::Texts(left, right) => {
                self.text(left);
                self.text(right);
            }
            Operands::Times(left, right) => {
                self.time(left);
                self.time(right);
            }
        }
    }

    fn integer(&mut self, integer: &Integer) {
        match integer {
            Integer::Literal(_) | Integer::Duration(_) => {}
            Integer::Field(field) => self.field(field),
            Integer::Negate(inner) | Integer::Absolute(inner) => self.integer(inner),
            Integer::Operation(_, left, right) => {
                self.integer(left);
                self.integer(right);
            }
            Integer::Between(to, from) => {
                self.time(to);
                self.time(from);
            }
            Integer::Hour(time) | Integer::Weekday(time) => self.time(time),
        }
    }

    fn number(&mut self, number: &Number) {
        match number {
            Number::Literal(_) => {}
            Number::Field(field) => self.field(field),
            Number::Nearest(inner) => self.integer(inner),
            Number::Negate(inner) | Number::Absolute(inner) => self.number(inner),
            Number::Operation(_, left, right) | Number::Divide(left, right) => {
                self.number(left);
                self.number(right);
            }
        }
    }

    fn text(&mut self, text: &Text) {
        match text {
            Text::Literal(_) => {}
            Text::Field(field) => self.field(field),
            Text::Lower(inner) => self.text(inner),
        }
    }

    fn time(&mut self, time: &Time) {
        match time {
            Time::Field(field) => self.field(field),
            Time::Later(time, by) | Time::Earlier(time, by) => {
                self.time(time);
                self.integer(by);
            }
            Time::Of(_, left, right) => {
                self.time(left);
                self.time(right);
            }
        }
    }
}
