//! Tracks that are made, with what is true about them.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::{Found, found, seconds_after};
use crate::metric::{Offset, Place, Plane, geodesic_m};
use crate::segment::{Close, Gap};
use crate::sighting::{Reason, Sighting};
use crate::track::Fix;
use crate::units::SECOND_US;
use crate::whole::whole_track;

const HOME: Place = Place { lat: 53.52, lon: -7.34 };

/// Two independent values of a normal distribution (Box and Muller).
fn normal(random: &mut ChaCha8Rng) -> (f64, f64) {
    let (radius, turn): (f64, f64) = (random.random_range(1e-12..1.0), random.random_range(0.0..std::f64::consts::TAU));
    let length = (-2.0 * radius.ln()).sqrt();
    (length * turn.cos(), length * turn.sin())
}

fn fix(second: i64, east_m: f64, north_m: f64) -> Fix {
    let Place { lat, lon } = Plane::at(HOME).place(Offset { east_m, north_m });
    Fix { time_us: seconds_after(second), lat, lon, accuracy_m: None }
}

/// A phone on a desk for 24 h, a fix every 30 s, 5 m of noise along each axis of which `kept` stays from fix to fix, and
/// an excursion of 80 m every hour that lasts so many fixes.
fn parked(seed: u64, kept: f64, excursion_fixes: i64, accuracy_m: Option<f64>) -> Vec<Fix> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let fresh = (1.0 - kept * kept).sqrt() * 5.0;
    let (mut east_m, mut north_m) = normal(&mut random);
    (east_m, north_m) = (5.0 * east_m, 5.0 * north_m);
    (0..24 * 120)
        .map(|number| {
            let (one, other) = normal(&mut random);
            (east_m, north_m) = (kept * east_m + fresh * one, kept * north_m + fresh * other);
            let out_m = if (60..60 + excursion_fixes).contains(&(number % 120)) { 80.0 } else { 0.0 };
            Fix { accuracy_m, ..fix(number * 30, east_m + out_m * 0.6, north_m + out_m * 0.8) }
        })
        .collect()
}

/// Fails when a single fix beyond the stop opens a trip, or the mean of a stop follows its newest fixes.
#[test]
fn a_parked_phone_makes_no_kilometres_and_no_trip() {
    // A correlation of 10 minutes: after 20 fixes 1/e is left.
    let correlated = (-0.05_f64).exp();
    for seed in 0..20 {
        for kept in [0.0, correlated] {
            for excursion_fixes in [1, 2, 6] {
                for accuracy_m in [None, Some(5.0)] {
                    let found = found(&parked(seed, kept, excursion_fixes, accuracy_m));
                    assert!(found.trips.is_empty(), "{seed} {kept} {excursion_fixes} {:?}", found.trips);
                    assert_eq!((found.stops.len(), found.faults.len()), (1, 0), "{seed} {kept} {excursion_fixes}");
                    let stop = &found.stops[0];
                    // The first fixes may lie too far apart.
                    assert!(stop.start_us <= seconds_after(120), "{stop:?}");
                    assert_eq!(stop.end_us, seconds_after((24 * 120 - 1) * 30));
                    assert!(geodesic_m(stop.place, HOME) < 8.0, "{:?}", stop.place);
                }
            }
        }
    }
}

/// A drive due east at 15 m/s, a fix every 10 s.
fn drive(from_second: i64, to_second: i64) -> impl Iterator<Item = Fix> {
    (from_second..=to_second).step_by(10).map(|second| fix(second, second as f64 * 15.0, 0.0))
}

#[test]
fn a_tunnel_of_an_hour_parts_two_trips_and_is_marked() {
    // 600 s and 600 s of driving, and between them 60 km in an hour.
    let exit = |second: i64| fix(second + 4_200, 69_000.0 + second as f64 * 15.0, 0.0);
    let after: Vec<Fix> = (0..=600).step_by(10).map(exit).collect();
    let before: Vec<Fix> = drive(0, 600).collect();
    let (entry, first) = (before[before.len() - 1], after[0]);
    let track: Vec<Fix> = before.into_iter().chain(after).collect();
    let Found { trips, faults, .. } = found(&track);
    assert!(faults.is_empty());
    let [one, other] = trips.as_slice() else { panic!("{trips:?}") };
    assert_eq!((one.close, other.close, one.gap), (Close::Gap, Close::End, None));
    assert_eq!((one.end_us, other.start_us), (seconds_after(600), seconds_after(4_200)));
    let Gap { lasted_us, way_m } = other.gap.unwrap();
    let place = |fix: Fix| Place { lat: fix.lat, lon: fix.lon };
    assert_eq!(lasted_us, 3_600 * SECOND_US);
    assert!((way_m - geodesic_m(place(entry), place(first))).abs() < 1e-6 && (way_m - 60_000.0).abs() < 100.0);
    for trip in [one, other] {
        assert!((trip.path_m.0 - 9_000.0).abs() < 10.0 && (trip.distance_m.0 - 9_000.0).abs() < 10.0, "{trip:?}");
    }
}

#[test]
fn a_gap_near_by_opens_no_trip_and_parking_in_it_is_a_stop() {
    let night = |second: i64| fix(second + 40_000, 9_000.0 + second as f64 * 15.0, 10.0);
    let track: Vec<Fix> = drive(0, 600).chain((0..=600).step_by(10).map(night)).collect();
    let found = found(&track);
    assert_eq!(found.trips.len(), 2);
    assert_eq!((found.trips[0].end_us, found.trips[0].close), (seconds_after(600), Close::Gap));
    assert_eq!((found.trips[1].start_us, found.trips[1].gap), (seconds_after(40_000), None));
    let [stop] = found.stops.as_slice() else { panic!("{:?}", found.stops) };
    assert_eq!((stop.start_us, stop.end_us), (seconds_after(600), seconds_after(40_000)));
    assert_eq!(stop.trip_us, Some(found.trips[0].start_us));
}

#[test]
fn a_false_first_fix_is_left_out_by_the_third_good_one() {
    let track: Vec<Fix> = std::iter::once(fix(-10, 300_000.0, 0.0)).chain(drive(0, 20)).collect();
    let found_early = found(&track);
    assert_eq!(found_early.faults.len(), 1);
    assert_eq!((found_early.faults[0].0.time_us, found_early.faults[0].1), (seconds_after(-10), Reason::Teleport));
    let hour: Vec<Fix> = std::iter::once(fix(-10, 300_000.0, 0.0)).chain(drive(0, 3_600)).collect();
    let found = found(&hour);
    assert_eq!(found.faults.len(), 1);
    assert!((found.trips[0].path_m.0 - 54_000.0).abs() < 60.0, "{:?}", found.trips);
}

#[test]
fn a_jump_there_and_back_is_left_out_and_a_corner_stays() {
    for (metres, is_jump) in [(300.0, true), (1_500.0, true), (60.0, false)] {
        let mut track: Vec<Fix> = drive(0, 300).collect();
        track[12] = fix(120, 120.0 * 15.0, metres);
        let found = found(&track);
        assert_eq!(found.faults.len(), usize::from(is_jump), "{metres} {:?}", found.faults);
    }
    let corner = |second: i64| {
        let way_m = second as f64 * 20.0;
        fix(second, way_m.min(2_000.0), (way_m - 2_000.0).max(0.0))
    };
    assert!(found(&(0..300).step_by(10).map(corner).collect::<Vec<_>>()).faults.is_empty());
}

/// A track that goes on somewhere else for good is followed after three fixes.
#[test]
fn a_track_that_goes_on_elsewhere_is_followed() {
    let elsewhere = (610..=1_200).step_by(10).map(|second| fix(second, 200_000.0 - second as f64 * 15.0, 0.0));
    let found = found(&drive(0, 600).chain(elsewhere).collect::<Vec<_>>());
    assert!(found.faults.is_empty(), "{:?}", found.faults);
    assert_eq!(found.trips.iter().map(|trip| trip.close).collect::<Vec<_>>(), [Close::Jump, Close::End]);
    assert!(found.trips[1].gap.unwrap().way_m > 180_000.0);
}

fn taxi(fix: Fix, hired: bool) -> Sighting {
    Sighting { hired: Some(hired), ..Sighting::recorded(&fix) }
}

#[test]
fn a_taxi_has_hired_and_free_trips_and_a_gap_does_not_cut_a_ride() {
    let way = |second: i64| match second {
        0..600 => second,
        600..700 => 600,
        _ => second - 100,
    };
    let at = |second: i64| fix(second, way(second) as f64 * 15.0, 0.0);
    let hired = |second: i64| (700..3_000).contains(&second);
    // Free, at a door, hired through a tunnel of 15 min, free and parked.
    let seconds = (0..1_000).chain(1_900..3_000).step_by(10);
    let parked =
        (3_000..4_000).step_by(10).map(|second| taxi(Fix { time_us: seconds_after(second), ..at(3_000) }, false));
    let found = whole_track(seconds.map(|second| taxi(at(second), hired(second))).chain(parked));
    let kinds: Vec<_> = found.trips.iter().map(|trip| (trip.hired, trip.close)).collect();
    assert_eq!(kinds, [(Some(false), Close::Hired), (Some(true), Close::Hired)]);
    let ride = &found.trips[1];
    assert_eq!((ride.start_us, ride.end_us), (seconds_after(700), seconds_after(3_000)));
    assert_eq!(ride.inner_gap.unwrap().lasted_us, 910 * SECOND_US);
    assert!((ride.path_m.0 + ride.inner_gap.unwrap().way_m - 2_300.0 * 15.0).abs() < 40.0, "{ride:?}");
    assert!(found.trips[0].idle_us >= 90 * SECOND_US);
}

/// A courier stands for four minutes and goes on at an angle. Fails when the way out is taken for the way in, or the sums
/// of the second trip hold something of the first.
#[test]
fn a_visit_ends_a_trip_where_the_vehicle_turns() {
    for (turn_deg, is_visit) in [(0.0_f64, false), (40.0, false), (90.0, true), (180.0, true), (-90.0, true)] {
        let (sin, cos) = turn_deg.to_radians().sin_cos();
        let at = |second: i64| {
            let (there_m, back_m) = (second.min(300) as f64 * 10.0, (second - 540).max(0) as f64 * 10.0);
            fix(second, there_m + back_m * cos, back_m * sin)
        };
        let found = found(&(0..=900).step_by(10).map(at).collect::<Vec<_>>());
        let spans: Vec<_> = found.trips.iter().map(|trip| (trip.start_us, trip.end_us, trip.close)).collect();
        let (begin, end) = (seconds_after(0), seconds_after(900));
        let halves = [(begin, seconds_after(300), Close::Stop), (seconds_after(540), end, Close::End)];
        assert_eq!(spans, if is_visit { halves.to_vec() } else { vec![(begin, end, Close::End)] }, "{turn_deg}");
        for trip in &found.trips {
            let true_m = if is_visit { trip.fixes as f64 * 100.0 - 100.0 } else { 6_600.0 };
            assert!((trip.path_m.0 - true_m).abs() < 10.0, "{turn_deg} {trip:?}");
        }
        assert_eq!(found.stops.len(), 1);
    }
}

/// The true length lies within the error, and the error says something.
#[test]
fn the_error_bound_holds_on_noisy_tracks() {
    for seed in 0..30 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let every_s = [1, 5, 10, 30][usize::try_from(seed % 4).unwrap()];
        // Blocks with corners, 10 m/s: where there are several corners between two fixes, nobody can tell.
        let block_s = if every_s > 10 { 100 } else { 20 };
        let track: Vec<Fix> = (0..2_000)
            .step_by(every_s)
            .map(|second| {
                let (one, other) = normal(&mut random);
                let (block, rest_m) = (second / block_s, f64::from(second % block_s) * 10.0);
                let (east, north) = (block / 2 + block % 2, block / 2);
                let block_m = f64::from(block_s) * 10.0;
                let (east_m, north_m) = (f64::from(east) * block_m, f64::from(north) * block_m);
                let (east_m, north_m) =
                    if block % 2 == 0 { (east_m + rest_m, north_m) } else { (east_m, north_m + rest_m) };
                let noisy = fix(i64::from(second), east_m + 4.0 * one, north_m + 4.0 * other);
                Fix { accuracy_m: Some(6.0), ..noisy }
            })
            .collect();
        let found = found(&track);
        let trip = &found.trips[0];
        let true_m = (trip.end_us - trip.start_us) as f64 / 1e6 * 10.0;
        let (path_m, error_m) = trip.path_m;
        assert!((path_m - true_m).abs() <= error_m, "{every_s} {path_m} {true_m} {error_m}");
        assert!(error_m < 0.5 * path_m.max(true_m), "{every_s} {path_m} {true_m} {error_m}");
    }
}
