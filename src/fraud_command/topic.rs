//! `till fraud features --topic`: features of a broker's topic of payments, exactly once into a Delta table.
//!
//! Each partition has windows of its own, since all payments of a key lie on one partition. Offsets lie in the table's
//! commits and states in snapshots behind them, so partitions are read by hand and no group is needed.

mod input;
mod lane;
mod sink;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use arrow::datatypes::{Field, Schema};
use clap::{Args, ValueEnum};
use fraud::windows::{WindowSet, Windows};
use indicatif::ProgressBar;
use lake::Lake;
use log::group::Bounds;
use log::kafka::{Admin, HandReader, Settings};
use schemas::Partition;
use schemas::tables::{self, TableSpec, source_columns, with_source};
use serde_json::json;

use super::features::{FeaturesArgs, set_of, windows_of};
use super::transactions::{Decimals, plain};
use crate::config::{BrokerFlags, Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::progress::Bars;
use crate::wiring::{start_runtime, stop_on_interrupt};
use crate::{clock, kafka, output};
use input::{FieldSpec, Format, Input};
use lane::{Common, Lane, Portion, can_be_key, work};
use sink::Sink;

/// Rows that wait for a commit at most, and how long they wait.
const COMMIT_ROWS: usize = 1 << 18;
const COMMIT_EVERY_US: i64 = 5_000_000;
/// Portions that wait for the writer.
const PORTIONS: usize = 8;
/// How long the writer waits for a portion before it looks at the time.
const PAUSE: Duration = Duration::from_millis(200);

/// A topic instead of a file.
#[derive(Args)]
pub struct TopicArgs {
    /// Topic of payments, keyed by the windows' key, instead of a file.
    #[arg(long, value_name = "NAME", conflicts_with = "transactions")]
    pub topic: Option<String>,
    #[command(flatten)]
    brokers: BrokerFlags,
    /// Fields of the records with their types (text, integer, number, boolean, time), commas between. Of Avro all fields of
    /// the schema that have such a type, if none are said.
    #[arg(long, value_name = "NAME:TYPE", value_delimiter = ',', requires = "topic")]
    fields: Vec<FieldSpec>,
    /// How the records are written.
    #[arg(long, value_enum, default_value = "json", requires = "topic")]
    format: Written,
    /// Avro schema of the records (.avsc).
    #[arg(long, value_name = "FILE", required_if_eq("format", "avro"))]
    schema: Option<PathBuf>,
    /// Number of that schema in frames of a registry; without it frames cannot be read, only single objects.
    #[arg(long, value_name = "NUMBER", requires = "schema")]
    schema_id: Option<u32>,
    /// Folder of snapshots [default: _state beside the table].
    #[arg(long, value_name = "DIR", requires = "topic")]
    state: Option<PathBuf>,
    /// Stop where the partitions end now, instead of following them until Ctrl-C.
    #[arg(long, requires = "topic")]
    until_end: bool,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Written {
    /// JSON objects.
    Json,
    /// Avro single objects, or frames of a schema registry.
    Avro,
}

/// The run as it was asked for.
struct Plan<'a> {
    args: &'a FeaturesArgs,
    set: WindowSet,
    input: Input,
    key: String,
    table: TableSpec,
    /// Folder of the table.
    beside: PathBuf,
}

/// Runs the command over a topic.
pub fn run(args: &FeaturesArgs, topic: &str) -> Result<(), Failure> {
    let plan = Plan::new(args)?;
    let config = Config::resolve_with(&LakeFlags::default(), &StateFlags::default(), &args.topic.brokers)?;
    // The name is that of a topic on the brokers, whatever this system's topics begin with.
    let settings = Settings { topic_prefix: String::new(), ..kafka::settings(&config, "features")? };
    let bounds = bounds_of(&settings, topic)?;
    let runtime = start_runtime()?;
    let lake = Lake::open(&plan.beside, runtime.handle().clone())?;
    let letters = tables::by_name("dead_letters").expect("dead letters are a table of every lake");
    let partitions = u32::try_from(bounds.len()).unwrap_or(u32::MAX);
    let mut sink = Sink::new(lake.table(&plan.table)?, lake.table(&letters)?, partitions, plan.input.identity());
    let common = Arc::new(Common {
        input: plan.input.clone(),
        topic: topic.to_string(),
        key: plan.key.clone(),
        table: plan.table.schema.clone(),
        stop: AtomicBool::new(false),
        until_end: args.topic.until_end,
    });
    let lanes = plan.lanes(&bounds, &common, &mut sink)?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_interrupt(&runtime, Arc::clone(&stop));
    let left = bounds.iter().zip(&lanes).map(|(bounds, lane)| (bounds.end.0 - lane.start().1.0).max(0).cast_unsigned());
    let bar = Bars::default().bar("features", left.sum());
    drive(&settings, lanes, &common, &stop, &mut sink, &bar)?;
    bar.finish();
    let (rows, letters) = sink.committed();
    let count = plan.set.windows.len();
    let out = &args.out;
    if args.json {
        return output::print_json(
            &json!({ "out": out, "rows": rows, "dead_letters": letters, "windows": count, "partitions": partitions }),
        );
    }
    output::print(&format!(
        "{}: {rows} payments of {partitions} partitions with {count} features, and {letters} dead letters",
        out.display()
    ))
}

impl<'a> Plan<'a> {
    fn new(args: &'a FeaturesArgs) -> Result<Self, Failure> {
        let format = match (args.topic.format, &args.topic.schema) {
            (Written::Json, None) => Format::Json,
            (Written::Json, Some(_)) => return Err(Failure::usage("--schema is for --format avro")),
            (Written::Avro, schema) => {
                let path = schema.as_deref().unwrap_or(Path::new(""));
                let schema = fs::read_to_string(path)
                    .map_err(|error| Failure::usage(format!("cannot read the schema {}: {error}", path.display())))?;
                Format::Avro { schema, id: args.topic.schema_id }
            }
        };
        let decimals: &[Decimals] = &args.decimals;
        let fields = match (&args.topic.fields, &format) {
            (fields, _) if !fields.is_empty() => fields.clone(),
            (_, Format::Avro { schema, .. }) => FieldSpec::of_avro(schema)?,
            (_, Format::Json) => {
                return Err(Failure::usage(
                    "--fields is missing: JSON does not say which fields there are, of which type",
                )
                .with_help("say them, for instance --fields card:text,amount_minor:integer,event_time:time"));
            }
        };
        let input = Input::new(&fields, &args.time, decimals, format)?;
        let set = set_of(args, windows_of(&args.windows, input.fields())?, plain(&args.time));
        let key = key_of(&set, &input)?;
        let (table, beside) = table_of(&args.out, &input, &set)?;
        Ok(Self { args, set, input, key, table, beside })
    }

    /// The partitions where they go on.
    fn lanes(&self, bounds: &[Bounds], common: &Common, sink: &mut Sink) -> Result<Vec<Lane>, Failure> {
        let state = self.args.topic.state.clone().unwrap_or_else(|| self.beside.join("_state"));
        let mut lanes = Vec::new();
        for (number, bounds) in bounds.iter().enumerate() {
            let partition = Partition(i32::try_from(number).unwrap_or(i32::MAX));
            let start = sink.open(&common.topic, partition, *bounds, &state)?;
            let windows = match start.windows {
                Some(saved) => Windows::restore(self.set.clone(), &saved).map_err(|error| {
                    Failure::refused(format!("{}/{partition}: {error}", common.topic))
                        .with_help("say windows, time and lateness as before, or give a new --out and --state")
                })?,
                None => {
                    let windows = Windows::new(self.set.clone()).map_err(Failure::usage)?;
                    sink.pin(number, windows.save().map_err(Failure::failed)?)?;
                    windows
                }
            };
            lanes.push(Lane::new(number, partition, start.at, bounds.end, windows, common)?);
        }
        Ok(lanes)
    }
}

/// Where each partition of the topic begins and ends.
fn bounds_of(settings: &Settings, topic: &str) -> Result<Vec<Bounds>, Failure> {
    let admin = Admin::connect(settings)?;
    let topics = admin.topics()?;
    let Some(counts) = topics.get(topic) else {
        let known: Vec<&str> = topics.keys().map(String::as_str).collect();
        return Err(Failure::usage(format!("there is no topic {topic}"))
            .with_help(format!("the brokers have {}", known.join(", "))));
    };
    (0..i32::from(counts.partitions)).map(|number| Ok(admin.bounds(topic, Partition(number))?)).collect()
}

/// The one field by which all windows are kept.
fn key_of(set: &WindowSet, input: &Input) -> Result<String, Failure> {
    let first = set.windows.first().ok_or_else(|| Failure::usage("there is no window"))?;
    let other = set.windows.iter().find(|window| window.key.len() != 1 || window.key != first.key);
    if let Some(other) = other {
        return Err(Failure::usage(format!(
            "window {} is by {}: over a topic all windows have one key of one field, by which its records are keyed",
            other.name,
            other.key.join(", ")
        ))
        .with_help("a file may have windows by any key: see --transactions"));
    }
    let key = first.key[0].clone();
    match input.schema().field_with_name(&key) {
        Ok(field) if can_be_key(field.data_type()) => Ok(key),
        _ => Err(Failure::usage(format!("{key} is neither a text nor an integer, so it cannot be a message key"))),
    }
}

/// The table, whose name is its folder's, and the folder in which it lies.
fn table_of(out: &Path, input: &Input, set: &WindowSet) -> Result<(TableSpec, PathBuf), Failure> {
    let name = out.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Failure::usage(format!("{} is no folder of a table", out.display())))?;
    let beside = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let features = set.schema();
    let own = input.schema().fields().iter().chain(features.fields());
    let columns: Vec<Arc<Field>> = own.cloned().collect();
    let sources = source_columns();
    let names = || columns.iter().map(|field| field.name()).chain(sources.iter().map(Field::name));
    if let Some(twice) = names().enumerate().find(|(at, name)| names().take(*at).any(|other| other == *name)) {
        return Err(Failure::usage(format!("there would be two columns named {}", twice.1)));
    }
    let schema = with_source(&Arc::new(Schema::new(columns)));
    // A process fills one table: its name lives as long as the process.
    let name: &'static str = String::leak(name.to_string());
    let comment = "payments of a topic with their features";
    Ok((TableSpec { name, comment, schema }, beside.to_path_buf()))
}

/// Reads on as many threads as there are cores, and commits what they hand out.
fn drive(
    settings: &Settings,
    lanes: Vec<Lane>,
    common: &Common,
    stop: &AtomicBool,
    sink: &mut Sink,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(lanes.len()).max(1);
    let mut shares: Vec<Vec<Lane>> = (0..threads).map(|_| Vec::new()).collect();
    lanes.into_iter().enumerate().for_each(|(number, lane)| shares[number % threads].push(lane));
    let (out, portions) = sync_channel(PORTIONS);
    thread::scope(|scope| {
        for mut lanes in shares {
            let out = out.clone();
            scope.spawn(move || {
                let starts: Vec<_> = lanes.iter().map(Lane::start).collect();
                let reader = HandReader::open(settings, &common.topic, &starts);
                let ended = reader.map_err(Failure::from).and_then(|reader| work(&reader, &mut lanes, common, &out));
                if let Err(failure) = ended {
                    // Nobody listens any more where another failure came first.
                    let _ = out.send(Err(failure));
                }
            });
        }
        drop(out);
        let written = write(portions, common, stop, sink, bar);
        common.stop.store(true, Ordering::Relaxed);
        written
    })
}

/// Commits portions until all lanes have ended or one fails. What came before a failure is committed first.
fn write(
    portions: Receiver<Result<Portion, Failure>>,
    common: &Common,
    stop: &AtomicBool,
    sink: &mut Sink,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut committed_us = clock::now_us();
    loop {
        if stop.load(Ordering::Relaxed) {
            common.stop.store(true, Ordering::Relaxed);
        }
        match portions.recv_timeout(PAUSE) {
            Ok(Ok(portion)) => {
                bar.inc((portion.rows.num_rows() + portion.letters.num_rows()) as u64);
                sink.take(portion);
            }
            Ok(Err(failure)) => {
                sink.commit()?;
                return Err(failure);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return sink.commit(),
        }
        let now_us = clock::now_us();
        let is_late = sink.waiting() > 0 && now_us.saturating_sub(committed_us) >= COMMIT_EVERY_US;
        if sink.waiting() >= COMMIT_ROWS || is_late {
            sink.commit()?;
            committed_us = now_us;
        }
    }
}
