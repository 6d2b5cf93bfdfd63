//! What is told about a vehicle as it goes: enough rows for a view of now, few enough to keep.

use serde::{Deserialize, Serialize};

use crate::metric::Place;
use crate::segment::{Doing, Segmenter};
use crate::units::MINUTE_US;

/// A vehicle on a trip is told at least so often, by the time of its fixes.
pub const DRIVING_PACE_US: i64 = 2 * MINUTE_US;
/// A standing vehicle is told at least so often.
pub const STOPPED_PACE_US: i64 = 15 * MINUTE_US;

/// A vehicle as of its last kept fix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VehicleSeen {
    /// 1, or one more than in the row about this device before.
    pub sequence: i64,
    /// Time of the fix, microseconds UTC.
    pub time_us: i64,
    /// Where.
    pub place: Place,
    /// Speed that the device states, metres a second.
    pub speed_mps: Option<f64>,
    /// What it does.
    pub doing: Doing,
    /// Since when: start of the stop or trip, or time of the last fix. Microseconds UTC.
    pub since_us: i64,
    /// Whether it is hired, where the device knows.
    pub hired: Option<bool>,
    /// Start of the open trip, microseconds UTC, and its length so far without movement in stops, metres.
    pub trip: Option<(i64, f64)>,
}

/// What makes a row due at once.
type State = (Doing, Option<bool>, Option<i64>);

/// What was told last.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Told {
    sequence: i64,
    time_us: i64,
    state: Option<State>,
}

impl Told {
    /// The row that is due, if one is.
    pub(crate) fn due(&mut self, segmenter: &Segmenter) -> Option<VehicleSeen> {
        let last = segmenter.last()?;
        let (doing, since_us) = segmenter.doing()?;
        let trip = segmenter.open_trip();
        let state = (doing, segmenter.hired(), trip.map(|(start_us, _)| start_us));
        let pace_us = if doing == Doing::Driving { DRIVING_PACE_US } else { STOPPED_PACE_US };
        if self.state == Some(state) && last.time_us - self.time_us < pace_us {
            return None;
        }
        *self = Self { sequence: self.sequence + 1, time_us: last.time_us, state: Some(state) };
        Some(VehicleSeen {
            sequence: self.sequence,
            time_us: last.time_us,
            place: last.place,
            speed_mps: last.speed_mps,
            doing,
            since_us,
            hired: segmenter.hired(),
            trip,
        })
    }
}
