//! How many records a core takes: `cargo test --release -p tillstream -p till-log --lib wire -- --ignored --nocapture`.
//! Prints; asserts nothing about time.

use std::time::Instant;

use super::*;

const RECORDS: usize = 8_192;
const ROUNDS: u32 = 40;

#[test]
#[ignore = "measures"]
fn records_a_second() {
    let ping = |number: usize| {
        let fix = format!(r#""time":"2026-03-01T10:00:00.{number:06}Z","lat":53.48{number},"lon":-2.24{number}"#);
        let motion = r#""accuracy_m":4.5,"speed_mps":8.25,"bearing_deg":271.5,"received_at":"2026-03-01T10:00:01.5Z""#;
        format!(r#"{{"device_id":"taxi-{number}",{fix},{motion}}}"#)
    };
    let transaction = |number: usize| {
        let who = format!(r#""merchant_id":"M-{}","reader_id":"R-{number}","stan":{number}"#, number % 100);
        let what = format!(r#""amount_minor":1250,"currency":"EUR","frame":"{}""#, "0a".repeat(120));
        swipe(&format!(
            r#"{who},{what},"courier_id":"C-7","app_version":"4.1.0","terminal_time":"2026-03-01T10:00:00Z""#
        ))
    };
    for (topic, texts) in [
        ("pings", (0..RECORDS).map(ping).collect::<Vec<_>>()),
        ("transactions", (0..RECORDS).map(transaction).collect()),
    ] {
        let rows = decode(topic, &texts).rows;
        assert_eq!(rows.num_rows(), RECORDS);
        for format in [Format::Json, Format::Avro] {
            let records = records(&encode(topic, format, &rows));
            let mut decoder = Decoder::new(topic).unwrap();
            let decoding = per_second(|| assert_eq!(decoder.decode(&records).unwrap().rows.num_rows(), RECORDS));
            let mut alone = RawRecords::default();
            alone.push(0, -1, records.payload(0));
            let alone_us = 1e6 * RECORDS as f64 / per_second(|| drop(decoder.decode(&alone).unwrap()));
            let mut encoder = Encoder::new(topic, format).unwrap();
            let encoding = per_second(|| encoder.encode(&rows, &mut |_, _| Ok::<(), LogError>(())).unwrap());
            let bytes = records.bytes.len() / RECORDS;
            let per_record = format!("{bytes} bytes a record, {alone_us:.0} us alone");
            println!("{topic} {format:?}: {per_record}, decode {decoding:.0}/s, encode {encoding:.0}/s");
        }
    }
}

fn per_second(mut work: impl FnMut()) -> f64 {
    work();
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| work());
    RECORDS as f64 * f64::from(ROUNDS) / start.elapsed().as_secs_f64()
}
