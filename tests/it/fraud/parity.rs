//! Features of transactions: what windows say is what SQL and pandas say about the same file, cell by cell, and SQL also
//! where transactions come late.
//!
//! `TILL_HANDBOOK=full` takes the whole half-year, some 21 million cells, and `--nocapture` prints the table.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use crate::python::python;
use crate::support::{Ended, text, till};

/// Transactions that pandas looks at.
const PART_ROWS: usize = 100_000;
const WINDOWS: &str = include_str!("windows.txt");
const DAY_US: i64 = 24 * 3_600 * 1_000_000;
/// Latest that a transaction of the shuffled file comes, microseconds: less than the command's lateness.
const LATE_US_MAX: i64 = 20 * 3_600 * 1_000_000;

/// The simulation's file.
fn handbook(folder: &Path) -> PathBuf {
    let file = folder.join("transactions.parquet");
    let small = ["--customers", "150", "--terminals", "60", "--days", "60"];
    let size: &[&str] = if std::env::var("TILL_HANDBOOK").is_ok_and(|size| size == "full") { &[] } else { &small };
    till(&[&["simulate", "handbook", "--out", text(&file), "--seed", "5"], size].concat()).with_exit(0);
    file
}

fn read(file: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// The first transactions of a half-year of fewer customers: 30 days and a week's delay fit in many times.
fn part_of_handbook(folder: &Path) -> PathBuf {
    let file = folder.join("half-year.parquet");
    till(&["simulate", "handbook", "--out", text(&file), "--customers", "300", "--terminals", "600"]).with_exit(0);
    write(&folder.join("part.parquet"), &read(&file).slice(0, PART_ROWS))
}

fn write(path: &Path, rows: &RecordBatch) -> PathBuf {
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    path.to_path_buf()
}

/// The transactions with their place in the file, in an order of arrival in which some come late.
fn shuffled(file: &Path, folder: &Path) -> PathBuf {
    let rows = read(file);
    let times = rows["event_time"].as_primitive::<TimestampMicrosecondType>();
    let mut moments = ChaCha8Rng::seed_from_u64(9);
    let arrival =
        |time_us: &i64| time_us + if moments.random_bool(0.2) { moments.random_range(0..LATE_US_MAX) } else { 0 };
    let arrivals: Vec<i64> = times.values().iter().map(arrival).collect();
    let mut order: Vec<u64> = (0..rows.num_rows() as u64).collect();
    order.sort_by_key(|row| arrivals[*row as usize]);
    let rows = take_record_batch(&rows, &UInt64Array::from(order)).unwrap();
    let place = rows.schema().index_of("transaction_id").unwrap();
    let mut columns = rows.columns().to_vec();
    columns[place] = Arc::new(Int64Array::from_iter_values(0..rows.num_rows() as i64));
    write(&folder.join("shuffled.parquet"), &RecordBatch::try_new(rows.schema(), columns).unwrap())
}

fn features(transactions: &Path, folder: &Path) -> PathBuf {
    let (windows, out) = (folder.join("windows.txt"), folder.join("features.parquet"));
    fs::write(&windows, WINDOWS).unwrap();
    let arguments = ["fraud", "features", "--transactions", text(transactions), "--windows", text(&windows)];
    till(&[&arguments[..], &["--out", text(&out)]].concat()).with_exit(0);
    out
}

/// The twin: every pair of transactions of one key that the definition names, nothing of windows in it. Sums are of
/// integers; one division makes a mean. So that not every pair of a key is looked at, both have the number of a stretch
/// of ten days, the earlier one with those of the three stretches after it: 30 days reach no farther.
fn twin(key: &str, value: &str, delay_days: i64, last: &str) -> String {
    let mut columns = String::new();
    let kind = key.trim_end_matches("_id");
    for days in [1, 7, 30] {
        let inside = format!("b.at_us > a.ends_us - {}", days * DAY_US);
        columns += &format!(
            ", sum(CASE WHEN {inside} THEN 1 ELSE 0 END) AS {kind}_count_{days}d, \
             CAST(sum(CASE WHEN {inside} THEN b.{value} END) AS DOUBLE) \
             / CAST(nullif(sum(CASE WHEN {inside} THEN 1 ELSE 0 END), 0) AS DOUBLE) AS {kind}_mean_{days}d"
        );
    }
    let (delay_us, reach_us, stretch_us) = (delay_days * DAY_US, 30 * DAY_US, 10 * DAY_US);
    format!(
        "SELECT a.place{columns} \
         FROM (SELECT place, {key}, at_us - {delay_us} AS ends_us, (at_us - {delay_us}) / {stretch_us} AS stretch FROM t) a \
         LEFT JOIN (SELECT place, {key}, at_us, {value}, at_us / {stretch_us} + later.stretches AS stretch FROM t \
                    CROSS JOIN (VALUES (0), (1), (2), (3)) AS later(stretches)) b \
         ON b.{key} = a.{key} AND b.stretch = a.stretch AND {last} \
         AND b.at_us <= a.ends_us AND b.at_us > a.ends_us - {reach_us} \
         GROUP BY a.place"
    )
}

/// Differing cells by window.
async fn differences(features: &Path) -> Vec<(String, i64)> {
    let context = SessionContext::new();
    context.register_parquet("f", text(features), ParquetReadOptions::default()).await.unwrap();
    let numbers = "CREATE VIEW t AS SELECT transaction_id AS place, CAST(event_time AS BIGINT) AS at_us, customer_id, \
        terminal_id, amount_minor, CAST(fraud AS BIGINT) AS is_fraud FROM f";
    context.sql(numbers).await.unwrap();
    let mut found = Vec::new();
    for (key, value, delay_days, last) in
        [("customer_id", "amount_minor", 0, "b.place <= a.place"), ("terminal_id", "is_fraud", 7, "b.place < a.place")]
    {
        let kind = key.trim_end_matches("_id");
        let names: Vec<String> = [1, 7, 30]
            .into_iter()
            .flat_map(|days| [format!("{kind}_count_{days}d"), format!("{kind}_mean_{days}d")])
            .collect();
        let differ = names
            .iter()
            .map(|name| format!("sum(CASE WHEN f.{name} IS DISTINCT FROM twin.{name} THEN 1 ELSE 0 END) AS {name}"));
        let sql = format!(
            "SELECT {}, count(*) AS compared FROM f JOIN ({}) twin ON twin.place = f.transaction_id",
            differ.collect::<Vec<_>>().join(", "),
            twin(key, value, delay_days, last)
        );
        let answer = context.sql(&sql).await.unwrap().collect().await.unwrap();
        let row = concat_batches(&answer[0].schema(), &answer).unwrap();
        let cell = |name: &str| row[name].as_primitive::<Int64Type>().value(0);
        let rows = context.table("f").await.unwrap().count().await.unwrap();
        assert_eq!(cell("compared"), rows as i64, "every transaction is compared once");
        found.extend(names.iter().map(|name| (name.clone(), cell(name))));
    }
    found
}

fn assert_no_difference(features: &Path, what: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let found = runtime.block_on(differences(features));
    let cells = found.len() * read(features).num_rows();
    println!("{what}: {cells} cells compared");
    found.iter().for_each(|(name, differing)| println!("  {name:20} {differing:>8} differ"));
    assert_eq!(found.len(), 12);
    assert!(found.iter().all(|(_, differing)| *differing == 0), "{found:?}");
}

#[test]
fn windows_say_what_sql_says() {
    let folder = TempDir::new().unwrap();
    let transactions = handbook(folder.path());
    assert_no_difference(&features(&transactions, folder.path()), "in the order of time");
    let shuffled = shuffled(&transactions, folder.path());
    assert_no_difference(&features(&shuffled, folder.path()), "with late transactions");
}

/// Fails if a window begins or ends elsewhere than the handbook's, or a sum is not exact.
#[test]
fn windows_say_what_pandas_says() {
    let Some(python) = python("windows_say_what_pandas_says") else { return };
    let folder = TempDir::new().unwrap();
    let transactions = part_of_handbook(folder.path());
    let features = features(&transactions, folder.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/windows.py");
    let ended: Ended = Command::new(python).arg("-B").arg(script).arg(&features).output().unwrap().into();
    let ended = ended.with_exit(0);
    println!("{}", ended.stdout);
    assert_eq!(
        ended.stdout.lines().filter(|line| line.ends_with(&format!(" {PART_ROWS} cells, 0 differ"))).count(),
        12
    );
}
