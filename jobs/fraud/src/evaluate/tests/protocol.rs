//! Reading transactions, the block list, and a fold from end to end.

use std::slice::from_ref;

use simulator::handbook::HandbookPlan;

use super::*;
use crate::evaluate::baselines;
use crate::features::HANDBOOK;
use crate::measures::{Days, FOLDS};

/// Two months with enough frauds for a model.
const SMALL: HandbookPlan = HandbookPlan {
    seed: 4,
    customers: 1_500,
    terminals: 3_000,
    days: 61,
    start: jiff::civil::date(2018, 4, 1),
    radius: 8.0,
};
/// 2018-05-10T00:00:00Z: training to 16 May, test from 24 to 30 May.
const TRAINING_START_US: i64 = 1_525_910_400_000_000;

fn quick() -> Plan {
    Plan { cards_a_day: 20, parameters: Parameters { trees: 30, leaves: 7, ..Parameters::default() } }
}

/// What some hundred rows teach.
fn few_rows() -> Parameters {
    Parameters { trees: 5, leaf_weight_min: 0.1, ..Parameters::default() }
}

#[test]
fn what_is_no_transaction_is_refused_with_its_place() {
    let wrong = |columns: Columns, batches: &[RecordBatch]| {
        let mut reader = TransactionsReader::new(columns);
        batches.iter().find_map(|batch| reader.push(batch).err()).unwrap().to_string()
    };
    let row: Row = (0, "a", "t", 1, 0, 0.5);
    let good = batch(&[row, row]);
    assert_eq!(
        wrong(Columns { terminal: "till".to_string(), ..columns() }, from_ref(&good)),
        "column till: it is not there"
    );
    assert_eq!(
        wrong(Columns { amount: "hint".to_string(), ..columns() }, from_ref(&good)),
        "column hint: it is of type Float64, which cannot be read as Int64"
    );
    assert_eq!(
        wrong(Columns { features: vec!["card".to_string()], ..columns() }, from_ref(&good)),
        "column card: it is of type Utf8, which cannot be read as Float64"
    );
    assert_eq!(
        wrong(
            Columns { label: "amount_minor".to_string(), scenario: None, ..columns() },
            &[batch(&[(0, "a", "t", 2, 0, 0.5)])]
        ),
        "row 0 of the transactions: column amount_minor is 2, neither 0 nor 1"
    );
    assert_eq!(
        wrong(Columns { label: "amount_minor".to_string(), ..columns() }, &[batch(&[(0, "a", "t", 1, 0, 0.5)])]),
        "row 0 of the transactions: column amount_minor is 1, the kind of fraud 0"
    );
    let missing = StringArray::from(vec![Some("a"), None]);
    let mut arrays = good.columns().to_vec();
    arrays[1] = Arc::new(missing);
    let schema = good.schema();
    let nullable: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let missing = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(nullable)), arrays).unwrap();
    assert_eq!(wrong(columns(), &[good, missing]), "row 3 of the transactions: column card is missing");
    let nothing = TransactionsReader::new(columns()).finish().unwrap_err();
    assert_eq!(nothing.to_string(), "there are no transactions");
}

/// Fails where the delay of labels is not respected, or the key of another column is looked up.
#[test]
fn the_block_list_knows_what_was_known() {
    let (delay_us, second_us) = (7 * DAY_US, 1_000_000);
    let rows = [
        (0, "a", "s", 1, 1, 0.0),
        (DAY_US, "a", "s", 1, 2, 0.0),
        // At the moment at which the first fraud becomes known it is not known before.
        (delay_us, "a", "u", 1, 0, 0.0),
        (delay_us + second_us, "a", "u", 1, 0, 0.0),
        (delay_us + second_us, "b", "s", 1, 0, 0.0),
        (delay_us + second_us, "b", "u", 1, 1, 0.0),
        (delay_us + second_us, "s", "a", 1, 0, 0.0),
        (2 * delay_us, "c", "u", 1, 0, 0.0),
        (3 * delay_us, "c", "u", 1, 0, 0.0),
    ];
    let all = transactions(&rows);
    let scores = baselines::block_list(&all.frame, &all.frame, delay_us).unwrap();
    assert_eq!(scores, [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    // Only some rows are asked for, in an order of their own; all that was known counts.
    let some = rows_at(&all.frame, &[2, 3, 8]).unwrap();
    assert_eq!(baselines::block_list(&all.frame, &some, delay_us).unwrap(), [0.0, 1.0, 1.0]);
}

/// Names decide the order of equal cards, not the order in which they come.
#[test]
fn equal_cards_come_by_name() {
    let rows = [(0, "b", "t", 1, 1, 0.5), (1, "a", "t", 1, 0, 0.5), (2, "c", "t", 1, 1, 0.5)];
    let all = transactions(&rows);
    let customers: Vec<u32> = payments(&all.frame).unwrap().iter().map(|payment| payment.customer).collect();
    assert_eq!(customers, [1, 0, 2]);
    assert_eq!(all.span().unwrap(), 0..3);
}

/// The whole way: the model finds more than what needs no model, and the same file gives the same answers.
#[test]
fn a_fold_trains_and_judges() {
    let (all, features) = simulated(&SMALL, &HANDBOOK);
    assert_eq!(all.features(), features.names());
    let fold = Days::default().starting_at(TRAINING_START_US);
    let outcome = evaluate_fold(&all, &fold, &quick()).unwrap();
    let again = evaluate_fold(&all, &fold, &quick()).unwrap();
    assert_eq!(outcome, again);
    assert!(outcome.training_rows > 5_000 && outcome.test_rows > 4_000, "{outcome:?}");
    let [(_, model), (_, block_list), (_, amount)] = outcome.measures.named();
    assert!(model.average_precision > 0.5, "{model:?}");
    for other in [block_list, amount] {
        assert!(model.average_precision > other.average_precision + 0.1, "{model:?}\n{other:?}");
        assert!(model.card_precision > other.card_precision, "{model:?}\n{other:?}");
        // The test is the same for all.
        assert_eq!(model.card_precision_ceiling, other.card_precision_ceiling);
        assert_eq!(
            (model.budget.defrauded, model.budget.fraud_minor),
            (other.budget.defrauded, other.budget.fraud_minor)
        );
    }
    assert_eq!(model.ceiling_share, model.card_precision / model.card_precision_ceiling);
    // Large amounts are what the amount finds, and all that it finds.
    assert_eq!(amount.recall_by_scenario[&1], 1.0);
    assert!(amount.recall_by_scenario[&2] < 0.1);
}

/// Fails where a payment of the test, or of the delay, is learnt from: without hints there the model finds nothing.
#[test]
fn models_learn_in_the_training_only() {
    let fold = Days::default().starting_at(0);
    let rows: Vec<Row> = (0..28 * 24)
        .map(|hour| {
            let day = hour / 24;
            let is_fraud = hour % 8 == 0;
            // The hint is right in the training and turned round afterwards.
            let hint = f64::from(u8::from(is_fraud != (day >= 7)));
            (
                hour * DAY_US / 24,
                ["a", "b", "c", "d", "e", "f", "g"][(hour % 7) as usize],
                "t",
                1,
                i32::from(is_fraud),
                hint,
            )
        })
        .collect();
    let outcome = evaluate_fold(&transactions(&rows), &fold, &Plan { cards_a_day: 1, parameters: few_rows() });
    // All cards are known as defrauded by then, so that nothing is left to judge.
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "the test of the fold that trains from 1970-01-01T00:00:00Z on has no fraud"
    );
    let fresh: Vec<Row> = rows
        .iter()
        .map(|row| match row.0 >= 14 * DAY_US {
            true => (row.0, ["i", "k", "l", "m"][(row.0 / (DAY_US / 24) % 4) as usize], row.2, row.3, row.4, row.5),
            false => *row,
        })
        .collect();
    let outcome =
        evaluate_fold(&transactions(&fresh), &fold, &Plan { cards_a_day: 1, parameters: few_rows() }).unwrap();
    assert_eq!((outcome.training_rows, outcome.training_frauds, outcome.test_rows), (168, 21, 168));
    assert_eq!(outcome.measures.model.auc_roc, 0.0);
}

#[test]
fn a_training_without_frauds_names_its_days() {
    let rows: Vec<Row> = (0..21).map(|day| (day * DAY_US, "a", "t", 1, 0, 0.5)).collect();
    let error = evaluate_fold(&transactions(&rows), &Days::default().starting_at(0), &quick()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "from 1970-01-01T00:00:00Z to 1970-01-08T00:00:00Z: no model can be trained: all rows have the same label"
    );
}

#[test]
fn summaries_are_mean_and_spread() {
    let (all, _) = simulated(&SMALL, &HANDBOOK);
    let fold = evaluate_fold(&all, &Days::default().starting_at(TRAINING_START_US), &quick()).unwrap();
    let mut folds = vec![fold; FOLDS];
    for (fold, auc_roc) in folds.iter_mut().zip([0.5, 0.5, 0.9, 0.9]) {
        fold.measures.model.auc_roc = auc_roc;
    }
    folds[3].measures.model.recall_by_scenario.remove(&2);
    folds[3].measures.model.recall_by_scenario.insert(9, 0.25);
    let summary = summary(&folds);
    let named = |name: &str| summary.model.iter().find(|spread| spread.name == name).unwrap();
    assert_eq!((named("auc_roc").mean, named("auc_roc").folds), (0.7, 4));
    assert!((named("auc_roc").deviation - 0.2).abs() < 1e-12);
    assert_eq!((named("average_precision").deviation, named("recall_scenario_2").folds), (0.0, 3));
    assert_eq!((named("recall_scenario_9").mean, named("recall_scenario_9").folds), (0.25, 1));
    assert_eq!(summary.model[0].name, "auc_roc");
    assert_eq!(summary.amount[0].folds, 4);
}
