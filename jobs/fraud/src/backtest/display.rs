//! What a backtest found, as text for people.
//!
//! It may depend on plain tables. It refuses to leave out what cannot be known.

use std::fmt;

use schemas::money::Currency;

use super::report::{Cost, Quoted, Report, RuleReport, SetReport};
use crate::counts::Counts;
use crate::rules::{BUCKETS, Class};
use crate::table::{Table, count, money, percent, unit};

impl Report {
    /// What cannot be known, in plain words.
    pub fn caveat(&self) -> String {
        let Counts { unlabelled, unknowable, .. } = self.payments;
        let mut words = "Precision, recall and money count payments with a label only.".to_string();
        if unlabelled > 0 {
            words += &format!(" Payments without one: {}, whose labels may still come.", count(unlabelled));
        }
        if unknowable > 0 {
            words += &format!(
                " Payments refused then: {}. Nobody can know whether they would have been frauds; the column \
                 `unknowable` says how many of them a rule hits. Frauds that the rules in force stopped are among them \
                 and count for no rule here.",
                count(unknowable)
            );
        }
        words
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { payments, frauds, genuine, unlabelled, unknowable, .. } = self.payments;
        writeln!(
            formatter,
            "{} payments: {} frauds, {} genuine, {} without a label, {} refused then\n",
            count(payments),
            count(frauds),
            count(genuine),
            count(unlabelled),
            count(unknowable)
        )?;
        self.set(&self.as_written, formatter)?;
        self.costs(formatter)?;
        self.examples(&self.as_written, formatter)?;
        if let Some(full) = &self.at_full_rollout {
            writeln!(formatter, "\nWith every rule for all cards:\n")?;
            self.set(full, formatter)?;
            self.examples(full, formatter)?;
        }
        writeln!(formatter, "\n{}", self.caveat())
    }
}

impl Report {
    fn set(&self, set: &SetReport, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", rules(&set.rules, self.currency))?;
        for rule in set.rules.iter().filter(|rule| rule.is_dead()) {
            let missing = match rule.missing {
                0 => "its condition was never missing".to_string(),
                missing => format!("its condition was missing for {} payments", count(missing)),
            };
            writeln!(formatter, "rule {} never fired; {missing}", rule.rule)?;
        }
        let mut overlaps = Table::new(2, ["rule", "and rule", "both fire", "of either"]);
        for overlap in &set.overlaps {
            let [one, other] = &overlap.rules;
            overlaps.row([one, other, &count(overlap.both), &percent(Some(overlap.jaccard))]);
        }
        if !overlaps.is_empty() {
            write!(formatter, "\n{overlaps}")?;
        }
        let unit = unit(self.currency);
        let heads = ["in force", "these rules", "payments", "frauds", "genuine", "unlabelled", "unknowable"];
        let sums = [format!("frauds {unit}"), format!("genuine {unit}")];
        let mut outcomes = Table::new(2, heads.map(String::from).into_iter().chain(sums));
        for flip in &set.outcomes {
            let names = [flip.live, flip.rules].map(|class| class.map_or("none", Class::name).to_string());
            outcomes.row(names.into_iter().chain(counted(&flip.payments, self.currency)));
        }
        if outcomes.is_empty() { Ok(()) } else { write!(formatter, "\n{outcomes}") }
    }

    fn costs(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = self.at_full_rollout.as_ref().map(|set| &set.cost);
        let all = [
            ("these rules", Some(&self.as_written.cost)),
            ("for all cards", full),
            ("in force", self.live_cost.as_ref()),
        ];
        let columns: Vec<(&str, &Cost)> = all.into_iter().filter_map(|(head, cost)| Some((head, cost?))).collect();
        let unit = unit(self.currency);
        let mut table = Table::new(1, std::iter::once("").chain(columns.iter().map(|(head, _)| *head)));
        let mut row = |name: String, value: &dyn Fn(&Cost) -> String| {
            table.row(std::iter::once(name).chain(columns.iter().map(|(_, cost)| value(cost))));
        };
        let amount = |minor: i128| money(minor, self.currency);
        row("frauds blocked".into(), &|cost| count(cost.frauds_blocked));
        row("genuine blocked".into(), &|cost| count(cost.genuine_blocked));
        row("reviews".into(), &|cost| count(cost.reviews));
        row(format!("saved, {unit}"), &|cost| amount(cost.frauds_blocked_minor));
        row(format!("not sold, {unit}"), &|cost| amount(-cost.genuine_blocked_minor));
        row(format!("reviews, {unit}"), &|cost| amount(-cost.reviews_minor));
        row(format!("net, {unit}"), &|cost| amount(cost.net_minor));
        write!(formatter, "\n{table}")
    }

    fn examples(&self, set: &SetReport, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in set.rules.iter().filter(|rule| !rule.genuine_examples.is_empty()) {
            writeln!(formatter, "\ngenuine payments that rule {} hits", rule.rule)?;
            for example in &rule.genuine_examples {
                writeln!(formatter, "  {}: {}", self.quoted(&example.payment), example.condition)?;
            }
        }
        if !set.missed.is_empty() {
            writeln!(formatter, "\nfrauds that no rule hits")?;
        }
        set.missed.iter().try_for_each(|payment| writeln!(formatter, "  {}", self.quoted(payment)))
    }

    fn quoted(&self, payment: &Quoted) -> String {
        let identity = payment.identity.as_deref().unwrap_or("without identity");
        match payment.amount_minor {
            Some(minor) => format!("{identity}, {} {}", money(minor.into(), self.currency), unit(self.currency)),
            None => format!("{identity}, without amount"),
        }
    }
}

fn rules(rules: &[RuleReport], currency: Option<Currency>) -> Table {
    let unit = unit(currency);
    let heads = ["rule", "class", "hits", "frauds", "genuine", "unlabelled", "unknowable"];
    let sums = [format!("frauds {unit}"), format!("genuine {unit}")];
    let shares = ["precision", "recall", "only"].map(String::from);
    let mut table = Table::new(2, heads.map(String::from).into_iter().chain(sums).chain(shares));
    for rule in rules {
        let class = match rule.rollout {
            BUCKETS => rule.class.to_string(),
            share => format!("{} {}%", rule.class, f64::from(share) / 100.0),
        };
        let names = [rule.rule.clone(), class];
        let shares = [percent(rule.precision), percent(rule.recall), count(rule.only)];
        table.row(names.into_iter().chain(counted(&rule.hits, currency)).chain(shares));
    }
    table
}

/// All counts in the order in which heads name them.
fn counted(counts: &Counts, currency: Option<Currency>) -> [String; 7] {
    let Counts { payments, frauds, genuine, unlabelled, unknowable, frauds_minor, genuine_minor } = *counts;
    let [payments, frauds, genuine, unlabelled, unknowable] =
        [payments, frauds, genuine, unlabelled, unknowable].map(count);
    [payments, frauds, genuine, unlabelled, unknowable, money(frauds_minor, currency), money(genuine_minor, currency)]
}
