//! From [`Syntax`] to typed trees: looks names up, and says where types do not fit. It goes on after an error, so that
//! every unknown name of an expression is found at once.
//!
//! It may depend on fields and lists. It refuses to guess: nothing becomes another type, except that an integer becomes
//! the nearest number where the two meet in arithmetic.

use std::ops::Range;

use crate::expression::ERRORS_MAX;
use crate::expression::error::ParseError;
use crate::expression::scalar::{Comparison, Operation, compare_exactly, compare_numbers, nearest_number};
use crate::expression::syntax::{Arithmetic, Kind, Literal, Syntax};
use crate::expression::tree::{Condition, Extreme, InList, Integer, Number, OneOf, Operands, Text, Time, Value};
use crate::fields::{Field, FieldType, Fields};
use crate::lists::Lists;
use crate::names::nearest;

/// Functions, in order of names.
const FUNCTIONS: [&str; 6] = ["abs", "hour", "lower", "max", "min", "weekday"];

/// What names mean, and where errors go.
pub(crate) struct Checker<'a> {
    pub(crate) fields: &'a Fields,
    pub(crate) lists: &'a Lists,
    pub(crate) errors: &'a mut Vec<ParseError>,
}

impl Checker<'_> {
    /// What a text means; nothing after an error. Where there are errors enough, the rest is not looked at.
    pub(crate) fn value(&mut self, syntax: &Syntax) -> Option<Value> {
        if self.errors.len() >= ERRORS_MAX {
            return None;
        }
        match &syntax.kind {
            Kind::Literal(literal) => Some(literal_value(literal)),
            Kind::Name(name) => self.field(name, &syntax.span),
            Kind::Not(inner) => self.condition(inner).map(|inner| Value::Boolean(Condition::Not(Box::new(inner)))),
            Kind::And(parts) => self.conditions(parts).map(|parts| Value::Boolean(Condition::And(parts))),
            Kind::Or(parts) => self.conditions(parts).map(|parts| Value::Boolean(Condition::Or(parts))),
            Kind::Negate(inner) => match self.value(inner)? {
                Value::Integer(inner) => Some(Value::Integer(Integer::Negate(Box::new(inner)))),
                Value::Number(inner) => Some(Value::Number(Number::Negate(Box::new(inner)))),
                other => self.wrong(&inner.span, format!("{} has no sign", other.field_type())),
            },
            Kind::Compare(comparison, left, right) => self.compare(*comparison, left, right, &syntax.span),
            Kind::Arithmetic(arithmetic, left, right) => self.arithmetic(*arithmetic, left, right, &syntax.span),
            Kind::In(inner, values) => self.membership(inner, values),
            Kind::InList(inner, name, name_span) => self.in_list(inner, name, name_span),
            Kind::Missing(inner, is_wanted) => {
                let inner = self.value(inner)?;
                Some(Value::Boolean(Condition::Missing(Box::new(inner), *is_wanted)))
            }
            Kind::Call(name, name_span, arguments) => self.call(name, name_span, arguments, &syntax.span),
        }
    }

    /// What a text means that must be true or false.
    pub(crate) fn condition(&mut self, syntax: &Syntax) -> Option<Condition> {
        match self.value(syntax)? {
            Value::Boolean(condition) => Some(condition),
            other => self.wrong(&syntax.span, format!("true or false should stand here, not {}", other.field_type())),
        }
    }

    fn wrong<T>(&mut self, span: &Range<usize>, message: impl Into<String>) -> Option<T> {
        self.errors.push(ParseError::new(span.clone(), message));
        None
    }

    fn conditions(&mut self, parts: &[Syntax]) -> Option<Vec<Condition>> {
        // All of them before the first that is wrong decides.
        let parts: Vec<Option<Condition>> = parts.iter().map(|part| self.condition(part)).collect();
        parts.into_iter().collect()
    }

    fn both(&mut self, left: &Syntax, right: &Syntax) -> Option<(Value, Value)> {
        let (left, right) = (self.value(left), self.value(right));
        Some((left?, right?))
    }

    fn field(&mut self, name: &str, span: &Range<usize>) -> Option<Value> {
        let Some(field) = self.fields.get(name).cloned() else {
            let error = ParseError::new(span.clone(), format!("there is no field {name}"));
            self.errors.push(error.or_nearest(self.fields.nearest(name)));
            return None;
        };
        Some(match field.field_type() {
            FieldType::Boolean => Value::Boolean(Condition::Field(field)),
            FieldType::Integer => Value::Integer(Integer::Field(field)),
            FieldType::Number => Value::Number(Number::Field(field)),
            FieldType::Text => Value::Text(Text::Field(field)),
            FieldType::Time => Value::Time(Time::Field(field)),
        })
    }

    fn compare(&mut self, comparison: Comparison, left: &Syntax, right: &Syntax, span: &Range<usize>) -> Option<Value> {
        let operands = match self.both(left, right)? {
            (Value::Boolean(left), Value::Boolean(right)) => {
                if !matches!(comparison, Comparison::Equal | Comparison::Unequal) {
                    return self.wrong(span, "true and false have no order");
                }
                Operands::Booleans(left, right)
            }
            (Value::Integer(left), Value::Integer(right)) => Operands::Integers(left, right),
            (Value::Number(left), Value::Number(right)) => Operands::Numbers(left, right),
            (Value::Integer(left), Value::Number(right)) => match exact_number(&left) {
                true => Operands::Numbers(Number::Nearest(Box::new(left)), right),
                false => Operands::IntegerNumber(left, right),
            },
            (Value::Number(left), Value::Integer(right)) => match exact_number(&right) {
                true => Operands::Numbers(left, Number::Nearest(Box::new(right))),
                false => Operands::NumberInteger(left, right),
            },
            (Value::Text(left), Value::Text(right)) => Operands::Texts(left, right),
            (Value::Time(left), Value::Time(right)) => Operands::Times(left, right),
            (left, right) => {
                let (left, right) = (left.field_type(), right.field_type());
                return self.wrong(span, format!("{left} cannot be compared with {right}"));
            }
        };
        Some(Value::Boolean(Condition::Compare(comparison, Box::new(operands))))
    }

    fn arithmetic(
        &mut self,
        arithmetic: Arithmetic,
        left: &Syntax,
        right: &Syntax,
        span: &Range<usize>,
    ) -> Option<Value> {
        let operation = match arithmetic {
            Arithmetic::Add => Operation::Add,
            Arithmetic::Subtract => Operation::Subtract,
            Arithmetic::Multiply => Operation::Multiply,
            Arithmetic::Divide => {
                let (left_value, right_value) = self.both(left, right)?;
                let left = self.number(left_value, &left.span);
                let right = self.number(right_value, &right.span);
                return Some(Value::Number(Number::Divide(Box::new(left?), Box::new(right?))));
            }
        };
        Some(match (self.both(left, right)?, operation) {
            ((Value::Time(time), Value::Integer(by)), Operation::Add)
            | ((Value::Integer(by), Value::Time(time)), Operation::Add) => {
                Value::Time(Time::Later(Box::new(time), Box::new(by)))
            }
            ((Value::Time(time), Value::Integer(by)), Operation::Subtract) => {
                Value::Time(Time::Earlier(Box::new(time), Box::new(by)))
            }
            ((Value::Time(to), Value::Time(from)), Operation::Subtract) => {
                Value::Integer(Integer::Between(Box::new(to), Box::new(from)))
            }
            ((left, right), operation) => return self.combined(operation, left, right, span),
        })
    }

    /// What two integers, two numbers or one of each become.
    fn combined(&mut self, operation: Operation, left: Value, right: Value, span: &Range<usize>) -> Option<Value> {
        match (left, right) {
            (Value::Integer(left), Value::Integer(right)) => {
                Some(Value::Integer(Integer::Operation(operation, Box::new(left), Box::new(right))))
            }
            (left @ (Value::Integer(_) | Value::Number(_)), right @ (Value::Integer(_) | Value::Number(_))) => {
                let (left, right) = (self.number(left, span)?, self.number(right, span)?);
                Some(Value::Number(Number::Operation(operation, Box::new(left), Box::new(right))))
            }
            (left, right) => {
                let (left, right) = (left.field_type(), right.field_type());
                self.wrong(span, format!("this cannot be done with {left} and {right}"))
            }
        }
    }

    /// A number, or the number nearest to an integer.
    fn number(&mut self, value: Value, span: &Range<usize>) -> Option<Number> {
        match value {
            Value::Number(number) => Some(number),
            Value::Integer(integer) => Some(Number::Nearest(Box::new(integer))),
            other => self.wrong(span, format!("a number should stand here, not {}", other.field_type())),
        }
    }

    fn membership(&mut self, inner: &Syntax, values: &[(Literal, Range<usize>)]) -> Option<Value> {
        let value = self.value(inner)?;
        let value_type = value.field_type();
        let no_such = |(literal, span): &(Literal, Range<usize>)| {
            let found = literal_value(literal).field_type();
            ParseError::new(span.clone(), format!("{found} is never among values that are compared with {value_type}"))
        };
        // Each value that does not fit is an error of its own.
        let mut fitting = |fits: &mut dyn FnMut(&Literal) -> bool| {
            let wrong: Vec<ParseError> = values.iter().filter(|(literal, _)| !fits(literal)).map(no_such).collect();
            let is_right = wrong.is_empty();
            self.errors.extend(wrong);
            is_right
        };
        let condition = match value {
            Value::Integer(value) => {
                let mut integers = Vec::with_capacity(values.len());
                let is_right = fitting(&mut |literal| match literal {
                    Literal::Integer(value) | Literal::Duration(value) => {
                        integers.push(*value);
                        true
                    }
                    _ => false,
                });
                integers.sort_unstable();
                integers.dedup();
                is_right.then(|| Condition::InIntegers(Box::new(value), OneOf(integers)))?
            }
            Value::Number(value) => {
                let mut numbers = Vec::with_capacity(values.len());
                let is_right = fitting(&mut |literal| {
                    let number = match literal {
                        Literal::Number(number) => Some(*number),
                        // No number equals an integer that is rounded.
                        Literal::Integer(integer) => exact(*integer),
                        _ => None,
                    };
                    numbers.extend(number);
                    number.is_some()
                });
                numbers.sort_by(|left, right| compare_numbers(*left, *right));
                numbers.dedup();
                is_right.then(|| Condition::InNumbers(Box::new(value), OneOf(numbers)))?
            }
            Value::Text(value) => {
                let mut texts: Vec<Box<str>> = Vec::with_capacity(values.len());
                let is_right = fitting(&mut |literal| match literal {
                    Literal::Text(text) => {
                        texts.push(text.as_str().into());
                        true
                    }
                    _ => false,
                });
                texts.sort_unstable();
                texts.dedup();
                is_right.then(|| Condition::InTexts(Box::new(value), OneOf(texts)))?
            }
            Value::Boolean(_) | Value::Time(_) => {
                return self.wrong(&inner.span, format!("{value_type} is not looked for among values"));
            }
        };
        Some(Value::Boolean(condition))
    }

    fn in_list(&mut self, inner: &Syntax, name: &str, name_span: &Range<usize>) -> Option<Value> {
        let value = self.value(inner);
        let list = self.lists.get(name).cloned();
        if list.is_none() {
            let error = ParseError::new(name_span.clone(), format!("there is no list {name}"));
            self.errors.push(error.or_nearest(self.lists.nearest(name)));
        }
        let value = match value? {
            Value::Text(value) => value,
            other => return self.wrong(&inner.span, format!("lists hold texts, not {}", other.field_type())),
        };
        let Some(time) = self.fields.time().cloned() else {
            return self.wrong(name_span, "no field is the payment's time, by which entries of a list expire");
        };
        let merchant: Option<Field> = self.fields.merchant().cloned();
        Some(Value::Boolean(Condition::InList(Box::new(InList { value, list: list?, time, merchant }))))
    }

    fn call(
        &mut self,
        name: &str,
        name_span: &Range<usize>,
        arguments: &[Syntax],
        span: &Range<usize>,
    ) -> Option<Value> {
        let is_known = FUNCTIONS.contains(&name);
        if !is_known {
            let error = ParseError::new(name_span.clone(), format!("there is no function {name}"));
            self.errors.push(error.or_nearest(nearest(name, FUNCTIONS.into_iter())));
        }
        let values: Vec<Option<Value>> = arguments.iter().map(|argument| self.value(argument)).collect();
        let values: Vec<Value> = values.into_iter().collect::<Option<_>>().filter(|_| is_known)?;
        let extreme = match name {
            "min" => Some(Extreme::Least),
            "max" => Some(Extreme::Greatest),
            _ => None,
        };
        if let Some(extreme) = extreme {
            return self.extreme(extreme, values, span);
        }
        let Ok([value]) = <[Value; 1]>::try_from(values) else {
            return self.wrong(span, format!("{name} takes one value"));
        };
        Some(match (name, value) {
            ("abs", Value::Integer(value)) => Value::Integer(Integer::Absolute(Box::new(value))),
            ("abs", Value::Number(value)) => Value::Number(Number::Absolute(Box::new(value))),
            ("hour", Value::Time(value)) => Value::Integer(Integer::Hour(Box::new(value))),
            ("weekday", Value::Time(value)) => Value::Integer(Integer::Weekday(Box::new(value))),
            ("lower", Value::Text(value)) => Value::Text(Text::Lower(Box::new(value))),
            (_, value) => return self.wrong(span, format!("{name} is not for {}", value.field_type())),
        })
    }

    fn extreme(&mut self, extreme: Extreme, values: Vec<Value>, span: &Range<usize>) -> Option<Value> {
        if values.len() < 2 {
            return self.wrong(span, "this takes two values or more");
        }
        // From the left two by two, as one would write it with two values each.
        let mut values = values.into_iter();
        let first = values.next()?;
        values.try_fold(first, |left, right| match (left, right) {
            (Value::Time(left), Value::Time(right)) => {
                Some(Value::Time(Time::Of(extreme, Box::new(left), Box::new(right))))
            }
            (left, right) => self.combined(extreme.operation(), left, right, span),
        })
    }
}

fn literal_value(literal: &Literal) -> Value {
    match literal {
        Literal::Boolean(value) => Value::Boolean(Condition::Literal(*value)),
        Literal::Integer(value) => Value::Integer(Integer::Literal(*value)),
        Literal::Duration(value) => Value::Integer(Integer::Duration(*value)),
        Literal::Number(value) => Value::Number(Number::Literal(*value)),
        Literal::Text(value) => Value::Text(Text::Literal(value.as_str().into())),
    }
}

/// The number that is this integer, if one is.
fn exact(integer: i64) -> Option<f64> {
    let number = nearest_number(integer);
    compare_exactly(integer, number).is_eq().then_some(number)
}

/// Whether it is a literal that some number equals: comparing numbers is then as exact, and faster.
fn exact_number(integer: &Integer) -> bool {
    matches!(integer, Integer::Literal(value) | Integer::Duration(value) if exact(*value).is_some())
}
