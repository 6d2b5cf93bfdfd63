//! `till trips`: a file of pings in, stops and trips out, in tables, files and a picture.

mod bad;
mod files;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use trips::profiles::Profile;
use trips::track::Fix;
use trips::{Place, Sighting, geodesic_m, whole_track};

use crate::support::{Ended, recorded, text, till};

const BUS: &str = "bus304_pings.csv";
const LIVERPOOL: &str = "liverpool14_pings.csv";
const US_PER_S: i64 = 1_000_000;

/// `till trips` over a recording with further arguments.
fn trips_of(name: &str, more: &[&str]) -> Ended {
    let pings = recorded(name);
    till(&[&["trips", "--pings", text(&pings)], more].concat())
}

/// Device and fix of each line of a recording.
fn fixes(name: &str) -> Vec<(String, Fix)> {
    let content = fs::read_to_string(recorded(name)).unwrap();
    let fix = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let time_us = fields[1].parse::<Timestamp>().unwrap().as_microsecond();
        let fix = Fix { time_us, lat: fields[2].parse().unwrap(), lon: fields[3].parse().unwrap(), accuracy_m: None };
        (fields[0].to_string(), fix)
    };
    content.lines().skip(1).map(fix).collect()
}

fn time_us(value: &Value) -> i64 {
    value.as_str().unwrap().parse::<Timestamp>().unwrap().as_microsecond()
}

fn list<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    document[name].as_array().unwrap()
}

/// Fails when the command cleans, orders or sums up otherwise than the crate whose tests hold the promises.
#[test]
fn the_bus_has_one_trip_as_long_as_its_geodesic_sum_and_its_stops() {
    let document = trips_of(BUS, &["--json"]).with_exit(0).json();
    let track: Vec<Fix> = fixes(BUS).into_iter().map(|(_, fix)| fix).collect();
    assert_eq!(
        (&document["fixes"], &document["devices"], &document["rows"]),
        (&json!(2_144), &json!(1), &json!(2_144))
    );
    let [trip] = list(&document, "trips") else { panic!("one trip: {document}") };
    let place = |fix: &Fix| Place { lat: fix.lat, lon: fix.lon };
    let sum_m: f64 = track.windows(2).map(|pair| geodesic_m(place(&pair[0]), place(&pair[1]))).sum();
    assert!((trip["path_m"].as_f64().unwrap() - sum_m).abs() < 0.1, "{trip} {sum_m}");
    assert_eq!((time_us(&trip["started_at"]), time_us(&trip["ended_at"])), (track[0].time_us, track[2_143].time_us));
    assert_eq!(trip["close_reason"], "end");

    let found = whole_track(track.iter().map(Sighting::recorded));
    let stops = list(&document, "stops");
    assert_eq!(stops.len(), found.stops.len());
    for (shown, stop) in stops.iter().zip(&found.stops) {
        assert_eq!((time_us(&shown["started_at"]), time_us(&shown["ended_at"])), (stop.start_us, stop.end_us));
        assert_eq!(shown["trip_id"], trip["trip_id"]);
    }
    let truth = fs::read_to_string(recorded("bus304_stops.csv")).unwrap();
    let near = truth.lines().skip(1).filter(|line| {
        let fields: Vec<f64> = line.rsplit(',').take(2).map(|field| field.parse().unwrap()).collect();
        let there = Place { lat: fields[1], lon: fields[0] };
        let is_near = |stop: &Value| {
            geodesic_m(there, Place { lat: stop["lat"].as_f64().unwrap(), lon: stop["lon"].as_f64().unwrap() }) <= 40.0
        };
        stops.iter().any(is_near)
    });
    assert!(near.count() >= 27, "27 of the 36 true stops");
    assert_eq!((&document["faults"], &document["bad_rows"]), (&json!({}), &json!({})));
}

#[test]
fn the_sixteen_trips_of_liverpool_are_there() {
    let document = trips_of(LIVERPOOL, &["--json"]).with_exit(0).json();
    assert_eq!((list(&document, "trips").len(), &document["devices"]), (16, &json!(8)));
    let durations: u64 = list(&document, "durations").iter().map(|bin| bin["trips"].as_u64().unwrap()).sum();
    assert_eq!(durations, 16);
}

/// A GPX file of a recording: a track a device, cut into segments of 100 points.
fn gpx(name: &str) -> String {
    let mut content = String::from("<?xml version=\"1.0\"?>\n<gpx version=\"1.1\" creator=\"test\">\n");
    let fixes = fixes(name);
    let mut devices: Vec<&String> = fixes.iter().map(|(device, _)| device).collect();
    devices.dedup();
    for device in devices {
        content += &format!("<trk><name>{device}</name>\n");
        let track: Vec<&Fix> = fixes.iter().filter(|(other, _)| other == device).map(|(_, fix)| fix).collect();
        for segment in track.chunks(100) {
            content += "<trkseg>\n";
            for fix in segment {
                let time = Timestamp::from_microsecond(fix.time_us).unwrap();
                content += &format!("<trkpt lat=\"{}\" lon=\"{}\"><time>{time}</time></trkpt>\n", fix.lat, fix.lon);
            }
            content += "</trkseg>\n";
        }
        content += "</trk>\n";
    }
    content + "</gpx>\n"
}

/// A Parquet file of a recording under other spellings of its columns, its times in a zone.
fn write_parquet(name: &str, path: &Path) {
    let fixes = fixes(name);
    let times: TimestampMicrosecondArray = fixes.iter().map(|(_, fix)| Some(fix.time_us)).collect();
    let rows = RecordBatch::try_from_iter([
        ("Longitude", Arc::new(fixes.iter().map(|(_, fix)| Some(fix.lon)).collect::<Float64Array>()) as _),
        ("Latitude", Arc::new(fixes.iter().map(|(_, fix)| Some(fix.lat)).collect::<Float64Array>()) as _),
        ("event_time", Arc::new(times.with_timezone("Europe/Dublin")) as _),
        ("vehicle_id", Arc::new(fixes.iter().map(|(device, _)| Some(device.as_str())).collect::<StringArray>()) as _),
    ])
    .unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
}

/// Fails when a format loses digits, the order, or what belongs to which device.
#[test]
fn gpx_and_parquet_say_the_same_as_csv() {
    let folder = tempfile::tempdir().unwrap();
    for name in [BUS, LIVERPOOL] {
        let (gpx_file, parquet_file) = (folder.path().join("track.GPX"), folder.path().join("track.parquet"));
        fs::write(&gpx_file, gpx(name)).unwrap();
        write_parquet(name, &parquet_file);
        let found = |pings: &Path| {
            let mut document = till(&["trips", "--pings", text(pings), "--json"]).with_exit(0).json();
            document["pings"] = Value::Null;
            document
        };
        let of_csv = found(&recorded(name));
        assert!(!list(&of_csv, "stops").is_empty());
        for path in [&gpx_file, &parquet_file] {
            assert!(found(path) == of_csv, "{}: not what CSV says", path.display());
        }
    }
}

/// Stops of a published profile with these arguments.
fn stops_of(name: &str, more: &[&str]) -> Vec<(i64, i64, f64, f64)> {
    let document = trips_of(name, &[more, &["--json"]].concat()).with_exit(0).json();
    let stop = |stop: &Value| {
        let place = (stop["lat"].as_f64().unwrap(), stop["lon"].as_f64().unwrap());
        (time_us(&stop["started_at"]), time_us(&stop["ended_at"]), place.0, place.1)
    };
    list(&document, "stops").iter().map(stop).collect()
}

/// A case of a golden file over the bus whose parameters are exactly these.
fn golden(file: &str, parameters: &Value) -> Vec<(i64, i64, f64, f64)> {
    let content: Value =
        serde_json::from_str(&fs::read_to_string(recorded(&format!("trips/{file}.json"))).unwrap()).unwrap();
    let is_it = |case: &&Value| case["track"] == "bus304" && case["parameters"] == *parameters;
    let case = list(&content, "cases").iter().find(is_it).unwrap_or_else(|| panic!("no case {parameters}"));
    let number = |stop: &Value, index: usize| stop[index].as_f64().unwrap();
    let stop = |stop: &Value| (number(stop, 0) as i64, number(stop, 1) as i64, number(stop, 2), number(stop, 3));
    list(case, "stops").iter().map(stop).collect()
}

#[track_caller]
fn assert_same_stops(found: &[(i64, i64, f64, f64)], expected: &[(i64, i64, f64, f64)]) {
    assert!(!expected.is_empty() && found.len() == expected.len(), "{found:?} {expected:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!((found.0, found.1), (expected.0, expected.1));
        assert!((found.2 - expected.2).abs() < 1e-6 && (found.3 - expected.3).abs() < 1e-6, "{found:?} {expected:?}");
    }
}

/// Fails when a flag does not reach its parameter, or in another unit.
#[test]
fn published_profiles_find_the_stops_of_their_originals() {
    let found = stops_of(BUS, &["--profile", "movingpandas", "--diameter-m", "30", "--min-duration-s", "60"]);
    assert_same_stops(&found, &golden("movingpandas", &json!({ "max_diameter_m": 30.0, "min_duration_s": 60 })));
    let found = stops_of(BUS, &["--profile", "scikit-mobility", "--radius-m", "50", "--min-duration-s", "60"]);
    assert_same_stops(&found, &golden("skmob", &json!({ "radius_km": 0.05, "minutes_for_a_stop": 1.0 })));
    // Traccar's results come from the detector that the crate's own tests hold against another implementation.
    let track: Vec<Fix> = fixes(BUS).into_iter().map(|(_, fix)| fix).collect();
    let stops = "traccar".parse::<Profile>().unwrap().stops(&track);
    let expected: Vec<_> = stops.iter().map(|stop| (stop.start_us, stop.end_us, stop.lat, stop.lon)).collect();
    assert_same_stops(&stops_of(BUS, &["--profile", "traccar"]), &expected);
}

/// Between two stops lies a trip, and nothing of the track is lost.
#[test]
fn trips_of_a_published_profile_lie_between_its_stops() {
    let arguments = ["--profile", "movingpandas", "--diameter-m", "30", "--min-duration-s", "20", "--json"];
    let document = trips_of(BUS, &arguments).with_exit(0).json();
    assert_eq!(document["parameters"], json!({ "diameter_m": 30.0, "min_duration_s": 20 }));
    let (trips, stops) = (list(&document, "trips"), list(&document, "stops"));
    let span = |value: &Value| (time_us(&value["started_at"]), time_us(&value["ended_at"]));
    let mut parts: Vec<(i64, i64)> = trips.iter().chain(stops).map(span).collect();
    parts.sort_unstable();
    assert!(trips.len() > 10 && stops.len() > 10);
    for pair in parts.windows(2) {
        let pause_s = (pair[1].0 - pair[0].1) / US_PER_S;
        assert!((0..=20).contains(&pause_s), "{pair:?}: one follows the other");
    }
    let ends: Vec<&str> = trips.iter().map(|trip| trip["close_reason"].as_str().unwrap()).collect();
    assert!(ends[..ends.len() - 1].iter().all(|end| *end == "stop"), "{ends:?}");
}

#[test]
fn the_tables_are_for_people() {
    insta::assert_snapshot!("trips_of_a_bus", trips_of(BUS, &[]).with_exit(0).stdout);
    insta::assert_snapshot!("trips_of_eight_buses", trips_of(LIVERPOOL, &[]).with_exit(0).stdout);
    let published = trips_of(LIVERPOOL, &["--profile", "traccar", "--radius-m", "100"]).with_exit(0);
    insta::assert_snapshot!("trips_by_a_published_profile", published.stdout);
}
