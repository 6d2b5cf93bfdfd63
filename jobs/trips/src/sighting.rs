//! A fix as the operator takes it from a log, and why one may be left out.
//!
//! It may depend on [`crate::metric`]. It refuses to decide.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::metric::Place;
use crate::track::Fix;

/// Radius of 68 % confidence of a phone that does not state one, metres: twice the usual error under open sky.
pub(crate) const ACCURACY_M_DEFAULT: f64 = 10.0;

/// A fix of one device with what cleaning and trips need. Latitude and longitude are in their ranges, times between 1970
/// and the year 9999; an accuracy or speed that is no number or negative counts as none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sighting {
    /// When the fix was taken, microseconds UTC.
    pub time_us: i64,
    /// Where.
    pub place: Place,
    /// Radius of 68 % confidence that the device states, metres.
    pub accuracy_m: Option<f64>,
    /// Speed over ground that the device states, metres a second.
    pub speed_mps: Option<f64>,
    /// Whether the vehicle is hired, where the device knows.
    pub hired: Option<bool>,
    /// When the gateway put it on the log, microseconds UTC; nothing in a recording.
    pub received_us: Option<i64>,
}

impl Sighting {
    /// A fix of a recorded track.
    pub fn recorded(fix: &Fix) -> Self {
        let place = Place { lat: fix.lat, lon: fix.lon };
        let bare = Self {
            time_us: fix.time_us,
            place,
            accuracy_m: fix.accuracy_m,
            speed_mps: None,
            hired: None,
            received_us: None,
        };
        bare.sound()
    }

    /// Without values that mean nothing.
    pub(crate) fn sound(self) -> Self {
        let meant = |value: Option<f64>| value.filter(|value| *value >= 0.0);
        Self { accuracy_m: meant(self.accuracy_m), speed_mps: meant(self.speed_mps), ..self }
    }

    /// Stated or assumed radius of 68 % confidence, metres.
    pub(crate) fn error_m(&self) -> f64 {
        self.accuracy_m.unwrap_or(ACCURACY_M_DEFAULT)
    }

    /// Whether the device sent the same before: everything but the time of arrival is equal.
    pub(crate) fn is_copy_of(&self, other: &Self) -> bool {
        Self { received_us: None, ..*self } == Self { received_us: None, ..*other }
    }

    /// Order of a device's fixes. Of several with one time the first is the one to keep: the best accuracy, then the
    /// least latitude, then the least longitude.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let accuracy = |fix: &Self| fix.accuracy_m.unwrap_or(f64::INFINITY);
        self.time_us
            .cmp(&other.time_us)
            .then_with(|| accuracy(self).total_cmp(&accuracy(other)))
            .then_with(|| self.place.lat.total_cmp(&other.place.lat))
            .then_with(|| self.place.lon.total_cmp(&other.place.lon))
            .then_with(|| self.speed_mps.unwrap_or(-1.0).total_cmp(&other.speed_mps.unwrap_or(-1.0)))
            .then_with(|| self.hired.cmp(&other.hired))
    }
}

/// Why a fix was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// An exact copy of another.
    Duplicate,
    /// Another fix of the same time is better.
    SameTime,
    /// Not newer than what had been kept when it came, or more than a day older than its arrival.
    Late,
    /// Taken after it arrived.
    Future,
    /// Too uncertain to say anything.
    Accuracy,
    /// Latitude and longitude 0, which receivers send before they know.
    ZeroIsland,
    /// Not to be reached from the fixes before it, or the false side of such a jump.
    Teleport,
    /// The same position to the last digit though the device states that it moves.
    Frozen,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Duplicate,
        Self::SameTime,
        Self::Late,
        Self::Future,
        Self::Accuracy,
        Self::ZeroIsland,
        Self::Teleport,
        Self::Frozen,
    ];

    /// Code in tables.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::SameTime => "same_time",
            Self::Late => "late",
            Self::Future => "future",
            Self::Accuracy => "accuracy",
            Self::ZeroIsland => "zero_island",
            Self::Teleport => "teleport",
            Self::Frozen => "frozen",
        }
    }
}
