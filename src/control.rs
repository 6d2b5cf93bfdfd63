//! `till control`: brings bundles and keys into force by control records, and builds those records for whoever else
//! publishes them.
//!
//! A control record goes to each partition of the input of the unit that it addresses, since each partition has its own
//! state; and once to topic `control`, from which the lake fills the tables of merchants, readers and couriers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use authorize::AuthorizeUnit;
use clap::{Args, Subcommand, ValueEnum};
use decode::DecodeUnit;
use decode::keys::KeyRing;
use log::kafka::{Admin, Feeder, RecordWriter, Settings};
use log::wire::{Decoder, Encoder, Format, Formats};
use schemas::ids::ContentHash;
use schemas::unit::{Control, ControlChange, Unit};
use schemas::{Offset, Partition, topics};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::config::{BrokerFlags, Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::kafka::UNIT_INPUTS;
use crate::registry::Registry;
use crate::wiring::{load_keys, start_runtime, write_durably};
use crate::{clock, kafka, output};

/// Topic that keeps every control record once.
const CONTROL: &str = "control";
/// Topics to which records are published.
pub const PUBLISHED: [&str; 4] = [UNIT_INPUTS[0].1, UNIT_INPUTS[1].1, UNIT_INPUTS[2].1, CONTROL];
/// Longest wait until the brokers have what was published.
const FLUSH: Duration = Duration::from_secs(60);

/// Publish what comes into force.
#[derive(Args)]
pub struct ControlArgs {
    #[command(subcommand)]
    command: ControlCommand,
}

#[derive(Subcommand)]
enum ControlCommand {
    /// Bring bundles, keys and writers' schemas into force, those for decode first.
    Publish(PublishArgs),
}

#[derive(Args)]
#[command(
    after_help = "A bundle is checked, copied into the state folder under its content hash, and named by a record to \
    each partition. Publish first and start machines with the same --state, or a copy of its bundles/."
)]
struct PublishArgs {
    /// Unit to which the bundles are addressed.
    #[arg(long, value_enum)]
    unit: Option<Addressee>,
    /// Bundle file to bring into force; may be given several times.
    #[arg(long, value_name = "FILE", requires = "unit")]
    bundle: Vec<PathBuf>,
    /// Folder of keys.json: brings each of its key sets, token keys and routing keys into force in decode. Only names
    /// and check values travel.
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Topic whose frames are written by the schema.
    #[arg(long, value_name = "TOPIC", value_parser = ["transactions", "pings", "payments"])]
    topic: Option<String>,
    /// Number of the schema in the frames (magic byte 0, four bytes of number, Avro).
    #[arg(long, value_name = "N", requires = "topic")]
    schema_id: Option<u32>,
    /// File with the writer's Avro schema of that number.
    #[arg(long, value_name = "FILE", requires = "schema_id", conflicts_with = "registry")]
    schema: Option<PathBuf>,
    /// Schema registry from which the schema of that number is taken, for example http://localhost:8081 [default:
    /// kafka.registry].
    #[arg(long, value_name = "URL", requires = "schema_id")]
    registry: Option<String>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    brokers: BrokerFlags,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    state: StateFlags,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Addressee {
    Decode,
    Authorize,
}

/// What a control record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlRecord {
    /// The unit addressed.
    pub unit: String,
    /// `bundle`, `key_set`, `token_key`, `routing_key` or `schema`.
    pub change_type: String,
    /// Name of what comes into force.
    pub id: String,
    /// SHA-256 of a bundle or schema, or check value of a key, hexadecimal.
    pub hash: String,
    /// When it is published, microseconds UTC.
    pub received_at_us: i64,
}

impl ControlRecord {
    /// The record as one row of a topic: columns that the topic demands and a control record has no use for are empty.
    pub fn row(&self, topic: &str) -> RecordBatch {
        let schema = topics::by_name(topic).expect("control records go to topics of the schemas");
        let columns = schema.fields().iter().map(|field| self.column(field)).collect();
        RecordBatch::try_new(schema, columns).expect("each column has its field's type and one row")
    }

    fn column(&self, field: &Field) -> ArrayRef {
        let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
        match (field.name().as_str(), field.data_type()) {
            ("kind", _) => text(topics::kind::CONTROL),
            ("control_unit", _) => text(&self.unit),
            ("control_type", _) => text(&self.change_type),
            ("control_id", _) => text(&self.id),
            ("control_hash", _) => text(&self.hash),
            ("received_at" | "event_time" | "ingest_time", _) => {
                Arc::new(TimestampMicrosecondArray::from(vec![self.received_at_us]).with_timezone("UTC"))
            }
            (_, data_type) if field.is_nullable() => new_null_array(data_type, 1),
            (_, DataType::Boolean) => Arc::new(BooleanArray::from(vec![false])),
            (_, DataType::Int32) => Arc::new(Int32Array::from(vec![-1])),
            (_, DataType::List(item)) => {
                let offsets = OffsetBuffer::from_lengths([0]);
                Arc::new(ListArray::new(item.clone(), offsets, new_null_array(item.data_type(), 0), None))
            }
            _ => text(""),
        }
    }
}

/// Publishes records: to every partition of each one's unit, in this order, and to topic `control`.
pub struct Publisher<'a> {
    feeder: &'a Feeder,
    writers: BTreeMap<&'static str, RecordWriter>,
    partitions: BTreeMap<String, u16>,
}

impl<'a> Publisher<'a> {
    /// A publisher that writes in these formats.
    pub fn new(feeder: &'a Feeder, admin: &Admin, formats: &Formats) -> Result<Self, Failure> {
        let mut writers = BTreeMap::new();
        for topic in PUBLISHED {
            writers.insert(topic, RecordWriter::new(topic, formats.of(topic)?)?);
        }
        let partitions = admin.topics()?.into_iter().map(|(topic, counts)| (topic, counts.partitions)).collect();
        Ok(Self { feeder, writers, partitions })
    }

    /// Number of a topic's partitions.
    pub fn partitions(&self, topic: &str) -> Result<u16, Failure> {
        self.partitions.get(topic).copied().ok_or_else(|| {
            Failure::failed(format!("there is no topic {topic}")).with_help("create it with `till topics create`")
        })
    }

    /// All of a topic's partitions, for what goes to each of them.
    pub fn everywhere(&self, topic: &str) -> Result<Vec<Partition>, Failure> {
        Ok((0..self.partitions(topic)?).map(|number| Partition(i32::from(number))).collect())
    }

    /// Sends each row of a batch to the partitions that `place` names for it.
    pub fn send(
        &mut self,
        topic: &'static str,
        rows: &RecordBatch,
        place: &mut dyn FnMut(usize) -> Vec<Partition>,
    ) -> Result<(), Failure> {
        let feeder = self.feeder;
        let writer = self.writers.get_mut(topic).expect("each topic that is published has a writer");
        writer.write(rows, &mut |row, record| -> Result<(), Failure> {
            for partition in place(row) {
                feeder.send_record(topic, partition, record)?;
            }
            Ok(())
        })
    }

    /// Sends one row some of whose values could not be read: as JSON, with something unreadable in their place, so that the
    /// reader of the topic finds what the reader of the file found.
    pub fn send_unreadable(
        &mut self,
        topic: &'static str,
        row: &RecordBatch,
        columns: &str,
        partition: Partition,
    ) -> Result<(), Failure> {
        let feeder = self.feeder;
        let mut encoder = Encoder::new(topic, Format::Json)?;
        encoder.encode(row, &mut |_, payload: &[u8]| -> Result<(), Failure> {
            let mut text = payload.trim_ascii_end().strip_suffix(b"}").unwrap_or(payload).to_vec();
            // Of a name that occurs twice the last value counts, and an object is no value of any column.
            for column in columns.split(',') {
                text.extend_from_slice(format!(",\"{column}\":{{}}").as_bytes());
            }
            text.push(b'}');
            Ok(feeder.send(topic, partition, None, &text)?)
        })
    }

    /// Sends a control record to every partition of its unit's input and to topic `control`.
    pub fn control(&mut self, record: &ControlRecord) -> Result<u16, Failure> {
        let (_, input) = UNIT_INPUTS
            .into_iter()
            .find(|(unit, _)| *unit == record.unit)
            .ok_or_else(|| Failure::usage(format!("there is no unit {:?} that reads control records", record.unit)))?;
        let all = self.everywhere(input)?;
        self.send(input, &record.row(input), &mut |_| all.clone())?;
        // A schema says how one topic's frames are written, and is in force there alone.
        if record.change_type != log::wire::SCHEMA_CONTROL {
            self.send(CONTROL, &record.row(CONTROL), &mut |_| vec![Partition(0)])?;
        }
        self.partitions(input)
    }

    /// Waits until the brokers have everything.
    pub fn flush(&self) -> Result<(), Failure> {
        Ok(self.feeder.flush(FLUSH)?)
    }
}

/// Publishes on the brokers of these settings, and waits until they have everything.
pub fn publishing<T>(
    settings: &Settings,
    publish: impl FnOnce(&mut Publisher<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let feeder = Feeder::connect(settings)?;
    let mut publisher = Publisher::new(&feeder, &Admin::connect(settings)?, &settings.formats)?;
    let published = publish(&mut publisher)?;
    publisher.flush()?;
    Ok(published)
}

/// Runs the command.
pub fn run(args: &ControlArgs) -> Result<(), Failure> {
    let ControlCommand::Publish(args) = &args.command;
    if args.bundle.is_empty() && args.keys.is_none() && args.schema_id.is_none() {
        return Err(Failure::usage("nothing to publish")
            .with_help("name a bundle with --bundle, keys with --keys or a schema with --schema-id"));
    }
    let config = Config::resolve_with(&args.lake, &args.state, &args.brokers)?;
    let runtime = start_runtime()?;
    let settings = kafka::writing_settings(&config, "control", &runtime, &PUBLISHED)?;
    let mut records = match &args.keys {
        Some(folder) => key_records(folder)?,
        None => Vec::new(),
    };
    for path in &args.bundle {
        let unit = args.unit.ok_or_else(|| Failure::usage("--bundle needs --unit"))?;
        records.push(bundle_record(path, unit, &config)?);
    }
    if let Some(id) = args.schema_id {
        records.push(schema_record(args, id, &config, &runtime)?);
    }
    let sent: Vec<(&ControlRecord, u16)> = publishing(&settings, |publisher| {
        records.iter().map(|record| Ok((record, publisher.control(record)?))).collect()
    })?;
    if args.json {
        let record = |(record, partitions): &(&ControlRecord, u16)| json!({ "unit": record.unit, "type": record.change_type, "id": record.id, "hash": record.hash, "partitions": partitions });
        return output::print_json(&sent.iter().map(record).collect::<Vec<_>>());
    }
    for (ControlRecord { unit, change_type, id, hash, .. }, partitions) in sent {
        output::print(&format!("{unit}: {change_type} {id} {hash} on {partitions} partitions"))?;
    }
    Ok(())
}

fn key_records(folder: &Path) -> Result<Vec<ControlRecord>, Failure> {
    let ring = load_keys(folder)?;
    let mut names: Vec<(&str, &str)> = ring.key_sets().iter().map(|key_set| ("key_set", key_set.id())).collect();
    names.extend(ring.token_key_versions().map(|version| ("token_key", version)));
    names.extend(ring.routing_key().map(|(id, _)| ("routing_key", id)));
    let record = |(change_type, id): (&str, &str)| ControlRecord {
        unit: "decode".to_string(),
        change_type: change_type.to_string(),
        id: id.to_string(),
        hash: ring.check_value(change_type, id).unwrap_or_default(),
        received_at_us: clock::now_us(),
    };
    Ok(names.into_iter().map(record).collect())
}

/// Checks a bundle with the unit that will load it, keeps it under its content hash in the state folder, and names it.
fn bundle_record(path: &Path, unit: Addressee, config: &Config) -> Result<ControlRecord, Failure> {
    let content = std::fs::read(path)
        .map_err(|error| Failure::usage(format!("cannot read the bundle {}: {error}", path.display())))?;
    let hash = ContentHash::of(&content);
    let (name, mut reader): (_, Box<dyn Unit>) = match unit {
        Addressee::Decode => ("decode", Box::new(DecodeUnit::new(Arc::new(KeyRing::published())))),
        Addressee::Authorize => ("authorize", Box::new(AuthorizeUnit::new())),
    };
    let received_at_us = clock::now_us();
    let change = ControlChange::Bundle { hash, content: content.clone() };
    let control = Control { offset: Offset(0), received_at_us, change };
    reader.control(&control, &mut Vec::new()).map_err(|error| {
        Failure::usage(format!("{}: {error}", path.display()))
            .with_help("nothing was published; mend the file, or name the other unit with --unit")
    })?;
    keep_bundle(&config.state, &hash.to_hex(), &content)?;
    Ok(ControlRecord {
        unit: name.to_string(),
        change_type: "bundle".to_string(),
        id: name.to_string(),
        hash: hash.to_hex(),
        received_at_us,
    })
}

/// Checks that a topic's rows can be read from what the schema writes, keeps it among the bundles, and names it.
fn schema_record(args: &PublishArgs, id: u32, config: &Config, runtime: &Runtime) -> Result<ControlRecord, Failure> {
    let Some((unit, topic)) = UNIT_INPUTS.into_iter().find(|(_, topic)| Some(*topic) == args.topic.as_deref()) else {
        return Err(Failure::usage("a schema needs the topic that it is for").with_help("name it with --topic"));
    };
    let text = match (&args.schema, args.registry.as_ref().or(config.kafka.registry.as_ref())) {
        (Some(path), _) => std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("cannot read the schema {}: {error}", path.display())))?,
        (None, Some(registry)) => Registry::at(registry)?.schema(runtime, id).map_err(|error| {
            Failure::failed(error)
                .with_help("nothing was published; check the registry's address and the schema's number")
        })?,
        (None, None) => {
            return Err(Failure::usage(format!("where is schema {id}?"))
                .with_help("name its file with --schema, or the registry that has it with --registry"));
        }
    };
    let mut decoder = Decoder::new(topic).map_err(Failure::failed)?;
    decoder.bring_into_force(id, &text).map_err(|error| {
        Failure::usage(error).with_help("nothing was published: units could not read records written by it")
    })?;
    let hash = ContentHash::of(text.as_bytes()).to_hex();
    keep_bundle(&config.state, &hash, text.as_bytes())?;
    Ok(ControlRecord {
        unit: unit.to_string(),
        change_type: log::wire::SCHEMA_CONTROL.to_string(),
        id: id.to_string(),
        hash,
        received_at_us: clock::now_us(),
    })
}

/// Puts a bundle where units look for it, in a state folder or an input folder.
pub fn keep_bundle(folder: &Path, hash: &str, content: &[u8]) -> Result<(), Failure> {
    let folder = folder.join("bundles");
    let path = folder.join(format!("{hash}.json"));
    std::fs::create_dir_all(&folder)
        .and_then(|()| write_durably(&path, content))
        .map_err(|error| Failure::failed(format!("cannot keep the bundle as {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_record_fits_every_topic_that_takes_one() {
        let record = ControlRecord {
            unit: "authorize".into(),
            change_type: "bundle".into(),
            id: "authorize".into(),
            hash: "00".into(),
            received_at_us: 7,
        };
        for topic in ["transactions", "payments", "pings", "control"] {
            let row = record.row(topic);
            assert_eq!(row.num_rows(), 1, "{topic}");
            let kind = row.column_by_name("kind").map(|column| format!("{column:?}"));
            assert!(kind.is_none_or(|kind| kind.contains("control")), "{topic}");
        }
    }
}
