//! A real schema registry: others read what is written as frames and are read themselves, an incompatible schema is refused
//! before anything is written, and only a writer's first start needs the registry.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use log::wire::{Decoder, RawRecords};
use schemas::topics::kind;
use schemas::{Partition, tables as table_specs, topics};
use serde_json::{Value, json};

use super::audit::{Held, lines, without_kinds};
use super::processes::Site;
use super::system::{assert_same_rows, contents};
use super::tables::{self, picked, with_places};
use crate::python::python;
use crate::support::{query, text, till};

const TOWN: [&str; 4] = ["--seed", "7", "--merchants", "1"];
/// Longest time until units have read everything, seconds.
const CATCH_UP_S: u32 = 120;
/// Swipes that another program sends once more.
const SWIPES: usize = 20;

/// Another program's fixes: other columns in another order, one that is not the topic's.
const FIXES: &str = r#"{"type":"record","name":"pings","namespace":"tillstream","fields":[
    {"name":"battery","type":["null","int"],"default":null},
    {"name":"lon","type":["null","double"],"default":null},
    {"name":"lat","type":["null","double"],"default":null},
    {"name":"time","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
    {"name":"device_id","type":["null","string"],"default":null}]}"#;

/// Another program's swipes, in the same way.
const SWIPED: &str = r#"{"type":"record","name":"transactions","namespace":"tillstream","fields":[
    {"name":"network","type":["null","string"],"default":null},
    {"name":"frame","type":["null","bytes"],"default":null},
    {"name":"currency","type":["null","string"],"default":null},
    {"name":"amount_minor","type":["null","long"],"default":null},
    {"name":"stan","type":["null","int"],"default":null},
    {"name":"terminal_time","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
    {"name":"reader_id","type":["null","string"],"default":null},
    {"name":"merchant_id","type":["null","string"],"default":null},
    {"name":"received_at","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"kind","type":"string"}]}"#;

/// A system whose records are frames.
fn framed(broker: &str, prefix: &str, folder: &Path, registry: &str) -> Site {
    let site = Site::new(broker, prefix, folder, 1);
    site.with(&[("TILL_KAFKA_FORMAT", "registry"), ("TILL_KAFKA_REGISTRY", registry)])
}

/// A request to a registry: status and answer.
fn ask(url: &str, path: &str, schema: Option<&str>) -> (u16, Value) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = reqwest::Client::new();
    let address = format!("{url}{path}");
    let request = match schema {
        Some(schema) => client
            .post(address)
            .header("Content-Type", "application/json")
            .body(json!({ "schema": schema, "schemaType": "AVRO" }).to_string()),
        None => client.get(address),
    };
    runtime.block_on(async {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    })
}

/// Registers a schema as anybody may; its number.
fn register(url: &str, subject: &str, schema: &str) -> String {
    let (status, answer) = ask(url, &format!("/subjects/{subject}/versions"), Some(schema));
    assert_eq!(status, 200, "{answer}");
    answer["id"].to_string()
}

/// A program that knows the topic's name on the broker, the registry and nothing else of the system.
struct Outsider<'a> {
    python: OsString,
    site: &'a Site,
    url: &'a str,
}

impl Outsider<'_> {
    fn run(&self, doing: &str, topic: &str, more: &[&str], input: &[Value]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/registry.py");
        let name = format!("{}.{topic}", self.site.prefix);
        let mut command = Command::new(&self.python);
        command.arg("-B").arg(script).args([doing, &self.site.brokers, self.url, &name]).args(more);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("TILL_PYTHON names an interpreter that starts");
        let mut pipe = child.stdin.take().unwrap();
        let lines: String = input.iter().map(|record| format!("{record}\n")).collect();
        // What it says about a broken pipe tells more than the pipe does.
        let _ = pipe.write_all(lines.as_bytes());
        drop(pipe);
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success(), "{doing} {topic}: {said}");
        String::from_utf8(ended.stdout).unwrap()
    }

    /// Puts records on a topic; the number that the registry gave to their schema.
    fn write(&self, topic: &str, schema: &str, records: &[Value]) -> String {
        let file = self.site.folder.join(format!("{topic}-outside.avsc"));
        fs::write(&file, schema).unwrap();
        self.run("write", topic, &[text(&file)], records).trim().to_string()
    }

    /// Everything on a topic as rows of the table of its name.
    fn rows(&self, topic: &'static str) -> Vec<String> {
        let mut records = RawRecords::default();
        for line in self.run("read", topic, &[], &[]).lines() {
            let mut record: Value = serde_json::from_str(line).unwrap();
            let value = record["value"].as_object_mut().unwrap();
            value.retain(|_, value| !value.is_null());
            let payload = record["value"].to_string();
            records.push(record["offset"].as_i64().unwrap(), -1, payload.as_bytes());
        }
        let batch = Decoder::new(topic).unwrap().decode(&records).unwrap();
        assert_eq!(batch.rejects, []);
        let (rows, offsets) = without_kinds(&batch.rows, &batch.offsets, &[kind::TICK, kind::CONTROL]);
        let mut rows = lines(&picked(&with_places(&rows, topic, Partition(0), &offsets), &columns(topic)));
        rows.sort();
        rows
    }
}

/// Columns of the table of this name.
fn columns(table: &str) -> Vec<String> {
    let spec = table_specs::all().into_iter().find(|spec| spec.name == table).unwrap();
    spec.schema.fields().iter().map(|field| field.name().clone()).collect()
}

/// Fails if frames name another schema than they are written by, if a number of somebody else's is not read by the schema
/// that a control record brought into force for it, or if the header of our own is taken for one of theirs.
#[test]
fn others_read_frames_and_are_read() {
    const TEST: &str = "others_read_frames_and_are_read";
    let Some(python) = python(TEST) else { return };
    let (Some(broker), Some(registry)) = (xtask::kafka::shared(TEST), xtask::registry::shared(TEST)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let site = framed(broker.bootstrap(), "outsiders", folder.path(), registry.url());
    site.create_topics();
    site.publish(&TOWN);
    let outsider = Outsider { python, site: &site, url: registry.url() };
    let written = [("pings", FIXES), ("transactions", SWIPED)];
    let published = written.map(|(topic, schema)| {
        let id = register(registry.url(), &format!("outsiders.{topic}-value"), schema);
        let about = ["control", "publish", "--topic", topic, "--schema-id", &id];
        site.till(&[&about[..], &["--registry", registry.url(), "--state", text(&site.state())]].concat()).with_exit(0);
        id
    });
    let fixes: Vec<Value> = (0..9)
        .map(|minute| {
            let time = format!("2026-03-02T10:0{minute}:00.25Z");
            json!({ "device_id": "outside", "time": time, "lat": 55.5, "lon": f64::from(minute), "battery": minute })
        })
        .collect();
    let file = fs::read_dir(site.input().join("transactions")).unwrap().next().unwrap().unwrap().path();
    let lines = fs::read_to_string(file).unwrap();
    // Some lines of a town are damaged on purpose.
    let swipes = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_sound = |swipe: &Value| swipe["kind"] == "swipe" && swipe["frame"].is_string() && swipe["stan"].is_u64();
    let swipes: Vec<Value> = swipes.filter(is_sound).take(SWIPES).collect();
    let ids = [outsider.write("pings", FIXES, &fixes), outsider.write("transactions", SWIPED, &swipes)];
    assert_eq!(ids, published);
    site.run_to_the_end("one", CATCH_UP_S);

    let lake = site.lake();
    let fixed = query(&lake, "SELECT lon, lat, event_time FROM pings WHERE device_id = 'outside' ORDER BY event_time");
    assert_eq!(fixed.len(), fixes.len());
    assert_eq!((&fixed[3]["lon"], &fixed[3]["lat"]), (&json!(3.0), &json!(55.5)), "{fixed:?}");
    let found = tables::read(&lake);
    let letters = lines_of(&found, "dead_letters");
    let of_frames = |letter: &&String| letter.contains("avro") || letter.contains("schema");
    assert_eq!(letters.iter().filter(of_frames).collect::<Vec<_>>(), Vec::<&String>::new());
    let twice = "SELECT payment_id FROM payments WHERE kind = 'swipe' GROUP BY payment_id HAVING count(*) > 1";
    let again = query(&lake, &format!("SELECT count(*) AS n FROM ({twice})"));
    assert!(again[0]["n"].as_u64().unwrap() >= SWIPES as u64, "{again:?}");
    for topic in ["payments", "decisions"] {
        let (read, held) = (outsider.rows(topic), lines_of(&found, topic));
        assert!(held.len() > SWIPES, "{topic}");
        assert_same_rows(topic, &read, &held);
        println!("{topic}: {} rows read by the outsider as in the lake", read.len());
    }
}

/// Rows of a table, sorted.
fn lines_of(found: &tables::Tables, table: &'static str) -> Vec<String> {
    let mut rows = lines(&picked(&found[table], &columns(table)));
    rows.sort();
    rows
}

/// Fails if the registry is asked on the way from a record to a row, if a writer forgets its number, or if frames make
/// other rows than JSON.
#[test]
fn only_the_first_start_of_a_writer_needs_the_registry() {
    const TEST: &str = "only_the_first_start_of_a_writer_needs_the_registry";
    let Some(broker) = xtask::kafka::shared(TEST) else { return };
    if !xtask::registry::can_start(TEST) {
        return;
    }
    let registry = xtask::registry::Registry::start().unwrap();
    let url = registry.url();
    let folder = tempfile::tempdir().unwrap();
    let site = framed(broker.bootstrap(), "frames-only", &folder.path().join("frames"), &url);
    site.create_topics();
    site.publish(&[&TOWN[..], &["--days", "1"]].concat());
    site.run_to_the_end("one", CATCH_UP_S);
    let kept = fs::read_dir(site.state().join("registry")).unwrap().count();
    assert_eq!(kept, 12, "four topics that are published to, and eight more that units write");
    registry.stop().unwrap();

    site.publish(&[&TOWN[..], &["--days", "2"]].concat());
    let said = site.run_to_the_end("one", CATCH_UP_S);
    assert!(said.contains("cannot be asked") && said.contains("its last answer is used"), "{said}");
    let held = Held::read(&site);
    assert_eq!(held.findings(&site), [] as [String; 0]);

    let fresh = folder.path().join("fresh");
    let (input, state) = (site.input(), text(&fresh));
    let refused = site.till(&["simulate", "--out", text(&input), "--state", state]).with_exit(1);
    refused.complains(&format!("the schema registry at {url} cannot be asked"));
    refused.complains("the schema of frames-only.transactions-value has no number yet");

    let plain = Site::new(broker.bootstrap(), "json-only", &folder.path().join("json"), 1);
    let plain = plain.with(&[("TILL_KAFKA_FORMAT", "json")]);
    plain.create_topics();
    plain.publish(&[&TOWN[..], &["--days", "2"]].concat());
    plain.run_to_the_end("one", CATCH_UP_S);
    let expected = tables::read(&plain.lake());
    for table in ["payments", "decisions", "alerts", "labels", "pings", "merchants", "readers", "couriers"] {
        let rows = contents(&held.tables[table]);
        assert_same_rows(table, &rows, &contents(&expected[table]));
        println!("{table}: {} rows from frames as from JSON", rows.len());
    }
}

/// Fails if a refusal of the registry is passed over, or if it comes after something was written.
#[test]
fn an_incompatible_schema_is_refused_in_clear_words() {
    const TEST: &str = "an_incompatible_schema_is_refused_in_clear_words";
    let (Some(broker), Some(registry)) = (xtask::kafka::shared(TEST), xtask::registry::shared(TEST)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let site = framed(broker.bootstrap(), "incompatible", folder.path(), registry.url());
    site.create_topics();
    let (input, state) = (site.input(), site.state());
    till(&["simulate", "--out", text(&input), "--merchants", "1"]).with_exit(0);
    let mut taken = schemas::avro::schema_of("payments", &topics::by_name("payments").unwrap());
    let fields = taken["fields"].as_array_mut().unwrap();
    fields.iter_mut().find(|field| field["name"] == "kind").unwrap()["type"] = json!("long");
    register(registry.url(), "incompatible.payments-value", &taken.to_string());

    let mut process = site.start("one", None);
    let ended = process.ends_within(Duration::from_secs(60)).and_then(|status| status.code());
    assert_eq!(ended, Some(3), "{}", process.said());
    let refused = site.till(&["simulate", "--out", text(&input), "--state", text(&state)]).with_exit(3);
    refused.complains("refuses the schema of subject incompatible.payments-value as incompatible");
    refused.complains("/fields/0").complains("nothing was written");
    assert_eq!(Held::read(&site).topics.values().flatten().count(), 0);

    let pings = FIXES.replace(r#""type":["null","double"],"default":null"#, r#""type":"string""#);
    let id = register(registry.url(), "incompatible.elsewhere-value", &pings);
    let about = ["control", "publish", "--topic", "pings", "--schema-id", &id, "--state", text(&state)];
    let avro = Site::new(broker.bootstrap(), "incompatible", folder.path(), 1);
    let unfit = avro.till(&[&about[..], &["--registry", registry.url()]].concat()).with_exit(2);
    unfit.complains("column lon is written as string").complains("nothing was published");
    let unknown = ["control", "publish", "--topic", "pings", "--schema-id", "99999999", "--state", text(&state)];
    let unknown = avro.till(&[&unknown[..], &["--registry", registry.url()]].concat()).with_exit(1);
    unknown.complains("/schemas/ids/99999999: it answers 404").complains("nothing was published");
    assert!(!state.join("bundles").exists() || fs::read_dir(state.join("bundles")).unwrap().count() == 0);
}

/// Fails if a registry's format without a registry's address is found out later than at the start.
#[test]
fn a_format_without_a_registry_is_a_mistake_of_the_configuration() {
    let mut command = crate::support::command(&["control", "publish", "--keys", "nowhere", "--brokers", "127.0.0.1:1"]);
    let ended = |command: &mut Command| crate::support::Ended::from(command.output().unwrap());
    command.env("TILL_KAFKA_FORMAT", "registry");
    ended(&mut command).with_exit(2).complains("no schema registry is named").complains("TILL_KAFKA_REGISTRY");
    command.env("TILL_KAFKA_REGISTRY", "registry:8081");
    ended(&mut command).with_exit(2).complains("is no address of a schema registry");
}
