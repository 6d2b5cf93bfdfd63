//! Where trips begin and end, when in the week, and the groups that this makes.

use std::collections::HashMap;

use super::table::Trips;
use crate::metric::Place;
use crate::zones::{WEEK_HOURS, ZoneId, Zones};

/// Zones and hours of all trips.
pub(super) struct Places {
    pub(super) origin: Vec<ZoneId>,
    pub(super) destination: Vec<ZoneId>,
    pub(super) hour_of_week: Vec<u32>,
    /// Trips with the same zones of origin and destination have the same number.
    pub(super) pair: Vec<u32>,
    /// Trips with the same zones and hour of the week have the same number.
    pub(super) pair_and_hour: Vec<u32>,
}

impl Places {
    pub(super) fn of(trips: &Trips, zones: &Zones) -> Self {
        let [start_lat, start_lon, end_lat, end_lon] = &trips.ends;
        let rows = 0..trips.len();
        let zone = |lat: f64, lon: f64| zones.find(Place { lat, lon });
        let origin: Vec<ZoneId> = rows.clone().map(|row| zone(start_lat.value(row), start_lon.value(row))).collect();
        let destination: Vec<ZoneId> = rows.clone().map(|row| zone(end_lat.value(row), end_lon.value(row))).collect();
        let hour_of_week: Vec<u32> = rows.map(|row| zones.hour_of_week(origin[row], trips.started_us(row))).collect();
        let pair = numbered(origin.iter().zip(&destination));
        let hours = pair.iter().zip(&hour_of_week);
        let pair_and_hour =
            numbered(hours.map(|(pair, hour)| u64::from(*pair) * u64::from(WEEK_HOURS) + u64::from(*hour)));
        Self { origin, destination, hour_of_week, pair, pair_and_hour }
    }
}

/// A number for each key, equal ones for equal keys, from 0.
fn numbered<K: Eq + std::hash::Hash>(keys: impl Iterator<Item = K>) -> Vec<u32> {
    let mut numbers: HashMap<K, u32> = HashMap::new();
    keys.map(|key| {
        // There are no more keys than rows, which 32 bits count.
        let next = numbers.len() as u32;
        *numbers.entry(key).or_insert(next)
    })
    .collect()
}
