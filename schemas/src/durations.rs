//! What is computed about trips after the fact: how long they took, and what earlier ones let expect.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::tables::with_source;
use crate::topics::{optional, required, text_list, timestamp};

/// Durations of trips; rows with a larger revision replace those of the same trip.
pub fn trip_durations() -> SchemaRef {
    use DataType::{Boolean, Float64, Int32, Utf8};
    Arc::new(Schema::new(vec![
        required("trip_id", Utf8, "the trip"),
        required("revision", Int32, "revision of the trip that the row is about"),
        required("device_id", Utf8, "phone or tracker"),
        optional("courier_id", Utf8, "courier, driver or agent to whom the device was assigned at the start"),
        optional("merchant_id", Utf8, "merchant for whom he worked"),
        optional("vehicle", Utf8, "foot, bicycle, car or taxi, by the assignment"),
        optional("hired", Boolean, "whether the vehicle was hired"),
        required("started_at", timestamp(), "time of the first fix"),
        required("ended_at", timestamp(), "time of the last fix"),
        required("duration_s", Float64, "seconds from the first to the last fix"),
        optional("moving_s", Float64, "seconds of them outside stops"),
        required("distance_m", Float64, "path without movement inside stops, metres"),
        required("path_m", Float64, "geodesic sum over kept fixes, metres"),
        optional("straight_m", Float64, "geodesic from the first to the last fix, metres"),
        required("origin_zone", Utf8, "zone in which it starts, or outside"),
        required("destination_zone", Utf8, "zone in which it ends, or outside"),
        required(
            "hour_of_week",
            Int32,
            "hour of the start by the origin zone's clocks: 0 is Monday from 00:00 to 01:00, 167 Sunday from 23:00",
        ),
        optional(
            "expected_s",
            Float64,
            "seconds that trips with such a vehicle that ended in the four weeks before its start let expect, where any did",
        ),
        optional(
            "expected_from",
            Int32,
            "number of trips whose median that is: of its zones and hour, else of its zones; 0: distance and speed alone",
        ),
        optional("deviation_s", Float64, "duration less what was expected, seconds"),
        optional(
            "detour_ratio",
            Float64,
            "path over the median path of at least 20 earlier trips between its zones, else over the straight line",
        ),
        optional("promised_at", timestamp(), "promised time of arrival, where one was given"),
        optional("on_time", Boolean, "whether it ended by then; missing without a promise"),
        required("anomalies", text_list(), "codes of what is strange: detour, teleport, copied, smooth"),
        optional("anomaly_reason", Utf8, "what is strange, for people, with the numbers that say so"),
        required("event_time", timestamp(), "end of the trip"),
        optional("ingest_time", timestamp(), "the log's own timestamp of the trip's row"),
    ]))
}

/// The same with the source columns of the trip's row.
pub fn trip_durations_table() -> SchemaRef {
    with_source(&trip_durations())
}
