//! From the kept fixes of one device to its stops and trips: our own profile, fix by fix.
//!
//! A trip lies between two standings of [`PARKED_US`], or of [`VISIT_US`] at which the vehicle turns; other stops lie
//! within it. It also ends with a gap, where a taxi becomes hired or free, and where the track goes on somewhere else. It
//! begins with the last fix of the stop that it leaves, or with the first fix of a track, and counts once it has left its
//! beginning. Silence writes what is open as it stands; fixes that come after all revise it. It may depend on the crate's
//! sums and profile; it refuses clocks.

use serde::{Deserialize, Serialize};

use crate::clean::GAP_US;
use crate::heading::Trail;
use crate::line::Line;
use crate::metric::{Offset, Place, leg_m};
use crate::profile::{DEPART_FIXES, DEPART_M, GAP_TRIP_M, PARKED_US, VISIT_M_MIN, VISIT_US};
use crate::sighting::Sighting;
use crate::standing::{Away, Dwell, Stop};
use crate::units::{SECOND_US, seconds};
use crate::way::{Chord, Sums, Way};

mod rows;

pub use rows::{Close, Event, Gap, StopEnded, TripEnded};

/// Shortest time over which a speed is measured from positions: below it their error is most of it.
pub(crate) const SPEED_US_MIN: i64 = 5 * SECOND_US;

/// A trip that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Trip {
    start_us: i64,
    start: Place,
    gap: Option<Gap>,
    hired: Option<bool>,
    /// Rows written about it.
    revision: u32,
}

/// What a vehicle does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doing {
    /// On a trip and not standing.
    Driving,
    /// Standing, on a trip or not.
    Stopped,
    /// Nothing was heard for longer than a gap.
    Silent,
}

/// Where a speed is measured from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct SpeedFrom {
    time_us: i64,
    place: Place,
}

/// One device's stops and trips as far as they are known.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Segmenter {
    last: Option<Sighting>,
    /// The leg to the last fix.
    step: Offset,
    chord: Option<Chord>,
    /// Where the vehicle came from, up to its stop.
    trail: Trail,
    dwell: Option<Dwell>,
    stop: Option<Stop>,
    trip: Option<Trip>,
    /// Since the trip began or, without one, since the stop's last fix.
    sums: Sums,
    line: Line,
    hired: Option<bool>,
    speed_from: Option<SpeedFrom>,
    is_silent: bool,
    /// Where the track was before it went on somewhere else.
    before_jump: Option<Sighting>,
}

impl Segmenter {
    /// The last fix.
    pub(crate) fn last(&self) -> Option<&Sighting> {
        self.last.as_ref()
    }

    /// Whether the vehicle is hired, where the device knows.
    pub(crate) fn hired(&self) -> Option<bool> {
        self.hired
    }

    /// Start of the open trip and its length so far without movement inside stops, metres, if it is one already.
    pub(crate) fn open_trip(&self) -> Option<(i64, f64)> {
        let trip = self.trip.filter(|trip| self.sums.has_departed || trip.hired == Some(true))?;
        let is_over = self.is_silent && trip.hired != Some(true);
        (!is_over).then(|| (trip.start_us, self.sums.path.without(self.sums.inside).length_m))
    }

    /// What the vehicle does as of the last fix, and since when.
    pub(crate) fn doing(&self) -> Option<(Doing, i64)> {
        let last_us = self.last?.time_us;
        let stop = self.stop.filter(|stop| stop.away.is_none() && stop.is_stop());
        Some(match (self.is_silent, stop, self.open_trip()) {
            (true, ..) => (Doing::Silent, last_us),
            (false, Some(stop), _) => (Doing::Stopped, stop.first_us),
            (false, None, Some((start_us, _))) => (Doing::Driving, start_us),
            (false, None, None) => (Doing::Stopped, self.stop.map_or(last_us, |stop| stop.first_us)),
        })
    }

    /// Takes the next kept fix. `way_m` is the way from the last one where it is known, metres.
    pub(crate) fn take(&mut self, fix: &Sighting, way_m: Option<f64>, say: &mut impl FnMut(Event)) {
        match self.last {
            None => {
                let gap = self.before_jump.take().map(|before| Gap::between(&before, fix));
                self.begin(fix, gap);
            }
            Some(last) if fix.time_us - last.time_us > GAP_US => {
                self.fall_silent(say);
                self.come_back(&last, fix, say);
            }
            Some(last) => {
                let way_m = way_m.unwrap_or_else(|| leg_m(last.place, fix.place));
                self.advance(&last, fix, way_m, say);
            }
        }
        self.last = Some(*fix);
        self.is_silent = false;
        if fix.hired.is_some_and(|hired| self.hired.unwrap_or_default() != hired) {
            self.turn(fix, say);
        }
    }

    /// Nothing more comes for a while: writes what is open as it stands. Says nothing the second time.
    pub(crate) fn fall_silent(&mut self, say: &mut impl FnMut(Event)) {
        if self.is_silent || self.last.is_none() {
            return;
        }
        self.is_silent = true;
        self.write_trip(Close::Gap, say);
        self.write_stop(say);
    }

    /// The track goes on somewhere else with the next fix.
    pub(crate) fn jump(&mut self, say: &mut impl FnMut(Event)) {
        let before = self.last;
        self.end(Close::Jump, say);
        self.before_jump = before;
    }

    /// Writes what is open for good and forgets it.
    pub(crate) fn end(&mut self, close: Close, say: &mut impl FnMut(Event)) {
        if !self.is_silent {
            self.write_trip(close, say);
            self.write_stop(say);
        }
        *self = Self { hired: self.hired, ..Self::default() };
    }

    fn begin(&mut self, fix: &Sighting, gap: Option<Gap>) {
        self.hired = fix.hired.or(self.hired);
        self.open(fix.time_us, fix.place, gap);
        self.stop = None;
        self.restart_sums(fix);
    }

    fn open(&mut self, start_us: i64, start: Place, gap: Option<Gap>) {
        self.trip = Some(Trip { start_us, start, gap, hired: self.hired, revision: 0 });
    }

    /// Sums, line and dwell begin with this fix.
    fn restart_sums(&mut self, fix: &Sighting) {
        self.sums = Sums { fixes: 1, points: 1, ..Sums::default() };
        self.line.begin(fix.place);
        self.dwell = Some(Dwell::at(fix, self.sums));
        self.speed_from = Some(SpeedFrom { time_us: fix.time_us, place: fix.place });
    }

    fn advance(&mut self, last: &Sighting, fix: &Sighting, length_m: f64, say: &mut impl FnMut(Event)) {
        let dwell = self.dwell.get_or_insert_with(|| Dwell::at(last, self.sums));
        let step = dwell.cluster.step(last.place, fix.place);
        let chord = self.chord.get_or_insert_with(|| Chord::at(last));
        let chord_m = dwell.cluster.step(chord.from, fix.place).length_m();
        let leg = Way::leg((last, fix), length_m, (step, self.step), (chord, chord_m));
        self.step = step;
        self.sums.path.add(leg);
        self.sums.fixes = self.sums.fixes.saturating_add(1);
        self.line.go(fix.place, length_m);
        self.sums.points = self.line.len();
        let speed_mps = self.speed_mps(fix).unwrap_or_default();
        self.sums.speed_mps_max = self.sums.speed_mps_max.max(speed_mps);
        if let Some(trip) = self.trip.filter(|_| !self.sums.has_departed) {
            self.sums.has_departed = leg_m(trip.start, fix.place) > DEPART_M;
        }
        match self.stop {
            Some(_) => self.stand(fix, leg, speed_mps, say),
            None => {
                let dwell = self.dwell.get_or_insert_with(|| Dwell::at(fix, self.sums));
                self.trail.go(fix.place, dwell.cluster.plane());
                dwell.take(fix, leg, &self.sums);
                if dwell.is_stop() {
                    self.establish(fix, say);
                }
            }
        }
        self.make_room();
    }

    /// The speed that the device states, else that over the time since it was last measured.
    fn speed_mps(&mut self, fix: &Sighting) -> Option<f64> {
        if fix.speed_mps.is_some() {
            return fix.speed_mps;
        }
        let here = SpeedFrom { time_us: fix.time_us, place: fix.place };
        let from = self.speed_from.get_or_insert(here);
        if fix.time_us - from.time_us < SPEED_US_MIN {
            return None;
        }
        let speed_mps = leg_m(from.place, fix.place) / seconds(fix.time_us - from.time_us);
        *from = here;
        Some(speed_mps)
    }

    fn make_room(&mut self) {
        let marks = [self.stop.map(|stop| stop.at_first.points), self.dwell.map(|dwell| dwell.at_first.points)];
        let settled = marks.into_iter().flatten().min().unwrap_or_else(|| self.line.len());
        let left = self.line.make_room(settled);
        let moved = settled - left;
        if moved > 0 {
            self.sums.points -= moved;
            if let Some(stop) = &mut self.stop {
                stop.at_first.points -= moved;
                stop.at_last.points = stop.at_last.points.saturating_sub(moved);
            }
            self.dwell.iter_mut().for_each(|dwell| dwell.at_first.points -= moved);
        }
    }

    /// The next fix where there is a stop, be the vehicle in it or tentatively away.
    fn stand(&mut self, fix: &Sighting, leg: Way, speed_mps: f64, say: &mut impl FnMut(Event)) {
        let Some(stop) = &mut self.stop else { return };
        let is_far = stop.distance_m(fix.place) > DEPART_M;
        if stop.holds(fix) {
            let mut inside = stop.away.map_or_else(Way::default, |away| away.way);
            inside.add(leg);
            stop.add(fix);
            return self.stay(inside, say);
        }
        let Some(away) = &mut stop.away else {
            stop.away = Some(Away { way: leg, far_fixes: u32::from(is_far), speed_mps_max: speed_mps });
            self.dwell = Some(Dwell::at(fix, self.sums));
            return;
        };
        away.way.add(leg);
        away.speed_mps_max = away.speed_mps_max.max(speed_mps);
        away.far_fixes = if is_far { away.far_fixes + 1 } else { 0 };
        let (away_way, has_left) = (away.way, away.far_fixes >= DEPART_FIXES);
        let dwell = self.dwell.get_or_insert_with(|| Dwell::at(fix, self.sums));
        dwell.take(fix, leg, &self.sums);
        let dwell = *dwell;
        let is_near = stop.distance_m(dwell.cluster.place()) <= DEPART_M;
        if dwell.is_stop() && stop.creeps_to(&dwell.cluster) {
            stop.creep(&dwell.cluster, fix.place);
            self.stay(away_way, say);
        } else if dwell.is_stop() && self.trip.is_none() && is_near {
            // A parked vehicle's receiver wanders about; who stays elsewhere for long has been moved.
            if dwell.cluster.lasted_us() >= PARKED_US {
                self.leave(say);
                self.settle_at(Stop::of(&dwell, fix.place, None, self.hired), fix);
            }
        } else if dwell.is_stop() {
            self.depart(dwell.cluster.place(), say);
            self.establish(fix, say);
        } else if has_left {
            self.depart(fix.place, say);
        }
    }

    /// The vehicle has stayed at its stop; `inside` is its movement there since the last time.
    fn stay(&mut self, inside: Way, say: &mut impl FnMut(Event)) {
        let Some(stop) = self.stop else { return };
        self.chord = None;
        let Some(trip) = self.trip else { return self.restart_from(&stop) };
        self.sums.path = self.sums.path.without(inside);
        self.sums.path.add(inside.all_noise());
        self.sums.inside.add(inside.all_noise());
        self.line.back_to(stop.at_first.points);
        self.sums.points = self.line.len();
        if stop.lasted_us() >= PARKED_US && trip.hired != Some(true) {
            self.write_trip_until(&trip, (stop.first_us, stop.first_place), &stop.at_first, Close::Stop, say);
            self.trip = None;
            self.restart_from(&stop);
        }
        if let Some(stop) = &mut self.stop {
            stop.at_last = self.sums;
        }
    }

    /// Without a trip the sums begin with the stop's last fix.
    fn restart_from(&mut self, stop: &Stop) {
        self.sums = Sums { fixes: 1, points: 1, ..Sums::default() };
        self.line.begin(stop.last_place);
        self.speed_from = Some(SpeedFrom { time_us: stop.last_us(), place: stop.last_place });
    }

    /// The vehicle stands here without a trip; what follows begins with this fix.
    fn settle_at(&mut self, stop: Stop, fix: &Sighting) {
        self.restart_sums(fix);
        self.stop = Some(Stop { at_first: self.sums, at_last: self.sums, ..stop });
    }

    /// The dwell has become a stop.
    fn establish(&mut self, fix: &Sighting, say: &mut impl FnMut(Event)) {
        let Some(dwell) = self.dwell else { return };
        self.stop = Some(Stop::of(&dwell, fix.place, self.trip.map(|trip| trip.start_us), self.hired));
        self.stay(dwell.inside, say);
    }

    /// The stop has ended.
    fn leave(&mut self, say: &mut impl FnMut(Event)) {
        self.write_stop(say);
        if let Some(stop) = self.stop.take().filter(|stop| stop.is_stop() && self.trip.is_some()) {
            self.sums.idle_us += (stop.last_us() - stop.idle_from_us).max(0);
            self.sums.stops = self.sums.stops.saturating_add(1);
        }
    }

    /// The vehicle has left its stop on the way to this place; without a trip one begins with the stop's last fix.
    fn depart(&mut self, next: Place, say: &mut impl FnMut(Event)) {
        let Some(stop) = self.stop else { return };
        if let Some(trip) = self.trip.filter(|trip| trip.hired != Some(true))
            && stop.lasted_us() >= VISIT_US
            && stop.at_first.path.length_m >= VISIT_M_MIN
            && self.trail.turns(stop.place(), next)
        {
            self.write_trip_until(&trip, (stop.first_us, stop.first_place), &stop.at_first, Close::Stop, say);
            self.trip = None;
            self.leave(say);
            self.go_on_from(&stop);
        } else {
            self.leave(say);
        }
        if self.trip.is_none() {
            self.open(stop.last_us(), stop.last_place, None);
            self.sums.has_departed = true;
        }
    }

    /// Sums, line and dwell go on as if they had begun with the stop's last fix.
    fn go_on_from(&mut self, stop: &Stop) {
        let speed_mps_max = stop.away.map_or(0.0, |away| away.speed_mps_max);
        let base = stop.at_last;
        self.line.begin_after(base.points, stop.last_place);
        self.sums = self.sums.since(&base, speed_mps_max);
        if let Some(dwell) = &mut self.dwell {
            dwell.at_first = dwell.at_first.since(&base, speed_mps_max);
        }
    }

    /// The first fix after a gap. The trip has been written.
    fn come_back(&mut self, last: &Sighting, fix: &Sighting, say: &mut impl FnMut(Event)) {
        let gap = Gap::between(last, fix);
        let rides_on = self.trip.is_some_and(|trip| trip.hired == Some(true)) && fix.hired != Some(false);
        let is_home = self.stop.is_some_and(|stop| stop.holds(fix));
        let dwells =
            self.dwell.is_some_and(|dwell| dwell.cluster.distance_m(fix.place) <= crate::profile::enter_m(fix));
        if rides_on {
            self.ride_on(fix, gap, is_home, say);
            return;
        }
        let trip_us = self.trip.take().map(|trip| trip.start_us);
        (self.step, self.chord) = (Offset::default(), None);
        if let Some(mut stop) = self.stop.filter(|_| is_home) {
            stop.add(fix);
            self.settle_at(stop, fix);
        } else if let Some(mut dwell) = self.dwell.filter(|_| dwells) {
            self.leave(say);
            dwell.cluster.add(fix);
            self.settle_at(Stop::of(&dwell, fix.place, trip_us, self.hired), fix);
        } else {
            self.leave(say);
            if gap.way_m > GAP_TRIP_M {
                self.begin(fix, Some(gap));
            } else {
                self.settle_at(Stop::point(fix, self.hired), fix);
            }
        }
    }

    /// A hired ride goes on after a gap, which is marked and is not in its distance.
    fn ride_on(&mut self, fix: &Sighting, gap: Gap, is_home: bool, say: &mut impl FnMut(Event)) {
        self.sums.gap_us += gap.lasted_us;
        self.sums.gap_m += gap.way_m;
        self.sums.fixes = self.sums.fixes.saturating_add(1);
        self.sums.has_departed |= gap.way_m > DEPART_M;
        match &mut self.stop {
            Some(stop) if is_home => stop.add(fix),
            _ => {
                self.leave(say);
                self.line.go(fix.place, gap.way_m);
                self.sums.points = self.line.len();
                self.dwell = Some(Dwell::at(fix, self.sums));
            }
        }
        (self.step, self.chord) = (Offset::default(), None);
        self.speed_from = Some(SpeedFrom { time_us: fix.time_us, place: fix.place });
    }

    /// The taxi becomes hired or free with this fix, the last of one trip and the first of the next.
    fn turn(&mut self, fix: &Sighting, say: &mut impl FnMut(Event)) {
        self.write_trip(Close::Hired, say);
        self.trip = None;
        self.hired = fix.hired;
        let stop = self.stop;
        if fix.hired == Some(true) {
            self.open(fix.time_us, fix.place, None);
            self.restart_sums(fix);
        } else if stop.is_none_or(|stop| stop.away.is_some()) {
            self.leave(say);
            self.settle_at(Stop::point(fix, self.hired), fix);
            return;
        } else {
            self.restart_sums(fix);
        }
        let at_first = self.sums;
        self.stop = stop.map(|stop| {
            let away = stop.away.map(|away| Away { way: Way::default(), ..away });
            Stop { at_first, at_last: at_first, idle_from_us: fix.time_us, away, ..stop }
        });
    }
}

#[cfg(test)]
mod tests;
