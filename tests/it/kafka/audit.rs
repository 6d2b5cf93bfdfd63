//! The audit of a system that has come to rest: what its topics and tables hold is the fold of its logs as they stand,
//! each row once.
//!
//! Every topic is read from its first record on. Each unit's input goes through the unit itself, by the code path of a
//! run and with nothing of what the run left in groups and snapshots; what comes out is compared with the output topics,
//! and the topics with the tables. What an audit can see at fault is shown by planting it: see `system.rs`.

use crate::scoring::{authorize_unit, decode_unit};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int32Type;
use decode::keys::KeyRing;
use log::LogBatch;
use log::group::{Event, GroupLog, Remedy, TopicPartition};
use log::kafka::KafkaLog;
use runner::group::fold_partition;
use schemas::ids::ContentHash;
use schemas::topics::kind;
use schemas::unit::{BundleSource, Unit};
use schemas::{Offset, Partition, placement};
use trips::TripsUnit;

use super::processes::Site;
use super::tables::{self, Tables};

/// Topics of a system, and the one that has a single partition.
const TOPICS: [&str; 12] = [
    "transactions",
    "pings",
    "payments",
    "decisions",
    "alerts",
    "labels",
    "ping_faults",
    "stops",
    "trips",
    "vehicles",
    "dead_letters",
    CONTROL,
];
pub const CONTROL: &str = "control";
/// Topics that units write.
const OUTPUTS: [&str; 9] =
    ["payments", "decisions", "alerts", "labels", "ping_faults", "stops", "trips", "vehicles", "dead_letters"];
/// Longest time for reading all topics.
const READING: Duration = Duration::from_secs(180);
/// Records read at once.
const ROWS_MAX: usize = 8_192;
/// Rows that a finding shows of each kind.
const SHOWN: usize = 3;

/// Records of one partition, in order.
pub type Records = Vec<LogBatch>;

/// What a system holds.
pub struct Held {
    pub topics: BTreeMap<TopicPartition, Records>,
    pub tables: Tables,
}

/// A row of a topic or table, and where it lies.
pub struct Row {
    pub text: String,
    pub place: String,
}

/// Rows by where they come from, in their order where that is known.
type Streams = BTreeMap<Option<String>, Vec<Row>>;

impl Held {
    /// Reads everything; the system must have stopped.
    pub fn read(site: &Site) -> Self {
        Self { topics: read_topics(site), tables: tables::read(&site.lake()) }
    }

    /// What is wrong; nothing where all is well.
    pub fn findings(&self, site: &Site) -> Vec<String> {
        let mut findings = self.topic_findings(site);
        findings.extend(tables::findings(self, site));
        findings
    }

    /// Every partition of a topic.
    pub fn partitions(&self, topic: &'static str) -> impl Iterator<Item = (Partition, &Records)> {
        let of_topic = self.topics.iter().filter(move |(place, _)| place.topic == topic);
        of_topic.map(|(place, records)| (place.partition, records))
    }

    /// Compares each output topic with the fold of the inputs that feed it.
    fn topic_findings(&self, site: &Site) -> Vec<String> {
        let mut expected: BTreeMap<(&'static str, Partition), Vec<RecordBatch>> = BTreeMap::new();
        for (input, unit) in [("transactions", "decode"), ("payments", "authorize"), ("pings", "trips")] {
            for (partition, records) in self.partitions(input) {
                let place = TopicPartition { topic: input, partition };
                for (output, rows) in fold(site, unit_of(unit, site), place, records) {
                    expected.entry(output).or_default().push(rows);
                }
            }
        }
        let mut findings = Vec::new();
        for topic in OUTPUTS {
            for (partition, records) in self.partitions(topic) {
                let place = TopicPartition { topic, partition };
                let batches = expected.get(&(topic, partition)).into_iter().flatten();
                let expected = streams(topic, site.partitions, batches, |_| "the fold of its input".to_string());
                findings.extend(rejected(place, records));
                findings.extend(compare_streams(place, expected, found(place, site.partitions, records)));
            }
        }
        findings
    }
}

fn read_topics(site: &Site) -> BTreeMap<TopicPartition, Records> {
    let mut member = KafkaLog::connect(&site.settings("audit"), "audit", &TOPICS, false).unwrap();
    let partitions = |topic: &str| if topic == CONTROL { 1 } else { i32::from(site.partitions) };
    let all = TOPICS.iter().flat_map(|topic| (0..partitions(topic)).map(|number| (*topic, Partition(number))));
    let mut topics: BTreeMap<TopicPartition, Records> =
        all.map(|(topic, partition)| (TopicPartition { topic, partition }, Vec::new())).collect();
    let mut ends = BTreeSet::new();
    let started = Instant::now();
    while ends.len() < topics.len() {
        assert!(started.elapsed() < READING, "only {} of {} partitions could be read", ends.len(), topics.len());
        match member.next(ROWS_MAX, Duration::from_millis(100)) {
            Ok(Event::Assigned(partitions)) => {
                let starts: Vec<_> = partitions.into_iter().map(|place| (place, Offset(0))).collect();
                member.start(&starts).unwrap();
            }
            Ok(Event::Batch { partition, batch, .. }) => topics.get_mut(&partition).unwrap().push(batch),
            Ok(Event::CaughtUp(partition)) => {
                ends.insert(partition);
            }
            Ok(Event::Idle) => {}
            Ok(event) => panic!("an audit is alone in its group: {event:?}"),
            Err(error) => assert!(error.remedy == Remedy::Retry, "{error}"),
        }
    }
    topics
}

/// Bundles of a state folder.
pub struct StateBundles(pub PathBuf);

impl BundleSource for StateBundles {
    fn bundle(&self, hash: ContentHash) -> Result<Vec<u8>, String> {
        let path = self.0.join("bundles").join(format!("{}.json", hash.to_hex()));
        fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// A unit that has read nothing.
pub fn unit_of(name: &str, site: &Site) -> Box<dyn Unit> {
    match name {
        "decode" => {
            let keys = fs::read(site.input().join("keys/keys.json")).unwrap();
            Box::new(decode_unit(Arc::new(KeyRing::from_json(&keys).unwrap())))
        }
        "trips" => Box::new(TripsUnit::new()),
        _ => Box::new(authorize_unit()),
    }
}

/// What a unit makes of a partition.
pub fn fold(
    site: &Site,
    unit: Box<dyn Unit>,
    place: TopicPartition,
    records: &Records,
) -> BTreeMap<(&'static str, Partition), RecordBatch> {
    let bundles = StateBundles(site.state());
    let folded = fold_partition(unit, place, records.iter().cloned(), &bundles, &|_| site.partitions);
    folded.unwrap_or_else(|error| panic!("{place} cannot be folded: {error}"))
}

/// Each row as JSON, its nulls left out.
pub fn lines(rows: &RecordBatch) -> Vec<String> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(rows).unwrap();
    writer.finish().unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    text.lines().map(str::to_string).collect()
}

/// A text column.
pub fn texts<'a>(rows: &'a RecordBatch, name: &str) -> Option<&'a StringArray> {
    rows.column_by_name(name)?.as_string_opt()
}

/// Rows whose kind is none of these.
pub fn without_kinds(rows: &RecordBatch, offsets: &[i64], kinds: &[&str]) -> (RecordBatch, Vec<i64>) {
    let Some(found) = texts(rows, "kind") else { return (rows.clone(), offsets.to_vec()) };
    let kept: Vec<bool> = found.iter().map(|kind| kind.is_none_or(|kind| !kinds.contains(&kind))).collect();
    let offsets = offsets.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(offset, _)| *offset).collect();
    (filter_record_batch(rows, &BooleanArray::from(kept)).unwrap(), offsets)
}

/// What an output topic holds. Control records on topic `payments` are the publisher's, not decode's.
fn found(place: TopicPartition, partitions: u16, records: &Records) -> Streams {
    let mut streams = Streams::new();
    for batch in records {
        let (rows, offsets) = without_kinds(&batch.rows, &batch.offsets, &[kind::CONTROL]);
        let at = |row: usize| format!("{place} at offset {}", offsets[row]);
        for (origin, rows) in self::streams(place.topic, partitions, [&rows], at) {
            streams.entry(origin).or_default().extend(rows);
        }
    }
    streams
}

fn streams<'a>(
    topic: &str,
    partitions: u16,
    batches: impl IntoIterator<Item = &'a RecordBatch>,
    place: impl Fn(usize) -> String,
) -> Streams {
    let mut streams = Streams::new();
    for rows in batches {
        for (row, text) in lines(rows).into_iter().enumerate() {
            let origin = origin(topic, partitions, rows, row);
            streams.entry(origin).or_default().push(Row { text, place: place(row) });
        }
    }
    streams
}

/// The input partition of which a row tells that it comes from there. Rows of one origin keep its order.
fn origin(topic: &str, partitions: u16, rows: &RecordBatch, row: usize) -> Option<String> {
    let text = |name: &str| texts(rows, name).filter(|column| column.is_valid(row)).map(|column| column.value(row));
    let number = |name: &str| rows.column_by_name(name).map(|column| column.as_primitive::<Int32Type>().value(row));
    match topic {
        "payments" => number("origin_partition").map(|partition| format!("transactions/{partition}")),
        // A device's rows lie where its fixes do: on the partition of the same number.
        "ping_faults" | "stops" | "trips" | "vehicles" => Some("pings".to_string()),
        "dead_letters" => Some(format!("{}/{}", text("source_topic")?, number("source_partition")?)),
        _ => Some(format!("payments/{}", placement::of_payment(text("payment_id")?, partitions)?)),
    }
}

/// Records of an output topic that do not parse: a unit wrote them.
fn rejected(place: TopicPartition, records: &Records) -> Vec<String> {
    let rejects = records.iter().flat_map(|batch| &batch.rejects);
    rejects.map(|reject| format!("{place} at offset {} cannot be read: {}", reject.offset, reject.reason)).collect()
}

fn compare_streams(place: TopicPartition, mut expected: Streams, mut found: Streams) -> Vec<String> {
    let origins: BTreeSet<Option<String>> = expected.keys().chain(found.keys()).cloned().collect();
    let mut findings = Vec::new();
    for origin in origins {
        let expected = expected.remove(&origin).unwrap_or_default();
        let found = found.remove(&origin).unwrap_or_default();
        let what = format!("{place} from {}", origin.as_deref().unwrap_or("anywhere"));
        findings.extend(compare(&what, &expected, &found, origin.is_some()));
    }
    findings
}

/// What is missing, doubled or there without being expected; and, if all is there, whether it is in order.
pub fn compare(what: &str, expected: &[Row], found: &[Row], is_ordered: bool) -> Option<String> {
    let mut left: BTreeMap<&str, (i64, &Row)> = BTreeMap::new();
    for row in expected {
        left.entry(&row.text).or_insert((0, row)).0 += 1;
    }
    let known: BTreeSet<&str> = left.keys().copied().collect();
    for row in found {
        let entry = left.entry(&row.text).or_insert((0, row));
        *entry = (entry.0 - 1, row);
    }
    let pick = |wanted: &dyn Fn(i64, bool) -> bool| -> Vec<&Row> {
        let of = left.iter().filter(|(text, (count, _))| wanted(*count, known.contains(*text)));
        of.map(|(_, (_, row))| *row).collect()
    };
    let kinds = [
        ("missing", pick(&|count, _| count > 0)),
        ("doubled", pick(&|count, is_known| count < 0 && is_known)),
        ("extra", pick(&|count, is_known| count < 0 && !is_known)),
    ];
    if kinds.iter().any(|(_, rows)| !rows.is_empty()) {
        let shown = |(kind, rows): &(&str, Vec<&Row>)| {
            let first = rows.iter().take(SHOWN).map(|row| format!("\n    {kind}, {}: {}", row.place, row.text));
            format!("{} {kind}{}", rows.len(), first.collect::<String>())
        };
        let parts = kinds.iter().filter(|(_, rows)| !rows.is_empty()).map(shown).collect::<Vec<_>>();
        return Some(format!("{what}, of {} expected rows: {}", expected.len(), parts.join("\n  ")));
    }
    let moved = expected.iter().zip(found).find(|(expected, found)| is_ordered && expected.text != found.text);
    moved.map(|(expected, found)| {
        format!(
            "{what}: out of order; {} has\n    {}\n  where\n    {}\n  is due",
            found.place, found.text, expected.text
        )
    })
}

/// Doubles the last row of a batch, at the offset after it.
pub fn doubled(batch: &LogBatch) -> LogBatch {
    let last = batch.rows.num_rows() - 1;
    let twice = [batch.rows.clone(), batch.rows.slice(last, 1)];
    let mut doubled = batch.clone();
    doubled.rows = arrow::compute::concat_batches(&batch.rows.schema(), &twice).unwrap();
    doubled.offsets.push(batch.offsets[last] + 1);
    doubled.appended_us.push(batch.appended_us[last]);
    doubled
}

/// A column with one value.
pub fn repeated(value: i32, rows: usize) -> ArrayRef {
    Arc::new(Int32Array::from_value(value, rows))
}
