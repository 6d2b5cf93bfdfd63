//! `till fraud features --topic`: somebody else's topic of payments, exactly once into a Delta table.

use std::fs;
use std::os::unix::process::ExitStatusExt;
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

use super::faults::number;
use crate::support::{Ended, command, files_below, ndjson, text, till};

const FIELDS: &str = "card:text,amount:number,event_time:time";
const WINDOWS: &str = "window count_1h = count by card over 1h including current\n\
    window sum_1d = sum(amount) by card over 1d\nwindow last_7d = last(amount) by card where amount > 5_00 over 7d\n";
const PARTITIONS: u16 = 4;
/// The same fields as Avro, with one that windows do not know.
const AVRO: &str = r#"{"type":"record","name":"Payment","fields":[{"name":"card","type":"string"},
    {"name":"amount","type":"double"},
    {"name":"event_time","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
    {"name":"more","type":{"type":"array","items":"long"}}]}"#;
/// Number of that schema in frames.
const SCHEMA_ID: u8 = 7;
/// Payments of a long run that is killed again and again, how often, and the seed of the moments.
const LONG: &str = "TILL_FEATURES_PAYMENTS";
const KILLS: &str = "TILL_FEATURES_KILLS";
const SEED: &str = "TILL_KILL_SEED";
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
    fn feed<P: AsRef<[u8]>>(&self, records: &[(i32, String, P)]) {
        let feeder = Feeder::connect(&self.settings()).unwrap();
        for (partition, key, payload) in records {
            feeder.send(self.topic, Partition(*partition), Some(key.as_bytes()), payload.as_ref()).unwrap();
        }
        feeder.flush(FLUSH).unwrap();
    }

    fn command(&self, out: &str) -> Command {
        self.command_with(out, &["--fields", FIELDS])
    }

    /// `written` says how the records are written.
    fn command_with(&self, out: &str, written: &[&str]) -> Command {
        let (windows, out) = (self.path("windows.txt"), self.path(out));
        let about = ["fraud", "features", "--brokers", &self.brokers, "--topic", self.topic];
        let more =
            ["--decimals", "amount=2", "--windows", text(&windows), "--out", text(&out), "--until-end", "--json"];
        command(&[&about[..], written, &more].concat())
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

/// A payment of JSON as a frame of a registry. What is no JSON becomes a frame that ends too soon.
fn avro((partition, key, payload): &(i32, String, String)) -> (i32, String, Vec<u8>) {
    let mut frame = vec![0, 0, 0, 0, SCHEMA_ID];
    let Ok(payment) = serde_json::from_str::<serde_json::Value>(payload) else {
        return (*partition, key.clone(), [frame, vec![8, b'c']].concat());
    };
    let card = payment["card"].as_str().unwrap();
    long(card.len().try_into().unwrap(), &mut frame);
    frame.extend(card.bytes());
    frame.extend(payment["amount"].as_f64().unwrap().to_le_bytes());
    match payment["event_time"].as_str() {
        Some(time) => {
            frame.push(2);
            long(time.parse::<jiff::Timestamp>().unwrap().as_microsecond(), &mut frame);
        }
        None => frame.push(0),
    }
    // A block of one item, and no further block.
    frame.extend([2, 2, 0]);
    (*partition, key.clone(), frame)
}

/// A long as Avro writes it: small amounts either side of 0 first, seven bits a byte.
fn long(number: i64, frame: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        frame.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    frame.push(rest.to_le_bytes()[0]);
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

/// Rows that a table's commits name.
fn committed(table: &Path) -> u64 {
    if !table.join("_delta_log").is_dir() {
        return 0;
    }
    let rows = |file: PathBuf| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(file).unwrap()).unwrap();
        reader.metadata().file_metadata().num_rows().cast_unsigned()
    };
    files_of(table).into_iter().map(rows).sum()
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

/// Two million payments, each life killed once the table has come to a random place: `TILL_FEATURES_PAYMENTS=2000000 cargo
/// test -p tillstream --release --test it a_long_run -- --nocapture`. Fails as the test above does, with snapshots at many
/// offsets and commits of a part of what was read.
#[test]
fn a_long_run_killed_again_and_again_is_an_undisturbed_one() {
    let Some(count) = number(LONG) else { return };
    let Some(broker) = xtask::kafka::shared("a_long_run_killed_again_and_again_is_an_undisturbed_one") else {
        return;
    };
    let (kills, seed) = (number(KILLS).unwrap_or(10), number(SEED).unwrap_or(11));
    println!("{count} payments on {PARTITIONS} partitions; seed {seed}: {SEED}={seed} repeats the places of the kills");
    let shop = Shop::open(broker.bootstrap(), "shop-long");
    shop.feed(&payments(count));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Behind the last place there is still a commit to come, so that each kill finds a process alive.
    let mut places: Vec<u64> = (0..kills).map(|_| random.random_range(0..count * 3 / 4)).collect();
    places.sort_unstable();
    for place in places {
        let mut process = shop.command("killed/features").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while committed(&shop.path("killed/features")) < place {
            assert!(process.try_wait().unwrap().is_none(), "it ended before row {place} was committed");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(random.random_range(0..1_000)));
        process.kill().unwrap();
        let signal = process.wait().unwrap().signal();
        assert_eq!(signal, Some(9), "the process had ended before it could be killed at row {place}");
        println!("killed with {} rows committed, wanted {place}", committed(&shop.path("killed/features")));
    }
    let last = shop.run("killed/features").with_exit(0).json();
    let whole = shop.run("whole/features").with_exit(0).json();
    assert_eq!(whole["rows"].as_u64().unwrap() + whole["dead_letters"].as_u64().unwrap(), count);
    let columns = [&VALUES[..], &PLACE].concat();
    let rows = |run: &str| rows_of(&shop.path(run).join("features"), &columns);
    let found = rows("killed");
    assert!(found == rows("whole"), "the tables differ");
    let letters = |run: &str| rows_of(&shop.path(run).join("dead_letters"), &LETTER);
    assert_eq!(letters("killed"), letters("whole"));
    println!(
        "{kills} kills; {} rows and {} dead letters are those of an undisturbed run",
        found.len(),
        letters("whole").len()
    );
    println!("the last life wrote {} rows", last["rows"]);
}

/// Fails if Avro is read to other values than JSON, a bad frame costs a neighbour, or the fields must be said.
#[test]
fn avro_payments_make_the_table_that_json_payments_make() {
    let Some(broker) = xtask::kafka::shared("avro_payments_make_the_table_that_json_payments_make") else {
        return;
    };
    let (json, avro_shop) = (Shop::open(broker.bootstrap(), "shop-json"), Shop::open(broker.bootstrap(), "shop-avro"));
    let payments = payments(5_000);
    json.feed(&payments);
    avro_shop.feed(&payments.iter().map(avro).collect::<Vec<_>>());
    fs::write(avro_shop.path("payment.avsc"), AVRO).unwrap();
    let (schema, id) = (avro_shop.path("payment.avsc"), SCHEMA_ID.to_string());
    let written = ["--format", "avro", "--schema", text(&schema), "--schema-id", &id];
    let found: Ended = avro_shop.command_with("lake/features", &written).output().unwrap().into();
    let (found, expected) = (found.with_exit(0).json(), json.run("lake/features").with_exit(0).json());
    assert_eq!((&found["rows"], &found["dead_letters"]), (&4_852.into(), &148.into()));
    assert_eq!((&found["rows"], &found["dead_letters"]), (&expected["rows"], &expected["dead_letters"]));
    let rows = |shop: &Shop, table: &str, columns: &[&str]| {
        rows_of(&shop.path("lake").join(table), &[columns, &PLACE[1..]].concat())
    };
    assert_eq!(rows(&avro_shop, "features", &VALUES), rows(&json, "features", &VALUES));
    assert_eq!(rows(&avro_shop, "dead_letters", &[]), rows(&json, "dead_letters", &[]));
    let letters = rows_of(&avro_shop.path("lake/dead_letters"), &["reason"]);
    let count = |reason: &str| letters.iter().filter(|letter| *letter == reason).count();
    assert_eq!(["bad_avro", "missing_column", "bad_value"].map(count), [50, 49, 49]);
    // JSON does not say its fields.
    let unsaid: Ended = json.command_with("unsaid/features", &[]).output().unwrap().into();
    unsaid.with_exit(2).complains("--fields is missing");
}

/// Fails if what stands before a foreign key in its batch is lost, or anything behind it is taken.
#[test]
fn a_foreign_key_stops_its_partition_right_before_it() {
    let Some(broker) = xtask::kafka::shared("a_foreign_key_stops_its_partition_right_before_it") else {
        return;
    };
    let shop = Shop::open(broker.bootstrap(), "shop-foreign");
    let payload =
        |second: u32| format!("{{\"card\":\"c1\",\"amount\":1.00,\"event_time\":\"2026-03-02T10:00:{second:02}Z\"}}");
    let record = |offset: u32| match offset {
        3 | 8 => (1, "c1".to_string(), "{".to_string()),
        5 => (1, "c2".to_string(), payload(offset)),
        _ => (1, "c1".to_string(), payload(offset)),
    };
    shop.feed(&(0..10).map(record).collect::<Vec<_>>());
    // A second run finds the same, and adds nothing.
    for _ in 0..2 {
        let refused = shop.run("lake/features").with_exit(3);
        refused.complains("shop-foreign/1 offset 5").complains("another message key than its card");
        assert_eq!(rows_of(&shop.path("lake/features"), &["source_offset"]), ["0", "1", "2", "4"]);
        assert_eq!(rows_of(&shop.path("lake/features"), &["count_1h"]), ["1", "2", "3", "4"]);
        assert_eq!(rows_of(&shop.path("lake/dead_letters"), &["source_offset"]), ["3"]);
    }
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
