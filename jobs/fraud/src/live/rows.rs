//! The payments that are judged, as windows and rules read them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_arrays;
use arrow::datatypes::{Field, Float64Type, Schema};
use schemas::reasons::Reason;
use schemas::topics::kind;

use super::LiveError;
use super::labels;
use crate::fields::FieldType;
use crate::windows::{LABEL, Label};

/// What windows and rules may read of a payment. All but the last three are columns of the payments rows.
pub(super) const PAYMENT_FIELDS: [(&str, FieldType); 20] = [
    ("kind", FieldType::Text),
    ("merchant_id", FieldType::Text),
    ("reader_id", FieldType::Text),
    ("courier_id", FieldType::Text),
    ("amount_minor", FieldType::Integer),
    ("currency", FieldType::Text),
    ("mcc", FieldType::Text),
    ("terminal_time", FieldType::Time),
    ("token", FieldType::Text),
    ("scheme", FieldType::Text),
    ("name_present", FieldType::Text),
    ("chip_capable", FieldType::Boolean),
    ("online_only", FieldType::Boolean),
    ("expired_at_authorization", FieldType::Boolean),
    ("lat", FieldType::Number),
    ("lon", FieldType::Number),
    ("event_time", FieldType::Time),
    // Whether a check of the merchant's side refused it.
    ("refused", FieldType::Boolean),
    // Millionths of a degree, for windows, which keep whole numbers.
    (LAT_E6, FieldType::Integer),
    (LON_E6, FieldType::Integer),
];
/// Columns of the payments rows that are looked at; `windows` is there for what the merchant's side has found.
pub const COLUMNS: [&str; 22] = [
    "kind",
    "payment_id",
    "repeat",
    "merchant_id",
    "reader_id",
    "courier_id",
    "amount_minor",
    "currency",
    "mcc",
    "terminal_time",
    "token",
    "scheme",
    "name_present",
    "chip_capable",
    "online_only",
    "expired_at_authorization",
    "findings",
    "label",
    "event_time",
    "lat",
    "lon",
    WINDOWS,
];
/// Column with the values of the merchant's windows.
pub const WINDOWS: &str = "windows";
/// What windows may read beside: what was said of a swipe. Rules may not, since nothing is said of a payment before it is
/// decided.
pub(super) const LABEL_FIELD: (&str, FieldType) = (LABEL, FieldType::Boolean);
/// Latitude in millionths of a degree.
pub(super) const LAT_E6: &str = "lat_e6";
/// Longitude in millionths of a degree.
pub(super) const LON_E6: &str = "lon_e6";
/// What follows from the place of the card's swipe before: distance in metres, and metres a second.
pub(super) const GEO_FIELDS: [(&str, FieldType); 2] =
    [("card_distance_m", FieldType::Number), ("card_speed_mps", FieldType::Number)];

/// Payments that are judged, and their places among the rows that they come from.
pub(super) struct Judged {
    /// The fields of [`PAYMENT_FIELDS`].
    pub(super) payments: RecordBatch,
    /// Ascending.
    pub(super) places: UInt32Array,
    /// What was said between them.
    pub(super) labels: Vec<Label>,
}

impl Judged {
    /// Those of payments rows, with what labels need where windows read them.
    pub(super) fn of(rows: &RecordBatch, reads_labels: bool) -> Result<Self, LiveError> {
        let kinds = column(rows, "kind")?.as_string_opt::<i32>().ok_or(LiveError::Column("kind"))?;
        let repeats = column(rows, "repeat")?.as_boolean_opt().ok_or(LiveError::Column("repeat"))?;
        let is_judged = |row: &usize| matches!(kinds.value(*row), kind::SWIPE | kind::REFUND) && !repeats.value(*row);
        let places: UInt32Array = (0..rows.num_rows()).filter(is_judged).map(|row| row as u32).collect();
        let stored = PAYMENT_FIELDS.iter().filter(|(name, _)| !matches!(*name, "refused" | LAT_E6 | LON_E6));
        let mut columns = stored.map(|(name, _)| column(rows, name).cloned()).collect::<Result<Vec<_>, _>>()?;
        columns.push(refused(rows)?);
        let mut columns = take_arrays(&columns, &places, None)?;
        for name in ["lat", "lon"] {
            columns.push(millionths(&columns[place_of(name)], name)?);
        }
        let mut names = PAYMENT_FIELDS.map(|(name, _)| name).to_vec();
        let labels = if reads_labels {
            for (name, column) in labels::columns(rows, &places)? {
                names.push(name);
                columns.push(column);
            }
            labels::between(rows, &places)?
        } else {
            Vec::new()
        };
        let named = names.iter().zip(&columns);
        let fields: Vec<Field> =
            named.map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
        Ok(Self { payments: RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?, places, labels })
    }
}

/// A column of the payments rows.
pub(super) fn column<'a>(rows: &'a RecordBatch, name: &'static str) -> Result<&'a ArrayRef, LiveError> {
    rows.column_by_name(name).ok_or(LiveError::Column(name))
}

fn place_of(name: &str) -> usize {
    PAYMENT_FIELDS.iter().position(|(field, _)| *field == name).expect("it is a field of payments")
}

/// Whether a finding refuses each row.
pub(super) fn refused(rows: &RecordBatch) -> Result<ArrayRef, LiveError> {
    let findings = column(rows, "findings")?.as_list_opt::<i32>().ok_or(LiveError::Column("findings"))?;
    let names = findings.values().as_string_opt::<i32>().ok_or(LiveError::Column("findings"))?;
    let declines = |place| Reason::from_name(names.value(place as usize)).is_some_and(Reason::declines);
    let refused = findings.value_offsets().windows(2).map(|ends| (ends[0]..ends[1]).any(declines));
    Ok(Arc::new(refused.map(Some).collect::<BooleanArray>()))
}

fn millionths(degrees: &ArrayRef, name: &'static str) -> Result<ArrayRef, LiveError> {
    let degrees: &Float64Array = degrees.as_primitive_opt::<Float64Type>().ok_or(LiveError::Column(name))?;
    let rounded = degrees.iter().map(|value| value.map(|value| (value * 1e6).round() as i64));
    Ok(Arc::new(rounded.collect::<Int64Array>()))
}

/// The columns of batches of equally many rows side by side.
pub(super) fn beside(batches: &[&RecordBatch]) -> Result<RecordBatch, LiveError> {
    let fields = batches.iter().flat_map(|batch| batch.schema().fields().iter().cloned().collect::<Vec<_>>());
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = batches.iter().flat_map(|batch| batch.columns()).cloned().collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}
