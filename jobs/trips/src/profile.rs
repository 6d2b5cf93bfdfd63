//! The numbers of our own profile: what a stop is, when a trip begins and ends. They were fixed on one recorded bus
//! journey (tests/data/bus304_pings.csv) and hold unchanged for everything else, but for the turn at a visit: that rule
//! came after a look at the Liverpool buses (tests/data/liverpool14_pings.csv), which therefore prove nothing about it.

use crate::sighting::Sighting;
use crate::units::{MINUTE_US, SECOND_US};

/// A stop lasts at least so long.
pub const STOP_US_MIN: i64 = 20 * SECOND_US;
/// A stop begins while fixes lie so near to their mean, metres: the width of a road with its kerbs.
pub const ENTER_M: f64 = 15.0;
/// A stop lasts while fixes lie so near to its place, metres: six times the error of a usual fix.
pub const LEAVE_M: f64 = 30.0;
/// A longer standing ends a trip: twice the longest that the bus made on its way.
pub const PARKED_US: i64 = 7 * MINUTE_US;
/// A standing of at least this ends a trip too where the vehicle turns: it was where it wanted to be. On its way the bus
/// stood for as long, and went straight on.
pub const VISIT_US: i64 = 3 * MINUTE_US;
/// Only a trip of this length can end so, metres: what turns before manoeuvres. The least trip of Traccar's older detector.
pub const VISIT_M_MIN: f64 = 500.0;
/// A smaller change of direction is no turn, degrees: streets bend.
pub const TURN_DEG_MIN: f64 = 60.0;
/// A trip leaves its beginning by so much, with two fixes in a row, metres. Nearer ways are excursions of a parked
/// vehicle, most of them made by its receiver.
pub const DEPART_M: f64 = 120.0;
/// So many fixes in a row must say that a vehicle has left.
pub const DEPART_FIXES: u32 = 2;
/// Who stands again so soon and so near has crept along a queue: it is one stop, at the end of the queue.
pub const CREEP_US: i64 = 20 * SECOND_US;
/// See [`CREEP_US`], metres.
pub const CREEP_M: f64 = 80.0;
/// Who comes back from a gap farther away than this has made a trip meanwhile, metres.
pub const GAP_TRIP_M: f64 = 200.0;
/// Deviation of the stored line from the path, metres: that of a usual fix.
pub const LINE_M: f64 = 5.0;

/// How near to the mean of a beginning stop this fix must be.
pub(crate) fn enter_m(fix: &Sighting) -> f64 {
    fix.accuracy_m.map_or(ENTER_M, |accuracy_m| accuracy_m.clamp(ENTER_M, 50.0))
}

/// How near to the place of a stop this fix must be.
pub(crate) fn leave_m(fix: &Sighting) -> f64 {
    fix.accuracy_m.map_or(LEAVE_M, |accuracy_m| (2.0 * accuracy_m).clamp(LEAVE_M, 100.0))
}
