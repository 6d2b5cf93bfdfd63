//! What can be a fix: the columns of a batch of pings, and the verdict on each row.

use arrow::array::{Array, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

use crate::metric::Place;
use crate::sighting::Sighting;

/// Longest name of a device, bytes: what a UUID in any spelling needs, with room.
pub(crate) const DEVICE_ID_BYTES_MAX: usize = 64;
/// Last microsecond of the year 9999: no later time can be printed.
const TIME_US_MAX: i64 = 253_402_300_799_999_999;
/// Kind of a row that is a fix, where it is said.
const KIND_PING: &str = "ping";

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fix,
    Tick,
    /// Reason and detail of the dead letter.
    NoFix(&'static str, &'static str),
}

/// The columns of a batch of the pings topic.
pub(crate) struct Columns<'a> {
    pub(crate) kind: &'a StringArray,
    pub(crate) device_id: &'a StringArray,
    pub(crate) time: &'a TimestampMicrosecondArray,
    pub(crate) lat: &'a Float64Array,
    pub(crate) lon: &'a Float64Array,
    pub(crate) accuracy_m: &'a Float64Array,
    pub(crate) speed_mps: &'a Float64Array,
    pub(crate) bearing_deg: &'a Float64Array,
    pub(crate) hired: &'a BooleanArray,
    pub(crate) received_at: &'a TimestampMicrosecondArray,
}

fn column<'a, A: Array + 'static>(rows: &'a RecordBatch, name: &str) -> Result<&'a A, String> {
    let found = rows.column_by_name(name).and_then(|column| column.as_any().downcast_ref());
    found.ok_or_else(|| format!("column {name} of the pings rows is missing or of another type"))
}

/// The value of a nullable time.
pub(crate) fn time_us(times: &TimestampMicrosecondArray, row: usize) -> Option<i64> {
    times.is_valid(row).then(|| times.value(row))
}

impl<'a> Columns<'a> {
    /// Finds the columns; an error is a mistake of the wiring.
    pub(crate) fn of(rows: &'a RecordBatch) -> Result<Self, String> {
        Ok(Self {
            kind: column(rows, "kind")?,
            device_id: column(rows, "device_id")?,
            time: column(rows, "time")?,
            lat: column(rows, "lat")?,
            lon: column(rows, "lon")?,
            accuracy_m: column(rows, "accuracy_m")?,
            speed_mps: column(rows, "speed_mps")?,
            bearing_deg: column(rows, "bearing_deg")?,
            hired: column(rows, "hired")?,
            received_at: column(rows, "received_at")?,
        })
    }

    /// Whether a row can be a fix.
    pub(crate) fn judge(&self, row: usize) -> Verdict {
        use Verdict::NoFix;
        // It would move the clock of all devices.
        if time_us(self.received_at, row).is_some_and(|time_us| !(0..=TIME_US_MAX).contains(&time_us)) {
            return NoFix("received_at_out_of_range", "column received_at is before 1970 or after the year 9999");
        }
        if self.kind.is_valid(row) {
            match self.kind.value(row) {
                KIND_PING => {}
                schemas::topics::kind::TICK => return Verdict::Tick,
                _ => return NoFix("unknown_kind", "column kind is neither ping, tick nor control"),
            }
        }
        if self.device_id.is_null(row) || self.device_id.value(row).is_empty() {
            return NoFix("device_missing", "column device_id has no value");
        }
        if self.device_id.value(row).len() > DEVICE_ID_BYTES_MAX {
            return NoFix("device_too_long", "column device_id is longer than 64 bytes");
        }
        match time_us(self.time, row) {
            None => return NoFix("time_missing", "column time has no value"),
            Some(time_us) if !(0..=TIME_US_MAX).contains(&time_us) => {
                return NoFix("time_out_of_range", "column time is before 1970 or after the year 9999");
            }
            Some(_) => {}
        }
        if self.lat.is_null(row) || self.lon.is_null(row) {
            return NoFix("position_missing", "column lat or lon has no value");
        }
        // A NaN is in no range.
        if !(-90.0..=90.0).contains(&self.lat.value(row)) {
            return NoFix("latitude_out_of_range", "column lat is not between -90 and 90");
        }
        if !(-180.0..=180.0).contains(&self.lon.value(row)) {
            return NoFix("longitude_out_of_range", "column lon is not between -180 and 180");
        }
        Verdict::Fix
    }

    /// The fix of a row that is one.
    pub(crate) fn sighting(&self, row: usize) -> Sighting {
        let number = |column: &Float64Array| column.is_valid(row).then(|| column.value(row));
        Sighting {
            time_us: self.time.value(row),
            place: Place { lat: self.lat.value(row), lon: self.lon.value(row) },
            accuracy_m: number(self.accuracy_m),
            speed_mps: number(self.speed_mps),
            hired: self.hired.is_valid(row).then(|| self.hired.value(row)),
            received_us: self.received_us(row),
        }
    }

    /// The log's timestamp of a row, if it is one that can be printed.
    pub(crate) fn received_us(&self, row: usize) -> Option<i64> {
        time_us(self.received_at, row).filter(|time_us| (0..=TIME_US_MAX).contains(time_us))
    }
}
