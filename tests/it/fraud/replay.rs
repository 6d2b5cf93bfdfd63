//! The demo's day again: what its rules found, and that what was seen live follows from the tables alone.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, RecordBatch, StringArray, UInt32Array, new_null_array,
};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::Int64Type;
use fraud::live::{CardSide, MerchantSide};
use schemas::ids::ContentHash;
use schemas::judgement::Judgement;
use schemas::topics::{self, kind};
use schemas::unit::{Control, ControlChange, Input, Output, Unit};
use schemas::{Offset, Partition};

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
    let ((hash, content), payments) = (bundle_of("rules_bundle", lake, input), payments(lake));
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
    let numbers = |line: &str| -> Vec<u32> {
        line.split_whitespace().skip(1).take(4).map(|number| number.parse().unwrap()).collect()
    };
    let found: Vec<(&str, Vec<u32>)> =
        lines.take_while(|line| !line.is_empty()).map(|line| (line, numbers(line))).collect();
    assert_eq!(found.len(), 8, "{summary}");
    for (line, numbers) in found {
        let [there, found, _, right] = numbers[..] else { panic!("{line}") };
        assert!(there > 0 && found == there && right > 0, "{line}");
    }
}

/// The ticks at which a timer fired: where decisions stand that no payments row made, and when the log said so.
fn ticks(lake: &Path) -> RecordBatch {
    collected(
        lake,
        "SELECT DISTINCT source_offset, ingest_time FROM decisions \
         WHERE source_offset NOT IN (SELECT source_offset FROM payments) ORDER BY source_offset",
    )
}

/// What authorize read: the payments rows and those ticks, in the order of the log, with their offsets.
fn read_by_authorize(lake: &Path) -> (Vec<i64>, RecordBatch) {
    let (payments, ticks) = (payments(lake), ticks(lake));
    assert!(ticks.num_rows() > 5, "some timers fired between payments");
    let schema = topics::payments();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let rows = ticks.num_rows();
        match field.name().as_str() {
            "kind" => Arc::new(StringArray::from(vec![kind::TICK; rows])),
            "repeat" => Arc::new(BooleanArray::from(vec![false; rows])),
            "origin_partition" => Arc::new(Int32Array::from(vec![0; rows])),
            "event_time" | "ingest_time" => cast(&ticks["ingest_time"], field.data_type()).unwrap(),
            "findings" => {
                let mut lists = topics::text_lists();
                (0..rows).for_each(|_| lists.append(true));
                Arc::new(lists.finish())
            }
            _ => new_null_array(field.data_type(), rows),
        }
    });
    let ticks_as_rows = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();
    let of_payments = collected(lake, "SELECT source_offset FROM payments ORDER BY source_offset");
    let offsets = |rows: &RecordBatch| rows["source_offset"].as_primitive::<Int64Type>().values().to_vec();
    let all_offsets = [offsets(&of_payments), offsets(&ticks)].concat();
    let all = concat_batches(&schema, [&payments, &ticks_as_rows]).unwrap();
    let mut order: Vec<u32> = (0..all.num_rows() as u32).collect();
    order.sort_by_key(|row| all_offsets[*row as usize]);
    let sorted = order.iter().map(|row| all_offsets[*row as usize]).collect();
    (sorted, take_record_batch(&all, &UInt32Array::from(order)).unwrap())
}

/// The only value of a column of decisions that names a bundle, with the bundle's bytes.
fn bundle_of(column: &str, lake: &Path, input: &Path) -> (ContentHash, Vec<u8>) {
    let sql = format!("SELECT DISTINCT arrow_cast({column}, 'Utf8') FROM decisions WHERE {column} IS NOT NULL");
    let hashes = collected(lake, &sql);
    assert_eq!(hashes.num_rows(), 1, "{column}");
    let hash = ContentHash::from_hex(hashes.column(0).as_string::<i32>().value(0)).unwrap();
    (hash, std::fs::read(input.join(format!("bundles/{}.json", hash.to_hex()))).unwrap())
}

/// Rows as texts, every column with all its digits, each behind its offset; rows of one offset in the order of their texts.
fn lines(rows: &RecordBatch, offsets: &[i64]) -> Vec<(i64, String)> {
    let mut writer = arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::LineDelimited>(Vec::new());
    writer.write(rows).unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    let mut lines: Vec<(i64, String)> = offsets.iter().copied().zip(text.lines().map(str::to_string)).collect();
    assert_eq!(lines.len(), rows.num_rows());
    lines.sort();
    lines
}

/// Fails if a decision, an alert or a label rests on anything but the payments rows, the moments at which timers fired, and
/// the bundles that it names.
#[test]
fn every_decision_follows_from_the_tables_and_the_bundles() {
    let mut unit = crate::scoring::authorize_unit();
    let (lake, input) = (one_day().lake(), one_day().input());
    let (hash, content) = bundle_of("authorize_bundle", &lake, &input);
    let rules = bundle_of("rules_bundle", &lake, &input);
    let changes = [ControlChange::Bundle { hash, content }, ControlChange::Rules { hash: rules.0, content: rules.1 }];
    for change in changes {
        unit.control(&Control { offset: Offset(0), received_at_us: 0, change }, &mut Vec::new()).unwrap();
    }
    let (offsets, rows) = read_by_authorize(&lake);
    let mut outputs = Vec::new();
    let mut start = 0;
    while start < rows.num_rows() {
        let length = 53.min(rows.num_rows() - start);
        let input = Input {
            topic: "transactions",
            partition: Partition(0),
            offsets: offsets[start..start + length].to_vec(),
            rows: rows.slice(start, length),
        };
        unit.process(&input, &mut outputs).unwrap();
        start += length;
    }
    for table in ["decisions", "alerts", "labels"] {
        let schema = topics::by_name(table).unwrap();
        let of_table: Vec<&Output> = outputs.iter().filter(|output| output.name == table).collect();
        let again = concat_batches(&schema, of_table.iter().map(|output| &output.rows)).unwrap();
        let places: Vec<i64> = of_table.iter().flat_map(|output| output.offsets.clone()).collect();
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let stored = collected(&lake, &format!("SELECT {}, source_offset FROM {table}", names.join(", ")));
        let stored_places = stored["source_offset"].as_primitive::<Int64Type>().values().to_vec();
        let cast = |(column, field): (&ArrayRef, &arrow::datatypes::FieldRef)| cast(column, field.data_type()).unwrap();
        let columns = stored.columns().iter().zip(schema.fields()).map(cast).collect();
        let stored = lines(&RecordBatch::try_new(schema.clone(), columns).unwrap(), &stored_places);
        let again = lines(&again, &places);
        assert_eq!(again.len(), stored.len(), "{table}");
        assert!(!stored.is_empty(), "{table}");
        for (again, stored) in again.iter().zip(&stored) {
            assert_eq!(again, stored, "{table}");
        }
    }
}
