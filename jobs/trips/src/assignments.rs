//! Whose device or reader it was, or what a courier carried: the assignment in force at a moment.
//!
//! Of the bundles that name couriers the newest that was in force at the moment counts, or the first one for whatever
//! was before it. Of its assignments of the device (reader, courier) that hold at the moment the one that began last
//! counts, then the last by courier.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use arrow::error::ArrowError;

use crate::columns::{column, ordered, texts, times};

/// A bundle: when it came into force, and the end of its rows in the order of all.
struct Bundle {
    from_us: i64,
    rows_end: usize,
}

/// All assignments, by bundle, key and start.
pub(crate) struct Assignments {
    bundles: Vec<Bundle>,
    key: StringArray,
    valid_from: TimestampMicrosecondArray,
    valid_to: TimestampMicrosecondArray,
    pub(crate) courier_id: StringArray,
    pub(crate) merchant_id: StringArray,
    pub(crate) vehicle: StringArray,
    pub(crate) device_id: StringArray,
}

impl Assignments {
    /// Reads rows of table `couriers`, to be found by this column.
    pub(crate) fn by(key: &str, batches: &[RecordBatch]) -> Result<Self, ArrowError> {
        let (key, courier_id) = (texts(batches, key)?, texts(batches, "courier_id")?);
        let (valid_from, in_force) = (times(batches, "valid_from")?, times(batches, "event_time")?);
        let partition: ArrayRef = column(batches, "source_partition", &DataType::Int32)?;
        let offset: ArrayRef = column(batches, "source_offset", &DataType::Int64)?;
        let order = ordered(vec![
            Arc::new(in_force.clone()),
            partition.clone(),
            offset.clone(),
            Arc::new(key.clone()),
            Arc::new(valid_from.clone()),
            Arc::new(courier_id.clone()),
        ])?;
        let bundles =
            bundles(&order, &in_force, partition.as_primitive::<Int32Type>(), offset.as_primitive::<Int64Type>());
        let text = |values: &StringArray| Ok::<_, ArrowError>(take(values, &order, None)?.as_string::<i32>().clone());
        let time = |values: &TimestampMicrosecondArray| {
            Ok::<_, ArrowError>(take(values, &order, None)?.as_primitive().clone())
        };
        Ok(Self {
            bundles,
            key: text(&key)?,
            valid_from: time(&valid_from)?,
            valid_to: time(&times(batches, "valid_to")?)?,
            courier_id: text(&courier_id)?,
            merchant_id: text(&texts(batches, "merchant_id")?)?,
            vehicle: text(&texts(batches, "vehicle")?)?,
            device_id: text(&texts(batches, "device_id")?)?,
        })
    }

    /// The row in force for a key at a moment.
    pub(crate) fn find(&self, key: &str, at_us: i64) -> Option<u32> {
        let bundle = self.bundles.partition_point(|bundle| bundle.from_us <= at_us).saturating_sub(1);
        let end = self.bundles.get(bundle)?.rows_end;
        let start = bundle.checked_sub(1).map_or(0, |before| self.bundles[before].rows_end);
        let key_at = |row: usize| self.key.is_valid(row).then(|| self.key.value(row));
        let first = partition_point(start, end, |row| key_at(row) < Some(key));
        let of_key = (first..end).take_while(|row| key_at(*row) == Some(key));
        let holds = |row: &usize| {
            self.valid_from.value(*row) <= at_us && (self.valid_to.is_null(*row) || at_us < self.valid_to.value(*row))
        };
        of_key.filter(holds).last().and_then(|row| u32::try_from(row).ok())
    }
}

fn bundles(
    order: &UInt32Array,
    in_force: &TimestampMicrosecondArray,
    partition: &Int32Array,
    offset: &Int64Array,
) -> Vec<Bundle> {
    let mut bundles: Vec<Bundle> = Vec::new();
    let mut last = None;
    for (end, row) in (1..).zip(order.values()) {
        let row = *row as usize;
        let key = (in_force.value(row), partition.value(row), offset.value(row));
        match bundles.last_mut() {
            Some(bundle) if last == Some(key) => bundle.rows_end = end,
            _ => bundles.push(Bundle { from_us: key.0, rows_end: end }),
        }
        last = Some(key);
    }
    bundles
}

/// The first row from `start` on that is not before, in a range that is ordered so.
fn partition_point(start: usize, end: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (start, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
