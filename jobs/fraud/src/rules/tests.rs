use proptest::prelude::*;

use super::*;
use crate::expression::tests::properties::{any_condition, any_rows, sliced, values};
use crate::expression::tests::{fields, lists, row};
use crate::expression::{FieldValue, FieldValues};

const FILE: &str = "\
# One card on many readers.
rule fast_spending review
  \"7 payments of one card in an hour\"
  when card_count_1h >= 6 # more than anybody
    and amount_minor > 1_000

rule stolen_card block
  missing fires
  when token in @stolen

rule trusted allow when merchant_id in @trusted and amount_minor < 5000
";

fn set(text: &str) -> RuleSet {
    match RuleSet::parse(text, &fields(), &lists()) {
        Ok(rules) => rules,
        Err(errors) => panic!("{}", errors.iter().map(|error| error.marked(text)).collect::<Vec<_>>().join("\n")),
    }
}

/// The errors of a text as people see them.
fn marked(text: &str) -> String {
    let errors = RuleSet::parse(text, &fields(), &lists()).unwrap_err();
    errors.iter().map(|error| error.marked(text)).collect::<Vec<_>>().join("\n")
}

fn payment(token: Option<&str>, merchant: &str, count: i64, amount_minor: i64) -> FieldValues {
    use FieldValue::{Integer, Text, Time};
    let token = token.map(|token| ("token", Text(token.into())));
    let others = [
        ("merchant_id", Text(merchant.into())),
        ("card_count_1h", Integer(count)),
        ("amount_minor", Integer(amount_minor)),
        ("received_at", Time(0)),
    ];
    row(others.into_iter().chain(token))
}

/// Fails where another rule changes, a comment is lost, or a share is put beside the one that is there.
#[test]
fn a_rollout_is_changed_in_the_text() {
    let once = set(FILE).with_rollout(FILE, "fast_spending", "25%").unwrap();
    assert_eq!(once, FILE.replace("an hour\"\n", "an hour\" rollout 25%\n"));
    let twice = set(&once).with_rollout(&once, "fast_spending", "100%").unwrap();
    assert_eq!(twice, FILE.replace("an hour\"\n", "an hour\" rollout 100%\n"));
    assert_eq!(set(&set(FILE).with_rollout(FILE, "trusted", "0.5%").unwrap()).rules()[2].rollout(), 50);
    assert_eq!(set(FILE).with_rollout(FILE, "unknown", "25%"), None);
}

#[test]
fn a_file_is_read() {
    let rules = set(FILE);
    let [fast, stolen, trusted] = rules.rules() else { panic!("three rules") };
    assert_eq!((fast.name(), fast.class(), fast.rollout()), ("fast_spending", Class::Review, BUCKETS));
    assert_eq!(fast.description(), Some("7 payments of one card in an hour"));
    assert_eq!(fast.condition(), "card_count_1h >= 6 and amount_minor > 1000");
    assert_eq!(&FILE[fast.name_span()], "fast_spending");
    assert!(FILE[fast.condition_span()].starts_with("card_count_1h >= 6 #"));
    assert!(FILE[fast.condition_span()].ends_with("1_000"));
    assert!(stolen.missing_fires() && !trusted.missing_fires());
    let names: Vec<&str> = rules.fields().iter().map(Field::name).collect();
    assert_eq!(names, ["amount_minor", "card_count_1h", "merchant_id", "token", "received_at"]);
    assert_eq!(rules.identity().len(), 64);
    assert_ne!(rules.identity(), set(&FILE.replace("1_000", "1000")).identity());
    assert_eq!(set("").rules().len(), 0);
}

#[test]
fn the_order_of_classes_decides() {
    let rules = set(FILE);
    let verdict = |payment: &FieldValues| {
        let Verdict { outcome, fired } = rules.evaluate_row(payment);
        (outcome, fired)
    };
    // Every rule is evaluated, also after one that allows.
    assert_eq!(verdict(&payment(Some("tok_1"), "m_2", 9, 2_000)), (Some(Class::Block), vec![0, 1]));
    assert_eq!(verdict(&payment(Some("tok_1"), "m_1", 9, 2_000)), (Some(Class::Allow), vec![0, 2]));
    assert_eq!(verdict(&payment(Some("tok_9"), "m_2", 9, 2_000)), (Some(Class::Review), vec![0]));
    assert_eq!(verdict(&payment(Some("tok_9"), "m_2", 1, 2_000)), (None, vec![]));
    // Without a token nobody knows.
    assert_eq!(verdict(&payment(None, "m_2", 1, 2_000)), (Some(Class::Block), vec![1]));
    let filled = rules.rules()[0].filled_in(&payment(None, "m_2", 9, 2_000));
    assert_eq!(filled, "card_count_1h = 9 >= 6 and amount_minor = 2000 > 1000");
    assert_eq!(rules.rules()[1].filled_in(&payment(None, "m_2", 9, 2_000)), "token = missing in @stolen");
}

#[test]
fn all_errors_of_a_file_are_said() {
    let text = "\
rule one review when card_cuont_1h > 1 and scroe > 1
rule two blok when true
rule One allow when true
rule three allow
  rollout 0%
  when true
rule one block when 'text
rule four review missing fires wenn true
rule five review \"no end
  when true
rule six review when true
when rule seven review when score > 1 score
rule";
    let expected = "\
line 1: there is no field card_cuont_1h; did you mean `card_count_1h`?
  rule one review when card_cuont_1h > 1 and scroe > 1
                       ^^^^^^^^^^^^^
line 1: there is no field scroe; did you mean `score`?
  rule one review when card_cuont_1h > 1 and scroe > 1
                                             ^^^^^
line 2: the rule's class, `allow`, `block` or `review`, should stand here; did you mean `block`?
  rule two blok when true
           ^^^^
line 3: the rule's name, in lower-case letters, digits and underscores, no word of the language, should stand here
  rule One allow when true
       ^^^
line 5: a share is 0.01% to 100%, with at most two digits behind its point
    rollout 0%
            ^
line 7: rule one stands in line 1 already
  rule one block when 'text
       ^^^
line 7: this text has no closing quote on its line, or a control character in it
  rule one block when 'text
                      ^^^^^
line 8: `when` with the rule's condition, after description, `rollout` and `missing fires`, should stand here; \
did you mean `when`?
  rule four review missing fires wenn true
                                 ^^^^
line 9: this description has no closing quote on its line, or a control character in it
  rule five review \"no end
                   ^^^^^^^
line 12: `and`, `or`, a comparison or the end should stand here
  when rule seven review when score > 1 score
  ^^^^
line 12: `and`, `or`, a comparison or the end should stand here
  when rule seven review when score > 1 score
                                        ^^^^^
line 13: the rule's name, in lower-case letters, digits and underscores, no word of the language, should follow, \
but the text ends here
  rule
      ^";
    assert_eq!(marked(text), expected);
}

#[test]
fn files_are_bounded() {
    let rule = |index: usize| format!("rule r{index} allow when true\n");
    let full: String = (0..RULES_MAX).map(rule).collect();
    assert_eq!(set(&full).rules().len(), RULES_MAX);
    assert!(marked(&(full + "rule more allow when true")).contains("there are more than 1000 rules"));
    assert!(marked(&" ".repeat(RULES_BYTES_MAX + 1)).contains("longer than"));
    let wrong = "rule a allow when b\n".repeat(10_000);
    assert_eq!(RuleSet::parse(&wrong, &fields(), &lists()).unwrap_err().len(), ERRORS_MAX);
}

/// Fails if the hash or what goes into it changes: cards would change sides of running rollouts.
#[test]
fn rollouts_are_stable_and_grow() {
    // printf 'fast_spending\0tok_1' | sha256sum | cut -c 1-16, as a number, modulo 10000
    assert_eq!(bucket("fast_spending", "tok_1"), 2446);
    let rollout = |share: &str| set(&format!("rule wide review rollout {share} when true"));
    let fires = |rules: &RuleSet, token: &str| !rules.evaluate_row(&payment(Some(token), "m", 0, 0)).fired.is_empty();
    let (small, large) = (rollout("5.25%"), rollout("50%"));
    assert_eq!(small.rules()[0].rollout(), 525);
    let tokens: Vec<String> = (0..4_000).map(|index| format!("tok_{index}")).collect();
    let count = |rules: &RuleSet| tokens.iter().filter(|token| fires(rules, token)).count();
    assert!((160..260).contains(&count(&small)), "{}", count(&small));
    assert!((1_900..2_100).contains(&count(&large)), "{}", count(&large));
    assert!(tokens.iter().all(|token| !fires(&small, token) || fires(&large, token)));
    assert!(!fires(&set("rule wide review rollout 100.00% when false"), "tok_1"));
    assert!(large.evaluate_row(&payment(None, "m", 0, 0)).fired.is_empty());
    for share in ["0.00", "100.01", "0.001", "101", "5.123", "99999999999999999999"] {
        assert!(marked(&format!("rule wide review rollout {share}% when true")).contains("line 1"), "{share}");
    }
}

pub(crate) fn any_file() -> impl Strategy<Value = String> {
    let rule = (0..3usize, any::<bool>(), prop::option::of(1..10_000u16), any_condition());
    prop::collection::vec(rule, 1..6).prop_map(|rules| {
        let text =
            |(index, (class, missing_fires, rollout, condition)): (usize, (usize, bool, Option<u16>, String))| {
                let class = Class::ALL[class];
                let rollout = rollout.map(|share| format!("  rollout {}.{:02}%\n", share / 100, share % 100));
                let missing = if missing_fires { "  missing fires\n" } else { "" };
                format!("rule r{index} {class}\n{}{missing}  when {condition}\n", rollout.unwrap_or_default())
            };
        rules.into_iter().enumerate().map(text).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn columns_equal_rows(text in any_file(), any_rows in any_rows(), first in 0usize..70) {
        let Ok(rules) = RuleSet::parse(&text, &fields(), &lists()) else { return Ok(()) };
        let (batch, rows) = sliced(&any_rows, first);
        let verdicts = rules.evaluate_columns(&batch).unwrap();
        prop_assert_eq!(verdicts.outcomes().len(), rows.len());
        for (index, any_row) in rows.iter().enumerate() {
            let Verdict { outcome, fired } = rules.evaluate_row(&values(any_row));
            prop_assert_eq!(verdicts.outcomes()[index], outcome);
            prop_assert_eq!(verdicts.fired_in(index).collect::<Vec<_>>(), fired);
        }
        prop_assert_eq!(crate::lint::lint(&rules, &lists()), crate::lint::lint(&rules, &lists()));
    }

    #[test]
    fn no_text_panics(
        text in any_file(), cut in any::<prop::sample::Index>(),
        put in "(rule|when|allow|\"|'|%|rollout|5| |\n|[^a]){0,9}",
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let place = (0..=cut.index(text.len() + 1)).rev().find(|place| text.is_char_boundary(*place)).unwrap();
        let spliced = [&text[..place], &put, &text[place..]].concat();
        for text in [&text[..place], &spliced, &String::from_utf8_lossy(&bytes)] {
            if let Err(errors) = RuleSet::parse(text, &fields(), &lists()) {
                prop_assert!(!errors.is_empty() && errors.len() <= ERRORS_MAX);
                for error in errors {
                    prop_assert!(text.get(error.span.clone()).is_some());
                    let _ = error.marked(text);
                }
            }
        }
    }
}
