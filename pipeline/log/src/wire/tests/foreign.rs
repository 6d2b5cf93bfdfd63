//! Schemas of others: what resolves, and what is refused in which words.

use super::*;

/// An outside producer's fixes, with what Avro has besides: a map, lists of a union, a type that holds itself.
const FIXES: &str = r#"{"type":"record","name":"Fix","namespace":"org.example","fields":[
    {"name":"tags","type":{"type":"map","values":{"type":"array","items":
        ["null","long",{"type":"enum","name":"Colour","symbols":["RED","GREEN"]}]}}},
    {"name":"time","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"device_id","type":["string","null"]},
    {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["ping","tick","control"]}},
    {"name":"lat","type":"float"},{"name":"lon","type":["null","int","double"]},
    {"name":"chain","type":["null",{"type":"record","name":"Node","fields":[
        {"name":"value","type":{"type":"fixed","name":"Two","size":2}},{"name":"next","type":["null","Node"]}]}]},
    {"name":"colour","type":"org.example.Colour"},
    {"name":"hired","type":"boolean"},
    {"name":"speed_mps","type":"long"}]}"#;

/// Two of them as fastavro 1.12 writes them.
const BODIES: [&str; 2] = [
    "0402610600020a04020002620000f4b7b98d95670004743100000056420400000000000002c002000102020300000105",
    "00010202000000bf020e000200808080808040",
];

pub(super) fn fixes() -> Vec<Vec<u8>> {
    BODIES.map(|body| [vec![0, 0, 0, 0, 1], hex::decode(body).unwrap()].concat()).to_vec()
}

pub(super) fn decoder() -> Decoder {
    let mut decoder = Decoder::new("pings").unwrap();
    decoder.bring_into_force(1, FIXES).unwrap();
    decoder
}

#[test]
fn another_implementations_records_are_read_by_name() {
    let read = decoder().decode(&records(&fixes())).unwrap();
    assert_eq!(rejects(&read), []);
    for (column, expected) in [
        ("kind", ["ping", "tick"]),
        ("device_id", ["t1", "-"]),
        ("time", ["1772359200250000", "-1000"]),
        ("lat", ["53.5", "-0.5"]),
        ("lon", ["-2.25", "7"]),
        ("hired", ["true", "false"]),
        ("speed_mps", ["-3", "1099511627776"]),
        ("accuracy_m", ["-", "-"]),
    ] {
        assert_eq!(values(&read, column), expected, "{column}");
    }
}

/// Blocks of lists may carry their length in bytes, which this program's own encoder never writes.
#[test]
fn blocks_with_their_length_are_read() {
    let mut payments = Decoder::new("payments").unwrap();
    let schema = schema_text("payments");
    payments.bring_into_force(1, &schema).unwrap();
    let json =
        r#"{"kind":"tick","repeat":false,"origin_partition":0,"event_time":1,"ingest_time":1,"findings":["ab","c"]}"#;
    let payload = encode("payments", Format::Registry(1), &decode("payments", &[json]).rows).remove(0);
    let place = payload.windows(7).position(|window| window == b"\x04\x04ab\x02c\x00").unwrap();
    for blocks in [&b"\x03\x0a\x04ab\x02c\x00"[..], b"\x02\x04ab\x01\x04\x02c\x00"] {
        let written = [&payload[..place], blocks, &payload[place + 7..]].concat();
        let read = payments.decode(&records(&[written])).unwrap();
        assert_eq!(rejects(&read), []);
        let list = read.rows["findings"].as_list::<i32>().value(0);
        assert_eq!(list.as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["ab", "c"]);
    }
}

#[test]
fn times_are_counted_as_the_schema_says() {
    for (unit, written, expected) in [
        ("timestamp-millis", 1_500_i64, "1500000"),
        ("timestamp-micros", 1_500, "1500"),
        ("timestamp-nanos", -1, "-1"),
        ("timestamp-nanos", 1_999, "1"),
    ] {
        let field = format!(r#"{{"name":"time","type":["null",{{"type":"long","logicalType":"{unit}"}}]}}"#);
        let mut decoder = Decoder::new("pings").unwrap();
        decoder.bring_into_force(0, &format!(r#"{{"type":"record","name":"p","fields":[{field}]}}"#)).unwrap();
        let number = ((written << 1) ^ (written >> 63)) as u64;
        let varint = if number < 128 { vec![number as u8] } else { vec![number as u8 | 0x80, (number >> 7) as u8] };
        let read = decoder.decode(&records(&[[vec![0; 5], vec![2], varint].concat()])).unwrap();
        assert_eq!(values(&read, "time"), [expected], "{unit}");
    }
    let mut millis = fixes().remove(1);
    let place = millis.iter().rposition(|byte| *byte == 0x01).unwrap();
    assert_eq!(millis[place - 1], 0);
    millis.splice(place..=place, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    let read = decoder().decode(&records(&[millis])).unwrap();
    assert_eq!(rejects(&read), [(FIRST, reason::BAD_VALUE, "column time has a value that its type cannot hold")]);
}

#[test]
fn what_does_not_resolve_is_refused_in_words() {
    let record = |fields: &str| format!(r#"{{"type":"record","name":"p","fields":[{fields}]}}"#);
    let cases = [
        ("{", "it is no JSON"),
        ("\"int\"", "it is int, and a record of the topic is needed"),
        (r#"{"type":"record","name":"p"}"#, "a part of type record has no fields"),
        (r#"{"type":"record","fields":[]}"#, "a record, enum or fixed has no name"),
        ("[1]", "a part of it is neither a name nor an object nor a union"),
        (&record(r#"{"name":"lat","type":"string"}"#), "column lat is written as string, which does not fit Float64"),
        (
            &record(r#"{"name":"lat","type":["null","double","string"]}"#),
            "column lat is written as union of null, double, string",
        ),
        (&record(r#"{"name":"time","type":"long"}"#), "column time is written as long, which does not fit Timestamp"),
        (
            &record(r#"{"name":"kind","type":{"type":"array","items":"string"}}"#),
            "column kind is written as array of string",
        ),
        (&record(r#"{"name":"x","type":"Missing"}"#), "type Missing is not defined before it is used"),
        (&record(r#"{"name":"x","type":"int"},{"name":"x","type":"int"}"#), "two fields are called x"),
        (&record(r#"{"name":"x","type":{"type":"fixed","name":"p","size":1}}"#), "type p is defined twice"),
        (
            &record(r#"{"name":"x","type":{"type":"fixed","name":"q","size":-1}}"#),
            "the size of a fixed is no number of bytes",
        ),
        (&format!("{}{}", "[".repeat(1_000), "]".repeat(1_000)), "it is no JSON: recursion limit exceeded"),
    ];
    for (schema, words) in cases {
        let mut decoder = Decoder::new("pings").unwrap();
        let error = decoder.bring_into_force(7, schema).unwrap_err();
        assert!(error.to_string().starts_with("schema 7 cannot come into force on topic pings: "), "{error}");
        assert!(error.to_string().contains(words), "{error}\n{words}");
        assert!(error.is_refusal());
        assert_eq!(decoder.in_force().count(), 0);
    }
    let without = record(r#"{"name":"kind","type":"string"}"#);
    let error = Decoder::new("transactions").unwrap().bring_into_force(7, &without).unwrap_err();
    assert!(
        error.to_string().contains("column received_at is needed in each record, and no field writes it"),
        "{error}"
    );
}

/// A column that a record needs may be optional to its writer: then records without it are rejected, one by one.
#[test]
fn a_required_column_may_be_optional_to_the_writer() {
    let schema = r#"{"type":"record","name":"t","fields":[{"name":"kind","type":["null","string"]},
        {"name":"received_at","type":{"type":"long","logicalType":"timestamp-micros"}},
        {"name":"malformed","type":"string"}]}"#;
    let mut decoder = Decoder::new("transactions").unwrap();
    decoder.bring_into_force(0, schema).unwrap();
    let read =
        decoder.decode(&records(&[&b"\0\0\0\0\0\x02\x08tick\x02\x02x"[..], b"\0\0\0\0\0\x00\x02\x02x"])).unwrap();
    assert_eq!((values(&read, "kind"), values(&read, MALFORMED)), (vec!["tick".to_string()], vec!["-".to_string()]));
    assert_eq!(rejects(&read), [(FIRST + 1, reason::MISSING_COLUMN, "column kind has no value")]);
}

/// As in files: what is no number is no latitude.
#[test]
fn numbers_that_are_none_reject_their_record() {
    let schema =
        r#"{"type":"record","name":"p","fields":[{"name":"lat","type":"float"},{"name":"lon","type":"double"}]}"#;
    let mut decoder = Decoder::new("pings").unwrap();
    decoder.bring_into_force(0, schema).unwrap();
    let frame = |lat: f32, lon: f64| [&[0; 5][..], &lat.to_le_bytes(), &lon.to_le_bytes()].concat();
    let log = [frame(f32::NAN, 1.0), frame(1.5, f64::MAX), frame(1.0, f64::NEG_INFINITY)];
    let read = decoder.decode(&records(&log)).unwrap();
    assert_eq!((read.offsets.as_slice(), values(&read, "lat")), (&[FIRST + 1][..], vec!["1.5".to_string()]));
    let detail = |column| format!("column {column} has a value that its type cannot hold");
    let (lat, lon) = (detail("lat"), detail("lon"));
    assert_eq!(rejects(&read), [(FIRST, reason::BAD_VALUE, &*lat), (FIRST + 2, reason::BAD_VALUE, &*lon)]);
}
