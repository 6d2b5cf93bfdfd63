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
/// How many days each part of a fold has; 1 or more of training and of test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// In which a model learns.
    pub training: u16,
    /// Until labels are known.
    pub delay: u16,
    /// In which a model is judged.
    pub test: u16,
}

/// The handbook's.
impl Default for Days {
    fn default() -> Self {
        Self { training: 7, delay: 7, test: 7 }
    }
}

impl Days {
    /// The fold whose training starts at a midnight, microseconds UTC.
    pub fn starting_at(self, training_start_us: i64) -> Fold {
        let after = |start_us: i64, days: u16| start_us + i64::from(days) * DAY_US;
        let training_end_us = after(training_start_us, self.training);
        let delay_end_us = after(training_end_us, self.delay);
        Fold {
            training: training_start_us..training_end_us,
            delay: training_end_us..delay_end_us,
            test: delay_end_us..after(delay_end_us, self.test),
        }
    }

    /// The latest fold of whole days, cut at midnight UTC, whose test ends at or before a moment, microseconds UTC.
    pub fn ending_by(self, end_us: i64) -> Fold {
        let midnight_us = end_us - end_us.rem_euclid(DAY_US);
        let days = i64::from(self.training) + i64::from(self.delay) + i64::from(self.test);
        self.starting_at(midnight_us - days * DAY_US)
    }

    /// So many folds, latest first, whose tests follow each other; `latest_training_start_us` is a midnight, microseconds
    /// UTC.
    pub fn folds(self, latest_training_start_us: i64, count: usize) -> Vec<Fold> {
        let step_us = i64::from(self.test) * DAY_US;
        let starts = (0..count as i64).map(|number| latest_training_start_us - number * step_us);
        starts.map(|start_us| self.starting_at(start_us)).collect()
    }
}

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
    /// How long after a payment its label is known, microseconds.
    pub fn label_delay_us(&self) -> i64 {
        self.delay.end - self.delay.start
    }
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
