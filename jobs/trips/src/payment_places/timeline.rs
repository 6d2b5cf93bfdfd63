//! The stops or the trips of each device in the order of their beginnings.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type};
use arrow::error::ArrowError;

use crate::columns::{column, texts, times};
use crate::metric::Place;

/// A stop or a trip: its row, and from when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) row: usize,
    pub(super) start_us: i64,
    pub(super) end_us: i64,
}

/// Stops or trips, of which no two revisions of one are there.
pub(super) struct Timeline {
    pub(super) id: StringArray,
    pub(super) revision: Int32Array,
    by_device: HashMap<String, Vec<Span>>,
}

impl Timeline {
    /// Reads rows whose identity is in the column `id`.
    pub(super) fn read(id: &str, batches: &[RecordBatch]) -> Result<Self, ArrowError> {
        let devices = texts(batches, "device_id")?;
        let (started, ended) = (times(batches, "started_at")?, times(batches, "ended_at")?);
        let mut by_device: HashMap<String, Vec<Span>> = HashMap::new();
        for row in 0..devices.len() {
            let span = Span { row, start_us: started.value(row), end_us: ended.value(row) };
            match by_device.get_mut(devices.value(row)) {
                Some(spans) => spans.push(span),
                None => drop(by_device.insert(devices.value(row).to_string(), vec![span])),
            }
        }
        let id = texts(batches, id)?;
        for spans in by_device.values_mut() {
            spans.sort_unstable_by_key(|span| (span.start_us, span.end_us, id.value(span.row)));
        }
        let revision = column(batches, "revision", &DataType::Int32)?.as_primitive::<Int32Type>().clone();
        Ok(Self { id, revision, by_device })
    }

    /// The one during which a moment falls, its ends included; of two the one that began last.
    pub(super) fn covering(&self, device_id: &str, at_us: i64) -> Option<Span> {
        let (before, _) = self.around(device_id, at_us);
        before.filter(|span| at_us <= span.end_us)
    }

    /// The last one that began at or before a moment, and the first that begins after it.
    pub(super) fn around(&self, device_id: &str, at_us: i64) -> (Option<Span>, Option<Span>) {
        let spans = self.by_device.get(device_id).map_or(&[][..], Vec::as_slice);
        let next = spans.partition_point(|span| span.start_us <= at_us);
        (next.checked_sub(1).map(|last| spans[last]), spans.get(next).copied())
    }

    /// When the last one of each device ended, microseconds UTC.
    pub(super) fn ends(&self) -> HashMap<String, i64> {
        let last = |spans: &Vec<Span>| spans.iter().map(|span| span.end_us).max().unwrap_or(i64::MIN);
        self.by_device.iter().map(|(device_id, spans)| (device_id.clone(), last(spans))).collect()
    }
}

/// Positions in the columns `lat` and `lon`.
pub(super) struct Places {
    lat: Float64Array,
    lon: Float64Array,
}

impl Places {
    pub(super) fn read(batches: &[RecordBatch]) -> Result<Self, ArrowError> {
        let degrees = |name| {
            Ok::<_, ArrowError>(column(batches, name, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
        };
        Ok(Self { lat: degrees("lat")?, lon: degrees("lon")? })
    }

    pub(super) fn get(&self, row: usize) -> Place {
        Place { lat: self.lat.value(row), lon: self.lon.value(row) }
    }
}
