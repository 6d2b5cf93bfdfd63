//! The promises about recorded and made tracks.

mod made;

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::metric::{Place, geodesic_m};
use crate::track::Fix;
use crate::units::SECOND_US;

fn data(name: &str) -> String {
    std::fs::read_to_string(Path::new(DATA).join(name)).unwrap()
}

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data");

/// Microseconds of `2019-02-18T07:45:50Z`.
fn time_us(text: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| -> i64 { text[range].parse().unwrap() };
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days since 1970 by counting years from March (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year - 719_468;
    (days * 86_400 + number(11..13) * 3_600 + number(14..16) * 60 + number(17..19)) * SECOND_US
}

/// A second of a made track.
fn seconds_after(second: i64) -> i64 {
    (1_772_409_600 + second) * SECOND_US
}

/// Fixes of a recording by device, each with the last column.
fn recording(name: &str) -> BTreeMap<String, Vec<(Fix, String)>> {
    let mut tracks: BTreeMap<String, Vec<(Fix, String)>> = BTreeMap::new();
    for line in data(name).lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |index: usize| fields[index].parse().unwrap();
        let fix = Fix { time_us: time_us(fields[1]), lat: number(2), lon: number(3), accuracy_m: None };
        tracks.entry(fields[0].to_string()).or_default().push((fix, fields.last().unwrap().to_string()));
    }
    tracks
}

fn found(fixes: &[Fix]) -> Found {
    whole_track(fixes.iter().map(Sighting::recorded))
}

fn bus_304() -> Vec<Fix> {
    recording("bus304_pings.csv").remove("bus304").unwrap().into_iter().map(|(fix, _)| fix).collect()
}

/// Pairs of a find and a true place, one to one, nearest first, within 40 m.
fn matched(finds: &[Place], truth: &[Place]) -> Vec<(usize, usize)> {
    let all = |(find, place): (usize, &Place)| -> Vec<(f64, usize, usize)> {
        truth.iter().enumerate().map(|(number, other)| (geodesic_m(*place, *other), find, number)).collect()
    };
    let mut pairs: Vec<_> = finds.iter().enumerate().flat_map(all).filter(|(way_m, ..)| *way_m <= 40.0).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut kept: Vec<(usize, usize)> = Vec::new();
    for (_, find, number) in pairs {
        if kept.iter().all(|(other_find, other)| *other_find != find && *other != number) {
            kept.push((find, number));
        }
    }
    kept
}

/// The bus halted at 27 or 28 of its 36 stops; 27 found of 31 finds are what the profile does today.
#[test]
fn the_stops_of_bus_304_are_found() {
    let stops = data("bus304_stops.csv");
    let truth = stops.lines().skip(1).map(|line| {
        let mut fields = line.rsplit(',').map(|field| field.parse().unwrap());
        let (lon, lat) = (fields.next().unwrap(), fields.next().unwrap());
        Place { lat, lon }
    });
    let truth: Vec<Place> = truth.collect();
    assert_eq!(truth.len(), 36);
    let finds: Vec<Place> = found(&bus_304()).stops.iter().map(|stop| stop.place).collect();
    let hits = matched(&finds, &truth).len();
    println!("bus 304: {hits} of 36 stops, {} finds", finds.len());
    assert!(hits >= 27 && hits as f64 / finds.len() as f64 >= 0.87, "{hits} of {}", finds.len());
}

#[test]
fn the_path_of_bus_304_is_the_geodesic_sum() {
    let fixes = bus_304();
    let found = found(&fixes);
    assert!(found.faults.is_empty(), "{:?}", found.faults);
    let [trip] = found.trips.as_slice() else { panic!("one trip, not {}", found.trips.len()) };
    let place = |fix: &Fix| Place { lat: fix.lat, lon: fix.lon };
    let sum_m: f64 = fixes.windows(2).map(|pair| geodesic_m(place(&pair[0]), place(&pair[1]))).sum();
    println!("path {} sum {sum_m} distance {:?} points {}", trip.path_m.0, trip.distance_m, trip.line.len());
    assert!((trip.path_m.0 - sum_m).abs() < 0.1, "{} {sum_m}", trip.path_m.0);
    assert_eq!((trip.start_us, trip.end_us), (fixes[0].time_us, fixes[fixes.len() - 1].time_us));
    assert!(trip.distance_m.0 < trip.path_m.0 && trip.distance_m.0 > 0.8 * trip.path_m.0);
    assert!(trip.line.len() < 400);
}

#[test]
fn the_sixteen_trips_of_liverpool_are_recovered() {
    let mut recovered = 0;
    for (device, track) in recording("liverpool14_pings.csv") {
        let fixes: Vec<Fix> = track.iter().map(|(fix, _)| *fix).collect();
        let found = found(&fixes);
        let mut truth: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (index, (_, trip)) in track.iter().enumerate() {
            truth.entry(trip).or_insert((index, index)).1 = index;
        }
        assert_eq!(found.trips.len(), truth.len(), "{device}: {:?}", found.trips);
        let index = |time_us: i64| fixes.partition_point(|fix| fix.time_us < time_us);
        for (first, last) in truth.into_values() {
            let is_it =
                |trip: &&TripEnded| index(trip.start_us).abs_diff(first) <= 2 && index(trip.end_us).abs_diff(last) <= 2;
            recovered += found.trips.iter().filter(is_it).count();
        }
    }
    assert_eq!(recovered, 16);
}
