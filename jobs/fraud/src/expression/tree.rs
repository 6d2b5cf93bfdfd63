//! What an expression means: trees in which every part has its type, so that an evaluator meets no other.
//!
//! It may depend on fields and lists. It refuses nothing: `check` makes only what is right.

use std::sync::Arc;

use crate::expression::scalar::{Comparison, Operation};
use crate::fields::{Field, FieldType};
use crate::lists::List;

/// Anything an expression can give.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Boolean(Condition),
    Integer(Integer),
    Number(Number),
    Text(Text),
    Time(Time),
}

impl Value {
    pub(crate) fn field_type(&self) -> FieldType {
        match self {
            Self::Boolean(_) => FieldType::Boolean,
            Self::Integer(_) => FieldType::Integer,
            Self::Number(_) => FieldType::Number,
            Self::Text(_) => FieldType::Text,
            Self::Time(_) => FieldType::Time,
        }
    }
}

/// What is true, false or missing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    Literal(bool),
    Field(Field),
    Not(Box<Condition>),
    /// Two or more.
    And(Vec<Condition>),
    /// Two or more.
    Or(Vec<Condition>),
    Compare(Comparison, Box<Operands>),
    InIntegers(Box<Integer>, OneOf<i64>),
    InNumbers(Box<Number>, OneOf<f64>),
    InTexts(Box<Text>, OneOf<Box<str>>),
    InList(Box<InList>),
    /// Whether it must be missing or must not.
    Missing(Box<Value>, bool),
}

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operands {
    Booleans(Condition, Condition),
    Integers(Integer, Integer),
    Numbers(Number, Number),
    /// Compared exactly.
    IntegerNumber(Integer, Number),
    /// Compared exactly.
    NumberInteger(Number, Integer),
    Texts(Text, Text),
    Times(Time, Time),
}

/// Values in order, each once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OneOf<T>(pub(crate) Vec<T>);

/// Whether a text stands on a list for the payment's merchant at the payment's time.
#[derive(Debug, Clone)]
pub(crate) struct InList {
    pub(crate) value: Text,
    pub(crate) list: Arc<List>,
    pub(crate) time: Field,
    pub(crate) merchant: Option<Field>,
}

/// Lists are told apart by their names: one set of rules sees one set of lists.
impl PartialEq for InList {
    fn eq(&self, other: &Self) -> bool {
        (&self.value, self.list.name(), &self.time, &self.merchant)
            == (&other.value, other.list.name(), &other.time, &other.merchant)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Integer {
    Literal(i64),
    /// Microseconds, written with a unit.
    Duration(i64),
    Field(Field),
    Negate(Box<Integer>),
    Absolute(Box<Integer>),
    Operation(Operation, Box<Integer>, Box<Integer>),
    /// Microseconds from the second to the first.
    Between(Box<Time>, Box<Time>),
    Hour(Box<Time>),
    Weekday(Box<Time>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Number {
    Literal(f64),
    Field(Field),
    /// The number nearest to an integer.
    Nearest(Box<Integer>),
    Negate(Box<Number>),
    Absolute(Box<Number>),
    Operation(Operation, Box<Number>, Box<Number>),
    Divide(Box<Number>, Box<Number>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Text {
    Literal(Box<str>),
    Field(Field),
    Lower(Box<Text>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Time {
    Field(Field),
    Later(Box<Time>, Box<Integer>),
    Earlier(Box<Time>, Box<Integer>),
    /// The earlier (`Least`) or later (`Greatest`) of two.
    Of(Extreme, Box<Time>, Box<Time>),
}

/// Which of two times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extreme {
    Least,
    Greatest,
}

impl Extreme {
    pub(crate) fn operation(self) -> Operation {
        match self {
            Self::Least => Operation::Least,
            Self::Greatest => Operation::Greatest,
        }
    }
}
