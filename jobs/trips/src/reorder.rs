//! Puts the fixes of one device in the order of their times, within a stated lateness, and finds copies.
//!
//! A fix waits until the device has sent one that is newer by the lateness, and until it has lain here for a while by the
//! log's clock: an upload of what a phone had buffered may come in any order. Late is judged by the device's own times
//! alone. It refuses to hold more than a bound; what has waited longest then goes on early.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::sighting::{Reason, Sighting};
use crate::units::{DAY_US, SECOND_US};

/// Fixes may come so much later than newer ones of their device without being late.
pub const LATENESS_US: i64 = 60 * SECOND_US;
/// A fix waits at least so long after its arrival: uploads of a buffer come within seconds, in any order.
pub const HOLD_US: i64 = 30 * SECOND_US;
/// A fix may be so much newer than its arrival: clocks of gateways differ by seconds.
pub const FUTURE_US_MAX: i64 = 60 * SECOND_US;
/// A fix may be so much older than its arrival: what a phone buffered for longer is of no more use.
pub const BUFFERED_US_MAX: i64 = DAY_US;
/// Most fixes that wait for one device: half a day of one fix a minute at once, or an hour of one a second.
pub const WAITING_MAX: usize = 4_096;
/// So many faults told on arrival are remembered, so that their copies are told as copies.
const TOLD_MAX: usize = 8;

/// What became of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    Waits,
    LeftOut(Reason),
}

/// The fixes of one device that wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reorder {
    waiting: VecDeque<Sighting>,
    told: VecDeque<Sighting>,
    /// Largest time of a fix that could be one.
    newest_us: i64,
    /// Newest arrival.
    arrived_us: Option<i64>,
}

impl Default for Reorder {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), told: VecDeque::new(), newest_us: i64::MIN, arrived_us: None }
    }
}

impl Reorder {
    /// Largest time of a fix; nothing before the first.
    pub(crate) fn newest_us(&self) -> Option<i64> {
        (self.newest_us != i64::MIN).then_some(self.newest_us)
    }

    /// Newest arrival; nothing where the log has no clock.
    pub(crate) fn arrived_us(&self) -> Option<i64> {
        self.arrived_us
    }

    /// Takes a fix. `kept_us` is the time of the last fix that was kept.
    pub(crate) fn arrive(&mut self, fix: Sighting, kept_us: i64) -> Arrival {
        self.arrived_us = self.arrived_us.max(fix.received_us);
        let is_future = fix.received_us.is_some_and(|received_us| fix.time_us - received_us > FUTURE_US_MAX);
        let is_old = fix.received_us.is_some_and(|received_us| received_us - fix.time_us > BUFFERED_US_MAX);
        if is_future || is_old || fix.time_us <= kept_us {
            return self.leave_out(fix, if is_future { Reason::Future } else { Reason::Late });
        }
        self.newest_us = self.newest_us.max(fix.time_us);
        if self.waiting.back().is_none_or(|last| last.time_us < fix.time_us) {
            self.waiting.push_back(fix);
            return Arrival::Waits;
        }
        let place = self.waiting.partition_point(|other| other.order(&fix).is_lt());
        if self.waiting.get(place).is_some_and(|other| other.is_copy_of(&fix)) {
            return Arrival::LeftOut(Reason::Duplicate);
        }
        self.waiting.insert(place, fix);
        Arrival::Waits
    }

    fn leave_out(&mut self, fix: Sighting, reason: Reason) -> Arrival {
        if self.told.iter().any(|told| told.is_copy_of(&fix)) {
            return Arrival::LeftOut(Reason::Duplicate);
        }
        if self.told.len() == TOLD_MAX {
            self.told.pop_front();
        }
        self.told.push_back(fix);
        Arrival::LeftOut(reason)
    }

    /// The next fix that has waited long enough.
    pub(crate) fn release(&mut self) -> Option<Sighting> {
        let first = self.waiting.front()?;
        let is_overtaken = self.newest_us - first.time_us >= LATENESS_US;
        let has_lain = match (first.received_us, self.arrived_us) {
            (Some(received_us), Some(arrived_us)) => arrived_us - received_us >= HOLD_US,
            _ => true,
        };
        if is_overtaken && has_lain || self.waiting.len() > WAITING_MAX { self.waiting.pop_front() } else { None }
    }

    /// The next fix, whether it has waited or not.
    pub(crate) fn flush(&mut self) -> Option<Sighting> {
        self.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Place;

    fn fix(second: i64) -> Sighting {
        let place = Place { lat: 53.0, lon: -6.0 };
        Sighting {
            time_us: second * SECOND_US,
            place,
            accuracy_m: None,
            speed_mps: None,
            hired: None,
            received_us: None,
        }
    }

    fn received(second: i64, arrival: i64) -> Sighting {
        Sighting { received_us: Some(arrival * SECOND_US), ..fix(second) }
    }

    fn seconds(reorder: &mut Reorder) -> Vec<i64> {
        std::iter::from_fn(|| reorder.release()).map(|fix| fix.time_us / SECOND_US).collect()
    }

    /// Fails when a fix leaves before the lateness has passed, or late is judged by another measure.
    #[test]
    fn fixes_leave_in_order_once_the_lateness_has_passed() {
        let mut reorder = Reorder::default();
        for second in [10, 50, 30, 69] {
            assert_eq!(reorder.arrive(fix(second), 0), Arrival::Waits);
        }
        assert_eq!(seconds(&mut reorder), [0; 0]);
        reorder.arrive(fix(70), 0);
        assert_eq!(seconds(&mut reorder), [10]);
        assert_eq!(reorder.arrive(fix(11), 10 * SECOND_US), Arrival::Waits);
        assert_eq!(reorder.arrive(fix(10), 10 * SECOND_US), Arrival::LeftOut(Reason::Late));
        assert_eq!(reorder.arrive(fix(10), 10 * SECOND_US), Arrival::LeftOut(Reason::Duplicate));
        reorder.arrive(fix(200), 0);
        assert_eq!(seconds(&mut reorder), [11, 30, 50, 69, 70]);
    }

    /// Fails when an upload is let through fix by fix.
    #[test]
    fn an_upload_of_a_buffer_in_any_order_is_no_late_fix() {
        let mut reorder = Reorder::default();
        for second in [700, 1_100, 20, 500, 900] {
            assert_eq!(reorder.arrive(received(second, 1_200), 0), Arrival::Waits);
            assert_eq!(seconds(&mut reorder), [0; 0]);
        }
        reorder.arrive(received(1_229, 1_229), 0);
        assert_eq!(seconds(&mut reorder), [0; 0]);
        reorder.arrive(received(1_230, 1_230), 0);
        assert_eq!(seconds(&mut reorder), [20, 500, 700, 900, 1_100]);
    }

    #[test]
    fn the_future_and_what_is_older_than_a_day_are_left_out() {
        let mut reorder = Reorder::default();
        let day = DAY_US / SECOND_US;
        assert_eq!(reorder.arrive(received(2 * day, 2 * day - 61), 0), Arrival::LeftOut(Reason::Future));
        assert_eq!(reorder.arrive(received(2 * day, 2 * day - 60), 0), Arrival::Waits);
        assert_eq!(reorder.arrive(received(day - 1, 2 * day), 0), Arrival::LeftOut(Reason::Late));
        assert_eq!(reorder.arrive(received(day, 2 * day), 0), Arrival::Waits);
    }

    #[test]
    fn copies_are_found_whichever_of_several_fixes_of_a_time_they_copy() {
        let mut reorder = Reorder::default();
        let sharp = Sighting { accuracy_m: Some(3.0), ..fix(5) };
        let dull = Sighting { accuracy_m: Some(9.0), received_us: Some(9), ..fix(5) };
        for other in [dull, fix(5), sharp] {
            assert_eq!(reorder.arrive(other, 0), Arrival::Waits);
            assert_eq!(reorder.arrive(other, 0), Arrival::LeftOut(Reason::Duplicate));
        }
        assert_eq!(reorder.flush(), Some(sharp), "the best accuracy comes first");
        assert_eq!(reorder.flush(), Some(dull));
    }

    #[test]
    fn the_buffer_is_bounded() {
        let mut reorder = Reorder::default();
        let mut left = 0;
        for number in 0..i64::try_from(WAITING_MAX).unwrap() + 10 {
            reorder.arrive(received(1_000 - number % 1_000, 1_000), 0);
            reorder.arrive(Sighting { time_us: number, ..received(0, 0) }, -1);
            left += seconds(&mut reorder).len();
        }
        assert!(left > 0 && reorder.waiting.len() <= WAITING_MAX, "{left}");
    }
}
