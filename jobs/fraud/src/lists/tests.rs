use proptest::prelude::*;

use super::*;

const SECOND_US: i64 = 1_000_000;

fn list(text: &str) -> List {
    List::parse("stolen", text).unwrap()
}

/// Errors as an edge would print them.
fn errors(text: &str) -> Vec<String> {
    List::parse("stolen", text).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn entries_expire_by_the_payments_time() {
    let list = list("global a until 1970-01-01T00:00:10Z # ten seconds\nglobal b");
    assert!(list.holds("a", None, 10 * SECOND_US - 1));
    assert!(!list.holds("a", None, 10 * SECOND_US));
    assert!(list.holds("b", Some("m_1"), i64::MAX));
    assert!(!list.holds("c", None, 0));
}

/// Fails if the first entry that fits decides, or the last.
#[test]
fn the_nearest_entry_decides() {
    let list = list(
        "global   card\n\
         merchant !card at m_1\n\
         merchant !card at m_2\n\
         case     card  at m_2 until 1970-01-01T00:00:10Z\n\
         case     !card until 1970-01-01T00:00:05Z\n",
    );
    let holds = |merchant: &str, second: i64| list.holds("card", Some(merchant), second * SECOND_US);
    // The case takes it off for all, except for m_2.
    assert!(!holds("m_0", 0) && !holds("m_1", 0) && holds("m_2", 0));
    // Then the merchants decide, but m_2 still has a case of his own.
    assert!(holds("m_0", 5) && !holds("m_1", 5) && holds("m_2", 5));
    assert!(holds("m_0", 10) && !holds("m_1", 10) && !holds("m_2", 10));
    assert!(list.holds("card", None, 10 * SECOND_US));
}

#[test]
fn values_may_be_quoted() {
    let list = list("global 'it''s # here'\nmerchant !'at' at 'm 1' until '2027-01-01T00:00:00Z'\n\n# end");
    assert_eq!(list.entries().len(), 2);
    assert!(list.holds("it's # here", None, 0));
    assert_eq!(list.entries()[0].merchant.as_deref(), Some("m 1"));
    assert!(list.entries()[0].is_exclusion);
}

#[test]
fn every_wrong_line_is_said() {
    let text = "allow a\nglobal\nglobal 'a\nglobal a b\nglobal a at\nglobal a until soon\nglobal a at m\nmerchant a\n\
        case a\nglobal ''\nglobal b\nglobal b until 2027-01-01T00:00:00Z\nglobal c until 1970-01-01T00:00:00Z until x";
    let expected = [
        "line 1: a line begins with global, merchant or case, not with \"allow\"",
        "line 2: there is no value",
        "line 3: a value between quotes ends with a quote and a blank; a quote within is written twice",
        "line 4: after the value come `at MERCHANT` and `until TIME`, each once, not \"b\"",
        "line 5: something should follow \"at\"",
        "line 6: \"soon\" is no time of RFC 3339, such as 2026-12-31T00:00:00Z",
        "line 7: a global entry is for all merchants: leave `at` out, or make it `merchant`",
        "line 8: a merchant's entry says for whom: `at MERCHANT`",
        "line 9: an entry of a case goes out by itself: say when with `until TIME`",
        "line 10: there is no value",
        "line 12: this value stands in line 11 already, in the same tier for the same merchant",
        "line 13: after the value come `at MERCHANT` and `until TIME`, each once, not \"until\"",
    ];
    assert_eq!(errors(text), expected.map(|error| format!("list stolen, {error}")));
}

#[test]
fn lists_are_bounded() {
    let line = |index: usize| format!("global value_{index}\n");
    let full: String = (0..ENTRIES_MAX).map(line).collect();
    assert!(list(&full).holds("value_49999", None, 0));
    assert_eq!(errors(&(full + "global more")), ["list stolen, line 50001: the list has more than 50000 entries"]);
    assert_eq!(errors(&format!("global {}", "a".repeat(VALUE_BYTES_MAX + 1))).len(), 1);
    assert_eq!(errors(&"x\n".repeat(1_000)).len(), 100);
    assert_eq!(errors(&" ".repeat(LIST_BYTES_MAX + 1)).len(), 1);
    assert!(List::parse("Stolen", "").is_err());
}

#[test]
fn lists_have_names_and_identities() {
    let lists = Lists::new([list("global a"), List::parse("trusted", "").unwrap()]).unwrap();
    assert_eq!(lists.nearest("stollen").as_deref(), Some("stolen"));
    assert!(Lists::new([list(""), list("")]).is_err());
    // printf '' | sha256sum
    assert_eq!(
        lists.get("trusted").unwrap().identity(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*", lines in prop::collection::vec(
        "(global|merchant|case|!|'|''|a|at|until|2027-01-01T00:00:00Z|#| |\n){0,12}", 0..5)) {
        let _ = List::parse("any", &text);
        let _ = List::parse("any", &lines.join("\n"));
    }

    /// Against all entries gone through one by one.
    #[test]
    fn lookups_agree_with_a_search(
        written in prop::collection::vec((0usize..3, 0..3, any::<bool>(), 0..3, 0i64..6), 0..20),
        value in 0..3, merchant in 0..3, time_s in 0i64..6,
    ) {
        let mut seen = std::collections::BTreeSet::new();
        let mut entries = Vec::new();
        for (tier, value, is_exclusion, merchant, until_s) in written {
            let tier = Tier::ALL[tier];
            let merchant = match tier {
                Tier::Global => None,
                Tier::Merchant => Some(format!("m_{merchant}")),
                Tier::Case => (merchant > 0).then(|| format!("m_{merchant}")),
            };
            if seen.insert((tier, value, merchant.clone())) {
                let until_us = (tier == Tier::Case || until_s > 2).then_some(until_s * SECOND_US);
                entries.push(Entry { tier, value: format!("v_{value}"), is_exclusion, merchant, until_us });
            }
        }
        let list = List::of("any", "", entries.clone());
        let (value, merchant, time_us) = (format!("v_{value}"), format!("m_{merchant}"), time_s * SECOND_US);
        let find = |tier: Tier, is_scoped: bool| entries.iter().find(|entry| {
            entry.tier == tier && entry.value == value && entry.merchant.is_some() == is_scoped
                && entry.merchant.as_ref().is_none_or(|scope| *scope == merchant)
                && entry.until_us.is_none_or(|until_us| time_us < until_us)
        });
        let nearest = find(Tier::Case, true)
            .or_else(|| find(Tier::Case, false))
            .or_else(|| find(Tier::Merchant, true))
            .or_else(|| find(Tier::Global, false));
        prop_assert_eq!(list.holds(&value, Some(&merchant), time_us), nearest.is_some_and(|entry| !entry.is_exclusion));
    }
}
