use std::path::PathBuf;

use super::*;
use crate::topics;

fn file(topic: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("topics").join(format!("{topic}.avsc"))
}

/// `UPDATE_GOLDEN=1 cargo test -p till-schemas` writes the files anew.
#[test]
fn the_avro_files_say_what_the_arrow_schemas_say() {
    for (topic, schema) in topics::all() {
        let wanted = format!("{:#}\n", schema_of(topic, &schema));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(file(topic), &wanted).unwrap();
        }
        let found = std::fs::read_to_string(file(topic)).unwrap_or_default();
        assert_eq!(found, wanted, "topics/{topic}.avsc differs; see the comment of this test");
    }
}

/// A reader with today's schema must read what any published schema wrote: published fields keep their type, and
/// new ones have a default. Removing or retyping a field of `topics/published/*.avsc` must make this fail.
#[test]
fn todays_schemas_read_what_published_ones_wrote() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("topics/published");
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let published: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let topic = published["name"].as_str().unwrap();
        let (_, schema) = topics::all().into_iter().find(|(name, _)| *name == topic).unwrap();
        if let Some(problem) = incompatibility(&published, &schema_of(topic, &schema)) {
            panic!("{}: {problem}", path.display());
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(PUBLISHED.contains(&(topic, text.as_str())), "{}: not among the published texts", path.display());
        compared += 1;
    }
    assert_eq!(compared, PUBLISHED.len());
    assert!(compared >= topics::all().len());
}

/// Why a reader cannot read the writer's records, by the resolution rules of the Avro specification, if it cannot.
fn incompatibility(writer: &Value, reader: &Value) -> Option<String> {
    let fields = |schema: &Value| schema["fields"].as_array().unwrap().clone();
    for read in fields(reader) {
        match fields(writer).into_iter().find(|written| written["name"] == read["name"]) {
            None if read.get("default").is_none() => {
                return Some(format!("{} is new and has no default", read["name"]));
            }
            None => {}
            Some(written) if readable(&written["type"], &read["type"]) => {}
            Some(written) => return Some(format!("{} was {}, is {}", read["name"], written["type"], read["type"])),
        }
    }
    None
}

fn readable(written: &Value, read: &Value) -> bool {
    written == read || read.as_array().is_some_and(|union| union.contains(written))
}

#[test]
fn the_compatibility_check_sees_what_breaks_readers() {
    let schema = |fields: Value| json!({ "type": "record", "name": "t", "fields": fields });
    let long = json!({ "name": "a", "type": "long" });
    let optional = json!({ "name": "a", "type": ["null", "long"], "default": null });
    let text = json!({ "name": "a", "type": "string" });
    assert_eq!(incompatibility(&schema(json!([long])), &schema(json!([optional]))), None);
    assert_eq!(incompatibility(&schema(json!([])), &schema(json!([optional]))), None);
    assert!(incompatibility(&schema(json!([])), &schema(json!([long]))).is_some());
    assert!(incompatibility(&schema(json!([long])), &schema(json!([text]))).is_some());
    assert!(incompatibility(&schema(json!([optional])), &schema(json!([long]))).is_some());
}
