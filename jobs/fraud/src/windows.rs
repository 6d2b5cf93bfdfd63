//! Exact sliding windows over payments: how many, how much, how many different, since when, by any key.
//!
//! **What a window holds.** For a payment at position p of the log with time t, a window of length w and delay d over key
//! k holds the payments of k that were read before p and whose time lies in (t-d-w, t-d], and the payment itself where
//! the window includes it (which one with a delay cannot). Rows that were read earlier with a later time are left out. So
//! a value is what could have been known at that moment, and it is a function of the log: whatever the batch borders,
//! and the same for every other program that applies this condition.
//!
//! **Arithmetic.** Counts, sums and sums of squares are exact integers; a mean is one division of two of them, a standard
//! deviation is the population's and comes from those integers. Mean, least, greatest, last and previous of nothing are
//! missing; counts and sums of nothing are 0.
//!
//! **Labels.** In a set over live payments the field [`LABEL`] is what was said of each payment before the one that reads
//! the window: false until somebody says something, then the newest that was read. It is no column of the rows; labels
//! come between payments ([`Windows::process_labelled`]). One for a payment that no window can hold any more, or that was
//! never read, has no effect.
//!
//! **What is missing rather than wrong.** A value larger than 4·10¹² is none. A payment that comes later than the set's
//! lateness behind the newest of its key gets no values. A key has at most a million payments at once, a set at most its
//! number of keys: beyond that windows that would be too small are missing until they are whole again.
//!
//! It may depend on Arrow and on expressions. It refuses clocks, files and randomness.

mod definitions;
mod entries;
mod groups;
mod key;
mod keys;
mod labelled;
mod operator;
mod output;
mod payments;
mod saved;

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field, Schema};

use crate::expression::Expression;

pub use definitions::parse;
pub use labelled::{LABEL, Label, PAYMENT_ID};
pub use operator::{Value, Windows};
pub use payments::Payments;

const DAY_US: i64 = 24 * 3600 * 1_000_000;
/// Longest window with its delay, microseconds: two years.
pub const REACH_US_MAX: i64 = 731 * DAY_US;
/// Most windows of a set.
pub const WINDOWS_MAX: usize = 500;

/// What is computed of the payments in a window. The field is an integer, Boolean (1 and 0) or time for all functions, or
/// a text for `Distinct`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Function {
    /// Number of payments.
    Count,
    /// Sum of a field.
    Sum(String),
    /// Mean of a field.
    Mean(String),
    /// Standard deviation of a field, of the population.
    Stddev(String),
    /// Least value of a field.
    Min(String),
    /// Greatest value of a field.
    Max(String),
    /// Value of the newest payment.
    Last(String),
    /// Value of the one before the newest.
    Previous(String),
    /// Number of different values.
    Distinct(String),
    /// Microseconds from the oldest payment to this one.
    SinceFirst,
    /// Microseconds from the newest payment to this one.
    SinceLast,
}

impl Function {
    /// The field that it is about.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Count | Self::SinceFirst | Self::SinceLast => None,
            Self::Sum(field)
            | Self::Mean(field)
            | Self::Stddev(field)
            | Self::Min(field)
            | Self::Max(field)
            | Self::Last(field)
            | Self::Previous(field)
            | Self::Distinct(field) => Some(field),
        }
    }

    /// Type of its values.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Mean(_) | Self::Stddev(_) => DataType::Float64,
            _ => DataType::Int64,
        }
    }
}

/// A window.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Name of its column.
    pub name: String,
    /// What is computed.
    pub function: Function,
    /// Fields that make its key: a payment without one of them has no values.
    pub key: Vec<String>,
    /// Which payments are in it; every payment reads its value.
    pub filter: Option<Expression>,
    /// Length, microseconds.
    pub length_us: i64,
    /// How long before the payment it ends, microseconds.
    pub delay_us: i64,
    /// Whether the payment itself is in it.
    pub includes_current: bool,
}

/// Windows with their bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowSet {
    /// In the order of their columns.
    pub windows: Vec<Definition>,
    /// Field with the payment's time.
    pub time: String,
    /// How much older than the newest of its key a payment may be, microseconds.
    pub lateness_us: i64,
    /// Most keys at once, of each kind of key.
    pub keys_max: usize,
    /// Whether field [`LABEL`] is what was said of a payment so far; else it is a column like others.
    pub labels_follow: bool,
}

/// Why windows cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// The definitions contradict themselves or a bound.
    #[error("window {name}: {problem}")]
    Definition {
        /// The window.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The rows have no such column, or of a type that no window can read.
    #[error("column {name}: {problem}")]
    Column {
        /// The column.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A saved state is damaged or of other windows.
    #[error("the saved windows do not read: {0}")]
    Saved(String),
}

impl Definition {
    /// Whether it speaks of a field.
    pub fn speaks_of(&self, name: &str) -> bool {
        let filters = self.filter.iter().flat_map(Expression::fields);
        self.function.field() == Some(name) || filters.into_iter().any(|field| field.name() == name)
    }
}

impl WindowSet {
    /// Checks what no single definition says.
    ///
    /// # Errors
    /// Names the first window that is wrong.
    pub fn check(&self) -> Result<(), WindowError> {
        let refuse = |name: &str, problem: String| Err(WindowError::Definition { name: name.to_string(), problem });
        if self.windows.len() > WINDOWS_MAX {
            return refuse(&self.windows[WINDOWS_MAX].name, format!("a set has at most {WINDOWS_MAX} windows"));
        }
        let mut names = BTreeSet::new();
        for window in &self.windows {
            let Definition { name, key, length_us, delay_us, includes_current, .. } = window;
            if !names.insert(name) {
                return refuse(name, "another one has the same name".to_string());
            }
            if key.is_empty() {
                return refuse(name, "it has no key".to_string());
            }
            if *length_us <= 0 || *delay_us < 0 || length_us.saturating_add(*delay_us) > REACH_US_MAX {
                let days = REACH_US_MAX / DAY_US;
                return refuse(name, format!("length and delay must be positive and at most {days} days together"));
            }
            if *includes_current && *delay_us > 0 {
                return refuse(name, "one that ends before the payment cannot include it".to_string());
            }
        }
        Ok(())
    }

    /// Columns of the values.
    pub fn schema(&self) -> Schema {
        let field = |window: &Definition| Field::new(&window.name, window.function.data_type(), true);
        Schema::new(self.windows.iter().map(field).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests;
