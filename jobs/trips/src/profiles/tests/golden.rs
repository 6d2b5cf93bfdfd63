//! The profiles beside the stops that the libraries themselves gave, from the files in tests/data/trips. How these were
//! made stands in tests/python/trips_golden.py.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use geo::{Coord, Distance, Geodesic, Point};
use serde_json::Value;

use super::super::*;

/// How far a place may be from the library's, degrees.
const PLACE_TOLERANCE_DEG: f64 = 1e-6;
/// How far a diagonal may be from the library's, metres: two ways to compute one geodesic.
const DIAGONAL_TOLERANCE_M: f64 = 1e-6;
const US_PER_MINUTE: i64 = 60_000_000;

pub(super) fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every recorded and simulated track by name.
pub(super) fn tracks() -> BTreeMap<String, Vec<Fix>> {
    let mut tracks: BTreeMap<String, Vec<Fix>> = BTreeMap::new();
    let mut add = |track: String, time_us: i64, lat: &str, lon: &str| {
        let fix = Fix { time_us, lat: lat.parse().unwrap(), lon: lon.parse().unwrap(), accuracy_m: None };
        tracks.entry(track).or_default().push(fix);
    };
    for recording in ["bus304", "liverpool14"] {
        for line in read(&format!("{recording}_pings.csv")).lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let device = if recording == "bus304" { recording } else { &format!("{recording}/{}", fields[0]) };
            add(device.to_string(), time_us(fields[1]), fields[2], fields[3]);
        }
    }
    for line in read("trips/tracks.csv").lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        add(fields[0].to_string(), fields[1].parse().unwrap(), fields[2], fields[3]);
    }
    tracks
}

/// A time of the recordings, all of which are whole seconds of UTC.
fn time_us(text: &str) -> i64 {
    let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let (year, month, day) = (part(0..4), part(5..7), part(8..10));
    // Days from 1970 in the calendar whose year begins in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let minutes = (days * 24 + part(11..13)) * 60 + part(14..16);
    minutes * US_PER_MINUTE + part(17..19) * 1_000_000
}

/// The cases of a golden file.
fn cases(name: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(&read(&format!("trips/{name}.json"))).unwrap();
    file["cases"].as_array().unwrap().clone()
}

/// A parameter, or nothing where the case leaves it to the default.
fn number(case: &Value, name: &str) -> Option<f64> {
    case["parameters"].get(name).map(|value| value.as_f64().unwrap())
}

/// What differs between the stops of a profile and those of a case.
fn difference(case: &Value, stops: &[Stop]) -> Option<String> {
    let golden: Vec<Vec<f64>> = serde_json::from_value(case["stops"].clone()).unwrap();
    let is_same = |stop: &Stop, expected: &Vec<f64>| {
        let [start_us, end_us, lat, lon] = expected[..] else { panic!("{case}: a stop has four numbers") };
        (stop.start_us, stop.end_us) == (start_us as i64, end_us as i64)
            && (stop.lat - lat).abs() <= PLACE_TOLERANCE_DEG
            && (stop.lon - lon).abs() <= PLACE_TOLERANCE_DEG
    };
    let is_equal = golden.len() == stops.len() && stops.iter().zip(&golden).all(|(stop, it)| is_same(stop, it));
    let first = stops.iter().zip(&golden).find(|(stop, expected)| !is_same(stop, expected));
    let what =
        || format!("{} {}: {} stops, not {}; {first:?}", case["track"], case["parameters"], stops.len(), golden.len());
    (!is_equal).then(what)
}

/// Compares every case of a file and gives how many stops were equal.
fn compare(name: &str, profile: impl Fn(&Value) -> Profile) -> usize {
    let tracks = tracks();
    let cases = cases(name);
    let of = |case: &Value| profile(case).stops(&tracks[case["track"].as_str().unwrap()]);
    let differences: Vec<String> = cases.iter().filter_map(|case| difference(case, &of(case))).collect();
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), cases.len(), differences.join("\n"));
    let covered = |track: &String| cases.iter().any(|case| case["track"] == **track);
    assert!(tracks.keys().all(covered), "a track has no case in {name}");
    cases.iter().map(|case| case["stops"].as_array().unwrap().len()).sum()
}

/// Speed, fixes and ratio of the loops that a case filters out.
fn loops(given: &Value) -> skmob::Loops {
    let (speed_kmh, max_loop, ratio_max) = serde_json::from_value(given.clone()).unwrap();
    skmob::Loops { speed_kmh, max_loop, ratio_max }
}

/// Fails when a comparison with "more than" becomes "at least" (tracks `tie_radius`, `tie_time`), when the last fix
/// counts for the place, or when a new ball does not begin at the fix that left the old one.
#[test]
fn stay_locations_are_those_of_scikit_mobility() {
    let equal = compare("skmob", |case| {
        let default = skmob::Parameters::default();
        Profile::Skmob(skmob::Parameters {
            filter: number(case, "filter_max_speed_kmh").map(|max_speed_kmh| {
                let given = case["parameters"].get("filter_loops");
                skmob::Filter { max_speed_kmh, loops: given.map(loops) }
            }),
            compress_radius_km: number(case, "compress_radius_km"),
            radius_km: number(case, "radius_km").unwrap_or(default.radius_km),
            minutes_for_a_stop: number(case, "minutes_for_a_stop").unwrap_or(default.minutes_for_a_stop),
            no_data_for_minutes: number(case, "no_data_for_minutes").unwrap_or(default.no_data_for_minutes),
            min_speed_kmh: number(case, "min_speed_kmh"),
        })
    });
    assert!(equal > 1_000, "only {equal} stops were compared");
}

/// Fails when the other diagonal is measured, when the rectangle of the last instead of the first of equal areas is
/// taken, or when a window is cut at once after a stop that was too short.
#[test]
fn stops_are_those_of_movingpandas() {
    let equal = compare("movingpandas", |case| {
        let max_diameter_m = number(case, "max_diameter_m").unwrap();
        let min_duration_us = number(case, "min_duration_s").unwrap() as i64 * 1_000_000;
        Profile::MovingPandas(movingpandas::Parameters { max_diameter_m, min_duration_us })
    });
    assert!(equal > 1_000, "only {equal} stops were compared");
}

#[test]
fn diagonals_are_those_that_movingpandas_measures() {
    let cases = cases("rectangles");
    assert!(cases.len() > 200, "only {} sets of places", cases.len());
    for case in cases {
        let places: Vec<(f64, f64)> = serde_json::from_value(case["places"].clone()).unwrap();
        let points: Vec<Coord> = places.iter().map(|(lat, lon)| Coord { x: *lon, y: *lat }).collect();
        let (from, to) = rectangle::diagonal(&movingpandas::convex_hull(points));
        let (measured, expected) = (Geodesic.distance(Point(from), Point(to)), case["diagonal_m"].as_f64().unwrap());
        assert!((measured - expected).abs() < DIAGONAL_TOLERANCE_M, "{measured} m: {case}");
    }
}
