//! Where payments were paid, as a job finds out from the stops and trips of the phone beside the reader.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::topics::{optional, required, timestamp};

/// Places of payments; rows with a larger revision replace those of the same payment.
pub fn payment_places() -> SchemaRef {
    use DataType::{Float64, Int32, Utf8};
    Arc::new(Schema::new(vec![
        required("payment_id", Utf8, "the payment"),
        required("revision", Int32, "number of this row about the payment, from 1"),
        optional("merchant_id", Utf8, "merchant"),
        optional("reader_id", Utf8, "card reader"),
        optional("courier_id", Utf8, "courier, driver or agent whom the payment names, else who carries the reader"),
        optional("device_id", Utf8, "phone whose pings tell the place: of who carries the reader, else of the courier"),
        optional("vehicle", Utf8, "foot, bicycle, car or taxi, by the assignment of that phone"),
        required(
            "place",
            Utf8,
            "at_stop, before_arrival, after_departure, under_way, elsewhere, no_position or no_courier_near",
        ),
        optional(
            "lat",
            Float64,
            "latitude of the stop, else of the phone between the fixes around the payment, degrees",
        ),
        optional("lon", Float64, "longitude of the same, degrees"),
        optional("fix_s", Float64, "seconds between the payment and the nearer of those fixes; missing at a stop"),
        optional("stop_id", Utf8, "stop that covers the payment, else one that begins or ended within five minutes"),
        optional("stop_revision", Int32, "revision of the stop that was looked at"),
        optional("stop_m", Float64, "metres from the phone to that stop; 0 at it"),
        optional("since_arrival_s", Float64, "seconds from the beginning of that stop to the payment; negative before"),
        optional("trip_id", Utf8, "trip that covers the payment, else the one at whose end the stop lies"),
        optional("trip_revision", Int32, "revision of the trip that covers the payment"),
        optional(
            "courier_m",
            Float64,
            "where another than the named courier carries the reader: metres between their phones, if both are known",
        ),
        required("event_time", timestamp(), "time of the payment"),
        optional("ingest_time", timestamp(), "the log's own timestamp of the payment"),
    ]))
}
