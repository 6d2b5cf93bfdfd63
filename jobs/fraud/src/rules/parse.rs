//! The text of a rule file, rule by rule. After a mistake it goes on with the next rule.
//!
//! It may depend on fields, lists and expressions. It refuses rules of one name, and files that are too long.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{BUCKETS, Class, ERRORS_MAX, RULES_BYTES_MAX, RULES_MAX, Rule};
use crate::expression::check::Checker;
use crate::expression::parser::Parser;
use crate::expression::{ParseError, Token};
use crate::fields::Fields;
use crate::lists::Lists;
use crate::names::is_name;

const CLASSES: [&str; 3] = ["allow", "block", "review"];
const CLAUSES: [&str; 3] = ["rollout", "missing", "when"];

/// Hundredths of a percent of one percent.
const BUCKETS_PER_PERCENT: u64 = 100;

pub(super) fn rules(text: &str, fields: &Fields, lists: &Lists) -> Result<Vec<Rule>, Vec<ParseError>> {
    if text.len() > RULES_BYTES_MAX {
        let message = format!("the rules are longer than {RULES_BYTES_MAX} bytes");
        return Err(vec![ParseError::new(0..text.len(), message)]);
    }
    let mut file = File { text, parser: Parser::new(text), fields, lists, errors: Vec::new() };
    let mut rules: Vec<Rule> = Vec::new();
    let mut names: BTreeMap<String, Range<usize>> = BTreeMap::new();
    while *file.parser.peek() != Token::End && file.errors.len() < ERRORS_MAX {
        match file.rule(&mut names) {
            Ok(rule) => rules.extend(rule),
            Err(error) => {
                file.errors.push(error);
                file.skip_to_rule();
            }
        }
        if rules.len() > RULES_MAX {
            let span = rules.last().map(Rule::name_span).unwrap_or_default();
            file.errors.push(ParseError::new(span, format!("there are more than {RULES_MAX} rules")));
            break;
        }
    }
    let mut errors = file.errors;
    errors.truncate(ERRORS_MAX);
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

struct File<'a> {
    text: &'a str,
    parser: Parser<'a>,
    fields: &'a Fields,
    lists: &'a Lists,
    errors: Vec<ParseError>,
}

impl File<'_> {
    /// Where a mistake is, the next rule begins after it.
    fn skip_to_rule(&mut self) {
        while !matches!(self.parser.peek(), Token::Word("rule") | Token::End) {
            self.parser.take();
        }
    }

    /// A rule; none where its condition has errors, which are said.
    fn rule(&mut self, names: &mut BTreeMap<String, Range<usize>>) -> Result<Option<Rule>, ParseError> {
        if !self.parser.take_word("rule") {
            return Err(self.parser.expected("`rule`", &["rule"]));
        }
        let name_span = self.parser.peek_span();
        let name = match *self.parser.peek() {
            Token::Word(name) if is_name(name) => name.to_string(),
            _ => {
                let what = "the rule's name, in lower-case letters, digits and underscores, no word of the language,";
                return Err(self.parser.expected(what, &[]));
            }
        };
        self.parser.take();
        if let Some(earlier) = names.get(&name) {
            // Lines are counted from the beginning of the text: only where one must be said.
            let line = ParseError::new(earlier.clone(), "").line(self.text);
            self.errors.push(ParseError::new(name_span.clone(), format!("rule {name} stands in line {line} already")));
        } else {
            names.insert(name.clone(), name_span.clone());
        }
        let class = self.class()?;
        let description = match *self.parser.peek() {
            Token::Description(description) => Some(description.to_string()),
            _ => None,
        };
        if description.is_some() {
            self.parser.take();
        }
        let rollout_start = self.parser.end();
        let rollout = if self.parser.take_word("rollout") { self.rollout()? } else { BUCKETS };
        let rollout_span = rollout_start..self.parser.end();
        let missing_fires = self.parser.take_word("missing");
        if missing_fires && !self.parser.take_word("fires") {
            return Err(self.parser.expected("`fires`", &["fires"]));
        }
        if !self.parser.take_word("when") {
            let what = "`when` with the rule's condition, after description, `rollout` and `missing fires`,";
            return Err(self.parser.expected(what, &CLAUSES));
        }
        let condition_start = self.parser.peek_span().start;
        let syntax = self.parser.expression()?;
        let condition_span = condition_start..self.parser.end();
        if !matches!(self.parser.peek(), Token::Word("rule") | Token::End) {
            return Err(self.parser.trailing());
        }
        let mut checker = Checker { fields: self.fields, lists: self.lists, errors: &mut self.errors };
        let Some(condition) = checker.condition(&syntax) else { return Ok(None) };
        Ok(Some(Rule {
            name,
            class,
            description,
            rollout,
            missing_fires,
            condition,
            name_span,
            rollout_span,
            condition_span,
        }))
    }

    fn class(&mut self) -> Result<Class, ParseError> {
        let class = match self.parser.peek() {
            Token::Word(word) => Class::ALL.into_iter().find(|class| class.name() == *word),
            _ => None,
        };
        let class =
            class.ok_or_else(|| self.parser.expected("the rule's class, `allow`, `block` or `review`,", &CLASSES));
        if class.is_ok() {
            self.parser.take();
        }
        class
    }

    /// A share in hundredths of a percent, read as text: no fraction is rounded.
    fn rollout(&mut self) -> Result<u16, ParseError> {
        let span = self.parser.peek_span();
        if !matches!(self.parser.peek(), Token::Integer(_) | Token::Decimal(_)) {
            return Err(self.parser.expected("a share such as `25%`", &[]));
        }
        self.parser.take();
        if !self.parser.take_sign("%") {
            return Err(self.parser.expected("`%`", &[]));
        }
        if self.fields.card().is_none() {
            return Err(ParseError::new(span, "no field is the payment's card, by which a rule is rolled out"));
        }
        let written = &self.text[span.clone()];
        let share = share(written).filter(|share| (1..=BUCKETS).contains(share));
        share.ok_or_else(|| ParseError::new(span, "a share is 0.01% to 100%, with at most two digits behind its point"))
    }
}

/// Digits with at most two behind a point, in hundredths.
fn share(written: &str) -> Option<u16> {
    let (whole, fraction) = written.split_once('.').unwrap_or((written, ""));
    if fraction.len() > 2 {
        return None;
    }
    let hundredths: u64 = format!("{fraction:0<2}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    u16::try_from(whole.checked_mul(BUCKETS_PER_PERCENT)?.checked_add(hundredths)?).ok()
}
