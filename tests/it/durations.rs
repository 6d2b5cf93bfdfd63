//! `till job trip-durations`: what it says is what others compute from the same trips, and no row is lost or doubled,
//! whatever is killed when.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::python::python;
use crate::support::{Demo, Ended, assert_same_rows, command, one_day, query, text, till, two_days};

/// Processes that are killed at random moments.
const KILLS: usize = 6;
/// Longest life of such a process, milliseconds: some reach the end.
const LIFE_MS_MAX: u64 = 400;

fn zones(demo: &Demo) -> String {
    text(&demo.input().join("bundles/zones.geojson")).to_string()
}

fn job(lake: &Path, more: &[&str]) -> Ended {
    till(&[&["job", "trip-durations", "--json", "--lake", text(lake)], more].concat())
}

fn rows_added(ended: &Ended) -> u64 {
    ended.json()[0]["rows"].as_u64().unwrap()
}

/// Every row of the table, sorted.
fn durations(lake: &Path) -> Vec<String> {
    let rows = query(lake, "SELECT * FROM trip_durations");
    let mut lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    lines.sort_unstable();
    lines
}

/// A copy of a demo's lake without the table, and what an undisturbed job writes into such a lake.
fn without_rows() -> (tempfile::TempDir, Vec<String>) {
    let copy = one_day().copy();
    fs::remove_dir_all(copy.path().join("lake/trip_durations")).unwrap();
    (copy, durations(&one_day().lake()))
}

/// The value with this share of the values below it, between two values in proportion.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = share * (values.len() - 1) as f64;
    let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// The session's percentiles round the place between two values to a millionth of the way.
#[track_caller]
fn assert_near(found: &Value, expected: f64, what: &str) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{what} is {found}"));
    assert!((found - expected).abs() <= 0.01, "{what}: {found} instead of {expected}");
}

#[test]
fn percentiles_of_zone_pairs_are_those_of_plain_sorting() {
    let lake = two_days().lake();
    let mut pairs: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    let trips = query(
        &lake,
        "SELECT d.origin_zone, d.destination_zone, t.duration_s FROM trips_current t \
         JOIN trip_durations_current d ON d.trip_id = t.trip_id AND d.revision = t.revision",
    );
    assert_eq!(query(&lake, "SELECT count(*) AS trips FROM trips_current")[0]["trips"], trips.len());
    assert!(trips.len() > 100, "{}", trips.len());
    for trip in &trips {
        let zone = |name: &str| trip[name].as_str().unwrap().to_string();
        let pair = (zone("origin_zone"), zone("destination_zone"));
        pairs.entry(pair).or_default().push(trip["duration_s"].as_f64().unwrap());
    }
    let view = query(&lake, "SELECT * FROM durations_by_zone_pair");
    assert_eq!(view.len(), pairs.len());
    for row in &view {
        let zone = |name: &str| row[name].as_str().unwrap().to_string();
        let values = pairs.get_mut(&(zone("origin_zone"), zone("destination_zone"))).unwrap();
        assert_eq!(row["trips"], values.len());
        for (column, share) in [("p50_s", 0.5), ("p90_s", 0.9), ("p95_s", 0.95)] {
            assert_near(&row[column], percentile(values, share), column);
        }
        assert_near(&row["mean_s"], values.iter().sum::<f64>() / values.len() as f64, "mean_s");
    }
}

/// The script finds zones, baselines and percentiles by itself, from the trips as Polars reads them.
#[test]
fn python_computes_the_same_from_the_trips() {
    let Some(python) = python("python_computes_the_same_from_the_trips") else { return };
    let demo = two_days();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/durations.py");
    let mut command = Command::new(python);
    command.arg("-B").arg(script).arg(demo.lake()).arg(zones(demo)).arg(env!("CARGO_BIN_EXE_till"));
    let ended = Ended::from(command.output().expect("TILL_PYTHON names an interpreter that starts")).with_exit(0);
    assert!(ended.stdout.contains("0 differences"), "{ended}");
}

#[test]
fn every_view_of_durations_agrees_with_the_table() {
    let lake = two_days().lake();
    let count = |sql: &str| query(&lake, sql)[0]["trips"].as_i64().unwrap();
    let all = count("SELECT count(*) AS trips FROM trip_durations_current");
    for view in ["durations_by_zone", "durations_by_zone_pair", "durations_by_hour"] {
        assert_eq!(count(&format!("SELECT CAST(sum(trips) AS BIGINT) AS trips FROM {view}")), all, "{view}");
    }
    let couriers = query(&lake, "SELECT * FROM durations_by_courier");
    let assigned = count("SELECT count(*) AS trips FROM trip_durations_current WHERE courier_id IS NOT NULL");
    assert_eq!(couriers.iter().map(|row| row["trips"].as_i64().unwrap()).sum::<i64>(), assigned);
    assert_eq!(assigned, all, "every device of the town is somebody's");
    for row in &couriers {
        let number = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name}: {row}"));
        assert!(number("stops") > 0.0 && number("stops_per_hour") > 0.0, "{row}");
        assert!((0.0..=3_600.0).contains(&number("dwell_p50_s")) && number("dwell_p95_s") <= 3_600.0, "{row}");
        assert!(row["on_time_share"].is_null(), "nothing was promised: {row}");
    }
}

#[test]
fn a_second_run_adds_nothing() {
    let copy = one_day().copy();
    let lake = copy.path().join("lake");
    let before = durations(&lake);
    assert!(!before.is_empty());
    let again = job(&lake, &["--zones", &zones(one_day())]).with_exit(0);
    assert_eq!((rows_added(&again), &again.json()[0]["version"]), (0, &Value::Null));
    assert_same_rows(&durations(&lake), &before, "the second run");
}

/// Fails if rows and frontier are not one commit, or if a killed run's rows are computed again.
#[test]
fn killed_jobs_leave_what_an_undisturbed_one_leaves() {
    let zones = zones(one_day());
    for point in ["lake-between-tables", "lake-after-upload", "lake-after-commit"] {
        let (copy, expected) = without_rows();
        let lake = copy.path().join("lake");
        let mut dying = command(&["job", "--lake", text(&lake), "--zones", &zones]);
        let died = Ended::from(dying.env("TILL_FAULT", point).output().unwrap());
        assert_eq!(died.code, None, "{point}: {died}");
        let missing = if point == "lake-after-commit" { 0 } else { expected.len() as u64 };
        assert_eq!(rows_added(&job(&lake, &["--zones", &zones]).with_exit(0)), missing, "{point}");
        assert_same_rows(&durations(&lake), &expected, point);
    }
    let (copy, expected) = without_rows();
    let lake = copy.path().join("lake");
    let mut moments = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..KILLS {
        let mut job = command(&["job", "--lake", text(&lake), "--zones", &zones]);
        let mut child = job.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moments.random_range(1..=LIFE_MS_MAX)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    job(&lake, &["--zones", &zones]).with_exit(0);
    assert_same_rows(&durations(&lake), &expected, "random moments");
}

#[test]
fn a_second_job_at_the_same_time_is_refused() {
    let (copy, expected) = without_rows();
    let lake = copy.path().join("lake");
    let lock = File::options().append(true).open(lake.join("_job_trip_durations.lock")).unwrap();
    lock.lock().unwrap();
    let refused = job(&lake, &[]).with_exit(3);
    refused.complains("another job writes trip_durations").complains("wait until it has ended");
    assert_eq!(refused.stdout, "");
    lock.unlock().unwrap();
    assert_eq!(rows_added(&job(&lake, &["--zones", &zones(one_day())]).with_exit(0)), expected.len() as u64);
}

/// Without the lock file, as on two machines, the commits keep two jobs apart. Fails if the session is opened before the
/// table: a job that commits in between is then neither seen nor refused.
#[test]
fn two_jobs_that_do_not_see_each_other_do_not_double_rows() {
    let (copy, expected) = without_rows();
    let (lake, zones) = (copy.path().join("lake"), zones(one_day()));
    let start = |_| {
        let mut job = command(&["job", "--lake", text(&lake), "--zones", &zones]);
        job.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let all_ended = AtomicBool::new(false);
    let ended: Vec<Ended> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !all_ended.load(Ordering::Relaxed) {
                let _ = fs::remove_file(lake.join("_job_trip_durations.lock"));
            }
        });
        let jobs: Vec<_> = (0..4).map(start).collect();
        let ended = jobs.into_iter().map(|job| Ended::from(job.wait_with_output().unwrap())).collect();
        all_ended.store(true, Ordering::Relaxed);
        ended
    });
    assert!(ended.iter().any(|job| job.code == Some(0)), "nobody won");
    for job in &ended {
        assert!(matches!(job.code, Some(0 | 3)), "{job}");
    }
    assert_same_rows(&durations(&lake), &expected, "after the race");
}

#[test]
fn promises_make_trips_on_time_or_late() {
    let (copy, _) = without_rows();
    let lake = copy.path().join("lake");
    let trips = query(&lake, "SELECT device_id, ended_at FROM trips_current ORDER BY ended_at, trip_id LIMIT 2");
    let value = |row: usize, name: &str| trips[row][name].as_str().unwrap().to_string();
    let file = copy.path().join("promised.csv");
    let early = format!("{},2026-03-02T00:00:00Z", value(1, "device_id"));
    let on_time = format!("{},{}", value(0, "device_id"), value(0, "ended_at").replace(' ', "T"));
    fs::write(&file, format!("device,promised_at\n{on_time}\n{early}\nnobody,2026-03-02T12:00:00Z\n")).unwrap();
    job(&lake, &["--zones", &zones(one_day()), "--promised", text(&file)]).with_exit(0);
    let held = query(&lake, "SELECT device_id, on_time, ended_at FROM trip_durations_current WHERE on_time");
    assert_eq!((held.len(), &held[0]["ended_at"]), (1, &trips[0]["ended_at"]), "{held:?}");
    let share = query(&lake, "SELECT on_time_share AS share FROM durations_by_courier WHERE on_time_share IS NOT NULL");
    assert!(!share.is_empty());
}

/// A drive of twenty minutes at 10 s and two hours of standing: `a` has noise, `b` sends what `a` sends, `c` has none.
fn write_spoofed(input: &Path) {
    let mut noise = ChaCha8Rng::seed_from_u64(1);
    let mut lines = vec!["device,time,lat,lon,accuracy".to_string()];
    for minute in 0..140 {
        for second in (0..60).step_by(if minute < 20 { 10 } else { 60 }) {
            let time = format!("2026-03-02T{:02}:{:02}:{second:02}Z", 9 + minute / 60, minute % 60);
            let driven = f64::from((minute * 60 + second).clamp(200, 900) - 200);
            let mut off = || noise.random_range(-4e-5..4e-5);
            let (lat, lon) = (53.5 + driven * 8e-5 + off(), -7.3 + off());
            lines.extend(["a", "b"].map(|device| format!("{device},{time},{lat:.7},{lon:.7},{}", 3 + minute % 5)));
            lines.push(format!("c,{time},{:.7},{:.7},5", 53.6 + driven * 8e-5, -7.2 + driven * 3e-5));
        }
    }
    fs::create_dir_all(input.join("pings")).unwrap();
    fs::write(input.join("pings/drive.csv"), lines.join("\n") + "\n").unwrap();
}

/// Fails if the marks of the pings do not reach the trips, or if a receiver's noise is taken for none.
#[test]
fn copied_and_noiseless_tracks_are_strange() {
    let folder = tempfile::tempdir().unwrap();
    let (input, lake) = (folder.path().join("input"), folder.path().join("lake"));
    write_spoofed(&input);
    till(&["run", "--input", text(&input), "--lake", text(&lake)]).with_exit(0);
    assert_eq!(rows_added(&job(&lake, &[]).with_exit(0)), 3);
    let rows = query(&lake, "SELECT * FROM trip_durations ORDER BY device_id");
    for (row, (code, what)) in
        rows.iter().zip([("copied", "another device"), ("copied", "another device"), ("smooth", "noise")])
    {
        assert_eq!(row["anomalies"], serde_json::json!([code]), "{row}");
        assert!(row["anomaly_reason"].as_str().unwrap().contains(what), "{row}");
        assert_eq!((&row["origin_zone"], &row["courier_id"]), (&"outside".into(), &Value::Null), "{row}");
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place() {
    let lake = one_day().lake();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zones.json");
    let name = text(&file);
    job(&lake, &["--zones", "no-such-file"]).with_exit(2).complains("no-such-file");
    fs::write(&file, r#"{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}}]}"#).unwrap();
    job(&lake, &["--zones", name]).with_exit(2).complains("features[0]: it has no property name").complains(name);
    job(&lake, &["--time-zone", "Europe/Nowhere"]).with_exit(2).complains("no time zone \"Europe/Nowhere\"");
    fs::write(&file, "device,promised_at\nd,noon\n").unwrap();
    job(&lake, &["--promised", name]).with_exit(2).complains("line 2: promised_at is \"noon\"");
    till(&["job", "no-such-job"]).with_exit(2);
    till(&["job", "--lake", "no-such-lake"]).with_exit(2).complains("till demo");
}
