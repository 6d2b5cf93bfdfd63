//! How good scores are, in one struct, and mean and spread of such over folds.
//!
//! It may depend on [`crate::measures`], which takes the measures. It refuses to weigh one against another.

use std::collections::BTreeMap;

use polars::prelude::DataFrame;
use serde::Serialize;

use super::budget::{Budget, budget};
use super::transactions::SCENARIO;
use super::{EvaluationError, payments};
use crate::measures::{
    auc_roc, average_precision, card_precision_ceiling, card_precision_top_k, recall_at_false_positive_rate,
    recall_by_scenario,
};

/// Share of the genuine payments that may alert where recall is measured.
pub const FALSE_POSITIVE_RATE: f64 = 0.01;

/// How good scores are on the test of a fold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measures {
    /// See [`auc_roc`].
    pub auc_roc: f64,
    /// See [`average_precision`].
    pub average_precision: f64,
    /// See [`card_precision_top_k`].
    pub card_precision: f64,
    /// What no scores can exceed, see [`card_precision_ceiling`].
    pub card_precision_ceiling: f64,
    /// Card precision as a share of the ceiling.
    pub ceiling_share: f64,
    /// Share of the frauds that alert where [`FALSE_POSITIVE_RATE`] of the genuine payments do.
    pub recall: f64,
    /// The same for each scenario.
    pub recall_by_scenario: BTreeMap<i32, f64>,
    /// What is found by looking at so many cards a day.
    pub budget: Budget,
}

/// Measures scores of the rows of a test, which has frauds and something else.
pub(super) fn measures(test: &DataFrame, scores: &[f64], cards_a_day: usize) -> Result<Measures, EvaluationError> {
    let payments = payments(test)?;
    let labels: Vec<bool> = payments.iter().map(|payment| payment.is_fraud).collect();
    let scenarios: Vec<i32> = test.column(SCENARIO)?.i32()?.into_no_null_iter().collect();
    // Nothing is missing where there are frauds and something else.
    let card_precision = card_precision_top_k(&payments, scores, cards_a_day)?.map_or(0.0, |found| found.mean);
    let card_precision_ceiling = card_precision_ceiling(&payments, cards_a_day)?.unwrap_or_default();
    let point = recall_at_false_positive_rate(scores, &labels, FALSE_POSITIVE_RATE)?;
    Ok(Measures {
        auc_roc: auc_roc(scores, &labels)?.unwrap_or_default(),
        average_precision: average_precision(scores, &labels)?.unwrap_or_default(),
        card_precision,
        card_precision_ceiling,
        ceiling_share: card_precision / card_precision_ceiling,
        recall: point.map_or(0.0, |point| point.recall),
        recall_by_scenario: recall_by_scenario(scores, &scenarios, FALSE_POSITIVE_RATE)?,
        budget: budget(test, scores, cards_a_day)?,
    })
}

impl Measures {
    /// Each measure with its name, in the order of a table. What no fold can say of a scenario is left out.
    pub fn named(&self) -> Vec<(String, f64)> {
        let mut named: Vec<(String, f64)> = [
            ("auc_roc", self.auc_roc),
            ("average_precision", self.average_precision),
            ("card_precision", self.card_precision),
            ("card_precision_ceiling", self.card_precision_ceiling),
            ("ceiling_share", self.ceiling_share),
            ("recall", self.recall),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into();
        let recalls = self.recall_by_scenario.iter();
        named.extend(recalls.map(|(scenario, recall)| (format!("recall_scenario_{scenario}"), *recall)));
        named.push(("first_payment_share".to_string(), self.budget.first_payment_share));
        named.push(("saved_share".to_string(), self.budget.saved_share));
        for (scenario, cases) in &self.budget.by_scenario {
            let share = cases.found as f64 / cases.defrauded as f64;
            named.push((format!("found_share_scenario_{scenario}"), share));
            let minutes = cases.minutes_to_alert_median;
            named.extend(minutes.map(|minutes| (format!("minutes_to_alert_scenario_{scenario}"), minutes)));
        }
        named
    }
}

/// A measure over folds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    /// Name as in [`Measures::named`].
    pub name: String,
    /// Mean over the folds that have it.
    pub mean: f64,
    /// Standard deviation over these folds, of the population.
    pub deviation: f64,
    /// How many folds have it.
    pub folds: usize,
}

/// Mean and spread of each measure, in the order of the first fold; what only a later one has comes last.
pub(super) fn spreads(folds: &[&Measures]) -> Vec<Spread> {
    let mut values: Vec<(String, Vec<f64>)> = Vec::new();
    for (name, value) in folds.iter().flat_map(|measures| measures.named()) {
        match values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => values.push((name, vec![value])),
        }
    }
    values.into_iter().map(|(name, values)| spread(name, &values)).collect()
}

fn spread(name: String, values: &[f64]) -> Spread {
    let folds = values.len();
    let mean = values.iter().sum::<f64>() / folds as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / folds as f64;
    Spread { name, mean, deviation: variance.sqrt(), folds }
}
