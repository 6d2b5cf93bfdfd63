//! What happens to records before a unit sees them and to rows after: each rule by a small case.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, RecordBatch, StringArray, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, TimestampMicrosecondType};
use log::{LogBatch, Reject};
use schemas::topics::{self, kind};
use schemas::unit::Input;
use schemas::{Offset, Partition, placement};

use super::units::{INPUT, NoBundles, Record, Teller, control, letters, lines, place, routed, rows, times, value};
use crate::group::records::{AppendTimes, cut, set_misplaced_aside};
use crate::group::route::{Counts, Placing, Route};
use crate::group::{destination, fold_partition, pass_through};

fn batch(records: &[Record], first: i64) -> LogBatch {
    let offsets: Vec<i64> = (first..).take(records.len()).collect();
    LogBatch { rows: rows(records), offsets, rejects: Vec::new(), appended_us: Vec::new() }
}

fn reject(offset: i64) -> Reject {
    Reject { offset: Offset(offset), reason: "not_json", detail: "as told".to_string() }
}

/// Fails if an output is sent that the lake makes itself, or one goes missing.
#[test]
fn each_output_has_its_topic_or_none() {
    let topic = |unit, output| destination(unit, output).map(|route| (route.topic, route.placing));
    assert_eq!(topic("decode", "to_authorize"), Some(("payments", Placing::Payment)));
    assert_eq!(topic("authorize", "decisions"), Some(("decisions", Placing::Key(&["merchant_id"]))));
    assert_eq!(topic("authorize", "alerts"), Some(("alerts", Placing::Key(&["token", "payment_id"]))));
    assert_eq!(topic("authorize", "labels"), Some(("labels", Placing::Key(&["payment_id"]))));
    for unit in ["decode", "authorize"] {
        assert_eq!(topic(unit, "dead_letters"), Some(("dead_letters", Placing::Source)));
    }
    for output in ["payments", "merchants", "readers", "couriers"] {
        assert_eq!(topic("decode", output), None);
    }
    assert_eq!((topic("trips", "pings"), topic("trips", "dead_letters")), (None, None));
}

/// Rows of the payments topic with these kinds and payment ids.
fn payments(records: &[(&str, Option<&str>)]) -> RecordBatch {
    let schema = topics::payments();
    let column = |field: &Arc<Field>| -> ArrayRef {
        match field.name().as_str() {
            "kind" => Arc::new(records.iter().map(|record| Some(record.0)).collect::<StringArray>()),
            "payment_id" => Arc::new(records.iter().map(|record| record.1).collect::<StringArray>()),
            _ => blank(field, records.len()),
        }
    };
    let columns = schema.fields().iter().map(column);
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

/// A column that says nothing.
fn blank(field: &Field, count: usize) -> ArrayRef {
    if field.is_nullable() {
        return new_null_array(field.data_type(), count);
    }
    match field.data_type() {
        DataType::Boolean => Arc::new(BooleanArray::from(vec![false; count])),
        DataType::Int32 => Arc::new(Int32Array::from(vec![0; count])),
        DataType::Timestamp(..) => times((0..count).map(|_| Some(5))),
        DataType::List(element) => {
            let offsets = OffsetBuffer::from_repeated_length(0, count);
            let none = Arc::new(StringArray::from(Vec::<&str>::new()));
            Arc::new(ListArray::new(element.clone(), offsets, none, None))
        }
        _ => Arc::new(StringArray::from(vec![""; count])),
    }
}

/// Fails if a tick reaches one partition only, if the order within a partition changes, or a row without payment id is
/// lost.
#[test]
fn payments_go_by_route_and_ticks_everywhere() {
    let ids = ["0000", "0001", "0003"].map(|route| format!("{route}{}", "b".repeat(24)));
    let records = [
        (kind::SWIPE, Some(ids[1].as_str())),
        (kind::TICK, None),
        (kind::SWIPE, Some(ids[0].as_str())),
        (kind::REFUND, None),
        (kind::SWIPE, Some(ids[2].as_str())),
        (kind::TICK, None),
    ];
    let route = destination("decode", "to_authorize").unwrap();
    let counts = Counts::from([("payments", 2)]);
    let made = route.split(place("transactions", 5), &[0, 1, 2, 3, 4, 5], &payments(&records), &counts).unwrap();
    type Seen<'a> = (i32, Vec<(&'a str, Option<&'a str>)>);
    let seen: Vec<Seen<'_>> = made
        .iter()
        .map(|routed| {
            assert_eq!(routed.rows.schema(), topics::payments_topic());
            let (kinds, ids) = (routed.rows.column(0).as_string::<i32>(), routed.rows.column(1).as_string::<i32>());
            (routed.partition.0, kinds.iter().flatten().zip(ids.iter()).collect())
        })
        .collect();
    let tick = (kind::TICK, None);
    let swipe = |index: usize| (kind::SWIPE, Some(ids[index].as_str()));
    assert_eq!(seen[0], (0, vec![tick, swipe(0), tick]));
    assert_eq!(seen[1], (1, vec![swipe(1), tick, (kind::REFUND, None), swipe(2), tick]));
    assert_eq!(seen.len(), 2);
}

/// Fails if a missing first key falls through to the input's partition although there is a second, or if dead letters
/// forget where their record lies.
#[test]
fn rows_find_their_partition_by_key_and_letters_by_source() {
    let alerts = Route { topic: "nowhere", placing: Placing::Key(&["token", "payment_id"]) };
    let text = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
    let rows = RecordBatch::try_from_iter_with_nullable([
        ("token", text(vec![Some("t1"), None, None]), true),
        ("payment_id", text(vec![Some("x"), Some("p2"), None]), true),
    ])
    .unwrap();
    let counts = Counts::from([("nowhere", 24), ("dead_letters", 2)]);
    let made = alerts.split(place(INPUT, 29), &[0, 1, 2], &rows, &counts).unwrap();
    let mut expected = vec![placement::of_key(b"t1", 24), placement::of_key(b"p2", 24), Partition(29 % 24)];
    expected.sort();
    assert_eq!(made.iter().map(|routed| routed.partition).collect::<Vec<_>>(), expected);

    let route = destination("authorize", "dead_letters").unwrap();
    let made = route.split(place(INPUT, 3), &[8], &letters("authorize", &[8]).rows, &counts).unwrap();
    assert_eq!((made.len(), made[0].partition), (1, Partition(1)));
    assert_eq!(made[0].rows.schema(), topics::dead_letters_topic());
    assert_eq!(lines(&made[0].rows), ["authorize|odd|state|||payments|3|8"]);
}

/// Fails if rows and rejects are cut at different places.
#[test]
fn a_batch_is_cut_at_an_offset_that_may_be_no_record() {
    let mut whole = batch(&[value(1), value(2), value(3)], 0);
    (whole.offsets, whole.appended_us) = (vec![2, 5, 6], vec![20, 50, 60]);
    whole.rejects = vec![reject(3), reject(7)];
    for (at, rows, rejects) in [(0, 0, 0), (3, 1, 0), (4, 1, 1), (5, 1, 1), (6, 2, 1), (7, 3, 1), (8, 3, 2)] {
        let (front, back) = cut(whole.clone(), Offset(at));
        assert_eq!((front.offsets.len(), front.rejects.len()), (rows, rejects), "cut at {at}");
        assert_eq!((front.rows.num_rows(), front.appended_us.len()), (rows, rows));
        assert_eq!((back.rows.num_rows(), back.appended_us.len()), (3 - rows, 3 - rows));
        assert_eq!([front.offsets, back.offsets].concat(), whole.offsets);
        assert_eq!([front.rejects, back.rejects].concat(), whole.rejects);
    }
}

/// Fails if the unit sees a misplaced record, or a tick, control record or one without a valid key is refused.
#[test]
fn a_record_on_the_wrong_partition_is_a_dead_letter() {
    let tick = Record { kind: kind::TICK, ..routed(1) };
    let homeless = Record { payment_id: None, ..value(4) };
    let records = [routed(0), routed(1), tick, control("authorize", "token_key"), homeless, value(3), routed(3)];
    let mut all = batch(&records, 10);
    all.appended_us = (0..7).collect();
    all.rejects = vec![reject(17)];
    let kept = set_misplaced_aside(place(INPUT, 0), 2, all.clone()).unwrap();
    assert_eq!(kept.offsets, [10, 12, 13, 14, 15]);
    assert_eq!(kept.appended_us, [0, 2, 3, 4, 5]);
    let refused: Vec<_> = kept.rejects.iter().map(|reject| (reject.offset.0, reject.reason)).collect();
    assert_eq!(refused, [(11, "wrong_partition"), (16, "wrong_partition"), (17, "not_json")]);
    let elsewhere = set_misplaced_aside(place("decisions", 0), 2, all.clone()).unwrap();
    assert_eq!(elsewhere, all, "only topics with state by key have a rule");
}

/// Fails if a row takes the time of another record, or loses its own where the log has none.
#[test]
fn the_logs_own_time_replaces_the_ingest_time() {
    let mut read = batch(&(0..8).map(value).collect::<Vec<_>>(), 4);
    // The broker does not say it of every third.
    let time = |offset: i64| if offset % 3 == 1 { -1 } else { offset * 100 };
    read.appended_us = read.offsets.iter().copied().map(time).collect();
    let mut made = Vec::new();
    let mut unit = Teller::make();
    let input = Input { topic: INPUT, partition: Partition(0), offsets: read.offsets.clone(), rows: read.rows.clone() };
    unit.process(&input, &mut made).unwrap();
    let labels = made.iter().find(|output| output.name == "labels").unwrap();
    assert!(labels.offsets.len() > 1, "a case with rows");
    let stamped = AppendTimes::of(&read).stamp("labels", &labels.offsets, labels.rows.clone()).unwrap();
    let ingest = stamped.column_by_name("ingest_time").unwrap().as_primitive::<TimestampMicrosecondType>();
    for (row, offset) in labels.offsets.iter().enumerate() {
        let expected = if time(*offset) < 0 { *offset } else { time(*offset) };
        assert_eq!(ingest.value(row), expected);
    }
    let before = labels.rows.column_by_name("event_time").unwrap();
    assert_eq!(stamped.column_by_name("event_time").unwrap(), before, "nothing else changes");
    read.appended_us.clear();
    let silent = AppendTimes::of(&read);
    assert_eq!(silent.stamp("labels", &labels.offsets, labels.rows.clone()).unwrap(), labels.rows);
}

/// Fails if rows of several writers of one topic come in an order that depends on batch borders, or a schema's control
/// record becomes a dead letter or reaches the unit.
#[test]
fn a_fold_does_not_depend_on_batch_borders() {
    let mut records: Vec<Record> = (0..40).map(value).collect();
    records[3] = control("authorize", "token_key");
    records[4] = control("authorize", "schema");
    records[5] = control("decode", "token_key");
    records[9] = routed(1);
    let fold = |sizes: usize| {
        let mut batches = Vec::new();
        for (index, records) in records.chunks(sizes).enumerate() {
            let mut read = batch(records, (index * sizes) as i64 * 2);
            read.offsets = (0..records.len()).map(|row| ((index * sizes + row) * 2) as i64).collect();
            read.rejects = read.offsets.iter().filter(|offset| *offset % 3 == 0).map(|at| reject(at + 1)).collect();
            batches.push(read);
        }
        fold_partition(Teller::make(), place(INPUT, 0), batches, &NoBundles, &|topic| {
            if topic == INPUT { 2 } else { 3 }
        })
        .unwrap()
    };
    let whole = fold(40);
    for sizes in [1, 2, 3, 7] {
        assert_eq!(fold(sizes), whole);
    }
    let letters = &whole[&("dead_letters", Partition(0))];
    let reasons = letters.column_by_name("reason").unwrap().as_string::<i32>();
    let offsets = letters.column_by_name("source_offset").unwrap().as_primitive::<Int64Type>();
    assert!(offsets.values().is_sorted());
    let of = |reason: &str| -> Vec<i64> {
        (0..letters.num_rows()).filter(|row| reasons.value(*row) == reason).map(|row| offsets.value(row)).collect()
    };
    assert_eq!(of("bad_control"), [10], "the one to decode; a schema is the log's own affair");
    assert_eq!(of("wrong_partition"), [18]);
    assert_eq!(of("not_json").len(), 14);
}

/// Fails if ticks or control records of the topic reach the table, or its control columns do.
#[test]
fn the_lake_keeps_payments_without_ticks_and_controls() {
    let rows = payments(&[(kind::TICK, None), (kind::SWIPE, Some("x")), (kind::CONTROL, None), (kind::REFUND, None)]);
    let route = destination("decode", "to_authorize").unwrap();
    let on_topic =
        route.split(place("transactions", 0), &[0, 1, 2, 3], &rows, &Counts::from([("payments", 1)])).unwrap();
    let mut made = Vec::new();
    let input =
        Input { topic: "payments", partition: Partition(0), offsets: vec![4, 5, 6, 7], rows: on_topic[0].rows.clone() };
    let mut unit = pass_through("payments").unwrap();
    unit.process(&input, &mut made).unwrap();
    assert_eq!((made.len(), made[0].name, made[0].offsets.as_slice()), (1, "payments", [5, 7].as_slice()));
    assert_eq!(made[0].rows.schema(), topics::payments());
    assert_eq!(made[0].rows.column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["swipe", "refund"]);
    assert!(pass_through("transactions").is_none());
    assert_eq!(made[0].rows.column_by_name("origin_partition").unwrap().as_primitive::<Int32Type>().values().len(), 2);
}
