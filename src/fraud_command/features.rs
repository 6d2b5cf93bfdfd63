//! `till fraud features`: features of any file, query or topic of transactions, by windows that a text defines.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::max;
use arrow::datatypes::TimestampMicrosecondType;
use clap::Args;
use fraud::fields::Fields;
use fraud::windows::{Definition, WindowSet, Windows, parse};
use jiff::Timestamp;
use serde_json::json;

use super::transactions::{Decimals, Transactions};
use super::{KEYS_MAX, SECOND_US, topic, with_features};
use crate::config::{Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::output;
use crate::progress::Bars;
use crate::sql::answer::{AnswerWriter, Format, Shape};
use crate::sql::destination::OutputFile;

/// Compute features of any file, query or topic of transactions: exact sliding windows by any key.
///
/// Transactions are read in the order of the file, of the query's answer, or of each partition of the topic. A query over
/// the lake makes windows by keys that no unit has for itself, such as couriers or card schemes, and about the answer; they
/// are as old as the newest payment of the lake, which is said at the end. Names of columns are written in
/// lower case, with _ for anything but letters and digits.
#[derive(Args)]
#[command(after_help = "A file of windows, for instance:\n  \
    window count_1d = count by customer_id over 1d including current\n  \
    window mean_7d = mean(amount_minor) by customer_id where currency = 'EUR' over 7d\n  \
    window risk_7d = mean(fraud) by terminal_id over 7d delayed 7d\n\n\
    Functions: count, sum, mean, stddev, min, max, last, previous, distinct, since_first, since_last. A window covers a \
    time that begins after its start and ends with its end, of the payments that stand before in the file.\n\n\
    Examples:\n  till simulate handbook --out half-year.parquet\n  \
    till fraud features --transactions half-year.parquet --windows windows.txt --out features.parquet\n  \
    till fraud features --transactions shop.csv --time paid_at --decimals amount=2 --windows windows.txt --out features.csv\n  \
    till fraud features --sql \"SELECT * FROM payments WHERE kind = 'swipe' AND NOT repeat ORDER BY event_time\" \\\n    \
    --lake lake --windows by_courier.txt --out couriers.parquet\n  \
    till fraud features --brokers localhost:9092 --topic payments \\\n    \
    --fields card:text,amount_minor:integer,event_time:time --windows windows.txt --out lake/features\n\n\
    A topic's records are keyed by the one field that is the key of all windows; each goes into the Delta table exactly \
    once, whatever is killed when, and those that cannot be used into the table dead_letters beside it.")]
pub struct FeaturesArgs {
    /// Transactions: .csv with a head line, or .parquet.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["topic", "sql"])]
    pub transactions: Option<PathBuf>,
    /// Query over the lake whose answer has them, in the order of time.
    #[arg(long, value_name = "QUERY", conflicts_with_all = ["transactions", "topic"])]
    sql: Option<String>,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    pub topic: topic::TopicArgs,
    /// Windows, as text.
    #[arg(long, value_name = "FILE")]
    pub windows: PathBuf,
    /// File for the transactions with their features: .parquet, .csv or .json; of a topic the folder of a Delta table.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Column with the time.
    #[arg(long, value_name = "COLUMN", default_value = "event_time")]
    pub time: String,
    /// Column of decimals that become whole numbers, with how many digits follow the point: amount=2 makes cents.
    #[arg(long, value_name = "COLUMN=DIGITS")]
    pub decimals: Vec<Decimals>,
    /// Seconds that a transaction may be older than the newest of its key; one that is older has no features.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    pub lateness_s: u32,
    /// One JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &FeaturesArgs) -> Result<(), Failure> {
    let transactions = match (&args.topic.topic, &args.sql, &args.transactions) {
        (Some(topic), ..) => return topic::run(args, topic),
        (None, Some(sql), _) => {
            let config = Config::resolve(&args.lake, &StateFlags::default())?;
            config.require_lake()?;
            Transactions::ask(&config.lake, sql, &args.time, &args.decimals)?
        }
        (None, None, Some(path)) => Transactions::open(path, &args.time, &args.decimals)?,
        (None, None, None) => return Err(Failure::usage("say --transactions, --sql or --topic")),
    };
    features(args, transactions)
}

/// The set of the windows of a text.
pub fn set_of(args: &FeaturesArgs, windows: Vec<Definition>, time: String) -> WindowSet {
    WindowSet {
        windows,
        time,
        lateness_us: i64::from(args.lateness_s) * SECOND_US,
        keys_max: KEYS_MAX,
        labels_follow: false,
    }
}

fn features(args: &FeaturesArgs, transactions: Transactions) -> Result<(), Failure> {
    let format = format_of(&args.out)?;
    let set = set_of(args, windows_of(&args.windows, transactions.fields())?, transactions.time().to_string());
    let mut windows = Windows::new(set).map_err(Failure::usage)?;
    let unwritten =
        |error: &dyn std::fmt::Display| Failure::failed(format!("cannot write {}: {error}", args.out.display()));
    let mut file = OutputFile::create(&args.out)
        .map_err(|error| Failure::usage(format!("cannot write {}: {error}", args.out.display())))?;
    let schema = with_features(transactions.schema(), &windows.set().schema());
    let shape = Shape { format, width: None };
    let mut writer = AnswerWriter::start(shape, schema.clone(), file.file()).map_err(|error| unwritten(&error))?;
    let bar = Bars::default().bar("features", transactions.rows());
    let (time, mut newest_us) = (transactions.time().to_string(), None);
    for batch in transactions {
        let batch = batch?;
        newest_us = newest_us.max(max(batch[time.as_str()].as_primitive::<TimestampMicrosecondType>()));
        let values = windows.process(&batch).map_err(Failure::failed)?;
        let columns = batch.columns().iter().chain(values.columns()).cloned().collect();
        let rows = RecordBatch::try_new(schema.clone(), columns).map_err(Failure::failed)?;
        writer.write(&rows).map_err(|error| unwritten(&error))?;
        bar.inc(batch.num_rows() as u64);
    }
    bar.finish();
    let rows = writer.finish().map_err(|error| unwritten(&error))?;
    file.keep().map_err(|error| unwritten(&error))?;
    let (count, entries) = (windows.set().windows.len(), windows.entries());
    let newest = newest_us.and_then(|us| Timestamp::from_microsecond(us).ok()).map(|time| time.to_string());
    if args.json {
        return output::print_json(
            &json!({ "out": args.out, "rows": rows, "windows": count, "entries_kept": entries, "newest": newest }),
        );
    }
    let until = newest.map_or_else(String::new, |newest| format!(", the newest of {newest}"));
    output::print(&format!("{}: {rows} transactions with {count} features{until}", args.out.display()))
}

fn format_of(out: &Path) -> Result<Format, Failure> {
    match out.extension().and_then(|ending| ending.to_str()) {
        Some("parquet") => Ok(Format::Parquet),
        Some("csv") => Ok(Format::Csv),
        Some("json" | "ndjson") => Ok(Format::Json),
        _ => Err(Failure::usage(format!("{}: the file must end with .parquet, .csv or .json", out.display()))),
    }
}

/// The definitions of a file; everything that is wrong with it is said at once.
pub fn windows_of(path: &Path, fields: &Fields) -> Result<Vec<Definition>, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read the windows {}: {error}", path.display())))?;
    parse(&text, fields).map_err(|errors| {
        let marked: Vec<String> = errors.iter().map(|error| error.marked(&text)).collect();
        let known: Vec<&str> = fields.iter().map(fraud::fields::Field::name).collect();
        Failure::usage(format!("{}: {}", path.display(), marked.join("\n")))
            .with_help(format!("the transactions have the fields {}", known.join(", ")))
    })
}
