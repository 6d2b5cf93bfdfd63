//! Where devices were at given moments, by the fixes around each: they are shown one batch after the other, in any
//! order, and of each moment no more than two are kept.

use std::collections::HashMap;

use arrow::array::{Array, RecordBatch};
use arrow::error::ArrowError;

use super::timeline::Places;
use crate::columns::{texts, times};
use crate::metric::{Place, Plane};
use crate::units::seconds;

/// A fix at a distance in time from a moment.
#[derive(Debug, Clone, Copy)]
struct Fix {
    apart_us: i64,
    place: Place,
}

/// A moment of which the place is asked.
struct Moment {
    at_us: i64,
    /// The last fix at or before it.
    before: Option<Fix>,
    /// The first fix after it.
    after: Option<Fix>,
}

/// Where a device was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sighted {
    pub(super) place: Place,
    /// Seconds to the nearer fix, where one told it.
    pub(super) fix_s: Option<f64>,
}

/// Moments of devices.
#[derive(Default)]
pub(super) struct Sightings(HashMap<String, Vec<Moment>>);

impl Sightings {
    /// Asks where devices were at these moments.
    pub(super) fn of<'a>(moments: impl Iterator<Item = (&'a str, i64)>) -> Self {
        let mut by_device: HashMap<String, Vec<Moment>> = HashMap::new();
        for (device_id, at_us) in moments {
            let moment = Moment { at_us, before: None, after: None };
            match by_device.get_mut(device_id) {
                Some(moments) => moments.push(moment),
                None => drop(by_device.insert(device_id.to_string(), vec![moment])),
            }
        }
        for moments in by_device.values_mut() {
            moments.sort_unstable_by_key(|moment| moment.at_us);
            moments.dedup_by_key(|moment| moment.at_us);
        }
        Self(by_device)
    }

    /// Every moment, in no order.
    pub(super) fn moments(&self) -> impl Iterator<Item = i64> {
        self.0.values().flatten().map(|moment| moment.at_us)
    }

    /// Looks at fixes that cleaning has kept: `device_id`, `event_time`, `lat` and `lon`. One that is more than
    /// `apart_us_max` from a moment says nothing about it.
    pub(super) fn look(&mut self, fixes: &RecordBatch, apart_us_max: i64) -> Result<(), ArrowError> {
        let fixes = std::slice::from_ref(fixes);
        let (devices, at, places) = (texts(fixes, "device_id")?, times(fixes, "event_time")?, Places::read(fixes)?);
        for row in 0..devices.len() {
            let Some(moments) = self.0.get_mut(devices.value(row)) else { continue };
            let (fix_us, place) = (at.value(row), places.get(row));
            let first = moments.partition_point(|moment| moment.at_us < fix_us.saturating_sub(apart_us_max));
            let near = moments[first..].iter_mut();
            for moment in near.take_while(|moment| moment.at_us <= fix_us.saturating_add(apart_us_max)) {
                let apart_us = moment.at_us - fix_us;
                let side = if apart_us >= 0 { &mut moment.before } else { &mut moment.after };
                let fix = Fix { apart_us: apart_us.abs(), place };
                // Of two at one time any would do; the order of batches must not choose.
                let key = |fix: &Fix| (fix.apart_us, fix.place.lat.to_bits(), fix.place.lon.to_bits());
                if side.is_none_or(|kept| key(&fix) < key(&kept)) {
                    *side = Some(fix);
                }
            }
        }
        Ok(())
    }

    /// Where a device was at a moment that was asked for: on the line between the two fixes, else at the only one.
    pub(super) fn find(&self, device_id: &str, at_us: i64) -> Option<Sighted> {
        let moments = self.0.get(device_id)?;
        let moment = &moments[moments.binary_search_by_key(&at_us, |moment| moment.at_us).ok()?];
        let sighted = |place, apart_us| Sighted { place, fix_s: Some(seconds(apart_us)) };
        let (Some(before), Some(after)) = (moment.before, moment.after) else {
            return moment.before.or(moment.after).map(|fix| sighted(fix.place, fix.apart_us));
        };
        let plane = Plane::at(before.place);
        let share = before.apart_us as f64 / (before.apart_us + after.apart_us) as f64;
        let place = plane.place(plane.metres(after.place).times(share));
        Some(sighted(place, before.apart_us.min(after.apart_us)))
    }
}
