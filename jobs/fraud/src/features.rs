//! Features of a payment for a model: windows, and what follows from the columns of one row ([`Derived`]), for instance:
//!
//! ```text
//! feature night = hour(event_time) <= 6
//! feature amount_to_mean_30d = amount_minor / customer_mean_30d
//! ```
//!
//! A feature is an expression ([`crate::expression`]) over fields and windows that gives a number or a condition; a
//! condition that holds is 1, one that does not 0. Two sets come ready made for the columns of the published simulation:
//! [`HANDBOOK`] and [`OURS`]. Any file with columns of these meanings has them under other names.
//!
//! It may depend on Arrow, on expressions and on windows. It refuses texts and times as features, and rows other than
//! the one that the feature is of.

mod derived;
#[cfg(test)]
pub(crate) mod tests;

use arrow::datatypes::DataType;

use crate::expression::ParseError;
use crate::fields::{FieldType, Fields, FieldsError};
use crate::windows::{self, Definition, Function};

pub use derived::{Derived, parse, with_derived};

/// A set of features as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureText<'a> {
    /// Windows, in the language of [`crate::windows`].
    pub windows: &'a str,
    /// What follows from a row and its windows, in the language of [`parse`].
    pub derived: &'a str,
}

/// The 15 features of the handbook (Le Borgne et al. 2022, chapter 3).
///
/// The handbook brings each to mean 0 and deviation 1 for its logistic regression. That is not done here: a tree asks
/// only which values are greater. The risk of a terminal without payments is missing instead of 0.
pub const HANDBOOK: FeatureText<'_> = FeatureText {
    windows: include_str!("features/handbook_windows.txt"),
    derived: include_str!("features/handbook_derived.txt"),
};

/// The handbook's features and ours, which find more: what is usual for a customer over months, without the days in
/// which a fraud may still be unknown, and what is known of a terminal, from the first known fraud on. Nothing is in it
/// that is known against the customer: a card that is known as defrauded is blocked, and leaves the test too.
pub const OURS: FeatureText<'_> = FeatureText {
    windows: include_str!("features/our_windows.txt"),
    derived: include_str!("features/our_derived.txt"),
};

/// Why a text is no set of features.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// The windows do not parse.
    #[error("the windows do not parse, {} errors; first: {}", .0.len(), first(.0))]
    Windows(Vec<ParseError>),
    /// The derived features do not parse.
    #[error("the derived features do not parse, {} errors; first: {}", .0.len(), first(.0))]
    Derived(Vec<ParseError>),
    /// Names of windows and fields together are too many.
    #[error(transparent)]
    Fields(#[from] FieldsError),
}

fn first(errors: &[ParseError]) -> String {
    errors.first().map(ToString::to_string).unwrap_or_default()
}

/// A set of features.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSet {
    /// Windows, in the order of their columns.
    pub windows: Vec<Definition>,
    /// What follows from them and the row.
    pub derived: Vec<Derived>,
}

impl FeatureSet {
    /// Parses a set; `fields` are the columns of the payments.
    ///
    /// # Errors
    /// Everything that is wrong with the windows, or with the derived features.
    pub fn parse(text: &FeatureText<'_>, fields: &Fields) -> Result<Self, FeatureError> {
        let windows = windows::parse(text.windows, fields).map_err(FeatureError::Windows)?;
        let derived = parse(text.derived, &with_windows(fields, &windows)?).map_err(FeatureError::Derived)?;
        Ok(Self { windows, derived })
    }

    /// Names of all features, windows first: the columns that a model asks for.
    pub fn names(&self) -> Vec<String> {
        let windows = self.windows.iter().map(|window| window.name.clone());
        windows.chain(self.derived.iter().map(|derived| derived.name.clone())).collect()
    }

    /// The text that defines a feature.
    pub fn definition(&self, name: &str) -> Option<String> {
        let windows = self.windows.iter().map(|window| (&window.name, window.to_string()));
        let derived = self.derived.iter().map(|derived| (&derived.name, derived.to_string()));
        windows.chain(derived).find(|(known, _)| *known == name).map(|(_, text)| text)
    }
}

/// Fields of payments, and windows behind them.
///
/// # Errors
/// Fails where they are too many, or a window has the name of a field.
pub fn with_windows(fields: &Fields, windows: &[Definition]) -> Result<Fields, FieldsError> {
    let columns = fields.iter().map(|field| (field.name(), field.field_type()));
    Fields::new(columns.chain(windows.iter().map(|window| (window.name.as_str(), type_of(&window.function)))))
}

fn type_of(function: &Function) -> FieldType {
    match function.data_type() {
        DataType::Float64 => FieldType::Number,
        _ => FieldType::Integer,
    }
}
