//! Where trips begin and end, when in the week, and the groups that this makes.

use std::collections::HashMap;

use super::table::Trips;
use crate::metric::Place;
use crate::zones::{ZoneId, Zones};

/// Zones and hours of all trips.
pub(super) struct Places {
    pub(super) origin: Vec<ZoneId>,
    pub(super) destination: Vec<ZoneId>,
    pub(super) hour_of_week: Vec<u32>,
    /// Trips with the same kind of vehicle have the same number.
    pub(super) vehicle: Vec<u32>,
    /// Trips with the same zones of origin and destination have the same number.
    pub(super) pair: Vec<u32>,
    /// Those with the same zones and kind of vehicle.
    pub(super) alike: Vec<u32>,
    /// Those with the same zones, kind of vehicle and hour of the week.
    pub(super) alike_in_hour: Vec<u32>,
}

impl Places {
    /// Places and groups of the trips, whose vehicles have these numbers.
    pub(super) fn of(trips: &Trips, zones: &Zones, vehicle: &[u32]) -> Self {
        let [start_lat, start_lon, end_lat, end_lon] = &trips.ends;
        let rows = 0..trips.len();
        let zone = |lat: f64, lon: f64| zones.find(Place { lat, lon });
        let origin: Vec<ZoneId> = rows.clone().map(|row| zone(start_lat.value(row), start_lon.value(row))).collect();
        let destination: Vec<ZoneId> = rows.clone().map(|row| zone(end_lat.value(row), end_lon.value(row))).collect();
        let hour_of_week: Vec<u32> = rows.map(|row| zones.hour_of_week(origin[row], trips.started_us(row))).collect();
        let pair = numbered(origin.iter().zip(&destination));
        let alike = numbered(pair.iter().zip(vehicle));
        let alike_in_hour = numbered(alike.iter().zip(&hour_of_week));
        Self { origin, destination, hour_of_week, vehicle: vehicle.to_vec(), pair, alike, alike_in_hour }
    }
}

/// A number for each key, equal ones for equal keys, from 0.
pub(super) fn numbered<K: Eq + std::hash::Hash>(keys: impl Iterator<Item = K>) -> Vec<u32> {
    let mut numbers: HashMap<K, u32> = HashMap::new();
    keys.map(|key| {
        // There are no more keys than rows, which 32 bits count.
        let next = numbers.len() as u32;
        *numbers.entry(key).or_insert(next)
    })
    .collect()
}
