//! Tests of what a process tells the outside, over real HTTP.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use log::group::{GroupError, GroupLog, Remedy, TopicPartition};
use log::memory::{Broker, Membership, MemoryMember};
use runner::group::{GroupSettings, GroupSurroundings, Observer, UnitSpec, run_unit};
use runner::{RunnerError, SnapshotStore, Snapshots};
use schemas::{Offset, Partition};

use super::*;

fn partition(number: i32) -> TopicPartition {
    TopicPartition { topic: "payments", partition: Partition(number) }
}

/// Lines of one metric, without comments.
fn series(ops: &Ops, name: &str) -> Vec<String> {
    let text = ops.text();
    let starts = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    text.lines().filter(starts).map(str::to_string).collect()
}

#[test]
fn what_a_unit_reports_is_in_the_metrics() {
    let ops = Ops::new(&["authorize"]);
    let mut unit = ops.unit("authorize");
    unit.assigned(2);
    unit.read("authorize", partition(0), 3);
    unit.read("authorize", partition(1), 4);
    unit.committed(5, Duration::from_millis(15));
    unit.lag(&[(partition(0), 10), (partition(1), 0)]);
    unit.rebuilt("fenced");
    let expect = |name, lines: &[&str]| assert_eq!(series(&ops, name), lines, "{name}");
    expect("till_build_info", &[&format!("till_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))]);
    expect("till_records_total", &["till_records_total{unit=\"authorize\"} 7"]);
    expect("till_batch_rows_count", &["till_batch_rows_count{unit=\"authorize\"} 2"]);
    expect("till_commit_seconds_sum", &["till_commit_seconds_sum{unit=\"authorize\"} 0.015"]);
    expect("till_assigned_partitions", &["till_assigned_partitions{unit=\"authorize\"} 2"]);
    let mut rebuilds = series(&ops, "till_rebuilds_total");
    rebuilds.sort();
    let line = |remedy, count| format!("till_rebuilds_total{{unit=\"authorize\",remedy=\"{remedy}\"}} {count}");
    assert_eq!(rebuilds, [line("abort", 0), line("rebuild", 1)], "zero before the first one");
    let mut lag = series(&ops, "till_lag_records");
    lag.sort();
    let labels = |number| format!("till_lag_records{{unit=\"authorize\",topic=\"payments\",partition=\"{number}\"}}");
    assert_eq!(lag, [format!("{} 10", labels(0)), format!("{} 0", labels(1))]);
}

/// What another process reads now must not stay here with its last value.
#[test]
fn a_partition_that_went_away_leaves_no_series() {
    let ops = Ops::new(&["authorize"]);
    let mut unit = ops.unit("authorize");
    unit.lag(&[(partition(0), 10), (partition(1), 20)]);
    unit.lag(&[(partition(1), 5)]);
    assert_eq!(series(&ops, "till_lag_records").len(), 1);
    drop(unit);
    assert_eq!(series(&ops, "till_lag_records").len(), 0);
    assert_eq!(series(&ops, "till_assigned_partitions"), ["till_assigned_partitions{unit=\"authorize\"} 0"]);
}

#[test]
fn a_snapshot_grows_old_until_the_next() {
    static NOW_US: AtomicI64 = AtomicI64::new(0);
    let ops = Ops::with_clock(&["decode"], || NOW_US.load(Ordering::Relaxed));
    let mut unit = ops.unit("decode");
    let age = || series(&ops, "till_snapshot_age_seconds").concat().split(' ').next_back().map(str::to_string);
    ops.metrics.snapshots.begin("decode", Partition(0));
    NOW_US.store(90_000_000, Ordering::Relaxed);
    ops.metrics.snapshots.begin("decode", Partition(0));
    assert_eq!(age().as_deref(), Some("90.0"), "before the first snapshot its age is that of the reading");
    assert_eq!(series(&ops, "till_snapshot_bytes").len(), 0);
    unit.snapshot(partition(0), Offset(7), 1_234, Duration::ZERO);
    NOW_US.store(91_500_000, Ordering::Relaxed);
    assert_eq!(age().as_deref(), Some("1.5"));
    assert_eq!(series(&ops, "till_snapshot_bytes"), ["till_snapshot_bytes{unit=\"decode\",partition=\"0\"} 1234"]);
    ops.metrics.snapshots.end("decode", Partition(0));
    assert_eq!(series(&ops, "till_snapshot_age_seconds").len(), 0, "what another process reads leaves no series");
}

#[test]
fn reasons_of_dead_letters_are_bounded() {
    let ops = Ops::new(&["trips"]);
    let mut unit = ops.unit("trips");
    assert_eq!(series(&ops, "till_dead_letters_total").len(), 1, "zero before the first one");
    unit.left_out("dead_letters", log::reason::BAD_JSON, 2);
    unit.left_out("dead_letters", "no such reason", 3);
    unit.left_out("dead_letters", "nor this one", 4);
    unit.left_out("ping_faults", "teleport", 5);
    let mut letters = series(&ops, "till_dead_letters_total");
    letters.sort();
    let line = |reason, count| format!("till_dead_letters_total{{unit=\"trips\",reason=\"{reason}\"}} {count}");
    assert_eq!(letters, [line("bad_json", 2), line("other", 7)]);
    let faults = series(&ops, "till_ping_faults_total");
    assert_eq!(faults.len(), 8, "each reason is there before its first fix: {faults:?}");
    assert!(faults.contains(&"till_ping_faults_total{reason=\"teleport\"} 5".to_string()), "{faults:?}");
}

struct Http(SocketAddr);

impl Http {
    fn get(&self, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.0).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_string())
    }
}

#[test]
fn health_readiness_and_metrics_are_served() {
    let runtime = crate::wiring::start_runtime().unwrap();
    let ops = Ops::new(&["decode", "lake"]);
    let http = Http(serve("127.0.0.1:0".parse().unwrap(), ops.clone(), runtime.handle()).unwrap());
    assert_eq!(http.get("/healthz").0, 200);
    let (status, _, body) = http.get("/readyz");
    assert!(status == 503 && body.contains("decode") && body.contains("lake"), "{body}");

    let (mut decode, mut lake) = (ops.unit("decode"), ops.unit("lake"));
    decode.assigned(2);
    decode.caught_up(true);
    let (status, _, body) = http.get("/readyz");
    let document: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 503);
    assert_eq!(document["missing"][0]["unit"], "lake");
    assert_eq!(document["missing"][1], serde_json::Value::Null);
    lake.assigned(1);
    assert_eq!(http.get("/readyz").0, 503, "assigned and not caught up");
    lake.caught_up(true);
    assert_eq!(http.get("/readyz").0, 200);
    decode.caught_up(false);
    decode.assigned(1);
    assert_eq!(http.get("/readyz").0, 200, "new records and partitions that went make nobody unready");
    decode.assigned(2);
    assert_eq!(http.get("/readyz").0, 503, "a partition came that has not been read yet");

    let (status, head, body) = http.get("/metrics");
    assert!(status == 200 && head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("till_caught_up{unit=\"lake\"} 1"), "{body}");
    assert_eq!(http.get("/").0, 404);

    ops.ended("lake", "table payments: cannot sync");
    let (status, _, body) = http.get("/healthz");
    let document: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &document["alive"]), (503, &false.into()));
    assert_eq!(document["ended"][0]["reason"], "table payments: cannot sync");
}

#[test]
fn a_taken_address_is_refused_by_name() {
    let runtime = crate::wiring::start_runtime().unwrap();
    let bound = serve("127.0.0.1:0".parse().unwrap(), Ops::new(&[]), runtime.handle()).unwrap();
    let refused = serve(bound, Ops::new(&[]), runtime.handle()).unwrap_err();
    assert_eq!(refused.exit(), crate::failure::Exit::Usage);
    assert!(refused.to_string().contains(&bound.to_string()), "{refused}");
}

/// Every name of a metric of ours in a text. Series of a histogram are named after the histogram.
fn names_in(text: &str) -> BTreeSet<String> {
    let is_name = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let words = text.split(|sign: char| !is_name(sign)).filter(|word| word.starts_with("till_"));
    words
        .map(|word| {
            let of_histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| word.strip_suffix(end));
            of_histogram.unwrap_or(word).to_string()
        })
        .collect()
}

/// The operator's page names every metric that the program has and no others; alarms name none that it lacks. Fails if
/// a metric is renamed, added or taken away without the page.
#[test]
fn documents_and_alarms_name_the_metrics_that_there_are() {
    let ops = Ops::new(&["decode"]);
    let mut unit = ops.unit("decode");
    unit.lag(&[(partition(0), 1)]);
    let text = ops.text();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let there: BTreeSet<String> = types.filter_map(|line| line.split(' ').next()).map(str::to_string).collect();
    assert!(there.len() > 10, "{there:?}");
    assert_eq!(names_in(include_str!("../../docs/operating.md")), there);
    let alarms = include_str!("../../docs/alerts.yml");
    let alarmed = names_in(alarms);
    assert!(alarmed.is_subset(&there), "alarms about nothing: {:?}", alarmed.difference(&there));
    let explained = include_str!("../../docs/operating.md");
    let rules = alarms.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for rule in rules {
        assert!(explained.contains(&format!("| {rule} |")), "{rule} is not explained");
    }
}

/// Fixes of a device that lies on this partition of two, and one record without a device.
fn fixes(partition: Partition) -> RecordBatch {
    let devices = (0..100).map(|number| format!("device-{number}"));
    let device = devices.into_iter().find(|device| schemas::placement::of_key(device.as_bytes(), 2) == partition);
    let fix = |device: Option<&str>, second: u32| serde_json::json!({ "device_id": device, "time": format!("2026-03-02T10:00:{second:02}Z"), "lat": 1.0, "lon": 2.0 });
    let rows: Vec<_> = (0..3).map(|second| fix(device.as_deref(), second)).chain([fix(None, 3)]).collect();
    let mut decoder = arrow::json::ReaderBuilder::new(schemas::topics::pings()).build_decoder().unwrap();
    decoder.serialize(&rows).unwrap();
    decoder.flush().unwrap().unwrap()
}

/// The real driver and the real unit over a log in memory. Fails if the driver's reports do not arrive where
/// they are shown, or the readiness of a process does not follow from them.
#[test]
fn a_unit_that_runs_is_seen_from_outside() {
    let broker = Broker::default();
    for topic in ["pings", "ping_faults", "stops", "trips", "vehicles"] {
        broker.create_topic(topic, schemas::topics::by_name(topic).unwrap(), 2).unwrap();
    }
    for partition in [Partition(0), Partition(1)] {
        broker.append("pings", partition, fixes(partition)).unwrap();
    }
    let ops = Ops::new(&["trips"]);
    let state = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let run = || {
        let who = Membership {
            group: "trips".to_string(),
            instance: "one".to_string(),
            topics: vec!["pings"],
            outputs: true,
            expelled: Remedy::Abort,
        };
        let mut connect = || -> Result<Box<dyn GroupLog>, GroupError> {
            let member = MemoryMember::connect(&broker, who.clone(), Box::new(|_| Ok(())))?;
            Ok(Box::new(MeasuredLog::new(Box::new(member), &ops, "trips")))
        };
        let snapshots = |partition: Partition| -> Result<Box<dyn Snapshots>, RunnerError> {
            Ok(Box::new(SnapshotStore::open(&state.path().join(partition.to_string()), "one")?))
        };
        let spec = UnitSpec {
            topic: "pings",
            make: &|| Box::new(trips::TripsUnit::new()),
            snapshots: &snapshots,
            bundles: &crate::wiring::StateBundles::new(state.path()),
        };
        let surroundings = GroupSurroundings {
            connect: &mut connect,
            settings: &GroupSettings { snapshot_rows: 2, wait: Duration::from_millis(5), ..GroupSettings::default() },
            clock: &clock::Monotonic::default(),
            stop: &stop,
            observer: &mut ops.unit("trips"),
        };
        run_unit(spec, surroundings).map(|report| report.records)
    };
    std::thread::scope(|scope| {
        let running = scope.spawn(run);
        let mut looks = 0;
        while !ops.unready_units().is_empty() && looks < 1_000 && !running.is_finished() {
            std::thread::sleep(Duration::from_millis(10));
            looks += 1;
        }
        let text = ops.text();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(running.join().unwrap().unwrap(), 8);
        for line in [
            "till_assigned_partitions{unit=\"trips\"} 2",
            "till_caught_up{unit=\"trips\"} 1",
            "till_records_total{unit=\"trips\"} 8",
            "till_dead_letters_total{unit=\"trips\",reason=\"device_missing\"} 2",
            "till_rebuilds_total{unit=\"trips\",remedy=\"abort\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        let with = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!((with("till_snapshot_age_seconds{"), with("till_snapshot_bytes{")), (2, 2), "{text}");
        assert!(!text.contains("till_commit_seconds_count{unit=\"trips\"} 0"), "{text}");
    });
    assert_eq!(series(&ops, "till_snapshot_age_seconds").len(), 0, "what has ended reads nothing");
    assert_eq!(ops.unready_units().len(), 1);
}
