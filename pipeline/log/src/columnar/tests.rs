use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, StringArray, TimestampMillisecondArray, UInt64Array};

use super::*;
use crate::LogReader;
use crate::testing::{Folder, avro_file, parquet_file, pings, read_all, read_file, rejects, transactions, values};

fn rows(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn times(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(values.to_vec()).with_timezone("+00:00"))
}

/// Fixes under other names and types than the topic's; the third is a tick.
fn fixes() -> RecordBatch {
    rows(vec![
        ("longitude", Arc::new(Float32Array::from(vec![Some(-2.5), Some(-2.25), None]))),
        ("vehicle_id", texts(&[Some("t1"), Some("t2"), None])),
        ("event_time", times(&[Some(1_500), Some(2_500), None])),
        ("lat", Arc::new(Float64Array::from(vec![Some(53.5), Some(95.0), None]))),
        ("trip_id", texts(&[Some("a"), Some("b"), None])),
        ("kind", texts(&[None, None, Some("tick")])),
    ])
}

fn with_column(rows: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let others =
        rows.schema_ref().fields().iter().map(|field| field.name().as_str()).zip(rows.columns().iter().cloned());
    self::rows(others.filter(|(other, _)| *other != name).chain([(name, column)]).collect())
}

#[test]
fn columns_are_found_by_name_and_widened() {
    for (name, content) in [("a.parquet", parquet_file(&fixes())), ("a.avro", avro_file(&fixes()))] {
        let read = read_file(name, &content, &pings());
        assert_eq!(rejects(&read), [], "{name}");
        assert_eq!(values(&read, "device_id"), ["t1", "t2", "-"]);
        assert_eq!(values(&read, "time"), ["1500000", "2500000", "-"]);
        assert_eq!(values(&read, "lat"), ["53.5", "95", "-"]);
        assert_eq!(values(&read, "lon"), ["-2.5", "-2.25", "-"]);
        assert_eq!(values(&read, "kind"), ["-", "-", "tick"]);
        assert_eq!(values(&read, "hired"), ["-", "-", "-"]);
    }
}

#[test]
fn values_that_do_not_fit_reject_their_own_row() {
    let odd = with_column(&fixes(), "lat", Arc::new(Float64Array::from(vec![f64::NAN, 1.0, f64::INFINITY])));
    for (name, content) in [("a.parquet", parquet_file(&odd)), ("a.avro", avro_file(&odd))] {
        let read = read_file(name, &content, &pings());
        assert_eq!(values(&read, "device_id"), ["t2"]);
        let detail = |row| format!("{name}, row {row}: column lat has a value that its type cannot hold");
        assert_eq!(
            rejects(&read),
            [(0, reason::BAD_VALUE, detail(1).as_str()), (2, reason::BAD_VALUE, detail(3).as_str())]
        );
    }
}

#[test]
fn the_rules_of_required_and_malformed_columns_hold_too() {
    let swipes = rows(vec![
        ("kind", texts(&[Some("swipe"), None, Some("swipe")])),
        ("received_at", times(&[Some(1), Some(2), Some(3)])),
        ("amount_minor", Arc::new(UInt64Array::from(vec![Some(12), Some(12), Some(u64::MAX)]))),
        ("malformed", texts(&[Some("kind"), None, None])),
    ]);
    let read = read_file("a.parquet", &parquet_file(&swipes), &transactions());
    assert_eq!(rejects(&read), [(1, reason::MISSING_COLUMN, "a.parquet, row 2: column kind has no value")]);
    assert_eq!(values(&read, "amount_minor"), ["12", "-"]);
    assert_eq!(values(&read, "malformed"), ["-", "amount_minor"]);
}

#[test]
fn a_schema_that_does_not_fit_rejects_each_row_and_the_next_file_goes_on() {
    let northern = with_column(&fixes(), "lat", texts(&[Some("north"), None, None]));
    let nowhere = with_column(&northern, "lat", texts(&[None; 3])).project(&[0, 1, 2]).unwrap();
    let folder = Folder::new(&[
        ("a.avro", &avro_file(&northern)),
        ("b.parquet", &parquet_file(&northern)),
        ("c.avro", &avro_file(&nowhere)),
        ("d.avro", &avro_of_longs()),
        ("e.avro", &avro_file(&fixes())),
    ]);
    let read = read_all(&mut folder.open(pings()), 2, &pings());
    let reasons: Vec<_> = read.rejects.iter().map(|reject| reject.reason).collect();
    assert_eq!(reasons[..6], [reason::WRONG_SCHEMA; 6]);
    assert_eq!(reasons[6..9], [reason::MISSING_COLUMN; 3]);
    assert_eq!(reasons[9..], [reason::WRONG_SCHEMA; 2]);
    assert_eq!(read.rejects[4].detail, "b.parquet, row 2: column lat has type Utf8, which does not fit Float64");
    assert_eq!(read.rejects[6].detail, "c.avro, row 1: the file has no column lat");
    assert_eq!(read.offsets, [11, 12, 13]);
}

/// A container of two numbers that are no records.
fn avro_of_longs() -> Vec<u8> {
    let mut content = b"Obj\x01\x02\x16avro.schema\x0c\"long\"\x00".to_vec();
    content.extend_from_slice(&[7; 16]);
    content.extend_from_slice(&[4, 4, 2, 4]);
    content.extend_from_slice(&[7; 16]);
    content
}

/// Fails if an error throws away what the same poll read before it: then the last rows would depend on poll sizes.
#[test]
fn a_damaged_file_is_an_error_that_names_it_after_everything_before_it() {
    let avro = avro_file(&fixes());
    let mut other_marker = avro.clone();
    *other_marker.last_mut().unwrap() ^= 1;
    let damaged: [(&str, &[u8]); 5] = [
        ("b.parquet", b"PAR1 and no more"),
        ("b.avro", b"Obj"),
        ("b.avro", b""),
        ("b.avro", &avro[..avro.len() - 20]),
        ("b.avro", &other_marker),
    ];
    for (name, content) in damaged {
        let folder = Folder::new(&[("a.parquet", &parquet_file(&fixes())), (name, content)]);
        let mut log = folder.open(pings());
        assert_eq!(log.poll(100).unwrap().unwrap().offsets, [0, 1, 2]);
        let error = log.poll(100).unwrap_err();
        assert!(error.to_string().starts_with(&format!("input file {name}: it cannot be read: ")), "{error}");
        assert!(!error.is_refusal());
    }
}

/// Fails (runs for ever) if the file is handed to the Avro reader as a whole: the block's count says one record, its
/// data holds two.
#[test]
fn a_block_that_says_too_little_is_no_endless_loop() {
    let mut content = avro_file(&fixes());
    let count = content.len() - avro_block_bytes(&content);
    assert_eq!(content[count], 6, "three records, zigzag");
    content[count] = 2;
    assert_eq!(values(&read_file("a.avro", &content, &pings()), "device_id"), ["t1"]);
    content[count] = 8;
    let folder = Folder::new(&[("a.avro", &content)]);
    assert!(matches!(folder.open(pings()).poll(9), Err(LogError::Format { .. })));
}

/// Length of the one block at the end of a file of less than 64 bytes of records: both markers are equal.
fn avro_block_bytes(content: &[u8]) -> usize {
    let marker = &content[content.len() - 16..];
    let header_end = content.windows(16).position(|window| window == marker).unwrap() + 16;
    content.len() - header_end
}

/// Fails if a panic of the Parquet reader passes through: some of these bytes break what it asserts.
#[test]
fn a_damaged_byte_is_an_error_or_another_value() {
    for (name, content) in [("a.avro", avro_file(&fixes())), ("a.parquet", parquet_file(&fixes()))] {
        for (index, mask) in (0..content.len()).zip([0x01, 0x40, 0xff].into_iter().cycle()) {
            let mut damaged = content.clone();
            damaged[index] ^= mask;
            let folder = Folder::new(&[(name, &damaged)]);
            let mut log = folder.open(pings());
            let error = loop {
                match log.poll(1_000) {
                    Ok(Some(_)) => {}
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            assert!(error.is_none_or(|error| error.to_string().contains(name)), "byte {index}, mask {mask}");
        }
    }
}
