use arrow::array::{BooleanArray, Float64Array, Int32Array, Int64Array, TimestampMicrosecondArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::sql::cells::TABLE_ROWS_MAX;

/// One row with a value of each type that the tables have, one with hard values, one of nulls.
fn every_type() -> RecordBatch {
    let mut findings = schemas::topics::text_lists();
    findings.append_value([Some("expired_card"), Some("no \"name\"")]);
    findings.append_value([None::<&str>; 0]);
    findings.append_null();
    let times = TimestampMicrosecondArray::from(vec![Some(1_767_225_600_000_000), Some(1_767_225_600_000_001), None]);
    RecordBatch::try_from_iter_with_nullable([
        ("text", Arc::new(StringArray::from(vec![Some("till"), Some("a,\"b\"\nc\u{1b}[31m"), None])) as ArrayRef, true),
        ("truth", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])) as _, true),
        ("small", Arc::new(Int32Array::from(vec![Some(7), Some(-7), None])) as _, true),
        ("large", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(0), None])) as _, true),
        ("real", Arc::new(Float64Array::from(vec![Some(55.75), Some(f64::NAN), None])) as _, true),
        ("time", Arc::new(times.with_timezone("UTC")) as _, true),
        ("findings", Arc::new(findings.finish()) as _, true),
    ])
    .unwrap()
}

fn written(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = AnswerWriter::start(Shape { format, width: None }, batches[0].schema(), &mut out).unwrap();
    for batch in batches {
        assert!(writer.write(batch).unwrap());
    }
    assert_eq!(writer.finish().unwrap(), batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>());
    out
}

fn text(format: Format, batches: &[RecordBatch]) -> String {
    String::from_utf8(written(format, batches)).unwrap()
}

#[test]
fn csv_quotes_and_writes_lists_as_json() {
    let expected = "text,truth,small,large,real,time,findings\n\
        till,true,7,9223372036854775807,55.75,2026-01-01T00:00:00Z,\"[\"\"expired_card\"\",\"\"no \\\"\"name\\\"\"\"\"]\"\n\
        \"a,\"\"b\"\"\nc\u{1b}[31m\",false,-7,0,NaN,2026-01-01T00:00:00.000001Z,[]\n\
        ,,,,,,\n";
    assert_eq!(text(Format::Csv, &[every_type()]), expected);
}

#[test]
fn json_writes_one_object_a_line_with_every_column() {
    let lines = text(Format::Json, &[every_type()]);
    let rows: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows[0]["findings"], serde_json::json!(["expired_card", "no \"name\""]));
    assert_eq!(rows[0]["time"], "2026-01-01T00:00:00Z");
    assert_eq!(rows[0]["large"], i64::MAX);
    assert_eq!(rows[1]["text"], "a,\"b\"\nc\u{1b}[31m");
    assert_eq!(rows[1]["findings"], serde_json::json!([]));
    assert!(rows[2].as_object().unwrap().values().all(serde_json::Value::is_null));
    assert!(rows.len() == 3 && rows.iter().all(|row| row.as_object().unwrap().len() == 7));
}

/// Printing texts as they are would let a merchant's name colour, or command, the terminal.
#[test]
fn a_table_shows_numbers_to_the_right_and_obeys_nothing() {
    let shown = text(Format::Table, &[every_type()]);
    let cells = |start: &str| -> Vec<String> {
        let line = shown.lines().find(|line| line.contains(start)).unwrap();
        line.trim_matches('│').split('┆').map(str::to_string).collect()
    };
    let first = cells("till");
    assert_eq!(first[2], "     7 ");
    assert_eq!(first[5].trim(), "2026-01-01T00:00:00Z");
    assert_eq!(first[6].trim(), "[expired_card, no \"name\"]");
    assert!(shown.contains("c\\u{1b}[31m") && !shown.contains('\u{1b}'));
    let last = shown.lines().rev().nth(1).unwrap();
    assert!(last.trim_matches('│').split('┆').all(|cell| cell.trim().is_empty()), "{last}");
}

#[test]
fn parquet_gives_the_same_rows_back() {
    let batch = every_type();
    let bytes = written(Format::Parquet, &[batch.clone(), batch.slice(0, 1)]);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let read = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let rows = arrow::compute::concat_batches(&batch.schema(), &read.map(Result::unwrap).collect::<Vec<_>>()).unwrap();
    // NaN differs from itself: compare what is written.
    assert_eq!(text(Format::Csv, &[rows]), text(Format::Csv, &[batch.clone(), batch.slice(0, 1)]));
}

/// Writing heads with the first rows only would leave them out here, or repeat them above.
#[test]
fn an_empty_answer_has_its_heads() {
    let empty = every_type().slice(0, 0);
    assert_eq!(text(Format::Csv, std::slice::from_ref(&empty)), "text,truth,small,large,real,time,findings\n");
    assert_eq!(text(Format::Json, std::slice::from_ref(&empty)), "");
    assert!(text(Format::Table, &[empty]).contains("findings"));
}

#[test]
fn a_table_takes_what_it_can_hold() {
    let count = TABLE_ROWS_MAX as i64;
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count - 1));
    let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    let mut out = Vec::new();
    let mut writer =
        AnswerWriter::start(Shape { format: Format::Table, width: None }, batch.schema(), &mut out).unwrap();
    assert!(writer.write(&batch).unwrap());
    assert!(writer.write(&batch.slice(0, 1)).unwrap());
    assert!(!writer.write(&batch.slice(1, 1)).unwrap());
    assert_eq!(writer.finish().unwrap(), TABLE_ROWS_MAX as u64);
}

#[test]
fn columns_of_one_name_are_refused_where_rows_are_objects() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let field = Arc::new(Field::new("n", DataType::Int64, false));
    let schema = Arc::new(Schema::new(vec![field.clone(), field]));
    let batch = RecordBatch::try_new(schema.clone(), vec![column.clone(), column]).unwrap();
    for format in [Format::Json, Format::Parquet] {
        let refused = AnswerWriter::start(Shape { format, width: None }, schema.clone(), &mut Vec::new()).err();
        assert!(matches!(refused, Some(AnswerError::SameName(name)) if name == "n"));
    }
    assert_eq!(text(Format::Csv, &[batch]), "n,n\n1,1\n");
}

/// Wrapping every table would leave a letter a line where there are many columns.
#[test]
fn a_narrow_terminal_gets_wrapped_cells_and_a_very_narrow_one_a_line_for_each_value() {
    let shown = |width| {
        let mut table = TextTable::new(&every_type().schema());
        table.add(&every_type().slice(0, 1)).unwrap();
        table.text(Some(width))
    };
    assert_eq!(shown(200), text(Format::Table, &[every_type().slice(0, 1)]).trim_end());
    let widest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest(&shown(116)) <= 116 && shown(116).starts_with('┌'));
    let records = shown(80);
    assert!(records.starts_with("── row 1 ──\ntext      till\n"), "{records}");
    assert!(records.ends_with("findings  [expired_card, no \"name\"]"), "{records}");
}
