//! `till fraud`: features of any file or topic of transactions, models of them, and how good they are.

mod evaluate;
mod features;
mod labelled;
mod topic;
mod train;
mod transactions;

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use clap::{Args, Subcommand};

use crate::failure::Failure;

const SECOND_US: i64 = 1_000_000;
/// Keys of a kind that are kept at once: some gigabytes.
const KEYS_MAX: usize = 20_000_000;

/// Fraud: features of transactions, and models of them.
#[derive(Args)]
pub struct FraudArgs {
    #[command(subcommand)]
    command: FraudCommand,
}

#[derive(Subcommand)]
enum FraudCommand {
    Features(features::FeaturesArgs),
    Evaluate(evaluate::EvaluateArgs),
    Train(train::TrainArgs),
}

/// Runs the command.
pub fn run(args: &FraudArgs) -> Result<(), Failure> {
    match &args.command {
        FraudCommand::Features(args) => features::run(args),
        FraudCommand::Evaluate(args) => evaluate::run(args),
        FraudCommand::Train(args) => train::run(args),
    }
}

/// Columns of transactions, and those of their features behind them.
fn with_features(transactions: &SchemaRef, features: &Schema) -> SchemaRef {
    let fields = transactions.fields().iter().chain(features.fields());
    let fields: Vec<Arc<Field>> = fields.cloned().collect();
    Arc::new(Schema::new(fields))
}
