//! What the trips unit says about devices: trips, stops, fixes that cleaning left out, and where each vehicle is. The
//! same columns travel on the topics and lie in the tables.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::{Map, Value, json};

use crate::topics::{optional, required, timestamp};

/// Key of a field's metadata under which the kind of its geometries lies, as GeoParquet names it. The column holds
/// well-known binary (OGC 06-103r4), longitude before latitude, WGS84.
pub const GEOMETRY: &str = "geometry";

/// Key of a Parquet file's metadata by which tools for maps find its geometries.
pub const GEOPARQUET: &str = "geo";

/// A column of line strings.
pub fn line_column(name: &str, comment: &str) -> Field {
    geometry_column(name, "LineString", comment)
}

/// A column of points.
pub fn point_column(name: &str, comment: &str) -> Field {
    geometry_column(name, "Point", comment)
}

fn geometry_column(name: &str, kind: &str, comment: &str) -> Field {
    let mut field = optional(name, DataType::Binary, comment);
    field.metadata_mut().insert(GEOMETRY.to_string(), kind.to_string());
    field
}

/// The metadata with key [`GEOPARQUET`] of a Parquet file with these columns, by GeoParquet 1.1.0; `None` where none
/// holds geometries. The first that does is the primary one; coordinates are OGC:CRS84, the specification's default.
pub fn geoparquet(schema: &Schema) -> Option<String> {
    let kind = |field: &Arc<Field>| Some((field.name().clone(), field.metadata().get(GEOMETRY)?.clone()));
    let geometries: Vec<(String, String)> = schema.fields().iter().filter_map(kind).collect();
    let primary = geometries.first()?.0.clone();
    let column = |(name, kind): (String, String)| (name, json!({ "encoding": "WKB", "geometry_types": [kind] }));
    let columns: Map<String, Value> = geometries.into_iter().map(column).collect();
    Some(json!({ "version": "1.1.0", "primary_column": primary, "columns": columns }).to_string())
}

/// Trips between stops of one device; rows with a larger revision replace those of the same trip.
pub fn trips() -> SchemaRef {
    use DataType::{Boolean, Float64, Int32, Int64, Utf8};
    Arc::new(Schema::new(vec![
        required("trip_id", Utf8, "identity of the trip: hash of device and start"),
        required("revision", Int32, "number of this version of the trip, from 1"),
        required("device_id", Utf8, "phone or tracker"),
        required("started_at", timestamp(), "time of the first fix"),
        required("ended_at", timestamp(), "time of the last fix"),
        required("start_lat", Float64, "latitude of the first fix, degrees"),
        required("start_lon", Float64, "longitude of the first fix, degrees"),
        required("end_lat", Float64, "latitude of the last fix, degrees"),
        required("end_lon", Float64, "longitude of the last fix, degrees"),
        required("path_m", Float64, "geodesic sum over kept fixes, metres"),
        optional("path_error_m", Float64, "bound of the path's error from spacing and accuracy, metres"),
        required("distance_m", Float64, "path without movement inside stops, metres"),
        optional("distance_error_m", Float64, "bound of the distance's error, metres"),
        optional("straight_m", Float64, "geodesic from the first to the last fix, metres"),
        optional("gap_s", Int64, "seconds without a fix before the trip"),
        optional("gap_m", Float64, "straight line over that gap, metres"),
        optional("inner_gap_s", Int64, "seconds without a fix inside a hired ride"),
        optional("inner_gap_m", Float64, "straight lines over those gaps, metres; not in the distance"),
        optional("idle_s", Int64, "seconds in stops"),
        optional("stops", Int32, "number of stops that ended within the trip"),
        optional("fixes", Int32, "number of kept fixes"),
        optional(
            "speed_mps_max",
            Float64,
            "largest speed: as the device stated, else over at least 5 s, metres a second",
        ),
        required(
            "close_reason",
            Utf8,
            "why the trip ended: stop, gap, hired (hired or free), jump or end (of a recording)",
        ),
        optional("hired", Boolean, "whether the vehicle was hired"),
        line_column("path", "the path, simplified to 5 m: WKB line string, longitude before latitude"),
        required("event_time", timestamp(), "end of the trip"),
        optional("ingest_time", timestamp(), "the log's own timestamp"),
    ]))
}

/// Stops of one device; rows with a larger revision replace those of the same stop.
pub fn stops() -> SchemaRef {
    use DataType::{Boolean, Float64, Int32, Utf8};
    Arc::new(Schema::new(vec![
        required("stop_id", Utf8, "identity of the stop: hash of device and start"),
        required("revision", Int32, "number of this version of the stop, from 1"),
        required("device_id", Utf8, "phone or tracker"),
        required("started_at", timestamp(), "time of the first fix"),
        required("ended_at", timestamp(), "time of the last fix"),
        required("lat", Float64, "latitude of the mean of its fixes, degrees"),
        required("lon", Float64, "longitude of the mean of its fixes, degrees"),
        required("fixes", Int32, "number of kept fixes"),
        optional("trip_id", Utf8, "trip in which or at whose end it lies"),
        optional("hired", Boolean, "whether the vehicle was hired when the stop began"),
        required("event_time", timestamp(), "end of the stop"),
        optional("ingest_time", timestamp(), "the log's own timestamp"),
    ]))
}

/// Fixes that cleaning left out.
pub fn ping_faults() -> SchemaRef {
    use DataType::{Float64, Utf8};
    Arc::new(Schema::new(vec![
        required("device_id", Utf8, "phone or tracker"),
        required("reason", Utf8, "duplicate, same_time, late, future, accuracy, zero_island, teleport or frozen"),
        required("lat", Float64, "latitude, WGS84 degrees, north positive"),
        required("lon", Float64, "longitude, WGS84 degrees, east positive"),
        optional("accuracy_m", Float64, "radius of 68 % confidence that the device states, metres"),
        optional("speed_mps", Float64, "speed over ground that the device states, metres a second"),
        required("event_time", timestamp(), "when the fix was taken, by the device"),
        optional("ingest_time", timestamp(), "the log's own timestamp of the record that settled it"),
    ]))
}

/// Where each vehicle is and what it does: a row when that changes, and from time to time in between.
pub fn vehicles() -> SchemaRef {
    use DataType::{Boolean, Float64, Int64, Utf8};
    Arc::new(Schema::new(vec![
        required("device_id", Utf8, "phone or tracker"),
        required("sequence", Int64, "number of this row about the device, from 1"),
        required("lat", Float64, "latitude of the last kept fix, degrees"),
        required("lon", Float64, "longitude of the last kept fix, degrees"),
        optional("speed_mps", Float64, "speed over ground that the device states, metres a second"),
        required("state", Utf8, "driving, stopped or silent"),
        required(
            "since",
            timestamp(),
            "start of the open trip or of the stop, or time of the last fix of a silent vehicle",
        ),
        optional("hired", Boolean, "whether the vehicle is hired, where the device knows"),
        optional("trip_id", Utf8, "the open trip"),
        optional("trip_started_at", timestamp(), "its start"),
        optional("trip_m", Float64, "its length so far without movement inside stops, metres"),
        required("event_time", timestamp(), "time of the last kept fix"),
        optional("ingest_time", timestamp(), "the log's own timestamp"),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_paths_say_so_and_others_do_not() {
        let text = geoparquet(&trips()).expect("trips have paths");
        let geo: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!((&geo["version"], &geo["primary_column"]), (&json!("1.1.0"), &json!("path")));
        assert_eq!(geo["columns"]["path"], json!({ "encoding": "WKB", "geometry_types": ["LineString"] }));
        assert_eq!(geoparquet(&stops()), None);
    }
}
