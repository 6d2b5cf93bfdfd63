//! Quality of rules in service: how often each fired, how often it was right, how often it said the same again, and with
//! which other rule it fires.
//!
//! Two kinds of rows go in: what fired, a row for each payment and rule, then the labels that came for payments. Both may
//! come in any order of rows; of the labels of one payment the last row stands.
//!
//! | column | means |
//! |---|---|
//! | hits | payments for which the rule fired, each once |
//! | precision | frauds among those that have a label |
//! | false positives | genuine payments for each fraud |
//! | repeats | hits of a card for which the same rule had fired in the 24 hours before, or at the same moment |
//! | fires with | the other rule that fired for the most of its payments |
//!
//! A rule of the set that never fired is dead. A rule that fired and is not in the set any more is said too.
//!
//! It may depend on Arrow, fields and rules, and on `serde` for its report. It refuses to read tables, and more hits and
//! names than it has bounds for: ask of a shorter time.

mod hits;
mod report;

use arrow::array::{Array, RecordBatch, StringArray};
use schemas::money::Currency;

use crate::expression::{Columns, EvaluateError};
use crate::fields::{Field, FieldType, Fields, FieldsError};
use crate::rules::{RULES_MAX, RuleSet};
use hits::{Fired, Hits, Payment};

pub use crate::counts::Counts;
pub use report::{FiresWith, QualityReport, RuleQuality};

/// Most rows of what fired: years of a risk team's alerts, and about a gigabyte where each is of another payment.
pub const HITS_MAX: usize = 5_000_000;

/// Most rules that fired or are in the set: a whole set, and as many that are no more.
pub const NAMES_MAX: usize = 2 * RULES_MAX;

/// Names of the columns of what fired. All texts but time, amount and refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiredColumns {
    /// Name of the rule; never null.
    pub rule: String,
    /// Identity of the payment; never null.
    pub payment: String,
    /// The card, such as its token. A hit without one is no repeat.
    pub card: String,
    /// A time: the payment's own. A hit without one is no repeat.
    pub time: String,
    /// An integer: the amount in minor units. All are of one currency.
    pub amount: String,
    /// True where the payment was refused; null counts as false. None where nothing was.
    pub refused: Option<String>,
}

/// Names of the columns of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelColumns {
    /// A text: identity of the payment, as in what fired.
    pub payment: String,
    /// True for a fraud, false for a genuine payment, null takes an earlier label back.
    pub label: String,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum QualityError {
    /// A column has a name that is none, or that another has.
    #[error("columns of what fired and of labels: {0}")]
    Names(#[from] FieldsError),
    /// A batch has not the columns that it must have.
    #[error(transparent)]
    Columns(#[from] EvaluateError),
    /// A row does not say what it is about.
    #[error("row {row} of a batch has no value in column {column}")]
    Empty {
        /// Name of the column.
        column: String,
        /// Row of its batch, from 0.
        row: usize,
    },
    /// More than [`HITS_MAX`].
    #[error("more than {HITS_MAX} rows of what fired; ask of a shorter time")]
    TooManyHits,
    /// More than [`NAMES_MAX`].
    #[error("more than {NAMES_MAX} rules fired; is column {0} that of their names?")]
    TooManyNames(String),
}

/// Places of the columns of what fired.
const RULE: usize = 0;
const PAYMENT: usize = 1;
const CARD: usize = 2;
const TIME: usize = 3;
const AMOUNT: usize = 4;
const REFUSED: usize = 5;
/// And of labels, beside the payment's first one.
const LABEL: usize = 1;

/// What fired, while it is read.
#[derive(Debug)]
pub struct FiredRules {
    columns: Vec<Field>,
    hits: Hits,
}

impl FiredRules {
    /// Nothing fired yet of the rules of a set.
    ///
    /// # Errors
    /// Fails where columns have names that cannot be.
    pub fn new(rules: &RuleSet, columns: &FiredColumns) -> Result<Self, QualityError> {
        let FiredColumns { rule, payment, card, time, amount, refused } = columns;
        let texts = [rule, payment, card].map(|name| (name, FieldType::Text));
        let others = [(time, FieldType::Time), (amount, FieldType::Integer)];
        let refused = refused.iter().map(|name| (name, FieldType::Boolean));
        let columns = Fields::new(texts.into_iter().chain(others).chain(refused))?.iter().cloned().collect();
        Ok(Self { columns, hits: Hits::new(rules) })
    }

    /// Takes the next rows of what fired. The same payment and rule may come again, and counts once; what a payment's
    /// first row says of its amount and refusal stands.
    ///
    /// # Errors
    /// Fails where the batch has no such columns, where a row has no rule or no payment, and beyond the bounds.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), QualityError> {
        let columns = Columns::bind(batch, &self.columns)?;
        let [rules, payments, cards] = [RULE, PAYMENT, CARD].map(|place| columns.texts(&self.columns[place]));
        let (times, amounts) = (columns.integers(&self.columns[TIME]), columns.integers(&self.columns[AMOUNT]));
        let refused = self.columns.get(REFUSED).map(|refused| columns.booleans(refused));
        for row in 0..columns.len() {
            let [rule, payment] = [(rules, RULE), (payments, PAYMENT)].map(|(texts, place)| {
                let empty = || QualityError::Empty { column: self.columns[place].name().to_string(), row };
                text(texts, row).ok_or_else(empty)
            });
            let payment_of_row = Payment {
                amount_minor: amounts.value(row).unwrap_or_default(),
                is_refused: refused.as_ref().and_then(|refused| refused.value(row)) == Some(true),
                label: None,
            };
            let fired = Fired { rule: rule?, payment: payment?, card: text(cards, row), time_us: times.value(row) };
            self.hits.add(&fired, payment_of_row).map_err(|full| full.error(self.columns[RULE].name()))?;
        }
        Ok(())
    }

    /// All that fired is read: what follows are labels.
    ///
    /// # Errors
    /// Fails where columns have names that cannot be.
    pub fn labels(self, columns: &LabelColumns) -> Result<Quality, QualityError> {
        let named = [(&columns.payment, FieldType::Text), (&columns.label, FieldType::Boolean)];
        Ok(Quality { columns: Fields::new(named)?.iter().cloned().collect(), hits: self.hits })
    }
}

/// What fired, while labels are read.
#[derive(Debug)]
pub struct Quality {
    columns: Vec<Field>,
    hits: Hits,
}

impl Quality {
    /// Takes the next labels. Those of payments for which nothing fired are let go.
    ///
    /// # Errors
    /// Fails where the batch has no such columns, and where a row has no payment.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), QualityError> {
        let columns = Columns::bind(batch, &self.columns)?;
        // The payment stands first here.
        let payment_column = &self.columns[0];
        let payments = columns.texts(payment_column);
        let labels = columns.booleans(&self.columns[LABEL]);
        for row in 0..columns.len() {
            let empty = || QualityError::Empty { column: payment_column.name().to_string(), row };
            self.hits.label(text(payments, row).ok_or_else(empty)?, labels.value(row));
        }
        Ok(())
    }

    /// The table: rules of the set in its order, then others by name. `currency` says how amounts are written.
    pub fn report(&self, currency: Option<Currency>) -> QualityReport {
        report::of(&self.hits, currency)
    }
}

fn text(texts: Option<&StringArray>, row: usize) -> Option<&str> {
    texts.filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row))
}

#[cfg(test)]
mod tests;
