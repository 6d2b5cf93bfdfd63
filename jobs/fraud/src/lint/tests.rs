use super::*;
use crate::expression::tests::{fields, lists};

fn found(text: &str) -> Vec<String> {
    let rules = RuleSet::parse(text, &fields(), &lists()).unwrap();
    lint(&rules, &lists()).iter().map(ToString::to_string).collect()
}

/// With both lists in use, so that only what a test is about is found.
fn beside_lists(text: &str) -> Vec<String> {
    found(&format!("rule lists review when token in @stolen or merchant_id in @trusted\n{text}"))
}

#[test]
fn unused_lists_are_found() {
    assert_eq!(found("rule a block when token in @stolen"), ["no rule looks into list trusted"]);
    assert!(beside_lists("").is_empty());
}

#[test]
fn repeated_conditions_are_found() {
    let text = "rule a block when score > 5 and amount_minor > 1\nrule b block when (score > 5) and amount_minor > 1";
    assert_eq!(beside_lists(text), ["rule b changes nothing: rule a of its class has the same condition"]);
    let other_class = text.replace("b block", "b review");
    assert!(beside_lists(&other_class).is_empty());
    // The earlier does not fire for all cards, or not where it is missing.
    assert!(beside_lists(&text.replace("a block", "a block rollout 50%")).is_empty());
    assert!(beside_lists(&text.replace("b block", "b block missing fires")).is_empty());
}

#[test]
fn what_is_allowed_anyway_is_found() {
    let text = "rule a review when score > 5\nrule b allow when score > 5";
    assert_eq!(beside_lists(text), ["rule a never decides: rule b allows under the same condition"]);
    assert!(beside_lists(&text.replace("b allow", "b allow rollout 99%")).is_empty());
}

#[test]
fn constants_are_found() {
    let of_part = |condition: &str| beside_lists(&format!("rule a block when {condition}"));
    let finding = |part: &str, value: &str| vec![format!("rule a: `{part}` is {value}")];
    let [always, never] = ["true", "false"].map(|value| format!("{value} wherever it is not missing"));
    assert_eq!(of_part("score > 5 and 1 > 2"), finding("1 > 2", &never));
    assert_eq!(of_part("not (1h = 60m and 2 > 1)"), finding("not (1h = 1h and 2 > 1)", &never));
    assert_eq!(of_part("score > 5 or 1 / 0 > 2"), finding("1 / 0 > 2", "missing for every payment"));
    assert_eq!(of_part("score > 5 and currency >= currency"), finding("currency >= currency", &always));
    // It is missing although nothing is, where the risk is zero.
    assert_eq!(of_part("score / risk = score / risk"), finding("score / risk = score / risk", &always));
    assert!(of_part("score > 5 and currency >= token").is_empty());
}
