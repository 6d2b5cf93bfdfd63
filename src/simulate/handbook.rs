//! `till simulate handbook`: the card transactions of a published simulation, in one file and without a town.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use jiff::civil::Date;
use serde_json::json;
use simulator::handbook::{Handbook, HandbookPlan, HandbookProgress, HandbookStep};

use crate::failure::Failure;
use crate::output;
use crate::progress::Bars;

/// Simulate the card transactions of the handbook "Reproducible Machine Learning for Credit Card Fraud Detection":
/// customers who pay at terminals near them, and its three scenarios of fraud.
#[derive(Args)]
#[command(
    after_help = "Columns: transaction_id, event_time, customer_id, terminal_id, amount_minor (cents), currency, \
    fraud, scenario (0 for none).\n\nExamples:\n  till simulate handbook --out half-year.parquet\n  \
    till simulate handbook --out small.csv --customers 200 --terminals 400 --days 60 --seed 3"
)]
pub struct HandbookArgs {
    /// File to write: .parquet or .csv.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Every choice follows from it.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Days, from --start on [default: 183].
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// Customers [default: 5000].
    #[arg(long, value_name = "N")]
    customers: Option<u32>,
    /// Terminals [default: 10000].
    #[arg(long, value_name = "N")]
    terminals: Option<u32>,
    /// First day, UTC [default: 2018-04-01].
    #[arg(long, value_name = "DATE")]
    start: Option<Date>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &HandbookArgs) -> Result<(), Failure> {
    let published = HandbookPlan::default();
    let plan = HandbookPlan {
        seed: args.seed,
        days: args.days.unwrap_or(published.days),
        customers: args.customers.unwrap_or(published.customers),
        terminals: args.terminals.unwrap_or(published.terminals),
        start: args.start.unwrap_or(published.start),
        radius: published.radius,
    };
    let write = writer(&args.out)?;
    let bars = Bars::default();
    let [customers, frauds, file] = ["customers", "frauds", "file"].map(|label| bars.bar(label, 1));
    let mut progress = |progress: HandbookProgress| {
        let bar: &ProgressBar = match progress.step {
            HandbookStep::Customers => &customers,
            HandbookStep::Frauds => &frauds,
            HandbookStep::File => &file,
        };
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let handbook = Handbook::generate(&plan, &mut progress)?;
    write(&handbook, &args.out, &mut progress)?;
    [&customers, &frauds, &file].into_iter().for_each(ProgressBar::finish);
    let summary = handbook.summary();
    let (transactions, scenarios) = (summary.transactions, summary.frauds);
    if args.json {
        return output::print_json(&json!({ "out": args.out, "transactions": transactions, "frauds": scenarios }));
    }
    let all: u64 = scenarios.iter().sum();
    let share = 100.0 * all as f64 / transactions.max(1) as f64;
    let [amounts, terminals, cards] = scenarios;
    output::print(&format!(
        "{}: {transactions} transactions, {all} of them frauds ({share:.2} %): {amounts} of large amounts, {terminals} at \
         compromised terminals, {cards} with stolen cards",
        args.out.display()
    ))
}

type Write = fn(&Handbook, &Path, &mut dyn FnMut(HandbookProgress)) -> Result<(), simulator::SimulatorError>;

fn writer(out: &Path) -> Result<Write, Failure> {
    match out.extension().and_then(|ending| ending.to_str()) {
        Some("parquet") => Ok(|handbook, out, progress| handbook.write_parquet(out, progress)),
        Some("csv") => Ok(|handbook, out, progress| handbook.write_csv(out, progress)),
        _ => Err(Failure::usage(format!("{}: the file must end with .parquet or .csv", out.display()))),
    }
}
