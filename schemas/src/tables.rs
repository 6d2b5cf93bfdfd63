//! Tables of the lake: what a unit writes plus the source columns, and a comment for the table itself.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::topics::{self, optional, required, text_list, timestamp};
use crate::{alerting, durations, movement, places};

/// Column with the topic that a row came from.
pub const SOURCE_TOPIC: &str = "source_topic";
/// Column with the partition that a row came from.
pub const SOURCE_PARTITION: &str = "source_partition";
/// Column with the offset that a row came from.
pub const SOURCE_OFFSET: &str = "source_offset";

/// A table of the lake.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// Name in SQL and of the folder in the lake.
    pub name: &'static str,
    /// What one row is, for people.
    pub comment: &'static str,
    /// Columns with comments in their metadata, source columns last.
    pub schema: SchemaRef,
}

/// The three columns that say which record of which log a row came from.
pub fn source_columns() -> [Field; 3] {
    [
        required(SOURCE_TOPIC, DataType::Utf8, "topic of the log that the row came from"),
        required(SOURCE_PARTITION, DataType::Int32, "partition of that log"),
        required(SOURCE_OFFSET, DataType::Int64, "offset in that partition (row number in a file log)"),
    ]
}

/// A unit's output schema with the source columns appended.
pub fn with_source(rows: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = rows.fields().iter().cloned().collect();
    fields.extend(source_columns().map(Arc::new));
    Arc::new(Schema::new(fields))
}

/// GPS fixes as they came.
pub fn ping_rows() -> SchemaRef {
    use DataType::{Boolean, Float64, Utf8};
    Arc::new(Schema::new(vec![
        required("device_id", Utf8, "phone or tracker"),
        required("event_time", timestamp(), "when the fix was taken, by the device"),
        required("lat", Float64, "latitude, WGS84 degrees, north positive"),
        required("lon", Float64, "longitude, WGS84 degrees, east positive"),
        optional("accuracy_m", Float64, "radius of 68 % confidence that the device states, metres"),
        optional("speed_mps", Float64, "speed over ground that the device states, metres a second"),
        optional("bearing_deg", Float64, "course over ground, degrees from north, clockwise"),
        optional("hired", Boolean, "whether the vehicle is hired, where the device knows"),
        optional("ingest_time", timestamp(), "the log's own timestamp (received_at); missing in recorded files"),
    ]))
}

/// Ticks of the pings log.
pub fn ping_tick_rows() -> SchemaRef {
    Arc::new(Schema::new(vec![
        required("event_time", timestamp(), "time that has passed on this partition, whether or not a phone is heard"),
        required("ingest_time", timestamp(), "the log's own timestamp, which is the same"),
    ]))
}

/// Merchants as a bundle named them.
pub fn merchant_rows() -> SchemaRef {
    use DataType::{Boolean, Utf8};
    Arc::new(Schema::new(vec![
        required("merchant_id", Utf8, "merchant"),
        required("name", Utf8, "trading name"),
        required("trade", Utf8, "kind of business"),
        required("mcc", Utf8, "merchant category code (ISO 18245)"),
        required("zone", Utf8, "IANA time zone in which its days run"),
        required("currency", Utf8, "ISO 4217 code of its account"),
        required("active", Boolean, "whether it may take payments"),
        required("bundle", Utf8, "hash of the bundle that says so"),
        required("event_time", timestamp(), "when the bundle came into force"),
        required("ingest_time", timestamp(), "the log's own timestamp"),
    ]))
}

/// Readers as a bundle named them.
pub fn reader_rows() -> SchemaRef {
    use DataType::{Boolean, Utf8};
    Arc::new(Schema::new(vec![
        required("reader_id", Utf8, "card reader"),
        required("merchant_id", Utf8, "merchant to whom it belongs"),
        required("key_set", Utf8, "key set that opens its frames"),
        required("active", Boolean, "whether it may be used"),
        required("bundle", Utf8, "hash of the bundle that says so"),
        required("event_time", timestamp(), "when the bundle came into force"),
        required("ingest_time", timestamp(), "the log's own timestamp"),
    ]))
}

/// Couriers as a bundle named them.
pub fn courier_rows() -> SchemaRef {
    use DataType::Utf8;
    Arc::new(Schema::new(vec![
        required("courier_id", Utf8, "courier, driver or agent"),
        required("merchant_id", Utf8, "merchant for whom he works"),
        optional("reader_id", Utf8, "reader that he carries"),
        optional("device_id", Utf8, "phone whose pings are his"),
        required("vehicle", Utf8, "foot, bicycle, car or taxi"),
        required("valid_from", timestamp(), "start of the assignment"),
        optional("valid_to", timestamp(), "end of the assignment, where it has one"),
        required("bundle", Utf8, "hash of the bundle that says so"),
        required("event_time", timestamp(), "when the bundle came into force"),
        required("ingest_time", timestamp(), "the log's own timestamp"),
    ]))
}

/// What rules in shadow say about payments.
pub fn shadow_decisions() -> SchemaRef {
    use DataType::{Float64, Utf8};
    Arc::new(Schema::new(vec![
        required("shadow_bundle", Utf8, "hash of the rules, lists, windows and model in shadow"),
        optional("payment_id", Utf8, "the payment"),
        required("kind", Utf8, "swipe or refund"),
        required("outcome", Utf8, "what would be done: block, review or nothing"),
        optional("score", Float64, "what the model in shadow says, 0 to 1"),
        required("features", text_list(), "values of windows and of places that the rules could read: name = value"),
        required("fired_rules", text_list(), "rules that fired, with their class and the values filled in"),
        required("contributions", text_list(), "what added or took most of the model's raw score: feature = amount"),
        required("event_time", timestamp(), "time of the payment"),
        required("ingest_time", timestamp(), "the log's own timestamp"),
    ]))
}

fn table(name: &'static str, comment: &'static str, rows: SchemaRef) -> TableSpec {
    TableSpec { name, comment, schema: with_source(&rows) }
}

/// Every table, in the order in which listings show them.
pub fn all() -> Vec<TableSpec> {
    of_units().into_iter().chain(of_jobs()).chain([snoozes()]).collect()
}

/// What people do not want to hear of; a command writes it.
pub fn snoozes() -> TableSpec {
    table("snoozes", "causes of alerts that somebody wants to hear no more of for a while", alerting::snoozes())
}

/// Tables that jobs compute from others: what lies in them depends on when the jobs ran.
pub fn of_jobs() -> Vec<TableSpec> {
    vec![
        table(
            "trip_durations",
            "how long trips took against what was to be expected; a larger revision replaces the rows before it",
            durations::trip_durations(),
        ),
        table(
            "payment_places",
            "where couriers' payments were paid; a larger revision replaces the rows before it",
            places::payment_places(),
        ),
        table(
            "shadow_decisions",
            "what rules and models in shadow would have said about payments; no decision knows of it",
            shadow_decisions(),
        ),
        table(
            "courier_alerts",
            "swipes far from the phone of the reader's courier; a withdrawn row takes an alert back",
            alerting::courier_alerts(),
        ),
        table(
            "alert_groups",
            "alerts of a card or of a reader that belong together; a larger revision replaces the rows before it",
            alerting::alert_groups(),
        ),
    ]
}

/// Tables that units write.
pub fn of_units() -> Vec<TableSpec> {
    // A control record has no payment: `payments` leaves out ticks and controls, hence the topic's schema fits.
    vec![
        table("payments", "one row for each record about a payment as decode passed it on", topics::payments()),
        table("decisions", "one row for each answer and each change of a payment's state", topics::decisions()),
        table("alerts", "one row for each alerting decision", topics::alerts()),
        table("labels", "chargebacks and analysts' verdicts about payments", topics::labels()),
        table("pings", "every GPS fix that parses, as it came", ping_rows()),
        table("ping_ticks", "how time passed on the pings log where no phone was heard", ping_tick_rows()),
        table("ping_faults", "fixes that cleaning left out, each with its reason", movement::ping_faults()),
        table("stops", "stops of devices; a larger revision replaces the rows before it", movement::stops()),
        table("trips", "trips between stops; a larger revision replaces the rows before it", movement::trips()),
        table("vehicles", "where each vehicle is and what it does, as that changes", movement::vehicles()),
        table(
            "dead_letters",
            "records that could not be used, with reason and place, never their content",
            topics::dead_letters(),
        ),
        table("merchants", "merchants as each bundle named them", merchant_rows()),
        table("readers", "card readers as each bundle named them", reader_rows()),
        table("couriers", "couriers, drivers and agents as each bundle named them", courier_rows()),
    ]
}

/// The table of this name.
pub fn by_name(name: &str) -> Option<TableSpec> {
    all().into_iter().find(|table| table.name == name)
}
