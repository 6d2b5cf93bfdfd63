//! How good scores are: measures of ranking, of alerts that can be afforded, and of cards found, with the spans of time
//! in which models learn and are judged.
//!
//! It may depend on the standard library and `thiserror`; it refuses to make scores and to choose thresholds for
//! production. Everything is counted in whole numbers before it is divided, so that no answer depends on the order of
//! rows. Scores may be any numbers, also infinite ones, higher is more suspicious; what is not a number is refused.
//! Payments of equal score are never told apart; of cards with equal scores the lesser customer comes first.

mod cards;
mod folds;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use cards::{CardPrecision, DayOfCards, LabelledPayment, card_precision_ceiling, card_precision_top_k};
pub use folds::{Days, FOLDS, Fold, LATEST_TRAINING_START_US, test_rows};

/// Microseconds of a day.
pub const DAY_US: i64 = 86_400_000_000;

/// Why a measure cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum MeasureError {
    /// A score is not a number; the caller must say what such a payment is worth.
    #[error("the score of row {row} is not a number")]
    NotANumber {
        /// Which row, from 0.
        row: usize,
    },
    /// Scores and labels belong together row by row.
    #[error("{scores} scores cannot be compared with {labels} labels")]
    Lengths {
        /// How many scores there are.
        scores: usize,
        /// How many labels there are.
        labels: usize,
    },
    /// A rate is a share of payments.
    #[error("a rate of false positives lies between 0 and 1, not at {found}")]
    Rate {
        /// What was asked for.
        found: f64,
    },
    /// A share of no cards is no number.
    #[error("cards are judged by the first one or more, not by none")]
    NoCards,
}

/// Payments of one score.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tied {
    score: f64,
    frauds: u64,
    genuine: u64,
}

/// Payments grouped by equal score, highest first.
fn ties(scores: &[f64], labels: &[bool]) -> Result<Vec<Tied>, MeasureError> {
    check(scores, labels.len())?;
    let mut ranked: Vec<(f64, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    ranked.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
    // Zero and minus zero lie side by side in that order and are equal here.
    let groups = ranked.chunk_by(|one, other| one.0 == other.0);
    let tied = groups.map(|group| {
        let frauds = group.iter().filter(|(_, is_fraud)| *is_fraud).count() as u64;
        Tied { score: group[0].0, frauds, genuine: group.len() as u64 - frauds }
    });
    Ok(tied.collect())
}

fn check(scores: &[f64], labels: usize) -> Result<(), MeasureError> {
    if scores.len() != labels {
        return Err(MeasureError::Lengths { scores: scores.len(), labels });
    }
    match scores.iter().position(|score| score.is_nan()) {
        Some(row) => Err(MeasureError::NotANumber { row }),
        None => Ok(()),
    }
}

/// Frauds and genuine payments of all groups.
fn totals(ties: &[Tied]) -> (u64, u64) {
    (ties.iter().map(|tied| tied.frauds).sum(), ties.iter().map(|tied| tied.genuine).sum())
}

/// Area under the receiver operating characteristic: the share of pairs of a fraud and a genuine payment in which the
/// fraud has the higher score, equal scores counting half (Mann and Whitney 1947). Nothing where there is no fraud or
/// nothing genuine.
///
/// Pairs are counted exactly, by ranks; only their share is rounded.
pub fn auc_roc(scores: &[f64], labels: &[bool]) -> Result<Option<f64>, MeasureError> {
    let ties = ties(scores, labels)?;
    let (frauds, genuine) = totals(&ties);
    let (mut genuine_below, mut half_pairs) = (genuine, 0_u128);
    for tied in &ties {
        genuine_below -= tied.genuine;
        half_pairs += u128::from(tied.frauds) * u128::from(2 * genuine_below + tied.genuine);
    }
    let pairs = u128::from(frauds) * u128::from(genuine);
    Ok((pairs > 0).then(|| half_pairs as f64 / (2 * pairs) as f64))
}

/// Average precision: the sum over all thresholds of the precision there, weighted by what recall gains at it; no
/// interpolation, as scikit-learn's `average_precision_score` defines it. Equal scores share a threshold. Nothing where
/// there is no fraud.
pub fn average_precision(scores: &[f64], labels: &[bool]) -> Result<Option<f64>, MeasureError> {
    let ties = ties(scores, labels)?;
    let (frauds, _) = totals(&ties);
    let (mut found, mut alerts, mut sum) = (0, 0, 0.0);
    for tied in &ties {
        found += tied.frauds;
        alerts += tied.frauds + tied.genuine;
        sum += tied.frauds as f64 * (found as f64 / alerts as f64);
    }
    Ok((frauds > 0).then(|| sum / frauds as f64))
}

/// A threshold and what alerts at it and above are worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    /// Scores from this on alert; nothing where even the highest one would alert too often, so that none does.
    pub threshold: Option<f64>,
    /// Share of the frauds that alert.
    pub recall: f64,
    /// Share of the genuine payments that alert; 0 where nothing is genuine.
    pub false_positive_rate: f64,
}

/// Recall at the lowest threshold whose rate of false positives is at most `rate_max`. Payments of equal score alert
/// together or not at all, and nothing is interpolated. Nothing where there is no fraud.
pub fn recall_at_false_positive_rate(
    scores: &[f64],
    labels: &[bool],
    rate_max: f64,
) -> Result<Option<OperatingPoint>, MeasureError> {
    if !(0.0..=1.0).contains(&rate_max) {
        return Err(MeasureError::Rate { found: rate_max });
    }
    let ties = ties(scores, labels)?;
    let (frauds, genuine) = totals(&ties);
    if frauds == 0 {
        return Ok(None);
    }
    let (mut found, mut wrong) = (0, 0);
    let mut point = OperatingPoint { threshold: None, recall: 0.0, false_positive_rate: 0.0 };
    for tied in &ties {
        found += tied.frauds;
        wrong += tied.genuine;
        let false_positive_rate = if genuine == 0 { 0.0 } else { wrong as f64 / genuine as f64 };
        if false_positive_rate > rate_max {
            break;
        }
        point =
            OperatingPoint { threshold: Some(tied.score), recall: found as f64 / frauds as f64, false_positive_rate };
    }
    Ok(Some(point))
}

/// Share of each scenario's frauds that the threshold of [`recall_at_false_positive_rate`] finds; all scenarios have the
/// same threshold. Scenario 0 is genuine, any other a fraud. Empty where there is no fraud.
pub fn recall_by_scenario(
    scores: &[f64],
    scenarios: &[i32],
    rate_max: f64,
) -> Result<BTreeMap<i32, f64>, MeasureError> {
    let labels: Vec<bool> = scenarios.iter().map(|scenario| *scenario != 0).collect();
    let Some(point) = recall_at_false_positive_rate(scores, &labels, rate_max)? else { return Ok(BTreeMap::new()) };
    let mut counts: BTreeMap<i32, (u64, u64)> = BTreeMap::new();
    for (score, scenario) in scores.iter().zip(scenarios).filter(|(_, scenario)| **scenario != 0) {
        let (found, all) = counts.entry(*scenario).or_default();
        *found += u64::from(point.threshold.is_some_and(|threshold| *score >= threshold));
        *all += 1;
    }
    Ok(counts.into_iter().map(|(scenario, (found, all))| (scenario, found as f64 / all as f64)).collect())
}
