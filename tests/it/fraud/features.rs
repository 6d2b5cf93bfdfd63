//! Features of transactions: what windows say is what SQL says about the same file, cell by cell, in the order of time
//! and out of it.
//!
//! `TILL_HANDBOOK=full` takes the whole half-year, some 21 million cells, and prints the table with `--nocapture`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
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

use crate::support::{text, till};

const WINDOWS: &str = include_str!("windows.txt");
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
    let path = folder.join("shuffled.parquet");
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), rows.schema(), None).unwrap();
    writer.write(&RecordBatch::try_new(rows.schema(), columns).unwrap()).unwrap();
    writer.close().unwrap();
    path
}

fn features(transactions: &Path, folder: &Path) -> PathBuf {
    let (windows, out) = (folder.join("windows.txt"), folder.join("features.parquet"));
    fs::write(&windows, WINDOWS).unwrap();
    let arguments = ["fraud", "features", "--transactions", text(transactions), "--windows", text(&windows)];
    till(&[&arguments[..], &["--out", text(&out)]].concat()).with_exit(0);
    out
}

/// The twin: every pair of transactions of one key that the definition names, nothing of windows in it. Sums are of
/// integers; one division makes a mean.
fn twin(key: &str, value: &str, delay: &str, last: &str) -> String {
    let mut columns = String::new();
    let kind = key.trim_end_matches("_id");
    for days in [1, 7, 30] {
        let inside = format!("b.event_time > a.event_time - {delay} - INTERVAL '{days} days'");
        columns += &format!(
            ", sum(CASE WHEN {inside} THEN 1 ELSE 0 END) AS {kind}_count_{days}d, \
             CAST(sum(CASE WHEN {inside} THEN b.{value} END) AS DOUBLE) \
             / CAST(nullif(sum(CASE WHEN {inside} THEN 1 ELSE 0 END), 0) AS DOUBLE) AS {kind}_mean_{days}d"
        );
    }
    format!(
        "SELECT a.transaction_id AS place{columns} FROM t a LEFT JOIN t b ON b.{key} = a.{key} \
         AND {last} AND b.event_time <= a.event_time - {delay} \
         AND b.event_time > a.event_time - {delay} - INTERVAL '30 days' \
         GROUP BY a.transaction_id"
    )
}

/// Differing cells by window.
async fn differences(features: &Path) -> Vec<(String, i64)> {
    let context = SessionContext::new();
    context.register_parquet("f", text(features), ParquetReadOptions::default()).await.unwrap();
    let numbers = "CREATE VIEW t AS SELECT transaction_id, event_time, customer_id, terminal_id, amount_minor, \
        CAST(fraud AS BIGINT) AS is_fraud FROM f";
    context.sql(numbers).await.unwrap();
    let mut found = Vec::new();
    for (key, value, delay, last) in [
        ("customer_id", "amount_minor", "INTERVAL '0 days'", "b.transaction_id <= a.transaction_id"),
        ("terminal_id", "is_fraud", "INTERVAL '7 days'", "b.transaction_id < a.transaction_id"),
    ] {
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
            twin(key, value, delay, last)
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

/// Fails if a decimal loses a digit, a name is not brought to the one way of writing it, or formats say different things.
#[test]
fn a_file_of_ones_own_has_features_too() {
    let folder = TempDir::new().unwrap();
    let (shop, windows) = (folder.path().join("shop.csv"), folder.path().join("windows.txt"));
    let content = "Paid At,Card,TX-Amount\n2026-01-01T10:00:00Z,a,57.16\n2026-01-01T11:00:00Z,a,0.10\n\
        2026-01-01T11:00:00Z,b,3\n2026-01-02T10:30:00Z,a,1.5\n";
    fs::write(&shop, content).unwrap();
    fs::write(&windows, "window spent = sum(tx_amount) by card where tx_amount >= 1_00 over 1d including current")
        .unwrap();
    let out = folder.path().join("out.csv");
    let arguments =
        ["fraud", "features", "--transactions", text(&shop), "--windows", text(&windows), "--out", text(&out)];
    let more = ["--time", "Paid At", "--decimals", "TX-Amount=2"];
    till(&[&arguments[..], &more].concat()).with_exit(0);
    let written = fs::read_to_string(&out).unwrap();
    let spent: Vec<&str> = written.lines().map(|line| line.rsplit(',').next().unwrap()).collect();
    assert_eq!(spent, ["spent", "5716", "5716", "300", "150"]);

    let ended = till(&arguments).with_exit(2);
    assert!(ended.stderr.contains("no column event_time") && ended.stderr.contains("paid_at"), "{ended}");
    let ended = till(&[&arguments[..], &["--time", "paid_at"]].concat()).with_exit(2);
    assert!(ended.stderr.contains("tx_amount is a number"), "{ended}");
    fs::write(&shop, content.replace("1.5", "1.505")).unwrap();
    let ended = till(&[&arguments[..], &more].concat()).with_exit(1);
    assert!(ended.stderr.contains("more than 2 digits"), "{ended}");
}
