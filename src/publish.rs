//! Puts an input folder on the topics, as the phones' gateways and the publisher of control records would have.
//!
//! Swipes and later records go to their merchant's partition, fixes to their device's, ticks to every partition, control
//! records to every partition of the unit that they address. A note in the folder says how far it has come for each
//! cluster, so that days added later follow; a publisher that dies before the note is written sends that day again,
//! which the units see as retransmissions.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use log::kafka::{Admin, Feeder};
use log::{FolderLog, LogIdentity, LogReader};
use schemas::ids::ContentHash;
use schemas::topics::{self, kind};
use schemas::{Offset, Partition, placement};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::control::{ControlRecord, PUBLISHED, Publisher, keep_bundle};
use crate::failure::Failure;
use crate::kafka;
use crate::progress::Bars;
use crate::wiring::{start_runtime, write_durably};

/// Records read at once.
const ROWS_MAX: usize = 4_096;
/// Topics of an input folder.
const TOPICS: [&str; 2] = ["transactions", "pings"];

/// How far a folder's topic has been published.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    identity: LogIdentity,
    next: Offset,
}

/// What was published.
#[derive(Debug, Default, Serialize)]
pub struct Published {
    /// Records on topics, ticks and control records counted once for each partition.
    pub records: u64,
    /// Records of the folder that do not parse and were not sent.
    pub left_out: u64,
}

/// Publishes what the folder holds and the cluster does not have yet.
pub fn publish(input: &Path, config: &Config) -> Result<Published, Failure> {
    let settings = kafka::writing_settings(config, "simulate", &start_runtime()?, &PUBLISHED)?;
    let feeder = Feeder::connect(&settings)?;
    let admin = Admin::connect(&settings)?;
    let note_path = input.join(format!("published-{}.json", admin.cluster_id()?));
    let mut notes = read_notes(&note_path)?;
    let mut publisher = Publisher::new(&feeder, &admin, &settings.formats)?;
    keep_bundles(input, config)?;
    let mut published = Published::default();
    let bars = Bars::default();
    for topic in TOPICS.into_iter().filter(|topic| input.join(topic).is_dir()) {
        let schema = topics::by_name(topic).expect("the topics of a folder are among all topics");
        let note = notes.get(topic).map(|note| (&note.identity, note.next));
        let mut log = FolderLog::open(&input.join(topic), schema, note)?;
        let bar = bars.bar(topic, 0);
        while let Some(batch) = log.poll(ROWS_MAX)? {
            published.left_out += batch.rejects.len() as u64;
            published.records += send(&mut publisher, topic, &batch.rows)?;
            let (read, all) = log.progress();
            bar.set_length(all);
            bar.set_position(read);
        }
        publisher.flush()?;
        bar.finish();
        notes.insert(topic.to_string(), Note { identity: log.identity(), next: log.position() });
    }
    let content = serde_json::to_vec_pretty(&notes).map_err(Failure::failed)?;
    write_durably(&note_path, &content)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", note_path.display())))?;
    Ok(published)
}

/// Publishes the control records of a folder alone.
pub fn controls(input: &Path, publisher: &mut Publisher<'_>) -> Result<(), Failure> {
    let topic = "transactions";
    let schema = topics::by_name(topic).expect("the topics of a folder are among all topics");
    let mut log = FolderLog::open(&input.join(topic), schema, None)?;
    while let Some(batch) = log.poll(ROWS_MAX)? {
        let kinds = text(&batch.rows, "kind").expect("every record of the topic has a kind");
        for row in (0..batch.rows.num_rows()).filter(|row| kinds.value(*row) == kind::CONTROL) {
            publisher.control(&control_record(&batch.rows, row))?;
        }
    }
    publisher.flush()
}

fn read_notes(path: &Path) -> Result<BTreeMap<String, Note>, Failure> {
    match std::fs::read(path) {
        Ok(content) => serde_json::from_slice(&content).map_err(|error| {
            Failure::failed(format!("{} cannot be read: {error}", path.display()))
                .with_help("remove it to publish the folder from its start, on topics that are empty")
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(Failure::failed(format!("{}: {error}", path.display()))),
    }
}

/// Copies the folder's bundles to where units look for them.
pub fn keep_bundles(input: &Path, config: &Config) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::failed(format!("cannot read the bundles of {}: {error}", input.display()));
    for entry in std::fs::read_dir(input.join("bundles")).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // What is named otherwise, such as zones, is no bundle of a unit.
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(hash) = stem.filter(|stem| ContentHash::from_hex(stem).is_some()) {
            keep_bundle(&config.state, hash, &std::fs::read(&path).map_err(failed)?)?;
        }
    }
    Ok(())
}

/// Sends rows in their order; control records come between those before and those after them.
fn send(publisher: &mut Publisher<'_>, topic: &'static str, rows: &RecordBatch) -> Result<u64, Failure> {
    let kinds = text(rows, "kind");
    let unreadable = text(rows, topics::MALFORMED);
    let is_control = |row: usize| kinds.is_some_and(|kinds| kinds.is_valid(row) && kinds.value(row) == kind::CONTROL);
    let is_unreadable = |row: usize| unreadable.is_some_and(|columns| columns.is_valid(row));
    let (mut sent, mut start) = (0, 0);
    for row in 0..rows.num_rows() {
        if !is_control(row) && !is_unreadable(row) {
            continue;
        }
        sent += send_plain(publisher, topic, &rows.slice(start, row - start))?;
        start = row + 1;
        if is_control(row) {
            sent += u64::from(publisher.control(&control_record(rows, row))?);
        } else if let Some(columns) = unreadable {
            let partition = home(topic, rows, row, publisher.partitions(topic)?);
            publisher.send_unreadable(topic, &rows.slice(row, 1), columns.value(row), partition)?;
            sent += 1;
        }
    }
    Ok(sent + send_plain(publisher, topic, &rows.slice(start, rows.num_rows() - start))?)
}

fn send_plain(publisher: &mut Publisher<'_>, topic: &'static str, rows: &RecordBatch) -> Result<u64, Failure> {
    let everywhere = publisher.everywhere(topic)?;
    let count = publisher.partitions(topic)?;
    let kinds = text(rows, "kind");
    let mut sent = 0;
    publisher.send(topic, rows, &mut |row| {
        let is_tick = kinds.is_some_and(|kinds| kinds.is_valid(row) && kinds.value(row) == kind::TICK);
        let partitions = match is_tick {
            true => everywhere.clone(),
            false => vec![home(topic, rows, row, count)],
        };
        sent += partitions.len() as u64;
        partitions
    })?;
    Ok(sent)
}

/// The partition of a record's key; the first for a record without one.
fn home(topic: &str, rows: &RecordBatch, row: usize, count: u16) -> Partition {
    let keys = topics::key_column(topic).and_then(|name| text(rows, name)).filter(|keys| keys.is_valid(row));
    keys.map_or(Partition(0), |keys| placement::of_key(keys.value(row).as_bytes(), count))
}

fn text<'a>(rows: &'a RecordBatch, name: &str) -> Option<&'a StringArray> {
    rows.column_by_name(name).map(|column| column.as_string())
}

fn control_record(rows: &RecordBatch, row: usize) -> ControlRecord {
    let value = |name| {
        let column = text(rows, name).filter(|column| column.is_valid(row));
        column.map(|column| column.value(row).to_string()).unwrap_or_default()
    };
    let received = rows.column_by_name("received_at").map(|column| column.as_primitive::<TimestampMicrosecondType>());
    ControlRecord {
        unit: value("control_unit"),
        change_type: value("control_type"),
        id: value("control_id"),
        hash: value("control_hash"),
        received_at_us: received.filter(|times| times.is_valid(row)).map_or(0, |times| times.value(row)),
    }
}
