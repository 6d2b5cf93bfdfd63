//! Trains and judges on somebody's transactions: how good a model of their features is, beside what needs no model.
//!
//! The protocol is that of [`crate::measures`]: a model learns in the days of a fold's training and is judged by those of
//! its test, a delay later, in which labels become known; cards known as defrauded leave the test. Beside the model stand
//! two that need no training ([`Contestants`]): a block list of cards and terminals with a known fraud, and the amount.
//! What is found when somebody looks at so many cards a day is a [`Budget`].
//!
//! Frames are Polars', measures are those of [`crate::measures`], the trainer is that of [`crate::model::train`]. It may
//! depend on these. It refuses files and clocks, and no answer depends on the order in which threads end: what groups
//! give is sorted, and only whole numbers are added up.

mod baselines;
mod budget;
mod manifest;
mod outcome;
#[cfg(test)]
mod tests;
mod training;
mod transactions;

use std::ops::Range;

use polars::prelude::{
    Column, DataFrame, Expr, IdxCa, IntoLazy, JoinArgs, JoinType, LazyFrame, NewChunkedArray, PolarsError, col, lit,
};

use crate::measures::{Fold, LabelledPayment, MeasureError, test_rows};
use crate::model::ModelError;
use crate::model::train::Parameters;

pub use budget::{Budget, ScenarioCases};
pub use manifest::{Manifest, ManifestFeature};
pub use outcome::{FALSE_POSITIVE_RATE, Measures, Spread};
pub use training::{Trained, TrainingSpan, train_final};
pub use transactions::{Columns, ROWS_MAX, Transactions, TransactionsReader};

use training::{fit, scores};
use transactions::{CUSTOMER, FRAUD, TIME};

/// Cards that somebody looks at a day, as in the handbook.
pub const CARDS_A_DAY: usize = 100;

/// Why there is no evaluation, or no final model.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// A column is not there, or not what it should be.
    #[error("column {name}: {problem}")]
    Column {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A row says nothing, or contradicts itself.
    #[error("row {row} of the transactions: {problem}")]
    Row {
        /// Which, from 0.
        row: usize,
        /// What is wrong.
        problem: String,
    },
    /// More rows than [`ROWS_MAX`], or more values than a training takes.
    #[error("{rows} rows with {features} features are too many; take fewer days or features")]
    TooMany {
        /// Rows.
        rows: usize,
        /// Features of each.
        features: usize,
    },
    /// There are no transactions.
    #[error("there are no transactions")]
    NoRows,
    /// A fold cannot be judged by its test.
    #[error("the test of the fold that trains from {} on {problem}", shown(.0.training.start), problem = .1)]
    Test(Box<Fold>, &'static str),
    /// There is nothing to train on.
    #[error("from {} to {}: {source}", shown(.days.start), shown(.days.end))]
    Training {
        /// The days of the training, microseconds UTC.
        days: Range<i64>,
        /// What the trainer says.
        source: ModelError,
    },
    /// The calendar has no such moment.
    #[error("{at_us} microseconds since 1970 are no moment of the calendar")]
    Moment {
        /// Microseconds UTC.
        at_us: i64,
    },
    /// The model cannot score.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A measure cannot be taken.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// The engine of the frames refused.
    #[error("the frames cannot be computed: {0}")]
    Frames(#[from] PolarsError),
}

/// A moment as people read it; microseconds where the calendar has no such moment.
fn shown(at_us: i64) -> String {
    jiff::Timestamp::from_microsecond(at_us).map_or_else(|_| format!("{at_us} us"), |moment| moment.to_string())
}

/// How to judge.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Cards that somebody looks at a day, 1 or more.
    pub cards_a_day: usize,
    /// How each fold's model is trained.
    pub parameters: Parameters,
}

impl Default for Plan {
    fn default() -> Self {
        Self { cards_a_day: CARDS_A_DAY, parameters: Parameters::default() }
    }
}

/// Whose scores are compared; the same for each of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Contestants<T> {
    /// The probability that a trained model gives.
    pub model: T,
    /// 1 where the card or the terminal has a fraud that was known before the payment, else 0. What was known is all that
    /// lies a delay of the labels before it in the file; nothing is ever taken off the list.
    pub block_list: T,
    /// The amount.
    pub amount: T,
}

impl<T> Contestants<T> {
    /// Each with its name.
    pub fn named(&self) -> [(&'static str, &T); 3] {
        [("model", &self.model), ("block list", &self.block_list), ("amount", &self.amount)]
    }

    /// The same of each.
    fn try_map<U, E>(self, of: impl Fn(T) -> Result<U, E>) -> Result<Contestants<U>, E> {
        Ok(Contestants { model: of(self.model)?, block_list: of(self.block_list)?, amount: of(self.amount)? })
    }
}

/// What a fold came to.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldOutcome {
    /// Its spans.
    pub fold: Fold,
    /// Rows of the training.
    pub training_rows: usize,
    /// Frauds among them.
    pub training_frauds: usize,
    /// Rows of the test, without those of cards known as defrauded.
    pub test_rows: usize,
    /// Frauds among them.
    pub test_frauds: usize,
    /// Identity of the fold's model, see [`crate::model::Model::identity`].
    pub model: String,
    /// How good each is.
    pub measures: Contestants<Measures>,
}

/// Trains in a fold's training and judges by its test.
///
/// # Errors
/// Fails where one of the two has no frauds, or nothing else.
pub fn evaluate_fold(transactions: &Transactions, fold: &Fold, plan: &Plan) -> Result<FoldOutcome, EvaluationError> {
    let seen = between(&transactions.frame, &(fold.training.start..fold.test.end))?;
    let training = between(&seen, &fold.training)?;
    let model = fit(&training, transactions.features(), &fold.training, &plan.parameters)?;
    let test = rows_at(&seen, &test_rows(fold, &payments(&seen)?))?;
    let test_frauds = frauds(&test)?;
    if test_frauds == 0 || test_frauds == test.height() {
        let problem = if test_frauds == 0 { "has no fraud" } else { "has nothing but frauds" };
        return Err(EvaluationError::Test(Box::new(fold.clone()), problem));
    }
    let contestants = Contestants {
        model: scores(&model, &test)?,
        block_list: baselines::block_list(&transactions.frame, &test, fold.label_delay_us())?,
        amount: baselines::larger_first(&test)?,
    };
    Ok(FoldOutcome {
        fold: fold.clone(),
        training_rows: training.height(),
        training_frauds: frauds(&training)?,
        test_rows: test.height(),
        test_frauds,
        model: model.identity().to_string(),
        measures: contestants.try_map(|scores| outcome::measures(&test, &scores, plan.cards_a_day))?,
    })
}

/// Mean and spread over folds, measure by measure.
pub fn summary(folds: &[FoldOutcome]) -> Contestants<Vec<Spread>> {
    let over = |of: fn(&Contestants<Measures>) -> &Measures| {
        outcome::spreads(&folds.iter().map(|fold| of(&fold.measures)).collect::<Vec<_>>())
    };
    Contestants {
        model: over(|measures| &measures.model),
        block_list: over(|measures| &measures.block_list),
        amount: over(|measures| &measures.amount),
    }
}

/// The rows of a span of time, microseconds UTC, in their order.
fn between(frame: &DataFrame, span: &Range<i64>) -> Result<DataFrame, EvaluationError> {
    let is_inside = col(TIME).gt_eq(lit(span.start)).and(col(TIME).lt(lit(span.end)));
    Ok(frame.clone().lazy().filter(is_inside).collect()?)
}

/// Two frames side by side where these columns are equal.
fn joined(one: LazyFrame, other: LazyFrame, on: &[&str], how: JoinType) -> LazyFrame {
    let on: Vec<Expr> = on.iter().map(|name| col(*name)).collect();
    one.join(other, on.clone(), on, JoinArgs::new(how))
}

fn rows_at(frame: &DataFrame, rows: &[usize]) -> Result<DataFrame, EvaluationError> {
    let places = rows.iter().map(|row| *row as u32);
    Ok(frame.take(&IdxCa::from_iter_values("".into(), places))?)
}

fn frauds(frame: &DataFrame) -> Result<usize, EvaluationError> {
    Ok(booleans(frame.column(FRAUD)?)?.iter().filter(|is_fraud| **is_fraud).count())
}

/// The rows as measures read them.
fn payments(frame: &DataFrame) -> Result<Vec<LabelledPayment<u32>>, EvaluationError> {
    let (times, customers) = (frame.column(TIME)?.i64()?, frame.column(CUSTOMER)?.u32()?);
    let labels = booleans(frame.column(FRAUD)?)?;
    let rows = times.into_no_null_iter().zip(customers.into_no_null_iter()).zip(labels);
    Ok(rows.map(|((time_us, customer), is_fraud)| LabelledPayment { time_us, customer, is_fraud }).collect())
}

/// Values of a column in which nothing is missing.
fn booleans(column: &Column) -> Result<Vec<bool>, EvaluationError> {
    Ok(column.bool()?.iter().flatten().collect())
}
