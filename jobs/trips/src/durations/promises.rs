//! Which trip a promised time of arrival is about.
//!
//! It is about the trip of its device that ends nearest to it, before or after, at most [`PROMISE_US_MAX`] away, among
//! those that start at or after its `from_at` where it has one; of two as near the one that ends first. A trip that
//! several promises are about is held to the earliest of them.

use std::collections::HashMap;

use arrow::array::{Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::error::ArrowError;

use super::present;
use super::table::Trips;
use crate::columns::{texts, times};
use crate::units::SECOND_US;

/// Farthest end of the trip that a promise is about, microseconds: two hours. Whoever comes later than that came on
/// another errand.
pub const PROMISE_US_MAX: i64 = 2 * 3600 * SECOND_US;

/// Promised times of arrival.
pub(super) struct Promises {
    device_id: StringArray,
    promised_at: TimestampMicrosecondArray,
    from_at: TimestampMicrosecondArray,
}

impl Promises {
    pub(super) fn read(batches: &[RecordBatch]) -> Result<Self, ArrowError> {
        Ok(Self {
            device_id: texts(batches, "device_id")?,
            promised_at: times(batches, "promised_at")?,
            from_at: times(batches, "from_at")?,
        })
    }

    /// The promised time of each trip, microseconds.
    pub(super) fn of_trips(&self, trips: &Trips) -> Vec<Option<i64>> {
        let mut promised = vec![None; trips.len()];
        let mut by_device: HashMap<&str, Vec<usize>> =
            self.device_id.iter().flatten().map(|device_id| (device_id, Vec::new())).collect();
        if by_device.is_empty() {
            return promised;
        }
        // Trips come in the order of their ends.
        for row in 0..trips.len() {
            if let Some(rows) = by_device.get_mut(trips.device_id.value(row)) {
                rows.push(row);
            }
        }
        for promise in 0..self.device_id.len() {
            let at_us = self.promised_at.value(promise);
            let from_us = present(&self.from_at, promise, TimestampMicrosecondArray::value);
            let rows = &by_device[self.device_id.value(promise)];
            let first = rows.partition_point(|row| trips.ended_us(*row) < at_us.saturating_sub(PROMISE_US_MAX));
            let near =
                rows[first..].iter().take_while(|row| trips.ended_us(**row) <= at_us.saturating_add(PROMISE_US_MAX));
            let meant = near.filter(|row| from_us.is_none_or(|from_us| trips.started_us(**row) >= from_us));
            // The first of equals is the one that ends first.
            if let Some(row) = meant.min_by_key(|row| trips.ended_us(**row).abs_diff(at_us)) {
                promised[*row] = Some(promised[*row].map_or(at_us, |earlier: i64| earlier.min(at_us)));
            }
        }
        promised
    }
}
