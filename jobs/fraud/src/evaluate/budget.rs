//! What is found when somebody looks at so many cards a day, when, and what that saves.
//!
//! Which cards are looked at is the protocol of card precision ([`crate::measures::card_precision_top_k`]): of each day,
//! cut at midnight UTC, the cards with the highest score of a payment; of equal scores the lesser customer comes first;
//! a card is *found* on a day on which it is looked at and one of its payments is a fraud, and is left out on later days.
//!
//! *When* it was found needs more than the day. Whoever looks at so many cards a day alerts at the score of the last of
//! them. So a card's **alert** is its first fraud of that day with a score at least as high as the lowest score of a card
//! that is looked at; where no fraud of it scores so high (a genuine payment did), it is found at the end of the day.
//!
//! It may depend on frames. It refuses to count what an alert on a genuine payment might have prevented that day.

use std::collections::BTreeMap;

use polars::prelude::{
    Column, DataFrame, Float64Chunked, IntoColumn, IntoLazy, JoinType, LazyFrame, NewChunkedArray, SortMultipleOptions,
    col, lit,
};
use serde::Serialize;

use super::transactions::{AMOUNT, CUSTOMER, DAY, FRAUD, ROW, SCENARIO, TIME};
use super::{EvaluationError, joined};
use crate::measures::DAY_US;

const SCORE: &str = "score";
/// Lowest score of a card that is looked at on a day.
const THRESHOLD: &str = "threshold";
/// Row of a card's alert.
const ALERT_ROW: &str = "alert_row";
/// When a card was found, microseconds UTC.
const FOUND: &str = "found_us";
/// From a card's first fraud to when it was found, microseconds.
const WAITED: &str = "waited_us";

const MINUTE_US: f64 = 60_000_000.0;

/// What is found, and what is saved, by looking at so many cards a day in a test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Budget {
    /// Cards with a fraud.
    pub defrauded: usize,
    /// Those of them that are found.
    pub found: usize,
    /// Share of the defrauded cards whose alert is their first fraud of the test.
    pub first_payment_share: f64,
    /// Amounts of all frauds, minor units.
    pub fraud_minor: i64,
    /// Amounts of the frauds of found cards from the moment on at which each was found, minor units: the alert's own
    /// payment is stopped, and the card is blocked to the end of the test.
    pub saved_minor: i64,
    /// What is saved as a share of all; 0 where all frauds are of nothing.
    pub saved_share: f64,
    /// Cards by the scenario of their first fraud of the test.
    pub by_scenario: BTreeMap<i32, ScenarioCases>,
}

/// Defrauded cards of one scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScenarioCases {
    /// Cards whose first fraud of the test is of the scenario.
    pub defrauded: usize,
    /// Those of them that are found.
    pub found: usize,
    /// Median over the found cards of the time from their first fraud of the test to when they were found, minutes.
    pub minutes_to_alert_median: Option<f64>,
}

/// What scores of the rows of a test find with so many cards a day.
pub(super) fn budget(test: &DataFrame, scores: &[f64], cards_a_day: usize) -> Result<Budget, EvaluationError> {
    let columns = [ROW, TIME, DAY, CUSTOMER, AMOUNT, FRAUD, SCENARIO];
    let mut scored = test.select(columns)?;
    // Plus zero makes minus zero equal to zero in every order.
    let scores = scores.iter().map(|score| score + 0.0);
    scored.with_column(Float64Chunked::from_iter_values(SCORE.into(), scores).into_column())?;
    let frauds = scored.clone().lazy().filter(col(FRAUD)).sort([TIME, ROW], SortMultipleOptions::default());
    let found = when_found(&frauds, found_by_day(&scored, cards_a_day)?.lazy())?;
    let cases = cases(&frauds, &found)?;
    let saved = joined(frauds.clone(), found.lazy(), &[CUSTOMER], JoinType::Inner);
    let saved_minor = sum(saved.filter(col(TIME).gt_eq(col(FOUND))))?;
    let fraud_minor = sum(frauds)?;
    let at_once = cases.column(ROW)?.u32()?.iter().zip(cases.column(ALERT_ROW)?.u32()?.iter());
    let at_once = at_once.filter(|(first, alert)| first == alert).count();
    let defrauded = cases.height();
    Ok(Budget {
        defrauded,
        found: defrauded - cases.column(FOUND)?.null_count(),
        first_payment_share: share(at_once as i64, defrauded as i64),
        fraud_minor,
        saved_minor,
        saved_share: share(saved_minor, fraud_minor),
        by_scenario: by_scenario(cases)?,
    })
}

/// A part of a whole; 0 where there is nothing.
fn share(part: i64, whole: i64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn sum(frauds: LazyFrame) -> Result<i64, EvaluationError> {
    let sum = frauds.select([col(AMOUNT).sum()]).collect()?;
    Ok(sum.column(AMOUNT)?.i64()?.get(0).unwrap_or_default())
}

/// The cards that are found, each with its day and the lowest score of a card that was looked at on it.
pub(super) fn found_by_day(scored: &DataFrame, cards_a_day: usize) -> Result<DataFrame, EvaluationError> {
    let by_day = scored.clone().lazy().group_by([col(DAY), col(CUSTOMER)]);
    let cards = by_day.agg([col(SCORE).max(), col(FRAUD).max()]).collect()?;
    let mut days: Vec<i64> = cards.column(DAY)?.i64()?.into_no_null_iter().collect();
    days.sort_unstable();
    days.dedup();
    let cards_a_day = u32::try_from(cards_a_day).unwrap_or(u32::MAX);
    let highest = SortMultipleOptions::default().with_order_descending_multi([true, false]);
    let columns = [col(DAY), col(CUSTOMER), col(THRESHOLD)];
    let mut found =
        cards.clone().lazy().with_column(col(SCORE).alias(THRESHOLD)).select(columns.clone()).limit(0).collect()?;
    for day in days {
        let of_day = cards.clone().lazy().filter(col(DAY).eq(lit(day)));
        let open = joined(of_day, found.clone().lazy(), &[CUSTOMER], JoinType::Anti);
        let highest = open.sort([SCORE, CUSTOMER], highest.clone()).limit(cards_a_day);
        let with_threshold = highest.with_column(col(SCORE).min().alias(THRESHOLD));
        found.vstack_mut(&with_threshold.filter(col(FRAUD)).select(columns.clone()).collect()?)?;
    }
    Ok(found)
}

/// When each found card was found, and the row of its alert where it has one.
fn when_found(frauds: &LazyFrame, found: LazyFrame) -> Result<DataFrame, EvaluationError> {
    let alerts = joined(frauds.clone(), found.clone(), &[CUSTOMER, DAY], JoinType::Inner)
        .filter(col(SCORE).gt_eq(col(THRESHOLD)))
        .sort([TIME, ROW], SortMultipleOptions::default())
        .group_by([col(CUSTOMER)])
        .agg([col(ROW).first().alias(ALERT_ROW), col(TIME).first().alias(FOUND)]);
    let end_of_day = (col(DAY) + lit(1_i64)) * lit(DAY_US);
    let when = joined(found, alerts, &[CUSTOMER], JoinType::Left);
    Ok(when.select([col(CUSTOMER), col(ALERT_ROW), col(FOUND).fill_null(end_of_day)]).collect()?)
}

/// Each defrauded card: row and scenario of its first fraud, when it was found, and how long that took.
fn cases(frauds: &LazyFrame, found: &DataFrame) -> Result<DataFrame, EvaluationError> {
    let first =
        frauds.clone().group_by([col(CUSTOMER)]).agg([col(ROW).first(), col(TIME).first(), col(SCENARIO).first()]);
    let cases = joined(first, found.clone().lazy(), &[CUSTOMER], JoinType::Left)
        .with_column((col(FOUND) - col(TIME)).alias(WAITED))
        .sort([CUSTOMER], SortMultipleOptions::default());
    Ok(cases.collect()?)
}

fn by_scenario(cases: DataFrame) -> Result<BTreeMap<i32, ScenarioCases>, EvaluationError> {
    const CARDS: &str = "cards";
    const FOUND_CARDS: &str = "found_cards";
    let counted = [col(CUSTOMER).count().alias(CARDS), col(FOUND).count().alias(FOUND_CARDS), col(WAITED).median()];
    let grouped = cases.lazy().group_by([col(SCENARIO)]).agg(counted).collect()?;
    let count = |column: &Column| -> Result<Vec<usize>, EvaluationError> {
        Ok(column.u32()?.into_no_null_iter().map(|count| count as usize).collect())
    };
    let scenarios = grouped.column(SCENARIO)?.i32()?.into_no_null_iter();
    let (defrauded, found) = (count(grouped.column(CARDS)?)?, count(grouped.column(FOUND_CARDS)?)?);
    let waited = grouped.column(WAITED)?.f64()?.iter();
    let rows = scenarios.zip(defrauded).zip(found).zip(waited);
    Ok(rows
        .map(|(((scenario, defrauded), found), waited_us)| {
            let minutes_to_alert_median = waited_us.map(|waited_us| waited_us / MINUTE_US);
            (scenario, ScenarioCases { defrauded, found, minutes_to_alert_median })
        })
        .collect())
}
