//! `till demo`: from a seed to tables whose money adds up and which agree with the town's truth; going on doubles
//! nothing, and what could double or lose something is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::support::{Demo, Ended, all_rows, assert_same_rows, ndjson, one_day, query, rows_of, text, till, two_days};

mod truth;
mod vehicles;

fn demo(dir: &Path, more: &[&str]) -> Ended {
    till(&[&["demo", "--dir", text(dir)], more].concat())
}

/// What each log of a run over this demo did.
fn run_again(dir: &Path) -> Vec<Value> {
    let (input, lake) = (dir.join("input"), dir.join("lake"));
    let ended = till(&["run", "--input", text(&input), "--lake", text(&lake), "--json"]).with_exit(0);
    ended.json()["logs"].as_array().unwrap().clone()
}

/// Sizes depend on the versions of compressors, so they are left out.
#[test]
fn the_summary_reads_like_this() {
    let demo = one_day();
    assert_eq!(demo.ended.stderr, "");
    let report = fs::read_to_string(demo.dir.join("reports/summary.txt")).unwrap();
    assert_eq!(demo.ended.stdout.trim_end(), report.trim_end());
    let summary = report.replace(text(&demo.dir), "DIR");
    let without_size = |line: &str| match line.split('┆').collect::<Vec<_>>()[..] {
        [table, rows, _, files] => format!("{table}┆{rows}┆{files}"),
        _ => line.to_string(),
    };
    // What follows the folder's name in a line moves with its length.
    let closed_up = |line: String| match line.contains("DIR") {
        true => line.split_whitespace().collect::<Vec<_>>().join(" "),
        false => line,
    };
    let lines: Vec<String> = summary.lines().map(without_size).map(closed_up).collect();
    insta::assert_snapshot!("summary", lines.join("\n"));
}

#[test]
fn the_money_adds_up() {
    let copy = one_day().copy();
    let summary = demo(copy.path(), &["--json"]).with_exit(0).json();
    let money = summary["money"].as_array().unwrap();
    assert!(!money.is_empty());
    for bridge in money {
        let amount = |name: &str| bridge[name].as_i64().unwrap();
        assert!(amount("approved") > 0 && amount("owed_to_merchants") > 0, "{bridge}");
        assert_eq!(amount("difference"), 0, "{bridge}");
        let parts = ["held", "owed_to_merchants", "reversed", "refunded", "charged_back"];
        assert_eq!(amount("approved"), parts.iter().map(|name| amount(name)).sum::<i64>(), "{bridge}");
    }
    // The bridge itself, in other words: what the accounts paid is what the merchants got or still wait for.
    let lake = one_day().lake();
    let sums = query(&lake, "SELECT sum(held_minor) AS held, sum(captured_minor) AS owed FROM payments_current");
    assert_eq!(sums[0]["held"], money[0]["held"]);
    assert_eq!(sums[0]["owed"], money[0]["owed_to_merchants"]);
}

/// The default town of 40 merchants has 103 jumps and 23 detours a day, of which 102 and 22 are noticed; a small one has
/// few of each.
#[test]
fn trips_jumps_and_detours_are_found() {
    let copy = two_days().copy();
    let summary = demo(copy.path(), &["--json"]).with_exit(0).json();
    let score = &summary["roads"]["score"];
    let share = |part: &str, whole: &str| score[part].as_f64().unwrap() / score[whole].as_f64().unwrap();
    assert!(score["precision"].as_f64() > Some(0.8) && score["recall"].as_f64() > Some(0.7), "{score}");
    assert!(
        score["start_error_s"][0].as_f64() < Some(30.0) && score["end_error_s"][0].as_f64() < Some(30.0),
        "{score}"
    );
    assert!(share("jumps_found", "jumps") > 0.9 && share("clean_trips_flagged", "clean_trips") <= 0.01, "{score}");
    assert!(share("detours_found", "detours") >= 0.8, "{score}");
    assert!(share("direct_trips_flagged", "direct_trips") <= 0.01, "{score}");
}

/// Starting at the first row, or writing rows of a replay, would show here.
#[test]
fn a_second_run_goes_on_at_the_end_and_doubles_nothing() {
    let copy = one_day().copy();
    demo(copy.path(), &["--seed", "7", "--merchants", "5", "--days", "1"]).with_exit(0);
    assert_same_rows(&all_rows(&copy.path().join("lake")), &one_day().rows, "the second run");
    let logs = run_again(copy.path());
    assert_eq!(logs.len(), 2);
    for log in &logs {
        let topic = log["topic"].as_str().unwrap();
        let end: u64 = rows_by_file(&copy.path().join("input").join(topic)).values().sum();
        assert_eq!((log["started_at"].as_u64(), log["ended_at"].as_u64()), (Some(end), Some(end)), "{log}");
        assert_eq!(log["loaded_snapshot"].as_u64(), Some(end), "{log}");
        assert!(log["rows_written"].as_object().unwrap().values().all(|rows| rows == 0), "{log}");
    }
    assert_same_rows(&all_rows(&copy.path().join("lake")), &one_day().rows, "the third run");
}

#[test]
fn more_days_are_appended_as_if_they_had_been_there_from_the_start() {
    let copy = one_day().copy();
    demo(copy.path(), &["--days", "2"]).with_exit(0);
    let appended = all_rows(&copy.path().join("lake"));
    assert_same_rows(&appended, &two_days().rows, "the second day");
    for table in ["payments", "decisions", "pings", "dead_letters"] {
        assert!(rows_of(&appended, table) > rows_of(&one_day().rows, table), "{table}");
    }
}

#[test]
fn another_town_in_the_same_folder_is_refused() {
    let copy = one_day().copy();
    for plan in [["--seed", "8"], ["--merchants", "6"]] {
        let ended = demo(copy.path(), &plan).with_exit(3);
        assert_eq!(ended.stdout, "");
        ended.complains("the town of seed 7 with 5 merchants");
    }
    assert_same_rows(&all_rows(&copy.path().join("lake")), &one_day().rows, "after the refusals");
}

#[test]
fn changed_input_is_refused_by_the_files_name() {
    for (topic, name) in [("transactions", "2026-03-02.ndjson"), ("pings", "2026-03-02.parquet")] {
        let copy = one_day().copy();
        let path = copy.path().join("input").join(topic).join(name);
        let mut content = fs::read(&path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(&path, content).unwrap();
        demo(copy.path(), &[]).with_exit(3).complains(name).complains("is not what was read before");
        assert_same_rows(&all_rows(&copy.path().join("lake")), &one_day().rows, name);
    }
}

#[test]
fn a_new_file_before_those_that_were_read_is_refused_by_its_name() {
    let copy = one_day().copy();
    fs::write(copy.path().join("input/transactions/2026-03-01.ndjson"), "{}\n").unwrap();
    demo(copy.path(), &[]).with_exit(3).complains("2026-03-01.ndjson is mis-sorted");
    assert_same_rows(&all_rows(&copy.path().join("lake")), &one_day().rows, "after the refusal");
}

/// Without the lock two runs would append the same rows.
#[test]
fn a_second_run_at_the_same_time_is_refused() {
    let copy = one_day().copy();
    let (input, lake) = (copy.path().join("input"), copy.path().join("lake"));
    let lock = File::options().append(true).open(lake.join("_run.lock")).unwrap();
    lock.lock().unwrap();
    demo(copy.path(), &[]).with_exit(3).complains("another run writes into the lake");
    let run = ["run", "--input", text(&input), "--lake", text(&lake)];
    till(&run).with_exit(3).complains("another run writes into the lake");
    till(&["maintain", "--lake", text(&lake)]).with_exit(3);
    lock.unlock().unwrap();
    till(&run).with_exit(0);
}

/// Records of each file of a topic's folder, in the order in which they are read.
fn rows_by_file(folder: &Path) -> BTreeMap<String, u64> {
    let rows = |path: &Path| match path.extension().and_then(|ending| ending.to_str()) {
        Some("ndjson") => fs::read(path).unwrap().iter().filter(|byte| **byte == b'\n').count() as u64,
        _ => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
            reader.metadata().file_metadata().num_rows() as u64
        }
    };
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), rows(&entry.path()))).collect()
}
