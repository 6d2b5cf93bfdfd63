//! Appends: rows and frontiers in one commit, and what is refused.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use schemas::Offset;
use schemas::tables;
use serde_json::{Value, json};

use super::support::{APP, OTHER_APP, Place, all_of, append_to, letters, letters_spec, rows, to};
use crate::{CommitPoint, LakeError};

/// The letters with one column in another form.
fn with_column(change: impl Fn(&Field) -> Field, row: Value) -> RecordBatch {
    let fields: Vec<Field> = letters_spec().schema.fields().iter().map(|field| change(field)).collect();
    rows(&Arc::new(Schema::new(fields)), &[row])
}

/// Fails if rows and frontiers are committed apart, or a frontier is not read from the table's log.
#[test]
fn rows_and_frontiers_land_in_one_commit_and_come_back() {
    let place = Place::new();
    let mut table = place.letters();
    assert_eq!(table.name(), "dead_letters");
    assert_eq!((table.frontier(APP).unwrap(), table.frontier(OTHER_APP).unwrap()), (None, None));
    let batches = [letters(0, 0..3), letters(0, 3..3), letters(0, 3..5), letters(1, 0..2)];
    let committed = table.append(&batches, &[to(APP, 5), to(OTHER_APP, 2)]).unwrap();
    assert_eq!((committed.version, committed.rows, committed.files), (1, 7, 1));
    assert_eq!(table.version(), 1);

    let actions = place.actions(1);
    let count = |kind: &str| actions.iter().filter(|action| action.get(kind).is_some()).count();
    assert_eq!((count("add"), count("txn")), (1, 2), "{actions:?}");
    assert!(actions.iter().filter_map(|action| action.get("txn")).all(|txn| txn["lastUpdated"].is_null()));
    let size: u64 = actions.iter().filter_map(|action| action["add"]["size"].as_u64()).sum();
    assert_eq!(committed.bytes, size);

    let mut again = place.letters();
    assert_eq!(again.frontier(APP).unwrap(), Some(Offset(5)));
    assert_eq!(again.frontier(OTHER_APP).unwrap(), Some(Offset(2)));
    assert_eq!(again.frontier("decode/transactions/2").unwrap(), None);
    assert_eq!(place.stored(), [all_of(0, 0..5), all_of(1, 0..2)].concat());
}

/// Fails if an append without rows is left out as needless: a quiet table would pin recovery at its first row.
#[test]
fn an_append_of_no_rows_moves_the_frontier() {
    let place = Place::new();
    let mut table = place.letters();
    table.frontier(APP).unwrap();
    for (end, batches) in [(7, vec![]), (9, vec![letters(0, 0..0)])] {
        let committed = table.append(&batches, &[to(APP, end)]).unwrap();
        assert_eq!((committed.rows, committed.files, committed.bytes), (0, 0, 0));
        assert_eq!(table.frontier(APP).unwrap(), Some(Offset(end)));
        assert_eq!(place.letters().frontier(APP).unwrap(), Some(Offset(end)));
    }
    assert_eq!(table.append(&[], &[to(APP, 9)]).unwrap().version, 3, "without rows it may stand still");
    assert!(place.data_files("dead_letters").is_empty() && place.stored().is_empty());
}

/// Fails if `check_request` passes over the case concerned.
#[test]
fn unfenced_and_backwards_appends_are_refused() {
    let place = Place::new();
    let mut table = place.letters();
    let row = || [letters(0, 4..5)];
    let unfenced = |refused: Result<_, LakeError>| {
        let error = refused.map(|committed: crate::Committed| committed.version).unwrap_err();
        assert!(matches!(error, LakeError::Unfenced { .. }), "{error}");
    };
    unfenced(table.append(&row(), &[]));
    unfenced(table.append(&row(), &[to(APP, 5)]));
    table.frontier(APP).unwrap();
    unfenced(table.append(&row(), &[to(APP, 5), to(OTHER_APP, 1)]));
    unfenced(table.append(&row(), &[to(APP, 4), to(APP, 5)]));
    assert_eq!(table.append(&row(), &[to(APP, 5)]).unwrap().version, 1);

    unfenced(table.append(&row(), &[to(APP, 5)]));
    let backwards = table.append(&row(), &[to(APP, 4)]).unwrap_err();
    assert!(matches!(backwards, LakeError::Backwards { from: Offset(5), to: Offset(4), .. }), "{backwards}");
    assert_eq!(place.letters().version(), 1);
    assert_eq!(place.data_files("dead_letters").len(), 1, "nothing is uploaded for a refused append");
    append_to(&mut table, 6).unwrap();
    assert_eq!(place.stored(), all_of(0, 4..6));
}

/// Fails if `align` casts, drops or fills what does not fit instead of refusing it.
#[test]
fn rows_that_do_not_fit_are_refused_and_nothing_is_committed() {
    let place = Place::new();
    let mut table = place.letters();
    table.frontier(APP).unwrap();
    let row = |detail: Value| {
        json!({"unit": "log", "reason": "r", "detail": detail, "source_topic": "transactions",
               "source_partition": 0, "source_offset": 0})
    };
    let renamed = |field: &Field| match field.name().as_str() {
        "event_time" => field.clone().with_name("event_tim"),
        _ => field.clone(),
    };
    let typed = |field: &Field| match field.name().as_str() {
        "detail" => field.clone().with_data_type(DataType::Int64),
        _ => field.clone(),
    };
    let optional = |field: &Field| field.clone().with_nullable(true);
    let misfits = [
        (with_column(renamed, row(json!("text"))), "column event_tim is unknown"),
        (with_column(typed, row(json!(7))), "column detail is Int64, not Utf8"),
        (with_column(optional, row(Value::Null)), "column detail is required and has 1 nulls"),
    ];
    for (misfit, expected) in misfits {
        // A batch that fits stands before the one that does not.
        let error = table.append(&[letters(0, 0..1), misfit], &[to(APP, 1)]).unwrap_err();
        let LakeError::Rows { problem, .. } = &error else { panic!("{error}") };
        assert_eq!(problem, expected);
    }
    assert_eq!((table.frontier(APP).unwrap(), table.version()), (None, 0));
    assert_eq!((place.letters().version(), place.stored()), (0, vec![]));
    append_to(&mut table, 2).unwrap();
    assert_eq!(place.stored(), all_of(0, 0..2), "the handle goes on");
}

/// Fails if `align` takes columns by their place.
#[test]
fn columns_are_found_by_name_and_missing_ones_become_null() {
    let place = Place::new();
    let mut table = place.letters();
    table.frontier(APP).unwrap();
    let complete = letters(0, 0..1);
    let indexes: Vec<usize> = (0..complete.num_columns()).rev().collect();
    let reversed = complete.project(&indexes).unwrap();
    table.append(&[reversed], &[to(APP, 1)]).unwrap();
    let schema = complete.schema();
    let required: Vec<usize> = (0..indexes.len()).filter(|index| !schema.field(*index).is_nullable()).collect();
    table.append(&[letters(0, 1..2).project(&required).unwrap()], &[to(APP, 2)]).unwrap();
    assert_eq!(place.stored(), all_of(0, 0..2));
    let answer = place.query("SELECT count(*) FROM dead_letters WHERE unit = 'log' AND detail LIKE 'line %'");
    assert_eq!(format!("{:?}", answer[0].column(0)), "PrimitiveArray<Int64>\n[\n  2,\n]");
}

/// Fails if `align` compares list types by the name of their element too.
#[test]
fn a_list_may_name_its_element_otherwise() {
    let place = Place::new();
    let spec = tables::by_name("payments").unwrap();
    let mut table = place.lake().table(&spec).unwrap();
    table.frontier(APP).unwrap();
    let fields = spec.schema.fields().iter().map(|field| match field.data_type() {
        DataType::List(_) => Field::new(field.name(), DataType::new_list(DataType::Utf8, false), field.is_nullable()),
        _ => field.as_ref().clone(),
    });
    let row = json!({"kind": "swipe", "repeat": false, "findings": ["amount_limit"], "origin_partition": 0,
                     "event_time": "2026-03-01T12:00:00Z", "ingest_time": "2026-03-01T12:00:00Z",
                     "source_topic": "transactions", "source_partition": 0, "source_offset": 0});
    let batch = rows(&Arc::new(Schema::new(fields.collect::<Vec<_>>())), &[row]);
    table.append(&[batch], &[to(APP, 1)]).unwrap();
    let answer = place.query("SELECT kind FROM payments WHERE findings[1] = 'amount_limit'");
    assert_eq!(answer.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
}

/// Fails if a hook's point is missed or in another order.
#[test]
fn a_run_that_dies_at_any_point_leaves_all_or_nothing() {
    for (point, landed) in
        [(CommitPoint::BeforeUpload, false), (CommitPoint::AfterUpload, false), (CommitPoint::AfterCommit, true)]
    {
        let place = Place::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let dying = place.lake().with_commit_hook(Arc::new(move |table, reached| {
            log.lock().unwrap().push((table.to_string(), reached));
            assert_ne!(reached, point, "dies here");
        }));
        let mut table = dying.table(&letters_spec()).unwrap();
        table.frontier(APP).unwrap();
        catch_unwind(AssertUnwindSafe(|| append_to(&mut table, 3))).expect_err("the run dies");
        let order = [CommitPoint::BeforeUpload, CommitPoint::AfterUpload, CommitPoint::AfterCommit];
        let until = order.iter().position(|reached| *reached == point).unwrap();
        let expected: Vec<_> = order[..=until].iter().map(|reached| ("dead_letters".to_string(), *reached)).collect();
        assert_eq!(*seen.lock().unwrap(), expected);

        let mut next = place.letters();
        assert_eq!(next.frontier(APP).unwrap(), landed.then_some(Offset(3)));
        assert_eq!(place.stored(), if landed { all_of(0, 0..3) } else { Vec::new() });
        append_to(&mut next, 5).unwrap();
        assert_eq!(place.stored(), all_of(0, 0..5));
    }
}
