//! The search can fail: card data planted where it must not be is found, in each spelling and each kind of file.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::needles::{base64, bcd};
use super::*;

/// What is planted: a published test number and the published frame of a reader's manual.
const NUMBER: &str = "4111111111111111";

fn needles() -> Needles {
    let mut needles = Needles::default();
    needles.add_digits("card number", NUMBER);
    needles.add_frame(&frame());
    needles
}

fn frame() -> Vec<u8> {
    let digits = fs::read_to_string(crate::support::recorded("idtech_frame.hex")).unwrap();
    hex::decode(digits.split_whitespace().collect::<String>()).unwrap()
}

/// What is planted, with what must be found of it.
fn plants() -> Vec<(&'static str, Vec<u8>)> {
    let shifted = format!("0{NUMBER}0");
    let mixed = [b"in a ".as_slice(), NUMBER.as_bytes(), b" text"].concat();
    let part_of_frame = frame()[240..255].to_vec();
    vec![
        ("card number", mixed),
        ("card number, hexadecimal", hex::encode(NUMBER).into_bytes()),
        ("card number, BCD, even digits first", bcd(NUMBER)),
        ("card number, BCD, odd digits first", bcd(&shifted)),
        ("card number, base64 from byte 0 of a group on", base64(NUMBER.as_bytes(), 0)),
        ("card number, base64 from byte 1 of a group on", base64(format!("x{NUMBER}").as_bytes(), 0)),
        ("card number, base64 from byte 2 of a group on", base64(format!("xy{NUMBER}z").as_bytes(), 0)),
        ("part of a frame, hexadecimal in capitals", hex::encode_upper(&part_of_frame).into_bytes()),
        ("part of a frame", part_of_frame),
    ]
}

/// Writes one column as the lake writes its tables: compressed, so that raw bytes show nothing.
fn write_parquet(path: &Path, column: ArrayRef) {
    let batch = RecordBatch::try_from_iter([("planted", column)]).unwrap();
    let compression = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A value of a nested column among harmless ones.
fn nested(value: &[u8]) -> ArrayRef {
    let values: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"harmless", value, b"harmless too"]));
    let inner = StructArray::from(vec![(Arc::new(Field::new("value", DataType::Binary, true)), values)]);
    let element = Arc::new(Field::new("element", inner.data_type().clone(), true));
    Arc::new(ListArray::new(element, OffsetBuffer::from_lengths([1, 2]), Arc::new(inner), None))
}

#[test]
fn what_is_planted_in_a_table_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part-00000.parquet");
    let needles = needles();
    for (what, planted) in plants() {
        write_parquet(&path, nested(&planted));
        let findings = scan(&path, &needles);
        assert!(findings.iter().any(|finding| finding.ends_with(&format!("planted: {what}"))), "{what}: {findings:?}");
    }
    write_parquet(&path, Arc::new(Int64Array::from(vec![1, NUMBER.parse().unwrap()])));
    assert!(scan(&path, &needles)[0].ends_with("card number"));
    write_parquet(&path, Arc::new(StringArray::from(vec!["4111", "111111111111", "4111 1111 1111 1112"])));
    assert_eq!(scan(&path, &needles), [""; 0]);
}

/// A snapshot holds its state as it is, a Delta log is text.
#[test]
fn what_is_planted_in_a_snapshot_or_a_delta_log_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let demo = one_day();
    let needles = needles();
    for ending in ["snapshot", "json"] {
        let files = files_below(&demo.lake());
        let clean = files.iter().find(|path| path.extension().is_some_and(|found| found == ending)).unwrap();
        assert_eq!(scan(clean, &needles), [""; 0]);
        let path = folder.path().join("planted").with_extension(ending);
        for (what, planted) in plants() {
            let mut content = fs::read(clean).unwrap();
            let middle = content.len() / 2;
            content.splice(middle..middle, planted);
            fs::write(&path, content).unwrap();
            let findings = scan(&path, &needles);
            assert!(findings.iter().any(|finding| finding.ends_with(what)), "{what} in a {ending}: {findings:?}");
        }
    }
}

/// Each secret of the demo itself is found where it does lie: in its truth and its input.
#[test]
fn the_secrets_of_the_demo_are_found_in_its_truth_and_input() {
    let demo = one_day();
    let needles = secrets_of(demo);
    let findings = |path: &str| scan(&demo.dir.join(path), &needles).join("\n");
    let truth = findings("truth/cards.ndjson");
    for what in ["card number", "track 1", "holder's name", "expiry, service code and discretionary data"] {
        assert!(truth.lines().any(|line| line.ends_with(what)), "{what}: {truth}");
    }
    let input = findings("input/transactions/2026-03-02.ndjson");
    assert!(input.contains("part of a frame, hexadecimal") && input.contains("holder's name, hexadecimal"), "{input}");
}
