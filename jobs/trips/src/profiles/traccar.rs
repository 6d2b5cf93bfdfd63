//! Stops as Traccar's report of stops finds them with its window detector (`report.trip.newLogic`, snapshot 9e5c458).
//!
//! A device is moving or stopped. While it moves, a window of the newest fixes follows it, from the last one that is at
//! least the shortest duration older than the newest; if the fix that comes is nowhere near as far as the smallest
//! distance from any of them and the window lasts, the device has stopped with that fix. While it is stopped, a fix that
//! far from where it stopped sets it moving, and its start is sought back through the window while each leg is fast. A
//! long gap that was crossed fast becomes stop, trip and stop. What a reader would not expect, and what is kept:
//!
//! * a stop begins when it is noticed, after the shortest duration has passed, and has the place of that fix;
//! * a track begins stopped at its first fix unless that fix says that it moves;
//! * the last leg before a departure need not be fast to belong to the trip;
//! * a gap in motion leaves a stop of no length where it began.

use super::{Stop, in_time_order};
use crate::track::Fix;

/// Equatorial radius with which Traccar's haversine formula computes, metres.
const EARTH_RADIUS_M: f64 = 6_378_137.0;
const US_PER_MS: f64 = 1e3;
const US_PER_S: i64 = 1_000_000;
const MS_PER_S: f64 = 1e3;

/// Parameters of the detector, under the names and in the units of the original's keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// `report.trip.minDistance`, metres: this far from the stop a trip starts.
    pub min_distance_m: f64,
    /// `report.trip.minDuration`, seconds: this long within the distance a trip ends.
    pub min_duration_s: i64,
    /// `report.trip.stopGap`, seconds: a longer gap is looked at on its own.
    pub stop_gap_s: i64,
    /// Whether the first fix moves. Traccar takes it from the speed that the device sends (`event.motion.speedThreshold`,
    /// 0.01 knots), and a device that sends none does not.
    pub starts_moving: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { min_distance_m: 200.0, min_duration_s: 180, stop_gap_s: 3_600, starts_moving: false }
    }
}

/// The stops of one track. `fixes` counts those from the fix with which the stop begins to the one with which it ends.
pub fn stops(fixes: &[Fix], parameters: &Parameters) -> Vec<Stop> {
    let track = in_time_order(fixes);
    let mut stops = Vec::new();
    let mut open = (!track.is_empty() && !parameters.starts_moving).then_some(0);
    for change in changes(&track, parameters) {
        match change {
            Change::Stopped(at) => open = Some(at),
            Change::Moving(at) => stops.extend(open.take().map(|from| stop(&track, from, at))),
        }
    }
    stops.extend(open.map(|from| stop(&track, from, track.len() - 1)));
    stops
}

fn stop(track: &[Fix], from: usize, until: usize) -> Stop {
    let first = &track[from];
    Stop {
        start_us: first.time_us,
        end_us: track[until].time_us,
        lat: first.lat,
        lon: first.lon,
        fixes: until - from + 1,
    }
}

/// A change of motion, with the fix at which it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Stopped(usize),
    Moving(usize),
}

/// Where the walk over the track stands.
struct Motion<'a> {
    track: &'a [Fix],
    parameters: &'a Parameters,
    is_moving: bool,
    /// The fix of the last change.
    anchor: usize,
    /// The oldest fix of the window, which ends before the fix that is looked at.
    oldest: usize,
    changes: Vec<Change>,
}

fn changes(track: &[Fix], parameters: &Parameters) -> Vec<Change> {
    let is_moving = parameters.starts_moving;
    let mut motion = Motion { track, parameters, is_moving, anchor: 0, oldest: 0, changes: Vec::new() };
    for newest in 1..track.len() {
        motion.slide(newest - 1);
        motion.update(newest);
    }
    motion.changes
}

impl Motion<'_> {
    fn note(&mut self, change: Change) {
        let (Change::Stopped(at) | Change::Moving(at)) = change;
        self.anchor = at;
        self.is_moving = matches!(change, Change::Moving(_));
        self.changes.push(change);
    }

    /// Drops fixes from the window while the one after them is old enough to stand for its length.
    fn slide(&mut self, newest: usize) {
        let is_long = |oldest: usize| self.elapsed_us(oldest, newest) >= self.parameters.min_duration_s * US_PER_S;
        let mut oldest = self.oldest;
        while oldest < newest && is_long(oldest + 1) {
            oldest += 1;
        }
        self.oldest = oldest;
    }

    fn update(&mut self, newest: usize) {
        if self.is_fast_gap(newest) {
            if self.is_moving {
                self.note(Change::Stopped(newest - 1));
            }
            self.note(Change::Moving(newest - 1));
            self.note(Change::Stopped(newest));
        } else if self.is_moving {
            let is_near = |fix: usize| self.distance_m(fix, newest) < self.parameters.min_distance_m;
            let is_long = self.elapsed_us(self.oldest, newest) >= self.parameters.min_duration_s * US_PER_S;
            if is_long && (self.oldest..newest).rev().all(is_near) {
                self.note(Change::Stopped(newest));
            }
        } else if self.distance_m(self.anchor, newest) >= self.parameters.min_distance_m {
            self.note(Change::Moving(self.departure(newest)));
        }
    }

    /// Whether the leg to this fix is a long gap that was crossed by moving.
    fn is_fast_gap(&self, newest: usize) -> bool {
        self.elapsed_us(newest - 1, newest) > self.parameters.stop_gap_s * US_PER_S
            && self.distance_m(newest - 1, newest) >= self.parameters.min_distance_m
            && self.is_fast(newest - 1, newest)
    }

    /// The fix at which the trip that was noticed at `newest` started: back through the window, but not to the stop
    /// itself, as long as the legs are fast. The newest leg is taken as it is.
    fn departure(&self, newest: usize) -> usize {
        let stopped_us = self.track[self.anchor].time_us;
        let mut start = newest;
        for fix in (self.oldest..newest).rev() {
            let is_slow = start != newest && !self.is_fast(fix, start);
            if self.track[fix].time_us <= stopped_us || is_slow {
                break;
            }
            start = fix;
        }
        start
    }

    /// Whether a leg takes time and is faster than the smallest distance in the shortest duration.
    fn is_fast(&self, from: usize, to: usize) -> bool {
        let elapsed_ms = self.elapsed_us(from, to) as f64 / US_PER_MS;
        let fast_m_per_ms = self.parameters.min_distance_m / (self.parameters.min_duration_s as f64 * MS_PER_S);
        elapsed_ms > 0.0 && self.distance_m(from, to) / elapsed_ms > fast_m_per_ms
    }

    fn elapsed_us(&self, from: usize, to: usize) -> i64 {
        self.track[to].time_us - self.track[from].time_us
    }

    fn distance_m(&self, from: usize, to: usize) -> f64 {
        let (from, to) = (&self.track[from], &self.track[to]);
        let half_lat = ((to.lat - from.lat).to_radians() / 2.0).sin();
        let half_lon = ((to.lon - from.lon).to_radians() / 2.0).sin();
        let (lat, other_lat) = (from.lat.to_radians(), to.lat.to_radians());
        let chord = half_lat * half_lat + lat.cos() * other_lat.cos() * half_lon * half_lon;
        EARTH_RADIUS_M * 2.0 * chord.sqrt().atan2((1.0 - chord).sqrt())
    }
}
