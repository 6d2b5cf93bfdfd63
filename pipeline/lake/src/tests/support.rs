//! A lake in a temporary folder, rows for it, and what is read back.

use std::ops::Range;
use std::path::PathBuf;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use deltalake::DeltaTable;
use schemas::Offset;
use schemas::tables::{self, TableSpec};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::create::load;
use crate::{Lake, LakeError, Session, Table, disk, open_session};

/// App id of partition 0 of the transactions log.
pub(super) const APP: &str = "decode/transactions/0";
/// App id of partition 1.
pub(super) const OTHER_APP: &str = "decode/transactions/1";

/// A lake of its own for one test.
pub(super) struct Place {
    folder: TempDir,
    pub(super) runtime: Runtime,
}

impl Place {
    pub(super) fn new() -> Place {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Place { folder: TempDir::new().unwrap(), runtime }
    }

    pub(super) fn lake(&self) -> Lake {
        Lake::open(self.folder.path(), self.runtime.handle().clone()).unwrap()
    }

    /// The table of dead letters opened for appending: few columns, and the one table that two units write.
    pub(super) fn letters(&self) -> Table {
        self.lake().table(&letters_spec()).unwrap()
    }

    pub(super) fn folder_of(&self, table: &str) -> PathBuf {
        self.lake().folder().join(table)
    }

    pub(super) fn load(&self, table: &str, version: Option<u64>) -> DeltaTable {
        self.runtime.block_on(load(&self.folder_of(table), table, version)).unwrap()
    }

    pub(super) fn session(&self) -> Session {
        self.runtime.block_on(open_session(self.folder.path())).unwrap()
    }

    /// Asks a session opened for this one question.
    pub(super) fn query(&self, sql: &str) -> Vec<RecordBatch> {
        self.runtime.block_on(self.session().collect(sql)).unwrap()
    }

    /// Partition and offset of every dead letter, sorted.
    pub(super) fn stored(&self) -> Vec<(i32, i64)> {
        places(&self.query("SELECT source_partition, source_offset FROM dead_letters ORDER BY 1, 2"))
    }

    /// What the log of the table of dead letters says in one commit, action by action.
    pub(super) fn actions(&self, version: u64) -> Vec<Value> {
        let text = std::fs::read_to_string(disk::commit_file(&self.folder_of("dead_letters"), version)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Names of the Parquet files in the table's folder, whether a commit names them or not.
    pub(super) fn data_files(&self, table: &str) -> Vec<String> {
        let names = disk::file_names(table, &self.folder_of(table)).unwrap();
        names.into_iter().filter(|name| name.ends_with(".parquet")).collect()
    }

    /// Names of the entries and checkpoints in the table's log.
    pub(super) fn log_files(&self, table: &str) -> Vec<String> {
        disk::file_names(table, &disk::log_folder(&self.folder_of(table))).unwrap()
    }

    /// When the newest file of the table was written, microseconds since the epoch: the present of its maintenance.
    pub(super) fn present_us(&self, table: &str) -> i64 {
        let folder = self.folder_of(table);
        let log = disk::log_folder(&folder);
        let data = self.data_files(table).into_iter().map(|name| folder.join(name));
        let paths = data.chain(self.log_files(table).into_iter().map(|name| log.join(name)));
        paths.filter_map(|path| disk::modified_ms(table, &path).unwrap()).max().unwrap() * 1_000 + 1_000
    }
}

pub(super) fn letters_spec() -> TableSpec {
    tables::by_name("dead_letters").unwrap()
}

/// Dead letters with these offsets.
pub(super) fn letters(partition: i32, offsets: Range<i64>) -> RecordBatch {
    let letter = |offset: i64| {
        json!({
            "unit": "log", "reason": "unreadable", "detail": format!("line {offset}"),
            "source_topic": "transactions", "source_partition": partition, "source_offset": offset,
        })
    };
    rows(&letters_spec().schema, &offsets.map(letter).collect::<Vec<_>>())
}

/// Rows of a schema; what a row does not say is null.
pub(super) fn rows(schema: &SchemaRef, rows: &[Value]) -> RecordBatch {
    let mut decoder = arrow::json::ReaderBuilder::new(schema.clone()).build_decoder().unwrap();
    decoder.serialize(rows).unwrap();
    decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(schema.clone()))
}

/// The two columns of an answer that asked for partition and offset.
pub(super) fn places(answer: &[RecordBatch]) -> Vec<(i32, i64)> {
    let mut places = Vec::new();
    for batch in answer {
        let partitions = batch.column(0).as_primitive::<Int32Type>();
        let offsets = batch.column(1).as_primitive::<Int64Type>();
        places.extend(partitions.values().iter().copied().zip(offsets.values().iter().copied()));
    }
    places
}

/// Places of all offsets of one partition.
pub(super) fn all_of(partition: i32, offsets: Range<i64>) -> Vec<(i32, i64)> {
    offsets.map(|offset| (partition, offset)).collect()
}

pub(super) fn to(app_id: &str, offset: i64) -> (String, Offset) {
    (app_id.to_string(), Offset(offset))
}

/// Appends the letters of partition 0 from where the handle stands.
pub(super) fn append_to(table: &mut Table, end: i64) -> Result<(), LakeError> {
    let from = table.frontier(APP)?.unwrap_or_default().0;
    table.append(&[letters(0, from..end)], &[to(APP, end)]).map(|_| ())
}
