//! Folders of input files and what is read from them.

use std::fs;
use std::path::PathBuf;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType};
use arrow_avro::writer::AvroWriter;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use schemas::Offset;
use schemas::topics;
use tempfile::TempDir;

use crate::{FolderLog, LogBatch, LogError, LogIdentity, LogReader};

/// A folder with input files.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, content) in files {
            folder.write(name, content);
        }
        folder
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().to_path_buf()
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.0.path().join(name), content).unwrap();
    }

    pub(crate) fn append(&self, name: &str, more: &[u8]) {
        let mut content = fs::read(self.0.path().join(name)).unwrap();
        content.extend_from_slice(more);
        self.write(name, &content);
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.0.path().join(name)).unwrap();
    }

    pub(crate) fn open(&self, schema: SchemaRef) -> FolderLog {
        FolderLog::open(&self.path(), schema, None).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn resume(&self, schema: SchemaRef, identity: &LogIdentity) -> Result<FolderLog, LogError> {
        FolderLog::open(&self.path(), schema, Some((identity, Offset(identity.rows()))))
    }

    pub(crate) fn error(&self, schema: SchemaRef, identity: &LogIdentity) -> LogError {
        self.resume(schema, identity).err().expect("a refusal")
    }
}

/// Reads to the end in polls of this size; checks what holds for each poll.
pub(crate) fn read_all(log: &mut dyn LogReader, rows_max: usize, schema: &SchemaRef) -> LogBatch {
    let mut polls = Vec::new();
    let mut position = log.position().0;
    while let Some(batch) = log.poll(rows_max).unwrap() {
        let consumed = usize::try_from(log.position().0 - position).unwrap();
        assert_eq!(batch.rows.num_rows(), batch.offsets.len());
        assert_eq!(consumed, batch.offsets.len() + batch.rejects.len());
        assert!(consumed <= rows_max);
        position = log.position().0;
        polls.push(batch);
    }
    joined(polls, schema)
}

/// Several polls as one.
pub(crate) fn joined(polls: Vec<LogBatch>, schema: &SchemaRef) -> LogBatch {
    let batches: Vec<RecordBatch> = polls.iter().map(|poll| poll.rows.clone()).collect();
    let rows = concat_batches(schema, &batches).unwrap();
    let mut all = LogBatch { rows, offsets: Vec::new(), rejects: Vec::new(), appended_us: Vec::new() };
    for poll in polls {
        all.offsets.extend(poll.offsets);
        all.rejects.extend(poll.rejects);
    }
    assert!(all.offsets.is_sorted_by(|one, other| one < other));
    assert!(all.rejects.is_sorted_by(|one, other| one.offset < other.offset));
    all
}

/// Everything in one file.
pub(crate) fn read_file(name: &str, content: &[u8], schema: &SchemaRef) -> LogBatch {
    let folder = Folder::new(&[(name, content)]);
    read_all(&mut folder.open(schema.clone()), usize::MAX, schema)
}

/// Offset, reason and detail of each reject.
pub(crate) fn rejects(batch: &LogBatch) -> Vec<(i64, &'static str, &str)> {
    batch.rejects.iter().map(|reject| (reject.offset.0, reject.reason, reject.detail.as_str())).collect()
}

/// A column's values as text: times in microseconds, bytes in hexadecimal digits, null as a dash.
pub(crate) fn values(batch: &LogBatch, column: &str) -> Vec<String> {
    let array = batch.rows.column_by_name(column).unwrap();
    let value = |row: usize| match array.data_type() {
        _ if array.is_null(row) => "-".to_string(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Binary => hex::encode(array.as_binary::<i32>().value(row)),
        other => panic!("no topic of a file log has {other}"),
    };
    (0..array.len()).map(value).collect()
}

/// A line of the transactions topic with these members besides the required ones.
pub(crate) fn swipe(members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!(r#"{{"kind":"swipe","received_at":"2026-03-01T10:00:00.25Z"{comma}{members}}}"#)
}

pub(crate) fn transactions() -> SchemaRef {
    topics::transactions()
}

pub(crate) fn pings() -> SchemaRef {
    topics::pings()
}

/// A Parquet file of these rows, in row groups of three.
pub(crate) fn parquet_file(rows: &RecordBatch) -> Vec<u8> {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(3)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.into_inner().unwrap()
}

/// An Avro file of these rows, in blocks of three.
pub(crate) fn avro_file(rows: &RecordBatch) -> Vec<u8> {
    let mut writer = AvroWriter::new(Vec::new(), rows.schema().as_ref().clone()).unwrap();
    for start in (0..rows.num_rows()).step_by(3) {
        writer.write(&rows.slice(start, 3.min(rows.num_rows() - start))).unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner()
}
