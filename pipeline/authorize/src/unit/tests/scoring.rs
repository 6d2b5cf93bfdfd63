//! What the unit does with judgements. The scorer here reads its judgement from the row's amount, so that the tests see
//! the unit alone; what real rules say is tested where they are.

use schemas::bundles::Policy;
use schemas::ids::ContentHash;
use schemas::judgement::{Judgement, Outcome};
use schemas::topics::kind;
use schemas::unit::{BundleSource, Unit};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use crate::testing::{Line, Row, Shelf, account, bundle, control, feed, later, of, short, swipe};
use crate::{AuthorizeUnit, Scorer};

/// Blocks amounts that end with 1, reviews those that end with 2, and counts what it has judged.
#[derive(Default)]
struct ByAmount {
    judged: u8,
}

impl Scorer for ByAmount {
    fn accept(&mut self, _hash: ContentHash, _content: &[u8], _at_us: i64) -> Result<(), String> {
        Err("no rules here".to_string())
    }

    fn bundle(&self) -> Option<ContentHash> {
        Some(ContentHash::of(b"rules"))
    }

    fn judge(&mut self, payments: &RecordBatch) -> Result<Vec<Option<Judgement>>, String> {
        let amounts = payments["amount_minor"].as_primitive::<Int64Type>();
        let kinds = payments["kind"].as_string::<i32>();
        let judged = (0..payments.num_rows()).map(|row| {
            let is_judged = matches!(kinds.value(row), kind::SWIPE | kind::REFUND) && amounts.is_valid(row);
            is_judged.then(|| {
                self.judged += 1;
                let outcome = match amounts.value(row) % 10 {
                    1 => Some(Outcome::Block),
                    2 => Some(Outcome::Review),
                    _ => None,
                };
                let features = vec![format!("judged = {}", self.judged)];
                Judgement {
                    outcome,
                    score: Some(0.5),
                    features,
                    sentence: "It looks odd".to_string(),
                    ..Judgement::default()
                }
            })
        });
        Ok(judged.collect())
    }

    fn save(&self) -> Result<Vec<u8>, String> {
        Ok(vec![self.judged])
    }

    fn restore(&mut self, state: Option<&[u8]>, _bundles: &dyn BundleSource) -> Result<(), String> {
        self.judged = *state.and_then(|state| state.first()).ok_or("there is no state")?;
        Ok(())
    }
}

fn content() -> Vec<u8> {
    bundle(Policy::default(), vec![account(1, 100_000)], vec![])
}

fn unit() -> AuthorizeUnit {
    let mut unit = AuthorizeUnit::new().with_scorer(Box::new(ByAmount::default()));
    control(&mut unit, &content()).unwrap();
    unit
}

fn sentences(lines: &[Line]) -> Vec<&str> {
    of(lines, "alerts").iter().map(|line| line.get("sentence")).collect()
}

#[test]
fn a_block_declines_and_a_review_lets_go_on_and_both_alert() {
    let mut unit = unit();
    let lines = feed(&mut unit, 0, &[swipe(0, 1, 101, 1), swipe(60, 1, 202, 2), swipe(120, 1, 303, 3)]);
    assert_eq!(
        short(&lines),
        [
            "authorization declined 59 risk_blocked 0 0",
            "authorization authorized 00 approved 202 0",
            "authorization authorized 00 approved 303 0"
        ]
    );
    assert_eq!(sentences(&lines), ["It looks odd; now 1.01 EUR at M017.", "It looks odd; now 2.02 EUR at M017."]);
    let decisions = of(&lines, "decisions");
    assert_eq!(decisions[1].get("findings"), "[risk_review]");
    assert_eq!(decisions[2].get("score"), "0.5");
    assert_eq!(decisions[2].get("features"), "[judged = 3]");
    assert_eq!(decisions[2].get("rules_bundle"), ContentHash::of(b"rules").to_hex());
}

/// Fails if a refund cannot be stopped, or its alert lies with another card than the payment's.
#[test]
fn refunds_are_judged_too() {
    let mut unit = unit();
    let paid = swipe(0, 1, 202, 1);
    let refund = |at_s, amount_minor| Row { amount_minor: Some(amount_minor), ..later(kind::REFUND, at_s, &paid) };
    let rows = [paid.clone(), later(kind::ANSWERED, 1, &paid), later(kind::SIGNATURE, 2, &paid)];
    let first = feed(&mut unit, 0, &rows);
    let lines = feed(&mut unit, 3, &[refund(60, 51), refund(70, 52), refund(80, 50)]);
    assert_eq!(
        short(&lines),
        [
            "refund captured 59 risk_blocked 0 0",
            "refund refunded_partly 00 approved 0 -52",
            "refund refunded_partly 00 approved 0 -50"
        ]
    );
    let given_back = "are given back by M017.";
    assert_eq!(
        sentences(&lines),
        [format!("It looks odd; now 0.51 EUR {given_back}"), format!("It looks odd; now 0.52 EUR {given_back}")]
    );
    let alerts = of(&lines, "alerts");
    assert_eq!(alerts[0].get("group_id"), of(&first, "alerts")[0].get("group_id"));
    assert_ne!(alerts[0].get("alert_id"), alerts[1].get("alert_id"));
}

/// Fails if a repeat is judged, or a row without a judgement quotes rules.
#[test]
fn what_is_not_judged_says_nothing_of_rules() {
    let mut unit = unit();
    let first = swipe(0, 1, 202, 1);
    let lines = feed(&mut unit, 0, &[first.clone(), Row { repeat: true, amount_minor: None, ..first }]);
    let again = of(&lines, "decisions")[1];
    assert_eq!([again.get("rules_bundle"), again.get("score"), again.get("features")], ["", "", ""]);
    assert_eq!(of(&lines, "alerts").len(), 1);
}

/// Fails if the scorer's state is not saved with the unit's.
#[test]
fn a_restart_goes_on_with_the_scorers_state() {
    let mut before = unit();
    feed(&mut before, 0, &[swipe(0, 1, 303, 1)]);
    let mut after = AuthorizeUnit::new().with_scorer(Box::new(ByAmount::default()));
    after.restore(&before.save().unwrap(), &Shelf(vec![content()])).unwrap();
    let lines = feed(&mut after, 1, &[swipe(60, 1, 404, 2)]);
    assert_eq!(of(&lines, "decisions")[0].get("features"), "[judged = 2]");
    assert_eq!(after.save().unwrap(), {
        feed(&mut before, 1, &[swipe(60, 1, 404, 2)]);
        before.save().unwrap()
    });
}
