//! The values of one row, set by name: for a caller that has no columns.
//!
//! It may depend on fields. It refuses values of another type than their field's.

use crate::expression::rows::Row;
use crate::fields::{Field, FieldType, Fields};

/// A value that is there.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue {
    /// Of an integer.
    Integer(i64),
    /// Of a number.
    Number(f64),
    /// Of a text.
    Text(String),
    /// True or false.
    Boolean(bool),
    /// Of a time, microseconds since the epoch, UTC.
    Time(i64),
}

impl FieldValue {
    /// What it is a value of.
    pub fn field_type(&self) -> FieldType {
        match self {
            Self::Integer(_) => FieldType::Integer,
            Self::Number(_) => FieldType::Number,
            Self::Text(_) => FieldType::Text,
            Self::Boolean(_) => FieldType::Boolean,
            Self::Time(_) => FieldType::Time,
        }
    }
}

/// Why a value cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no field {name} that is {field_type}")]
pub struct ValueError {
    name: String,
    field_type: FieldType,
}

/// A row in which everything is missing that was not set.
#[derive(Debug, Clone)]
pub struct FieldValues {
    fields: Fields,
    values: Vec<Option<FieldValue>>,
}

impl FieldValues {
    /// A row of these fields in which everything is missing.
    pub fn new(fields: &Fields) -> Self {
        Self { fields: fields.clone(), values: vec![None; fields.len()] }
    }

    /// Sets a field's value.
    ///
    /// # Errors
    /// Fails where there is no field of that name and type.
    pub fn set(&mut self, name: &str, value: FieldValue) -> Result<(), ValueError> {
        let field_type = value.field_type();
        let field = self.fields.get(name).filter(|field| field.field_type() == field_type);
        let index = field.ok_or_else(|| ValueError { name: name.to_string(), field_type })?.index();
        self.values[index] = Some(value);
        Ok(())
    }

    /// The value of a field, if it is there.
    pub fn get(&self, field: &Field) -> Option<&FieldValue> {
        self.values.get(field.index())?.as_ref()
    }
}

impl Row for FieldValues {
    fn integer(&self, field: &Field) -> Option<i64> {
        match self.get(field)? {
            FieldValue::Integer(value) => Some(*value),
            _ => None,
        }
    }

    fn number(&self, field: &Field) -> Option<f64> {
        match self.get(field)? {
            FieldValue::Number(value) => Some(*value),
            _ => None,
        }
    }

    fn text(&self, field: &Field) -> Option<&str> {
        match self.get(field)? {
            FieldValue::Text(value) => Some(value),
            _ => None,
        }
    }

    fn boolean(&self, field: &Field) -> Option<bool> {
        match self.get(field)? {
            FieldValue::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    fn time_us(&self, field: &Field) -> Option<i64> {
        match self.get(field)? {
            FieldValue::Time(value) => Some(*value),
            _ => None,
        }
    }
}
