//! From frames to models and scores, and the model that goes live.
//!
//! It may depend on [`crate::model::train`]. It refuses labels that were not known when the training ended.

use std::ops::Range;

use arrow::array::Float64Array;
use polars::prelude::DataFrame;

use super::transactions::{FRAUD, Transactions, feature};
use super::{EvaluationError, between, booleans, frauds};
use crate::model::Model;
use crate::model::train::{Examples, Parameters, train};

/// When a final model learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingSpan {
    /// Time of the payments, microseconds UTC; the training takes place at its end.
    pub days: Range<i64>,
    /// How long after a payment its label is known, microseconds.
    pub label_delay_us: i64,
}

/// A model that may go live.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The model.
    pub model: Model,
    /// Rows that it has learnt from.
    pub rows: usize,
    /// Frauds among them.
    pub frauds: usize,
    /// Rows of the days whose labels were not known by the end, which it has not seen.
    pub left_out: usize,
}

/// Trains on all payments of the days whose labels were known by their end.
///
/// # Errors
/// Fails where these have no frauds, or nothing else.
pub fn train_final(
    transactions: &Transactions,
    span: &TrainingSpan,
    parameters: &Parameters,
) -> Result<Trained, EvaluationError> {
    // A label that becomes known at the very end is known.
    let known_until_us = span.days.end.saturating_sub(span.label_delay_us).saturating_add(1).min(span.days.end);
    let known = between(&transactions.frame, &(span.days.start..known_until_us))?;
    let left_out = between(&transactions.frame, &span.days)?.height() - known.height();
    let model = fit(&known, transactions.features(), &span.days, parameters)?;
    Ok(Trained { model, rows: known.height(), frauds: frauds(&known)?, left_out })
}

/// Trains on the rows of some days, which an error names.
pub(super) fn fit(
    rows: &DataFrame,
    features: &[String],
    days: &Range<i64>,
    parameters: &Parameters,
) -> Result<Model, EvaluationError> {
    let columns = values(rows, features.len())?;
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let labels = booleans(rows.column(FRAUD)?)?;
    train(&Examples { features, columns: &columns, labels: &labels }, parameters)
        .map_err(|source| EvaluationError::Training { days: days.clone(), source })
}

/// The model's prediction for each row.
pub(super) fn scores(model: &Model, rows: &DataFrame) -> Result<Vec<f64>, EvaluationError> {
    let columns: Vec<Float64Array> =
        values(rows, model.features().len())?.into_iter().map(Float64Array::from).collect();
    let mut scores = Vec::with_capacity(rows.height());
    model.predict_columns(&columns.iter().collect::<Vec<_>>(), &mut scores)?;
    Ok(scores)
}

/// The features' values, a column each; NaN is missing.
fn values(rows: &DataFrame, features: usize) -> Result<Vec<Vec<f64>>, EvaluationError> {
    let column = |place: usize| Ok(rows.column(&feature(place))?.f64()?.into_no_null_iter().collect());
    (0..features).map(column).collect()
}
