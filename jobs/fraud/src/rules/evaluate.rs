//! What the rules of a set say about a batch, and about one row.
//!
//! It may depend on Arrow. It refuses nothing: whatever is missing, every rule is evaluated.

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;

use super::{BUCKETS, Class, Rule, RuleSet};
use crate::expression::{Columns, EvaluateError, Row, Truth};

/// What rules say about one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The class that decides; none where no rule fired.
    pub outcome: Option<Class>,
    /// Indexes of the rules that fired, ascending.
    pub fired: Vec<usize>,
}

/// What rules say about each row of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdicts {
    outcomes: Vec<Option<Class>>,
    fired: Vec<BooleanArray>,
}

impl Verdicts {
    /// The class that decides in each row; none where no rule fired.
    pub fn outcomes(&self) -> &[Option<Class>] {
        &self.outcomes
    }

    /// Where each rule fired, in the order of the rules. Nothing in it is null.
    pub fn fired(&self) -> &[BooleanArray] {
        &self.fired
    }

    /// Indexes of the rules that fired in a row, ascending. It asks every rule: rows without an outcome have none.
    pub fn fired_in(&self, row: usize) -> impl Iterator<Item = usize> {
        self.fired
            .iter()
            .enumerate()
            .filter(move |(_, fired)| row < fired.len() && fired.value(row))
            .map(|(rule, _)| rule)
    }
}

impl RuleSet {
    /// What the rules say about each row of a batch.
    ///
    /// # Errors
    /// Fails where the batch has no such columns as the fields say.
    pub fn evaluate_columns(&self, batch: &RecordBatch) -> Result<Verdicts, EvaluateError> {
        Ok(self.evaluate_bound(&self.bind(batch)?))
    }

    /// The columns of a batch that the rules read: for [`Self::evaluate_bound`], and to fill in the rows of those that
    /// fired.
    ///
    /// # Errors
    /// Fails where the batch has no such columns as the fields say.
    pub fn bind(&self, batch: &RecordBatch) -> Result<Columns, EvaluateError> {
        Columns::bind(batch, &self.fields)
    }

    /// What the rules say about each row of columns that [`Self::bind`] gave.
    pub fn evaluate_bound(&self, columns: &Columns) -> Verdicts {
        let fired: Vec<BooleanBuffer> = self.rules.iter().map(|rule| self.fired_rows(rule, columns)).collect();
        let rows = columns.len();
        let mut outcomes = vec![None; rows];
        // The class that decides comes last, over the others.
        for class in Class::ALL.into_iter().rev() {
            let of_class = self.rules.iter().zip(&fired).filter(|(rule, _)| rule.class == class);
            let any = of_class.fold(BooleanBuffer::new_unset(rows), |any, (_, fired)| &any | fired);
            for row in any.set_indices() {
                outcomes[row] = Some(class);
            }
        }
        Verdicts { outcomes, fired: fired.into_iter().map(|fired| BooleanArray::new(fired, None)).collect() }
    }

    fn fired_rows(&self, rule: &Rule, columns: &Columns) -> BooleanBuffer {
        let Truth { yes, no } = rule.condition.of_columns(columns);
        let holds = if rule.missing_fires { !&no } else { yes };
        if rule.rollout == BUCKETS || !holds.has_true() {
            return holds;
        }
        // Few rows: a hash for each row would cost more than all rules.
        let tokens = self.card.as_ref().and_then(|card| columns.texts(card));
        let token = |row: usize| tokens.filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row));
        BooleanBuffer::collect_bool(holds.len(), |row| holds.value(row) && rule.is_rolled_out_to(token(row)))
    }

    /// What the rules say about one row.
    pub fn evaluate_row(&self, row: &dyn Row) -> Verdict {
        let token = self.card.as_ref().and_then(|card| row.text(card));
        let fires = |rule: &Rule| {
            let holds = rule.condition.of_row(row).unwrap_or(rule.missing_fires);
            holds && rule.is_rolled_out_to(token)
        };
        let indexed = self.rules.iter().enumerate();
        let fired: Vec<usize> = indexed.filter(|(_, rule)| fires(rule)).map(|(index, _)| index).collect();
        Verdict { outcome: fired.iter().map(|index| self.rules[*index].class).min(), fired }
    }
}
