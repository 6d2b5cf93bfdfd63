//! What is strange about a trip, each with the numbers that say so. These are signs for people to look at, no verdicts.

use arrow::array::{BooleanArray, Int32Array};
use arrow::error::ArrowError;

use super::baseline::{Usual, straight_m};
use super::marks::{Mark, Marks};
use super::places::Places;
use super::present;
use super::table::Trips;
use crate::zones::Zones;

/// Detour: largest ratio of a path to what is usual that is not strange. Of a grid's ways without detour 99 in 100 are
/// below 1.5 of the straight line; rivers and one-way streets add to that.
pub const DETOUR_RATIO_MAX: f64 = 1.8;

/// Detour: largest ratio of a path to its straight line that needs no explanation, and is no detour whatever others
/// drove. A grid of streets explains the square root of two; the noise of fixes and the ways between street and door
/// add a tenth on short ways.
pub const DETOUR_OVER_STRAIGHT_MAX: f64 = 1.6;

/// Teleport: most fixes of a trip that cleaning may leave out as teleports. Single ones are the receiver's; after three
/// that agree the track jumps.
pub const TELEPORTS_MAX: usize = 2;

/// Copied: fixes at exactly another device's position and time from which they are strange. One can be chance where
/// two phones state coarse positions side by side.
pub const COPIES_MIN: usize = 5;

/// Smooth: fixes without noise from which they are strange.
pub const SMOOTH_MIN: usize = 10;

/// Smooth: share of the trip's fixes from which they are strange.
pub const SMOOTH_SHARE_MIN: f64 = 0.5;

/// Close reason of a trip whose track jumped.
const JUMP: &str = "jump";

/// Which trips follow one whose track jumped.
pub(super) struct Neighbours {
    follows_jump: Vec<bool>,
}

impl Neighbours {
    pub(super) fn of(trips: &Trips) -> Result<Self, ArrowError> {
        let mut follows_jump = vec![false; trips.len()];
        let order = trips.by_device()?;
        for pair in order.values().windows(2) {
            let [before, after] = [pair[0] as usize, pair[1] as usize];
            follows_jump[after] = trips.device_id.value(before) == trips.device_id.value(after)
                && trips.close_reason.value(before) == JUMP;
        }
        Ok(Self { follows_jump })
    }
}

/// Everything by which a trip is judged.
pub(super) struct Judge<'a> {
    pub(super) trips: &'a Trips,
    pub(super) zones: &'a Zones,
    pub(super) places: &'a Places,
    pub(super) marks: &'a Marks,
    pub(super) neighbours: &'a Neighbours,
}

impl Judge<'_> {
    /// Code and sentence of each thing that is strange about a trip.
    pub(super) fn anomalies(&self, row: usize, usual: Option<Usual>) -> Vec<(&'static str, String)> {
        let found = [
            usual.and_then(|usual| self.detour(row, usual)).map(|sentence| ("detour", sentence)),
            self.teleport(row).map(|sentence| ("teleport", sentence)),
            self.copied(row).map(|sentence| ("copied", sentence)),
            self.smooth(row).map(|sentence| ("smooth", sentence)),
        ];
        found.into_iter().flatten().collect()
    }

    /// A hired ride, or a trip without stops, is meant to lead somewhere; a free taxi cruises.
    fn detour(&self, row: usize, usual: Usual) -> Option<String> {
        let trips = self.trips;
        let has_stops = present(&trips.stops, row, Int32Array::value) != Some(0);
        if !present(&trips.hired, row, BooleanArray::value).unwrap_or(!has_stops) {
            return None;
        }
        let (path_m, straight_m) = (trips.path_m.value(row), straight_m(trips, row)?);
        let (ratio, over_straight) = (path_m / usual.length_m(), path_m / straight_m);
        if ratio <= DETOUR_RATIO_MAX || over_straight <= DETOUR_OVER_STRAIGHT_MAX {
            return None;
        }
        let straight = format!("the straight line of {straight_m:.0} m");
        Some(match usual {
            Usual::Straight(_) => format!("The path of {path_m:.0} m is {ratio:.1} times {straight}."),
            Usual::Pair(count, median_m) => {
                let zone = |zone| self.zones.name(zone);
                let (from, to) = (zone(self.places.origin[row]), zone(self.places.destination[row]));
                format!(
                    "The path of {path_m:.0} m is {ratio:.1} times the median of {count} earlier trips from {from} to \
                     {to} ({median_m:.0} m) and {over_straight:.1} times {straight}."
                )
            }
        })
    }

    fn teleport(&self, row: usize) -> Option<String> {
        let count = self.count(Mark::Teleport, row);
        let is_beyond = count > TELEPORTS_MAX;
        match (is_beyond, self.trips.close_reason.value(row) == JUMP, self.neighbours.follows_jump[row]) {
            (true, ..) => Some(format!("{count} fixes during the trip were left out as teleports.")),
            (_, true, _) => Some("The track jumped at the trip's end.".to_string()),
            (.., true) => Some("The track had jumped at the end of the trip before.".to_string()),
            _ => None,
        }
    }

    fn copied(&self, row: usize) -> Option<String> {
        let count = self.count(Mark::Copied, row);
        let of = self.fixes(row)?;
        (count >= COPIES_MIN)
            .then(|| format!("{count} fixes (the trip has {of}) are at another device's position at the same time."))
    }

    fn smooth(&self, row: usize) -> Option<String> {
        let count = self.count(Mark::Smooth, row);
        let of = self.fixes(row)?;
        (count >= SMOOTH_MIN && count as f64 >= of as f64 * SMOOTH_SHARE_MIN).then(|| {
            format!("{count} fixes (the trip has {of}) go on exactly like those before, without a receiver's noise.")
        })
    }

    fn count(&self, mark: Mark, row: usize) -> usize {
        let trips = self.trips;
        self.marks.count(mark, trips.device_id.value(row), trips.started_us(row), trips.ended_us(row))
    }

    fn fixes(&self, row: usize) -> Option<i32> {
        present(&self.trips.fixes, row, Int32Array::value)
    }
}
