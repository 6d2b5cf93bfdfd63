//! What `till trips` writes: tables, GeoJSON, GeoParquet and a picture.

use std::fs;
use std::path::Path;
use std::process::Command;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::{BUS, LIVERPOOL, list, time_us, trips_of};
use crate::python::python;
use crate::support::{Ended, ndjson, recorded, text, till};

/// Rows of a Parquet file and the metadata by which maps find its geometries.
fn parquet(path: &Path) -> (i64, Value) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    let metadata = reader.metadata().file_metadata();
    let geo = metadata.key_value_metadata().unwrap().iter().find(|entry| entry.key == "geo").unwrap();
    (metadata.num_rows(), serde_json::from_str(geo.value.as_deref().unwrap()).unwrap())
}

#[test]
fn trips_and_stops_are_geoparquet() {
    let folder = tempfile::tempdir().unwrap();
    let (trips, stops) = (folder.path().join("trips.parquet"), folder.path().join("stops.parquet"));
    let arguments = ["--out", text(&trips), "--stops", text(&stops), "--json"];
    let document = trips_of(LIVERPOOL, &arguments).with_exit(0).json();
    for (path, name, column, kind) in [(&trips, "trips", "path", "LineString"), (&stops, "stops", "point", "Point")] {
        let (rows, geo) = parquet(path);
        assert_eq!(usize::try_from(rows).unwrap(), list(&document, name).len());
        assert_eq!((&geo["version"], &geo["primary_column"]), (&json!("1.1.0"), &json!(column)));
        assert_eq!(geo["columns"][column], json!({ "encoding": "WKB", "geometry_types": [kind] }));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left behind");
    let Some(python) = python("trips_and_stops_are_geoparquet") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/geoparquet.py");
    let read = Command::new(python).arg("-B").arg(script).args([&trips, &stops]).output().unwrap();
    let ended = Ended::from(read).with_exit(0);
    assert_eq!(ended.stdout.lines().count(), 2, "{ended}");
}

#[test]
fn tables_hold_a_line_a_trip() {
    let folder = tempfile::tempdir().unwrap();
    let (csv, json) = (folder.path().join("trips.csv"), folder.path().join("stops.ndjson"));
    let ended = trips_of(BUS, &["--out", text(&csv), "--stops", text(&json)]).with_exit(0);
    ended.complains("wrote").complains("trips.csv");
    let content = fs::read_to_string(&csv).unwrap();
    let lines: Vec<&str> = content.lines().collect();
    assert_eq!(lines.len(), 2, "{content}");
    assert!(lines[0].starts_with("trip_id,revision,device_id,started_at,ended_at,"), "{content}");
    assert!(lines[1].contains(",bus304,2019-02-18T07:45:50"), "{content}");
    let stops = ndjson(&json);
    assert!(stops.len() > 20 && stops.iter().all(|stop| stop["device_id"] == "bus304"));
}

#[track_caller]
fn assert_position(position: &Value) {
    let [lon, lat] = position.as_array().unwrap().as_slice() else { panic!("{position}: longitude and latitude") };
    assert!(
        (-10.0..0.0).contains(&lon.as_f64().unwrap()) && (50.0..55.0).contains(&lat.as_f64().unwrap()),
        "{position}"
    );
}

#[test]
fn geojson_is_a_collection_of_lines_and_points() {
    let folder = tempfile::tempdir().unwrap();
    let (both, only_stops) = (folder.path().join("trips.geojson"), folder.path().join("stops.geojson"));
    let arguments = ["--out", text(&both), "--stops", text(&only_stops), "--json"];
    let document = trips_of(LIVERPOOL, &arguments).with_exit(0).json();
    let read = |path: &Path| -> Value { serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap() };
    let collection = read(&both);
    assert_eq!(collection["type"], "FeatureCollection");
    let features = list(&collection, "features");
    let of = |kind: &str| features.iter().filter(|feature| feature["properties"]["kind"] == kind).collect::<Vec<_>>();
    let (trips, stops) = (of("trip"), of("stop"));
    assert_eq!((trips.len(), stops.len()), (16, list(&document, "stops").len()));
    assert_eq!(list(&read(&only_stops), "features").len(), stops.len());
    for trip in trips {
        assert_eq!((&trip["type"], &trip["geometry"]["type"]), (&json!("Feature"), &json!("LineString")));
        let line = list(&trip["geometry"], "coordinates");
        assert!(line.len() >= 2);
        line.iter().for_each(assert_position);
        let properties = &trip["properties"];
        assert!(time_us(&properties["ended_at"]) > time_us(&properties["started_at"]));
        assert!(list(&document, "trips").iter().any(|other| other["trip_id"] == properties["trip_id"]));
    }
    for stop in stops {
        assert_eq!(stop["geometry"]["type"], "Point");
        assert_position(&stop["geometry"]["coordinates"]);
    }
    let none = folder.path().join("none.csv");
    fs::write(&none, "id,time,lat,lon\na,2026-03-01T10:00:00Z,53,-6\n").unwrap();
    till(&["trips", "--pings", text(&none), "--out", text(&both)]).with_exit(0);
    assert_eq!(read(&both), json!({ "type": "FeatureCollection", "features": [] }));
}

/// Depth of the elements of an XML text, which must all be closed; quotes and ampersands are looked at too.
fn check_xml(content: &str) -> usize {
    let (mut open, mut elements) = (Vec::new(), 0);
    let mut rest = content;
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        assert!(!text.contains('>'), "{text}");
        for entity in text.split('&').skip(1) {
            assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|known| entity.starts_with(known)), "{entity}");
        }
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<') && tag.matches('"').count().is_multiple_of(2), "{tag}");
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else {
            elements += 1;
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?}");
    elements
}

#[test]
fn the_picture_shows_what_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.svg");
    for (name, devices) in [(BUS, 1), (LIVERPOOL, 8)] {
        let document = trips_of(name, &["--svg", text(&path), "--json"]).with_exit(0).json();
        let svg = fs::read_to_string(&path).unwrap();
        assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && check_xml(&svg) > 100);
        let count = |class: &str| svg.matches(&format!("<g class=\"{class}\"")).count();
        let (trips, stops) = (list(&document, "trips").len(), list(&document, "stops").len());
        for (class, expected) in [
            ("panel", devices),
            ("scale", devices),
            ("north", devices),
            ("trip", trips),
            ("start", trips),
            ("end", trips),
            ("stop", stops),
            ("durations", 1),
            ("legend", 1),
        ] {
            assert_eq!(count(class), expected, "{name}: {class}");
        }
        assert!(count("bar") >= 1 && svg.len() < 1_000_000 && !svg.contains("NaN"));
    }
}

/// A file that is there stays as it is where the answer fails.
#[test]
fn a_failed_answer_leaves_the_old_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("trips.csv");
    fs::write(&out, "old").unwrap();
    let missing = folder.path().join("missing/picture.svg");
    trips_of(BUS, &["--out", text(&out), "--svg", text(&missing)]).with_exit(2).complains("cannot write");
    assert_eq!(fs::read_to_string(&out).unwrap(), "old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let cut = folder.path().join("cut.csv");
    fs::write(&cut, &fs::read(recorded(BUS)).unwrap()[..1_000]).unwrap();
    till(&["trips", "--pings", text(&cut), "--out", text(&out)]).with_exit(0);
    assert!(fs::read_to_string(&out).unwrap().starts_with("trip_id,"));
}
