//! `till fraud train`: a model for a folder of rules, from what a lake knows of its payments.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use clap::Args;
use fraud::evaluate::{
    CARDS_A_DAY, Columns, Manifest, Plan, Spread, Trained, TrainingSpan, Transactions, TransactionsReader, summary,
    train_final,
};
use fraud::fields::FieldType;
use fraud::live::Definitions;
use fraud::measures::DAY_US;
use fraud::model::train::Parameters;
use jiff::Timestamp;
use lake::{Session, open_session};
use schemas::bundles::RulesBundle;
use schemas::topics::kind;
use serde_json::json;

use super::evaluate::{DaysArgs, outcomes};
use crate::config::{Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::output;
use crate::past::{self, Known};
use crate::rules_command::{self, MODEL};
use crate::wiring::{start_runtime, write_durably};

/// Manifest of a folder's model.
const MANIFEST: &str = "model.json";
/// Column beside the fields of rules.
const LABEL: &str = "known_fraud";
/// Fields of a payment that are a feature without being asked for: what it costs, and how far and fast its card came.
const FIELDS: [&str; 3] = ["amount_minor", "card_distance_m", "card_speed_mps"];

/// Train a model for a folder of rules on the approved swipes of a lake: the folder's windows as of each payment, and the
/// labels that were known by the end of the training.
///
/// Writes model.txt and, with what it was trained on and how good such models were before, model.json into the folder.
/// A payment of which nobody has said anything until the delay of the labels has passed counts as genuine; younger ones are
/// left out. Publish the folder to bring the model into force; rules read it as `score`.
#[derive(Args)]
pub struct TrainArgs {
    /// Folder of rules, with windows.txt and rules.txt.
    #[arg(value_name = "DIR")]
    rules: PathBuf,
    /// Features: windows of the folder and fields of a payment [default: all windows, the amount, distance and speed from
    /// the card's last swipe].
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    features: Vec<String>,
    /// The training takes place then [default: just behind the newest payment].
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Days of payments before it.
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=3_660))]
    last_days: u16,
    #[command(flatten)]
    days: DaysArgs,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    state: StateFlags,
}

/// Runs the command.
pub fn run(args: &TrainArgs) -> Result<(), Failure> {
    let config = Config::resolve(&args.lake, &args.state)?;
    // The new model takes the place of the one that is there.
    let bundle = RulesBundle { model: None, ..rules_command::read(&args.rules)? };
    let definitions = Definitions::read(&bundle)
        .map_err(|problems| Failure::usage(format!("{}: {problems}", args.rules.display())))?;
    let features = features(&definitions, &args.features)?;
    let label_delay_us = i64::from(args.days.days().delay) * DAY_US;
    let (transactions, span) = start_runtime()?.block_on(async {
        let session = open_session(&config.lake).await?;
        let end_us = match args.until {
            Some(until) => until.as_microsecond(),
            None => newest(&session).await?.ok_or_else(|| Failure::usage("the lake holds no swipes"))? + 1,
        };
        let span = TrainingSpan { days: end_us - i64::from(args.last_days) * DAY_US..end_us, label_delay_us };
        Ok::<_, Failure>((payments(&session, &bundle, &features, &span).await?, span))
    })?;
    let parameters = Parameters::default();
    let measures = measures(&transactions, &args.days, &parameters);
    let trained = train_final(&transactions, &span, &parameters)
        .map_err(|error| Failure::usage(error).with_help("till labels and till alerts confirm say what was fraud"))?;
    let manifest = Manifest::new(&trained, &span, &parameters, |name| definition(&definitions, name), measures)
        .map_err(Failure::usage)?;
    write(&args.rules, MODEL, &trained.model.to_text())?;
    write(&args.rules, MANIFEST, &manifest.to_json())?;
    say(args, &trained, &manifest)
}

fn say(args: &TrainArgs, trained: &Trained, manifest: &Manifest) -> Result<(), Failure> {
    let path = args.rules.join(MODEL);
    if args.json {
        return output::print_json(&json!({ "out": path, "manifest": manifest }));
    }
    let mean = |name: &str| manifest.measures.iter().find(|spread| spread.name == name).map(|spread| spread.mean);
    let measured = match (mean("auc_roc"), mean("average_precision")) {
        (Some(auc), Some(precision)) => {
            format!(
                "on days after a training such models had an AUC of {auc:.3}, an average precision of {precision:.3}"
            )
        }
        _ => "how good such models were before could not be measured".to_string(),
    };
    output::print(&format!(
        "{}: model {} of {} features, trained on {} payments, {} of them fraud; {} were too young. {measured}",
        path.display(),
        manifest.model,
        manifest.features.len(),
        trained.rows,
        trained.frauds,
        trained.left_out
    ))
}

/// The features that are asked for, or those that are taken without.
fn features(definitions: &Definitions, asked: &[String]) -> Result<Vec<String>, Failure> {
    let fields = definitions.fields();
    let is_feature = |field_type| matches!(field_type, FieldType::Integer | FieldType::Number | FieldType::Boolean);
    if asked.is_empty() {
        let (merchant, card) = definitions.windows();
        let windows = merchant.windows.iter().chain(&card.windows).map(|window| window.name.clone());
        return Ok(FIELDS.map(str::to_string).into_iter().chain(windows).collect());
    }
    let unknown = asked.iter().find(|name| !fields.get(name).is_some_and(|field| is_feature(field.field_type())));
    let Some(unknown) = unknown else { return Ok(asked.to_vec()) };
    let known = fields.iter().filter(|field| is_feature(field.field_type())).map(fraud::fields::Field::name);
    Err(Failure::usage(format!("{unknown} is no feature of these rules"))
        .with_help(format!("features are {}", known.collect::<Vec<_>>().join(", "))))
}

async fn newest(session: &Session) -> Result<Option<i64>, Failure> {
    let found = session.collect("SELECT max(event_time) FROM payments WHERE kind = 'swipe'").await?;
    let column = found.iter().find(|batch| batch.num_rows() > 0).map(|batch| batch.column(0).clone());
    let times = column.as_ref().and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    Ok(times.filter(|times| times.is_valid(0)).map(|times| times.value(0)))
}

/// The approved swipes up to the end of the training, with labels known by then.
async fn payments(
    session: &Session,
    rules: &RulesBundle,
    features: &[String],
    span: &TrainingSpan,
) -> Result<Transactions, Failure> {
    let [time, customer, terminal, amount, label] =
        ["event_time", "token", "reader_id", "amount_minor", LABEL].map(str::to_string);
    let columns = Columns { time, customer, terminal, amount, label, scenario: None, features: features.to_vec() };
    let mut reader = TransactionsReader::new(columns);
    let known = Known::read(session, Some(span.days.end)).await?;
    past::each(session, rules, |payments| {
        let [label, refused] = known.of(payments)?;
        reader.push(&learnt_from(payments, &label, &refused, span.days.end)?).map_err(Failure::failed)
    })
    .await?;
    reader.finish().map_err(Failure::usage)
}

/// Of these payments those that a model may learn from; without a word they are genuine.
fn learnt_from(
    payments: &RecordBatch,
    label: &ArrayRef,
    refused: &ArrayRef,
    end_us: i64,
) -> Result<RecordBatch, Failure> {
    let is_fraud = |said: Option<bool>| Some(said.unwrap_or_default());
    let label: BooleanArray = label.as_boolean().iter().map(is_fraud).collect();
    let payments = past::with(payments, [(LABEL, Arc::new(label))])?;
    let (kinds, refused) = (payments["kind"].as_string::<i32>(), refused.as_boolean());
    let times = payments["event_time"].as_primitive::<TimestampMicrosecondType>();
    let rows = 0..payments.num_rows();
    let is_counted = |row| kinds.value(row) == kind::SWIPE && !refused.value(row) && times.value(row) < end_us;
    let counted: BooleanArray = rows.map(|row| Some(is_counted(row))).collect();
    filter_record_batch(&payments, &counted).map_err(Failure::failed)
}

/// How good models are that are trained so, over the folds that lie within the payments; says where it cannot be measured.
fn measures(transactions: &Transactions, days: &DaysArgs, parameters: &Parameters) -> Vec<Spread> {
    let plan = Plan { cards_a_day: CARDS_A_DAY, parameters: parameters.clone() };
    let measured = transactions.span().map_err(Failure::usage).and_then(|span| {
        let mut folds = days.folds(transactions, None)?;
        folds.retain(|fold| fold.training.start >= span.start - span.start.rem_euclid(DAY_US));
        outcomes(transactions, &folds, &plan)
    });
    match measured {
        Ok(outcomes) if outcomes.is_empty() => {
            eprintln!("not measured: the payments are of fewer days than a training, the delay and a test have");
            Vec::new()
        }
        Ok(outcomes) => summary(&outcomes).model,
        Err(failure) => {
            eprintln!("not measured: {failure}");
            Vec::new()
        }
    }
}

/// The text that defines a window.
fn definition(definitions: &Definitions, name: &str) -> Option<String> {
    let (merchant, card) = definitions.windows();
    let window = merchant.windows.iter().chain(&card.windows).find(|window| window.name == name);
    window.map(ToString::to_string)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = folder.join(name);
    write_durably(&path, text.as_bytes())
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}
