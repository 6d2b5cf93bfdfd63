//! Schemas come into force by the log alone, and no result depends on where batches begin and end.

use super::*;

/// Another writer's schema, of two columns in another order.
const SHORT: &str = r#"{"type":"record","name":"Short","fields":[
    {"name":"lat","type":"float"},{"name":"device_id","type":"string"}]}"#;

fn short_frame(id: u8, device: u8) -> Vec<u8> {
    [&[0, 0, 0, 0, id][..], &1.5_f32.to_le_bytes(), &[2, device]].concat()
}

fn decoder() -> Decoder {
    let source = Published(vec![SHORT.to_string(), schema_text("pings")]);
    Decoder::new("pings").unwrap().with_source(Arc::new(source))
}

fn avro(json: &[u8], format: Format) -> Vec<u8> {
    encode("pings", format, &decoder().decode(&records(&[json])).unwrap().rows).remove(0)
}

#[test]
fn a_frame_is_read_by_the_schema_that_is_in_force_at_its_place() {
    let today = avro(br#"{"device_id":"t","lat":2.5}"#, Format::Registry(3));
    let log = [
        short_frame(3, b'a'),
        control("3", SHORT),
        short_frame(3, b'b'),
        avro(&control("3", &schema_text("pings")), Format::Avro),
        today.clone(),
        avro(&control("4", SHORT), Format::Registry(3)),
        short_frame(4, b'c'),
        short_frame(3, b'd'),
    ];
    let mut decoder = decoder();
    let read = decoder.decode(&records(&log)).unwrap();
    assert_eq!(read.offsets, [41, 42, 43, 44, 45, 46]);
    assert_eq!(values(&read, "device_id"), ["-", "b", "-", "t", "-", "c"]);
    assert_eq!(values(&read, "lat"), ["-", "1.5", "-", "2.5", "-", "1.5"]);
    let reasons: Vec<_> = rejects(&read).into_iter().map(|(offset, reason, _)| (offset, reason)).collect();
    assert_eq!(reasons, [(40, reason::SCHEMA_NOT_IN_FORCE), (47, reason::BAD_AVRO)]);
    assert_eq!(read.rejects[0].detail, "schema 3 is not in force");
    let hashes: Vec<_> = decoder.in_force().collect();
    let hash = |text: &str| ContentHash::of(text.as_bytes());
    assert_eq!(hashes, [(3, hash(&schema_text("pings"))), (4, hash(SHORT))]);
}

/// Fails if anything but a row that goes on to the units brings a schema into force.
#[test]
fn what_is_no_control_record_brings_nothing_into_force() {
    let as_ping = String::from_utf8(control("3", SHORT)).unwrap().replace("\"control\"", "\"ping\"");
    let other_type = as_ping.replace("\"ping\"", "\"control\"").replace("\"schema\"", "\"bundle\"");
    let broken = String::from_utf8(control("3", SHORT)).unwrap().replace('}', r#","lat":"x"}"#);
    let from_the_future = String::from_utf8(control("3", SHORT)).unwrap().replace('}', r#","received_at":5000001}"#);
    for payload in [as_ping, other_type, broken, from_the_future] {
        for payload in [payload.clone().into_bytes(), avro_or(payload.as_bytes())] {
            let mut records = RawRecords::default();
            records.push(0, 0, &payload);
            let mut decoder = decoder();
            decoder.decode(&records).unwrap();
            assert_eq!(decoder.in_force().count(), 0, "{}", String::from_utf8_lossy(&payload));
        }
    }
    for id in ["", "-1", "4294967296", "x", "3 "] {
        let mut decoder = decoder();
        let read = decoder.decode(&records(&[control(id, SHORT)])).unwrap();
        assert_eq!((read.offsets.len(), decoder.in_force().count()), (1, 0), "the row goes on, for the unit to refuse");
    }
}

/// The same as Avro, where its values allow.
fn avro_or(json: &[u8]) -> Vec<u8> {
    let read = decoder().decode(&records(&[json])).unwrap();
    match read.rows.num_rows() {
        0 => json.to_vec(),
        _ => encode("pings", Format::Avro, &read.rows).remove(0),
    }
}

#[test]
fn every_record_of_the_control_topic_is_a_control_record() {
    let hash = ContentHash::of(schema_text("control").as_bytes()).to_hex();
    let json = format!(r#"{{"received_at":1,"control_type":"schema","control_id":"9","control_hash":"{hash}"}}"#);
    let mut decoder = Decoder::new("control").unwrap().with_source(Arc::new(Published(vec![schema_text("control")])));
    decoder.decode(&records(&[json])).unwrap();
    assert_eq!(decoder.in_force().map(|(id, _)| id).collect::<Vec<_>>(), [9]);
}

/// Fails if an error leaves later schemas in force for earlier records: the same records must read the same again.
#[test]
fn a_schema_that_cannot_be_had_is_a_refusal_and_changes_nothing() {
    struct Wrong;
    impl SchemaSource for Wrong {
        fn schema(&self, _: ContentHash) -> Result<String, String> {
            Ok("{}".to_string())
        }
    }
    let log = records(&[short_frame(3, b'a'), control("3", SHORT), short_frame(3, b'b'), control("5", "lost")]);
    let absent: [(Decoder, &str); 3] = [
        (Decoder::new("pings").unwrap(), "no place was given"),
        (Decoder::new("pings").unwrap().with_source(Arc::new(Wrong)), "another hash"),
        (decoder(), "no such file"),
    ];
    for (mut decoder, cause) in absent {
        for _ in 0..2 {
            let error = decoder.decode(&log).unwrap_err();
            assert!(error.is_refusal());
            assert!(error.to_string().contains(cause), "{error}");
            assert_eq!(decoder.in_force().count(), 0);
        }
    }
    let mut decoder = decoder();
    decoder.decode(&log).unwrap_err();
    decoder.source = Some(Arc::new(Published(vec![SHORT.to_string(), "lost".to_string()])));
    let error = decoder.decode(&log).unwrap_err().to_string();
    assert!(error.contains("schema 5 cannot come into force on topic pings: it is no JSON"), "{error}");
}

/// Records of every sort, with the time at which the broker had them.
fn any_record() -> impl Strategy<Value = (i64, Vec<u8>)> {
    let ping = br#"{"device_id":"t","lat":2.5,"received_at":1000}"#;
    let today = schema_text("pings");
    let late = String::from_utf8(control("2", SHORT)).unwrap().replace('}', r#","received_at":5000001}"#);
    let known = vec![
        ping.to_vec(),
        br#"{"lat":"x"}"#.to_vec(),
        br#"{"device_id":["a"]}"#.to_vec(),
        br#"{"device_id":"#.to_vec(),
        avro(ping, Format::Avro),
        avro(ping, Format::Registry(1)),
        avro(ping, Format::Registry(2)),
        short_frame(1, b'a'),
        short_frame(2, b'b'),
        control("1", SHORT),
        control("1", &today),
        control("2", &today),
        control("x", &today),
        late.clone().into_bytes(),
        avro(&control("2", SHORT), Format::Avro),
        avro(&control("2", SHORT), Format::Registry(1)),
        avro(&control("1", SHORT), Format::Registry(2)),
        avro(late.as_bytes(), Format::Registry(1)),
        vec![],
        vec![0xc3, 1, 0],
    ];
    (prop::sample::select(vec![-1, 0, 1_000]), prop::sample::select(known))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn batches_do_not_matter(
        log in prop::collection::vec(any_record(), 1..40),
        cuts in prop::collection::vec(any::<bool>(), 40),
    ) {
        let mut whole = RawRecords::default();
        let mut piece = RawRecords::default();
        let (mut at_once, mut by_pieces) = (decoder(), decoder());
        let mut pieces = Vec::new();
        for (index, (appended_us, payload)) in log.iter().enumerate() {
            // Offsets have gaps, as transactions leave them.
            let offset = 3 * i64::try_from(index).unwrap();
            whole.push(offset, *appended_us, payload);
            piece.push(offset, *appended_us, payload);
            if cuts[index] || index + 1 == log.len() {
                pieces.push(by_pieces.decode(&piece).unwrap());
                piece.clear();
            }
        }
        let read = at_once.decode(&whole).unwrap();
        prop_assert_eq!(read.offsets.len() + read.rejects.len(), log.len());
        prop_assert_eq!(read.offsets.len(), read.appended_us.len());
        prop_assert!(read.offsets.is_sorted() && read.rejects.is_sorted_by_key(|reject| reject.offset));
        let joined = in_order(&topics::pings(), pieces).unwrap();
        prop_assert_eq!(read, joined);
        prop_assert_eq!(at_once.in_force().collect::<Vec<_>>(), by_pieces.in_force().collect::<Vec<_>>());
    }
}
