//! The counters of one set of rules.
//!
//! It may depend on Arrow's buffers and rules. It refuses to look at rows one by one, except to add up amounts and to
//! show payments.

use arrow::array::Array;
use arrow::buffer::BooleanBuffer;

use super::report::{Cost, Example, Flip, Overlap, Quoted, RuleReport, SetReport};
use super::{Payments, Plan};
use crate::counts::{Counts, Pairs, rows_of, share};
use crate::expression::Columns;
use crate::expression::text::shortened;
use crate::rules::{Class, Fired, Rule, RuleSet};

/// Pairs of rules that are said, those with the most payments in common: more than people look through.
const OVERLAPS_MAX: usize = 20;

/// Longest identity of a payment that is kept, characters: hashes and numbers are far shorter.
const IDENTITY_CHARACTERS_MAX: usize = 128;

/// Longest condition with its values that is kept, characters: half a page.
const CONDITION_CHARACTERS_MAX: usize = 2_000;

/// Outcomes: a class for each of [`Class::ALL`], then none.
const OUTCOMES: usize = Class::ALL.len() + 1;

/// Where each outcome of a set is; each row is in one of them.
pub(super) struct Outcomes([BooleanBuffer; OUTCOMES]);

impl Outcomes {
    /// Where each class decides.
    pub(super) fn of([allow, block, review]: [BooleanBuffer; Class::ALL.len()]) -> Self {
        let none = !&(&(&allow | &block) | &review);
        Self([allow, block, review, none])
    }

    /// Those of no rules.
    pub(super) fn none(rows: usize) -> Self {
        Self::of(Class::ALL.map(|_| BooleanBuffer::new_unset(rows)))
    }
}

/// What was counted of one rule.
#[derive(Debug, Clone, Default)]
struct RuleTally {
    hits: Counts,
    only: u64,
    missing: u64,
    examples: Vec<Example>,
}

/// What was counted of a set of rules.
#[derive(Debug)]
pub(super) struct Tally {
    examples_max: usize,
    rules: Vec<RuleTally>,
    pairs: Pairs,
    /// By outcome of the live set, then by that of this one.
    outcomes: [[Counts; OUTCOMES]; OUTCOMES],
    missed: Vec<Quoted>,
}

impl Tally {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            examples_max: plan.examples_max,
            rules: vec![RuleTally::default(); plan.rules.rules().len()],
            pairs: Pairs::default(),
            outcomes: Default::default(),
            missed: Vec::new(),
        }
    }

    /// Counts the rows of a batch.
    pub(super) fn add(&mut self, rules: &RuleSet, columns: &Columns, live: &Outcomes, payments: &Payments<'_>) {
        let Fired { rules: fired, missing, decided } = rules.fired(columns);
        let mut once = BooleanBuffer::new_unset(columns.len());
        let mut again = once.clone();
        for rows in &fired {
            again |= &(&once & rows);
            once |= rows;
        }
        let is_alone = !&again;
        for (index, rows) in fired.iter().enumerate().filter(|(_, rows)| rows.has_true()) {
            let tally = &mut self.rules[index];
            tally.hits.add(&payments.known.counts(rows));
            tally.only += rows_of(&(rows & &is_alone));
            let wanted = self.examples_max - tally.examples.len();
            if wanted > 0 {
                let genuine = rows & &payments.known.genuine;
                let rule = &rules.rules()[index];
                let shown = genuine.set_indices().take(wanted);
                tally.examples.extend(shown.map(|row| payments.example(rule, columns, row)));
            }
        }
        for (tally, missing) in self.rules.iter_mut().zip(missing) {
            tally.missing += missing as u64;
        }
        if again.has_true() {
            self.pairs.add_rows(&fired);
        }
        for (counts, live) in self.outcomes.iter_mut().zip(&live.0) {
            for (counts, own) in counts.iter_mut().zip(&Outcomes::of(decided.clone()).0) {
                counts.add(&payments.known.counts(&(live & own)));
            }
        }
        let wanted = self.examples_max - self.missed.len();
        if wanted > 0 {
            let missed = &payments.known.frauds & &!&once;
            self.missed.extend(missed.set_indices().take(wanted).map(|row| payments.quoted(row)));
        }
    }

    /// All payments.
    pub(super) fn payments(&self) -> Counts {
        self.outcomes.iter().flatten().sum()
    }

    /// What was counted.
    pub(super) fn report(&self, rules: &RuleSet, review_cost_minor: u32) -> SetReport {
        let frauds = self.payments().frauds;
        let of_rule = |(rule, tally): (&Rule, &RuleTally)| RuleReport {
            rule: rule.name().to_string(),
            class: rule.class(),
            rollout: rule.rollout(),
            hits: tally.hits,
            precision: tally.hits.precision(),
            recall: share(tally.hits.frauds, frauds),
            only: tally.only,
            missing: tally.missing,
            genuine_examples: tally.examples.clone(),
        };
        let own = |outcome: usize| self.outcomes.iter().map(move |counts| &counts[outcome]);
        SetReport {
            rules: rules.rules().iter().zip(&self.rules).map(of_rule).collect(),
            overlaps: self.overlaps(rules),
            outcomes: self.flips(),
            cost: Cost::new(own(Class::Block as usize), own(Class::Review as usize), review_cost_minor),
            missed: self.missed.clone(),
        }
    }

    /// What the live set's outcomes were worth.
    pub(super) fn live_cost(&self, review_cost_minor: u32) -> Cost {
        let live = |class: Class| self.outcomes[class as usize].iter();
        Cost::new(live(Class::Block), live(Class::Review), review_cost_minor)
    }

    fn flips(&self) -> Vec<Flip> {
        let outcome = |index: usize| Class::ALL.get(index).copied();
        let cells = self.outcomes.iter().enumerate().flat_map(|(live, counts)| {
            let flip = move |(own, counts): (usize, &Counts)| Flip {
                live: outcome(live),
                rules: outcome(own),
                payments: *counts,
            };
            counts.iter().enumerate().map(flip)
        });
        cells.filter(|flip| flip.payments.payments > 0).collect()
    }

    /// Pairs by payments in common, the most first, then by the order of their rules.
    fn overlaps(&self, rules: &RuleSet) -> Vec<Overlap> {
        let count = self.rules.len();
        let pairs = (0..count).flat_map(|one| (one + 1..count).map(move |other| (one, other)));
        let both = pairs.map(|(one, other)| (self.pairs.get(one, other), one, other));
        let mut both: Vec<(u64, usize, usize)> = both.filter(|(both, ..)| *both > 0).collect();
        both.sort_by_key(|(both, one, other)| (std::cmp::Reverse(*both), *one, *other));
        both.truncate(OVERLAPS_MAX);
        let overlap = |(both, one, other): (u64, usize, usize)| {
            let either = self.rules[one].hits.payments + self.rules[other].hits.payments - both;
            let names = [one, other].map(|rule| rules.rules()[rule].name().to_string());
            Overlap { rules: names, both, jaccard: both as f64 / either as f64 }
        };
        both.into_iter().map(overlap).collect()
    }
}

impl Payments<'_> {
    fn quoted(&self, row: usize) -> Quoted {
        let identities = self.identities.filter(|texts| texts.is_valid(row));
        Quoted {
            identity: identities.map(|texts| shortened(texts.value(row), IDENTITY_CHARACTERS_MAX)),
            amount_minor: self.known.amounts.value(row),
        }
    }

    fn example(&self, rule: &Rule, columns: &Columns, row: usize) -> Example {
        let condition = shortened(&rule.filled_in(&columns.row(row)), CONDITION_CHARACTERS_MAX);
        Example { payment: self.quoted(row), condition }
    }
}
