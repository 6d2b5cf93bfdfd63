//! `vehicles_current` at three moments of a day: a log that was read up to a moment says of each vehicle what the truth
//! says.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use jiff::{Span, Timestamp};
use parquet::arrow::ArrowWriter;

use super::truth::by;
use super::*;

/// The moments, UTC: couriers at noon, taxis and couriers in the evening, taxis at night.
const MOMENTS: [&str; 3] = ["2026-03-02T11:30:00Z", "2026-03-02T18:10:00Z", "2026-03-02T23:20:00Z"];
/// What the truth says must have been so for so long before it can be known: fixes wait a minute for earlier ones, a
/// standing vehicle sends one every 30 s and is one after 20 s.
const SETTLED_S: i64 = 150;
/// A vehicle is silent when nothing came for ten minutes and what may be late has had its time.
const SILENT_S: i64 = 13 * 60;
const STOP_M_MAX: f64 = 40.0;

/// The pings of a day up to a moment, in an input folder of their own.
fn input_until(demo: &Demo, moment: Timestamp, folder: &Path) {
    let pings = folder.join("pings");
    fs::create_dir_all(&pings).unwrap();
    let file = File::open(demo.input().join("pings/2026-03-02.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let (schema, until_us) = (reader.schema().clone(), moment.as_microsecond());
    let file = File::create(pings.join("2026-03-02.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), None).unwrap();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let received = batch.column_by_name("received_at").unwrap().as_primitive::<TimestampMicrosecondType>();
        let kept: BooleanArray = received.iter().map(|received_us| Some(received_us <= Some(until_us))).collect();
        writer.write(&filter_record_batch(&batch, &kept).unwrap()).unwrap();
    }
    writer.close().unwrap();
}

fn instant(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// Seconds from one moment to another.
fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.as_second() - from.as_second()
}

/// What a device truly does at a moment, with the drive or stay, where it has done so for long enough.
fn truly<'a>(drives: &'a [Value], stays: &'a [Value], moment: Timestamp) -> Option<(&'static str, &'a Value)> {
    let covers = |leg: &&Value| instant(&leg["started_at"]) <= moment && moment < instant(&leg["ended_at"]);
    let (doing, leg) = match (drives.iter().find(covers), stays.iter().find(covers)) {
        (Some(drive), None) => ("driving", drive),
        (None, Some(stay)) => ("stopped", stay),
        _ => return None,
    };
    (seconds(instant(&leg["started_at"]), moment) > SETTLED_S).then_some((doing, leg))
}

#[test]
fn vehicles_are_where_the_truth_says_at_three_moments() {
    let demo = one_day();
    let of_device = |file: &str| -> BTreeMap<String, Vec<Value>> {
        let mut legs: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for leg in demo.truth(file) {
            legs.entry(leg["device_id"].as_str().unwrap().to_string()).or_default().push(leg);
        }
        legs
    };
    let (drives, stays) = (of_device("trips.ndjson"), of_device("stops.ndjson"));
    let mut compared: BTreeMap<String, u32> = BTreeMap::new();
    for moment in MOMENTS {
        let moment: Timestamp = moment.parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (input, lake) = (folder.path().join("input"), folder.path().join("lake"));
        input_until(demo, moment, &input);
        till(&["run", "--input", text(&input), "--lake", text(&lake)]).with_exit(0);
        let vehicles = query(&lake, "SELECT * FROM vehicles_current");
        let vehicles = by(&vehicles, "device_id");
        for (device, drives) in &drives {
            let stays = &stays[device];
            let legs = || drives.iter().chain(stays);
            let first = legs().map(|leg| instant(&leg["started_at"])).min().unwrap();
            let last = legs().map(|leg| instant(&leg["ended_at"])).max().unwrap();
            let Some(vehicle) = vehicles.get(&format!("{device:?}")) else {
                assert!(seconds(first, moment) < SETTLED_S, "{device} is missing at {moment}");
                continue;
            };
            let state = vehicle["state"].as_str().unwrap();
            let age_s = vehicle["age_s"].as_f64().unwrap();
            let seen_at = instant(&vehicle["seen_at"]);
            assert!((age_s - seconds(seen_at, moment) as f64).abs() <= 60.0, "{vehicle} at {moment}");
            if seconds(last, moment) > SILENT_S {
                assert_eq!(state, "silent", "{vehicle} at {moment}");
                // His last fixes may have been lost in a tunnel.
                assert!((-60..300).contains(&seconds(seen_at, last)), "{vehicle} at {moment}");
                *compared.entry("silent".to_string()).or_default() += 1;
                continue;
            }
            let Some((doing, leg)) = truly(drives, stays, seen_at) else { continue };
            if state == "silent" {
                // A tunnel, or a phone that buffers.
                assert!(age_s > 600.0, "{vehicle} at {moment}");
                continue;
            }
            // A vehicle that waits at a light is stopped in the midst of a drive.
            let is_light = doing == "driving" && state == "stopped";
            assert!(is_light || state == doing, "{vehicle} does not do as {leg} at {moment}");
            if doing == "stopped" {
                let degrees = |name: &str| vehicle[name].as_f64().unwrap() - leg[name].as_f64().unwrap();
                let off_m = (degrees("lat") * 111_290.0).hypot(degrees("lon") * 66_330.0);
                assert!(off_m < STOP_M_MAX, "{vehicle} is {off_m:.0} m from {leg}");
            }
            if leg["hired"] == true && seconds(instant(&leg["started_at"]), seen_at) > SETTLED_S {
                assert_eq!(vehicle["hired"], true, "{vehicle} {leg}");
                let started = instant(&vehicle["trip_started_at"]);
                let truly_started = instant(&leg["started_at"]);
                assert!(started <= truly_started.checked_add(Span::new().seconds(60)).unwrap(), "{vehicle} {leg}");
            }
            *compared.entry(doing.to_string()).or_default() += u32::from(!is_light);
        }
    }
    println!("{compared:?}");
    for doing in ["driving", "stopped", "silent"] {
        assert!(compared.get(doing).is_some_and(|count| *count >= 3), "{doing}: {compared:?}");
    }
}
