//! Creating tables, opening them, and bringing older ones to the present schema.

use std::sync::{Arc, Barrier};
use std::thread;

use arrow::array::Array;
use arrow::datatypes::{DataType, Field, Schema};
use schemas::tables::{self, TableSpec};
use schemas::topics::COMMENT;
use serde_json::json;

use super::support::{APP, Place, all_of, append_to, letters, letters_spec, rows, to};
use crate::create::stored_schema;
use crate::{LakeError, Table};

const THREADS: usize = 6;

/// Opens the same table in several threads at once.
fn open_together(place: &Place, spec: &TableSpec) -> Vec<Result<Table, LakeError>> {
    let lake = place.lake();
    let start = Barrier::new(THREADS);
    let open = || {
        start.wait();
        lake.table(spec)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Dead letters as an older program knew them: without the two optional columns.
fn older_letters() -> TableSpec {
    let spec = letters_spec();
    let fields: Vec<_> = spec.schema.fields().iter().filter(|field| !field.is_nullable()).cloned().collect();
    TableSpec { schema: Arc::new(Schema::new(fields)), ..spec }
}

/// Dead letters with one column in another form.
fn changed_letters(change: impl Fn(&Field) -> Option<Field>) -> TableSpec {
    let spec = letters_spec();
    let fields = spec.schema.fields().iter().filter_map(|field| change(field)).collect::<Vec<_>>();
    TableSpec { schema: Arc::new(Schema::new(fields)), ..spec }
}

/// Fails if `create` may retry (remove `with_max_retries(0)`): the losers write a second version with an id of its own.
#[test]
fn creators_at_the_same_time_make_one_table() {
    for _ in 0..8 {
        let place = Place::new();
        let opened = open_together(&place, &letters_spec());
        let ids = opened.into_iter().map(|table| table.unwrap().delta.snapshot().unwrap().metadata().id().to_string());
        let mut ids: Vec<String> = ids.collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "every handle must see the same table id");
        assert_eq!(place.log_files("dead_letters"), ["00000000000000000000.json"]);
    }
}

/// Fails if `create` leaves out the comments, `delta.appendOnly`, or takes a type that raises the protocol (make
/// `topics::timestamp` lose its zone).
#[test]
fn a_new_table_says_what_it_is() {
    let place = Place::new();
    for spec in tables::all() {
        let mut table = place.lake().table(&spec).unwrap();
        table.frontier(APP).unwrap();
        table.append(&[], &[to(APP, 1)]).unwrap();
        let delta = place.load(spec.name, None);
        let snapshot = delta.snapshot().unwrap();
        let protocol = snapshot.protocol();
        assert_eq!((protocol.min_reader_version(), protocol.min_writer_version()), (1, 2), "{}", spec.name);
        assert_eq!(snapshot.metadata().name(), Some(spec.name));
        assert_eq!(snapshot.metadata().description(), Some(spec.comment));
        let stored = stored_schema(&delta, spec.name).unwrap();
        for (stored, wanted) in stored.fields().iter().zip(spec.schema.fields()) {
            assert_eq!((stored.name(), stored.is_nullable()), (wanted.name(), wanted.is_nullable()));
            assert!(stored.data_type().equals_datatype(wanted.data_type()), "{}.{}", spec.name, stored.name());
            assert_eq!(stored.metadata().get(COMMENT), wanted.metadata().get(COMMENT), "{}", stored.name());
        }
    }
}

/// Fails without `delta.appendOnly` in `create`: Delta then deletes the row.
#[test]
fn rows_cannot_be_deleted_by_anybody() {
    let place = Place::new();
    append_to(&mut place.letters(), 1).unwrap();
    let delta = place.load("dead_letters", None);
    let deleted = place.runtime.block_on(delta.delete().into_future());
    let error = deleted.expect_err("an append-only table must refuse it").to_string();
    assert!(error.contains("append"), "{error}");
    assert_eq!(place.stored(), all_of(0, 0..1));
}

/// Fails if `open_or_create` does not look what lies in the folder: vacuum would delete it later.
#[test]
fn a_folder_with_other_content_is_refused() {
    let place = Place::new();
    let folder = place.folder_of("dead_letters");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("notes.txt"), "mine").unwrap();
    let refused = place.lake().table(&letters_spec()).err().unwrap();
    assert!(matches!(refused, LakeError::Occupied { .. }), "{refused}");
    assert!(refused.to_string().contains("move its content away"), "{refused}");

    std::fs::rename(folder.join("notes.txt"), folder.join(".notes")).unwrap();
    assert_eq!(place.letters().version(), 0, "hidden files are no content");
}

/// Fails if `missing_fields` passes over the difference concerned.
#[test]
fn a_table_that_does_not_fit_is_refused_by_the_column() {
    let place = Place::new();
    place.letters();
    let typed = changed_letters(|field| {
        Some(if field.name() == "detail" { field.clone().with_data_type(DataType::Int64) } else { field.clone() })
    });
    let optional = changed_letters(|field| {
        Some(if field.name() == "reason" { field.clone().with_nullable(true) } else { field.clone() })
    });
    let unknown = changed_letters(|field| (field.name() != "unit").then(|| field.clone()));
    let mut fields = letters_spec().schema.fields().to_vec();
    fields.push(Arc::new(Field::new("severity", DataType::Utf8, false)));
    let required = TableSpec { schema: Arc::new(Schema::new(fields)), ..letters_spec() };

    for (spec, expected) in [(typed, "detail"), (optional, "reason"), (unknown, "unit"), (required, "severity")] {
        let error = place.lake().table(&spec).err().unwrap();
        let LakeError::Incompatible { column, .. } = &error else { panic!("{error}") };
        assert_eq!(column, expected);
    }
    assert_eq!(place.letters().version(), 0, "nothing was changed");
}

/// Fails if `open_or_create` does not add the missing columns, or `table_provider` does not show them as null before.
#[test]
fn an_older_table_gets_its_new_columns_and_its_rows_read_null() {
    let place = Place::new();
    let older = older_letters();
    let mut table = place.lake().table(&older).unwrap();
    table.frontier(APP).unwrap();
    let old_row = json!({"unit": "log", "reason": "old", "detail": "line 0", "source_topic": "transactions",
                         "source_partition": 0, "source_offset": 0});
    table.append(&[rows(&older.schema, &[old_row])], &[to(APP, 1)]).unwrap();

    let question = "SELECT event_time, reason, event_time IS NULL AS missing FROM dead_letters ORDER BY source_offset";
    let before = place.query(question);
    assert_eq!((before[0].num_rows(), before[0].column(0).null_count()), (1, 1), "columns not added yet read null");
    assert_eq!(before[0].schema().field(0).data_type(), &schemas::topics::timestamp());

    let mut newer = place.letters();
    assert_eq!(newer.version(), 2, "one commit adds the columns");
    assert_eq!(newer.frontier(APP).unwrap(), Some(schemas::Offset(1)), "the frontier stays");
    let new_row = json!({"unit": "log", "reason": "new", "detail": "line 1", "event_time": "2026-03-01T12:00:00Z",
                         "source_topic": "transactions", "source_partition": 0, "source_offset": 1});
    newer.append(&[rows(&letters_spec().schema, &[new_row])], &[to(APP, 2)]).unwrap();

    let after = arrow::compute::concat_batches(&place.query(question)[0].schema(), &place.query(question)).unwrap();
    assert_eq!(after.num_rows(), 2);
    assert!(after.column(0).is_null(0) && after.column(0).is_valid(1));
    assert_eq!(place.letters().version(), 3, "opened again nothing is missing");
    let protocol = newer.delta.snapshot().unwrap().protocol().clone();
    assert_eq!((protocol.min_reader_version(), protocol.min_writer_version()), (1, 2));
}

/// Fails if `append` gives up at `MetadataChanged` (let `conflict` call it `Unclear`), or commits files that were
/// written for the older schema.
#[test]
fn a_handle_of_the_older_schema_goes_on_appending() {
    let place = Place::new();
    let older = older_letters();
    let mut stale = place.lake().table(&older).unwrap();
    stale.frontier(APP).unwrap();
    assert_eq!(place.letters().version(), 1, "the columns are added behind the handle's back");

    let old_row = json!({"unit": "log", "reason": "old", "detail": "line 0", "source_topic": "transactions",
                         "source_partition": 0, "source_offset": 0});
    let committed = stale.append(&[rows(&older.schema, &[old_row])], &[to(APP, 1)]).unwrap();
    assert_eq!((committed.version, committed.rows), (2, 1));
    assert_eq!(place.stored(), all_of(0, 0..1));
}

/// Fails if a refused change of the schema is not tried again (let `conflict` call `MetadataChanged` `Unclear`), or if
/// it is forced (the columns then are added twice).
#[test]
fn several_programs_add_the_same_columns_once() {
    for _ in 0..4 {
        let place = Place::new();
        place.lake().table(&older_letters()).unwrap();
        for table in open_together(&place, &letters_spec()) {
            let table = table.unwrap();
            let stored = stored_schema(&table.delta, "dead_letters").unwrap();
            assert_eq!(stored.fields().len(), letters_spec().schema.fields().len());
        }
        let mut table = place.letters();
        assert_eq!(table.version(), 1, "the columns came in one commit");
        table.frontier(APP).unwrap();
        table.append(&[letters(0, 0..1)], &[to(APP, 1)]).unwrap();
    }
}
