//! The trips as columns: one batch of the newest revisions, in an order that depends on nothing but their content.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use schemas::topics::timestamp;

use crate::columns::{column, ordered, texts, times};

/// Trips in the order of their ends, then of their ids; one row a trip.
pub(super) struct Trips {
    pub(super) trip_id: StringArray,
    pub(super) revision: Int32Array,
    pub(super) device_id: StringArray,
    pub(super) started_at: TimestampMicrosecondArray,
    pub(super) ended_at: TimestampMicrosecondArray,
    /// Latitude and longitude of the first and of the last fix.
    pub(super) ends: [Float64Array; 4],
    pub(super) path_m: Float64Array,
    pub(super) distance_m: Float64Array,
    pub(super) straight_m: Float64Array,
    pub(super) idle_s: Int64Array,
    pub(super) stops: Int32Array,
    pub(super) fixes: Int32Array,
    pub(super) close_reason: StringArray,
    pub(super) hired: BooleanArray,
    /// Columns that go to the row as they are.
    pub(super) carried: Vec<(&'static str, ArrayRef)>,
    is_written: Option<BooleanArray>,
}

/// Columns that go to the row as they are, beside those that are looked at.
const CARRIED: [&str; 5] = ["event_time", "ingest_time", "source_topic", "source_partition", "source_offset"];

impl Trips {
    pub(super) fn read(batches: &[RecordBatch]) -> Result<Self, ArrowError> {
        let schema = schemas::durations::trip_durations_table();
        let carried_type = |name: &str| schema.field_with_name(name).map(|field| field.data_type().clone());
        let chosen = newest(batches)?;
        let pick = |name: &str, data_type: &DataType| take(&column(batches, name, data_type)?, &chosen, None);
        let text = |name: &str| pick(name, &DataType::Utf8).map(|column| column.as_string::<i32>().clone());
        let number =
            |name: &str| pick(name, &DataType::Float64).map(|column| column.as_primitive::<Float64Type>().clone());
        let count = |name: &str| pick(name, &DataType::Int32).map(|column| column.as_primitive::<Int32Type>().clone());
        let time = |name: &str| {
            pick(name, &timestamp()).map(|column| column.as_primitive::<TimestampMicrosecondType>().clone())
        };
        let flag = |name: &str| pick(name, &DataType::Boolean).map(|column| column.as_boolean().clone());
        let marks_written = batches.iter().any(|batch| batch.column_by_name("is_written").is_some());
        let carry = |name: &'static str| Ok((name, pick(name, &carried_type(name)?)?));
        Ok(Self {
            trip_id: text("trip_id")?,
            revision: count("revision")?,
            device_id: text("device_id")?,
            started_at: time("started_at")?,
            ended_at: time("ended_at")?,
            ends: [number("start_lat")?, number("start_lon")?, number("end_lat")?, number("end_lon")?],
            path_m: number("path_m")?,
            distance_m: number("distance_m")?,
            straight_m: number("straight_m")?,
            idle_s: pick("idle_s", &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
            stops: count("stops")?,
            fixes: count("fixes")?,
            close_reason: text("close_reason")?,
            hired: flag("hired")?,
            carried: CARRIED.into_iter().map(carry).collect::<Result<_, ArrowError>>()?,
            is_written: marks_written.then(|| flag("is_written")).transpose()?,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.trip_id.len()
    }

    /// Trips that have no row yet.
    pub(super) fn asked(&self) -> Vec<u32> {
        let is_asked = |row: &u32| {
            let written = self.is_written.as_ref();
            !written.is_some_and(|written| written.is_valid(*row as usize) && written.value(*row as usize))
        };
        // Arrow's texts have 32-bit offsets, so rows fit too.
        (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).filter(is_asked).collect()
    }

    pub(super) fn started_us(&self, row: usize) -> i64 {
        self.started_at.value(row)
    }

    pub(super) fn ended_us(&self, row: usize) -> i64 {
        self.ended_at.value(row)
    }

    /// The trips by device, then by start: those of a device follow each other in time.
    pub(super) fn by_device(&self) -> Result<UInt32Array, ArrowError> {
        ordered(vec![
            Arc::new(self.device_id.clone()),
            Arc::new(self.started_at.clone()),
            Arc::new(self.trip_id.clone()),
        ])
    }
}

/// The rows with the largest revision of each trip, in the order of end and trip.
fn newest(batches: &[RecordBatch]) -> Result<UInt32Array, ArrowError> {
    let (ids, ended) = (texts(batches, "trip_id")?, times(batches, "ended_at")?);
    let revisions = column(batches, "revision", &DataType::Int32)?;
    let revisions = revisions.as_primitive::<Int32Type>();
    let mut newest: HashMap<&str, u32> = HashMap::with_capacity(ids.len());
    for (row, id) in (0..).zip(ids.iter().flatten()) {
        match newest.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(row);
            }
            Entry::Occupied(mut entry) => {
                if revisions.value(row as usize) > revisions.value(*entry.get() as usize) {
                    entry.insert(row);
                }
            }
        }
    }
    let mut rows: Vec<u32> = newest.into_values().collect();
    rows.sort_unstable_by(|one, other| {
        let key = |row: u32| (ended.value(row as usize), ids.value(row as usize));
        key(*one).cmp(&key(*other))
    });
    Ok(UInt32Array::from(rows))
}
