//! What jobs say to the risk team: swipes far from the courier's phone, and alerts that belong together; and of what the
//! team wants to hear no more for a while.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::topics::{optional, required, text_list, timestamp};

/// Reason of the alerts of table `courier_alerts`.
pub const FAR_FROM_COURIER: &str = "far_from_courier";

/// Values of the column `state` of alerts.
pub mod state {
    /// It stands.
    pub const RAISED: &str = "raised";
    /// What was heard later contradicts it.
    pub const WITHDRAWN: &str = "withdrawn";
}

/// Alerts about swipes far from the phone of whoever carries the reader; a withdrawn row takes back the one before it.
/// Columns that table `alerts` has too are described as there: one view has both.
pub fn courier_alerts() -> SchemaRef {
    use DataType::{Float64, Int32, Int64, Utf8};
    Arc::new(Schema::new(vec![
        required("alert_id", Utf8, "identity of the alert: hash of payment and reason"),
        required("state", Utf8, "raised, or withdrawn where fixes that came later contradict it"),
        required("sequence", Int64, "number of this row in the table, from 1: the order in which rows were added"),
        required("payment_id", Utf8, "payment that alerts"),
        optional("token", Utf8, "card concerned, where known"),
        optional("merchant_id", Utf8, "merchant"),
        optional("reader_id", Utf8, "card reader"),
        optional("courier_id", Utf8, "courier, driver or agent whose phone is beside the reader by the assignments"),
        optional("device_id", Utf8, "that phone"),
        optional("vehicle", Utf8, "foot, bicycle, car or taxi, by the assignment of that phone"),
        optional("amount_minor", Int64, "amount in minor units of the currency"),
        optional("currency", Utf8, "ISO 4217 alphabetic code"),
        required("reason", Utf8, "reason code"),
        required("group_id", Utf8, "alerts of one card that belong together"),
        required("group_number", Int32, "number of this alert in its group, from 1"),
        required("sentence", Utf8, "what happened, for people"),
        required("lat", Float64, "where the swipe was, by the phone that sent it, degrees"),
        required("lon", Float64, "longitude of the same, degrees"),
        optional(
            "phone_lat",
            Float64,
            "where the courier's phone was, degrees; of a withdrawn row by what is known then",
        ),
        optional("phone_lon", Float64, "longitude of the same, degrees"),
        optional("fix_s", Float64, "seconds from that phone's fix to the swipe"),
        optional("distance_m", Float64, "metres between the two; missing in a withdrawn row if no position is left"),
        required("limit_m", Float64, "metres from which on a swipe counts as far"),
        required(
            "known_at",
            timestamp(),
            "when the pings' clock let it be known: 30 s after the swipe, or the later fix",
        ),
        required("event_time", timestamp(), "time of the payment"),
        required("ingest_time", timestamp(), "the log's own timestamp"),
    ]))
}

/// Groups of alerts; rows with a larger revision replace those of the same group.
pub fn alert_groups() -> SchemaRef {
    use DataType::{Boolean, Int32, Int64, Utf8};
    Arc::new(Schema::new(vec![
        required("group_id", Utf8, "identity: hash of the card, or of reader and merchant, and of its first payment"),
        required("revision", Int32, "number of this row about the group, from 1"),
        required("kind", Utf8, "card or reader: what its alerts have in common"),
        optional("token", Utf8, "the card; of a reader's group missing"),
        optional("merchant_id", Utf8, "the reader's merchant; of a card's group that of the newest alert"),
        optional("reader_id", Utf8, "the reader; of a card's group that of the newest alert"),
        required("alerts", Int64, "alerts in it; 0 where they were withdrawn or belong to another group now"),
        required("payments", Int64, "payments that they are about"),
        required("cards", Int64, "cards that are known"),
        required("merchants", Int64, "merchants"),
        required("readers", Int64, "card readers"),
        optional(
            "amount_minor",
            Int64,
            "sum of those payments in minor units; missing where they have several currencies",
        ),
        optional("currency", Utf8, "their currency, where it is one"),
        required("reasons", text_list(), "reason codes, in order"),
        required("first_at", timestamp(), "time of the first alert"),
        required("newest_at", timestamp(), "time of the newest alert"),
        required("newest_alert_id", Utf8, "the newest alert"),
        required("sentence", Utf8, "what happened, for people"),
        required("notifies", Boolean, "whether somebody should be told: the group has its 1st, 10th or 100th alert"),
        required(
            "notified",
            Int64,
            "the largest of 1, 10 and 100 of which somebody was told by this row or one before",
        ),
        required("event_time", timestamp(), "time of the newest alert"),
        required("ingest_time", timestamp(), "the log's own timestamp of the newest alert"),
    ]))
}

/// Causes of alerts that somebody wants to hear no more of for a while. Of the rows about the same cause and the same card,
/// reader or merchant the newest before an alert counts.
pub fn snoozes() -> SchemaRef {
    use DataType::{Int64, Utf8};
    Arc::new(Schema::new(vec![
        required("sequence", Int64, "number of this row in the table, from 1: the order in which rows were added"),
        required("cause", Utf8, "name of a rule, or reason code of an alert that no rule raised"),
        optional("token", Utf8, "card of whose alerts it is said; missing where any"),
        optional("merchant_id", Utf8, "merchant of whose alerts it is said; missing where any"),
        optional("reader_id", Utf8, "reader of whose alerts it is said; missing where any"),
        required(
            "snoozed_until",
            timestamp(),
            "alerts from then on are heard of again; the beginning where it was ended",
        ),
        required("snoozed_by", Utf8, "who says so"),
        required("alert_id", Utf8, "alert about which it was said"),
        required("event_time", timestamp(), "alerts from then on are meant: behind the newest alert that there was"),
        required("ingest_time", timestamp(), "the same"),
    ]))
}
