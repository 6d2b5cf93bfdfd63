//! How many of the true stops of the recorded bus each profile finds, by the matching rule.

use super::super::*;
use super::golden::{read, tracks};
use crate::matching::{RADIUS_M, TrueStop, matching};

/// Radius or diameter, metres, and shortest duration, seconds.
const SETTINGS: [(f64, i64); 6] = [(20.0, 10), (30.0, 20), (30.0, 30), (50.0, 20), (50.0, 30), (50.0, 60)];

/// Found of the 36 true stops, claims, precision.
const TABLE: [&str; 18] = [
    "skmob, 20 m, 10 s: 27 found, 51 claims, 0.529",
    "movingpandas, 20 m, 10 s: 27 found, 48 claims, 0.562",
    "traccar, 20 m, 10 s: 27 found, 47 claims, 0.574",
    "skmob, 30 m, 20 s: 27 found, 40 claims, 0.675",
    "movingpandas, 30 m, 20 s: 26 found, 38 claims, 0.684",
    "traccar, 30 m, 20 s: 27 found, 38 claims, 0.711",
    "skmob, 30 m, 30 s: 22 found, 31 claims, 0.710",
    "movingpandas, 30 m, 30 s: 22 found, 31 claims, 0.710",
    "traccar, 30 m, 30 s: 21 found, 30 claims, 0.700",
    "skmob, 50 m, 20 s: 27 found, 46 claims, 0.587",
    "movingpandas, 50 m, 20 s: 28 found, 44 claims, 0.636",
    "traccar, 50 m, 20 s: 27 found, 47 claims, 0.574",
    "skmob, 50 m, 30 s: 25 found, 36 claims, 0.694",
    "movingpandas, 50 m, 30 s: 26 found, 35 claims, 0.743",
    "traccar, 50 m, 30 s: 24 found, 35 claims, 0.686",
    "skmob, 50 m, 60 s: 14 found, 15 claims, 0.933",
    "movingpandas, 50 m, 60 s: 15 found, 17 claims, 0.882",
    "traccar, 50 m, 60 s: 13 found, 16 claims, 0.812",
];

/// The three profiles with these measures, all else at its default.
fn profiles(metres: f64, seconds: i64) -> [Profile; 3] {
    let skmob = skmob::Parameters {
        radius_km: metres / 1e3,
        minutes_for_a_stop: seconds as f64 / 60.0,
        ..skmob::Parameters::default()
    };
    let movingpandas = movingpandas::Parameters { max_diameter_m: metres, min_duration_us: seconds * 1_000_000 };
    let traccar =
        traccar::Parameters { min_distance_m: metres, min_duration_s: seconds, ..traccar::Parameters::default() };
    [Profile::Skmob(skmob), Profile::MovingPandas(movingpandas), Profile::Traccar(traccar)]
}

fn true_stops() -> Vec<TrueStop> {
    let stop = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        TrueStop { lat: fields[2].parse().unwrap(), lon: fields[3].parse().unwrap(), times_us: None }
    };
    read("bus304_stops.csv").lines().skip(1).map(stop).collect()
}

/// What the default profile must beat. Fails when a profile or the matching rule changes.
#[test]
fn the_true_stops_that_each_profile_finds() {
    let (truths, tracks) = (true_stops(), tracks());
    assert_eq!(truths.len(), 36);
    let row = |metres: f64, seconds: i64, profile: &Profile| {
        let matching = matching(&truths, &profile.stops(&tracks["bus304"]), RADIUS_M);
        let (found, claims, precision) = (matching.pairs.len(), matching.claims, matching.precision().unwrap());
        format!("{}, {metres} m, {seconds} s: {found} found, {claims} claims, {precision:.3}", profile.name())
    };
    let rows = |(metres, seconds)| profiles(metres, seconds).map(|profile| row(metres, seconds, &profile));
    let table: Vec<String> = SETTINGS.into_iter().flat_map(rows).collect();
    println!("{}", table.join("\n"));
    assert_eq!(table, TABLE);
}
