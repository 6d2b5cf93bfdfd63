//! Stay locations as scikit-mobility 1.3.0 finds them: `filtering.filter`, `compression.compress` and
//! `detection.stay_locations` in this order, the first two only where asked for.
//!
//! A stay is a ball around the fix at which it began. The first fix outside ends it, and if it has lasted long enough
//! it is a stop from its first fix to the fix outside, at the median of the fixes inside. What a reader would not
//! expect, and what is kept:
//!
//! * the next ball begins at the fix outside, whether or not the last one was a stop;
//! * the last fix of the track ends the ball as if it were outside: it counts for the time, never for the place;
//! * durations, distances and speeds are compared with "more than": an exact tie is no stop and no departure;
//! * a gap makes its second fix the middle of a new ball without any stop, even where the old one was long enough.

use std::collections::VecDeque;

use super::{Stop, US_PER_S, in_time_order, median_place};
use crate::track::Fix;

/// Radius of the earth in scikit-mobility's haversine formula, kilometres.
const EARTH_RADIUS_KM: f64 = 6371.0;
const S_PER_MINUTE: f64 = 60.0;
const S_PER_HOUR: f64 = 3600.0;
const MINUTES_PER_HOUR: f64 = 60.0;

/// Parameters of the three functions, in the library's units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// `filtering.filter`, off unless set.
    pub filter: Option<Filter>,
    /// `compression.compress(spatial_radius_km)`, off unless set (0.2 is the library's value): fixes within this
    /// radius of the first become one at their median, with the first one's time.
    pub compress_radius_km: Option<f64>,
    /// `spatial_radius_km` of the stay. Where the library derives it from the radius of the compression (times
    /// `stop_radius_factor`, 0.5), the product goes here.
    pub radius_km: f64,
    /// `minutes_for_a_stop`: a stay must last longer than this.
    pub minutes_for_a_stop: f64,
    /// `no_data_for_minutes`: a longer gap between two fixes is no stay. The default is longer than any track.
    pub no_data_for_minutes: f64,
    /// `min_speed_kmh`, off unless set: fixes at the end of a stay are cut off while their speed, measured from the
    /// first fix of the stay, is not below this.
    pub min_speed_kmh: Option<f64>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            filter: None,
            compress_radius_km: None,
            radius_km: 0.2,
            minutes_for_a_stop: 20.0,
            no_data_for_minutes: 1e12,
            min_speed_kmh: None,
        }
    }
}

/// Which fixes are noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filter {
    /// `max_speed_kmh`: a fix that is faster than this from the last kept one is left out, and so is one of the same
    /// time. The last fix of the track is never judged.
    pub max_speed_kmh: f64,
    /// `include_loops`, off unless set.
    pub loops: Option<Loops>,
}

impl Default for Filter {
    fn default() -> Self {
        Self { max_speed_kmh: 500.0, loops: None }
    }
}

/// Short and fast ways out and back, whose furthest fix is left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loops {
    /// `speed_kmh`: a loop is faster than this.
    pub speed_kmh: f64,
    /// `max_loop`: a loop has fewer fixes than this; at least 2.
    pub max_loop: usize,
    /// `ratio_max`: it comes back to within this share of its furthest distance.
    pub ratio_max: f64,
}

impl Default for Loops {
    fn default() -> Self {
        Self { speed_kmh: 5.0, max_loop: 6, ratio_max: 0.25 }
    }
}

/// The stops of one track. `fixes` counts those from which the place is made, after compression; `end_us` is the time
/// of departure (`leaving_time` is always on).
pub fn stops(fixes: &[Fix], parameters: &Parameters) -> Vec<Stop> {
    let mut track = in_time_order(fixes).into_owned();
    if let Some(filter) = &parameters.filter {
        track = filtered(&track, filter);
    }
    if let Some(radius_km) = parameters.compress_radius_km {
        track = compressed(&track, radius_km);
    }
    stays(&track, parameters)
}

/// A ball around the fix at which it began.
struct Stay {
    first: Fix,
    inside: Vec<Fix>,
    /// Speeds of the fixes after the first, measured from the first; the newest may be of a fix outside.
    speeds_kmh: Vec<f64>,
}

impl Stay {
    /// A ball into which nothing was counted yet, not even its first fix.
    fn around(first: Fix) -> Self {
        Self { first, inside: Vec::new(), speeds_kmh: Vec::new() }
    }

    fn minutes_until(&self, time_us: i64) -> f64 {
        seconds(self.first.time_us, time_us) / S_PER_MINUTE
    }

    /// The stop that ends with this fix, which lies outside or is the last of the track.
    fn stop(&self, leaving: &Fix, parameters: &Parameters) -> Option<Stop> {
        let (end_us, kept) = match parameters.min_speed_kmh {
            None => (leaving.time_us, self.inside.len()),
            Some(min_speed_kmh) => self.cut(leaving, min_speed_kmh),
        };
        if kept == 0 || self.minutes_until(end_us) <= parameters.minutes_for_a_stop {
            return None;
        }
        let (lat, lon) = median_place(&self.inside[..kept]);
        Some(Stop { start_us: self.first.time_us, end_us, lat, lon, fixes: kept })
    }

    /// Time of departure and number of fixes before it: back from the newest speed to the first that is slow, but
    /// never as far as the oldest. If the newest is slow, or the only one, nothing is cut.
    fn cut(&self, leaving: &Fix, min_speed_kmh: f64) -> (i64, usize) {
        let (fixes, speeds) = (self.inside.len(), self.speeds_kmh.len());
        let oldest = speeds.saturating_sub(1).max(1);
        let back = (1..speeds).find(|back| self.speeds_kmh[speeds - back] < min_speed_kmh).unwrap_or(oldest);
        if back == 1 {
            return (leaving.time_us, fixes);
        }
        // After a gap there is one speed more than fixes, so that the cut can take all of them.
        (self.inside[fixes + 1 - back].time_us, fixes.saturating_sub(back))
    }
}

fn stays(track: &[Fix], parameters: &Parameters) -> Vec<Stop> {
    let mut stops = Vec::new();
    let Some(first) = track.first() else { return stops };
    let mut stay = Stay::around(*first);
    stay.inside.push(*first);
    for (index, pair) in track.windows(2).enumerate() {
        let (previous, fix) = (&pair[0], &pair[1]);
        let is_last = index + 2 == track.len();
        if seconds(previous.time_us, fix.time_us) / S_PER_MINUTE > parameters.no_data_for_minutes {
            stay = Stay::around(*fix);
        }
        let minutes = stay.minutes_until(fix.time_us);
        let away_km = haversine_km(&stay.first, fix);
        stay.speeds_kmh.push(if minutes == 0.0 { 0.0 } else { away_km / minutes * MINUTES_PER_HOUR });
        if away_km > parameters.radius_km || is_last {
            stops.extend(stay.stop(fix, parameters));
            stay = Stay::around(*fix);
        }
        stay.inside.push(*fix);
    }
    stops
}

/// `filtering.filter`.
fn filtered(track: &[Fix], filter: &Filter) -> Vec<Fix> {
    let mut ahead: VecDeque<Fix> = track.iter().copied().collect();
    let Some(mut last) = ahead.pop_front() else { return Vec::new() };
    let mut kept = vec![last];
    while ahead.len() >= 2 {
        let seconds = seconds(last.time_us, ahead[0].time_us);
        if seconds == 0.0 || haversine_km(&last, &ahead[0]) / seconds * S_PER_HOUR > filter.max_speed_kmh {
            ahead.pop_front();
        } else if let Some(furthest) = filter.loops.and_then(|loops| looped(&last, &ahead, &loops)) {
            ahead.remove(furthest);
        } else {
            last = ahead[0];
            kept.extend(ahead.pop_front());
        }
    }
    kept.extend(ahead);
    kept
}

/// Place of the furthest fix of a loop that begins at `last`. The speed is the sum of all distances from there up to
/// the return over the sum of all times from there, as the library has it.
fn looped(last: &Fix, ahead: &VecDeque<Fix>, loops: &Loops) -> Option<usize> {
    let looked_at = ahead.iter().take(loops.max_loop.min(ahead.len()).saturating_sub(1));
    let legs = looked_at.map(|fix| (haversine_km(last, fix), seconds(last.time_us, fix.time_us)));
    let legs: Vec<(f64, f64)> = legs.collect();
    // Of several that are equally far the first, which is the last that the reversed search finds.
    let furthest = (0..legs.len()).rev().max_by(|one, other| legs[*one].0.total_cmp(&legs[*other].0))?;
    let is_back = |place: &usize| legs[*place].0 < legs[furthest].0 * loops.ratio_max;
    let back = (furthest..legs.len()).find(is_back)?;
    let (km, s) = legs[..back].iter().fold((0.0, 0.0), |(km, s), leg| (km + leg.0, s + leg.1));
    (km / s * S_PER_HOUR > loops.speed_kmh).then_some(furthest)
}

/// `compression.compress`.
fn compressed(track: &[Fix], radius_km: f64) -> Vec<Fix> {
    let mut balls: Vec<Fix> = Vec::new();
    let mut start = 0;
    for end in 1..=track.len() {
        if end == track.len() || haversine_km(&track[start], &track[end]) > radius_km {
            let (lat, lon) = median_place(&track[start..end]);
            balls.push(Fix { time_us: track[start].time_us, lat, lon, accuracy_m: None });
            start = end;
        }
    }
    balls
}

fn seconds(from_us: i64, until_us: i64) -> f64 {
    (until_us - from_us) as f64 / US_PER_S
}

/// Haversine distance with the operations in the library's order, so that ties fall as they fall there.
fn haversine_km(from: &Fix, to: &Fix) -> f64 {
    let radians = |degrees: f64| degrees * std::f64::consts::PI / 180.0;
    let (lat, other_lat) = (radians(from.lat), radians(to.lat));
    let half_lat = ((other_lat - lat) / 2.0).sin();
    let half_lon = ((radians(to.lon) - radians(from.lon)) / 2.0).sin();
    let chord = half_lat * half_lat + lat.cos() * other_lat.cos() * (half_lon * half_lon);
    EARTH_RADIUS_KM * (2.0 * chord.sqrt().atan2((1.0 - chord).sqrt()))
}
