//! Stops of a published detector with the trips between them: from the end of one to the start of the next, and from
//! the start of the track to the first and from the last to the end of the track. The originals say nothing about
//! lengths here: a trip's path is the sum of its legs, with the bound of its error as our own profile has it.
//!
//! It may depend on the profiles and on the crate's own ways. It refuses to clean: no fix is left out.

use crate::line::Line;
use crate::metric::{Offset, Place, Plane, geodesic_m, leg_m};
use crate::profiles::{Profile, Stop};
use crate::segment::{Close, SPEED_US_MIN, StopEnded, TripEnded};
use crate::sighting::Sighting;
use crate::track::Fix;
use crate::units::seconds;
use crate::way::{Chord, Way};
use crate::whole::Found;

/// Stops of one device's fixes, which may come in any order, and the trips between them.
pub(crate) fn stops_and_trips(profile: &Profile, mut fixes: Vec<Fix>) -> Found {
    if !fixes.is_sorted_by_key(|fix| fix.time_us) {
        fixes.sort_by_key(|fix| fix.time_us);
    }
    let (Some(first), Some(last)) = (fixes.first(), fixes.last()) else { return Found::default() };
    let stops = profile.stops(&fixes);
    let mut found = Found::default();
    let mut from_us = first.time_us;
    for stop in &stops {
        let trip = trip(&fixes, (from_us, stop.start_us), Close::Stop);
        found.stops.push(ended(stop, trip.as_ref()));
        found.trips.extend(trip);
        from_us = from_us.max(stop.end_us);
    }
    found.trips.extend(trip(&fixes, (from_us, last.time_us), Close::End));
    found
}

/// The stop, at the end of this trip.
fn ended(stop: &Stop, trip: Option<&TripEnded>) -> StopEnded {
    StopEnded {
        revision: 1,
        start_us: stop.start_us,
        end_us: stop.end_us,
        place: Place { lat: stop.lat, lon: stop.lon },
        fixes: u32::try_from(stop.fixes).unwrap_or(u32::MAX),
        trip_us: trip.map(|trip| trip.start_us),
        hired: None,
    }
}

/// The trip between two times, if there is time between them.
fn trip(track: &[Fix], (from_us, until_us): (i64, i64), close: Close) -> Option<TripEnded> {
    let begin = track.partition_point(|fix| fix.time_us < from_us);
    let end = track.partition_point(|fix| fix.time_us <= until_us);
    let fixes = track.get(begin..end)?;
    let (first, last) = (fixes.first()?, fixes.last()?);
    if last.time_us <= first.time_us {
        return None;
    }
    let mut walk = Walk::from(first);
    fixes[1..].iter().for_each(|fix| walk.go(fix));
    let (start, end) = (place(first), place(last));
    let path_m = (walk.way.length_m, walk.way.error_m());
    Some(TripEnded {
        revision: 1,
        start_us: first.time_us,
        end_us: last.time_us,
        start,
        end,
        path_m,
        distance_m: path_m,
        line_m: geodesic_m(start, end),
        gap: None,
        inner_gap: None,
        idle_us: 0,
        stops: 0,
        fixes: u32::try_from(fixes.len()).unwrap_or(u32::MAX),
        speed_mps_max: walk.speed_mps_max,
        close,
        hired: None,
        line: walk.line.until(walk.line.len(), end),
    })
}

fn place(fix: &Fix) -> Place {
    Place { lat: fix.lat, lon: fix.lon }
}

/// The legs of a trip, summed up one by one.
struct Walk {
    last: Sighting,
    plane: Plane,
    /// The leg before.
    step: Offset,
    chord: Chord,
    way: Way,
    line: Line,
    speed_from: Sighting,
    speed_mps_max: f64,
}

impl Walk {
    fn from(first: &Fix) -> Self {
        let first = Sighting::recorded(first);
        let mut line = Line::default();
        line.begin(first.place);
        Self {
            last: first,
            plane: Plane::at(first.place),
            step: Offset::default(),
            chord: Chord::at(&first),
            way: Way::default(),
            line,
            speed_from: first,
            speed_mps_max: 0.0,
        }
    }

    fn go(&mut self, fix: &Fix) {
        let fix = Sighting::recorded(fix);
        let length_m = leg_m(self.last.place, fix.place);
        self.plane = self.plane.moved(self.last.place);
        let step = self.plane.metres(fix.place);
        let chord_m = leg_m(self.chord.from, fix.place);
        self.way.add(Way::leg((&self.last, &fix), length_m, (step, self.step), (&mut self.chord, chord_m)));
        self.line.go(fix.place, length_m);
        let points = self.line.len();
        self.line.make_room(points);
        let lasted_us = fix.time_us - self.speed_from.time_us;
        if lasted_us >= SPEED_US_MIN {
            let speed_mps = leg_m(self.speed_from.place, fix.place) / seconds(lasted_us);
            self.speed_mps_max = self.speed_mps_max.max(speed_mps);
            self.speed_from = fix;
        }
        (self.last, self.step) = (fix, step);
    }
}

#[cfg(test)]
mod tests;
