//! Rules: a text file of named conditions, and what they say about a payment.
//!
//! ```text
//! # One card on many readers.
//! rule fast_spending review
//!   "6 swipes of one card in ten minutes"
//!   when card_count_10m >= 6 and card_merchants_10m >= 3
//!
//! rule stolen_card block
//!   missing fires
//!   when token in @stolen
//!
//! rule trusted allow
//!   rollout 25%
//!   when merchant_id in @trusted and amount_minor < 5000
//! ```
//!
//! A rule has a name, a class, and in this order, each on a line of its own so that a change of one is a change of one
//! line: a description, a `rollout`, `missing fires`, and its condition ([`crate::expression`]).
//!
//! * **Classes.** Every rule is evaluated. The outcome is `allow` where a rule of that class fires, else `block`, else
//!   `review`, else none. The order of rules in the file decides nothing.
//! * **Missing.** A rule fires where its condition is true. With `missing fires` it also fires where its condition is
//!   missing: for rules that would rather stop a payment about which too little is known.
//! * **Rollout.** The rule fires for this share of cards only, 0.01 to 100 percent. A card's bucket is the first 8
//!   bytes, big-endian, of the SHA-256 of the rule's name, a zero byte and the card's token, modulo 10,000; it is in
//!   the rollout where the bucket lies below the share in hundredths of a percent. So a card that is in stays in as the
//!   share grows, and each rule draws other cards. Without a token a rule with a rollout does not fire.
//!
//! It may depend on Arrow, fields, lists and expressions. It refuses to drop a rule with an error in silence: a file is
//! right as a whole, or all that is wrong with it is said.

mod evaluate;
mod parse;

use std::fmt;
use std::ops::Range;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::expression::text::Writer;
use crate::expression::tree::Condition;
use crate::expression::uses::Uses;
use crate::expression::{ParseError, Row};
use crate::fields::{Field, Fields};
use crate::lists::Lists;

pub use crate::expression::ERRORS_MAX;
pub(crate) use evaluate::Fired;
pub use evaluate::{Verdict, Verdicts};

/// Most rules of a set. Tools of the field stop at some hundred.
pub const RULES_MAX: usize = 1_000;

/// Longest text of a rule file, bytes: a thousand rules of a page each.
pub const RULES_BYTES_MAX: usize = 1024 * 1024;

/// Buckets of cards: a share has two digits behind its point.
pub(crate) const BUCKETS: u16 = 10_000;

/// What a rule says about a payment, in the order in which classes decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// It goes through, whatever rules of other classes say.
    Allow,
    /// It is refused.
    Block,
    /// People look at it.
    Review,
}

impl Class {
    /// All of them, each at the place of its own number; the first of which a rule fires decides.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Block, Self::Review];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Review => "review",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    name: String,
    class: Class,
    description: Option<String>,
    rollout: u16,
    missing_fires: bool,
    condition: Condition,
    name_span: Range<usize>,
    /// Its rollout, with what parts it from the word before; empty where it would stand.
    rollout_span: Range<usize>,
    condition_span: Range<usize>,
}

impl Rule {
    /// Its name, unique in its set.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// What its author says about it.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The share of cards for which it may fire, hundredths of a percent, 1 to 10,000.
    pub fn rollout(&self) -> u16 {
        self.rollout
    }

    /// Whether it fires where its condition is missing.
    pub fn missing_fires(&self) -> bool {
        self.missing_fires
    }

    /// Where its name stands in the text of its set, bytes.
    pub fn name_span(&self) -> Range<usize> {
        self.name_span.clone()
    }

    /// Where its condition stands in the text of its set, bytes.
    pub fn condition_span(&self) -> Range<usize> {
        self.condition_span.clone()
    }

    /// Its condition as text in the one form that equal conditions share.
    pub fn condition(&self) -> String {
        Writer::plain_condition(&self.condition)
    }

    /// Its condition with the values of a row, for instance
    /// `amount_minor = 25000 > 10000 and card_count_1h = 7 >= 5`.
    pub fn filled_in(&self, row: &dyn Row) -> String {
        Writer::filled(&self.condition, row)
    }

    /// Whether its condition reads a field.
    pub fn reads(&self, field: &Field) -> bool {
        let mut uses = Uses::default();
        uses.condition(&self.condition);
        uses.fields().contains(field)
    }

    pub(crate) fn tree(&self) -> &Condition {
        &self.condition
    }

    /// Whether its rollout is that of every card.
    pub(crate) fn is_for_all_cards(&self) -> bool {
        self.rollout == BUCKETS
    }

    /// Whether a card lies in its rollout.
    fn is_rolled_out_to(&self, token: Option<&str>) -> bool {
        self.is_for_all_cards() || token.is_some_and(|token| bucket(&self.name, token) < self.rollout)
    }
}

/// The bucket of a card under a rule, from 0.
fn bucket(rule: &str, token: &str) -> u16 {
    let digest = Sha256::new().chain_update(rule).chain_update([0]).chain_update(token).finalize();
    let first = digest.iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    // The rest is below the number of buckets.
    u16::try_from(first % u64::from(BUCKETS)).unwrap_or_default()
}

/// The rules of a file.
#[derive(Debug, Clone)]
pub struct RuleSet {
    rules: Vec<Rule>,
    identity: String,
    /// Fields that any rule reads, and the card where a rule has a rollout.
    fields: Vec<Field>,
    card: Option<Field>,
}

impl RuleSet {
    /// The text of these rules with another share of cards for one of them, such as `25%`; nothing where no rule has the
    /// name. Whether the share is one is seen when the text is parsed.
    pub fn with_rollout(&self, text: &str, rule: &str, share: &str) -> Option<String> {
        let Range { start, end } = self.rules.iter().find(|known| known.name == rule)?.rollout_span.clone();
        Some(format!("{} rollout {share}{}", &text[..start], &text[end..]))
    }

    /// Parses the text of a rule file.
    ///
    /// # Errors
    /// All that is wrong with it, in order of places: of each rule at least the first mistake, and all unknown names
    /// and types that do not fit where its grammar is right; at most [`ERRORS_MAX`].
    pub fn parse(text: &str, fields: &Fields, lists: &Lists) -> Result<Self, Vec<ParseError>> {
        let rules = parse::rules(text, fields, lists)?;
        let card = fields.card().filter(|_| rules.iter().any(|rule| !rule.is_for_all_cards())).cloned();
        let mut uses = Uses::default();
        rules.iter().for_each(|rule| uses.condition(&rule.condition));
        card.iter().for_each(|card| uses.field(card));
        Ok(Self { rules, identity: hex::encode(Sha256::digest(text)), fields: uses.fields(), card })
    }

    /// The same rules, each for all cards. Identity and fields stay those of the text.
    #[must_use]
    pub fn at_full_rollout(&self) -> Self {
        let mut all = self.clone();
        all.rules.iter_mut().for_each(|rule| rule.rollout = BUCKETS);
        all
    }

    /// Its rules in the order of the file.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// SHA-256 of its text, hexadecimal. The lists that it looks into have identities of their own.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The fields that a batch must have columns for, in order of their indexes.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }
}

#[cfg(test)]
pub(crate) mod tests;
