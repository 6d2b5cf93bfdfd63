//! Fields: the names and types that an expression may speak of. Plain fields of a payment, names of windows and the
//! score of a model are all fields here; the caller says which there are.
//!
//! Three fields may have a part of their own: the payment's time, by which entries of lists expire, its merchant, for
//! whom some entries stand alone, and its card, by which a rule is rolled out.
//!
//! It may depend on nothing. It refuses names that an expression could not say.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::names::{NAME_BYTES_MAX, is_name, nearest};

/// Most fields: what a table of payments and a thousand windows have, and room.
pub const FIELDS_MAX: usize = 4_096;

/// What values of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldType {
    /// Whole numbers of 64 bits, signed: money in minor units, counts, durations in microseconds.
    Integer,
    /// Numbers in binary floating point (IEEE 754, 64 bits), always finite.
    Number,
    /// Text in UTF-8.
    Text,
    /// True or false.
    Boolean,
    /// Microseconds since the epoch, UTC.
    Time,
}

impl fmt::Display for FieldType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Boolean => "true or false",
            Self::Time => "a time",
        })
    }
}

/// Why there cannot be such fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// An expression could not say the name.
    #[error(
        "{0:?} is no name of a field: lower-case letters, digits and underscores, a letter first, at most \
         {NAME_BYTES_MAX} of them, and no word of the language"
    )]
    Name(String),
    /// Two have this name.
    #[error("there are two fields named {0}")]
    Twice(String),
    /// More than [`FIELDS_MAX`].
    #[error("{0} fields are more than {FIELDS_MAX}")]
    TooMany(usize),
    /// A field with a part of its own does not exist or has another type.
    #[error("there is no field {name} that is {field_type}")]
    Part {
        /// Name that was given.
        name: String,
        /// What it must be.
        field_type: FieldType,
    },
}

/// A field among [`Fields`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    name: Arc<str>,
    field_type: FieldType,
    index: usize,
}

impl Field {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its values are.
    pub fn field_type(&self) -> FieldType {
        self.field_type
    }

    /// Its place among its [`Fields`], from 0.
    pub fn index(&self) -> usize {
        self.index
    }
}

/// What an expression may speak of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// In the order given.
    fields: Vec<Field>,
    by_name: BTreeMap<Arc<str>, usize>,
    time: Option<usize>,
    merchant: Option<usize>,
    card: Option<usize>,
}

impl Fields {
    /// Fields with these names and types.
    ///
    /// # Errors
    /// Fails where an expression could not say a name, where two are the same and where they are too many.
    pub fn new<N: AsRef<str>>(named: impl IntoIterator<Item = (N, FieldType)>) -> Result<Self, FieldsError> {
        let mut fields = Self::default();
        for (index, (name, field_type)) in named.into_iter().enumerate() {
            let name = name.as_ref();
            if index >= FIELDS_MAX {
                return Err(FieldsError::TooMany(index + 1));
            }
            if !is_name(name) {
                return Err(FieldsError::Name(name.to_string()));
            }
            let name: Arc<str> = name.into();
            if fields.by_name.insert(name.clone(), index).is_some() {
                return Err(FieldsError::Twice(name.to_string()));
            }
            fields.fields.push(Field { name, field_type, index });
        }
        Ok(fields)
    }

    /// The same, where this field is the payment's time.
    ///
    /// # Errors
    /// Fails where there is no such field that is a time.
    pub fn with_time(mut self, name: &str) -> Result<Self, FieldsError> {
        self.time = Some(self.part(name, FieldType::Time)?);
        Ok(self)
    }

    /// The same, where this field is the payment's merchant.
    ///
    /// # Errors
    /// Fails where there is no such field that is a text.
    pub fn with_merchant(mut self, name: &str) -> Result<Self, FieldsError> {
        self.merchant = Some(self.part(name, FieldType::Text)?);
        Ok(self)
    }

    /// The same, where this field is the payment's card (its token).
    ///
    /// # Errors
    /// Fails where there is no such field that is a text.
    pub fn with_card(mut self, name: &str) -> Result<Self, FieldsError> {
        self.card = Some(self.part(name, FieldType::Text)?);
        Ok(self)
    }

    fn part(&self, name: &str, field_type: FieldType) -> Result<usize, FieldsError> {
        let found = self.get(name).filter(|field| field.field_type == field_type);
        found.map(Field::index).ok_or_else(|| FieldsError::Part { name: name.to_string(), field_type })
    }

    /// The field of this name.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.by_name.get(name).map(|index| &self.fields[*index])
    }

    /// The name nearest to one that no field has, if any is near.
    pub fn nearest(&self, name: &str) -> Option<String> {
        nearest(name, self.by_name.keys().map(AsRef::as_ref))
    }

    /// All of them, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The payment's time.
    pub fn time(&self) -> Option<&Field> {
        self.time.map(|index| &self.fields[index])
    }

    /// The payment's merchant.
    pub fn merchant(&self) -> Option<&Field> {
        self.merchant.map(|index| &self.fields[index])
    }

    /// The payment's card.
    pub fn card(&self) -> Option<&Field> {
        self.card.map(|index| &self.fields[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let fields = |names: &[&str]| Fields::new(names.iter().map(|name| (name, FieldType::Integer)));
        assert_eq!(fields(&["a", "b"]).unwrap().get("b").unwrap().index(), 1);
        assert_eq!(fields(&["a", "and"]).unwrap_err(), FieldsError::Name("and".into()));
        assert_eq!(fields(&["a", "a"]).unwrap_err(), FieldsError::Twice("a".into()));
        let many = (0..=FIELDS_MAX).map(|index| (format!("f{index}"), FieldType::Text));
        assert_eq!(Fields::new(many).unwrap_err(), FieldsError::TooMany(FIELDS_MAX + 1));
    }

    #[test]
    fn parts_have_their_types() {
        let fields = Fields::new([("token", FieldType::Text), ("received_at", FieldType::Time)]).unwrap();
        let fields = fields.with_time("received_at").unwrap().with_card("token").unwrap();
        assert_eq!(fields.card().unwrap().name(), "token");
        assert!(fields.merchant().is_none());
        let error = fields.with_merchant("received_at").unwrap_err();
        assert_eq!(error.to_string(), "there is no field received_at that is a text");
    }
}
