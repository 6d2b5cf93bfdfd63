//! Codes of what was wrong with a record that did not become a row.

/// A line without anything on it.
pub const EMPTY_LINE: &str = "empty_line";
/// A line or a broker's record that is longer than the bound of 1 MiB.
pub const LINE_TOO_LONG: &str = "line_too_long";
/// A line, or a broker's JSON, that is not UTF-8.
pub const BAD_UTF8: &str = "bad_utf8";
/// A line, or a broker's JSON, that is not exactly one JSON object.
pub const BAD_JSON: &str = "bad_json";
/// A CSV record with another number of fields than the header.
pub const WRONG_FIELD_COUNT: &str = "wrong_field_count";
/// A CSV record whose quotes are still open where the file ends.
pub const UNCLOSED_QUOTE: &str = "unclosed_quote";
/// A column that the record needs is missing or null.
pub const MISSING_COLUMN: &str = "missing_column";
/// A value that its column's type cannot hold.
pub const BAD_VALUE: &str = "bad_value";
/// The record's file has a column of a type that does not fit the topic's.
pub const WRONG_SCHEMA: &str = "wrong_schema";
/// A broker's record without anything in it.
pub const EMPTY_RECORD: &str = "empty_record";
/// A broker's record that is neither JSON nor Avro by its first bytes.
pub const UNKNOWN_FORMAT: &str = "unknown_format";
/// A broker's Avro record whose fingerprint is of no schema of the topic.
pub const UNKNOWN_SCHEMA: &str = "unknown_schema";
/// A broker's Avro record whose schema no control record before it has brought into force.
pub const SCHEMA_NOT_IN_FORCE: &str = "schema_not_in_force";
/// A broker's Avro record that is not exactly one value of its schema.
pub const BAD_AVRO: &str = "bad_avro";
/// A record that says that it was received after the broker had it.
pub const RECEIVED_IN_FUTURE: &str = "received_in_future";
