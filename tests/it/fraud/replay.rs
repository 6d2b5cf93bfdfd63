//! The demo's day again: what its rules found, and that what was seen live follows from the tables alone.

use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use fraud::live::{CardSide, MerchantSide};
use schemas::ids::ContentHash;
use schemas::judgement::Judgement;
use schemas::topics;

use crate::support::one_day;

/// Rows of the lake's payments in the order of the log, in the topic's schema.
fn payments(lake: &Path) -> RecordBatch {
    let schema = topics::payments();
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let rows = collected(lake, &format!("SELECT {} FROM payments ORDER BY source_offset", names.join(", ")));
    let cast = |(column, field): (&ArrayRef, &arrow::datatypes::FieldRef)| cast(column, field.data_type()).unwrap();
    let columns = rows.columns().iter().zip(schema.fields()).map(cast).collect();
    RecordBatch::try_new(schema.clone(), columns).unwrap()
}

fn collected(lake: &Path, sql: &str) -> RecordBatch {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let batches = runtime.block_on(async { lake::open_session(lake).await.unwrap().collect(sql).await.unwrap() });
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// The rules that were in force all the time.
fn bundle(lake: &Path, input: &Path) -> Vec<u8> {
    let hashes = collected(
        lake,
        "SELECT DISTINCT arrow_cast(rules_bundle, 'Utf8') FROM decisions WHERE rules_bundle IS NOT NULL",
    );
    assert_eq!(hashes.num_rows(), 1);
    let hash = hashes.column(0).as_string::<i32>().value(0);
    std::fs::read(input.join(format!("bundles/{hash}.json"))).unwrap()
}

fn texts(list: &dyn Array, row: usize) -> Option<Vec<String>> {
    let list = list.as_list::<i32>();
    list.is_valid(row).then(|| list.value(row).as_string::<i32>().iter().flatten().map(str::to_string).collect())
}

/// Fails if a window takes anything into account that is not in the table, or the order of rows there.
#[test]
fn what_was_seen_live_follows_from_the_tables() {
    let live = follows(&one_day().lake(), &one_day().input());
    assert!(live.iter().any(|(_, fired)| !fired.is_empty()));
}

/// Judges a lake's payments again, and compares that with what was said live: features and fired rules.
pub(super) fn follows(lake: &Path, input: &Path) -> Vec<(Vec<String>, Vec<String>)> {
    let (content, payments) = (bundle(lake, input), payments(lake));
    let hash = ContentHash::of(&content);
    let mut merchant = MerchantSide::default();
    merchant.accept(hash, &content, 0).unwrap();
    let mut card = CardSide::default();
    card.accept(hash, &content, 0).unwrap();
    // In pieces of another size than the day was read in.
    let (mut computed, mut judgements): (Vec<ArrayRef>, Vec<Option<Judgement>>) = (Vec::new(), Vec::new());
    let mut start = 0;
    while start < payments.num_rows() {
        let piece = payments.slice(start, 37.min(payments.num_rows() - start));
        computed.push(merchant.values(&piece).unwrap());
        judgements.extend(card.judge(&piece).unwrap());
        start += piece.num_rows();
    }
    let stored = &payments["windows"];
    let computed: Vec<Option<Vec<String>>> = computed
        .iter()
        .flat_map(|values| (0..values.len()).map(|row| texts(values, row)).collect::<Vec<_>>())
        .collect();
    let stored: Vec<Option<Vec<String>>> = (0..stored.len()).map(|row| texts(stored, row)).collect();
    assert_eq!(computed, stored, "the merchant's side");
    assert!(stored.iter().flatten().any(|values| !values.is_empty()));

    let decisions = collected(
        lake,
        "SELECT d.features, d.fired_rules, d.contributions, d.score, d.source_offset FROM decisions d \
         WHERE d.rules_bundle IS NOT NULL ORDER BY d.source_offset",
    );
    let list = topics::text_list();
    let [features, fired] = [0, 1].map(|column| cast(decisions.column(column), &list).unwrap());
    let live: Vec<(Vec<String>, Vec<String>)> =
        (0..decisions.num_rows()).map(|row| (texts(&features, row).unwrap(), texts(&fired, row).unwrap())).collect();
    let again: Vec<(Vec<String>, Vec<String>)> =
        judgements.into_iter().flatten().map(|judgement| (judgement.features, judgement.fired)).collect();
    assert_eq!(again, live, "the card's side");
    live
}

/// Fails if a change of rules or of the town leaves a scenario unnoticed.
#[test]
fn the_demos_rules_find_every_fraud_of_its_town() {
    let summary = std::fs::read_to_string(one_day().lake().parent().unwrap().join("reports/summary.txt")).unwrap();
    let lines = summary.lines().skip_while(|line| *line != "Frauds by what they were").skip(2);
    let numbers =
        |line: &str| -> Vec<u32> { line.split_whitespace().skip(1).map(|number| number.parse().unwrap()).collect() };
    let found: Vec<(&str, Vec<u32>)> =
        lines.take_while(|line| !line.is_empty()).map(|line| (line, numbers(line))).collect();
    assert_eq!(found.len(), 8, "{summary}");
    for (line, numbers) in found {
        let [there, found, _, right] = numbers[..] else { panic!("{line}") };
        assert!(there > 0 && found == there && right > 0, "{line}");
    }
}
