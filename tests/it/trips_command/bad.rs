//! Files and arguments that cannot be used: exit codes, and words that say what to do.

use std::fs;

use serde_json::json;

use super::{BUS, trips_of};
use crate::support::{Ended, recorded, text, till};

/// `till trips` over a file of this name and content.
fn trips_in(name: &str, content: &str, more: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    till(&[&["trips", "--pings", text(&path)], more].concat())
}

const HEAD: &str = "device,time,lat,lon\n";

/// Fails when a row is dropped without a word, or takes a neighbour with it.
#[test]
fn bad_rows_are_counted_and_shown() {
    let mut content = String::from(HEAD);
    for second in 10..40 {
        content += &format!("bus,2026-03-01T10:00:{second}Z,53.00{second},-6\n");
    }
    content += "bus,2026-03-01T10:01:00Z,95,-6\nbus,,53,-6\nbus,yesterday,53,-6\nbus,2026-03-01T10:01:00Z,53\n";
    content += ",2026-03-01T10:01:00Z,53,-6\nbus,2026-03-01T10:01:00Z,north,-6\nbus,2026-03-01T10:00:39Z,53.0039,-6\n";
    let document = trips_in("a.csv", &content, &["--json"]).with_exit(0).json();
    assert_eq!((&document["rows"], &document["fixes"]), (&json!(37), &json!(31)));
    let expected = json!({
        "bad_value": 2, "device_missing": 1, "latitude_out_of_range": 1, "time_missing": 1, "wrong_field_count": 1,
    });
    assert_eq!(document["bad_rows"], expected);
    assert_eq!(document["faults"]["duplicate"], 1);
    let ended = trips_in("a.csv", &content, &[]).with_exit(0);
    for words in [
        "6 rows that are no pings: bad_value 2, device_missing 1,",
        "  a.csv, record 34: not 4 fields as in the header (wrong_field_count)\n",
        " no pings: bad_value 2, device_missing 1, latitude_out_of_range 1, time_missing 1, wrong_field_count 1\n  a.csv, record 31: column lat is not between -90 and 90 (latitude_out_of_range)\n",
        "  ...\n",
        "duplicate 1",
    ] {
        assert!(ended.stdout.contains(words), "{words:?}: {ended}");
    }
}

#[test]
fn a_file_without_a_ping_fails_and_says_why() {
    let ended = trips_in("a.csv", &format!("{HEAD}bus,,53,-6\nbus,now,53,-6\n"), &[]).with_exit(1);
    ended.complains("is a usable ping: 2 rows, bad_value 1, time_missing 1").complains("a.csv, record 1");
    assert_eq!(ended.stdout, "");
    trips_in("a.csv", HEAD, &[]).with_exit(1).complains("is a usable ping: 0 rows");
    trips_in("a.gpx", "<gpx><wpt lat='1' lon='2'/></gpx>", &[]).with_exit(1).complains("is a usable ping: 0 rows");
    let timeless = "<gpx><trk><trkseg><trkpt lat='1' lon='2'/></trkseg></trk></gpx>";
    trips_in("a.gpx", timeless, &[]).with_exit(1).complains("1 row, time_missing 1").complains("a.gpx, point 1");
    trips_in("a.gpx", "<gpx><trk>", &[]).with_exit(1).complains("it ends inside an element");
    trips_in("a.parquet", "no parquet", &[]).with_exit(1).complains("a.parquet");
}

#[test]
fn missing_columns_are_named_with_those_that_are_there() {
    let ended = trips_in("a.csv", "imei,when,lat,lng\n1,2,3,4\n", &[]).with_exit(1);
    ended
        .complains("the header does not name device_id,time")
        .complains("its columns are imei,when,lat,lng")
        .complains("device_id (or device, vehicle_id, id), time (or timestamp, event_time, datetime)");
}

#[test]
fn wrong_usage_names_what_there_is() {
    trips_of(BUS, &["--profile", "magic"]).with_exit(2).complains("default, traccar, scikit-mobility, movingpandas");
    trips_in("a.xlsx", "", &[]).with_exit(2).complains("a file of pings ends in .csv, .ndjson, .parquet, .avro, .gpx");
    till(&["trips", "--pings", "missing.csv"]).with_exit(2).complains("cannot read missing.csv");
    for output in ["--out", "--stops"] {
        let ended = trips_of(BUS, &[output, "trips.xlsx"]).with_exit(2);
        ended.complains("ends in .parquet, .csv, .json, .ndjson, .geojson");
    }
    trips_of(BUS, &["--svg", "picture.png"]).with_exit(2).complains(".svg");
    trips_of(BUS, &["--out", "one.csv", "--stops", "./one.csv"]).with_exit(2).complains("named twice");
    trips_of(BUS, &["--out", text(&recorded(BUS))]).with_exit(2).complains("named twice");
    trips_of(BUS, &["--radius-m", "50"]).with_exit(2).complains("profile default has no --radius-m");
    trips_of(BUS, &["--profile", "movingpandas", "--gap-s", "50"])
        .with_exit(2)
        .complains("profile movingpandas has --diameter-m, --min-duration-s");
    for wrong in ["0", "nan", "-5"] {
        let ended = trips_of(BUS, &["--profile", "traccar", &format!("--radius-m={wrong}")]).with_exit(2);
        ended.complains("--radius-m is a length in metres");
    }
    assert!(fs::metadata(recorded(BUS)).unwrap().len() > 1_000);
}
