//! How long trips took, against what earlier trips let expect, and what is strange about them: one row a trip of the
//! table `trip_durations`.
//!
//! The baseline of a trip is *causal*: only trips that ended before it started, and at most [`WINDOW_US`] before that,
//! say what was to be expected. So a row says what could have been said when the trip set out, and later trips do not
//! change it. The expected duration is the exact median of the trips of the same pair of zones in the same hour of the
//! week, or of the pair in any hour where that hour has too few, drawn towards a model of distance and speed the more
//! the fewer trips there are. All of that among trips with the same kind of vehicle, since who walks would look late
//! beside taxis; vehicles that nobody named are one kind.
//!
//! Medians come from one sweep over time for each grouping (`medians`): O(n log n) time, and some 30 bytes a trip
//! beside the input for as long as the sweep lasts. The order of rows and batches makes no difference.
//!
//! It may depend on Arrow, `schemas` and this crate's zones. It refuses clocks, files and the lake: what it is told in
//! [`Inputs`] is all that it knows.

mod anomalies;
mod baseline;
mod marks;
mod medians;
mod places;
mod promises;
mod rows;
mod table;

use arrow::array::{Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;

use crate::assignments::Assignments;
use crate::units::SECOND_US;
use crate::zones::Zones;
use anomalies::{Judge, Neighbours};
use baseline::Baseline;
use marks::Marks;
use places::Places;
use promises::Promises;
use table::Trips;

pub use anomalies::{
    COPIES_MIN, DETOUR_OVER_STRAIGHT_MAX, DETOUR_RATIO_MAX, SMOOTH_MIN, SMOOTH_SHARE_MIN, TELEPORTS_MAX,
};
pub use baseline::{DETOUR_TRIPS_MIN, HOUR_TRIPS_MIN, SHRINK_TRIPS, STRAIGHT_M_MIN};
pub use marks::Mark;
pub use promises::PROMISE_US_MAX;

/// How far back the baseline of a trip reaches, microseconds: four weeks, so that each hour of the week has had four
/// days to say something, and a season or a closed bridge is forgotten.
pub const WINDOW_US: i64 = 28 * 24 * 3600 * SECOND_US;

/// What is known, each as batches in any order. Columns are found by name; texts and times may be of any Arrow type
/// that casts to the table's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// Rows of table `trips`; of several revisions of a trip the largest counts. A Boolean column `is_written` may mark
    /// those whose row exists: they are part of baselines and get none.
    pub trips: &'a [RecordBatch],
    /// Rows of table `couriers`.
    pub assignments: &'a [RecordBatch],
    /// Strange fixes: `device_id`, `event_time` and `kind`, which is a name of [`Mark`].
    pub marks: &'a [RecordBatch],
    /// Promised times of arrival: `device_id`, `promised_at` and `from_at`, which may be null.
    pub promises: &'a [RecordBatch],
}

/// Rows of `trip_durations` for the trips that have none, ordered by end and trip.
///
/// # Errors
/// Fails where a column is missing or has another type.
pub fn trip_durations(inputs: &Inputs<'_>, zones: &Zones) -> Result<RecordBatch, ArrowError> {
    let trips = Trips::read(inputs.trips)?;
    let asked = trips.asked();
    let assignments = Assignments::by("device_id", inputs.assignments)?;
    let in_force: UInt32Array =
        (0..trips.len()).map(|row| assignments.find(trips.device_id.value(row), trips.started_us(row))).collect();
    let vehicles = in_force.iter().map(|row| row.map(|row| assignments.vehicle.value(row as usize)));
    let places = Places::of(&trips, zones, &places::numbered(vehicles));
    let baseline = Baseline::of(&trips, &places, &asked);
    let promised = Promises::read(inputs.promises)?.of_trips(&trips);
    let judge = Judge {
        trips: &trips,
        zones,
        places: &places,
        marks: &Marks::read(inputs.marks)?,
        neighbours: &Neighbours::of(&trips)?,
    };
    let of_trips = |column: &StringArray| take(column, &in_force, None);
    let assigned =
        [of_trips(&assignments.courier_id)?, of_trips(&assignments.merchant_id)?, of_trips(&assignments.vehicle)?];
    let said =
        rows::Said { trips: &trips, places: &places, baseline: &baseline, promised: &promised, assigned: &assigned };
    rows::batch(&said, zones, &judge, &asked)
}

/// Seconds between two times in microseconds.
fn seconds(from_us: i64, to_us: i64) -> f64 {
    (to_us - from_us) as f64 / SECOND_US as f64
}

/// The value of a nullable column.
fn present<A: Array, T>(column: &A, row: usize, value: impl FnOnce(&A, usize) -> T) -> Option<T> {
    column.is_valid(row).then(|| value(column, row))
}

#[cfg(test)]
mod tests;
