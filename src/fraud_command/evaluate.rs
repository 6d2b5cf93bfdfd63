//! `till fraud evaluate`: how good a model of somebody's transactions is, beside what needs no model.

use std::path::PathBuf;

use clap::Args;
use fraud::evaluate::{
    CARDS_A_DAY, Contestants, FoldOutcome, Measures, Plan, Spread, Transactions, evaluate_fold, summary,
};
use fraud::measures::{Days, Fold};
use jiff::civil::Date;
use jiff::tz::Offset;
use serde_json::{Value, json};

use super::labelled::LabelledArgs;
use crate::failure::Failure;
use crate::output;
use crate::progress::Bars;

/// Train and judge a model on labelled transactions: it learns in some days, waits until labels are known, and is judged by
/// the days after them, fold by fold.
///
/// Cards that are known as defrauded leave the test. Beside the model stand a block list of cards and terminals with a
/// known fraud, and the amount alone.
#[derive(Args)]
#[command(
    after_help = "Measures: the area under the ROC curve, average precision, the share of cards with a fraud among those \
    looked at a day (card precision), the most that it could be, recall where one in a hundred genuine payments alerts, by kind \
    of fraud too, and what looking at so many cards a day finds and saves.\n\n\
    Examples:\n  till simulate handbook --out half-year.parquet\n  \
    till fraud evaluate half-year.parquet --features handbook --start 2018-08-15\n  \
    till fraud evaluate shop.csv --time tx_datetime --amount tx_amount --decimals tx_amount=2 --label tx_fraud --folds 1"
)]
pub struct EvaluateArgs {
    /// Transactions with labels, in the order of time: .csv with a head line, or .parquet. Several files are judged each for
    /// itself, and together.
    #[arg(value_name = "FILE", required = true)]
    transactions: Vec<PathBuf>,
    #[command(flatten)]
    labelled: LabelledArgs,
    /// First day of the newest training [default: so that its test ends with the file].
    #[arg(long, value_name = "DATE")]
    start: Option<Date>,
    #[command(flatten)]
    days: DaysArgs,
    /// Cards that somebody looks at a day.
    #[arg(long, value_name = "N", default_value_t = CARDS_A_DAY as u32, value_parser = clap::value_parser!(u32).range(1..))]
    cards_a_day: u32,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

/// How long folds are, and how many.
#[derive(Debug, Args)]
pub struct DaysArgs {
    /// Days in which a model learns.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=3_660))]
    training_days: u16,
    /// Days until labels are known.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(0..=3_660))]
    delay_days: u16,
    /// Days in which a model is judged.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=3_660))]
    test_days: u16,
    /// Folds, each a test earlier than the one after it.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=52))]
    folds: u8,
}

impl DaysArgs {
    /// The days of a fold.
    pub fn days(&self) -> Days {
        Days { training: self.training_days, delay: self.delay_days, test: self.test_days }
    }

    /// The folds of transactions, newest first, the newest starting on this day or ending with them.
    pub fn folds(&self, transactions: &Transactions, start: Option<Date>) -> Result<Vec<Fold>, Failure> {
        let span = transactions.span().map_err(Failure::usage)?;
        let newest_us = match start {
            Some(date) => Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).map_err(Failure::usage)?.as_microsecond(),
            // The last day counts as whole: files end with its last payment.
            None => self.days().ending_by(span.end - 1 + fraud::measures::DAY_US).training.start,
        };
        Ok(self.days().folds(newest_us, usize::from(self.folds)))
    }
}

/// Runs the command.
pub fn run(args: &EvaluateArgs) -> Result<(), Failure> {
    let plan = Plan { cards_a_day: args.cards_a_day as usize, ..Plan::default() };
    let mut files = Vec::new();
    for path in &args.transactions {
        let (transactions, _) = args.labelled.read(path)?;
        let outcomes = outcomes(&transactions, &args.days.folds(&transactions, args.start)?, &plan)
            .map_err(|failure| failure.with_help("--start, --folds and the days choose other folds"))?;
        files.push((path.display().to_string(), transactions.rows(), outcomes));
    }
    let all: Vec<FoldOutcome> = files.iter().flat_map(|(_, _, outcomes)| outcomes.clone()).collect();
    if args.json {
        let files: Vec<Value> = files.iter().map(|(path, rows, outcomes)| document(path, *rows, outcomes)).collect();
        return output::print_json(&json!({ "files": files, "summary": spreads_document(&summary(&all)) }));
    }
    for (path, rows, outcomes) in &files {
        output::print(&format!("{path}: {rows} transactions\n{}", folds_table(outcomes, args.cards_a_day)))?;
    }
    output::print(&summary_table(&summary(&all), args.cards_a_day))
}

/// What folds come to.
pub fn outcomes(transactions: &Transactions, folds: &[Fold], plan: &Plan) -> Result<Vec<FoldOutcome>, Failure> {
    let bar = Bars::default().bar("folds", folds.len() as u64);
    let outcomes = folds.iter().map(|fold| {
        let outcome = evaluate_fold(transactions, fold, plan).map_err(Failure::usage);
        bar.inc(1);
        outcome
    });
    let outcomes = outcomes.collect();
    bar.finish();
    outcomes
}

fn folds_table(outcomes: &[FoldOutcome], cards_a_day: u32) -> String {
    let precision = format!("card precision@{cards_a_day}");
    let heads =
        ["trains from", "rows", "frauds", "test rows", "frauds", "AUC ROC", "average precision", &precision, "ceiling"];
    let mut table = output::table(heads);
    for outcome in outcomes {
        let Measures { auc_roc, average_precision, card_precision, card_precision_ceiling, .. } =
            &outcome.measures.model;
        let counts = [outcome.training_rows, outcome.training_frauds, outcome.test_rows, outcome.test_frauds];
        let measures = [auc_roc, average_precision, card_precision, card_precision_ceiling];
        let cells =
            counts.map(|count| count.to_string()).into_iter().chain(measures.map(|value| format!("{value:.3}")));
        table.add_row(std::iter::once(day(outcome.fold.training.start)).chain(cells));
    }
    table.to_string()
}

fn day(at_us: i64) -> String {
    let moment = jiff::Timestamp::from_microsecond(at_us).map(|moment| moment.strftime("%Y-%m-%d").to_string());
    moment.unwrap_or_else(|_| format!("{at_us} us"))
}

/// Mean and deviation over all folds, a measure a line.
fn summary_table(summary: &Contestants<Vec<Spread>>, cards_a_day: u32) -> String {
    let mut table = output::table(["mean over folds (deviation)", "model", "block list", "amount"]);
    let of = |spreads: &[Spread], name: &str| {
        let spread = spreads.iter().find(|spread| spread.name == name);
        spread.map_or_else(String::new, |spread| format!("{:.3} ({:.3})", spread.mean, spread.deviation))
    };
    for spread in &summary.model {
        let name = spread.name.replace('_', " ").replace("card precision", &format!("card precision@{cards_a_day}"));
        let cells = summary.named().map(|(_, spreads)| of(spreads, &spread.name));
        table.add_row(std::iter::once(name).chain(cells));
    }
    table.to_string()
}

fn document(path: &str, rows: usize, outcomes: &[FoldOutcome]) -> Value {
    let fold = |outcome: &FoldOutcome| {
        let measures = outcome.measures.named().map(|(name, measures)| (name.replace(' ', "_"), json!(measures)));
        json!({
            "training_start": day(outcome.fold.training.start), "test_start": day(outcome.fold.test.start),
            "training_rows": outcome.training_rows, "training_frauds": outcome.training_frauds,
            "test_rows": outcome.test_rows, "test_frauds": outcome.test_frauds, "model": outcome.model,
            "measures": serde_json::Map::from_iter(measures),
        })
    };
    json!({ "file": path, "rows": rows, "folds": outcomes.iter().map(fold).collect::<Vec<_>>() })
}

fn spreads_document(summary: &Contestants<Vec<Spread>>) -> Value {
    let named = summary.named().map(|(name, spreads)| (name.replace(' ', "_"), json!(spreads)));
    Value::Object(serde_json::Map::from_iter(named))
}
