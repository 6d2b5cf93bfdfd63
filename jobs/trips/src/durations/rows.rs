//! What is known about each trip, as rows of the table.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::take;
use arrow::error::ArrowError;

use super::anomalies::Judge;
use super::baseline::{Baseline, Usual};
use super::places::Places;
use super::table::Trips;
use super::{present, seconds};
use crate::zones::Zones;

/// What was found out about the trips: `baseline` of those asked about, everything else of all.
pub(super) struct Said<'a> {
    pub(super) trips: &'a Trips,
    pub(super) places: &'a Places,
    pub(super) baseline: &'a Baseline,
    pub(super) promised: &'a [Option<i64>],
    /// Courier, merchant and vehicle.
    pub(super) assigned: &'a [ArrayRef; 3],
}

impl Said<'_> {
    fn duration_s(&self, row: usize) -> f64 {
        seconds(self.trips.started_us(row), self.trips.ended_us(row))
    }

    fn moving_s(&self, row: usize) -> Option<f64> {
        let idle_s = present(&self.trips.idle_s, row, Int64Array::value)?;
        Some((self.duration_s(row) - idle_s as f64).max(0.0))
    }

    fn deviation_s(&self, place: usize, row: usize) -> Option<f64> {
        self.baseline.expected[place].map(|(expected_s, _)| self.duration_s(row) - expected_s)
    }

    fn detour_ratio(&self, place: usize, row: usize) -> Option<f64> {
        self.baseline.usual[place].map(|usual: Usual| self.trips.path_m.value(row) / usual.length_m())
    }

    fn on_time(&self, row: usize) -> Option<bool> {
        self.promised[row].map(|promised_us| self.trips.ended_us(row) <= promised_us)
    }
}

/// The rows of the trips asked about.
pub(super) fn batch(
    said: &Said<'_>,
    zones: &Zones,
    judge: &Judge<'_>,
    asked: &[u32],
) -> Result<RecordBatch, ArrowError> {
    let (trips, places) = (said.trips, said.places);
    let chosen = UInt32Array::from(asked.to_vec());
    let [courier_id, merchant_id, vehicle] = said.assigned;
    let pick = |column: &dyn Array| take(column, &chosen, None);
    let rows = || asked.iter().map(|row| *row as usize);
    let numbers = |value: &dyn Fn(usize, usize) -> Option<f64>| -> ArrayRef {
        Arc::new(rows().enumerate().map(|(place, row)| value(place, row)).collect::<Float64Array>())
    };
    let zone = |of: &[crate::zones::ZoneId]| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows().map(|row| zones.name(of[row]))))
    };
    // Hours of a week and counts of trips are far below what 32 bits hold.
    let small = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let hours = Int32Array::from_iter_values(rows().map(|row| small(places.hour_of_week[row])));
    let expected_from: Int32Array =
        said.baseline.expected.iter().map(|expected| expected.map(|(_, trips)| small(trips))).collect();
    let promised: TimestampMicrosecondArray = rows().map(|row| said.promised[row]).collect();
    let on_time: BooleanArray = rows().map(|row| said.on_time(row)).collect();
    let (anomalies, reasons) = judged(said, judge, asked);
    let mut columns = vec![
        pick(&trips.trip_id)?,
        pick(&trips.revision)?,
        pick(&trips.device_id)?,
        pick(courier_id)?,
        pick(merchant_id)?,
        pick(vehicle)?,
        pick(&trips.hired)?,
        pick(&trips.started_at)?,
        pick(&trips.ended_at)?,
        numbers(&|_, row| Some(said.duration_s(row))),
        numbers(&|_, row| said.moving_s(row)),
        pick(&trips.distance_m)?,
        pick(&trips.path_m)?,
        pick(&trips.straight_m)?,
        zone(&places.origin),
        zone(&places.destination),
        Arc::new(hours),
        numbers(&|place, _| said.baseline.expected[place].map(|(expected_s, _)| expected_s)),
        Arc::new(expected_from),
        numbers(&|place, row| said.deviation_s(place, row)),
        numbers(&|place, row| said.detour_ratio(place, row)),
        Arc::new(promised.with_timezone("UTC")),
        Arc::new(on_time),
        anomalies,
        reasons,
    ];
    for (_, column) in &trips.carried {
        columns.push(pick(column)?);
    }
    RecordBatch::try_new(schemas::durations::trip_durations_table(), columns)
}

/// Codes of the anomalies and the sentences about them, of each trip asked about.
fn judged(said: &Said<'_>, judge: &Judge<'_>, asked: &[u32]) -> (ArrayRef, ArrayRef) {
    let mut codes = schemas::topics::text_lists();
    let mut reasons = StringBuilder::new();
    for (place, row) in asked.iter().enumerate() {
        let found = judge.anomalies(*row as usize, said.baseline.usual[place]);
        found.iter().for_each(|(code, _)| codes.values().append_value(code));
        codes.append(true);
        let sentences: Vec<&str> = found.iter().map(|(_, sentence)| sentence.as_str()).collect();
        reasons.append_option((!sentences.is_empty()).then(|| sentences.join(" ")));
    }
    (Arc::new(codes.finish()), Arc::new(reasons.finish()))
}
