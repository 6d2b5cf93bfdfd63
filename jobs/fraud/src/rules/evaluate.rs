//! What the rules of a set say about a batch, and about one row.
//!
//! It may depend on Arrow. It refuses nothing: whatever is missing, every rule is evaluated.

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;

use super::{Class, Rule, RuleSet};
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

/// What rules say about the rows of a batch, as bits.
pub(crate) struct Fired {
    /// Where each rule fired, in the order of the rules.
    pub(crate) rules: Vec<BooleanBuffer>,
    /// In how many rows the condition of each rule is missing.
    pub(crate) missing: Vec<usize>,
    /// Where each class of [`Class::ALL`] decides; no row is in two of them.
    pub(crate) decided: [BooleanBuffer; Class::ALL.len()],
}

fn none_of(columns: &Columns) -> BooleanBuffer {
    BooleanBuffer::new_unset(columns.len())
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
        let Fired { rules, decided, .. } = self.fired(columns);
        let mut outcomes = vec![None; columns.len()];
        for (class, decided) in Class::ALL.into_iter().zip(&decided) {
            for row in decided.set_indices() {
                outcomes[row] = Some(class);
            }
        }
        Verdicts { outcomes, fired: rules.into_iter().map(|fired| BooleanArray::new(fired, None)).collect() }
    }

    /// The same as bits: for those who count rows without looking at each.
    pub(crate) fn fired(&self, columns: &Columns) -> Fired {
        let mut fired = Fired { rules: Vec::new(), missing: Vec::new(), decided: Class::ALL.map(|_| none_of(columns)) };
        for rule in &self.rules {
            let truth = rule.condition.of_columns(columns);
            fired.missing.push(columns.len() - truth.yes.count_set_bits() - truth.no.count_set_bits());
            let rows = self.fired_rows(rule, truth, columns);
            fired.decided[rule.class as usize] |= &rows;
            fired.rules.push(rows);
        }
        let mut is_decided = none_of(columns);
        for of_class in &mut fired.decided {
            let first = &*of_class & &!&is_decided;
            is_decided |= &first;
            *of_class = first;
        }
        fired
    }

    fn fired_rows(&self, rule: &Rule, Truth { yes, no }: Truth, columns: &Columns) -> BooleanBuffer {
        let holds = if rule.missing_fires { !&no } else { yes };
        if rule.is_for_all_cards() || !holds.has_true() {
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
