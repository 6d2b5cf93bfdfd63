//! Frames of a schema registry: what their numbers mean comes into force by control records.

use std::fs;
use std::time::Duration;

use log::kafka::Feeder;
use log::wire::{Decoder, Encoder, Format, RawRecords};
use schemas::{Partition, topics};
use serde_json::json;

use super::processes::Site;
use crate::support::{query, text, till};

const PINGS: &str = "pings";
const SCHEMA: u32 = 7;

/// Appends one fix of this device as a frame of the schema.
fn feed(site: &Site, device: &str) {
    let record = json!({ "device_id": device, "time": "2026-03-02T10:00:00Z", "lat": 55.7, "lon": 37.6 }).to_string();
    let mut records = RawRecords::default();
    records.push(0, -1, record.as_bytes());
    let rows = Decoder::new(PINGS).unwrap().decode(&records).unwrap().rows;
    let feeder = Feeder::connect(&site.settings("feed")).unwrap();
    let mut encoder = Encoder::new(PINGS, Format::Registry(SCHEMA)).unwrap();
    encoder
        .encode(&rows, &mut |_, payload: &[u8]| feeder.send(PINGS, Partition(0), Some(device.as_bytes()), payload))
        .unwrap();
    feeder.flush(Duration::from_secs(30)).unwrap();
}

/// Fails if a frame is read before its schema is in force, or if a process that starts behind the control record has
/// forgotten what it brought into force, or reads on without it.
#[test]
fn a_schema_comes_into_force_where_it_is_published_and_stays_so() {
    let Some(broker) = xtask::kafka::shared("a_schema_comes_into_force_where_it_is_published_and_stays_so") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(broker.bootstrap(), "frames", folder.path(), 1);
    site.create_topics();
    let (input, lake, state) = (site.input(), site.lake(), site.state());
    till(&["simulate", "--out", text(&input), "--merchants", "1"]).with_exit(0);
    let file = folder.path().join("pings.avsc");
    let publish = |schema: &serde_json::Value, id: u32| {
        fs::write(&file, schema.to_string()).unwrap();
        let (id, state) = (id.to_string(), text(&state));
        let about = ["control", "publish", "--topic", PINGS, "--schema-id", &id, "--schema", text(&file)];
        site.till(&[&about[..], &["--state", state]].concat())
    };
    let mut schema = schemas::avro::schema_of(PINGS, &topics::by_name(PINGS).unwrap());

    feed(&site, "early");
    publish(&schema, SCHEMA).with_exit(0);
    feed(&site, "first");
    site.run_to_the_end("one", 60);
    feed(&site, "second");
    site.run_to_the_end("one", 60);
    let devices = query(&lake, "SELECT device_id FROM pings ORDER BY device_id");
    assert_eq!(devices, [json!({ "device_id": "first" }), json!({ "device_id": "second" })]);
    let letters = query(&lake, "SELECT reason, source_offset FROM dead_letters");
    assert_eq!(letters, [json!({ "reason": "schema_not_in_force", "source_offset": 0 })]);

    // A process that cannot have a schema in force must not read on: later records would be lost.
    let bundles = state.join("bundles");
    fs::rename(&bundles, state.join("elsewhere")).unwrap();
    let mut process = site.start("one", None);
    let ended = process.ends_within(Duration::from_secs(60)).and_then(|status| status.code());
    assert_eq!(ended, Some(3), "{}", process.said());
    fs::rename(state.join("elsewhere"), &bundles).unwrap();

    let fields = schema["fields"].as_array_mut().unwrap();
    let latitude = fields.iter_mut().find(|field| field["name"] == "lat").unwrap();
    latitude["type"] = json!(["null", "string"]);
    publish(&schema, SCHEMA + 1).with_exit(2).complains("lat").complains("nothing was published");
}
