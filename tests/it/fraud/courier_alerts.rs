//! `till job courier-alerts` and `alert-groups` over a simulated town: swipes far from the courier's phone are found, and
//! it makes no difference when the jobs run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Demo, assert_same_rows, copy_folder, one_day, query, text, till};

const JOBS: [&str; 3] = ["job", "courier-alerts", "alert-groups"];

fn run_jobs(lake: &Path) -> Value {
    till(&[&JOBS[..], &["--json", "--lake", text(lake)]].concat()).with_exit(0).json()
}

/// Rows of an answer as text, sorted.
fn rows(lake: &Path, sql: &str) -> Vec<String> {
    let mut rows: Vec<String> = query(lake, sql).iter().map(Value::to_string).collect();
    rows.sort_unstable();
    rows
}

/// The day's records by the hour in which the gateway had them: names of files in both topics with their lines.
fn hours(demo: &Demo) -> BTreeMap<String, [String; 2]> {
    let mut hours: BTreeMap<String, [String; 2]> = BTreeMap::new();
    let mut add = |topic: usize, line: &Value| {
        let hour = line["received_at"].as_str().unwrap()[..13].to_string();
        let lines = &mut hours.entry(hour).or_default()[topic];
        *lines += &format!("{line}\n");
    };
    for file in fs::read_dir(demo.input().join("transactions")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        // Some lines of a town's log are no records.
        let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records.filter(|line| line["received_at"].is_string()).for_each(|line| add(0, &line));
    }
    let fixes = "SELECT device_id, event_time AS time, lat, lon, accuracy_m, speed_mps, ingest_time AS received_at \
        FROM pings ORDER BY source_offset";
    query(&demo.lake(), fixes).iter().for_each(|line| add(1, line));
    hours
}

/// An input with the configuration of a town and no records.
fn empty_input(demo: &Demo, input: &Path) {
    for folder in ["bundles", "keys"] {
        copy_folder(&demo.input().join(folder), &input.join(folder));
    }
    for topic in ["transactions", "pings"] {
        fs::create_dir_all(input.join(topic)).unwrap();
    }
}

fn write_hour(input: &Path, hour: &str, lines: &[String; 2]) {
    for (topic, lines) in ["transactions", "pings"].into_iter().zip(lines) {
        fs::write(input.join(topic).join(format!("{hour}.ndjson")), lines).unwrap();
    }
}

fn run(folder: &Path) {
    let (input, lake) = (folder.join("input"), folder.join("lake"));
    till(&["run", "--input", text(&input), "--lake", text(&lake)]).with_exit(0);
}

#[test]
fn a_stolen_reader_is_found_far_from_its_courier() {
    let demo = one_day();
    let truth: Vec<Value> =
        demo.truth("frauds.ndjson").into_iter().filter(|line| line["scenario"] == "far_reader").collect();
    let true_ones: Vec<&str> =
        truth.iter().flat_map(|line| line["payment_ids"].as_array().unwrap()).map(|id| id.as_str().unwrap()).collect();
    let found = query(&demo.lake(), "SELECT * FROM courier_alerts_current WHERE state = 'raised'");
    assert!(true_ones.iter().any(|id| found.iter().any(|row| row["payment_id"] == *id)), "{true_ones:?} in {found:?}");
    for row in &found {
        let sentence = row["sentence"].as_str().unwrap();
        assert!(sentence.starts_with("A swipe ") && sentence.contains(" km from where the phone of courier "), "{row}");
        assert!(row["distance_m"].as_f64().unwrap() >= 2_000.0 && row["fix_s"].as_f64().unwrap() <= 120.0, "{row}");
    }
    // The desk shows it, by card and by reader.
    let id = found[0]["alert_id"].as_str().unwrap();
    let lake = demo.lake();
    let shown = till(&["alerts", "show", id, "--json", "--lake", text(&lake)]).with_exit(0).json();
    assert_eq!(shown["alerts"][0]["sentence"], found[0]["sentence"]);
    for by in ["card", "reader"] {
        let list = ["alerts", "list", "--by", by, "--all", "--limit", "1000", "--json", "--lake", text(&lake)];
        let groups = till(&list).with_exit(0).json();
        let has = |group: &&Value| group["reasons"].as_str().unwrap().contains("far_from_courier");
        assert!(groups.as_array().unwrap().iter().any(|group| has(&group)), "{by}: {groups}");
    }
}

/// Every alert is in one group of its reader, and each group's rows say when somebody was told.
#[test]
fn groups_hold_every_alert_once() {
    let lake = one_day().lake();
    let counts =
        "SELECT kind, CAST(sum(alerts) AS BIGINT) AS alerts FROM alert_groups_current GROUP BY kind ORDER BY kind";
    let alerts =
        "SELECT count(token) AS alerts, count(reader_id) AS readers FROM alerts_current WHERE state = 'raised'";
    let (counts, alerts) = (query(&lake, counts), query(&lake, alerts));
    let expected = json!([
        {"kind": "card", "alerts": alerts[0]["alerts"]},
        {"kind": "reader", "alerts": alerts[0]["readers"]},
    ]);
    assert_eq!(Value::from(counts), expected);
    let told = "SELECT group_id FROM alert_groups_current WHERE notified NOT IN (1, 10, 100)";
    assert_eq!(query(&lake, told), [Value::Null; 0]);
    assert_eq!(
        run_jobs(&lake),
        json!([
            {"table": "courier_alerts", "rows": 0, "version": null},
            {"table": "alert_groups", "rows": 0, "version": null},
        ])
    );
}

/// Fails if an alert waits for a phone where all are silent: the ticks of the pings' log say that time has passed.
#[test]
fn a_tick_is_enough_where_every_phone_is_silent() {
    let demo = one_day();
    let found = "SELECT event_time FROM courier_alerts_current WHERE state = 'raised' ORDER BY event_time LIMIT 1";
    let at = query(&demo.lake(), found)[0]["event_time"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let folder = TempDir::new().unwrap();
    let input = folder.path().join("input");
    empty_input(demo, &input);
    // Everything that the gateway had by the swipe, and of the pings nothing more.
    let had = |line: &&str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["received_at"].as_str().unwrap().parse::<Timestamp>().unwrap() <= at
    };
    for (hour, lines) in hours(demo) {
        let lines = lines.map(|lines| lines.lines().filter(had).map(|line| format!("{line}\n")).collect::<String>());
        write_hour(&input, &hour, &lines);
    }
    run(folder.path());
    let lake = folder.path().join("lake");
    run_jobs(&lake);
    assert_eq!(query(&lake, "SELECT count(*) AS alerts FROM courier_alerts"), [json!({"alerts": 0})]);
    let tick = |second| json!({"kind": "tick", "received_at": (at + SignedDuration::from_secs(second)).to_string()});
    fs::write(input.join("pings/9999.ndjson"), format!("{}\n{}\n", tick(20), tick(36))).unwrap();
    run(folder.path());
    run_jobs(&lake);
    assert_eq!(query(&lake, "SELECT count(*) AS alerts FROM courier_alerts"), [json!({"alerts": 1})]);
}

/// Fails if a row depends on what the lake happens to hold when the job runs.
#[test]
fn jobs_after_every_hour_say_what_one_at_the_end_says() {
    let demo = one_day();
    let (often, once) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let hours = hours(demo);
    assert!(hours.len() > 10, "{} hours", hours.len());
    for folder in [&often, &once] {
        empty_input(demo, &folder.path().join("input"));
    }
    for (hour, lines) in &hours {
        write_hour(&often.path().join("input"), hour, lines);
        write_hour(&once.path().join("input"), hour, lines);
        run(often.path());
        run_jobs(&often.path().join("lake"));
    }
    run(once.path());
    run_jobs(&once.path().join("lake"));
    let lakes = [&often, &once].map(|folder| folder.path().join("lake"));
    let of = |sql: &str| lakes.each_ref().map(|lake| rows(lake, sql));
    // All but the order in which rows were added.
    let [found, expected] = of(
        "SELECT alert_id, state, payment_id, token, merchant_id, reader_id, courier_id, device_id, \
        vehicle, amount_minor, currency, reason, group_id, group_number, sentence, lat, lon, phone_lat, phone_lon, fix_s, \
        distance_m, limit_m, known_at, event_time, ingest_time, source_topic, source_partition, source_offset \
        FROM courier_alerts",
    );
    assert!(!expected.is_empty());
    assert_same_rows(&found, &expected, "courier_alerts after every hour");
    let groups =
        "SELECT group_id, kind, alerts, cards, amount_minor, first_at, newest_at, sentence FROM alert_groups_current";
    let [found, expected] = of(groups);
    assert_same_rows(&found, &expected, "alert_groups after every hour");
}
