//! The table of what rules are worth.
//!
//! It may depend on `serde` and plain tables. It refuses shares of nothing: they are none.

use std::cmp::Reverse;
use std::fmt;

use schemas::money::Currency;
use serde::Serialize;

use super::hits::{Hit, Hits};
use crate::counts::{Counts, Pairs, share};
use crate::table::{Table, count, money, percent, unit};

/// How long after a hit another one of the same card says nothing new, microseconds: analysts look once a day.
const REPEAT_US: i64 = 24 * 3_600 * 1_000_000;

/// What rules are worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QualityReport {
    /// How amounts are written; none where they are counts of minor units.
    pub currency: Option<Currency>,
    /// Rules of the set in its order, then others by name.
    pub rules: Vec<RuleQuality>,
}

/// What a rule is worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleQuality {
    /// Its name.
    pub rule: String,
    /// Whether it is in the set.
    pub is_in_set: bool,
    /// Payments for which it fired.
    pub hits: Counts,
    /// Frauds among those that have a label.
    pub precision: Option<f64>,
    /// Genuine payments for each fraud.
    pub false_positive_ratio: Option<f64>,
    /// Hits of a card for which it had fired in the 24 hours before, or at the same moment.
    pub repeats: u64,
    /// These among all its hits.
    pub repeat_ratio: Option<f64>,
    /// The other rule that fired for the most of its payments, of equal ones the first of this table.
    pub fires_with: Option<FiresWith>,
}

impl RuleQuality {
    /// Whether it is in the set and never fired.
    pub fn is_dead(&self) -> bool {
        self.is_in_set && self.hits.payments == 0
    }
}

/// Another rule that fires for the same payments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FiresWith {
    /// Its name.
    pub rule: String,
    /// Payments for which both fired.
    pub both: u64,
    /// These among all hits of the rule that this is said about.
    pub share: f64,
}

/// The table of what fired.
pub(super) fn of(hits: &Hits, currency: Option<Currency>) -> QualityReport {
    let mut rows = hits.hits.clone();
    // A table may hold a row twice: of one payment and rule the earliest of its card stands.
    rows.sort_unstable_by_key(|hit| (hit.payment, hit.rule, hit.card_at.is_none(), hit.card_at));
    rows.dedup_by_key(|hit| (hit.payment, hit.rule));
    let mut counts = vec![Counts::default(); hits.names.len()];
    let mut pairs = Pairs::default();
    for fired in rows.chunk_by(|one, other| one.payment == other.payment) {
        let payment = &hits.payments[fired[0].payment as usize];
        for (index, hit) in fired.iter().enumerate() {
            counts[hit.rule as usize].add_one(payment.label, payment.is_refused, payment.amount_minor);
            fired[..index].iter().for_each(|other| pairs.add(other.rule as usize, hit.rule as usize, 1));
        }
    }
    let repeats = repeats(&mut rows, hits.names.len());
    let order = order(hits);
    let of_rule = |rule: &usize| {
        let (rule, of_rule) = (*rule, counts[*rule]);
        let together = |other: &usize| (*other != rule).then(|| pairs.get(rule, *other)).filter(|both| *both > 0);
        let others =
            order.iter().enumerate().filter_map(|(place, other)| Some((together(other)?, Reverse(place), *other)));
        let fires_with = others.max().map(|(both, _, other)| FiresWith {
            rule: hits.names[other].to_string(),
            both,
            share: both as f64 / of_rule.payments as f64,
        });
        RuleQuality {
            rule: hits.names[rule].to_string(),
            is_in_set: rule < hits.in_set,
            hits: of_rule,
            precision: of_rule.precision(),
            false_positive_ratio: of_rule.false_positive_ratio(),
            repeats: repeats[rule],
            repeat_ratio: share(repeats[rule], of_rule.payments),
            fires_with,
        }
    };
    QualityReport { currency, rules: order.iter().map(of_rule).collect() }
}

/// Numbers of rules in the order of the table.
fn order(hits: &Hits) -> Vec<usize> {
    let mut order: Vec<usize> = (0..hits.names.len()).collect();
    order[hits.in_set..].sort_unstable_by_key(|rule| &hits.names[*rule]);
    order
}

/// Of each rule the hits that repeat. It is enough to look at the one before: it is the nearest in time.
fn repeats(hits: &mut [Hit], rules: usize) -> Vec<u64> {
    hits.sort_unstable_by_key(|hit| (hit.rule, hit.card_at));
    let mut repeats = vec![0; rules];
    for pair in hits.windows(2) {
        let [before, hit] = pair else { continue };
        if let (Some((earlier_card, earlier_us)), Some((card, time_us))) = (before.card_at, hit.card_at)
            && before.rule == hit.rule
            && earlier_card == card
            && time_us.saturating_sub(earlier_us) < REPEAT_US
        {
            repeats[hit.rule as usize] += 1;
        }
    }
    repeats
}

impl fmt::Display for QualityReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = unit(self.currency);
        let heads = ["rule", "hits", "labelled", "frauds", "genuine", "unlabelled", "unknowable"].map(String::from);
        let sums = [format!("frauds {unit}"), format!("genuine {unit}")];
        let shares = ["precision", "false positives", "repeats", "fires with"].map(String::from);
        let mut table = Table::new(1, heads.into_iter().chain(sums).chain(shares));
        for rule in &self.rules {
            let hits = &rule.hits;
            let counts = [hits.payments, hits.labelled(), hits.frauds, hits.genuine, hits.unlabelled, hits.unknowable];
            let sums = [hits.frauds_minor, hits.genuine_minor].map(|minor| money(minor, self.currency));
            let ratio = rule.false_positive_ratio.map_or("-".to_string(), |ratio| format!("{ratio:.1}"));
            let fires_with = rule.fires_with.as_ref();
            let fires_with =
                fires_with.map_or("-".to_string(), |other| format!("{} {}", other.rule, percent(Some(other.share))));
            let shares = [percent(rule.precision), ratio, percent(rule.repeat_ratio), fires_with];
            table.row(std::iter::once(rule.rule.clone()).chain(counts.map(count)).chain(sums).chain(shares));
        }
        write!(formatter, "{table}")?;
        for rule in &self.rules {
            match (rule.is_dead(), rule.is_in_set) {
                (true, _) => writeln!(formatter, "rule {} never fired", rule.rule)?,
                (false, false) => writeln!(formatter, "rule {} is not in the set any more", rule.rule)?,
                (false, true) => {}
            }
        }
        let unknowable = self.rules.iter().any(|rule| rule.hits.unknowable > 0);
        if unknowable {
            writeln!(
                formatter,
                "\nPrecision counts payments with a label only. Whether refused payments would have been frauds nobody \
                 can know; the column `unknowable` counts them."
            )?;
        }
        Ok(())
    }
}
