mod properties;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, TimestampMicrosecondArray};

use super::*;
use crate::expression::tests::{fields, lists};

const HOUR_US: i64 = 3_600_000_000;

fn set() -> RuleSet {
    let text =
        "rule large block when amount_minor > 5\nrule fast review when score > 5\nrule idle allow when score > 6";
    RuleSet::parse(text, &fields(), &lists()).unwrap()
}

fn fired_columns() -> FiredColumns {
    FiredColumns {
        rule: "rule_name".into(),
        payment: "payment_id".into(),
        card: "token".into(),
        time: "event_time".into(),
        amount: "amount_minor".into(),
        refused: Some("refused".into()),
    }
}

fn label_columns() -> LabelColumns {
    LabelColumns { payment: "payment_id".into(), label: "fraud".into() }
}

/// Rule, payment, card, hours since the epoch, amount, refused.
type Row<'a> = (&'a str, &'a str, Option<&'a str>, Option<i64>, i64, bool);

fn fired_batch(rows: &[Row<'_>]) -> RecordBatch {
    let columns: [(&str, ArrayRef); 6] = [
        ("rule_name", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)))),
        ("payment_id", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)))),
        ("token", Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2)))),
        (
            "event_time",
            Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.3.map(|hour| hour * HOUR_US)))),
        ),
        ("amount_minor", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.4)))),
        ("refused", Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.5))))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn label_batch(labels: &[(&str, Option<bool>)]) -> RecordBatch {
    let columns: [(&str, ArrayRef); 2] = [
        ("payment_id", Arc::new(StringArray::from_iter_values(labels.iter().map(|label| label.0)))),
        ("fraud", Arc::new(BooleanArray::from_iter(labels.iter().map(|label| label.1)))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn reported(fired: &[RecordBatch], labels: &[RecordBatch]) -> QualityReport {
    let mut rules = FiredRules::new(&set(), &fired_columns()).unwrap();
    fired.iter().for_each(|batch| rules.add(batch).unwrap());
    let mut quality = rules.labels(&label_columns()).unwrap();
    labels.iter().for_each(|batch| quality.add(batch).unwrap());
    quality.report(Some(Currency::EUR))
}

const FIRED: [Row<'_>; 10] = [
    ("large", "pay_1", Some("tok_1"), Some(0), 1_000, false),
    ("fast", "pay_1", Some("tok_1"), Some(0), 1_000, false),
    // The same again: a table may hold a row twice.
    ("fast", "pay_1", Some("tok_1"), Some(0), 1_000, false),
    // A day later to the microsecond, then a moment less than that.
    ("large", "pay_2", Some("tok_1"), Some(24), 2_000, false),
    ("large", "pay_3", Some("tok_1"), Some(47), 3_000, true),
    // Another card, and another rule of that card.
    ("large", "pay_4", Some("tok_2"), Some(47), 4_000, false),
    ("fast", "pay_4", Some("tok_2"), Some(47), 4_000, false),
    ("fast", "pay_5", None, Some(47), 5_000, false),
    ("gone", "pay_5", None, None, 5_000, false),
    ("gone", "pay_6", Some("tok_1"), None, 6_000, false),
];

const TEXT: &str = "\
rule   hits  labelled  frauds  genuine  unlabelled  unknowable  frauds EUR  genuine EUR  precision  false positives  \
repeats   fires with
large     4         3       1        2           0           1       10.00        60.00      33.3%              2.0    \
25.0%   fast 50.0%
fast      3         2       1        1           1           0       10.00        40.00      50.0%              1.0     \
0.0%  large 66.7%
idle      0         0       0        0           0           0        0.00         0.00          -                -        \
-            -
gone      2         0       0        0           2           0        0.00         0.00          -                -     \
0.0%   fast 50.0%
rule idle never fired
rule gone is not in the set any more

Precision counts payments with a label only. Whether refused payments would have been frauds nobody can know; the column \
`unknowable` counts them.
";

#[test]
fn rules_are_judged_by_what_they_said() {
    let labels = [
        ("pay_1", Some(false)),
        ("pay_2", Some(false)),
        ("pay_4", Some(false)),
        // What is said later stands, also that nothing is known.
        ("pay_1", Some(true)),
        ("pay_5", Some(true)),
        ("pay_5", None),
        ("pay_of_others", Some(true)),
    ];
    let report = reported(&[fired_batch(&FIRED)], &[label_batch(&labels)]);
    assert_eq!(report.to_string(), TEXT);
    assert!(report.rules[2].is_dead() && !report.rules[3].is_dead());
    let json = serde_json::to_string(&report.rules[3]).unwrap();
    let expected = r#"{"rule":"gone","is_in_set":false,"hits":{"payments":2,"frauds":0,"genuine":0,"unlabelled":2,
        "unknowable":0,"frauds_minor":0,"genuine_minor":0},"precision":null,"false_positive_ratio":null,"repeats":0,
        "repeat_ratio":0.0,"fires_with":{"rule":"fast","both":1,"share":0.5}}"#;
    assert_eq!(json, expected.lines().map(str::trim).collect::<String>());
}

#[test]
fn what_is_not_there_is_refused() {
    let error = FiredRules::new(&set(), &FiredColumns { card: "payment_id".into(), ..fired_columns() }).unwrap_err();
    assert_eq!(error.to_string(), "columns of what fired and of labels: there are two fields named payment_id");
    let mut rules = FiredRules::new(&set(), &fired_columns()).unwrap();
    let error = rules.add(&label_batch(&[])).unwrap_err();
    assert_eq!(error.to_string(), "there is no column rule_name");
    let unnamed: ArrayRef = Arc::new(StringArray::from(vec![Some("large"), None]));
    let batch = fired_batch(&FIRED[..2]);
    let columns = std::iter::once(unnamed).chain(batch.columns()[1..].iter().cloned()).collect();
    let mut fields: Vec<_> = batch.schema().fields().iter().map(|field| (**field).clone()).collect();
    fields[0] = fields[0].clone().with_nullable(true);
    let batch = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).unwrap();
    assert_eq!(rules.add(&batch).unwrap_err().to_string(), "row 1 of a batch has no value in column rule_name");
    let names: Vec<String> = (0..NAMES_MAX).map(|name| format!("name_{name}")).collect();
    let many: Vec<Row<'_>> = names.iter().map(|name| (name.as_str(), "pay_1", None, None, 0, false)).collect();
    let error = FiredRules::new(&set(), &fired_columns()).unwrap().add(&fired_batch(&many)).unwrap_err();
    assert_eq!(error.to_string(), "more than 2000 rules fired; is column rule_name that of their names?");
}
