mod properties;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, NullArray, StringArray, TimestampMicrosecondArray};

use super::*;
use crate::expression::tests::{fields, lists};

const RULES: &str = "\
rule large block when amount_minor > 100_00
rule fast review when card_count_1h >= 5
rule fast_and_large review when amount_minor > 50_00 and card_count_1h >= 5
rule stolen block when token in @stolen
rule risky block missing fires when score > 90
";

const LIVE: &str = "rule old block when amount_minor > 200_00";

fn rules(text: &str) -> RuleSet {
    RuleSet::parse(text, &fields(), &lists()).unwrap()
}

fn plan(rules_text: &str, live: Option<&str>) -> Plan {
    let columns = ColumnNames {
        label: "fraud".into(),
        amount: "amount_minor".into(),
        identity: "payment_id".into(),
        refused: Some("refused".into()),
    };
    Plan {
        rules: rules(rules_text),
        live: live.map(rules),
        columns,
        currency: Some(Currency::EUR),
        review_cost_minor: 250,
        examples_max: 2,
        full_rollout: false,
    }
}

/// Identity, amount, payments of the card in an hour, score, label, refused then.
type Paid = (&'static str, i64, i64, Option<f64>, Option<bool>, bool);

const PAID: [Paid; 10] = [
    ("pay_01", 1_000, 1, Some(5.0), Some(false), false),
    ("pay_02", 15_000, 1, Some(5.0), Some(false), false),
    ("pay_03", 25_000, 7, Some(95.0), Some(true), false),
    ("pay_04", 30_000, 6, Some(99.0), None, true),
    ("pay_05", 6_000, 5, Some(5.0), Some(true), false),
    ("pay_06", 2_000, 9, Some(5.0), Some(false), false),
    ("pay_07", 100, 1, Some(5.0), Some(true), false),
    ("pay_08", 12_000, 1, Some(5.0), None, false),
    ("pay_09", 3_000, 1, None, Some(false), false),
    // Refused then, and somebody found out.
    ("pay_10", 40_000, 1, Some(5.0), Some(true), true),
];

fn batch(paid: &[Paid]) -> RecordBatch {
    let rows = paid.len();
    let columns: [(&str, ArrayRef); 8] = [
        ("payment_id", Arc::new(StringArray::from_iter_values(paid.iter().map(|paid| paid.0)))),
        ("amount_minor", Arc::new(Int64Array::from_iter_values(paid.iter().map(|paid| paid.1)))),
        ("card_count_1h", Arc::new(Int64Array::from_iter_values(paid.iter().map(|paid| paid.2)))),
        ("score", Arc::new(arrow::array::Float64Array::from_iter(paid.iter().map(|paid| paid.3)))),
        ("fraud", Arc::new(BooleanArray::from_iter(paid.iter().map(|paid| paid.4)))),
        ("refused", Arc::new(BooleanArray::from_iter(paid.iter().map(|paid| Some(paid.5))))),
        ("token", Arc::new(StringArray::from_iter_values(paid.iter().map(|_| "tok_9")))),
        ("received_at", Arc::new(TimestampMicrosecondArray::from(vec![0; rows]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    // The merchant is asked for by lists, and unknown here.
    let mut columns: Vec<(String, ArrayRef)> =
        batch.schema().fields().iter().map(|field| field.name().clone()).zip(batch.columns().iter().cloned()).collect();
    columns.push(("merchant_id".into(), Arc::new(NullArray::new(rows))));
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn reported(plan: Plan, batches: &[RecordBatch]) -> Report {
    let mut backtest = Backtest::new(plan).unwrap();
    batches.iter().for_each(|batch| backtest.add(batch).unwrap());
    backtest.report()
}

const TEXT: &str = "\
10 payments: 4 frauds, 4 genuine, 1 without a label, 1 refused then

rule            class   hits  frauds  genuine  unlabelled  unknowable  frauds EUR  genuine EUR  precision  \
recall  only
large           block      5       2        1           1           1      650.00       150.00      66.7%   \
50.0%     3
fast            review     4       2        1           0           1      310.00        20.00      66.7%   \
50.0%     1
fast_and_large  review     3       2        0           0           1      310.00         0.00     100.0%   \
50.0%     0
stolen          block      0       0        0           0           0        0.00         0.00          -    \
0.0%     0
risky           block      3       1        1           0           1      250.00        30.00      50.0%   \
25.0%     1
rule stolen never fired; its condition was never missing

rule            and rule        both fire  of either
fast            fast_and_large          3      75.0%
large           fast                    2      28.6%
large           fast_and_large          2      33.3%
large           risky                   2      33.3%
fast            risky                   2      40.0%
fast_and_large  risky                   2      50.0%

in force  these rules  payments  frauds  genuine  unlabelled  unknowable  frauds EUR  genuine EUR
block     block               3       2        0           0           1      650.00         0.00
none      block               3       0        2           1           0        0.00       180.00
none      review              2       1        1           0           0       60.00        20.00
none      none                2       1        1           0           0        1.00        10.00

                 these rules  in force
frauds blocked             2         2
genuine blocked            2         0
reviews                    2         0
saved, EUR            650.00    650.00
not sold, EUR        -180.00      0.00
reviews, EUR           -5.00      0.00
net, EUR              465.00    650.00

genuine payments that rule large hits
  pay_02, 150.00 EUR: amount_minor = 15000 > 10000

genuine payments that rule fast hits
  pay_06, 20.00 EUR: card_count_1h = 9 >= 5

genuine payments that rule risky hits
  pay_09, 30.00 EUR: score = missing > 90

frauds that no rule hits
  pay_07, 1.00 EUR

Precision, recall and money count payments with a label only. Payments without one: 1, whose labels may still come. \
Payments refused then: 1. Nobody can know whether they would have been frauds; the column `unknowable` says how many of \
them a rule hits. Frauds that the rules in force stopped are among them and count for no rule here.
";

#[test]
fn rules_are_judged_by_what_happened() {
    let report = reported(plan(RULES, Some(LIVE)), &[batch(&PAID)]);
    assert_eq!(report.to_string(), TEXT);
    let risky = &report.as_written.rules[4];
    assert_eq!((risky.missing, risky.is_dead()), (1, false));
}

/// Fails if an order of columns or of rows depends on a map, or if a sum becomes a number in floating point.
#[test]
fn a_report_is_json_in_one_order() {
    let report = reported(plan("rule large block when amount_minor > 300_00", None), &[batch(&PAID)]);
    let json = serde_json::to_string(&report).unwrap();
    let (identity, rest) = json.strip_prefix("{\"rules\":\"").unwrap().split_once('"').unwrap();
    assert_eq!(identity.len(), 64);
    let expected = r#","live":null,"currency":"EUR",
        "payments":{"payments":10,"frauds":4,"genuine":4,"unlabelled":1,"unknowable":1,"frauds_minor":71100,"genuine_minor":21000},
        "as_written":{"rules":[{"rule":"large","class":"block","rollout":10000,
        "hits":{"payments":1,"frauds":1,"genuine":0,"unlabelled":0,"unknowable":0,"frauds_minor":40000,"genuine_minor":0},
        "precision":1.0,"recall":0.25,"only":1,"missing":0,"genuine_examples":[]}],"overlaps":[],"outcomes":[
        {"live":null,"rules":"block","payments":
        {"payments":1,"frauds":1,"genuine":0,"unlabelled":0,"unknowable":0,"frauds_minor":40000,"genuine_minor":0}},
        {"live":null,"rules":null,"payments":
        {"payments":9,"frauds":3,"genuine":4,"unlabelled":1,"unknowable":1,"frauds_minor":31100,"genuine_minor":21000}}],
        "cost":{"frauds_blocked":1,"frauds_blocked_minor":40000,"genuine_blocked":0,"genuine_blocked_minor":0,
        "reviews":0,"reviews_minor":0,"net_minor":40000},
        "missed":[{"identity":"pay_03","amount_minor":25000},{"identity":"pay_05","amount_minor":6000}]},
        "at_full_rollout":null,"live_cost":null}"#;
    assert_eq!(rest, expected.lines().map(str::trim).collect::<String>());
}

#[test]
fn rollouts_are_counted_as_written_and_whole() {
    let text = "rule large block rollout 0.01% when amount_minor > 100_00";
    let whole = Plan { full_rollout: true, ..plan(text, None) };
    let report = reported(whole.clone(), &[batch(&PAID)]);
    // The one card is not among the first of ten thousand.
    assert!(report.as_written.rules[0].is_dead());
    let full = report.at_full_rollout.as_ref().unwrap();
    assert_eq!((full.rules[0].hits.payments, full.cost.net_minor), (5, 50_000));
    let written = report.to_string();
    assert!(written.contains("\nlarge  block 0.01%     0 "), "{written}");
    assert!(written.contains("With every rule for all cards:\n"), "{written}");
    assert!(
        written.contains("                 these rules  for all cards\nfrauds blocked             0              2\n")
    );
    // Nothing is said twice.
    let everywhere = Plan { rules: rules(&text.replace(" rollout 0.01%", "")), ..whole };
    assert_eq!(reported(everywhere, &[batch(&PAID)]).at_full_rollout, None);
}

/// Fails if a part of a long batch is left out or counted twice.
#[test]
fn long_batches_are_judged_in_parts() {
    let paid: Vec<Paid> = PAID.iter().cycle().take(4 * ROWS_MAX + 10).copied().collect();
    let report = reported(plan(RULES, Some(LIVE)), &[batch(&paid)]);
    let payments = report.payments.payments;
    assert_eq!(payments, 65_546);
    let of_rule = report.as_written.rules.iter().map(|rule| rule.hits.payments).collect::<Vec<_>>();
    let every = payments / 10;
    // Six more than whole rounds, of which these rules fire for so many.
    assert_eq!(of_rule, [5 * every + 3, 4 * every + 4, 3 * every + 3, 0, 3 * every + 2]);
    assert_eq!(report.as_written.rules[0].genuine_examples.len(), 2);
}

#[test]
fn what_is_not_there_is_refused() {
    let error = |plan: Plan| Backtest::new(plan).unwrap_err().to_string();
    let mut named = plan(RULES, None);
    named.columns.refused = Some("fraud".into());
    assert_eq!(error(named), "columns beside the fields of rules: there are two fields named fraud");
    let many = Plan { examples_max: EXAMPLES_MAX + 1, ..plan(RULES, None) };
    assert_eq!(error(many), "101 payments to show for a rule are more than 100");
    let mut backtest = Backtest::new(plan(RULES, None)).unwrap();
    let without = batch(&PAID).project(&[0, 1, 2, 3, 5, 6, 7, 8]).unwrap();
    assert_eq!(backtest.add(&without).unwrap_err().to_string(), "there is no column fraud");
    assert_eq!(backtest.report().payments, Counts::default());
}

#[test]
fn nothing_is_a_report_too() {
    let report = reported(plan("", None), &[]);
    assert!(report.to_string().starts_with("0 payments: 0 frauds,"));
    assert_eq!(report.as_written.cost.net_minor, 0);
}
