//! The traccar profile beside a second one that follows the published words sentence by sentence, slowly: it keeps
//! lists of fixes instead of places in a track, measures along chords instead of by haversines, and looks at everything
//! again for each fix. The two share nothing but their parameters and the shape of a stop.

use proptest::prelude::*;

use super::super::*;
use super::golden::tracks;

const RADIUS_M: f64 = 6_378_137.0;
const START_US: i64 = 1_772_431_200_000_000;
const US_PER_S: i64 = 1_000_000;

/// Great-circle distance from the chord between two points of the unit sphere.
fn meters(one: &Fix, other: &Fix) -> f64 {
    let place = |fix: &Fix| {
        let (lat, lon) = (fix.lat.to_radians(), fix.lon.to_radians());
        [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
    };
    let square: f64 = place(one).iter().zip(place(other)).map(|(a, b)| (a - b) * (a - b)).sum();
    2.0 * RADIUS_M * (square.sqrt() / 2.0).min(1.0).asin()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Moving,
    Stopped,
}

/// An event of the published rule: what began, and at which fix.
type Event = (State, Fix);

/// "A window of positions no longer than minDuration": those seen so far, from the last one that is at least so much
/// older than the newest of them.
fn window(seen: &[Fix], min_duration_us: i64) -> Vec<Fix> {
    let Some(newest) = seen.last() else { return Vec::new() };
    let is_old = |fix: &Fix| newest.time_us - fix.time_us >= min_duration_us;
    let first = seen.iter().rposition(is_old).unwrap_or(0);
    seen[first..].to_vec()
}

fn events(track: &[Fix], rule: &traccar::Parameters) -> Vec<Event> {
    let min_duration_us = rule.min_duration_s * US_PER_S;
    let moved_mps = rule.min_distance_m / rule.min_duration_s as f64;
    let mps = |from: &Fix, to: &Fix| meters(from, to) / ((to.time_us - from.time_us) as f64 / 1e6);
    let is_fast = |from: &Fix, to: &Fix| to.time_us > from.time_us && mps(from, to) > moved_mps;

    let mut events: Vec<Event> = Vec::new();
    let mut state = if rule.starts_moving { State::Moving } else { State::Stopped };
    let mut anchor = track[0];
    for (count, newest) in track.iter().enumerate().skip(1) {
        let window = window(&track[..count], min_duration_us);
        let last = track[count - 1];
        let is_gap = newest.time_us - last.time_us > rule.stop_gap_s * US_PER_S;
        let far_from = |fix: &Fix| meters(fix, newest) >= rule.min_distance_m;

        // "Gap longer than stopGap, with distance >= minDistance and implied speed above that ratio, emits
        // stopped+moving+stopped", the first only for a device that was moving.
        let new: Vec<Event> = if is_gap && far_from(&last) && is_fast(&last, newest) {
            let gap = [(State::Stopped, last), (State::Moving, last), (State::Stopped, *newest)];
            gap[usize::from(state == State::Stopped)..].to_vec()
        } else if state == State::Moving {
            // "If no point in the window is at least minDistance away from the newest and the window spans
            // minDuration, emit stopped."
            let spans = newest.time_us - window[0].time_us >= min_duration_us;
            let stops = spans && !window.iter().any(far_from);
            stops.then_some((State::Stopped, *newest)).into_iter().collect()
        } else if far_from(&anchor) {
            // "If the newest is at least minDistance from the stop's anchor, emit moving, then walk back while each
            // leg is faster than minDistance/minDuration to find the true start."
            let mut trip = vec![*newest];
            for fix in window.iter().rev().take_while(|fix| fix.time_us > anchor.time_us) {
                if trip.len() > 1 && !is_fast(fix, &trip[trip.len() - 1]) {
                    break;
                }
                trip.push(*fix);
            }
            vec![(State::Moving, trip[trip.len() - 1])]
        } else {
            Vec::new()
        };
        for (new_state, fix) in new {
            (state, anchor) = (new_state, fix);
            events.push((new_state, fix));
        }
    }
    events
}

/// Stops as the report lists them: from each "stopped", or the start of a track that begins so, to the next "moving" or
/// the end of the track. As (start, end, latitude, longitude).
fn stops_by_words(track: &[Fix], rule: &traccar::Parameters) -> Vec<(i64, i64, f64, f64)> {
    let Some(last) = track.last() else { return Vec::new() };
    let begin = if rule.starts_moving { State::Moving } else { State::Stopped };
    let mut all = vec![(begin, track[0])];
    all.extend(events(track, rule));
    all.push((State::Moving, *last));
    let is_stop = |pair: &&[Event]| pair[0].0 == State::Stopped;
    let stop = |pair: &[Event]| (pair[0].1.time_us, pair[1].1.time_us, pair[0].1.lat, pair[0].1.lon);
    all.windows(2).filter(is_stop).map(stop).collect()
}

fn stops(track: &[Fix], rule: &traccar::Parameters) -> Vec<(i64, i64, f64, f64)> {
    let stops = traccar::stops(track, rule);
    stops.iter().map(|stop| (stop.start_us, stop.end_us, stop.lat, stop.lon)).collect()
}

fn rule(min_distance_m: f64, min_duration_s: i64, stop_gap_s: i64, starts_moving: bool) -> traccar::Parameters {
    traccar::Parameters { min_distance_m, min_duration_s, stop_gap_s, starts_moving }
}

#[test]
fn recorded_and_simulated_tracks_have_the_stops_of_the_words() {
    let mut compared = 0;
    for (name, track) in tracks() {
        let track = in_time_order(&track);
        for (distance_m, duration_s, gap_s) in [(200.0, 180, 3_600), (30.0, 20, 60), (50.0, 60, 300), (20.0, 10, 600)] {
            for starts_moving in [false, true] {
                let rule = rule(distance_m, duration_s, gap_s, starts_moving);
                let expected = stops_by_words(&track, &rule);
                assert_eq!(stops(&track, &rule), expected, "{name}, {rule:?}");
                compared += expected.len();
            }
        }
    }
    assert!(compared > 1_000, "only {compared} stops were compared");
}

/// Legs of seconds and metres north and east: a track that stands, crawls, drives and is silent.
fn walks() -> impl Strategy<Value = Vec<Fix>> {
    let seconds = prop_oneof![6 => 0..40_i64, 1 => 150..200_i64, 1 => 3_000..9_000_i64];
    let metres = || prop_oneof![3 => -8.0..8.0_f64, 2 => -250.0..250.0_f64, 1 => -9_000.0..9_000.0_f64];
    proptest::collection::vec((seconds, metres(), metres()), 0..120).prop_map(|legs| {
        let (mut time_us, mut lat, mut lon) = (START_US, 52.6, -8.6);
        let fix = |(seconds, north_m, east_m): (i64, f64, f64)| {
            (time_us, lat, lon) = (time_us + seconds * US_PER_S, lat + north_m / 111_195.0, lon + east_m / 67_500.0);
            Fix { time_us, lat, lon, accuracy_m: None }
        };
        legs.into_iter().map(fix).collect()
    })
}

proptest! {
    /// Fails when the window is cut by its own span instead of by the fix before the newest, when the first leg of a
    /// departure must be fast, or when a stop is dated back to where the window began.
    #[test]
    fn any_track_has_the_stops_of_the_words(
        track in walks(),
        min_distance_m in 20.0..400.0_f64,
        min_duration_s in 1..400_i64,
        stop_gap_s in 100..4_000_i64,
        starts_moving: bool,
    ) {
        let rule = rule(min_distance_m, min_duration_s, stop_gap_s, starts_moving);
        prop_assert_eq!(stops(&track, &rule), stops_by_words(&track, &rule));
    }
}

/// A fix so many seconds after the start, so many metres east of the origin on the equator.
fn east(seconds: i64, metres: f64) -> Fix {
    let lon = (metres / RADIUS_M).to_degrees();
    Fix { time_us: START_US + seconds * US_PER_S, lat: 0.0, lon, accuracy_m: None }
}

fn spans(stops: &[Stop]) -> Vec<(i64, i64, usize)> {
    let seconds = |time_us| (time_us - START_US) / US_PER_S;
    stops.iter().map(|stop| (seconds(stop.start_us), seconds(stop.end_us), stop.fixes)).collect()
}

/// The trip starts where the legs become fast, not where the distance is noticed; a new stop begins only when it is
/// noticed.
#[test]
fn a_departure_is_dated_back_and_an_arrival_is_not() {
    let departure = [(0, 0.0), (60, 0.0), (120, 10.0), (180, 100.0), (240, 260.0)];
    let arrival = [(300, 900.0), (360, 900.0), (480, 905.0), (500, 905.0), (600, 910.0)];
    let track: Vec<Fix> = departure.into_iter().chain(arrival).map(|(seconds, metres)| east(seconds, metres)).collect();
    assert_eq!(spans(&traccar::stops(&track, &traccar::Parameters::default())), [(0, 120, 3), (500, 600, 2)]);
}

/// A gap that was crossed fast: the moving device leaves a stop of no length, the stopped one ends its stop there.
#[test]
fn a_long_gap_crossed_fast_is_stop_trip_and_stop() {
    let track = [east(0, 0.0), east(60, 500.0), east(7_260, 13_500.0), east(7_320, 13_500.0)];
    assert_eq!(spans(&traccar::stops(&track, &rule(200.0, 180, 3_600, true))), [(60, 60, 1), (7_260, 7_320, 2)]);
    let track = [east(0, 0.0), east(60, 50.0), east(7_260, 13_500.0), east(7_320, 13_500.0)];
    assert_eq!(spans(&traccar::stops(&track, &rule(200.0, 180, 3_600, false))), [(0, 60, 2), (7_260, 7_320, 2)]);
    // Too slow for a trip, but far away: an ordinary departure at the far end.
    let track = [east(0, 0.0), east(7_200, 250.0)];
    assert_eq!(spans(&traccar::stops(&track, &rule(200.0, 180, 3_600, false))), [(0, 7_200, 2)]);
}

#[test]
fn no_fix_has_no_stop_and_a_single_one_is_where_it_begins() {
    assert_eq!(traccar::stops(&[], &traccar::Parameters::default()), []);
    assert_eq!(spans(&traccar::stops(&[east(5, 0.0)], &traccar::Parameters::default())), [(5, 5, 1)]);
    assert_eq!(traccar::stops(&[east(5, 0.0)], &rule(200.0, 180, 3_600, true)), []);
}
