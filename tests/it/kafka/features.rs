//! `till fraud features --topic`: somebody else's topic of payments, exactly once into a Delta table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use log::kafka::{Admin, Feeder, Settings};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::Partition;
use tempfile::TempDir;

use crate::support::{Ended, command, files_below, ndjson, text, till};

const FIELDS: &str = "card:text,amount:number,event_time:time";
const WINDOWS: &str = "window count_1h = count by card over 1h including current\n\
    window sum_1d = sum(amount) by card over 1d\nwindow last_7d = last(amount) by card where amount > 5_00 over 7d\n";
const PARTITIONS: u16 = 3;
/// Longest wait until the broker has what was sent.
const FLUSH: Duration = Duration::from_secs(60);

/// A topic of payments, and a folder for what is made of it.
struct Shop {
    brokers: String,
    topic: &'static str,
    folder: TempDir,
}

impl Shop {
    fn open(brokers: &str, topic: &'static str) -> Self {
        let shop = Self { brokers: brokers.to_string(), topic, folder: TempDir::new().unwrap() };
        assert!(Admin::connect(&shop.settings()).unwrap().create_topic(topic, PARTITIONS, 1, &[]).unwrap());
        fs::write(shop.path("windows.txt"), WINDOWS).unwrap();
        shop
    }

    fn settings(&self) -> Settings {
        Settings { brokers: self.brokers.clone(), ..Settings::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Appends records: partition, key and payload.
    fn feed(&self, records: &[(i32, String, String)]) {
        let feeder = Feeder::connect(&self.settings()).unwrap();
        for (partition, key, payload) in records {
            feeder.send(self.topic, Partition(*partition), Some(key.as_bytes()), payload.as_bytes()).unwrap();
        }
        feeder.flush(FLUSH).unwrap();
    }

    fn command(&self, out: &str) -> Command {
        let (windows, out) = (self.path("windows.txt"), self.path(out));
        let about = ["fraud", "features", "--brokers", &self.brokers, "--topic", self.topic, "--fields", FIELDS];
        let more =
            ["--decimals", "amount=2", "--windows", text(&windows), "--out", text(&out), "--until-end", "--json"];
        command(&[&about[..], &more].concat())
    }

    fn run(&self, out: &str) -> Ended {
        self.command(out).output().unwrap().into()
    }
}

/// Payments of fifty cards, many of them late, with a bad record here and there.
fn payments(count: u64) -> Vec<(i32, String, String)> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let record = |number: u64| {
        let card = random.random_range(0..50);
        let at_s = 1_772_438_400 + number * 40 - random.random_range(0..5_000);
        let at = jiff::Timestamp::from_second(at_s.cast_signed()).unwrap();
        let cents = random.random_range(1..2_000);
        let payload = match number % 101 {
            50 => "{\"card\": ".to_string(),
            51 => format!("{{\"card\":\"c{card}\",\"amount\":1.00}}"),
            52 => format!("{{\"card\":\"c{card}\",\"amount\":1.005,\"event_time\":\"{at}\"}}"),
            _ => format!(
                "{{\"card\":\"c{card}\",\"amount\":{}.{:02},\"event_time\":\"{at}\",\"more\":[1]}}",
                cents / 100,
                cents % 100
            ),
        };
        (card % i32::from(PARTITIONS), format!("c{card}"), payload)
    };
    (0..count).map(record).collect()
}

/// Rows of a table, or of a folder's file, of these columns, as texts in order. A kill leaves files that no commit names.
fn rows_of(table: &Path, columns: &[&str]) -> Vec<String> {
    let mut rows = Vec::new();
    for file in files_of(table) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(file).unwrap()).unwrap().build().unwrap();
        rows.extend(reader.map(Result::unwrap).flat_map(|batch| lines(&batch, columns)));
    }
    rows.sort_unstable();
    rows
}

fn files_of(table: &Path) -> Vec<PathBuf> {
    let log = table.join("_delta_log");
    if !log.is_dir() {
        return files_below(table);
    }
    let commits = files_below(&log).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "json"));
    let actions = commits.flat_map(|commit| ndjson(&commit));
    actions.filter_map(|action| Some(table.join(action["add"]["path"].as_str()?))).collect()
}

fn lines(batch: &RecordBatch, columns: &[&str]) -> Vec<String> {
    let value = |name: &&str, row| array_value_to_string(batch.column_by_name(name).unwrap(), row).unwrap();
    let line = |row| columns.iter().map(|name| value(name, row)).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(line).collect()
}

const VALUES: [&str; 6] = ["card", "amount", "event_time", "count_1h", "sum_1d", "last_7d"];
const PLACE: [&str; 3] = ["source_topic", "source_partition", "source_offset"];
const LETTER: [&str; 5] = ["reason", "detail", "source_topic", "source_partition", "source_offset"];

/// Fails if a value differs from that of the file form, if a bad record costs a neighbour or is not told, or if a second
/// run doubles or loses a row.
#[test]
fn a_topic_has_the_features_that_a_file_of_the_same_payments_has() {
    let Some(broker) = xtask::kafka::shared("a_topic_has_the_features_that_a_file_of_the_same_payments_has") else {
        return;
    };
    let shop = Shop::open(broker.bootstrap(), "shop-payments");
    let payments = payments(3_000);
    shop.feed(&payments[..2_000]);
    let first = shop.run("lake/features").with_exit(0).json();
    shop.feed(&payments[2_000..]);
    let second = shop.run("lake/features").with_exit(0).json();
    let third = shop.run("lake/features").with_exit(0).json();
    let sum = |name: &str| first[name].as_u64().unwrap() + second[name].as_u64().unwrap();
    assert_eq!((sum("rows"), sum("dead_letters")), (3_000 - 90, 90));
    assert_eq!((&third["rows"], &third["dead_letters"]), (&0.into(), &0.into()));

    let good = payments.iter().filter(|(_, _, payload)| payload.contains("more"));
    let csv = good.map(|(_, _, payload)| {
        let payment: serde_json::Value = serde_json::from_str(payload).unwrap();
        format!("{},{},{}\n", payment["card"], payment["amount"], payment["event_time"])
    });
    let csv: String = std::iter::once("card,amount,event_time\n".to_string()).chain(csv).collect();
    fs::write(shop.path("payments.csv"), csv).unwrap();
    let (file, windows, out) = (shop.path("payments.csv"), shop.path("windows.txt"), shop.path("file/out.parquet"));
    fs::create_dir(shop.path("file")).unwrap();
    let about = ["fraud", "features", "--transactions", text(&file), "--windows", text(&windows)];
    till(&[&about[..], &["--decimals", "amount=2", "--out", text(&out)]].concat()).with_exit(0);
    let (found, expected) = (rows_of(&shop.path("lake/features"), &VALUES), rows_of(&shop.path("file"), &VALUES));
    assert_eq!(expected.len(), 2_910);
    assert_eq!(found, expected);

    let letters = rows_of(&shop.path("lake/dead_letters"), &["reason"]);
    let count = |reason: &str| letters.iter().filter(|letter| *letter == reason).count();
    assert_eq!(["bad_json", "missing_column", "bad_value"].map(count), [30, 30, 30]);
}

/// Fails if a kill anywhere loses or doubles a row, or if a state is ahead of or behind its table.
#[test]
fn killed_anywhere_the_table_is_that_of_an_undisturbed_run() {
    let Some(broker) = xtask::kafka::shared("killed_anywhere_the_table_is_that_of_an_undisturbed_run") else {
        return;
    };
    let shop = Shop::open(broker.bootstrap(), "shop-killed");
    let payments = payments(60_000);
    let mut random = ChaCha8Rng::seed_from_u64(11);
    // Each run finds more on the topic, so that there is something to be killed in.
    for portion in payments.chunks(6_000) {
        shop.feed(portion);
        let mut command = shop.command("killed/features");
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.random_range(300..2_500)));
        process.kill().unwrap();
        process.wait().unwrap();
    }
    shop.run("killed/features").with_exit(0);
    let undisturbed = shop.run("whole/features").with_exit(0).json();
    assert_eq!(undisturbed["rows"].as_u64().unwrap() + undisturbed["dead_letters"].as_u64().unwrap(), 60_000);
    let columns = [&VALUES[..], &PLACE].concat();
    let rows = |run: &str| rows_of(&shop.path(run).join("features"), &columns);
    assert_eq!(rows("killed"), rows("whole"));
    let letters = |run: &str| rows_of(&shop.path(run).join("dead_letters"), &LETTER);
    assert_eq!(letters("killed"), letters("whole"));
}

/// Fails if a key that is another one passes, or if a table goes on with other windows or fields.
#[test]
fn what_would_make_windows_wrong_is_refused() {
    let Some(broker) = xtask::kafka::shared("what_would_make_windows_wrong_is_refused") else {
        return;
    };
    let shop = Shop::open(broker.bootstrap(), "shop-refused");
    shop.feed(&payments(40));
    shop.run("lake/features").with_exit(0);
    fs::write(shop.path("windows.txt"), WINDOWS.replace("1h", "2h")).unwrap();
    shop.run("lake/features").with_exit(3).complains("of other windows");
    fs::write(shop.path("windows.txt"), WINDOWS).unwrap();
    let mut other = shop.command("lake/features");
    other.args(["--fields", "country:text"]);
    let other: Ended = other.output().unwrap().into();
    other.with_exit(3).complains("other --fields");

    let payload = "{\"card\":\"c1\",\"amount\":1.00,\"event_time\":\"2026-03-02T10:00:00Z\"}".to_string();
    shop.feed(&[(1, "c2".to_string(), payload)]);
    let refused = shop.run("lake/features").with_exit(3);
    refused.complains("shop-refused/1 offset").complains("another message key than its card");
    fs::write(shop.path("windows.txt"), "window c = count by card, amount over 1h").unwrap();
    shop.run("two/features").with_exit(2).complains("one key of one field");
}
