//! What is written is what is read, on every topic and in every format.

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListBuilder, StringArray, StringBuilder,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Field};

use super::*;

/// A column of so many values. What a record says of itself in `malformed` is not taken over, hence nulls there.
fn any_column(field: &Field, rows: usize) -> BoxedStrategy<ArrayRef> {
    if field.name() == MALFORMED {
        return Just(new_null_array(field.data_type(), rows)).boxed();
    }
    match field.data_type() {
        DataType::Boolean => column(field, rows, any::<bool>(), |values| Arc::new(BooleanArray::from(values))),
        DataType::Int32 => column(field, rows, any::<i32>(), |values| Arc::new(Int32Array::from(values))),
        DataType::Int64 => column(field, rows, any_integer(), |values| Arc::new(Int64Array::from(values))),
        DataType::Float64 => column(field, rows, any_number(), |values| Arc::new(Float64Array::from(values))),
        DataType::Utf8 => column(field, rows, any_text(), |values| Arc::new(StringArray::from(values))),
        DataType::Binary => {
            let bytes = prop::collection::vec(any::<u8>(), 0..20);
            column(field, rows, bytes, |values| Arc::new(values.into_iter().collect::<BinaryArray>()))
        }
        DataType::Timestamp(..) => column(field, rows, any_time(), |values| {
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
        }),
        DataType::List(item) => {
            let item = item.clone();
            column(field, rows, prop::collection::vec(any_text(), 0..4), move |values| {
                let mut builder = ListBuilder::new(StringBuilder::new()).with_field(item.clone());
                for texts in values {
                    builder.append_option(texts.map(|texts| texts.into_iter().map(Some)));
                }
                Arc::new(builder.finish())
            })
        }
        other => panic!("no topic has {other}"),
    }
}

fn column<T: std::fmt::Debug + Clone + 'static>(
    field: &Field,
    rows: usize,
    value: impl Strategy<Value = T> + 'static,
    array: impl Fn(Vec<Option<T>>) -> ArrayRef + 'static,
) -> BoxedStrategy<ArrayRef> {
    if field.is_nullable() {
        return prop::collection::vec(prop::option::weighted(0.7, value), rows).prop_map(array).boxed();
    }
    prop::collection::vec(value.prop_map(Some), rows).prop_map(array).boxed()
}

fn any_integer() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -1_000_i64..1_000]
}

fn any_number() -> impl Strategy<Value = f64> {
    let extremes = [0.0, -0.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 0.1, 1e300, 1e15, 123_456_789.0];
    prop_oneof![prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL, prop::sample::select(extremes.to_vec())]
}

fn any_text() -> impl Strategy<Value = String> {
    let odd = ["", " 1 ", "null", "\n\r\t\"\\/", "\u{0}\u{1f}\u{7f}", "é漢😀\u{2028}\u{feff}", "[{\"a\":1}]", "true"];
    prop_oneof!["\\PC{0,12}", prop::sample::select(odd.to_vec()).prop_map(str::to_string)]
}

fn any_time() -> impl Strategy<Value = i64> {
    let (first, end) = (-62_167_219_200_000_000, 253_402_300_800_000_000);
    let leap_days = [951_782_400_000_000, 4_107_542_399_999_999, -2_203_891_200_000_001];
    let edges = [&[i64::MIN, i64::MAX, -1, 0, first, first - 1, end, end - 1][..], &leap_days].concat();
    prop_oneof![any::<i64>(), first..end, prop::sample::select(edges)]
}

pub(super) fn any_rows(schema: SchemaRef, rows: impl Strategy<Value = usize>) -> impl Strategy<Value = RecordBatch> {
    rows.prop_flat_map(move |rows| {
        let columns: Vec<_> = schema.fields().iter().map(|field| any_column(field, rows)).collect();
        let schema = schema.clone();
        columns.prop_map(move |columns| RecordBatch::try_new(schema.clone(), columns).unwrap())
    })
}

pub(super) fn any_topic() -> impl Strategy<Value = &'static str> {
    prop::sample::select(topics::all().into_iter().map(|(topic, _)| topic).collect::<Vec<_>>())
}

fn any_rows_of_any_topic() -> impl Strategy<Value = (&'static str, RecordBatch)> {
    any_topic().prop_flat_map(|topic| (Just(topic), any_rows(topics::by_name(topic).unwrap(), 0_usize..7)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn rows_come_back_as_they_were((topic, rows) in any_rows_of_any_topic()) {
        for format in [Format::Json, Format::Avro, Format::Registry(u32::MAX)] {
            let payloads = encode(topic, format, &rows);
            prop_assert_eq!(payloads.len(), rows.num_rows());
            let mut decoder = Decoder::new(topic).unwrap();
            decoder.bring_into_force(u32::MAX, &schema_text(topic)).unwrap();
            let read = decoder.decode(&records(&payloads)).unwrap();
            prop_assert_eq!(&rejects(&read), &[], "{:?}", format);
            prop_assert_eq!(&read.rows, &rows, "{:?}", format);
            prop_assert_eq!(read.offsets, (FIRST..).take(rows.num_rows()).collect::<Vec<_>>());
        }
    }
}

/// Heads that fastavro 1.13 (another implementation) computes from `topics/*.avsc`: CRC-64-AVRO of the canonical form,
/// little endian. Fails if fingerprints are taken of anything else, which outside readers could not follow.
#[test]
fn fingerprints_are_those_of_other_implementations() {
    for (topic, fingerprint) in [
        ("pings", "4f64f8194e875aa2"),
        ("transactions", "13a0f33c28f87151"),
        ("decisions", "b233cb725e75ba0b"),
        ("trips", "79875e694aaf762e"),
    ] {
        let schema = topics::by_name(topic).unwrap();
        let columns = schema.fields().iter().map(|field| sample(field)).collect();
        let payload = encode(topic, Format::Avro, &RecordBatch::try_new(schema, columns).unwrap()).remove(0);
        assert_eq!(hex::encode(&payload[..10]), format!("c301{fingerprint}"), "{topic}");
    }
}

/// A column of one value.
fn sample(field: &Field) -> ArrayRef {
    let mut values = Values::new(field.data_type());
    match field.data_type() {
        _ if field.is_nullable() => values.null(),
        DataType::Boolean => values.boolean(true),
        DataType::Int32 | DataType::Int64 => values.integer(1),
        DataType::Float64 => values.number(1.5),
        DataType::Utf8 => values.text("a"),
        DataType::Timestamp(..) => values.time(Some(1)),
        DataType::List(_) => values.texts(&["a"]),
        other => panic!("no required column has {other}"),
    }
    values.finish().array
}

/// What an older version wrote is still on the topics.
#[test]
fn records_of_published_schemas_are_read() {
    for (topic, _) in topics::all() {
        let versions = schemas::avro::versions_of(topic);
        assert!(versions.len() >= 2, "{topic}");
        for text in versions {
            Decoder::new(topic).unwrap().bring_into_force(1, &text).unwrap();
        }
    }
    // The head of transactions.v1.avsc by fastavro; that version has no column `malformed`.
    let mut old = hex::decode("c301f86f6eef9a9387e4").unwrap();
    old.extend_from_slice(b"\x08tick\x02");
    old.extend_from_slice(&[0; 17]);
    let read = decode("transactions", &[old]);
    assert_eq!((rejects(&read), values(&read, "received_at")), (vec![], vec!["1".to_string()]));
}
