//! What fired, kept as numbers: rules, payments and cards each have one by which they are told apart.
//!
//! It may depend on rules. It refuses more than its bounds. Maps here are only looked up, never gone through.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use super::{HITS_MAX, NAMES_MAX, QualityError};
use crate::rules::RuleSet;

/// A row of what fired.
pub(super) struct Fired<'a> {
    pub(super) rule: &'a str,
    pub(super) payment: &'a str,
    pub(super) card: Option<&'a str>,
    /// Microseconds since the epoch, UTC.
    pub(super) time_us: Option<i64>,
}

/// What is known about a payment for which a rule fired.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payment {
    pub(super) amount_minor: i64,
    pub(super) is_refused: bool,
    pub(super) label: Option<bool>,
}

/// A rule fired for a payment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) rule: u32,
    pub(super) payment: u32,
    /// Card and time, microseconds, where both are known.
    pub(super) card_at: Option<(u32, i64)>,
}

/// A bound was reached.
pub(super) enum Full {
    Hits,
    Names,
}

impl Full {
    pub(super) fn error(self, rule_column: &str) -> QualityError {
        match self {
            Self::Hits => QualityError::TooManyHits,
            Self::Names => QualityError::TooManyNames(rule_column.to_string()),
        }
    }
}

/// Numbers for texts, in the order in which they were first seen.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// With fixed keys, so that a lookup takes the same way in every run.
    numbers: HashMap<Box<str>, u32, BuildHasherDefault<DefaultHasher>>,
}

impl Numbers {
    /// The number of a text; a new one gets the next. None where there are so many already.
    fn number(&mut self, text: &str, numbers_max: usize) -> Option<u32> {
        if let Some(number) = self.numbers.get(text) {
            return Some(*number);
        }
        let next = u32::try_from(self.numbers.len()).ok().filter(|next| (*next as usize) < numbers_max)?;
        self.numbers.insert(text.into(), next);
        Some(next)
    }
}

/// Everything that fired.
#[derive(Debug)]
pub(super) struct Hits {
    /// Names by their numbers, first those of the set.
    pub(super) names: Vec<Box<str>>,
    /// How many of them are in the set.
    pub(super) in_set: usize,
    rules: Numbers,
    payment_numbers: Numbers,
    cards: Numbers,
    /// By their numbers.
    pub(super) payments: Vec<Payment>,
    /// In the order in which they came.
    pub(super) hits: Vec<Hit>,
}

impl Hits {
    pub(super) fn new(set: &RuleSet) -> Self {
        let mut hits = Self {
            names: Vec::new(),
            in_set: set.rules().len(),
            rules: Numbers::default(),
            payment_numbers: Numbers::default(),
            cards: Numbers::default(),
            payments: Vec::new(),
            hits: Vec::new(),
        };
        // All of them: a set has half as many rules as there may be names.
        for rule in set.rules() {
            hits.rule(rule.name());
        }
        hits
    }

    fn rule(&mut self, name: &str) -> Option<u32> {
        let number = self.rules.number(name, NAMES_MAX)?;
        if number as usize == self.names.len() {
            self.names.push(name.into());
        }
        Some(number)
    }

    /// Takes a row.
    pub(super) fn add(&mut self, fired: &Fired<'_>, payment: Payment) -> Result<(), Full> {
        if self.hits.len() >= HITS_MAX {
            return Err(Full::Hits);
        }
        let rule = self.rule(fired.rule).ok_or(Full::Names)?;
        let number = self.payment_numbers.number(fired.payment, HITS_MAX).ok_or(Full::Hits)?;
        if number as usize == self.payments.len() {
            self.payments.push(payment);
        }
        let card = match fired.card {
            Some(card) => Some(self.cards.number(card, HITS_MAX).ok_or(Full::Hits)?),
            None => None,
        };
        self.hits.push(Hit { rule, payment: number, card_at: card.zip(fired.time_us) });
        Ok(())
    }

    /// What is said of a payment, which may be none for which a rule fired.
    pub(super) fn label(&mut self, payment: &str, label: Option<bool>) {
        if let Some(number) = self.payment_numbers.numbers.get(payment) {
            self.payments[*number as usize].label = label;
        }
    }
}
