//! Values into the topic's types, column by column, with the rows whose value does not fit.
//!
//! One set of rules for every format. Text becomes a number only if it is that number's plain decimal notation:
//! 12.5, 12.0 and 1e3 are no integers (a rounded amount would be a wrong amount), NaN and infinity are no numbers.
//! A number in quotes counts as that number, and a number or truth value where text belongs as its text.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryBuilder, BooleanBuilder, ListArray, ListBuilder,
    PrimitiveArray, StringArray, StringBuilder, new_null_array,
};
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, FieldRef, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType as Micros,
};
use arrow::error::ArrowError;

/// A column in the topic's type.
pub(crate) struct Column {
    /// Null where there was no value or an unfit one.
    pub(crate) array: ArrayRef,
    /// Rows whose value did not fit, ascending.
    pub(crate) bad: Vec<usize>,
}

impl Column {
    /// A column without any value.
    pub(crate) fn missing(data_type: &DataType, rows: usize) -> Self {
        Self { array: new_null_array(data_type, rows), bad: Vec::new() }
    }
}

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// RFC 3339, also with a space and without zone (UTC).
    Rfc3339,
    /// The same, or an integer: microseconds since the epoch.
    Rfc3339OrMicros,
}

/// Converts a column of text. The type must be one that [`crate::names::check_topic`] lets pass.
pub(crate) fn from_text(text: &StringArray, to: &DataType, times: Times) -> Column {
    match to {
        DataType::Utf8 => Column { array: Arc::new(text.clone()), bad: Vec::new() },
        DataType::Int32 => parsed::<Int32Type>(text, |value| value.parse().ok()),
        DataType::Int64 => parsed::<Int64Type>(text, |value| value.parse().ok()),
        DataType::Float64 => {
            parsed::<Float64Type>(text, |value| value.parse().ok().filter(|number: &f64| number.is_finite()))
        }
        DataType::Timestamp(..) => {
            let utc: Tz = "+00:00".parse().expect("an offset of zero is a zone");
            let column = parsed::<Micros>(text, |value| microseconds(value, utc, times));
            in_utc(column.array.as_primitive().clone(), column.bad)
        }
        DataType::Boolean => booleans(text),
        DataType::Binary => bytes_of_hex(text),
        other => unreachable!("a topic with a column of type {other} was refused when the log was opened"),
    }
}

/// Converts a column of lists of text. An item that is no text makes its list unfit.
pub(crate) fn from_text_lists(lists: &ListArray, item: &FieldRef) -> Column {
    let mut bad = Vec::new();
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(item.clone());
    for (row, texts) in lists.iter().enumerate() {
        let is_unfit = texts.as_ref().is_some_and(|texts| texts.null_count() > 0);
        if is_unfit {
            bad.push(row);
        }
        let texts = texts.filter(|_| !is_unfit);
        if let Some(texts) = &texts {
            texts.as_string::<i32>().iter().flatten().for_each(|text| builder.values().append_value(text));
        }
        builder.append(texts.is_some());
    }
    Column { array: Arc::new(builder.finish()), bad }
}

fn parsed<T: ArrowPrimitiveType>(text: &StringArray, parse: impl Fn(&str) -> Option<T::Native>) -> Column {
    let mut bad = Vec::new();
    let values = text.iter().enumerate().map(|(row, value)| {
        let number = parse(value?.trim());
        if number.is_none() {
            bad.push(row);
        }
        number
    });
    let array: PrimitiveArray<T> = values.collect();
    Column { array: Arc::new(array), bad }
}

fn in_utc(times: PrimitiveArray<Micros>, bad: Vec<usize>) -> Column {
    Column { array: Arc::new(times.with_timezone("UTC")), bad }
}

fn microseconds(value: &str, utc: Tz, times: Times) -> Option<i64> {
    if times == Times::Rfc3339OrMicros
        && let Ok(micros) = value.parse()
    {
        return Some(micros);
    }
    // A date alone would become midnight without anybody having said so; names of zones depend on a time zone database.
    let has_time = value.len() > "2026-01-31".len();
    let names_zone = value.bytes().any(|byte| byte.is_ascii_alphabetic() && !b"TtZz".contains(&byte));
    if !has_time || names_zone {
        return None;
    }
    string_to_datetime(&utc, value).ok().map(|time| time.timestamp_micros())
}

fn booleans(text: &StringArray) -> Column {
    let mut bad = Vec::new();
    let mut builder = BooleanBuilder::with_capacity(text.len());
    for (row, value) in text.iter().enumerate() {
        let truth = value.map(|value| match value.trim() {
            "1" => Some(true),
            "0" => Some(false),
            word if word.eq_ignore_ascii_case("true") => Some(true),
            word if word.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        });
        if truth == Some(None) {
            bad.push(row);
        }
        builder.append_option(truth.flatten());
    }
    Column { array: Arc::new(builder.finish()), bad }
}

/// Arrow's own decoder takes an odd digit at the end for a byte; here it is malformed.
fn bytes_of_hex(text: &StringArray) -> Column {
    let mut bad = Vec::new();
    let mut builder = BinaryBuilder::with_capacity(text.len(), text.value_data().len() / 2);
    let mut bytes = Vec::new();
    for (row, value) in text.iter().enumerate() {
        let Some(digits) = value else {
            builder.append_null();
            continue;
        };
        bytes.resize(digits.len() / 2, 0);
        if hex::decode_to_slice(digits, &mut bytes).is_ok() {
            builder.append_value(&bytes);
        } else {
            bad.push(row);
            builder.append_null();
        }
    }
    Column { array: Arc::new(builder.finish()), bad }
}

/// Whether each value of one type is a value of the other, but for its range: texts are not parsed, fractions not cut.
pub(crate) fn fits(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Boolean, Dictionary, FixedSizeBinary, Float16, Float32, Float64, Int32, Int64, LargeBinary,
        LargeUtf8, Null, Timestamp, Utf8, Utf8View,
    };
    match (from, to) {
        (Null, _) | (Boolean, Boolean) | (Timestamp(..), Timestamp(..)) => true,
        (Utf8 | LargeUtf8 | Utf8View, Utf8) | (Float16 | Float32 | Float64, Float64) => true,
        (Binary | LargeBinary | BinaryView | FixedSizeBinary(_), Binary) => true,
        (Dictionary(_, value), Utf8) => fits(value, to),
        (_, Int32 | Int64 | Float64) => from.is_integer(),
        _ => false,
    }
}

/// Converts a column of a type that fits. Fractions of a microsecond are cut.
pub(crate) fn from_column(array: &ArrayRef, to: &DataType) -> Result<Column, ArrowError> {
    let is_safe = CastOptions { safe: true, ..CastOptions::default() };
    let converted = match (array.data_type(), to) {
        (DataType::Timestamp(_, zone), DataType::Timestamp(..)) => {
            // The zone says how to show a time, not which: it is replaced, not converted.
            let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            let times = cast_with_options(array, &micros, &is_safe)?;
            in_utc(times.as_primitive::<Micros>().clone(), Vec::new()).array
        }
        _ => cast_with_options(array, to, &is_safe)?,
    };
    let converted = match to {
        DataType::Float64 => finite(converted.as_primitive::<Float64Type>()),
        _ => converted,
    };
    let had_value = array.logical_nulls();
    let is_bad =
        |row: &usize| converted.is_null(*row) && had_value.as_ref().is_none_or(|validity| validity.is_valid(*row));
    let nulls_before = had_value.as_ref().map_or(0, |validity| validity.null_count());
    let bad = match converted.null_count() == nulls_before {
        true => Vec::new(),
        false => (0..converted.len()).filter(is_bad).collect(),
    };
    Ok(Column { array: converted, bad })
}

fn finite(numbers: &PrimitiveArray<Float64Type>) -> ArrayRef {
    match numbers.values().iter().all(|number| number.is_finite()) {
        true => Arc::new(numbers.clone()),
        false => Arc::new(numbers.unary_opt::<_, Float64Type>(|number| number.is_finite().then_some(number))),
    }
}

#[cfg(test)]
mod tests;
