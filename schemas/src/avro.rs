//! Avro schemas of the topics, derived from the Arrow ones so that the two cannot drift apart.
//! The files `topics/*.avsc` are this module's output; a test compares them and holds older versions readable.

use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Value, json};

use crate::topics::COMMENT;

/// The Avro schema of a topic as JSON: optional columns are unions with null, first and default null, so that adding
/// one stays backward compatible.
pub fn schema_of(topic: &str, schema: &Schema) -> Value {
    let fields: Vec<Value> = schema.fields().iter().map(|field| field_of(field)).collect();
    json!({ "type": "record", "name": topic, "namespace": "tillstream", "fields": fields })
}

/// Schemas that were published before, by topic, oldest first. What was written with them must stay readable.
const PUBLISHED: [(&str, &str); 18] = [
    ("alerts", include_str!("../topics/published/alerts.v1.avsc")),
    ("control", include_str!("../topics/published/control.v1.avsc")),
    ("dead_letters", include_str!("../topics/published/dead_letters.v1.avsc")),
    ("dead_letters", include_str!("../topics/published/dead_letters.v2.avsc")),
    ("decisions", include_str!("../topics/published/decisions.v1.avsc")),
    ("decisions", include_str!("../topics/published/decisions.v2.avsc")),
    ("fares", include_str!("../topics/published/fares.v1.avsc")),
    ("labels", include_str!("../topics/published/labels.v1.avsc")),
    ("payments", include_str!("../topics/published/payments.v1.avsc")),
    ("payments", include_str!("../topics/published/payments.v2.avsc")),
    ("payments", include_str!("../topics/published/payments.v3.avsc")),
    ("ping_faults", include_str!("../topics/published/ping_faults.v1.avsc")),
    ("pings", include_str!("../topics/published/pings.v1.avsc")),
    ("stops", include_str!("../topics/published/stops.v1.avsc")),
    ("transactions", include_str!("../topics/published/transactions.v1.avsc")),
    ("transactions", include_str!("../topics/published/transactions.v2.avsc")),
    ("trips", include_str!("../topics/published/trips.v1.avsc")),
    ("vehicles", include_str!("../topics/published/vehicles.v1.avsc")),
];

/// Texts of all Avro schemas with which this program's versions write a topic: the published ones, then today's.
pub fn versions_of(topic: &str) -> Vec<String> {
    let published = PUBLISHED.iter().filter(|(name, _)| *name == topic).map(|(_, text)| (*text).to_string());
    let today = crate::topics::by_name(topic).map(|schema| schema_of(topic, &schema).to_string());
    published.chain(today).collect()
}

fn field_of(field: &Field) -> Value {
    let avro_type = type_of(field.data_type());
    let doc = field.metadata().get(COMMENT).cloned().unwrap_or_default();
    if field.is_nullable() {
        json!({ "name": field.name(), "type": ["null", avro_type], "default": null, "doc": doc })
    } else {
        json!({ "name": field.name(), "type": avro_type, "doc": doc })
    }
}

fn type_of(data_type: &DataType) -> Value {
    match data_type {
        DataType::Boolean => json!("boolean"),
        DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::Timestamp(..) => json!({ "type": "long", "logicalType": "timestamp-micros" }),
        DataType::List(item) => json!({ "type": "array", "items": type_of(item.data_type()) }),
        other => unreachable!("no topic has a column of type {other}"),
    }
}

#[cfg(test)]
mod tests;
