//! What the operator says, as rows of the outputs.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use schemas::ids::MovementId;
use schemas::movement;
use schemas::unit::Output;

use crate::metric::Place;
use crate::operator::Row;
use crate::segment::{Doing, Event, StopEnded, TripEnded};
use crate::sighting::{Reason, Sighting};
use crate::units::SECOND_US;
use crate::vehicle::VehicleSeen;

/// Outputs by name.
pub(crate) const TRIPS: &str = "trips";
/// See [`TRIPS`].
pub(crate) const STOPS: &str = "stops";
/// See [`TRIPS`].
pub(crate) const PING_FAULTS: &str = "ping_faults";
/// See [`TRIPS`].
pub(crate) const VEHICLES: &str = "vehicles";

/// The record that makes the operator say something: its offset, and its `received_at` in microseconds UTC.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cause {
    pub(crate) offset: i64,
    pub(crate) received_us: Option<i64>,
}

/// Rows of one output.
#[derive(Debug)]
struct Gathered<T> {
    offsets: Vec<i64>,
    ingest_us: Vec<Option<i64>>,
    devices: StringBuilder,
    said: Vec<T>,
}

impl<T> Default for Gathered<T> {
    fn default() -> Self {
        Self { offsets: Vec::new(), ingest_us: Vec::new(), devices: StringBuilder::new(), said: Vec::new() }
    }
}

impl<T> Gathered<T> {
    fn push(&mut self, cause: Cause, device_id: &str, said: T) {
        self.offsets.push(cause.offset);
        self.ingest_us.push(cause.received_us);
        self.devices.append_value(device_id);
        self.said.push(said);
    }

    /// The output, if there are rows; `columns` makes all but the last two, event and ingest time.
    fn finish(
        mut self,
        name: &'static str,
        schema: SchemaRef,
        event_us: impl Fn(&T) -> i64,
        columns: impl FnOnce(&[T], StringArray) -> Vec<ArrayRef>,
    ) -> Result<Option<Output>, ArrowError> {
        if self.said.is_empty() {
            return Ok(None);
        }
        let mut columns = columns(&self.said, self.devices.finish());
        columns.push(times(self.said.iter().map(|said| Some(event_us(said)))));
        columns.push(times(self.ingest_us));
        Ok(Some(Output { name, offsets: self.offsets, rows: RecordBatch::try_new(schema, columns)? }))
    }
}

/// Everything that was said about a batch.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    trips: Gathered<Box<TripEnded>>,
    stops: Gathered<StopEnded>,
    faults: Gathered<(Sighting, Reason)>,
    vehicles: Gathered<VehicleSeen>,
}

impl Rows {
    /// Notes what was said about a device.
    pub(crate) fn push(&mut self, cause: Cause, device_id: &str, row: Row) {
        match row {
            Row::Ended(Event::Trip(trip)) => self.trips.push(cause, device_id, trip),
            Row::Ended(Event::Stop(stop)) => self.stops.push(cause, device_id, stop),
            Row::Fault(fix, reason) => self.faults.push(cause, device_id, (fix, reason)),
            Row::Vehicle(seen) => self.vehicles.push(cause, device_id, seen),
        }
    }

    /// The outputs that have rows.
    pub(crate) fn finish(self) -> Result<Vec<Output>, ArrowError> {
        let outputs = [
            self.faults.finish(PING_FAULTS, movement::ping_faults(), |(fix, _)| fix.time_us, fault_columns)?,
            self.stops.finish(STOPS, movement::stops(), |stop| stop.end_us, stop_columns)?,
            self.trips.finish(TRIPS, movement::trips(), |trip| trip.end_us, trip_columns)?,
            self.vehicles.finish(VEHICLES, movement::vehicles(), |seen| seen.time_us, vehicle_columns)?,
        ];
        Ok(outputs.into_iter().flatten().collect())
    }
}

fn times(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn numbers<T>(said: &[T], value: impl Fn(&T) -> Option<f64>) -> ArrayRef {
    Arc::new(said.iter().map(value).collect::<Float64Array>())
}

fn flags<T>(said: &[T], value: impl Fn(&T) -> Option<bool>) -> ArrayRef {
    Arc::new(said.iter().map(value).collect::<BooleanArray>())
}

/// Counts far below what 32 bits hold.
fn counts<T>(said: &[T], value: impl Fn(&T) -> u32) -> ArrayRef {
    Arc::new(said.iter().map(|said| i32::try_from(value(said)).unwrap_or(i32::MAX)).collect::<Int32Array>())
}

/// Whole seconds.
fn seconds<T>(said: &[T], value_us: impl Fn(&T) -> Option<i64>) -> ArrayRef {
    Arc::new(said.iter().map(|said| value_us(said).map(|us| us.div_euclid(SECOND_US))).collect::<Int64Array>())
}

/// Identities of what devices did from a moment on.
fn identities<T>(
    said: &[T],
    devices: &StringArray,
    derive: impl Fn(&str, i64) -> MovementId,
    start_us: impl Fn(&T) -> Option<i64>,
) -> ArrayRef {
    let identity = |(row, said): (usize, &T)| Some(derive(devices.value(row), start_us(said)?).to_hex());
    Arc::new(said.iter().enumerate().map(identity).collect::<StringArray>())
}

fn fault_columns(said: &[(Sighting, Reason)], devices: StringArray) -> Vec<ArrayRef> {
    vec![
        Arc::new(devices),
        Arc::new(StringArray::from_iter_values(said.iter().map(|(_, reason)| reason.code()))),
        numbers(said, |(fix, _)| Some(fix.place.lat)),
        numbers(said, |(fix, _)| Some(fix.place.lon)),
        numbers(said, |(fix, _)| fix.accuracy_m),
        numbers(said, |(fix, _)| fix.speed_mps),
    ]
}

fn stop_columns(said: &[StopEnded], devices: StringArray) -> Vec<ArrayRef> {
    vec![
        identities(said, &devices, MovementId::of_stop, |stop| Some(stop.start_us)),
        counts(said, |stop| stop.revision),
        Arc::new(devices.clone()),
        times(said.iter().map(|stop| Some(stop.start_us))),
        times(said.iter().map(|stop| Some(stop.end_us))),
        numbers(said, |stop| Some(stop.place.lat)),
        numbers(said, |stop| Some(stop.place.lon)),
        counts(said, |stop| stop.fixes),
        identities(said, &devices, MovementId::of_trip, |stop| stop.trip_us),
        flags(said, |stop| stop.hired),
    ]
}

fn trip_columns(said: &[Box<TripEnded>], devices: StringArray) -> Vec<ArrayRef> {
    vec![
        identities(said, &devices, MovementId::of_trip, |trip| Some(trip.start_us)),
        counts(said, |trip| trip.revision),
        Arc::new(devices),
        times(said.iter().map(|trip| Some(trip.start_us))),
        times(said.iter().map(|trip| Some(trip.end_us))),
        numbers(said, |trip| Some(trip.start.lat)),
        numbers(said, |trip| Some(trip.start.lon)),
        numbers(said, |trip| Some(trip.end.lat)),
        numbers(said, |trip| Some(trip.end.lon)),
        numbers(said, |trip| Some(trip.path_m.0)),
        numbers(said, |trip| Some(trip.path_m.1)),
        numbers(said, |trip| Some(trip.distance_m.0)),
        numbers(said, |trip| Some(trip.distance_m.1)),
        numbers(said, |trip| Some(trip.line_m)),
        seconds(said, |trip| trip.gap.map(|gap| gap.lasted_us)),
        numbers(said, |trip| trip.gap.map(|gap| gap.way_m)),
        seconds(said, |trip| trip.inner_gap.map(|gap| gap.lasted_us)),
        numbers(said, |trip| trip.inner_gap.map(|gap| gap.way_m)),
        seconds(said, |trip| Some(trip.idle_us)),
        counts(said, |trip| trip.stops),
        counts(said, |trip| trip.fixes),
        numbers(said, |trip| Some(trip.speed_mps_max)),
        Arc::new(StringArray::from_iter_values(said.iter().map(|trip| trip.close.code()))),
        flags(said, |trip| trip.hired),
        Arc::new(BinaryArray::from_iter_values(said.iter().map(|trip| line_wkb(&trip.line)))),
    ]
}

fn vehicle_columns(said: &[VehicleSeen], devices: StringArray) -> Vec<ArrayRef> {
    let state = |seen: &VehicleSeen| match seen.doing {
        Doing::Driving => "driving",
        Doing::Stopped => "stopped",
        Doing::Silent => "silent",
    };
    vec![
        Arc::new(devices.clone()),
        Arc::new(said.iter().map(|seen| Some(seen.sequence)).collect::<Int64Array>()),
        numbers(said, |seen| Some(seen.place.lat)),
        numbers(said, |seen| Some(seen.place.lon)),
        numbers(said, |seen| seen.speed_mps),
        Arc::new(StringArray::from_iter_values(said.iter().map(state))),
        times(said.iter().map(|seen| Some(seen.since_us))),
        flags(said, |seen| seen.hired),
        identities(said, &devices, MovementId::of_trip, |seen| seen.trip.map(|(start_us, _)| start_us)),
        times(said.iter().map(|seen| seen.trip.map(|(start_us, _)| start_us))),
        numbers(said, |seen| seen.trip.map(|(_, length_m)| length_m)),
    ]
}

/// Byte order of well-known binary (OGC 06-103r4, 8.2).
const LITTLE_ENDIAN: u8 = 1;

/// A line string as well-known binary (OGC 06-103r4, 8.2), little-endian, longitude before latitude. A line needs two
/// points: who comes back to where he began has one twice.
fn line_wkb(line: &[Place]) -> Vec<u8> {
    const LINE_STRING: u32 = 2;
    let again = line.first().filter(|_| line.len() == 1);
    let points = line.iter().chain(again);
    // Lines are bounded far below what 32 bits count.
    let count = u32::try_from(points.clone().count()).unwrap_or(u32::MAX);
    let mut wkb = vec![LITTLE_ENDIAN];
    wkb.extend(LINE_STRING.to_le_bytes());
    wkb.extend(count.to_le_bytes());
    wkb.extend(points.flat_map(|place| [place.lon, place.lat]).flat_map(f64::to_le_bytes));
    wkb
}

/// A point as well-known binary, as [`line_wkb`].
fn point_wkb(lat: f64, lon: f64) -> Vec<u8> {
    const POINT: u32 = 1;
    let mut wkb = vec![LITTLE_ENDIAN];
    wkb.extend(POINT.to_le_bytes());
    wkb.extend([lon, lat].into_iter().flat_map(f64::to_le_bytes));
    wkb
}

/// Rows of stops with their places as points too, in a last column `point`: for files that maps read.
///
/// # Errors
/// Rows without the columns `lat` and `lon`.
pub fn with_points(stops: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let numbers = |name: &str| {
        let column = stops.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<Float64Array>());
        column.ok_or_else(|| ArrowError::SchemaError(format!("rows of stops have no column {name}")))
    };
    let places = numbers("lat")?.values().iter().zip(numbers("lon")?.values());
    let points: BinaryArray = places.map(|(lat, lon)| Some(point_wkb(*lat, *lon))).collect();
    let mut fields: Vec<FieldRef> = stops.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(movement::point_column("point", "its place: WKB point, longitude before latitude")));
    let columns = stops.columns().iter().cloned().chain([Arc::new(points) as ArrayRef]);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.collect())
}

/// Stops of a whole track as rows of the table without its source columns.
///
/// # Errors
/// Fails where the columns do not fit the schema, which is a mistake of this crate.
pub fn stop_rows(device_id: &str, stops: &[StopEnded]) -> Result<RecordBatch, ArrowError> {
    let mut rows = Rows::default();
    stops.iter().for_each(|stop| rows.push(Cause::default(), device_id, Row::Ended(Event::Stop(stop.clone()))));
    rows_of(rows, movement::stops())
}

/// Trips of a whole track as rows of the table without its source columns.
///
/// # Errors
/// As [`stop_rows`].
pub fn trip_rows(device_id: &str, trips: &[TripEnded]) -> Result<RecordBatch, ArrowError> {
    let mut rows = Rows::default();
    let each = trips.iter().cloned().map(|trip| Row::Ended(Event::Trip(Box::new(trip))));
    each.for_each(|row| rows.push(Cause::default(), device_id, row));
    rows_of(rows, movement::trips())
}

fn rows_of(rows: Rows, schema: SchemaRef) -> Result<RecordBatch, ArrowError> {
    let output = rows.finish()?.pop();
    Ok(output.map_or_else(|| RecordBatch::new_empty(schema), |output| output.rows))
}
