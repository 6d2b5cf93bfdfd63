//! What a backtest found, as values that become JSON in one order.
//!
//! It may depend on `serde` and rules. It refuses shares of nothing: they are none.

use schemas::money::Currency;
use serde::Serialize;

use crate::counts::Counts;
use crate::rules::Class;

/// What a backtest found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Identity of the candidates, [`crate::rules::RuleSet::identity`].
    pub rules: String,
    /// Identity of the rules in force.
    pub live: Option<String>,
    /// How amounts are written; none where they are counts of minor units.
    pub currency: Option<Currency>,
    /// All payments.
    pub payments: Counts,
    /// The candidates, each at its rollout.
    pub as_written: SetReport,
    /// The candidates, each for all cards. None where that was not asked, or where they are for all cards as written.
    pub at_full_rollout: Option<SetReport>,
    /// What the outcomes of the rules in force were worth.
    pub live_cost: Option<Cost>,
}

/// What a set of rules would have said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetReport {
    /// Its rules in the order of the file.
    pub rules: Vec<RuleReport>,
    /// Pairs of rules with the most payments in common, the 20 first.
    pub overlaps: Vec<Overlap>,
    /// Payments by the outcome of the rules in force and of these, without those that are none.
    pub outcomes: Vec<Flip>,
    /// What its outcomes would have been worth.
    pub cost: Cost,
    /// Frauds that no rule hits, the first in the log.
    pub missed: Vec<Quoted>,
}

/// What a rule would have said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleReport {
    /// Its name.
    pub rule: String,
    /// Its class.
    pub class: Class,
    /// The share of cards for which it fires, hundredths of a percent.
    pub rollout: u16,
    /// Payments for which it fires.
    pub hits: Counts,
    /// Frauds among its hits that have a label.
    pub precision: Option<f64>,
    /// Its frauds among all frauds.
    pub recall: Option<f64>,
    /// Hits that no other rule of the set has.
    pub only: u64,
    /// Payments for which its condition was missing.
    pub missing: u64,
    /// Genuine payments for which it fires, the first in the log.
    pub genuine_examples: Vec<Example>,
}

impl RuleReport {
    /// Whether it never fired.
    pub fn is_dead(&self) -> bool {
        self.hits.payments == 0
    }
}

/// Two rules that fire for the same payments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overlap {
    /// Their names in the order of the file.
    pub rules: [String; 2],
    /// Payments for which both fire.
    pub both: u64,
    /// These among payments for which either fires (Jaccard 1901).
    pub jaccard: f64,
}

/// Payments of one outcome before and one after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flip {
    /// Outcome of the rules in force; none where none of them fires.
    pub live: Option<Class>,
    /// Outcome of the candidates.
    pub rules: Option<Class>,
    /// How many there are.
    pub payments: Counts,
}

/// What outcomes are worth. Payments without a label are worth nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Frauds that are blocked.
    pub frauds_blocked: u64,
    /// Their amounts, minor units: what is saved.
    pub frauds_blocked_minor: i128,
    /// Genuine payments that are blocked.
    pub genuine_blocked: u64,
    /// Their amounts, minor units: what is not sold.
    pub genuine_blocked_minor: i128,
    /// Payments that people look at, with a label or without.
    pub reviews: u64,
    /// What that costs, minor units.
    pub reviews_minor: i128,
    /// What is saved less what is not sold and what reviews cost.
    pub net_minor: i128,
}

impl Cost {
    /// Of payments that are blocked and of those that are reviewed, at so much a review.
    pub(super) fn new<'a>(
        blocked: impl Iterator<Item = &'a Counts>,
        reviewed: impl Iterator<Item = &'a Counts>,
        review_cost_minor: u32,
    ) -> Self {
        let blocked: Counts = blocked.sum();
        let reviews = reviewed.sum::<Counts>().payments;
        let reviews_minor = i128::from(reviews) * i128::from(review_cost_minor);
        Self {
            frauds_blocked: blocked.frauds,
            frauds_blocked_minor: blocked.frauds_minor,
            genuine_blocked: blocked.genuine,
            genuine_blocked_minor: blocked.genuine_minor,
            reviews,
            reviews_minor,
            net_minor: blocked.frauds_minor - blocked.genuine_minor - reviews_minor,
        }
    }
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quoted {
    /// Its identity, at most 128 characters of it.
    pub identity: Option<String>,
    /// Its amount, minor units.
    pub amount_minor: Option<i64>,
}

/// A genuine payment for which a rule fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The payment.
    pub payment: Quoted,
    /// The rule's condition with the payment's values, at most 2,000 characters of it.
    pub condition: String,
}
