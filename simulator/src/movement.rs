//! A working day on the road: where somebody is at every moment, where he stops, whether his taxi is hired, and which
//! payments he takes there.

use rand::RngExt;

use crate::clock::{self, HOUR_US, MINUTE_US, SECOND_US};
use crate::merchants::{self, Business, Carrier, Trade, Vehicle};
use crate::streams::{self, Stream};
use crate::town::{Place, Point, Town};

/// Share of crossings with a red light, and how long it lasts.
const RED_LIGHT_SHARE: f64 = 0.07;
const RED_LIGHT_MS: std::ops::Range<i64> = 5_000..45_000;

/// A moment at a position; between two knots the movement is even.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Knot {
    pub(crate) at_us: i64,
    pub(crate) at: Point,
}

/// A drive or a stay, half-open in time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Leg {
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    pub(crate) from: Point,
    pub(crate) to: Point,
    pub(crate) is_stay: bool,
    pub(crate) hired: bool,
    /// Whether the driver made a long way round.
    pub(crate) detour: bool,
    /// Length of the way, metres.
    pub(crate) distance_m: f64,
    /// Standing at lights, microseconds.
    pub(crate) waiting_us: i64,
}

/// A hired ride: one or more legs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ride {
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
    pub(crate) distance_m: f64,
    pub(crate) waiting_us: i64,
    pub(crate) amount_minor: i64,
}

/// A payment taken on the way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stopover {
    pub(crate) at_us: i64,
    pub(crate) at: Point,
    pub(crate) amount_minor: i64,
}

/// A shift.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Shift {
    pub(crate) knots: Vec<Knot>,
    pub(crate) legs: Vec<Leg>,
    pub(crate) rides: Vec<Ride>,
    pub(crate) payments: Vec<Stopover>,
}

/// The shift of a carrier that starts on this civil day; nothing on a day off.
pub(crate) fn shift(seed: u64, carrier: usize, day: u32, town: &Town, business: &Business) -> Option<Shift> {
    let mut stream = streams::stream(seed, "shift", carrier as u64, u64::from(day));
    let person = &business.carriers[carrier];
    let merchant = &business.merchants[person.merchant];
    // Everybody has a day off a week; agents work from Monday to Friday.
    let day_off = carrier % 7;
    let is_off = match merchant.trade {
        Trade::InsuranceAgency => clock::weekday(day) >= 5,
        _ => clock::weekday(day) == day_off,
    };
    if is_off {
        return None;
    }
    let (start_hour, hours) = match merchant.trade {
        Trade::TaxiFirm if person.late_shift => (16, 10),
        Trade::TaxiFirm => (6, 10),
        Trade::InsuranceAgency => (9, 8),
        _ => (10, 9),
    };
    let start_us = clock::midnight_us(day) + start_hour * HOUR_US + stream.random_range(0..HOUR_US);
    let road = Road {
        town,
        stream,
        now_us: start_us,
        place: merchant.place,
        vehicle: person.vehicle,
        shift: Shift::default(),
    };
    let end_us = start_us + hours * HOUR_US;
    Some(match merchant.trade {
        Trade::TaxiFirm => taxi(road, end_us),
        Trade::InsuranceAgency => agent(road, end_us),
        _ => courier(road, end_us, person),
    })
}

/// Loads at the shop, visits customers, comes back, until the shift ends.
fn courier(mut road: Road<'_>, end_us: i64, person: &Carrier) -> Shift {
    const PAYS_BY_CARD: f64 = 0.8;
    let shop = road.place;
    let reach_blocks = match person.vehicle {
        Vehicle::Foot => 4,
        Vehicle::Bicycle => 9,
        Vehicle::Car | Vehicle::Taxi => 18,
    };
    while road.now_us < end_us {
        road.stay(300_000..900_000);
        for _ in 0..road.stream.random_range(4..=7) {
            let door = road.town.place_near(&mut road.stream, &shop, reach_blocks);
            road.drive(door, false);
            if road.stream.random_bool(PAYS_BY_CARD) {
                let amount_minor = merchants::amount_minor(&mut road.stream, Trade::CourierShop);
                road.pay(amount_minor);
            }
            // Longer than the payment takes, signature included.
            road.stay(185_000..420_000);
        }
        road.drive(shop, false);
    }
    road.stay(240_000..600_000);
    road.shift
}

/// Cruises or waits free, drives hired, until the shift ends.
fn taxi(mut road: Road<'_>, end_us: i64) -> Shift {
    const PAYS_BY_CARD: f64 = 0.7;
    const DETOUR_SHARE: f64 = 0.05;
    let rank = road.place;
    road.stay(120_000..600_000);
    while road.now_us < end_us {
        let pickup = if road.stream.random_bool(0.4) {
            road.drive(rank, false);
            road.stay(200_000..1_200_000);
            rank
        } else {
            let cruise = road.town.place(&mut road.stream);
            road.drive(cruise, false);
            road.town.place_near(&mut road.stream, &cruise, 6)
        };
        road.drive(pickup, false);
        road.stay(20_000..100_000);
        let started = road.shift.legs.len();
        let target = road.town.place(&mut road.stream);
        if road.stream.random_bool(DETOUR_SHARE)
            && let Some(round) = road.town.way_round(&mut road.stream, &pickup, &target)
        {
            road.drive(round, true);
            road.drive(target, true);
            road.shift.legs[started..].iter_mut().for_each(|leg| leg.detour = true);
        } else {
            road.drive(target, true);
        }
        let ride = road.ride(started);
        if road.stream.random_bool(PAYS_BY_CARD) {
            let tip_minor = if road.stream.random_bool(0.3) { road.stream.random_range(1..=4) * 50 } else { 0 };
            road.pay(ride.amount_minor + tip_minor);
        }
        road.stay(70_000..200_000);
    }
    road.drive(rank, false);
    road.stay(240_000..600_000);
    road.shift
}

/// Visits clients at home from the office.
fn agent(mut road: Road<'_>, end_us: i64) -> Shift {
    const SIGNS_A_POLICY: f64 = 0.7;
    let office = road.place;
    road.stay(900_000..2_400_000);
    while road.now_us < end_us {
        let client = road.town.place_near(&mut road.stream, &office, 20);
        road.drive(client, false);
        let visit_ms = road.stream.random_range(1_500_000..4_200_000);
        if road.stream.random_bool(SIGNS_A_POLICY) {
            let amount_minor = merchants::amount_minor(&mut road.stream, Trade::InsuranceAgency);
            let late_us = (visit_ms - 600_000) * 1_000;
            road.now_us += late_us;
            road.pay(amount_minor);
            road.now_us -= late_us;
        }
        road.stay(visit_ms..visit_ms + 1_000);
    }
    road.drive(office, false);
    road.stay(900_000..1_800_000);
    road.shift
}

/// Somebody on the road.
struct Road<'town> {
    town: &'town Town,
    stream: Stream,
    now_us: i64,
    place: Place,
    vehicle: Vehicle,
    shift: Shift,
}

impl Road<'_> {
    fn knot(&mut self, at: Point) {
        self.shift.knots.push(Knot { at_us: self.now_us, at });
    }

    fn stay(&mut self, range_ms: std::ops::Range<i64>) {
        let (from_us, at) = (self.now_us, self.place.at);
        self.knot(at);
        self.now_us += streams::wait_us(&mut self.stream, range_ms);
        self.knot(at);
        let to_us = self.now_us;
        let still = Leg {
            from_us,
            to_us,
            from: at,
            to: at,
            is_stay: true,
            hired: false,
            detour: false,
            distance_m: 0.0,
            waiting_us: 0,
        };
        self.shift.legs.push(still);
    }

    fn drive(&mut self, to: Place, hired: bool) {
        if to == self.place {
            return;
        }
        let (from_us, from) = (self.now_us, self.place.at);
        let mut at = from;
        let (mut distance_m, mut waiting_us) = (0.0, 0);
        self.knot(at);
        for step in self.town.route(&mut self.stream, &self.place, &to) {
            let speed_mps = step.limit_mps.min(self.vehicle.speed_mps_max()) * self.stream.random_range(0.7..1.0);
            let length_m = at.distance_m(step.to);
            distance_m += length_m;
            at = step.to;
            self.now_us += (length_m / speed_mps * 1e6).ceil() as i64;
            self.knot(at);
            if self.vehicle != Vehicle::Foot && self.stream.random_bool(RED_LIGHT_SHARE) {
                let red_us = streams::wait_us(&mut self.stream, RED_LIGHT_MS);
                waiting_us += red_us;
                self.now_us += red_us;
                self.knot(at);
            }
        }
        let to_us = self.now_us;
        let drive = Leg { from_us, to_us, from, to: at, is_stay: false, hired, detour: false, distance_m, waiting_us };
        self.shift.legs.push(drive);
        self.place = to;
    }

    /// Somebody pays some time after arrival.
    fn pay(&mut self, amount_minor: i64) {
        let at_us = self.now_us + streams::wait_us(&mut self.stream, 20_000..55_000);
        self.shift.payments.push(Stopover { at_us, at: self.place.at, amount_minor });
    }

    /// Sums up the legs from this one on as a hired ride and writes its bill: 4.40, 1.32 a kilometre and 0.47 a minute
    /// of standing, rounded up to 0.20.
    fn ride(&mut self, first_leg: usize) -> Ride {
        let legs = &self.shift.legs[first_leg..];
        let distance_m: f64 = legs.iter().map(|leg| leg.distance_m).sum();
        let waiting_us: i64 = legs.iter().map(|leg| leg.waiting_us).sum();
        let from_us = legs.first().map_or(self.now_us, |leg| leg.from_us);
        let metered_minor = 440 + distance_m as i64 * 132 / 1_000 + waiting_us * 47 / MINUTE_US;
        let ride =
            Ride { from_us, to_us: self.now_us, distance_m, waiting_us, amount_minor: (metered_minor + 19) / 20 * 20 };
        self.shift.rides.push(ride);
        ride
    }
}

impl Shift {
    /// Position at a moment of the shift; `cursor` remembers the last knot before it and only moves forward.
    pub(crate) fn at(&self, at_us: i64, cursor: &mut usize) -> Point {
        while self.knots.get(*cursor + 1).is_some_and(|knot| knot.at_us <= at_us) {
            *cursor += 1;
        }
        let before = self.knots[*cursor];
        match self.knots.get(*cursor + 1) {
            Some(after) => {
                let share = (at_us - before.at_us) as f64 / (after.at_us - before.at_us) as f64;
                before.at.towards(after.at, share)
            }
            None => before.at,
        }
    }

    /// First and last moment, microseconds UTC.
    pub(crate) fn span_us(&self) -> (i64, i64) {
        let at = |knot: Option<&Knot>| knot.map_or(0, |knot| knot.at_us);
        (at(self.knots.first()), at(self.knots.last()))
    }
}

/// Whole seconds of a duration in microseconds, for people.
pub(crate) fn seconds(duration_us: i64) -> f64 {
    duration_us as f64 / SECOND_US as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shifts() -> Vec<Shift> {
        let town = Town::new(5);
        let business = Business::new(5, 5, &town);
        (0..business.carriers.len()).filter_map(|carrier| shift(5, carrier, 1, &town, &business)).collect()
    }

    /// Fails when a leg starts before its forerunner has ended, or a payment is taken on the move.
    #[test]
    fn legs_follow_each_other_and_payments_happen_at_stays() {
        let shifts = shifts();
        assert!(shifts.len() >= 8);
        for shift in shifts {
            assert!(shift.knots.is_sorted_by_key(|knot| knot.at_us));
            for pair in shift.legs.windows(2) {
                assert_eq!((pair[0].to_us, pair[0].to), (pair[1].from_us, pair[1].from));
            }
            assert!(!shift.payments.is_empty());
            for payment in &shift.payments {
                let leg = shift.legs.iter().find(|leg| (leg.from_us..leg.to_us).contains(&payment.at_us)).unwrap();
                assert!(leg.is_stay && leg.from == payment.at, "{payment:?} {leg:?}");
            }
        }
    }

    #[test]
    fn nobody_drives_faster_than_the_street_allows() {
        for shift in shifts() {
            for pair in shift.knots.windows(2) {
                let seconds = seconds(pair[1].at_us - pair[0].at_us);
                assert!(pair[0].at.distance_m(pair[1].at) <= 50.0 / 3.6 * seconds + 1e-6);
            }
        }
    }
}
