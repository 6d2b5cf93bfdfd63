//! Schemas of what travels on the topics, as Arrow; the Avro files in `topics/` say the same and a test compares.

use std::sync::Arc;

use arrow::array::{ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::movement;

/// Key of a field's metadata under which its comment lies; Delta and SQL listings show it.
pub const COMMENT: &str = "comment";

/// Column of a topic that the reader of the log fills where optional values of a record could not be read: the record
/// goes on without them, since a phone may wait for its answer. Without this column such a record is a dead letter.
pub const MALFORMED: &str = "malformed";

/// Microseconds since the epoch, UTC.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// List of short texts, such as findings.
pub fn text_list() -> DataType {
    DataType::List(Arc::new(Field::new("element", DataType::Utf8, false)))
}

/// Builds such lists.
pub fn text_lists() -> ListBuilder<StringBuilder> {
    ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, false))
}

pub(crate) fn column(name: &str, data_type: DataType, nullable: bool, comment: &str) -> Field {
    Field::new(name, data_type, nullable).with_metadata([(COMMENT.to_string(), comment.to_string())].into())
}

pub(crate) fn required(name: &str, data_type: DataType, comment: &str) -> Field {
    column(name, data_type, false, comment)
}

pub(crate) fn optional(name: &str, data_type: DataType, comment: &str) -> Field {
    column(name, data_type, true, comment)
}

/// What column `label` of chargebacks and dispositions may say.
pub mod label {
    /// The payment is fraud.
    pub const FRAUD: &str = "fraud";
    /// The payment is its cardholder's own.
    pub const LEGITIMATE: &str = "legitimate";
}

/// Kinds of record on the transactions topic (column `kind`).
pub mod kind {
    /// A card was swiped: the reader's closed frame with amount and STAN.
    pub const SWIPE: &str = "swipe";
    /// The phone has the decision (appended by the gateway); starts the signature timer.
    pub const ANSWERED: &str = "answered";
    /// The gateway had no answer in time and takes the swipe back, quoting reader and STAN.
    pub const WITHDRAW: &str = "withdraw";
    /// The cardholder signed on the screen.
    pub const SIGNATURE: &str = "signature";
    /// The merchant gives money back.
    pub const REFUND: &str = "refund";
    /// The merchant cancels the payment.
    pub const CANCEL: &str = "cancel";
    /// The card's issuer takes the money back.
    pub const CHARGEBACK: &str = "chargeback";
    /// An analyst's verdict about a payment.
    pub const DISPOSITION: &str = "disposition";
    /// Time passes.
    pub const TICK: &str = "tick";
    /// A bundle or key comes into force.
    pub const CONTROL: &str = "control";
    /// All of them.
    pub const ALL: [&str; 10] =
        [SWIPE, ANSWERED, WITHDRAW, SIGNATURE, REFUND, CANCEL, CHARGEBACK, DISPOSITION, TICK, CONTROL];
}

/// Control columns, shared by every input topic.
fn control_columns() -> Vec<Field> {
    use DataType::Utf8;
    vec![
        optional("control_unit", Utf8, "control: the unit addressed (decode, authorize, trips)"),
        optional("control_type", Utf8, "control: bundle, rules, key_set, token_key, routing_key or schema"),
        optional("control_id", Utf8, "control: identifier or version of a key, or number of a schema"),
        optional(
            "control_hash",
            Utf8,
            "control: SHA-256 of a bundle or schema, or the check value of a key, hexadecimal",
        ),
    ]
}

/// One wide row for each record of the transactions topic. Sensitive: `frame` never leaves memory and this topic.
pub fn transactions() -> SchemaRef {
    use DataType::{Binary, Float64, Int32, Int64, Utf8};
    let mut fields = vec![
        required(
            "kind",
            Utf8,
            "what the record is: swipe, answered, withdraw, signature, refund, cancel, chargeback, disposition, tick or control",
        ),
        required("received_at", timestamp(), "when the gateway put the record on the log; the log's own clock"),
        optional("merchant_id", Utf8, "merchant under whom the phone is logged in; key of the topic"),
        optional("reader_id", Utf8, "card reader that made the frame"),
        optional("stan", Int32, "system trace audit number, 0 to 999999, given by the phone"),
        optional("terminal_time", timestamp(), "the phone's own clock at the swipe: data to be checked, not a clock"),
        optional("amount_minor", Int64, "amount in minor units of the currency"),
        optional("currency", Utf8, "ISO 4217 alphabetic code"),
        optional("frame", Binary, "the reader's closed (encrypted) frame; sensitive"),
        optional("courier_id", Utf8, "courier, driver or agent who took the payment"),
        optional("app_version", Utf8, "version of the phone's program"),
        optional("payment_id", Utf8, "payment that a later record is about, 28 hexadecimal digits"),
        optional("signature_sha256", Utf8, "signature: hash of the signature's image, which is kept elsewhere"),
        optional("label", Utf8, "chargeback and disposition: fraud or legitimate"),
        optional("label_source", Utf8, "chargeback and disposition: who says so"),
    ];
    fields.extend(control_columns());
    fields.push(optional("lat", Float64, "swipe: where the phone was, latitude, WGS84 degrees, north positive"));
    fields.push(optional("lon", Float64, "swipe: where the phone was, longitude, WGS84 degrees, east positive"));
    fields.push(optional(
        MALFORMED,
        Utf8,
        "names of the columns whose value could not be read, comma separated; filled by the reader of the log",
    ));
    Arc::new(Schema::new(fields))
}

/// One row for each GPS fix, tick or control record of the pings topic.
pub fn pings() -> SchemaRef {
    use DataType::{Boolean, Float64, Utf8};
    let mut fields = vec![
        optional("kind", Utf8, "ping (also when missing), tick or control"),
        optional("device_id", Utf8, "phone or tracker; key of the topic"),
        optional("time", timestamp(), "when the fix was taken, by the device"),
        optional("lat", Float64, "latitude, WGS84 degrees, north positive"),
        optional("lon", Float64, "longitude, WGS84 degrees, east positive"),
        optional("accuracy_m", Float64, "radius of 68 % confidence that the device states, metres"),
        optional("speed_mps", Float64, "speed over ground that the device states, metres a second"),
        optional("bearing_deg", Float64, "course over ground, degrees from north, clockwise"),
        optional("hired", Boolean, "whether the vehicle is hired, where the device knows"),
        optional("received_at", timestamp(), "when the gateway put the record on the log; missing in recorded files"),
    ];
    fields.extend(control_columns());
    Arc::new(Schema::new(fields))
}

/// What decode passes on about a payment: also the rows of table `payments`, which leaves out ticks.
pub fn payments() -> SchemaRef {
    use DataType::{Boolean, Float64, Int32, Int64, Utf8};
    Arc::new(Schema::new(vec![
        required(
            "kind",
            Utf8,
            "what the record is: swipe, answered, withdraw, signature, refund, cancel, chargeback, disposition; on the topic also tick and control",
        ),
        optional(
            "payment_id",
            Utf8,
            "identity of the payment: 4 hexadecimal digits of route, 24 of SHA-256(reader, KSN, STAN)",
        ),
        required("repeat", Boolean, "a retransmission of a swipe seen before; left out of sums, limits and views"),
        optional("merchant_id", Utf8, "merchant"),
        optional("reader_id", Utf8, "card reader"),
        optional("courier_id", Utf8, "courier, driver or agent who took the payment"),
        optional("stan", Int32, "system trace audit number"),
        optional("ksn", Utf8, "key serial number of the swipe, hexadecimal"),
        optional("amount_minor", Int64, "amount in minor units of the currency"),
        optional("currency", Utf8, "ISO 4217 alphabetic code"),
        optional("mcc", Utf8, "merchant category code (ISO 18245) of the merchant in force"),
        optional("terminal_time", timestamp(), "the phone's own clock at the swipe"),
        optional("token", Utf8, "keyed identity of the card, 32 hexadecimal digits"),
        optional("token_key_version", Utf8, "version of the key that made the token"),
        optional("last4", Utf8, "last four digits of the card number"),
        optional("scheme", Utf8, "card scheme by number range (ISO/IEC 7812)"),
        optional("name_present", Utf8, "holder's name on track 1: present, absent or unknown"),
        optional("chip_capable", Boolean, "service code says the card has a chip"),
        optional("online_only", Boolean, "service code forbids approval without the issuer"),
        optional("expired_at_authorization", Boolean, "the card's month had ended in the merchant's zone"),
        required("findings", text_list(), "reason codes of every check of the merchant's side that failed"),
        optional("signature_sha256", Utf8, "signature: hash of the image"),
        optional("label", Utf8, "chargeback and disposition: fraud or legitimate"),
        optional("label_source", Utf8, "chargeback and disposition: who says so"),
        optional("decode_bundle", Utf8, "hash of the merchant bundle that was in force"),
        optional("key_set", Utf8, "key set that opened the frame"),
        required("origin_partition", Int32, "transactions partition that the record came from: whose clock counts"),
        required("event_time", timestamp(), "when it happened for the pipeline: received_at"),
        required("ingest_time", timestamp(), "the log's own timestamp: received_at"),
        optional("lat", Float64, "where the phone was at the swipe, latitude, WGS84 degrees, north positive"),
        optional("lon", Float64, "where the phone was at the swipe, longitude, WGS84 degrees, east positive"),
        optional(
            "windows",
            text_list(),
            "values of the merchant's side windows in force at the swipe or refund: identity of the definition = value",
        ),
    ]))
}

/// The topic `payments`: its rows, and the columns of control records addressed to authorize.
pub fn payments_topic() -> SchemaRef {
    extended(&payments(), control_columns())
}

fn extended(rows: &SchemaRef, more: impl IntoIterator<Item = Field>) -> SchemaRef {
    let rows = rows.fields().iter().map(|field| field.as_ref().clone());
    Arc::new(Schema::new(rows.chain(more).collect::<Vec<_>>()))
}

/// One row for each answer and each change of a payment's state.
pub fn decisions() -> SchemaRef {
    use DataType::{Boolean, Float64, Int32, Int64, Utf8};
    Arc::new(Schema::new(vec![
        optional("payment_id", Utf8, "identity of the payment"),
        required(
            "kind",
            Utf8,
            "what was decided: authorization, capture, reversal, refund, chargeback, or acknowledgement where nothing changed",
        ),
        required("repeat", Boolean, "the stored answer given again to a retransmission"),
        optional("merchant_id", Utf8, "merchant"),
        optional("reader_id", Utf8, "card reader"),
        optional("courier_id", Utf8, "courier, driver or agent"),
        optional("stan", Int32, "system trace audit number"),
        optional("token", Utf8, "keyed identity of the card"),
        optional(
            "state",
            Utf8,
            "state of the payment after this row: declined, authorized, captured, reversed, refunded_partly, refunded, charged_back",
        ),
        required("response_code", Utf8, "two-digit answer (DE39 of ISO 8583:1987)"),
        required("reason", Utf8, "reason code with the highest priority of all findings, or approved"),
        required("findings", text_list(), "reason codes of every check that failed, highest priority first"),
        optional("amount_minor", Int64, "amount of this step in minor units"),
        optional("currency", Utf8, "ISO 4217 alphabetic code"),
        required("held_minor", Int64, "change of the amount held on the card by this row"),
        required("captured_minor", Int64, "change of the amount owed to the merchant by this row"),
        optional("approval_code", Utf8, "six characters (DE38) of an approval"),
        optional("rrn", Utf8, "retrieval reference number (DE37)"),
        required("answer", Utf8, "the answer as the phone gets it, JSON; byte-equal for a repeat"),
        optional("signature_deadline", timestamp(), "until when the cardholder may sign, once known"),
        optional("decode_bundle", Utf8, "hash of the merchant bundle that was in force"),
        optional("authorize_bundle", Utf8, "hash of the authorization bundle that was in force"),
        required("origin_partition", Int32, "transactions partition whose clock counts"),
        required("event_time", timestamp(), "when it happened: the record's received_at, or the deadline that passed"),
        required("ingest_time", timestamp(), "the log's own timestamp of the record that wrote the row"),
        optional("rules_bundle", Utf8, "hash of the rules, lists, windows and model that were in force"),
        optional("score", Float64, "what the model said, 0 to 1; higher is more suspicious"),
        optional("features", text_list(), "values of windows and of places that the rules could read: name = value"),
        optional("fired_rules", text_list(), "rules that fired, with their class and the values filled in"),
        optional("contributions", text_list(), "what added or took most of the model's raw score: feature = amount"),
    ]))
}

/// One row for each alerting decision.
pub fn alerts() -> SchemaRef {
    use DataType::{Int32, Utf8};
    Arc::new(Schema::new(vec![
        required("alert_id", Utf8, "identity of the alert: hash of payment and reason"),
        optional("payment_id", Utf8, "payment that alerts"),
        optional("token", Utf8, "card concerned, where known"),
        optional("merchant_id", Utf8, "merchant"),
        optional("reader_id", Utf8, "card reader"),
        required("reason", Utf8, "reason code"),
        required("group_id", Utf8, "alerts of one card that belong together"),
        required("group_number", Int32, "number of this alert in its group, from 1"),
        required("sentence", Utf8, "what happened, for people"),
        required("event_time", timestamp(), "time of the payment"),
        required("ingest_time", timestamp(), "the log's own timestamp"),
    ]))
}

/// What is known afterwards about a payment.
pub fn labels() -> SchemaRef {
    use DataType::Utf8;
    Arc::new(Schema::new(vec![
        required("payment_id", Utf8, "payment"),
        required("label", Utf8, "fraud or legitimate"),
        optional("label_source", Utf8, "chargeback, or the analyst's name"),
        required("event_time", timestamp(), "when it was said"),
        required("known_at", timestamp(), "when the pipeline read it"),
        required("ingest_time", timestamp(), "the log's own timestamp"),
    ]))
}

/// Fares of hired rides.
pub fn fares() -> SchemaRef {
    use DataType::{Float64, Int64, Utf8};
    Arc::new(Schema::new(vec![
        required("fare_id", Utf8, "identity of the fare: hash of device and start of the ride"),
        required("device_id", Utf8, "the taxi's device"),
        required("tariff", Utf8, "tariff that was in force"),
        required("started_at", timestamp(), "hired"),
        required("ended_at", timestamp(), "for hire again"),
        required("distance_m", Float64, "distance while hired, metres"),
        required("amount_minor", Int64, "fare in minor units"),
        required("currency", Utf8, "ISO 4217 alphabetic code"),
        required("event_time", timestamp(), "end of the ride"),
        optional("ingest_time", timestamp(), "the log's own timestamp"),
    ]))
}

/// Records that could not be used. Never holds any of the record's content.
pub fn dead_letters() -> SchemaRef {
    use DataType::Utf8;
    Arc::new(Schema::new(vec![
        required("unit", Utf8, "who refused the record: log for one that does not parse, else the unit"),
        required("reason", Utf8, "short code of what was wrong"),
        required("detail", Utf8, "what was wrong and where (column, line), without the record's content"),
        optional("event_time", timestamp(), "the record's received_at where it could be read"),
        optional("ingest_time", timestamp(), "the log's own timestamp where it could be read"),
    ]))
}

/// The topic `dead_letters`: its rows, and the place of the record that was refused, which the table keeps as the
/// row's source.
pub fn dead_letters_topic() -> SchemaRef {
    let place = crate::tables::source_columns();
    extended(&dead_letters(), place.into_iter().map(|field| field.with_nullable(true)))
}

/// Schema of a topic.
pub fn by_name(name: &str) -> Option<SchemaRef> {
    all().into_iter().find(|(topic, _)| *topic == name).map(|(_, schema)| schema)
}

/// Column whose value is the key of a topic's records. Ticks and control records have none.
pub fn key_column(topic: &str) -> Option<&'static str> {
    match topic {
        "transactions" | "decisions" => Some("merchant_id"),
        "pings" | "trips" | "stops" | "ping_faults" | "vehicles" | "fares" => Some("device_id"),
        "payments" | "alerts" => Some("token"),
        "labels" => Some("payment_id"),
        _ => None,
    }
}

/// Every topic with its schema, in the order of the flow.
pub fn all() -> Vec<(&'static str, SchemaRef)> {
    vec![
        ("transactions", transactions()),
        ("pings", pings()),
        ("payments", payments_topic()),
        ("decisions", decisions()),
        ("alerts", alerts()),
        ("labels", labels()),
        ("trips", movement::trips()),
        ("stops", movement::stops()),
        ("ping_faults", movement::ping_faults()),
        ("vehicles", movement::vehicles()),
        ("fares", fares()),
        ("dead_letters", dead_letters_topic()),
        ("control", Arc::new(Schema::new(control_topic()))),
    ]
}

fn control_topic() -> Vec<Field> {
    let mut fields = vec![required("received_at", timestamp(), "when the publisher appended the record")];
    fields.extend(control_columns());
    fields
}
