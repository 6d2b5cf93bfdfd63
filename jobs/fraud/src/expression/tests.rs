pub(crate) mod properties;

use super::*;
use crate::lists::List;

/// Fields of every type, with all parts.
pub(crate) fn fields() -> Fields {
    let named = [
        ("amount_minor", FieldType::Integer),
        ("card_count_1h", FieldType::Integer),
        ("score", FieldType::Number),
        ("risk", FieldType::Number),
        ("currency", FieldType::Text),
        ("merchant_id", FieldType::Text),
        ("token", FieldType::Text),
        ("contactless", FieldType::Boolean),
        ("abroad", FieldType::Boolean),
        ("received_at", FieldType::Time),
        ("card_last_at", FieldType::Time),
    ];
    let fields = Fields::new(named).unwrap();
    fields.with_time("received_at").unwrap().with_merchant("merchant_id").unwrap().with_card("token").unwrap()
}

pub(crate) fn lists() -> Lists {
    let stolen = "global tok_1\nglobal tok_2 until 1970-01-01T00:00:10Z\nmerchant !tok_1 at m_1";
    Lists::new([List::parse("stolen", stolen).unwrap(), List::parse("trusted", "global m_1").unwrap()]).unwrap()
}

pub(crate) fn parsed(text: &str) -> Expression {
    match Expression::parse(text, &fields(), &lists()) {
        Ok(expression) => expression,
        Err(errors) => panic!("{}", errors.iter().map(|error| error.marked(text)).collect::<Vec<_>>().join("\n")),
    }
}

/// The errors of a text as people see them.
fn marked(text: &str) -> String {
    let errors = Expression::parse(text, &fields(), &lists()).unwrap_err();
    errors.iter().map(|error| error.marked(text)).collect::<Vec<_>>().join("\n")
}

pub(crate) fn row(values: impl IntoIterator<Item = (&'static str, FieldValue)>) -> FieldValues {
    let mut row = FieldValues::new(&fields());
    for (name, value) in values {
        row.set(name, value).unwrap();
    }
    row
}

fn usual_row() -> FieldValues {
    use FieldValue::{Boolean, Integer, Number, Text, Time};
    row([
        ("amount_minor", Integer(25_000)),
        ("card_count_1h", Integer(7)),
        ("score", Number(83.5)),
        ("currency", Text("EUR".into())),
        ("token", Text("tok_1".into())),
        ("contactless", Boolean(true)),
        ("received_at", Time(1_795_907_700_000_000)),
        ("card_last_at", Time(1_795_907_688_000_000)),
    ])
}

fn value(text: &str) -> Option<FieldValue> {
    parsed(text).evaluate_row(&usual_row())
}

#[track_caller]
fn assert_truth(text: &str, truth: Option<bool>) {
    assert_eq!(value(text), truth.map(FieldValue::Boolean), "{text}");
}

#[test]
fn operators_bind_as_written() {
    for (text, truth) in [
        ("amount_minor > 100_00 and card_count_1h >= 5", true),
        ("false and false or true", true),
        ("false and (false or true)", false),
        ("not false and false", false),
        ("not card_count_1h = 6", true),
        ("2 + 3 * 4 = 14 and (2 + 3) * 4 = 20 and 10 - 3 - 2 = 5", true),
        ("-2 * -3 = 6 and - - 2 = 2 and 3 - -2 = 5", true),
        ("8 / 2 / 2 = 2", true),
        ("contactless = (score > 80)", true),
        ("card_count_1h is missing = false", false),
    ] {
        if text.contains("is missing =") {
            assert!(marked(text).contains("comparisons do not chain"));
        } else {
            assert_truth(text, Some(truth));
        }
    }
}

#[test]
fn functions_and_units() {
    for text in [
        "abs(-5) = 5 and abs(-1.5) = 1.5",
        "min(3, 1, 2) = 1 and max(1, 2.5) = 2.5",
        "hour(received_at) = 23 and weekday(received_at) = 6",
        "received_at - card_last_at < 30s and received_at - card_last_at = 12s",
        "received_at - 1d < card_last_at and max(received_at, card_last_at) = received_at",
        "90m = 1h + 30m and 1h = 3_600_000_000",
        "lower('EUR') = 'eur' and lower('ÄΣ') = 'äσ' and 'it''s' != 'its'",
        "currency in ('USD', 'EUR') and card_count_1h in (7) and score in (83.5, 1)",
        "token in @stolen and not currency in @stolen",
        "9_007_199_254_740_993 > 9007199254740992.0",
    ] {
        assert_truth(text, Some(true));
    }
}

/// The meaning of missing, line by line of the module's words.
#[test]
fn missing_means_one_thing() {
    for (text, truth) in [
        ("risk > 5", None),
        ("not (risk > 5)", None),
        ("not not (risk > 5)", None),
        ("risk = risk", None),
        ("risk in (1.5, 2)", None),
        ("not risk in (1.5)", None),
        ("merchant_id in @trusted", None),
        ("risk + 1 > 0", None),
        ("abs(risk) > 0 or max(risk, 1) > 0", None),
        ("score / 0 > 1", None),
        ("score / 0 is missing", Some(true)),
        ("9_223_372_036_854_775_807 + 1 is missing", Some(true)),
        ("-(-9_223_372_036_854_775_807 - 1) is missing", Some(true)),
        ("risk > 5 and false", Some(false)),
        ("risk > 5 or true", Some(true)),
        ("risk > 5 and true", None),
        ("risk > 5 or false", None),
        ("risk is missing and score is not missing", Some(true)),
        ("(risk > 5) is missing", Some(true)),
        ("abroad", None),
        ("not abroad = contactless", None),
    ] {
        assert_truth(text, truth);
    }
    let infinite = row([("score", FieldValue::Number(f64::NAN)), ("risk", FieldValue::Number(f64::INFINITY))]);
    let missing = parsed("score is missing and risk is missing").evaluate_row(&infinite);
    assert_eq!(missing, Some(FieldValue::Boolean(true)));
}

#[test]
fn lists_are_asked_with_merchant_and_time() {
    use FieldValue::{Text, Time};
    let stolen = |token: &str, merchant: &str, time_us: Option<i64>| {
        let mut row = row([("token", Text(token.into())), ("merchant_id", Text(merchant.into()))]);
        if let Some(time_us) = time_us {
            row.set("received_at", Time(time_us)).unwrap();
        }
        match parsed("token in @stolen").evaluate_row(&row) {
            Some(FieldValue::Boolean(truth)) => Some(truth),
            _ => None,
        }
    };
    assert_eq!(stolen("tok_1", "m_2", Some(0)), Some(true));
    assert_eq!(stolen("tok_1", "m_1", Some(0)), Some(false));
    assert_eq!(stolen("tok_2", "m_1", Some(9_999_999)), Some(true));
    assert_eq!(stolen("tok_2", "m_1", Some(10_000_000)), Some(false));
    assert_eq!(stolen("tok_1", "m_2", None), None);
}

#[test]
fn errors_are_marked() {
    for (text, expected) in [
        (
            "amount_minor > 5 and card_cuont_1h >= 5",
            "line 1: there is no field card_cuont_1h; did you mean `card_count_1h`?\n  \
               amount_minor > 5 and card_cuont_1h >= 5\n  \
             \u{20}                    ^^^^^^^^^^^^^",
        ),
        ("score >\n  'high'", "line 1: a number cannot be compared with a text\n  score >\n  ^^^^^^^"),
        (
            "currency in @stollen",
            "line 1: there is no list stollen; did you mean `stolen`?\n  \
               currency in @stollen\n  \
             \u{20}           ^^^^^^^^",
        ),
        ("score == 5", "line 1: equal is written `=`\n  score == 5\n        ^^"),
        (
            "score = 5 adn true",
            "line 1: `and`, `or`, a comparison or the end should stand here; did you mean `and`?\n  \
               score = 5 adn true\n  \
             \u{20}         ^^^",
        ),
        (
            "(score = 5",
            "line 1: `)`, `and`, `or` or a comparison should follow, but the text ends here\n  \
               (score = 5\n  \
             \u{20}         ^",
        ),
        (
            "weekdy(received_at)",
            "line 1: there is no function weekdy; did you mean `weekday`?\n  weekdy(received_at)\n  ^^^^^^",
        ),
        (
            "weekdy(recieved_at) = 1",
            "line 1: there is no function weekdy; did you mean `weekday`?\n  weekdy(recieved_at) = 1\n  ^^^^^^\n\
             line 1: there is no field recieved_at; did you mean `received_at`?\n  weekdy(recieved_at) = 1\n  \
             \u{20}      ^^^^^^^^^^^",
        ),
        (
            "tokn in @stollen",
            "line 1: there is no field tokn; did you mean `token`?\n  tokn in @stollen\n  ^^^^\n\
             line 1: there is no list stollen; did you mean `stolen`?\n  tokn in @stollen\n          ^^^^^^^^",
        ),
        (
            "1 < score < 5",
            "line 1: comparisons do not chain; join two with `and`, or put the first in parentheses\n  \
               1 < score < 5\n  \
             \u{20}         ^",
        ),
        (
            "currency = 'EUR",
            "line 1: this text has no closing quote on its line, or a control character in it\n  \
               currency = 'EUR\n  \
             \u{20}          ^^^^",
        ),
        (
            "# all of them\nfoo and scroe > 1 and currency > 2",
            "line 2: there is no field foo\n  foo and scroe > 1 and currency > 2\n  ^^^\n\
             line 2: there is no field scroe; did you mean `score`?\n  foo and scroe > 1 and currency > 2\n  \
             \u{20}       ^^^^^\n\
             line 2: a text cannot be compared with an integer\n  foo and scroe > 1 and currency > 2\n  \
             \u{20}                     ^^^^^^^^^^^^",
        ),
    ] {
        assert_eq!(marked(text), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (text, part) in [
        ("", "a value should follow, but the text ends here"),
        ("amount_minor and true", "true or false should stand here, not an integer"),
        ("currency + 1 = 2", "this cannot be done with a text and an integer"),
        ("received_at + received_at = received_at", "this cannot be done with a time and a time"),
        ("currency / 2 = 1", "a number should stand here, not a text"),
        ("-currency = 'a'", "a text has no sign"),
        ("true < false", "true and false have no order"),
        ("contactless in (1)", "true or false is not looked for among values"),
        ("score in (9_007_199_254_740_993)", "an integer is never among values that are compared with a number"),
        ("amount_minor in (1, 'a', 2.5)", "a text is never among values that are compared with an integer"),
        ("amount_minor in @stolen", "lists hold texts, not an integer"),
        ("amount_minor in ()", "a value should stand here"),
        ("hour(amount_minor) = 1", "hour is not for an integer"),
        ("abs(1, 2) = 1", "abs takes one value"),
        ("min(1) = 1", "this takes two values or more"),
        ("1 = not true", "put this `not` and what it is about in parentheses"),
        ("score not in (1)", "`not` stands before all of it"),
        ("score is 5", "`missing` or `not missing` should stand here"),
        ("score = 5x", "durations end with s, m, h or d"),
        ("score = 1.5h", "a decimal has no unit"),
        ("score = 5_", "a `_` stands between digits"),
        ("amount_minor = 9_223_372_036_854_775_808", "this is beyond 64 bits with a sign"),
        ("amount_minor = 99_999_999_999_999_999_999", "this number is too large"),
        ("amount_minor = 999_999_999_999_999d", "this duration is too long"),
        ("currency = \"EUR\"", "a text stands between single quotes"),
        ("Currency = 'EUR'", "there is no field Currency; did you mean `currency`?"),
        ("score = 5 & true", "this sign means nothing here"),
        ("when = 5", "a value should stand here"),
    ] {
        assert!(marked(text).contains(part), "{text}: {}", marked(text));
    }
}

/// Fails with a stack overflow if depth is not bounded while it is read, and while it is evaluated.
#[test]
fn depth_and_length_are_bounded() {
    let many = 16_000;
    for text in [
        "(".repeat(many),
        "not ".repeat(many),
        "-".repeat(many) + "score",
        "abs(".repeat(many),
        "score = ".to_string() + &"1 + ".repeat(12_000) + "1",
        format!("min({}) = 1", vec!["1"; 500].join(", ")),
    ] {
        assert!(marked(&text).contains("levels deep"), "{}", &text[..20]);
    }
    assert!(marked(&" ".repeat(TEXT_BYTES_MAX + 1)).contains("longer than"));
    // Each unknown name is compared with all fields.
    let unknown = Expression::parse(&(" and a".repeat(10_000)[5..]), &fields(), &lists());
    assert_eq!(unknown.unwrap_err().len(), ERRORS_MAX);
    let values = vec!["1"; LIST_VALUES_MAX + 1].join(",");
    assert!(marked(&format!("amount_minor in ({values})")).contains("make a list of them"));
    // Long is not deep.
    assert_truth(&vec!["true"; 7_000].join(" and "), Some(true));
    assert_truth(&format!("{}true{}", "(".repeat(DEPTH_MAX - 1), ")".repeat(DEPTH_MAX - 1)), Some(true));
    // The highest tree that is allowed, of the widest calls.
    let deep = (0..32).fold("score".to_string(), |inner, _| format!("min({inner}, 1, 2)"));
    assert_truth(&format!("{deep} = 1"), Some(true));
}

#[test]
fn values_are_filled_in() {
    for (text, filled) in [
        ("amount_minor > 10000 and card_count_1h >= 5", "amount_minor = 25000 > 10000 and card_count_1h = 7 >= 5"),
        ("currency = 'EUR' or currency = 'USD'", "currency = 'EUR' or (currency = 'EUR') = 'USD'"),
        ("score / 2 > risk", "(score = 83.5) / 2 > (risk = missing)"),
        ("abs(score) != 1", "abs(score = 83.5) != 1"),
        ("abs(score) = 83.5", "abs(score = 83.5) = 83.5"),
        ("hour(received_at) = 23", "hour(received_at = 2026-11-28T23:15:00Z) = 23"),
        ("(amount_minor > 5) = contactless", "(amount_minor = 25000 > 5) = (contactless = true)"),
        ("contactless and not abroad", "contactless = true and not abroad = missing"),
        ("risk is missing and token in @stolen", "risk = missing is missing and token = 'tok_1' in @stolen"),
        ("received_at > card_last_at", "received_at = 2026-11-28T23:15:00Z > (card_last_at = 2026-11-28T23:14:48Z)"),
        ("card_count_1h in (1,2,3,4,5,6,7,8,9,10)", "card_count_1h = 7 in (1, 2, 3, 4, 5, 6, 7, 8, and 2 more)"),
    ] {
        assert_eq!(parsed(text).filled_in(&usual_row()), filled);
    }
    let long = row([("currency", FieldValue::Text("it's\n".repeat(100)))]);
    let filled = parsed("currency != 'EUR'").filled_in(&long);
    assert!(filled.starts_with("currency = 'it''s it''s ") && filled.ends_with("…' != 'EUR'"), "{filled}");
}

#[test]
fn batches_must_have_the_columns() {
    use arrow::array::{Int32Array, StringArray};
    use std::sync::Arc;
    let column = |name: &str, values: ArrayRef| RecordBatch::try_from_iter([(name, values)]).unwrap();
    let amounts = column("amount_minor", Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])));
    let values = parsed("amount_minor * 2").evaluate_columns(&amounts).unwrap();
    assert_eq!(*values, arrow::array::Int64Array::from(vec![Some(2), None, Some(6)]));
    let error = parsed("score > 1").evaluate_columns(&amounts).unwrap_err();
    assert_eq!(error.to_string(), "there is no column score");
    let texts = column("amount_minor", Arc::new(StringArray::from(vec!["1"])));
    let error = parsed("amount_minor > 1").evaluate_columns(&texts).unwrap_err();
    assert_eq!(error.to_string(), "column amount_minor should be an integer, and is of type Utf8");
    // A short slice of a long batch costs what it holds.
    let long = column("currency", Arc::new(StringArray::from(vec!["EURO"; 100_000]))).slice(7, 1);
    let lowered = parsed("lower(currency)").evaluate_columns(&long).unwrap();
    assert!(lowered.get_array_memory_size() < 10_000, "{}", lowered.get_array_memory_size());
    let nothing = column("score", Arc::new(arrow::array::NullArray::new(2)));
    assert_eq!(parsed("score > 1").evaluate_columns(&nothing).unwrap().null_count(), 2);
}
