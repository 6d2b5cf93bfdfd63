//! Inputs that nobody here made: two published GPS recordings and the encrypted swipe of a reader's manual.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use crate::support::{Shop, all_rows, query, recorded, rows_of, text, till};

/// The recordings in the order in which they are read, with their number of fixes.
const RECORDINGS: [(&str, usize); 2] = [("bus304_pings.csv", 2_144), ("liverpool14_pings.csv", 1_533)];

/// Writes the recordings into an input folder without any control record.
pub fn write_recordings(input: &Path) {
    fs::create_dir_all(input.join("pings")).unwrap();
    for (name, _) in RECORDINGS {
        fs::copy(recorded(name), input.join("pings").join(name)).unwrap();
    }
}

/// Every fix of a recording's text: device, time, latitude, longitude, bearing.
fn fixes(content: &str) -> Vec<(String, Timestamp, f64, f64, Option<f64>)> {
    let fix = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |index: usize| fields[index].parse().unwrap();
        let bearing = fields.get(4).filter(|text| !text.is_empty()).map(|text| text.parse().unwrap());
        (fields[0].to_string(), fields[1].parse().unwrap(), number(2), number(3), bearing)
    };
    content.lines().skip(1).map(fix).collect()
}

#[test]
fn recorded_fixes_arrive_complete_and_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (input, lake) = (folder.path().join("input"), folder.path().join("lake"));
    write_recordings(&input);
    till(&["run", "--input", text(&input), "--lake", text(&lake)]).with_exit(0);

    let pings = query(&lake, "SELECT * FROM pings ORDER BY source_offset");
    assert_eq!(pings.len(), RECORDINGS.iter().map(|(_, fixes)| fixes).sum::<usize>());
    let mut rows = pings.iter().zip(0_u64..);
    for (name, count) in RECORDINGS {
        let fixes = fixes(&fs::read_to_string(recorded(name)).unwrap());
        assert_eq!(fixes.len(), count, "{name}");
        for (device, time, lat, lon, bearing) in fixes {
            let (row, offset) = rows.next().unwrap();
            assert_eq!(row["source_offset"], offset);
            assert_eq!(row["device_id"], device);
            assert_eq!(row["event_time"].as_str().unwrap().parse::<Timestamp>().unwrap(), time, "{row}");
            assert_eq!((row["lat"].as_f64(), row["lon"].as_f64()), (Some(lat), Some(lon)), "{row}");
            assert_eq!(row["bearing_deg"].as_f64(), bearing, "{row}");
            assert_eq!(row["ingest_time"], Value::Null, "a recording has no log of its own");
        }
    }
    let devices = query(&lake, "SELECT count(DISTINCT device_id) AS buses FROM pings WHERE source_offset >= 2144");
    assert_eq!(devices[0]["buses"], 8);
    assert_eq!(rows_of(&all_rows(&lake), "dead_letters"), 0);
}

/// The published card number fails its check digit, so it is refused; its token and last four digits are all that stays.
#[test]
fn the_published_swipe_is_refused_with_code_14_and_leaves_token_and_last_four_digits() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let shop = Shop::open(&folder.path().join("input"));
    let digits: String = fs::read_to_string(recorded("idtech_frame.hex")).unwrap().split_whitespace().collect();
    let mut lines = shop.controls();
    lines.push(shop.swipe(1, &hex::decode(&digits).unwrap()));
    shop.write_transactions("published.ndjson", &lines);
    till(&["run", "--input", text(&shop.input), "--lake", text(&lake)]).with_exit(0);

    let answers = query(&lake, "SELECT response_code, reason, state FROM decisions");
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["response_code"], "14");
    assert_eq!((&answers[0]["reason"], &answers[0]["state"]), (&"invalid_card_number".into(), &"declined".into()));
    let payments = query(&lake, "SELECT * FROM payments");
    assert_eq!(payments.len(), 1);
    assert_eq!(payments[0]["last4"], "9999");
    assert_eq!(payments[0]["ksn"], "62994901190000000001");
    assert_eq!(payments[0]["key_set"], "test-id-tech");
    let token = payments[0]["token"].as_str().unwrap();
    assert!(token.len() == 32 && token.bytes().all(|digit| digit.is_ascii_hexdigit()), "{token}");
    for row in all_rows(&lake) {
        for secret in ["4266841088889999", "42668410", "BUSH", "0809101"] {
            assert!(!row.contains(secret), "{secret} is in {row}");
        }
    }
}
