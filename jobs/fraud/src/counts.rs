//! Counts of payments by what is known about them, and of pairs of rules that fire together. What rules are worth in the
//! past ([`crate::backtest`]) and in service ([`crate::quality`]) is counted the same way.
//!
//! It may depend on Arrow's buffers. It refuses to guess: a payment without a label is neither a fraud nor genuine.

use std::iter::Sum;

use arrow::buffer::BooleanBuffer;
use serde::Serialize;

use crate::expression::{Truth, Vector};

/// Payments by what is known about them. The four kinds together are all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub payments: u64,
    /// Labelled as fraud.
    pub frauds: u64,
    /// Labelled as genuine.
    pub genuine: u64,
    /// Without a label, which may still come.
    pub unlabelled: u64,
    /// Refused when they were made and without a label: nobody can know whether they would have been frauds.
    pub unknowable: u64,
    /// Sum of the amounts of `frauds`, minor units. A payment without an amount adds nothing.
    pub frauds_minor: i128,
    /// Sum of the amounts of `genuine`, minor units.
    pub genuine_minor: i128,
}

impl Counts {
    /// How many have a label.
    pub fn labelled(&self) -> u64 {
        self.frauds + self.genuine
    }

    /// The share of frauds among those that have a label; none where none has.
    pub fn precision(&self) -> Option<f64> {
        share(self.frauds, self.labelled())
    }

    /// Genuine payments for each fraud; none without a fraud.
    pub fn false_positive_ratio(&self) -> Option<f64> {
        share(self.genuine, self.frauds)
    }

    /// Adds others.
    pub(crate) fn add(&mut self, others: &Self) {
        self.payments += others.payments;
        self.frauds += others.frauds;
        self.genuine += others.genuine;
        self.unlabelled += others.unlabelled;
        self.unknowable += others.unknowable;
        self.frauds_minor += others.frauds_minor;
        self.genuine_minor += others.genuine_minor;
    }

    /// Adds one payment.
    pub(crate) fn add_one(&mut self, label: Option<bool>, is_refused: bool, amount_minor: i64) {
        self.payments += 1;
        match label {
            Some(true) => {
                self.frauds += 1;
                self.frauds_minor += i128::from(amount_minor);
            }
            Some(false) => {
                self.genuine += 1;
                self.genuine_minor += i128::from(amount_minor);
            }
            None if is_refused => self.unknowable += 1,
            None => self.unlabelled += 1,
        }
    }
}

/// All of these together.
impl<'a> Sum<&'a Self> for Counts {
    fn sum<I: Iterator<Item = &'a Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, counts| {
            sum.add(counts);
            sum
        })
    }
}

/// A share of a whole; none where the whole is nothing.
pub(crate) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Rows of a batch as a count of this crate.
pub(crate) fn rows_of(rows: &BooleanBuffer) -> u64 {
    rows.count_set_bits() as u64
}

/// What is known about the payments of a batch.
pub(crate) struct Known {
    pub(crate) frauds: BooleanBuffer,
    pub(crate) genuine: BooleanBuffer,
    unknowable: BooleanBuffer,
    pub(crate) amounts: Vector<i64>,
}

impl Known {
    /// By labels, true for a fraud, and by what was refused then. A refused payment with a label counts by its label:
    /// somebody has found out.
    pub(crate) fn new(labels: Truth, refused: Option<&Truth>, amounts: Vector<i64>) -> Self {
        let is_missing = labels.is_missing().yes;
        let unknowable = match refused {
            Some(refused) => &refused.yes & &is_missing,
            None => BooleanBuffer::new_unset(is_missing.len()),
        };
        Self { frauds: labels.yes, genuine: labels.no, unknowable, amounts }
    }

    /// These rows, counted.
    pub(crate) fn counts(&self, rows: &BooleanBuffer) -> Counts {
        let payments = rows_of(rows);
        if payments == 0 {
            return Counts::default();
        }
        let (frauds, genuine) = (rows & &self.frauds, rows & &self.genuine);
        let counts = Counts {
            payments,
            frauds: rows_of(&frauds),
            genuine: rows_of(&genuine),
            unlabelled: 0,
            unknowable: rows_of(&(rows & &self.unknowable)),
            frauds_minor: self.sum(&frauds),
            genuine_minor: self.sum(&genuine),
        };
        Counts { unlabelled: payments - counts.labelled() - counts.unknowable, ..counts }
    }

    fn sum(&self, rows: &BooleanBuffer) -> i128 {
        rows.set_indices().map(|row| i128::from(self.amounts.value(row).unwrap_or_default())).sum()
    }
}

/// For each pair of rules, told by their indexes, how many payments both fired for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pairs {
    /// First all pairs whose greater index is 1, then 2, and so on: it grows at its end.
    counts: Vec<u64>,
}

impl Pairs {
    /// Adds payments for which two different rules fired.
    pub(crate) fn add(&mut self, one: usize, other: usize, payments: u64) {
        let place = place(one, other);
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += payments;
    }

    /// For how many payments two different rules fired.
    pub(crate) fn get(&self, one: usize, other: usize) -> u64 {
        self.counts.get(place(one, other)).copied().unwrap_or_default()
    }

    /// Adds what bits of the same rows say, one for each rule.
    pub(crate) fn add_rows(&mut self, rules: &[BooleanBuffer]) {
        let words = |rows: &BooleanBuffer| rows.bit_chunks().iter_padded().collect::<Vec<u64>>();
        let firing = rules.iter().enumerate().filter(|(_, rows)| rows.has_true());
        let firing: Vec<(usize, Vec<u64>)> = firing.map(|(rule, rows)| (rule, words(rows))).collect();
        for (index, (other, other_words)) in firing.iter().enumerate() {
            for (one, words) in &firing[..index] {
                let both = words.iter().zip(other_words).map(|(left, right)| u64::from((left & right).count_ones()));
                self.add(*one, *other, both.sum());
            }
        }
    }
}

fn place(one: usize, other: usize) -> usize {
    let (less, greater) = (one.min(other), one.max(other));
    greater * greater.saturating_sub(1) / 2 + less
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_a_place_of_its_own() {
        let mut places: Vec<usize> = (0..50).flat_map(|other| (0..other).map(move |one| place(one, other))).collect();
        places.sort_unstable();
        assert_eq!(places, (0..50 * 49 / 2).collect::<Vec<_>>());
        let mut pairs = Pairs::default();
        pairs.add(7, 3, 2);
        pairs.add(3, 7, 1);
        assert_eq!((pairs.get(3, 7), pairs.get(7, 3), pairs.get(3, 6), pairs.get(40, 41)), (3, 3, 0, 0));
    }

    /// Fails if bits before a slice, or padding after it, are counted.
    #[test]
    fn rows_of_slices_are_counted() {
        let all = BooleanBuffer::new_set(200);
        let thirds = BooleanBuffer::collect_bool(70, |row| row % 3 == 0);
        let mut pairs = Pairs::default();
        pairs.add_rows(&[all.slice(65, 70), thirds, BooleanBuffer::new_unset(70)]);
        assert_eq!((pairs.get(0, 1), pairs.get(0, 2)), (24, 0));
    }

    /// Fails if a sum of amounts is one of 64 bits.
    #[test]
    fn sums_are_wider_than_amounts() {
        let rows = BooleanBuffer::new_set(2);
        let labels = Truth::constant(2, Some(true));
        let known = Known::new(labels, None, Vector::Constant(Some(i64::MAX)));
        assert_eq!(known.counts(&rows).frauds_minor, 2 * i128::from(i64::MAX));
    }
}
