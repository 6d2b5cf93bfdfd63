//! A small town in portions, for schedules of faults: two merchants' day with few ticks and fixes, some records of it
//! damaged, published piece by piece while processes come and go.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::processes::Site;
use crate::support::{copy_folder, files_below, text, till};

/// What `till simulate` is told, also where the folder holds the town already.
pub const PLAN: [&str; 6] = ["--seed", "11", "--merchants", "2", "--days", "1"];
/// One tick in so many is kept: every half hour.
const TICKS_APART: usize = 180;
/// One row of the pings in so many is kept.
const PINGS_APART: usize = 25;

/// The town.
pub struct Town {
    folder: TempDir,
    transactions: Vec<String>,
    pings: RecordBatch,
}

/// The town, which is made once.
pub fn town() -> &'static Town {
    static TOWN: OnceLock<Town> = OnceLock::new();
    TOWN.get_or_init(Town::make)
}

impl Town {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("input");
        till(&[&["simulate", "--out", text(&input)], &PLAN[..]].concat()).with_exit(0);
        let only = |topic: &str| {
            let files = files_below(&input.join(topic));
            assert_eq!(files.len(), 1, "a day is a file");
            files.into_iter().next().unwrap()
        };
        let (transactions, pings) = (only("transactions"), only("pings"));
        let town =
            Self { transactions: thinned(&fs::read_to_string(&transactions).unwrap()), pings: read(&pings), folder };
        fs::remove_file(transactions).unwrap();
        fs::remove_file(pings).unwrap();
        town
    }

    /// Puts the town without its records into the system's input folder.
    pub fn settle(&self, site: &Site) {
        copy_folder(&self.folder.path().join("input"), &site.input());
        copy_folder(&self.folder.path().join("input-truth"), &site.folder.join("input-truth"));
        for topic in ["transactions", "pings"] {
            fs::create_dir_all(site.input().join(topic)).unwrap();
        }
    }

    /// Writes the portion of this number, from 0, of so many. Files of later ones sort after it.
    pub fn write_portion(&self, site: &Site, number: usize, of: usize) {
        let share = |length: usize| (length * number / of, length * (number + 1) / of);
        let (start, end) = share(self.transactions.len());
        let mut file = File::create(site.input().join(format!("transactions/{number}.ndjson"))).unwrap();
        self.transactions[start..end].iter().for_each(|line| writeln!(file, "{line}").unwrap());
        let (start, end) = share(self.pings.num_rows());
        let file = File::create(site.input().join(format!("pings/{number}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, self.pings.schema(), None).unwrap();
        writer.write(&self.pings.slice(start, end - start)).unwrap();
        writer.close().unwrap();
    }
}

/// All records but most of the ticks; where a tick stays, a record follows that nobody can use.
fn thinned(file: &str) -> Vec<String> {
    let (mut kept, mut ticks) = (Vec::new(), 0);
    for line in file.lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_default();
        if record["kind"] != "tick" {
            kept.push(line.to_string());
            continue;
        }
        if ticks % TICKS_APART == 0 {
            kept.push(line.to_string());
            kept.push(json!({ "kind": "swipe", "received_at": record["received_at"] }).to_string());
        }
        ticks += 1;
    }
    kept
}

fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let rows = concat_batches(&schema, &batches).unwrap();
    let is_kept: BooleanArray = (0..rows.num_rows()).map(|row| Some(row % PINGS_APART == 0)).collect();
    filter_record_batch(&rows, &is_kept).unwrap()
}
