//! `till rules backtest`: what a folder of rules would have said about the payments of a lake, with every window as of each
//! payment.

use std::path::PathBuf;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;
use clap::Args;
use fraud::backtest::{Backtest, ColumnNames, EXAMPLES_DEFAULT, Plan, Report};
use fraud::live::Definitions;
use lake::{Session, open_session};
use schemas::bundles::RulesBundle;
use schemas::money::Currency;
use schemas::topics::kind;
use schemas::unit::BundleSource;

use super::quality::in_force;
use crate::config::{Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::output;
use crate::past::{self, Known, PAYMENT};
use crate::wiring::{StateBundles, start_runtime};

/// Columns beside the fields of rules, behind those of payments.
const LABEL: &str = "known_fraud";
const REFUSED: &str = "was_refused";

/// Try rules over the swipes of a lake without any effect: hits, precision and recall by what is known since, overlap, what
/// would change against the rules in force, examples, money.
///
/// Rules about refunds are not counted. Payments that were refused then have no label; they are counted beside the others.
/// On a lake that a broker's topics filled, windows of the merchant's side are those that travelled with the payments:
/// new ones are missing.
#[derive(Args)]
pub struct BacktestArgs {
    /// Folder of rules.
    #[arg(value_name = "DIR")]
    rules: PathBuf,
    /// Currency whose payments are counted [default: the one with most].
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// What looking at one payment costs, minor units.
    #[arg(long, value_name = "MINOR", default_value_t = 0)]
    review_cost: u32,
    /// Payments shown for each rule.
    #[arg(long, value_name = "N", default_value_t = EXAMPLES_DEFAULT)]
    examples: usize,
    /// Count rules with a rollout as if they were for all cards, too.
    #[arg(long)]
    full_rollout: bool,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    state: StateFlags,
}

/// Runs the command.
pub fn run(args: &BacktestArgs) -> Result<(), Failure> {
    let config = Config::resolve(&args.lake, &args.state)?;
    let bundle = super::read(&args.rules)?;
    let definitions = Definitions::read(&bundle)
        .map_err(|problems| Failure::usage(format!("{}: {problems}", args.rules.display())))?;
    let report = start_runtime()?.block_on(async {
        let session = open_session(&config.lake).await?;
        let currency = currency(&session, args.currency.as_deref()).await?;
        let plan = Plan {
            rules: definitions.rules().clone(),
            live: live(&session, &config, &definitions).await?,
            columns: ColumnNames {
                label: LABEL.to_string(),
                amount: "amount_minor".to_string(),
                identity: PAYMENT.to_string(),
                refused: Some(REFUSED.to_string()),
            },
            currency: Currency::from_code(&currency),
            review_cost_minor: args.review_cost,
            examples_max: args.examples,
            full_rollout: args.full_rollout,
        };
        backtest(&session, plan, &bundle, &currency).await
    })?;
    if args.json { output::print_json(&report) } else { output::print(report.to_string().trim_end()) }
}

/// A text of the first row and column; nothing where there is none.
async fn one(session: &Session, sql: &str) -> Result<Option<String>, Failure> {
    let batches = session.collect(sql).await?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    let texts = cast(batch.column(0), &DataType::Utf8).map_err(Failure::failed)?;
    let texts = texts.as_string::<i32>();
    Ok(texts.is_valid(0).then(|| texts.value(0).to_string()))
}

async fn currency(session: &Session, wanted: Option<&str>) -> Result<String, Failure> {
    let sql = "SELECT currency FROM payments WHERE kind = 'swipe' AND currency IS NOT NULL \
        GROUP BY currency ORDER BY count(*) DESC, currency LIMIT 1";
    match wanted {
        Some(wanted) => Ok(wanted.to_string()),
        None => one(session, sql).await?.ok_or_else(|| Failure::usage("the lake holds no swipes")),
    }
}

/// The rules in force, over the candidates' fields; nothing where they read what the candidates lack.
async fn live(
    session: &Session,
    config: &Config,
    candidates: &Definitions,
) -> Result<Option<fraud::rules::RuleSet>, Failure> {
    let Some(hash) = in_force(session).await? else { return Ok(None) };
    let content = StateBundles::new(&config.state).checked(hash).map_err(Failure::failed)?;
    let bundle: RulesBundle = serde_json::from_slice(&content).map_err(Failure::failed)?;
    match candidates.rules_of(&bundle) {
        Ok(rules) => Ok(Some(rules)),
        Err(problems) => {
            eprintln!("not compared with the rules in force, which do not fit these windows: {problems}");
            Ok(None)
        }
    }
}

async fn backtest(session: &Session, plan: Plan, rules: &RulesBundle, currency: &str) -> Result<Report, Failure> {
    let mut backtest = Backtest::new(plan).map_err(Failure::usage)?;
    let known = Known::read(session, None).await?;
    past::each(session, rules, |payments| {
        let payments = swipes(payments, currency)?;
        let [label, refused] = known.of(&payments)?;
        let payments = past::with(&payments, [(LABEL, label), (REFUSED, refused)])?;
        backtest.add(&payments).map_err(Failure::failed)
    })
    .await?;
    Ok(backtest.report())
}

/// Swipes of a currency.
fn swipes(payments: &RecordBatch, currency: &str) -> Result<RecordBatch, Failure> {
    let (kinds, currencies) = (payments["kind"].as_string::<i32>(), payments["currency"].as_string::<i32>());
    let is_counted =
        |row: usize| kinds.value(row) == kind::SWIPE && currencies.is_valid(row) && currencies.value(row) == currency;
    let counted: BooleanArray = (0..payments.num_rows()).map(|row| Some(is_counted(row))).collect();
    filter_record_batch(payments, &counted).map_err(Failure::failed)
}
