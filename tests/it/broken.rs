//! Broken input of every kind among good neighbours: each bad record becomes a dead letter or an answer of its own, with
//! its reason and offset and without its content, and nothing else suffers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, StringArray};
use arrow_avro::writer::AvroWriter;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use crate::support::{Shop, at, query, text, till};

const CARD: &str = "4111111111111111";
/// Stands in every broken record, in place of what it really held.
const CONTENT: &str = "QUOTED-CONTENT-8675309";

fn merged(mut record: Value, changes: Value) -> Value {
    record.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    record
}

/// What became of each record that is no plain success, by offset: reasons of dead letters or codes of answers.
type Expected = BTreeMap<u64, &'static str>;

/// Transactions: good ones in the first and last file, broken ones between them.
fn write_transactions(shop: &Shop) -> (Expected, Expected) {
    let mut first = shop.controls();
    first.push(shop.swipe(1, &shop.frame(CARD, 1)));
    shop.write_transactions("1-good.ndjson", &first);

    let mut broken_frame = shop.frame(CARD, 2);
    broken_frame[100] ^= 0x55;
    let swipe =
        |second: u32, counter: u32, changes: Value| merged(shop.swipe(second, &shop.frame(CARD, counter)), changes);
    let tick = |time: Value| json!({"kind": "tick", "received_at": time, "app_version": CONTENT});
    let records: Vec<(Value, &str)> = vec![
        (json!(format!("gateway restarted {CONTENT} {CARD}")), "bad_json"),
        (json!(format!(r#"{{"kind":"swipe","received_at":"{}","reader_id":"{CONTENT}"#, at(2))), "bad_json"),
        (json!(""), "empty_line"),
        (json!({"kind": "tick", "app_version": CONTENT}), "missing_column"),
        (json!({"received_at": at(2), "merchant_id": CONTENT}), "missing_column"),
        (tick(json!("9999999-01-01T00:00:00Z")), "bad_value"),
        (tick(json!(300_000_000_000_000_000_i64)), "time_out_of_range"),
        (json!({"kind": CONTENT, "received_at": at(2)}), "unknown_kind"),
        (json!({"kind": "swipe", "received_at": at(2), "merchant_id": CONTENT, "stan": 3}), "swipe_without_sender"),
        (json!({"kind": "refund", "received_at": at(2), "payment_id": CONTENT}), "no_payment_id"),
        (json!({"kind": "refund", "received_at": at(2), "payment_id": "00", "amount_minor": CONTENT}), "malformed"),
        (json!({"kind": "control", "received_at": at(2), "control_unit": CONTENT}), "bad_control"),
        (swipe(10, 3, json!({"amount_minor": CONTENT})), "30"),
        (swipe(11, 4, json!({"amount_minor": -5})), "13"),
        (swipe(12, 5, json!({"frame": hex::encode(broken_frame)})), "88"),
        (swipe(13, 6, json!({"frame": CONTENT})), "30"),
        (swipe(14, 7, json!({"terminal_time": "9999999-01-01T00:00:00Z"})), "30"),
    ];
    let mut lines: Vec<Value> = records.iter().map(|(record, _)| record.clone()).collect();
    // The JSON of this test's own library cannot say such a number.
    let absurd = swipe(15, 8, json!({"amount_minor": CONTENT})).to_string().replace(&format!("\"{CONTENT}\""), "1e400");
    lines.push(json!(absurd));
    shop.write_transactions("2-broken.ndjson", &lines);
    let start = first.len() as u64;
    let all: Expected = (start..).zip(records.iter().map(|(_, expected)| *expected).chain(["30"])).collect();
    let (mut answers, mut letters): (Expected, Expected) = all.into_iter().partition(|(_, text)| text.len() == 2);
    answers.insert(start - 1, "00");

    let folder = shop.input.join("transactions");
    let mut offset = start + lines.len() as u64;
    write_avro(&folder.join("3-wrong-schema.avro"));
    write_parquet(&folder.join("4-no-time.parquet"), "kind");
    for reason in ["wrong_schema", "wrong_schema", "missing_column", "missing_column"] {
        letters.insert(offset, reason);
        offset += 1;
    }
    shop.write_transactions("5-good.ndjson", &[shop.swipe(20, &shop.frame(CARD, 9))]);
    answers.insert(offset, "00");
    (letters, answers)
}

/// Two records whose time is a truth value.
fn write_avro(path: &Path) {
    let kinds = StringArray::from(vec![CONTENT, "tick"]);
    let batch = RecordBatch::try_from_iter([
        ("kind", Arc::new(kinds) as arrow::array::ArrayRef),
        ("received_at", Arc::new(BooleanArray::from(vec![true, false]))),
    ]);
    let batch = batch.unwrap();
    let mut writer = AvroWriter::new(File::create(path).unwrap(), batch.schema().as_ref().clone()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
}

/// Two records with one column.
fn write_parquet(path: &Path, column: &str) {
    let texts: arrow::array::ArrayRef = Arc::new(StringArray::from(vec![CONTENT, CONTENT]));
    let batch = RecordBatch::try_from_iter([(column, texts)]).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Pings: the offsets of the good ones, and what is wrong with the others.
fn write_pings(folder: &Path) -> (Vec<u64>, Expected) {
    let good = "device,time,lat,lon\nD-1,2026-03-02T09:00:00Z,53.3,-6.2\n";
    fs::write(folder.join("1-good.csv"), good).unwrap();
    let broken = format!(
        "device,time,lat,lon,note\n\
         D-1,2026-03-02T09:00:01Z,95,-6.2,{CONTENT}\n\
         D-1,2026-03-02T09:00:02Z,53.3,-181,{CONTENT}\n\
         D-1,9999999-01-01T00:00:00Z,53.3,-6.2,{CONTENT}\n\
         D-1,2026-03-02T09:00:03Z,1e400,-6.2,{CONTENT}\n\
         D-1,2026-03-02T09:00:04Z,53.3\n\
         D-1,,53.3,-6.2,{CONTENT}\n\
         ,2026-03-02T09:00:05Z,53.3,-6.2,{CONTENT}\n\
         D-1,2026-03-02T09:00:06Z,,,{CONTENT}\n\
         D-1,2026-03-02T09:00:07Z,53.4,-6.3,good\n"
    );
    fs::write(folder.join("2-broken.csv"), broken).unwrap();
    write_parquet(&folder.join("3-no-position.parquet"), "device");
    fs::write(folder.join("4-good.csv"), good.replace("09:00:00", "09:00:08")).unwrap();
    let reasons = [
        "latitude_out_of_range",
        "longitude_out_of_range",
        "bad_value",
        "bad_value",
        "wrong_field_count",
        "time_missing",
        "device_missing",
        "position_missing",
    ];
    let mut letters: Expected = (1..).zip(reasons).collect();
    letters.extend([(10, "missing_column"), (11, "missing_column")]);
    (vec![0, 9, 12], letters)
}

fn texts_by_offset(rows: &[Value], column: &str) -> BTreeMap<u64, String> {
    let text = |row: &Value| (row["source_offset"].as_u64().unwrap(), row[column].as_str().unwrap().to_string());
    let found: BTreeMap<u64, String> = rows.iter().map(text).collect();
    assert_eq!(found.len(), rows.len(), "an offset stands twice: {rows:?}");
    found
}

fn owned(expected: &Expected) -> BTreeMap<u64, String> {
    expected.iter().map(|(offset, text)| (*offset, (*text).to_string())).collect()
}

#[test]
fn broken_records_are_isolated_and_their_neighbours_go_through() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let shop = Shop::open(&folder.path().join("input"));
    let (letters, answers) = write_transactions(&shop);
    let (good_pings, ping_letters) = write_pings(&shop.input.join("pings"));
    let ended = till(&["run", "--input", text(&shop.input), "--lake", text(&lake)]).with_exit(0);

    for (topic, expected) in [("transactions", &letters), ("pings", &ping_letters)] {
        let sql = format!("SELECT source_offset, reason FROM dead_letters WHERE source_topic = '{topic}'");
        assert_eq!(texts_by_offset(&query(&lake, &sql), "reason"), owned(expected), "{topic}");
    }
    let decisions = query(&lake, "SELECT source_offset, response_code FROM decisions WHERE kind = 'authorization'");
    assert_eq!(texts_by_offset(&decisions, "response_code"), owned(&answers));
    let pings = query(&lake, "SELECT source_offset FROM pings ORDER BY source_offset");
    assert_eq!(pings.iter().map(|row| row["source_offset"].as_u64().unwrap()).collect::<Vec<_>>(), good_pings);

    for row in query(&lake, "SELECT * FROM dead_letters") {
        let shown = row.to_string();
        assert!(!shown.contains(CONTENT) && !shown.contains(CARD), "{shown}");
        let detail = row["detail"].as_str().unwrap();
        assert!(detail.len() > 10, "{row}");
    }
    assert!(!ended.stderr.contains(CONTENT) && !ended.stdout.contains(CONTENT), "{ended}");
}

/// Each letter of the log's reader says file and place, so that somebody can look.
#[test]
fn dead_letters_say_where_the_record_lies() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let shop = Shop::open(&folder.path().join("input"));
    let lines = [json!({"kind": "tick", "received_at": at(0)}), json!("no json")];
    shop.write_transactions("gateway.ndjson", &lines);
    till(&["run", "--input", text(&shop.input), "--lake", text(&lake)]).with_exit(0);
    let letters = query(&lake, "SELECT unit, detail, source_offset FROM dead_letters");
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0]["unit"], &letters[0]["source_offset"]), (&json!("log"), &json!(1)));
    assert!(letters[0]["detail"].as_str().unwrap().starts_with("gateway.ndjson, line 2: "), "{}", letters[0]);
}

/// Its records cannot be counted, so later offsets would change once it is whole: nothing after it may be read.
#[test]
fn a_truncated_parquet_file_is_an_error_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let shop = Shop::open(&folder.path().join("input"));
    let pings = shop.input.join("pings");
    fs::write(pings.join("1-good.csv"), "device,time,lat,lon\nD-1,2026-03-02T09:00:00Z,53.3,-6.2\n").unwrap();
    fs::write(pings.join("3-good.csv"), "device,time,lat,lon\nD-1,2026-03-02T09:00:01Z,53.3,-6.2\n").unwrap();
    let path = pings.join("2-cut.parquet");
    write_parquet(&path, "device");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    let run = ["run", "--input", text(&shop.input), "--lake", text(&lake)];
    till(&run).with_exit(1).complains("input file 2-cut.parquet");
    // Once it is whole, the run goes through and has everything once.
    fs::write(&path, &whole).unwrap();
    till(&run).with_exit(0);
    let pings = query(&lake, "SELECT source_offset FROM pings ORDER BY source_offset");
    assert_eq!(pings, [json!({"source_offset": 0}), json!({"source_offset": 3})]);
}
