//! A bundle of rules as it is used: parsed, checked as a whole, its windows given to the side that has their key.

use std::fmt;

use schemas::bundles::RulesBundle;
use sha2::{Digest, Sha256};

use super::LiveError;
use super::rows::{GEO_FIELDS, LABEL_FIELD, PAYMENT_FIELDS};
use crate::expression::{Expression, ParseError};
use crate::fields::{FieldType, Fields};
use crate::lint::{self, Finding};
use crate::lists::{List, Lists};
use crate::model::Model;
use crate::rules::RuleSet;
use crate::windows::{self, Definition, LABEL, WindowSet};

/// How much older than the newest of its key a payment may be: phones send late what they swiped without a network.
const LATENESS_US: i64 = 24 * 3600 * 1_000_000;
/// How long a card's last place is remembered: a day.
pub(super) const PLACE_US: i64 = 24 * 3600 * 1_000_000;
/// Most keys of a kind that a partition keeps.
const KEYS_MAX: usize = 2_000_000;
/// Name of the model's answer among the fields of rules.
pub(super) const SCORE: &str = "score";
/// What the answer says of a payment, under the names of its columns.
const ANSWER_FIELDS: [&str; 5] = ["response_code", "reason", "state", "approval_code", "score"];
/// Digits of a window's identity: 64 bits of a hash.
const IDENTITY_DIGITS: usize = 16;

/// What is wrong with a part of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {problem}")]
pub struct Problem {
    /// `windows`, `rules`, `model` or the name of a list.
    pub part: String,
    /// What is wrong, where, and what to do.
    pub problem: String,
}

impl Problem {
    fn new(part: &str, problem: impl ToString) -> Self {
        Self { part: part.to_string(), problem: problem.to_string() }
    }
}

/// Everything that is wrong with a bundle, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        formatter.write_str(&said.join("\n"))
    }
}

impl From<Vec<Problem>> for Problems {
    fn from(problems: Vec<Problem>) -> Self {
        Self(problems)
    }
}

/// A window's identity in rows: the first 16 hexadecimal digits of the SHA-256 of its definition without its name. The
/// same definition means the same value under any name.
fn identity(definition: &Definition) -> String {
    let unnamed = Definition { name: String::new(), ..definition.clone() };
    let mut digits = hex::encode(Sha256::digest(unnamed.to_string()));
    digits.truncate(IDENTITY_DIGITS);
    digits
}

/// A bundle of rules.
#[derive(Debug, Clone)]
pub struct Definitions {
    pub(super) merchant: WindowSet,
    /// Identities of the merchant's windows.
    pub(super) identities: Vec<String>,
    pub(super) card: WindowSet,
    pub(super) fields: Fields,
    pub(super) rules: RuleSet,
    pub(super) lists: Lists,
    pub(super) model: Option<Model>,
}

impl Definitions {
    /// Reads a bundle's JSON.
    pub(super) fn of_content(content: &[u8]) -> Result<Self, LiveError> {
        let bundle = serde_json::from_slice(content).map_err(|error| LiveError::Bundle(error.to_string()))?;
        Self::read(&bundle).map_err(|problems| LiveError::Bundle(problems.to_string()))
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// Everything that is wrong with it, part by part; of rules only where windows and lists are right.
    pub fn read(bundle: &RulesBundle) -> Result<Self, Problems> {
        let payment = Fields::new(PAYMENT_FIELDS.into_iter().chain([LABEL_FIELD]))
            .expect("the fields of a payment have names of the language");
        let windows = windows::parse(&bundle.windows, &payment)
            .map_err(|errors| marked("windows", &bundle.windows, &with_answers(errors)));
        let sides = windows.and_then(|windows| sides(windows, &payment));
        let lists = lists(bundle);
        let model = bundle.model.as_deref().map(Model::parse).transpose();
        let model = model.map_err(|error| vec![Problem::new("model", error)]);
        let ((merchant, card), lists, model) = match (sides, lists, model) {
            (Ok(sides), Ok(lists), Ok(model)) => (sides, lists, model),
            (sides, lists, model) => {
                let problems = [sides.err(), lists.err(), model.err()];
                return Err(Problems(problems.into_iter().flatten().flatten().collect()));
            }
        };
        let fields = fields(&merchant, &card).map_err(|error| vec![Problem::new("windows", error)])?;
        let rules = RuleSet::parse(&bundle.rules, &fields, &lists);
        let rules = rules.map_err(|errors| marked("rules", &bundle.rules, &errors))?;
        let identities = merchant.windows.iter().map(identity).collect();
        let definitions = Self { merchant, identities, card, fields, rules, lists, model };
        let problems: Vec<Problem> = definitions.unknown_features().chain(definitions.unknown_placeholders()).collect();
        if problems.is_empty() { Ok(definitions) } else { Err(Problems(problems)) }
    }

    /// The rules.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// What rules may speak of.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The windows of the merchant's side and of the card's.
    pub fn windows(&self) -> (&WindowSet, &WindowSet) {
        (&self.merchant, &self.card)
    }

    /// How much older than a payment another one may be that its windows and places still see, microseconds.
    pub fn reach_us(&self) -> i64 {
        let windows = self.merchant.windows.iter().chain(&self.card.windows);
        windows.map(|window| window.length_us + window.delay_us).fold(PLACE_US, i64::max)
    }

    /// The rules of another bundle over these fields.
    ///
    /// # Errors
    /// Everything that is wrong with them here, such as a window that only the other bundle has.
    pub fn rules_of(&self, other: &RulesBundle) -> Result<RuleSet, Problems> {
        let rules = RuleSet::parse(&other.rules, &self.fields, &lists(other)?);
        Ok(rules.map_err(|errors| marked("rules", &other.rules, &errors))?)
    }

    /// What is odd about the rules, though they can be used.
    pub fn lint(&self) -> Vec<Finding> {
        lint::lint(&self.rules, &self.lists)
    }

    /// Features of the model that no payment has.
    fn unknown_features(&self) -> impl Iterator<Item = Problem> {
        let features = self.model.iter().flat_map(|model| model.features());
        features.filter_map(|feature| {
            let known = self.fields.get(feature).filter(|field| field.name() != SCORE);
            match known.map(|field| field.field_type()) {
                Some(FieldType::Integer | FieldType::Number | FieldType::Boolean) => None,
                Some(other) => Some(Problem::new("model", format!("its feature {feature} is {other}, not a number"))),
                None => {
                    let near =
                        self.fields.nearest(feature).map_or_else(String::new, |name| format!("; there is {name}"));
                    Some(Problem::new("model", format!("there is no field for its feature {feature}{near}")))
                }
            }
        })
    }

    /// Descriptions that fill in what is no field.
    fn unknown_placeholders(&self) -> impl Iterator<Item = Problem> {
        self.rules.rules().iter().flat_map(|rule| {
            let names = rule.description().map(placeholders).unwrap_or_default();
            names.into_iter().filter(|name| self.fields.get(name).is_none()).map(|name| {
                Problem::new(
                    "rules",
                    format!("the description of {} fills in {{{name}}}, which is no field", rule.name()),
                )
            })
        })
    }
}

/// The names between braces of a description.
pub(super) fn placeholders(description: &str) -> Vec<&str> {
    let ends = description.split('{').skip(1).filter_map(|part| part.split_once('}'));
    ends.map(|(name, _)| name).collect()
}

fn marked(part: &str, text: &str, errors: &[ParseError]) -> Vec<Problem> {
    errors.iter().map(|error| Problem::new(part, error.marked(text))).collect()
}

/// The errors, those about fields of the answer with why no window can have them.
fn with_answers(errors: Vec<ParseError>) -> Vec<ParseError> {
    let explained = |error: ParseError| {
        let Some(field) = ANSWER_FIELDS.into_iter().find(|field| error.message == format!("there is no field {field}"))
        else {
            return error;
        };
        let message = format!(
            "a window cannot filter on the answer ({field}): the merchant's side never sees it and the card's side \
             keeps windows before it answers; compute it over the tables with `till fraud features --sql`, delayed by what \
             the answer takes"
        );
        ParseError { message, nearest: None, ..error }
    };
    errors.into_iter().map(explained).collect()
}

fn lists(bundle: &RulesBundle) -> Result<Lists, Vec<Problem>> {
    let (mut lists, mut problems) = (Vec::new(), Vec::new());
    for (name, text) in &bundle.lists {
        match List::parse(name, text) {
            Ok(list) => lists.push(list),
            Err(errors) => problems.extend(errors.iter().map(|error| Problem::new(name, error))),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Lists::new(lists).map_err(|error| vec![Problem::new("lists", error)])
}

/// Gives each window to the side that has its key.
fn sides(windows: Vec<Definition>, payment: &Fields) -> Result<(WindowSet, WindowSet), Vec<Problem>> {
    let set = || WindowSet {
        windows: Vec::new(),
        time: "event_time".to_string(),
        lateness_us: LATENESS_US,
        keys_max: KEYS_MAX,
        labels_follow: true,
    };
    let (mut merchant, mut card, mut problems) = (set(), set(), Vec::new());
    for window in windows {
        let keyed_by_label = window.key.iter().any(|field| field == LABEL);
        if keyed_by_label || window.speaks_of(LABEL) && window.speaks_of("kind") {
            problems.push(Problem::new(
                "windows",
                format!(
                    "window {}: what is said of payments ({LABEL}) is about swipes alone and is no key; leave out {}",
                    window.name,
                    if keyed_by_label { LABEL } else { "kind" }
                ),
            ));
            continue;
        }
        let mut window = about_swipes(window, payment);
        let [by_token, by_merchant, by_reader] =
            ["token", "merchant_id", "reader_id"].map(|name| window.key.iter().any(|field| field == name));
        if by_token {
            card.windows.push(window);
        } else if by_merchant {
            merchant.windows.push(window);
        } else if by_reader {
            // Under another merchant a reader's swipes lie in another partition, where nothing is known of these.
            window.key.insert(0, "merchant_id".to_string());
            merchant.windows.push(window);
        } else {
            let key = window.key.join(", ");
            problems.push(Problem::new("windows", format!(
                "window {}: a key of {key} lies in many partitions, so nothing can be kept for it as payments come; add \
                 token, merchant_id or reader_id to it, or compute it over the tables with `till fraud features --sql`, which is as late as you run it",
                window.name
            )));
        }
    }
    let checks = [&merchant, &card].map(|set| set.check().map_err(|error| Problem::new("windows", error)));
    problems.extend(checks.into_iter().filter_map(Result::err));
    if problems.is_empty() { Ok((merchant, card)) } else { Err(problems) }
}

/// The window itself where it speaks of `kind`, else of swipes alone.
fn about_swipes(window: Definition, payment: &Fields) -> Definition {
    let speaks_of_kind = |filter: &Expression| filter.fields().iter().any(|field| field.name() == "kind");
    let text = match &window.filter {
        Some(filter) if speaks_of_kind(filter) => return window,
        Some(filter) => format!("kind = 'swipe' and ({filter})"),
        None => "kind = 'swipe'".to_string(),
    };
    let filter =
        Expression::parse(&text, payment, &Lists::default()).expect("a condition stays one with another before it");
    Definition { filter: Some(filter), ..window }
}

/// Everything that a rule may speak of.
fn fields(merchant: &WindowSet, card: &WindowSet) -> Result<Fields, crate::fields::FieldsError> {
    let of_window = |window: &Definition| {
        let number = matches!(window.function.data_type(), arrow::datatypes::DataType::Float64);
        (window.name.clone(), if number { FieldType::Number } else { FieldType::Integer })
    };
    let plain = PAYMENT_FIELDS.into_iter().chain(GEO_FIELDS).chain([(SCORE, FieldType::Number)]);
    let plain = plain.map(|(name, field_type)| (name.to_string(), field_type));
    let windows = merchant.windows.iter().chain(&card.windows).map(of_window);
    Fields::new(plain.chain(windows))?.with_time("event_time")?.with_merchant("merchant_id")?.with_card("token")
}
