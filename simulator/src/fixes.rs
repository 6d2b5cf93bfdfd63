//! What a phone makes of a shift: a fix every few seconds with correlated noise, tunnels without fixes, jumps, uploads
//! that come late and out of order, copies, and a few fixes that no device should send. And what any phone says about its
//! place when it sends a swipe.

use rand::RngExt;

use crate::clock::{MINUTE_US, SECOND_US};
use crate::movement::{Leg, Ride, Shift};
use crate::streams::{self, Stream};
use crate::town::Point;

/// Time between fixes on the move.
const MOVING_US: i64 = 10 * SECOND_US;
/// Time between fixes in a stay of a minute or more.
const PARKED_US: i64 = 30 * SECOND_US;
/// Standard deviation of a fix along each axis, metres (open-sky phones: Valhalla's sigma_z is 4.07).
const NOISE_M: f64 = 4.0;
/// How much of a fix's error stays in the next one.
const NOISE_KEPT: f64 = 0.7;
/// Share of swipes whose phone knows no position: indoors.
const INDOORS_SHARE: f64 = 0.03;
/// One fix of so many lies hundreds of metres off.
const JUMP_EVERY: u32 = 1_500;
/// One fix of so many is sent twice.
const COPY_EVERY: u32 = 400;

/// A row of the pings topic.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ping {
    pub(crate) received_us: i64,
    /// Number of the carrier whose device it is.
    pub(crate) carrier: usize,
    pub(crate) time_us: Option<i64>,
    pub(crate) lat: Option<f64>,
    pub(crate) lon: Option<f64>,
    pub(crate) accuracy_m: f64,
    pub(crate) speed_mps: f64,
    pub(crate) bearing_deg: Option<f64>,
    pub(crate) hired: Option<bool>,
    /// What was done to it on purpose.
    pub(crate) defect: Option<Defect>,
    /// How far off it lies where the receiver jumped, metres.
    pub(crate) jump_m: Option<f64>,
}

/// What is wrong with a fix on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Latitude 999.
    LatitudeOutOfRange,
    /// No time.
    TimeMissing,
    /// No position.
    PositionMissing,
    /// Latitude and longitude 0.
    NullIsland,
    /// A time two days ahead.
    FutureTime,
}

impl Defect {
    /// Every defect: each occurs every day.
    pub(crate) const ALL: [Self; 5] =
        [Self::LatitudeOutOfRange, Self::TimeMissing, Self::PositionMissing, Self::NullIsland, Self::FutureTime];

    /// Name as the truth shows it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LatitudeOutOfRange => "latitude_out_of_range",
            Self::TimeMissing => "time_missing",
            Self::PositionMissing => "position_missing",
            Self::NullIsland => "null_island",
            Self::FutureTime => "future_time",
        }
    }

    fn apply(self, ping: &mut Ping) {
        (ping.defect, ping.jump_m) = (Some(self), None);
        match self {
            Self::LatitudeOutOfRange => ping.lat = Some(999.0),
            Self::TimeMissing => ping.time_us = None,
            Self::PositionMissing => (ping.lat, ping.lon) = (None, None),
            Self::NullIsland => (ping.lat, ping.lon) = (Some(0.0), Some(0.0)),
            Self::FutureTime => ping.time_us = ping.time_us.map(|time_us| time_us + 2 * crate::clock::DAY_US),
        }
    }
}

/// Latitude and longitude that a phone at this place sends with a swipe, WGS84 degrees; nothing where it has no fix.
pub(crate) fn position_of_swipe(stream: &mut Stream, place: Point) -> Option<(f64, f64)> {
    let seen = place.moved(NOISE_M * streams::normal(stream), NOISE_M * streams::normal(stream));
    (!stream.random_bool(INDOORS_SHARE)).then(|| seen.degrees())
}

/// A phone on a shift, read out bit by bit.
pub(crate) struct Phone {
    carrier: usize,
    is_taxi: bool,
    shift: Shift,
    stream: Stream,
    next_us: i64,
    end_us: i64,
    knot: usize,
    leg: usize,
    legs_told: usize,
    rides_told: usize,
    noise: Point,
    /// Times without a fix, half-open.
    tunnels: Vec<(i64, i64)>,
    /// Times whose fixes are uploaded together at their end, half-open.
    outages: Vec<(i64, i64)>,
    /// Defects to come, each for the first fix from its time on.
    defects: Vec<(i64, Defect)>,
}

impl Phone {
    pub(crate) fn new(carrier: usize, is_taxi: bool, shift: Shift, mut stream: Stream) -> Self {
        let (start_us, end_us) = shift.span_us();
        let tunnel_count = stream.random_range(1..=3);
        let tunnels = windows(&mut stream, (start_us, end_us), tunnel_count, (2, 5));
        let outage_count = stream.random_range(0..=2);
        let outages = windows(&mut stream, (start_us, end_us), outage_count, (3, 20));
        Self {
            carrier,
            is_taxi,
            shift,
            stream,
            next_us: start_us,
            end_us,
            knot: 0,
            leg: 0,
            legs_told: 0,
            rides_told: 0,
            noise: Point { east_m: 0.0, north_m: 0.0 },
            tunnels,
            outages,
            defects: Vec::new(),
        }
    }

    /// The first fix from a random moment of the first three quarters of the shift on gets this defect.
    pub(crate) fn spoil(&mut self, stream: &mut Stream, defect: Defect) {
        let from_us = self.next_us + stream.random_range(0..(self.end_us - self.next_us) * 3 / 4);
        self.defects.push((from_us, defect));
    }

    /// Number of the carrier.
    pub(crate) fn carrier(&self) -> usize {
        self.carrier
    }

    /// Where it truly is.
    pub(crate) fn shift(&self) -> &Shift {
        &self.shift
    }

    /// Whether its fixes of this moment get through at once: neither in a tunnel nor without a net.
    pub(crate) fn is_heard_at(&self, at_us: i64) -> bool {
        !inside(&self.tunnels, at_us) && !inside(&self.outages, at_us)
    }

    /// Whether the shift is over and told.
    pub(crate) fn is_done(&self) -> bool {
        self.next_us >= self.end_us && self.legs_told == self.shift.legs.len()
    }

    /// Drives and stays that ended before this moment and were not told before.
    pub(crate) fn legs_until(&mut self, until_us: i64) -> &[Leg] {
        let start = self.legs_told;
        self.legs_told += self.shift.legs[start..].iter().take_while(|leg| leg.to_us < until_us).count();
        &self.shift.legs[start..self.legs_told]
    }

    /// Hired rides that ended before this moment and were not told before.
    pub(crate) fn rides_until(&mut self, until_us: i64) -> &[Ride] {
        let start = self.rides_told;
        self.rides_told += self.shift.rides[start..].iter().take_while(|ride| ride.to_us < until_us).count();
        &self.shift.rides[start..self.rides_told]
    }

    /// Appends the fixes up to this moment, in the order of their own time.
    pub(crate) fn read_until(&mut self, until_us: i64, pings: &mut Vec<Ping>) {
        while self.next_us < until_us.min(self.end_us) {
            let at_us = self.next_us;
            while self.shift.legs[self.leg].to_us <= at_us && self.leg + 1 < self.shift.legs.len() {
                self.leg += 1;
            }
            let leg = self.shift.legs[self.leg];
            let parked = leg.is_stay && leg.to_us - leg.from_us >= MINUTE_US;
            let pause_us = if parked { PARKED_US } else { MOVING_US };
            // Phones fix a little early or late; times are whole milliseconds.
            self.next_us = at_us + pause_us + self.stream.random_range(-400..=400) * 1_000;
            let ping = self.fix(at_us, &leg);
            if !inside(&self.tunnels, at_us) {
                self.send(ping, pings);
            }
        }
    }

    fn fix(&mut self, at_us: i64, leg: &Leg) -> Ping {
        let at = self.shift.at(at_us, &mut self.knot);
        // Speed over the second before, as a receiver measures it.
        let before = self.shift.at(at_us - SECOND_US, &mut self.knot.saturating_sub(3));
        let true_speed_mps = at.distance_m(before);
        let poor = self.stream.random_ratio(1, 40);
        let scale = if poor { self.stream.random_range(3.0..8.0) } else { 1.0 };
        let fresh = (1.0 - NOISE_KEPT * NOISE_KEPT).sqrt() * NOISE_M;
        self.noise = Point {
            east_m: NOISE_KEPT * self.noise.east_m + fresh * streams::normal(&mut self.stream),
            north_m: NOISE_KEPT * self.noise.north_m + fresh * streams::normal(&mut self.stream),
        };
        let mut seen = at.moved(self.noise.east_m * scale, self.noise.north_m * scale);
        let jumps = self.stream.random_ratio(1, JUMP_EVERY);
        let jump_m = jumps.then(|| {
            let (far_m, course) =
                (self.stream.random_range(300.0..1_500.0), self.stream.random_range(0.0..std::f64::consts::TAU));
            seen = seen.moved(far_m * f64::sin(course), far_m * f64::cos(course));
            far_m
        });
        let (lat, lon) = seen.degrees();
        let speed_mps = (true_speed_mps + 0.3 * streams::normal(&mut self.stream)).max(0.0);
        let course = (at.east_m - before.east_m).atan2(at.north_m - before.north_m).to_degrees();
        let bearing_deg = (course + 4.0 * streams::normal(&mut self.stream)).rem_euclid(360.0);
        Ping {
            received_us: at_us + streams::wait_us(&mut self.stream, 150..1_200),
            carrier: self.carrier,
            time_us: Some(at_us),
            lat: Some(lat),
            lon: Some(lon),
            accuracy_m: tenth((NOISE_M + streams::normal(&mut self.stream).abs() * 2.0) * scale),
            speed_mps: tenth(speed_mps),
            bearing_deg: (true_speed_mps > 0.5).then(|| bearing_deg.floor()),
            hired: self.is_taxi.then_some(leg.hired),
            defect: None,
            jump_m,
        }
    }

    fn send(&mut self, mut ping: Ping, pings: &mut Vec<Ping>) {
        let at_us = ping.time_us.unwrap_or(ping.received_us);
        if let Some((_, end_us)) = self.outages.iter().find(|(from_us, to_us)| (*from_us..*to_us).contains(&at_us)) {
            // The buffer empties in whatever order its threads get through.
            ping.received_us = end_us + streams::wait_us(&mut self.stream, 100..4_000);
        }
        if let Some(place) = self.defects.iter().position(|(from_us, _)| *from_us <= at_us) {
            self.defects.remove(place).1.apply(&mut ping);
        } else if self.stream.random_ratio(1, COPY_EVERY) {
            let mut copy = Ping { jump_m: None, ..ping.clone() };
            copy.received_us += streams::wait_us(&mut self.stream, 500..20_000);
            pings.push(copy);
        }
        pings.push(ping);
    }
}

/// Windows of so many minutes inside a span.
fn windows(stream: &mut Stream, (from_us, to_us): (i64, i64), count: usize, minutes: (i64, i64)) -> Vec<(i64, i64)> {
    (0..count)
        .map(|_| {
            let start_us = stream.random_range(from_us..to_us);
            (start_us, start_us + stream.random_range(minutes.0 * MINUTE_US..=minutes.1 * MINUTE_US))
        })
        .collect()
}

fn inside(windows: &[(i64, i64)], at_us: i64) -> bool {
    windows.iter().any(|(from_us, to_us)| (*from_us..*to_us).contains(&at_us))
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merchants::Business;
    use crate::movement;
    use crate::town::Town;

    fn phone() -> Phone {
        let town = Town::new(5);
        let business = Business::new(5, 5, &town);
        let shift = movement::shift(5, 4, 1, &town, &business).unwrap();
        Phone::new(4, true, shift, streams::stream(5, "test", 0, 0))
    }

    /// Fails when the noise or the place of a fix depends on how often the phone is read out.
    #[test]
    fn reading_hour_by_hour_gives_what_reading_at_once_gives() {
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        phone().read_until(i64::MAX, &mut whole);
        let mut hourly = phone();
        while hourly.next_us < hourly.end_us {
            let until_us = hourly.next_us + 40 * MINUTE_US;
            hourly.read_until(until_us, &mut parts);
        }
        assert!(whole.len() > 2_000, "{}", whole.len());
        assert_eq!(whole, parts);
    }

    /// Fails when a swipe's position is exact, far off, or always there.
    #[test]
    fn positions_of_swipes_are_some_metres_off_and_a_few_are_missing() {
        let mut stream = streams::stream(5, "test", 0, 0);
        let (lat, lon) = Point { east_m: 0.0, north_m: 0.0 }.degrees();
        let seen: Vec<Option<(f64, f64)>> =
            (0..2_000).map(|_| position_of_swipe(&mut stream, Point { east_m: 0.0, north_m: 0.0 })).collect();
        // Degrees at the town's latitude; see `metres_become_degrees`.
        let off_m =
            |(seen_lat, seen_lon): (f64, f64)| ((seen_lat - lat) * 111_290.0).hypot((seen_lon - lon) * 66_330.0);
        let off_m: Vec<f64> = seen.iter().flatten().copied().map(off_m).collect();
        let mean_m = off_m.iter().sum::<f64>() / off_m.len() as f64;
        assert!((4.0..6.0).contains(&mean_m) && off_m.iter().all(|off_m| *off_m < 25.0), "{mean_m}");
        assert!((30..=90).contains(&(seen.len() - off_m.len())), "{}", off_m.len());
    }

    #[test]
    fn fixes_lie_near_the_truth_and_arrive_after_they_were_taken() {
        let mut phone = phone();
        let mut pings = Vec::new();
        phone.read_until(i64::MAX, &mut pings);
        let mut far = 0;
        let mut cursor = 0;
        for ping in &pings {
            let (lat, lon) = phone.shift.at(ping.time_us.unwrap(), &mut cursor).degrees();
            let off_deg = (ping.lat.unwrap() - lat).hypot((ping.lon.unwrap() - lon) * 0.6);
            far += usize::from(off_deg > 0.0005);
            assert!(ping.received_us > ping.time_us.unwrap());
        }
        assert!(far * 100 < pings.len(), "{far} of {}", pings.len());
        let silent = |pair: &[Ping]| pair[1].time_us.unwrap() - pair[0].time_us.unwrap() > 2 * MINUTE_US;
        assert!(pings.windows(2).any(silent), "no tunnel");
        assert!(
            pings.iter().any(|ping| ping.hired == Some(true)) && pings.iter().any(|ping| ping.hired == Some(false))
        );
        assert!(!pings.is_sorted_by_key(|ping| ping.received_us), "nothing came out of order");
    }
}
