use arrow::array::{
    DictionaryArray, Float32Array, Float64Array, Int64Array, LargeStringArray, StringViewArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::Int8Type;

use super::*;

fn utc() -> DataType {
    schemas::topics::timestamp()
}

fn micros(text: &str, times: Times) -> Option<i64> {
    let column = from_text(&StringArray::from(vec![text]), &utc(), times);
    assert_eq!(*column.array.data_type(), utc());
    assert_eq!(column.bad.is_empty(), column.array.is_valid(0));
    column.array.is_valid(0).then(|| column.array.as_primitive::<Micros>().value(0))
}

#[test]
fn times_in_text() {
    for same in [
        "2026-03-01T10:00:00.25Z",
        "2026-03-01 10:00:00.250",
        "2026-03-01t12:00:00.250000999+02:00",
        " 2026-03-01T10:00:00.25z",
    ] {
        assert_eq!(micros(same, Times::Rfc3339), Some(1_772_359_200_250_000), "{same}");
    }
    for none in
        ["", "2026-03-01", "2026-02-30T10:00:00Z", "2026-03-01T25:00:00Z", "10:00", "2026-03-01T10:00:00 Europe/Berlin"]
    {
        assert_eq!(micros(none, Times::Rfc3339OrMicros), None, "{none}");
    }
    assert_eq!(micros("-5", Times::Rfc3339OrMicros), Some(-5));
    assert_eq!(micros("1772359200", Times::Rfc3339), None, "seconds and microseconds look alike in a CSV file");
}

#[test]
fn only_lossless_pairs_of_types_fit() {
    use DataType::{
        Boolean, Date32, Decimal128, Dictionary, Float32, Float64, Int8, Int32, Int64, LargeUtf8, UInt64, Utf8,
    };
    let dictionary = Dictionary(Box::new(Int8), Box::new(LargeUtf8));
    for (from, to) in [(Int8, Int32), (UInt64, Int64), (Int64, Float64), (Float32, Float64), (dictionary, Utf8)] {
        assert!(fits(&from, &to), "{from} into {to}");
    }
    for (from, to) in [
        (Utf8, Int64),
        (Float64, Int64),
        (Int64, Utf8),
        (Boolean, Int32),
        (Int64, utc()),
        (Date32, utc()),
        (Decimal128(10, 2), Int64),
        (Utf8, DataType::Binary),
    ] {
        assert!(!fits(&from, &to), "{from} into {to}");
    }
}

fn column(array: impl Array + 'static, to: &DataType) -> (Vec<Option<i64>>, Vec<usize>) {
    let array: ArrayRef = Arc::new(array);
    assert!(fits(array.data_type(), to));
    let column = from_column(&array, to).unwrap();
    assert_eq!(column.array.data_type(), to);
    let values = match to {
        DataType::Timestamp(..) => column.array.as_primitive::<Micros>().iter().collect(),
        DataType::Int32 => column.array.as_primitive::<Int32Type>().iter().map(|value| value.map(i64::from)).collect(),
        _ => column.array.as_primitive::<Int64Type>().iter().collect(),
    };
    (values, column.bad)
}

#[test]
fn numbers_and_times_that_do_not_fit_are_bad_and_nulls_are_not() {
    let seconds = TimestampSecondArray::from(vec![Some(1), None, Some(i64::MAX)]);
    assert_eq!(column(seconds, &utc()), (vec![Some(1_000_000), None, None], vec![2]));
    let nanoseconds = TimestampNanosecondArray::from(vec![1_999]).with_timezone("+02:00");
    assert_eq!(column(nanoseconds, &utc()), (vec![Some(1)], vec![]));
    assert_eq!(column(Int64Array::from(vec![None, Some(1 << 40)]), &DataType::Int32), (vec![None, None], vec![1]));
    assert_eq!(column(UInt64Array::from(vec![7, u64::MAX]), &DataType::Int64), (vec![Some(7), None], vec![1]));
}

#[test]
fn fractions_must_be_finite() {
    let single: ArrayRef = Arc::new(Float32Array::from(vec![Some(0.5), Some(f32::INFINITY), None]));
    let column = from_column(&single, &DataType::Float64).unwrap();
    assert_eq!(column.array.as_primitive::<Float64Type>(), &Float64Array::from(vec![Some(0.5), None, None]));
    assert_eq!(column.bad, [1]);
}

#[test]
fn texts_of_every_layout_are_the_same_texts() {
    let expected: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let layouts: [ArrayRef; 3] = [
        Arc::new(LargeStringArray::from(vec![Some("a"), None])),
        Arc::new(StringViewArray::from(vec![Some("a"), None])),
        Arc::new(vec![Some("a"), None].into_iter().collect::<DictionaryArray<Int8Type>>()),
    ];
    for layout in layouts {
        let column = from_column(&layout, &DataType::Utf8).unwrap();
        assert_eq!((&column.array, column.bad.len()), (&expected, 0));
    }
}
