//! When models learn and when they are judged: folds of training, delay and test, and which payments of a test count.
//!
//! The protocol is the handbook's (Le Borgne et al. 2022, chapter 5): what is learnt in 7 days is judged a delay of 7
//! days later, in which labels become known, on 7 days; four such folds start a week apart. It may depend on the
//! standard library; it refuses scores.

use std::collections::BTreeMap;
use std::ops::Range;

use super::DAY_US;
use super::cards::LabelledPayment;

/// Folds of the protocol.
pub const FOLDS: usize = 4;
/// Training of the latest fold starts at 2018-08-15T00:00:00Z, microseconds.
pub const LATEST_TRAINING_START_US: i64 = 1_534_291_200_000_000;
/// Days in which a model learns.
const TRAINING_DAYS: i64 = 7;
/// Days until labels are known.
const DELAY_DAYS: i64 = 7;
/// Days in which a model is judged.
const TEST_DAYS: i64 = 7;
/// Days from one fold's start to the next one's.
const STEP_DAYS: i64 = 7;

/// Spans of one fold, microseconds UTC; each begins where the one before it ends, and its end is not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// Payments and labels that the model sees.
    pub training: Range<i64>,
    /// Time in which labels become known; nothing is learnt or judged.
    pub delay: Range<i64>,
    /// Payments that the model is judged by.
    pub test: Range<i64>,
}

impl Fold {
    /// The fold whose training starts at a midnight, microseconds UTC.
    pub fn starting_at(training_start_us: i64) -> Self {
        let training_end_us = training_start_us + TRAINING_DAYS * DAY_US;
        let delay_end_us = training_end_us + DELAY_DAYS * DAY_US;
        Self {
            training: training_start_us..training_end_us,
            delay: training_end_us..delay_end_us,
            test: delay_end_us..delay_end_us + TEST_DAYS * DAY_US,
        }
    }

    /// The latest fold of whole days, cut at midnight UTC, whose test ends at or before a moment, microseconds UTC.
    pub fn ending_by(end_us: i64) -> Self {
        let midnight_us = end_us - end_us.rem_euclid(DAY_US);
        Self::starting_at(midnight_us - (TRAINING_DAYS + DELAY_DAYS + TEST_DAYS) * DAY_US)
    }

    /// How long after a payment its label is known, microseconds.
    pub fn label_delay_us(&self) -> i64 {
        self.delay.end - self.delay.start
    }
}

/// The protocol's folds, latest first; `latest_training_start_us` is a midnight, microseconds UTC.
pub fn folds(latest_training_start_us: i64) -> [Fold; FOLDS] {
    let mut start_us = latest_training_start_us + STEP_DAYS * DAY_US;
    [(); FOLDS].map(|()| {
        start_us -= STEP_DAYS * DAY_US;
        Fold::starting_at(start_us)
    })
}

/// Which rows a fold is judged by: the payments of the test span without those of cards known as defrauded. Ascending.
///
/// On a day of the test a card is known by a fraud between the start of the training and the delay's length before that
/// day's midnight: the labels that somebody could have on that morning. Payments may lie in any order.
pub fn test_rows<Customer: Copy + Ord>(fold: &Fold, payments: &[LabelledPayment<Customer>]) -> Vec<usize> {
    let mut first_frauds_us: BTreeMap<Customer, i64> = BTreeMap::new();
    let since_training = payments.iter().filter(|payment| payment.is_fraud && fold.training.start <= payment.time_us);
    for payment in since_training {
        let first_us = first_frauds_us.entry(payment.customer).or_insert(payment.time_us);
        *first_us = payment.time_us.min(*first_us);
    }
    let counts = |payment: &LabelledPayment<Customer>| {
        let morning_us = payment.time_us - (payment.time_us - fold.test.start).rem_euclid(DAY_US);
        let known_until_us = morning_us - fold.label_delay_us();
        let is_known = first_frauds_us.get(&payment.customer).is_some_and(|first_us| *first_us < known_until_us);
        fold.test.contains(&payment.time_us) && !is_known
    };
    (0..payments.len()).filter(|row| counts(&payments[*row])).collect()
}
