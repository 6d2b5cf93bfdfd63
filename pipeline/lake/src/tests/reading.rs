//! The session: what SQL may ask, what it is told about names, and what it sees.

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use schemas::tables;
use schemas::views;
use serde_json::{Value, json};

use super::support::{APP, Place, all_of, append_to, letters_spec, places, rows, to};
use crate::{Kind, QueryError, Session};

fn refusal(place: &Place, session: &Session, sql: &str) -> QueryError {
    match place.runtime.block_on(session.collect(sql)) {
        Err(error) => error,
        Ok(_) => panic!("{sql} was answered"),
    }
}

fn row_count(answer: &[RecordBatch]) -> usize {
    answer.iter().map(RecordBatch::num_rows).sum()
}

fn append_rows(place: &Place, table: &str, values: &[Value]) {
    let spec = tables::by_name(table).unwrap();
    let mut table = place.lake().table(&spec).unwrap();
    let from = table.frontier(APP).unwrap().unwrap_or_default().0;
    table.append(&[rows(&spec.schema, values)], &[to(APP, from + values.len() as i64)]).unwrap();
}

/// Fails if `open_session` leaves out a table that has no folder yet: the views over it then do not plan.
#[test]
fn every_table_and_view_can_be_asked_in_an_empty_lake() {
    let place = Place::new();
    place.lake();
    let session = place.session();
    let names: Vec<&str> = session.tables().iter().map(|listing| listing.name).collect();
    let tables = tables::all();
    let expected: Vec<&str> =
        tables.iter().map(|spec| spec.name).chain(views::ALL.iter().map(|view| view.name)).collect();
    assert_eq!(names, expected);
    for name in names {
        let answer = place.runtime.block_on(session.collect(&format!("SELECT * FROM {name}"))).unwrap();
        assert_eq!(row_count(&answer), 0, "{name}");
    }
    assert!(place.runtime.block_on(crate::open_session(&place.folder_of("missing"))).is_err());
}

/// Fails if one of the three options of `plan` is dropped.
#[test]
fn only_reading_is_allowed() {
    let place = Place::new();
    append_to(&mut place.letters(), 2).unwrap();
    let session = place.session();
    let export = place.folder_of("export").join("letters.csv");
    let statements = [
        "INSERT INTO dead_letters SELECT * FROM dead_letters",
        "EXPLAIN ANALYZE INSERT INTO dead_letters SELECT * FROM dead_letters",
        "DELETE FROM dead_letters",
        "UPDATE dead_letters SET reason = 'none'",
        "TRUNCATE TABLE dead_letters",
        "CREATE TABLE copy AS SELECT * FROM dead_letters",
        "CREATE VIEW copy AS SELECT * FROM dead_letters",
        "CREATE EXTERNAL TABLE passwords STORED AS CSV LOCATION '/etc/passwd'",
        "DROP TABLE dead_letters",
        "SET datafusion.execution.batch_size = 1",
        "START TRANSACTION",
        "PREPARE question AS SELECT 1",
    ];
    let export_statement = format!("COPY dead_letters TO '{}' STORED AS CSV", export.display());
    for sql in statements.into_iter().chain([export_statement.as_str()]) {
        let error = refusal(&place, &session, sql);
        assert!(matches!(error, QueryError::Refused { .. }), "{sql}: {error}");
        assert!(error.to_string().contains("only SELECT, EXPLAIN and SHOW are allowed"), "{error}");
    }
    assert!(!export.exists());
    assert_eq!((place.letters().version(), place.stored()), (1, all_of(0, 0..2)));

    for sql in [
        "EXPLAIN SELECT * FROM dead_letters",
        "EXPLAIN ANALYZE SELECT * FROM dead_letters",
        "SHOW TABLES",
        "SHOW COLUMNS FROM dead_letters",
        "DESCRIBE dead_letters",
        "WITH letters AS (SELECT * FROM dead_letters) SELECT count(*) FROM letters",
    ] {
        assert!(row_count(&place.runtime.block_on(session.collect(sql)).unwrap()) > 0, "{sql}");
    }
}

/// Fails if files can be read by naming them as tables (call `enable_url_table` in `new_context`).
#[test]
fn files_cannot_be_read_through_sql() {
    let place = Place::new();
    append_to(&mut place.letters(), 1).unwrap();
    let file = place.folder_of("dead_letters").join(&place.data_files("dead_letters")[0]);
    let error = refusal(&place, &place.session(), &format!("SELECT * FROM '{}'", file.display()));
    assert!(matches!(error, QueryError::UnknownName { nearest: None, .. }), "{error}");
}

/// Fails if `explain` does not recognise DataFusion's error, or `nearest` accepts any distance.
#[test]
fn unknown_names_are_answered_with_the_nearest_one() {
    let place = Place::new();
    place.lake();
    let session = place.session();
    let cases = [
        ("SELECT * FROM paymnts", "no table paymnts", Some("payments")),
        ("SELECT * FROM PAYMENTS_CURENT", "no table payments_curent", Some("payments_current")),
        ("SELECT * FROM weather", "no table weather", None),
        ("SELECT * FROM payments p JOIN labls l ON p.payment_id = l.payment_id", "no table labls", Some("labels")),
        ("SELECT amount FROM payments", "no column amount", None),
        ("SELECT amount_mino FROM payments", "no column amount_mino", Some("amount_minor")),
        ("SELECT p.curency FROM payments p", "no column p.curency", Some("currency")),
        ("SELECT kind FROM decisions WHERE respons_code = '00'", "no column respons_code", Some("response_code")),
        ("SELECT count(*) FROM decisions GROUP BY merchant_ids", "no column merchant_ids", Some("merchant_id")),
    ];
    for (sql, expected_problem, expected_nearest) in cases {
        let error = refusal(&place, &session, sql);
        let QueryError::UnknownName { problem, nearest } = &error else { panic!("{sql}: {error}") };
        assert_eq!((problem.as_str(), nearest.as_deref()), (expected_problem, expected_nearest), "{sql}");
        assert_eq!(error.to_string().contains("did you mean"), nearest.is_some());
    }
}

/// Fails if `explain` calls a mistake in the question a failure of the query, or the other way round.
#[test]
fn questions_that_make_no_sense_are_told_from_queries_that_fail() {
    let place = Place::new();
    append_to(&mut place.letters(), 2).unwrap();
    let session = place.session();
    for sql in [
        "SELEC 1",
        "SELECT",
        "",
        "SELECT 1; SELECT 2",
        "SELECT reason FROM dead_letters GROUP BY unit",
        "SELECT no_such(1)",
    ] {
        let error = refusal(&place, &session, sql);
        assert!(matches!(error, QueryError::Invalid { .. }), "{sql}: {error:?}");
    }
    let error = refusal(&place, &session, "SELECT 1 / (source_offset - source_offset) FROM dead_letters");
    assert!(matches!(error, QueryError::Failed { .. }), "{error:?}");
}

/// A swipe on the payments topic.
fn swipe(payment_id: &str, repeat: bool, offset: i64) -> Value {
    json!({"kind": "swipe", "payment_id": payment_id, "repeat": repeat, "merchant_id": "m1", "amount_minor": 1250,
           "currency": "EUR", "findings": [], "origin_partition": 0, "event_time": "2026-03-01T12:00:00Z",
           "ingest_time": "2026-03-01T12:00:00Z", "source_topic": "transactions", "source_partition": 0,
           "source_offset": offset})
}

/// An answer or a change of state.
fn decision(payment_id: &str, kind: &str, state: Option<&str>, amounts: [i64; 2], offset: i64) -> Value {
    json!({"payment_id": payment_id, "kind": kind, "repeat": false, "state": state, "response_code": "00",
           "reason": "approved", "findings": [], "held_minor": amounts[0], "captured_minor": amounts[1],
           "answer": "{}", "origin_partition": 0, "event_time": "2026-03-01T12:00:00Z",
           "ingest_time": "2026-03-01T12:00:00Z", "source_topic": "transactions", "source_partition": 0,
           "source_offset": offset})
}

/// Fails if the view takes a repeat or a refused second swipe for a payment, or another state than the newest by offset.
#[test]
fn payments_current_shows_each_payment_once_with_its_newest_state() {
    let place = Place::new();
    let mut other_content = swipe("p2", false, 5);
    other_content["amount_minor"] = json!(99);
    let swipes = [swipe("p1", false, 0), swipe("p1", true, 1), swipe("p2", false, 2), other_content];
    append_rows(&place, "payments", &swipes);
    let decisions = [
        decision("p1", "authorization", Some("authorized"), [1250, 0], 0),
        decision("p2", "authorization", Some("authorized"), [1250, 0], 2),
        decision("p1", "capture", Some("captured"), [-1250, 1250], 3),
        decision("p1", "acknowledgement", None, [0, 0], 4),
    ];
    append_rows(&place, "decisions", &decisions);
    let columns = "payment_id, state, held_minor, captured_minor, amount_minor";
    let answer = place.query(&format!("SELECT {columns} FROM payments_current ORDER BY payment_id"));
    let expected = "\
+------------+------------+------------+----------------+--------------+
| payment_id | state      | held_minor | captured_minor | amount_minor |
+------------+------------+------------+----------------+--------------+
| p1         | captured   | 0          | 1250           | 1250         |
| p2         | authorized | 1250       | 0              | 1250         |
+------------+------------+------------+----------------+--------------+";
    assert_eq!(pretty_format_batches(&answer).unwrap().to_string(), expected);
}

/// Fails if a listing counts from another version than queries read, or loses the comments.
#[test]
fn listings_say_rows_sizes_types_and_comments() {
    let place = Place::new();
    let mut table = place.letters();
    append_to(&mut table, 3).unwrap();
    append_to(&mut table, 7).unwrap();
    let session = place.session();
    let find = |name: &str| session.tables().iter().find(|listing| listing.name == name).unwrap();

    let letters = find("dead_letters");
    assert_eq!((letters.kind, letters.version, letters.rows, letters.files), (Kind::Table, Some(2), Some(7), Some(2)));
    let folder = place.folder_of("dead_letters");
    let sizes = place.data_files("dead_letters").into_iter().map(|name| folder.join(name).metadata().unwrap().len());
    assert_eq!(letters.bytes, Some(sizes.sum()));
    assert_eq!(letters.comment, letters_spec().comment);
    let types: Vec<_> =
        letters.columns.iter().map(|column| (column.name.as_str(), column.data_type.as_str())).collect();
    assert!(types.contains(&("reason", "text")) && types.contains(&("event_time", "timestamp with time zone")));
    assert!(types.contains(&("source_partition", "integer")) && types.contains(&("source_offset", "bigint")));
    assert!(letters.columns.iter().all(|column| !column.comment.is_empty()));

    let payments = find("payments");
    assert_eq!((payments.version, payments.rows, payments.bytes, payments.files), (None, Some(0), Some(0), Some(0)));
    assert!(payments.columns.iter().any(|column| column.name == "findings" && column.data_type == "text[]"));

    let view = find("payments_current");
    assert_eq!((view.kind, view.version, view.rows, view.bytes), (Kind::View, None, None, None));
    let comment = |name: &str| view.columns.iter().find(|column| column.name == name).unwrap().comment.as_str();
    assert_eq!(comment("last4"), "last four digits of the card number");
    assert_eq!(comment("swiped_at"), "", "a renamed column has no comment of its own");
}

/// Fails if a session reads the newest version at each query instead of the one that it was opened at.
#[test]
fn a_session_keeps_seeing_the_moment_at_which_it_was_opened() {
    let place = Place::new();
    let mut table = place.letters();
    append_to(&mut table, 2).unwrap();
    let session = place.session();
    append_to(&mut table, 5).unwrap();
    let question = "SELECT source_partition, source_offset FROM dead_letters ORDER BY 2";
    let answer = place.runtime.block_on(session.collect(question)).unwrap();
    assert_eq!(places(&answer), all_of(0, 0..2));
    assert_eq!(place.stored(), all_of(0, 0..5));
}

/// A vehicle's row at a time, seconds.
fn vehicle(device: &str, sequence: i64, second: i64) -> Value {
    let time = format!("1970-01-{:02}T{:02}:00:{:02}Z", 1 + second / 86_400, second / 3_600 % 24, second % 60);
    json!({
        "device_id": device, "sequence": sequence, "lat": 53.0, "lon": -6.0, "state": "driving", "since": time,
        "event_time": time, "ingest_time": time,
        "source_topic": "pings", "source_partition": 0, "source_offset": sequence,
    })
}

/// Fails if the view's present is no constant when it is planned: it then opens every file of its history.
#[test]
fn the_view_of_now_opens_no_file_of_the_past() {
    let place = Place::new();
    const DAY_S: i64 = 86_400;
    append_rows(&place, "vehicles", &[vehicle("old", 1, 5), vehicle("d", 1, 6)]);
    append_rows(&place, "vehicles", &[vehicle("d", 2, 10 * DAY_S)]);
    append_rows(&place, "vehicles", &[vehicle("d", 3, 10 * DAY_S + 20), vehicle("e", 1, 9 * DAY_S + 20)]);
    let time = "1970-01-11T00:00:30Z";
    let ping = json!({
        "device_id": "d", "lat": 53.0, "lon": -6.0, "event_time": "2070-01-01T00:00:00Z", "ingest_time": time,
        "source_topic": "pings", "source_partition": 0, "source_offset": 1,
    });
    append_rows(&place, "pings", &[ping]);
    let now = place.query("SELECT device_id, age_s FROM vehicles_current ORDER BY 1");
    let shown = pretty_format_batches(&now).unwrap().to_string();
    assert_eq!(row_count(&now), 2, "{shown}");
    assert!(shown.contains("| d         | 10.0    |") && shown.contains("| e         | 86410.0 |"), "{shown}");
    let plan = place.query("EXPLAIN SELECT * FROM vehicles_current");
    let plan = pretty_format_batches(&plan).unwrap().to_string();
    assert_eq!(plan.matches(".parquet").count(), 2, "{plan}");
}
