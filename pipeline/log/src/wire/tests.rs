use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use proptest::prelude::*;
use schemas::topics::{self, MALFORMED};

use super::*;
use crate::ndjson::tests::any_line;
use crate::testing::{read_file, rejects, swipe, values};

mod borders;
mod foreign;
mod headers;
mod hostile;
mod round_trip;
mod speed;

/// Offset of the first record in these tests: no topic begins at 0 for ever.
const FIRST: i64 = 40;

/// A unit runs on a thread of its own.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Decoder>();
    is_send::<Encoder>();
};

fn records<P: AsRef<[u8]>>(payloads: &[P]) -> RawRecords {
    let mut records = RawRecords::default();
    for (payload, offset) in payloads.iter().zip(FIRST..) {
        records.push(offset, -1, payload.as_ref());
    }
    records
}

fn decode<P: AsRef<[u8]>>(topic: &'static str, payloads: &[P]) -> LogBatch {
    Decoder::new(topic).unwrap().decode(&records(payloads)).unwrap()
}

fn encode(topic: &'static str, format: Format, rows: &RecordBatch) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    let mut take = |row: usize, payload: &[u8]| {
        assert_eq!(row, payloads.len());
        payloads.push(payload.to_vec());
        Ok::<(), LogError>(())
    };
    Encoder::new(topic, format).unwrap().encode(rows, &mut take).unwrap();
    payloads
}

/// Text of the topic's schema of today.
fn schema_text(topic: &'static str) -> String {
    schemas::avro::versions_of(topic).pop().unwrap()
}

/// Schemas that are there.
struct Published(Vec<String>);

impl SchemaSource for Published {
    fn schema(&self, hash: ContentHash) -> Result<String, String> {
        let found = self.0.iter().find(|text| ContentHash::of(text.as_bytes()) == hash);
        found.cloned().ok_or_else(|| "no such file".to_string())
    }
}

/// A JSON record of pings that brings a schema into force.
fn control(id: &str, text: &str) -> Vec<u8> {
    let hash = ContentHash::of(text.as_bytes()).to_hex();
    let members = format!(r#""control_type":"schema","control_id":"{id}","control_hash":"{hash}""#);
    format!(r#"{{"kind":"control","control_unit":"log",{members}}}"#).into_bytes()
}

#[test]
fn the_first_bytes_tell_the_format() {
    let avro = encode("pings", Format::Avro, &decode("pings", &[r#"{"device_id":"a"}"#]).rows).remove(0);
    let frame = encode("pings", Format::Registry(7), &decode("pings", &[r#"{"device_id":"a"}"#]).rows).remove(0);
    let mut of_another_topic = avro.clone();
    of_another_topic[2] ^= 1;
    let cases: [(&[u8], &str); 14] = [
        (b"", reason::EMPTY_RECORD),
        (b" \t\r\n", reason::EMPTY_RECORD),
        (b"\n {\"device_id\":\"b\"}\n", ""),
        (&avro, ""),
        (&of_another_topic, reason::UNKNOWN_SCHEMA),
        (&avro[..9], reason::BAD_AVRO),
        (&avro[..avro.len() - 1], reason::BAD_AVRO),
        (&frame, reason::SCHEMA_NOT_IN_FORCE),
        (&frame[..4], reason::BAD_AVRO),
        (b"\xc3\x02", reason::UNKNOWN_FORMAT),
        (b"[1]", reason::UNKNOWN_FORMAT),
        (b"\xef\xbb\xbf{}", reason::UNKNOWN_FORMAT),
        (b"{", reason::BAD_JSON),
        (b"{\"device_id\":\"\xff\"}", reason::BAD_UTF8),
    ];
    let read = decode("pings", &cases.map(|(payload, _)| payload));
    let expected = cases.iter().zip(FIRST..).filter(|((_, reason), _)| !reason.is_empty());
    let expected: Vec<_> = expected.map(|((_, reason), offset)| (offset, *reason)).collect();
    assert_eq!(read.rejects.iter().map(|reject| (reject.offset.0, reject.reason)).collect::<Vec<_>>(), expected);
    assert_eq!((read.offsets.as_slice(), values(&read, "device_id")), (&[42, 43][..], vec!["b".into(), "a".into()]));
    assert_eq!(read.appended_us, [-1, -1]);
}

#[test]
fn a_reject_names_column_and_cause_and_no_place() {
    let read = decode("pings", &[r#"{"lat":"north"}"#]);
    assert_eq!(rejects(&read), [(FIRST, reason::BAD_VALUE, "column lat has a value that its type cannot hold")]);
    let avro = encode("pings", Format::Avro, &decode("pings", &[r#"{"device_id":"abc"}"#]).rows).remove(0);
    let read = decode("pings", &[&avro[..14]]);
    assert_eq!(rejects(&read), [(FIRST, reason::BAD_AVRO, "field device_id: the record ends inside a value")]);
}

#[test]
fn a_record_of_more_than_a_mebibyte_is_rejected() {
    let padded = |bytes: usize| format!(r#"{{"kind":"{}"}}"#, "x".repeat(bytes - r#"{"kind":""}"#.len()));
    let read = decode("pings", &[padded(RECORD_BYTES_MAX), padded(RECORD_BYTES_MAX + 1)]);
    assert_eq!(read.offsets, [FIRST]);
    assert_eq!(read.rejects[0].reason, reason::LINE_TOO_LONG);
}

/// Fails if the check compares with another record's append time, or takes a missing one for the year 1970.
#[test]
fn what_was_received_after_its_append_is_rejected() {
    let appended = 1_772_359_200_000_000;
    let cases =
        [(appended, 5_000_000, true), (appended, 5_000_001, false), (appended, -86_400_000_000, true), (-1, 0, true)];
    let mut records = RawRecords::default();
    for ((appended_us, ahead_us, _), offset) in cases.iter().zip(FIRST..) {
        let received = appended + ahead_us;
        records.push(offset, *appended_us, format!(r#"{{"device_id":"a","received_at":{received}}}"#).as_bytes());
    }
    records.push(99, i64::MAX, br#"{"device_id":"a","received_at":-9223372036854775808}"#);
    records.push(100, 0, br#"{"device_id":"a"}"#);
    let read = Decoder::new("pings").unwrap().decode(&records).unwrap();
    assert_eq!(read.offsets, [40, 42, 43, 99, 100]);
    assert_eq!(read.appended_us, [appended, appended, -1, i64::MAX, 0]);
    let detail = "column received_at lies more than 5 s after the record was appended";
    assert_eq!(rejects(&read), [(41, reason::RECEIVED_IN_FUTURE, detail)]);
}

#[test]
fn a_list_is_read_from_json_and_anything_else_in_its_place_is_rejected() {
    let payment = |findings: &str| {
        let rest = r#""kind":"tick","repeat":false,"origin_partition":0,"event_time":1,"ingest_time":1"#;
        format!("{{{rest}{findings}}}")
    };
    let cases = [
        (r#","findings":[]"#, ""),
        (r#","findings":["a","[{b"]"#, ""),
        (r#","findings":["a",7,true]"#, ""),
        (r#","findings":[1],"findings":["last"]"#, ""),
        (r#","findings":["a",null]"#, reason::BAD_VALUE),
        (r#","findings":["a",["b"]]"#, reason::BAD_VALUE),
        (r#","findings":[{"a":1}]"#, reason::BAD_VALUE),
        (r#","findings":"a""#, reason::BAD_VALUE),
        (r#","findings":{}"#, reason::BAD_VALUE),
        (r#","findings":null"#, reason::MISSING_COLUMN),
        ("", reason::MISSING_COLUMN),
        (r#","findings":[],"token":["a"]"#, reason::BAD_VALUE),
        (r#","findings":[],"token":{"a":1}"#, reason::BAD_VALUE),
        (r#","findings":[],"unknown":[["a"]]"#, ""),
    ];
    let read = decode("payments", &cases.map(|(findings, _)| payment(findings)));
    let found: Vec<_> = (FIRST..FIRST + 14)
        .map(|offset| read.rejects.iter().find(|reject| reject.offset.0 == offset).map_or("", |reject| reject.reason))
        .collect();
    assert_eq!(found, cases.map(|(_, reason)| reason));
    let lists: Vec<String> = read.rows["findings"]
        .as_list::<i32>()
        .iter()
        .flatten()
        .map(|list| list.as_string::<i32>().iter().flatten().collect::<Vec<_>>().join("|"))
        .collect();
    assert_eq!(lists, ["", "a|[{b", "a|7|true", "last", ""]);
}

#[test]
fn an_encoder_fills_missing_optional_columns_and_refuses_others() {
    let whole = decode("pings", &[r#"{"device_id":"a","time":"2026-03-01T10:00:00.25Z","lat":1.5}"#]).rows;
    let short = whole.project(&[0, 1, 2, 3]).unwrap();
    for format in [Format::Json, Format::Avro] {
        assert_eq!(encode("pings", format, &short), encode("pings", format, &whole));
    }
    let text = encode("pings", Format::Json, &short).remove(0);
    assert_eq!(String::from_utf8(text).unwrap(), r#"{"device_id":"a","time":"2026-03-01T10:00:00.250000Z","lat":1.5}"#);
    let mut none = |_: usize, _: &[u8]| Ok::<(), LogError>(());
    let swapped = whole.project(&[1, 0]).unwrap();
    let error = Encoder::new("pings", Format::Avro).unwrap().encode(&swapped, &mut none).unwrap_err();
    assert!(error.to_string().contains("column device_id is not the topic's column 0"), "{error}");
    let label = r#"{"payment_id":"a","label":"fraud","event_time":1,"known_at":1,"ingest_time":1}"#;
    let without_required = decode("labels", &[label]).rows.project(&[0]).unwrap();
    assert!(Encoder::new("labels", Format::Avro).unwrap().encode(&without_required, &mut none).is_err());
    assert!(matches!(Encoder::new("pigs", Format::Json), Err(LogError::Topic { .. })));
}

/// Fails if rows of a call that failed stay in the encoder, or if its error does not end the call.
#[test]
fn an_error_of_the_taker_ends_the_call_and_leaves_nothing_behind() {
    let rows = decode("pings", &[r#"{"device_id":"a"}"#, r#"{"device_id":"b"}"#]).rows;
    for format in [Format::Json, Format::Avro] {
        let mut encoder = Encoder::new("pings", format).unwrap();
        let mut taken = 0;
        let mut full = |_: usize, _: &[u8]| {
            taken += 1;
            Err(LogError::Topic { topic: "full".to_string() })
        };
        assert!(matches!(encoder.encode(&rows, &mut full), Err(LogError::Topic { .. })));
        assert_eq!(taken, 1);
        let mut count = 0;
        let mut take = |_: usize, _: &[u8]| {
            count += 1;
            Ok::<(), LogError>(())
        };
        encoder.encode(&rows, &mut take).unwrap();
        assert_eq!(count, 2);
    }
}

proptest! {
    /// Fails if the records of a broker go another way than the lines of a file.
    #[test]
    fn json_reads_as_the_same_line_of_a_file(lines in prop::collection::vec(any_line(), 1..30)) {
        let is_json = |line: &&Vec<u8>| line.trim_ascii_start().starts_with(b"{") && !line.ends_with(b"\r");
        let lines: Vec<Vec<u8>> = lines.iter().filter(is_json).cloned().collect();
        let content = [lines.join(&b'\n'), b"\n".to_vec()].concat();
        prop_assume!(!lines.is_empty());
        let file = read_file("a.ndjson", &content, &topics::transactions());
        let wire = decode("transactions", &lines);
        prop_assert_eq!(&wire.rows, &file.rows);
        prop_assert_eq!(wire.offsets, file.offsets.iter().map(|row| row + FIRST).collect::<Vec<_>>());
        prop_assert_eq!(wire.rejects.len(), file.rejects.len());
        for (wire, file) in wire.rejects.iter().zip(&file.rejects) {
            prop_assert_eq!((wire.offset.0, wire.reason), (file.offset.0 + FIRST, file.reason));
            prop_assert_eq!(format!("a.ndjson, line {}: {}", file.offset.0 + 1, wire.detail), file.detail.clone());
        }
    }
}

#[test]
fn unreadable_optional_values_are_named_in_json_as_in_avro() {
    let json = swipe(r#""stan":"x","amount_minor":1.5"#);
    assert_eq!(values(&decode("transactions", &[json]), MALFORMED), ["stan,amount_minor"]);
    let wide = schema_text("transactions")
        .replace(r#""name":"stan","type":["null","int"]"#, r#""name":"stan","type":["null","long"]"#);
    let mut decoder = Decoder::new("transactions").unwrap();
    decoder.bring_into_force(1, &wide).unwrap();
    let mut payload =
        encode("transactions", Format::Registry(1), &decode("transactions", &[swipe(r#""stan":17"#)]).rows).remove(0);
    let place = payload.iter().position(|byte| *byte == 34).unwrap();
    payload.splice(place..=place, [0x80, 0x80, 0x80, 0x80, 0x10]);
    let read = decoder.decode(&records(&[payload])).unwrap();
    assert_eq!((values(&read, "stan"), values(&read, MALFORMED)), (vec!["-".to_string()], vec!["stan".to_string()]));
}
