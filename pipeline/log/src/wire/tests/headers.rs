//! Frames that say their schema in a header: they mean the same whatever is in force.

use super::*;

/// Another writer's schema, of one column.
const SHORT: &str = r#"{"type":"record","name":"Short","fields":[{"name":"device_id","type":"string"}]}"#;

/// A frame of the topic's own schema of today under this number, and its header.
fn own_frame(topic: &'static str, json: &str, id: u32) -> (Vec<u8>, [u8; 8]) {
    let source = Arc::new(Published(vec![SHORT.to_string()]));
    let rows = Decoder::new(topic).unwrap().with_source(source).decode(&records(&[json])).unwrap().rows;
    let fingerprint = Encoder::new(topic, Format::Registry(id)).unwrap().fingerprint();
    (encode(topic, Format::Registry(id), &rows).remove(0), fingerprint.unwrap())
}

fn ping(device: &str) -> String {
    format!(r#"{{"device_id":"{device}"}}"#)
}

/// Fails if the number in force goes before what the record says of itself, or if the header of one record is taken for
/// another's.
#[test]
fn a_frame_with_a_header_is_read_by_it_whatever_is_in_force() {
    let (first, header) = own_frame("pings", &ping("own"), 3);
    let short = [&[0, 0, 0, 0, 3, 10][..], b"short"].concat();
    let mut decoder = Decoder::new("pings").unwrap();
    decoder.bring_into_force(3, SHORT).unwrap();
    let mut records = RawRecords::default();
    records.push_with(40, -1, &first, Some(&header));
    records.push(41, -1, &short);
    records.push_with(42, -1, &first, Some(&header));
    let read = decoder.decode(&records).unwrap();
    assert_eq!(rejects(&read), []);
    assert_eq!(values(&read, "device_id"), ["own", "short", "own"]);
    let read = Decoder::new("pings").unwrap().decode(&records).unwrap();
    assert_eq!(read.offsets, [40, 42]);
    assert_eq!(rejects(&read), [(41, reason::SCHEMA_NOT_IN_FORCE, "schema 3 is not in force")]);
}

#[test]
fn older_published_schemas_are_known_by_their_fingerprints() {
    for (topic, json) in [("payments", r#""findings":[],"#), ("dead_letters", r#""reason":"r","detail":"d","#)] {
        for text in schemas::avro::versions_of(topic) {
            let header = fingerprint_of(topic, &text).unwrap().to_le_bytes();
            let required = r#""kind":"tick","repeat":false,"origin_partition":0,"event_time":1,"unit":"u""#;
            let rows = decode(topic, &[format!("{{{json}{required},\"ingest_time\":1}}")]).rows;
            assert_eq!(rows.num_rows(), 1, "{topic}");
            let written: serde_json::Value = serde_json::from_str(&text).unwrap();
            let columns = rows.project(&(0..written["fields"].as_array().unwrap().len()).collect::<Vec<_>>()).unwrap();
            // Columns are added at the end, so that an older body is a shorter one, nulls being single zeroes.
            let mut frame = encode(topic, Format::Registry(1), &rows).remove(0);
            frame.truncate(frame.len() - (rows.num_columns() - columns.num_columns()));
            let mut records = RawRecords::default();
            records.push_with(0, -1, &frame, Some(&header));
            let read = Decoder::new(topic).unwrap().decode(&records).unwrap();
            assert_eq!((rejects(&read), &read.rows), (vec![], &rows), "{topic}");
        }
    }
}

/// Fails if a header that says nothing, or names a schema that is not the topic's, costs a record that its number
/// explains.
#[test]
fn what_a_header_does_not_explain_the_number_in_force_does() {
    let (frame, header) = own_frame("pings", &ping("a"), 9);
    let (_, of_another_topic) =
        own_frame("labels", r#"{"payment_id":"a","label":"fraud","event_time":1,"known_at":1,"ingest_time":1}"#, 9);
    let headers: [&[u8]; 5] = [b"", &header[..7], &[&header[..], &[0]].concat(), &[0; 8], &of_another_topic];
    let mut records = RawRecords::default();
    for (header, offset) in headers.iter().zip(FIRST..) {
        records.push_with(offset, -1, &frame, Some(header));
    }
    let read = Decoder::new("pings").unwrap().decode(&records).unwrap();
    assert_eq!((read.rejects.len(), read.rejects[0].reason), (headers.len(), reason::SCHEMA_NOT_IN_FORCE));
    let mut decoder = Decoder::new("pings").unwrap();
    decoder.bring_into_force(9, &schema_text("pings")).unwrap();
    assert_eq!(values(&decoder.decode(&records).unwrap(), "device_id"), ["a"; 5]);
}

#[test]
fn a_header_says_nothing_about_other_formats_and_cannot_heal_a_body() {
    let (frame, header) = own_frame("pings", &ping("a"), 9);
    let avro = encode("pings", Format::Avro, &decode("pings", &[ping("b")]).rows).remove(0);
    let mut records = RawRecords::default();
    records.push_with(0, -1, &avro, Some(&[0; 8]));
    records.push_with(1, -1, ping("c").as_bytes(), Some(&header));
    records.push_with(2, -1, &frame[..frame.len() - 1], Some(&header));
    records.push_with(3, -1, &frame[..4], Some(&header));
    let read = Decoder::new("pings").unwrap().decode(&records).unwrap();
    assert_eq!(values(&read, "device_id"), ["b", "c"]);
    let reasons: Vec<_> = read.rejects.iter().map(|reject| (reject.offset.0, reject.reason)).collect();
    assert_eq!(reasons, [(2, reason::BAD_AVRO), (3, reason::BAD_AVRO)]);
}

/// A control record may itself be a frame with a header, and brings its schema into force at its own place.
#[test]
fn a_control_record_with_a_header_brings_its_schema_into_force() {
    let control = String::from_utf8(control("5", SHORT)).unwrap();
    let (frame, header) = own_frame("pings", &control, 1);
    let short = [&[0, 0, 0, 0, 5, 2][..], b"s"].concat();
    let mut records = RawRecords::default();
    records.push(0, -1, &short);
    records.push_with(1, -1, &frame, Some(&header));
    records.push(2, -1, &short);
    let source = Arc::new(Published(vec![SHORT.to_string()]));
    let read = Decoder::new("pings").unwrap().with_source(source).decode(&records).unwrap();
    assert_eq!((values(&read, "device_id"), read.rejects.len()), (vec!["-".to_string(), "s".to_string()], 1));
    assert_eq!(read.rejects[0].offset, Offset(0));
}

#[test]
fn a_topic_without_a_number_is_not_written() {
    let formats = Formats::Registry([("pings", 4)].into());
    assert_eq!(formats.of("pings").unwrap(), Format::Registry(4));
    let error = formats.of("labels").unwrap_err().to_string();
    assert!(error.contains("topic labels"), "{error}");
    let fingerprint = |format| Encoder::new("pings", format).unwrap().fingerprint();
    assert_eq!([fingerprint(Format::Json), fingerprint(Format::Avro)], [None, None]);
    let avro = encode("pings", Format::Avro, &decode("pings", &[ping("a")]).rows).remove(0);
    assert_eq!(fingerprint(Format::Registry(4)).unwrap(), avro[2..10]);
}
