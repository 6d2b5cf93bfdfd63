//! What earlier trips let expect of a trip: its duration, and the length of its path.

use arrow::array::Array;

use super::medians::{Median, NO_GROUP, Sweep};
use super::places::Places;
use super::table::Trips;
use super::{WINDOW_US, seconds};

/// Trips of a vehicle between two zones in one hour of the week from which that hour speaks for itself: as many as
/// [`SHRINK_TRIPS`], from where a group has at least as much to say as the model.
pub const HOUR_TRIPS_MIN: u32 = 10;

/// Trips at which a group's median and the model of distance and speed weigh the same: the weight of the median of n
/// trips is n / (n + this). With durations that vary by half of themselves a median of ten trips is good to a fifth,
/// which is about what the straight line alone gives.
pub const SHRINK_TRIPS: f64 = 10.0;

/// Shortest straight line that says something about the way, metres: below it the way around the block, the walk to the
/// door and the error of the fixes outweigh it.
pub const STRAIGHT_M_MIN: f64 = 300.0;

/// Trips of a pair of zones from which the median of their paths is what a path is compared with, else the straight
/// line.
pub const DETOUR_TRIPS_MIN: u32 = 20;

/// What a path is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Usual {
    /// The median path of so many earlier trips of the pair of zones, metres.
    Pair(u32, f64),
    /// The straight line, metres.
    Straight(f64),
}

impl Usual {
    pub(super) fn length_m(self) -> f64 {
        match self {
            Self::Pair(_, length_m) | Self::Straight(length_m) => length_m,
        }
    }
}

/// What is expected of each trip asked about, in their order.
pub(super) struct Baseline {
    /// Duration in seconds, and the number of trips of the group that says so: 0 where the model says it alone.
    pub(super) expected: Vec<Option<(f64, u32)>>,
    pub(super) usual: Vec<Option<Usual>>,
}

impl Baseline {
    pub(super) fn of(trips: &Trips, places: &Places, asked: &[u32]) -> Self {
        let (started_us, ended_us) = (trips.started_at.values(), trips.ended_at.values());
        let sweep = Sweep { started_us, ended_us, asked, window_us: WINDOW_US };
        let durations_s: Vec<f64> = (0..trips.len()).map(|row| seconds(started_us[row], ended_us[row])).collect();
        let hours = sweep.medians(&places.alike_in_hour, &durations_s);
        let alike = sweep.medians(&places.alike, &durations_s);
        let (groups, speeds_mps): (Vec<u32>, Vec<f64>) =
            (0..trips.len()).map(|row| speed(places.vehicle[row], straight_m(trips, row), durations_s[row])).unzip();
        let speeds = sweep.medians(&groups, &speeds_mps);
        let expect = |(place, row): (usize, &u32)| {
            let model_s = straight_m(trips, *row as usize)
                .zip(speeds[place].of_at_least(1))
                .map(|(straight_m, speed_mps)| straight_m / speed_mps);
            expected(hours[place], alike[place], model_s)
        };
        let expected = asked.iter().enumerate().map(expect).collect();
        let paths = sweep.medians(&places.pair, trips.path_m.values());
        let compare = |(place, row): (usize, &u32)| usual(paths[place], straight_m(trips, *row as usize));
        Self { expected, usual: asked.iter().enumerate().map(compare).collect() }
    }
}

/// The straight line, where it says something about the way.
pub(super) fn straight_m(trips: &Trips, row: usize) -> Option<f64> {
    let is_known = trips.straight_m.is_valid(row);
    Some(trips.straight_m.value(row)).filter(|straight_m| is_known && *straight_m >= STRAIGHT_M_MIN)
}

/// Group and value of a trip's speed along its straight line, metres a second: all trips with a kind of vehicle are one
/// group.
fn speed(vehicle: u32, straight_m: Option<f64>, duration_s: f64) -> (u32, f64) {
    match straight_m {
        Some(straight_m) if duration_s > 0.0 => (vehicle, straight_m / duration_s),
        _ => (NO_GROUP, 0.0),
    }
}

/// The expected duration, and of how many trips it is the median: the hour's where it has enough, else that of all
/// hours, drawn towards the model.
fn expected(hour: Median, all_hours: Median, model_s: Option<f64>) -> Option<(f64, u32)> {
    let group = if hour.trips >= HOUR_TRIPS_MIN { hour } else { all_hours };
    match (group.of_at_least(1), model_s) {
        (None, None) => None,
        (None, Some(model_s)) => Some((model_s, 0)),
        (Some(median_s), None) => Some((median_s, group.trips)),
        (Some(median_s), Some(model_s)) => {
            let weight = f64::from(group.trips) / (f64::from(group.trips) + SHRINK_TRIPS);
            Some((weight * median_s + (1.0 - weight) * model_s, group.trips))
        }
    }
}

fn usual(pair: Median, straight_m: Option<f64>) -> Option<Usual> {
    match pair.of_at_least(DETOUR_TRIPS_MIN) {
        Some(length_m) if length_m > 0.0 => Some(Usual::Pair(pair.trips, length_m)),
        _ => straight_m.map(Usual::Straight),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_trips_are_drawn_towards_the_model() {
        let group = |trips, value| Median { trips, value };
        let none = group(0, 0.0);
        assert_eq!(expected(none, none, None), None);
        assert_eq!(expected(none, none, Some(100.0)), Some((100.0, 0)));
        assert_eq!(expected(none, group(10, 300.0), Some(100.0)), Some((200.0, 10)));
        assert_eq!(expected(none, group(1, 300.0), None), Some((300.0, 1)));
        assert_eq!(expected(group(9, 900.0), group(30, 300.0), Some(100.0)), Some((250.0, 30)));
        assert_eq!(expected(group(10, 900.0), group(30, 300.0), Some(100.0)), Some((500.0, 10)));
    }

    #[test]
    fn a_path_is_compared_with_enough_others_or_with_the_straight_line() {
        let pair = |trips| Median { trips, value: 2_000.0 };
        assert_eq!(usual(pair(20), Some(1_000.0)), Some(Usual::Pair(20, 2_000.0)));
        assert_eq!(usual(pair(19), Some(1_000.0)), Some(Usual::Straight(1_000.0)));
        assert_eq!(usual(pair(19), None), None);
    }
}
