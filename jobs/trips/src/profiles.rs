//! Published stop detectors under their own names, each with its original's rules, defaults and peculiarities, so that
//! a report can be compared with what those programs say about the same track.
//!
//! A detector takes the whole track of one device and gives its stops. Fixes may come in any order: they are taken by
//! time, those of one time in the order in which they stand. They must be what the unit lets pass: finite, in range.
//! Nothing is cleaned here unless the original does it. It may depend on the geometry of `geo`; it refuses to improve
//! on an original, even where that is plainly wrong.

pub mod movingpandas;
pub mod skmob;
pub mod traccar;

mod rectangle;

use std::borrow::Cow;
use std::str::FromStr;

use crate::track::Fix;

const US_PER_S: f64 = 1e6;

/// A stop as a detector claims it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stop {
    /// When it begins, microseconds UTC.
    pub start_us: i64,
    /// When it ends, microseconds UTC; each detector says which fix that is.
    pub end_us: i64,
    /// Latitude of its place, WGS84 degrees.
    pub lat: f64,
    /// Longitude of its place, WGS84 degrees.
    pub lon: f64,
    /// How many fixes the detector counts to it.
    pub fixes: usize,
}

/// A detector with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Profile {
    /// Stay locations of scikit-mobility 1.3.0.
    Skmob(skmob::Parameters),
    /// Stops of MovingPandas 0.23.0.
    MovingPandas(movingpandas::Parameters),
    /// Stops of Traccar's report, window detector.
    Traccar(traccar::Parameters),
}

/// No profile has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no published profile is named {name:?}; the names are {}", Profile::NAMES.join(", "))]
pub struct UnknownProfile {
    /// What was asked for.
    pub name: String,
}

impl Profile {
    /// Names of the profiles.
    pub const NAMES: [&str; 3] = ["skmob", "movingpandas", "traccar"];

    /// Under which name it is found.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Skmob(_) => "skmob",
            Self::MovingPandas(_) => "movingpandas",
            Self::Traccar(_) => "traccar",
        }
    }

    /// The stops of one device's track, by time.
    pub fn stops(&self, fixes: &[Fix]) -> Vec<Stop> {
        match self {
            Self::Skmob(parameters) => skmob::stops(fixes, parameters),
            Self::MovingPandas(parameters) => movingpandas::stops(fixes, parameters),
            Self::Traccar(parameters) => traccar::stops(fixes, parameters),
        }
    }
}

/// The profile of a name, with its original's defaults.
impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        match name {
            "skmob" => Ok(Self::Skmob(skmob::Parameters::default())),
            "movingpandas" => Ok(Self::MovingPandas(movingpandas::Parameters::default())),
            "traccar" => Ok(Self::Traccar(traccar::Parameters::default())),
            _ => Err(UnknownProfile { name: name.to_string() }),
        }
    }
}

/// The fixes by time; those of one time stay as they stand.
fn in_time_order(fixes: &[Fix]) -> Cow<'_, [Fix]> {
    if fixes.is_sorted_by_key(|fix| fix.time_us) {
        return Cow::Borrowed(fixes);
    }
    let mut sorted = fixes.to_vec();
    sorted.sort_by_key(|fix| fix.time_us);
    Cow::Owned(sorted)
}

/// Median latitude and median longitude, each for itself; of an even number of values the mean of the middle two.
/// `fixes` must not be empty.
fn median_place(fixes: &[Fix]) -> (f64, f64) {
    let median = |coordinate: fn(&Fix) -> f64| {
        let mut values: Vec<f64> = fixes.iter().map(coordinate).collect();
        let middle = values.len() / 2;
        let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
        let upper = *upper;
        if fixes.len() % 2 == 1 {
            return upper;
        }
        let lower = below.iter().copied().max_by(f64::total_cmp).unwrap_or(upper);
        (lower + upper) / 2.0
    };
    (median(|fix| fix.lat), median(|fix| fix.lon))
}

#[cfg(test)]
mod tests;
