use super::*;
use crate::profiles::{movingpandas, traccar};
use crate::units::{MINUTE_US, SECOND_US};

/// A fix so many metres east, at this second.
fn fix(second: i64, east_m: f64) -> Fix {
    let place = Plane::at(Place { lat: 53.0, lon: -6.0 }).place(Offset { east_m, north_m: 0.0 });
    Fix { time_us: second * SECOND_US, lat: place.lat, lon: place.lon, accuracy_m: None }
}

/// Ten minutes at 10 m/s, ten minutes at rest, ten minutes on: every ten seconds.
fn journey() -> Vec<Fix> {
    let way_m = |second: i64| (second.min(600) + (second - 1_200).max(0)) as f64 * 10.0;
    (0..=1_800).step_by(10).map(|second| fix(second, way_m(second))).collect()
}

fn spans(found: &Found) -> Vec<(i64, i64, Close)> {
    found.trips.iter().map(|trip| (trip.start_us / SECOND_US, trip.end_us / SECOND_US, trip.close)).collect()
}

/// Fails when the ways to the first stop and from the last are left out, or when a stop's fixes count to a trip.
#[test]
fn trips_are_what_lies_between_stops_and_the_ends_of_the_track() {
    let profile = Profile::MovingPandas(movingpandas::Parameters { max_diameter_m: 50.0, min_duration_us: MINUTE_US });
    let found = stops_and_trips(&profile, journey());
    assert_eq!(found.stops.len(), 1);
    let stop = &found.stops[0];
    let (from_s, until_s) = (stop.start_us / SECOND_US, stop.end_us / SECOND_US);
    assert!((590..=610).contains(&from_s) && (1_190..=1_210).contains(&until_s), "{from_s} {until_s}");
    assert_eq!(spans(&found), [(0, from_s, Close::Stop), (until_s, 1_800, Close::End)]);
    assert_eq!((stop.trip_us, found.faults.len()), (Some(0), 0));
    for trip in &found.trips {
        let true_m = (trip.end_us - trip.start_us) as f64 / SECOND_US as f64 * 10.0;
        assert!((trip.path_m.0 - true_m).abs() <= 100.0 + 1.0 && trip.path_m.1 > 0.0, "{trip:?}");
        assert!((trip.path_m.0 - trip.line_m).abs() < 0.1 && (trip.speed_mps_max - 10.0).abs() < 0.1, "{trip:?}");
        assert_eq!(trip.line.len(), 2, "a straight way");
    }
}

#[test]
fn the_path_is_the_geodesic_sum_of_the_fixes_from_stop_to_stop() {
    let profile = Profile::Traccar(traccar::Parameters::default());
    let track = journey();
    let found = stops_and_trips(&profile, track.iter().rev().copied().collect());
    assert!(found.stops.len() >= 2 && !found.trips.is_empty(), "{found:?}");
    for trip in &found.trips {
        let inside = track.iter().filter(|fix| (trip.start_us..=trip.end_us).contains(&fix.time_us));
        let places: Vec<Place> = inside.map(place).collect();
        let sum_m: f64 = places.windows(2).map(|pair| geodesic_m(pair[0], pair[1])).sum();
        assert!((trip.path_m.0 - sum_m).abs() < 0.1, "{} {sum_m}", trip.path_m.0);
        assert_eq!(trip.fixes as usize, places.len());
    }
}

#[test]
fn a_track_of_nothing_or_of_one_fix_has_no_trips() {
    let profile = Profile::MovingPandas(movingpandas::Parameters::default());
    assert_eq!(stops_and_trips(&profile, Vec::new()), Found::default());
    assert!(stops_and_trips(&profile, vec![fix(0, 0.0)]).trips.is_empty());
}
