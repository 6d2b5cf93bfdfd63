//! Which column of a file is which column of the topic.

use arrow::datatypes::{DataType, Schema};
use schemas::topics::MALFORMED;

use crate::LogError;

/// Other spellings of columns in CSV, Parquet and Avro files, as trackers and published recordings use them. The
/// topic's own name comes first, then these in order.
const SPELLINGS: [(&str, &[&str]); 7] = [
    ("device_id", &["device", "vehicle_id", "id"]),
    ("time", &["timestamp", "event_time", "datetime"]),
    ("lat", &["latitude"]),
    ("lon", &["lng", "long", "longitude"]),
    ("accuracy_m", &["accuracy"]),
    ("speed_mps", &["speed"]),
    ("bearing_deg", &["bearing", "heading", "course"]),
];

/// What a file of fixes must have columns for. The topic cannot require them, since ticks lie on it too.
const FIX_COLUMNS: [&str; 4] = ["device_id", "time", "lat", "lon"];

/// For each column of the topic the position of the file's column, where there is one.
pub(crate) fn positions(topic: &Schema, names: &[String]) -> Vec<Option<usize>> {
    let find = |wanted: &str| names.iter().position(|name| name.trim().eq_ignore_ascii_case(wanted));
    let position = |column: &String| {
        if column == MALFORMED {
            return None;
        }
        let spellings = SPELLINGS.iter().find(|(name, _)| name == column).map_or(&[][..], |(_, others)| others);
        find(column).or_else(|| spellings.iter().find_map(|other| find(other)))
    };
    topic.fields().iter().map(|field| position(field.name())).collect()
}

/// Columns that each record needs and that the file does not have, comma separated; empty if it has them all.
pub(crate) fn missing(topic: &Schema, positions: &[Option<usize>]) -> String {
    let is_of_fixes = FIX_COLUMNS.iter().all(|column| topic.index_of(column).is_ok());
    let missing = topic.fields().iter().zip(positions).filter(|(field, position)| {
        let is_needed = !field.is_nullable() || is_of_fixes && FIX_COLUMNS.contains(&field.name().as_str());
        is_needed && position.is_none()
    });
    missing.map(|(field, _)| field.name().as_str()).collect::<Vec<_>>().join(",")
}

/// The columns that each record of the topic needs, for people: with their other spellings.
pub(crate) fn needed(topic: &Schema) -> String {
    let names = missing(topic, &vec![None; topic.fields().len()]);
    let with_spellings = |name: &str| match SPELLINGS.iter().find(|(known, _)| *known == name) {
        Some((_, others)) => format!("{name} (or {})", others.join(", ")),
        None => name.to_string(),
    };
    names.split(',').map(with_spellings).collect::<Vec<_>>().join(", ")
}

/// Refuses topics with columns of types that no file format here can fill.
pub(crate) fn check_topic(topic: &Schema) -> Result<(), LogError> {
    use DataType::{Binary, Boolean, Float64, Int32, Int64, Utf8};
    let utc = schemas::topics::timestamp();
    let is_known = |data_type: &DataType| {
        matches!(data_type, Binary | Boolean | Float64 | Int32 | Int64 | Utf8) || *data_type == utc
    };
    match topic.fields().iter().find(|field| !is_known(field.data_type())) {
        None => Ok(()),
        Some(field) => Err(LogError::Column { column: field.name().clone(), data_type: field.data_type().to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::topics;

    fn names(text: &str) -> Vec<String> {
        text.split(',').map(str::to_string).collect()
    }

    #[test]
    fn the_topics_own_name_wins_over_other_spellings() {
        let positions = positions(&topics::pings(), &names("id,Device_ID ,LATITUDE"));
        assert_eq!(positions[1..4], [Some(1), None, Some(2)]);
    }

    #[test]
    fn a_file_of_fixes_needs_its_four_columns_and_other_topics_their_required_ones() {
        let pings = topics::pings();
        assert_eq!(missing(&pings, &positions(&pings, &names("vehicle_id,lng"))), "time,lat");
        assert_eq!(missing(&pings, &positions(&pings, &names("id,datetime,lat,long"))), "");
        assert_eq!(
            needed(&pings),
            "device_id (or device, vehicle_id, id), time (or timestamp, event_time, datetime), lat (or latitude), \
             lon (or lng, long, longitude)"
        );
        let transactions = topics::transactions();
        assert_eq!(missing(&transactions, &positions(&transactions, &names("kind"))), "received_at");
    }

    #[test]
    fn topics_with_lists_are_refused_by_the_columns_name() {
        let error = check_topic(&topics::payments()).unwrap_err();
        assert!(error.to_string().starts_with("column findings has type"), "{error}");
        check_topic(&topics::pings()).unwrap();
        check_topic(&topics::transactions()).unwrap();
    }
}
