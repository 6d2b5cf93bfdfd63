//! Lint: what is right by the grammar and still hardly meant.
//!
//! It may depend on rules and lists. It refuses to prove things: it compares conditions as they are written (in their
//! one form, so blanks and parentheses do not matter) and computes what reads no field.

use std::fmt;
use std::ops::Range;

use crate::expression::FieldValues;
use crate::expression::text::Writer;
use crate::expression::tree::{Condition, Operands};
use crate::expression::uses::Uses;
use crate::fields::Fields;
use crate::lists::Lists;
use crate::rules::{Class, Rule, RuleSet};

/// Something that is hardly meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The rule changes no outcome: an earlier one of its class fires wherever it does.
    Repeats {
        /// Name of the rule.
        rule: String,
        /// Where its name stands, bytes of the text.
        span: Range<usize>,
        /// Name of the earlier one.
        earlier: String,
    },
    /// The rule never decides: a rule of class `allow` fires wherever it does.
    Allowed {
        /// Name of the rule.
        rule: String,
        /// Where its name stands, bytes of the text.
        span: Range<usize>,
        /// Name of the rule that allows.
        allow: String,
    },
    /// A part of a rule's condition is the same for every payment for which it is not missing.
    Constant {
        /// Name of the rule.
        rule: String,
        /// Where its condition stands, bytes of the text.
        span: Range<usize>,
        /// The part.
        part: String,
        /// What it always is; `None` is missing.
        value: Option<bool>,
    },
    /// No rule looks into the list.
    UnusedList {
        /// Name of the list.
        list: String,
    },
}

impl Finding {
    /// Where it is in the text of the rules, if it is about a place.
    pub fn span(&self) -> Option<Range<usize>> {
        match self {
            Self::Repeats { span, .. } | Self::Allowed { span, .. } | Self::Constant { span, .. } => Some(span.clone()),
            Self::UnusedList { .. } => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeats { rule, earlier, .. } => {
                write!(formatter, "rule {rule} changes nothing: rule {earlier} of its class has the same condition")
            }
            Self::Allowed { rule, allow, .. } => {
                write!(formatter, "rule {rule} never decides: rule {allow} allows under the same condition")
            }
            Self::Constant { rule, part, value, .. } => {
                write!(formatter, "rule {rule}: `{part}` is ")?;
                match value {
                    Some(value) => write!(formatter, "{value} wherever it is not missing"),
                    None => formatter.write_str("missing for every payment"),
                }
            }
            Self::UnusedList { list } => write!(formatter, "no rule looks into list {list}"),
        }
    }
}

/// What is hardly meant in a set of rules, in the order of its rules, then unused lists by name.
pub fn lint(rules: &RuleSet, lists: &Lists) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut uses = Uses::default();
    for (index, rule) in rules.rules().iter().enumerate() {
        uses.condition(rule.tree());
        let (rule_name, span) = (rule.name().to_string(), rule.name_span());
        let mut earlier = rules.rules()[..index].iter();
        if let Some(earlier) = earlier.find(|earlier| earlier.class() == rule.class() && covers(earlier, rule)) {
            let earlier = earlier.name().to_string();
            findings.push(Finding::Repeats { rule: rule_name.clone(), span: span.clone(), earlier });
        }
        let mut allowing = rules.rules().iter().filter(|other| other.class() == Class::Allow);
        if rule.class() != Class::Allow
            && let Some(allow) = allowing.find(|allow| covers(allow, rule))
        {
            findings.push(Finding::Allowed { rule: rule_name, span, allow: allow.name().to_string() });
        }
        constants(rule, rule.tree(), &mut findings);
    }
    let unused = lists.iter().filter(|list| !uses.lists.contains(list.name()));
    findings.extend(unused.map(|list| Finding::UnusedList { list: list.name().to_string() }));
    findings
}

/// Whether one rule fires wherever another does.
fn covers(one: &Rule, other: &Rule) -> bool {
    one.is_for_all_cards() && (one.missing_fires() || !other.missing_fires()) && one.tree() == other.tree()
}

/// The largest parts of a condition that are the same for every payment.
fn constants(rule: &Rule, condition: &Condition, findings: &mut Vec<Finding>) {
    let mut uses = Uses::default();
    uses.condition(condition);
    let value = if uses.is_empty() {
        Some(condition.of_row(&FieldValues::new(&Fields::default())))
    } else {
        compared_with_itself(condition).map(Some)
    };
    if let Some(value) = value {
        let (rule_name, span) = (rule.name().to_string(), rule.condition_span());
        let part = Writer::plain_condition(condition);
        findings.push(Finding::Constant { rule: rule_name, span, part, value });
        return;
    }
    match condition {
        Condition::And(parts) | Condition::Or(parts) => parts.iter().for_each(|part| constants(rule, part, findings)),
        Condition::Not(inner) => constants(rule, inner, findings),
        _ => {}
    }
}

/// What comparing something with itself gives, where it is not missing.
fn compared_with_itself(condition: &Condition) -> Option<bool> {
    let Condition::Compare(comparison, operands) = condition else { return None };
    let is_same = match &**operands {
        Operands::Booleans(left, right) => left == right,
        Operands::Integers(left, right) => left == right,
        Operands::Numbers(left, right) => left == right,
        Operands::Texts(left, right) => left == right,
        Operands::Times(left, right) => left == right,
        Operands::IntegerNumber(..) | Operands::NumberInteger(..) => false,
    };
    is_same.then(|| comparison.accepts(std::cmp::Ordering::Equal))
}

#[cfg(test)]
mod tests;
