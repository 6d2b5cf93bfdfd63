//! Backtest: what a set of rules would have said about past payments, and what that would have been worth.
//!
//! The payments come batch by batch in the order of the log, each with every field that the rules speak of: windows and
//! scores as of that payment, not as of today. Beside them stand the payment's label, its amount, an identity to quote
//! it by, and whether it was refused then. What is kept is counts, and a few payments to show for each rule: memory does
//! not grow with the log, and no answer depends on the borders of batches.
//!
//! | counted | means |
//! |---|---|
//! | hits of a rule | payments for which it fires, whatever other rules say |
//! | precision | frauds among its hits that have a label |
//! | recall | hits that are frauds, among all frauds |
//! | only | hits of it that no other rule of the set has |
//! | missing | payments for which its condition was missing, so that nobody knows whether it holds |
//! | outcome | what the set says: `allow`, `block`, `review` or nothing |
//! | net | frauds blocked, less genuine payments blocked, less what reviews cost |
//!
//! What a review finds is in the table of outcomes and not in the net: nobody knows what people would have decided.
//!
//! # What cannot be known
//!
//! A payment that was refused then has no label and never gets one. Precision, recall and money count the others only; how
//! many refused ones a rule hits is said beside them. Rules in force then stopped frauds that nobody can count any more,
//! so they look worse than they are, and so does a candidate that would stop the same.
//!
//! It may depend on Arrow, fields and rules, on `serde` for its report, and on the currencies of `schemas`. It refuses
//! to read files and tables, and payments of several currencies: whoever asks converts amounts or leaves some out.

mod display;
mod report;
mod tally;

use arrow::array::{RecordBatch, StringArray};
use schemas::money::Currency;

use crate::counts::Known;
use crate::expression::{Columns, EvaluateError};
use crate::fields::{Field, FieldType, Fields, FieldsError};
use crate::rules::RuleSet;
use tally::{Outcomes, Tally};

pub use crate::counts::Counts;
pub use report::{Cost, Example, Flip, Overlap, Quoted, Report, RuleReport, SetReport};

/// Most payments that are shown for a rule, and of frauds that no rule hits: people read them.
pub const EXAMPLES_MAX: usize = 100;

/// Payments that are shown where nobody says how many.
pub const EXAMPLES_DEFAULT: usize = 3;

/// Rows that are judged together, whatever batches come: the bits of a thousand rules are 2 MiB then.
const ROWS_MAX: usize = 16 * 1024;

/// Names of the columns beside the fields of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnNames {
    /// True for a fraud, false for a genuine payment, null where that is not known.
    pub label: String,
    /// An integer: the amount in minor units. All are of one currency.
    pub amount: String,
    /// A text by which people find the payment.
    pub identity: String,
    /// True where the payment was refused then; null counts as false. None where nothing was.
    pub refused: Option<String>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The candidates.
    pub rules: RuleSet,
    /// The rules in force, whose outcome is compared; none where nothing is in force.
    pub live: Option<RuleSet>,
    /// The columns beside the fields of rules.
    pub columns: ColumnNames,
    /// How amounts are written; none writes counts of minor units.
    pub currency: Option<Currency>,
    /// What one review costs, minor units.
    pub review_cost_minor: u32,
    /// How many payments are shown for each rule and of frauds that no rule hits, at most [`EXAMPLES_MAX`].
    pub examples_max: usize,
    /// Whether the candidates are counted a second time as if each were for all cards.
    pub full_rollout: bool,
}

/// Why there is no backtest.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// A column beside the fields has a name that is none, or that another has.
    #[error("columns beside the fields of rules: {0}")]
    Names(#[from] FieldsError),
    /// Too many payments are to be shown.
    #[error("{0} payments to show for a rule are more than {EXAMPLES_MAX}")]
    Examples(usize),
    /// A batch has not the columns that it must have. Batches before it are counted; give up or mend the input.
    #[error(transparent)]
    Columns(#[from] EvaluateError),
}

/// Places of the columns beside the fields of rules.
const LABEL: usize = 0;
const AMOUNT: usize = 1;
const IDENTITY: usize = 2;
const REFUSED: usize = 3;

/// A backtest under way.
#[derive(Debug)]
pub struct Backtest {
    plan: Plan,
    /// The columns beside the fields of rules, in the order of their places.
    beside: Vec<Field>,
    /// The candidates, each for all cards, where that is asked and another thing.
    at_full_rollout: Option<RuleSet>,
    as_written: Tally,
    full: Tally,
}

impl Backtest {
    /// A backtest of no payments yet.
    ///
    /// # Errors
    /// Fails where columns have names that cannot be, and where too many payments are to be shown.
    pub fn new(plan: Plan) -> Result<Self, BacktestError> {
        if plan.examples_max > EXAMPLES_MAX {
            return Err(BacktestError::Examples(plan.examples_max));
        }
        let ColumnNames { label, amount, identity, refused } = &plan.columns;
        let named = [(label, FieldType::Boolean), (amount, FieldType::Integer), (identity, FieldType::Text)];
        let refused = refused.iter().map(|name| (name, FieldType::Boolean));
        let beside = Fields::new(named.into_iter().chain(refused))?.iter().cloned().collect();
        let is_partial = plan.rules.rules().iter().any(|rule| !rule.is_for_all_cards());
        let at_full_rollout = (plan.full_rollout && is_partial).then(|| plan.rules.at_full_rollout());
        let (as_written, full) = (Tally::new(&plan), Tally::new(&plan));
        Ok(Self { plan, beside, at_full_rollout, as_written, full })
    }

    /// Counts the payments of the next batch.
    ///
    /// # Errors
    /// Fails where the batch has no such columns as the rules and the plan say.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), BacktestError> {
        for first in (0..batch.num_rows()).step_by(ROWS_MAX) {
            self.add_rows(&batch.slice(first, ROWS_MAX.min(batch.num_rows() - first)))?;
        }
        Ok(())
    }

    fn add_rows(&mut self, batch: &RecordBatch) -> Result<(), BacktestError> {
        let beside = Columns::bind(batch, &self.beside)?;
        let columns = self.plan.rules.bind(batch)?;
        let live = match &self.plan.live {
            Some(live) => Outcomes::of(live.fired(&live.bind(batch)?).decided),
            None => Outcomes::none(batch.num_rows()),
        };
        let payments = Payments::new(&self.beside, &beside);
        self.as_written.add(&self.plan.rules, &columns, &live, &payments);
        if let Some(rules) = &self.at_full_rollout {
            self.full.add(rules, &columns, &live, &payments);
        }
        Ok(())
    }

    /// What the payments so far say.
    pub fn report(&self) -> Report {
        let Plan { rules, live, currency, review_cost_minor, .. } = &self.plan;
        let of_set = |rules: &RuleSet, tally: &Tally| tally.report(rules, *review_cost_minor);
        Report {
            rules: rules.identity().to_string(),
            live: live.as_ref().map(|live| live.identity().to_string()),
            currency: *currency,
            payments: self.as_written.payments(),
            as_written: of_set(rules, &self.as_written),
            at_full_rollout: self.at_full_rollout.as_ref().map(|rules| of_set(rules, &self.full)),
            live_cost: live.is_some().then(|| self.as_written.live_cost(*review_cost_minor)),
        }
    }
}

/// What stands beside the fields of rules in a batch.
struct Payments<'a> {
    known: Known,
    identities: Option<&'a StringArray>,
}

impl<'a> Payments<'a> {
    fn new(beside: &[Field], columns: &'a Columns) -> Self {
        let refused = beside.get(REFUSED).map(|refused| columns.booleans(refused));
        let labels = columns.booleans(&beside[LABEL]);
        let known = Known::new(labels, refused.as_ref(), columns.integers(&beside[AMOUNT]));
        Self { known, identities: columns.texts(&beside[IDENTITY]) }
    }
}

#[cfg(test)]
mod tests;
