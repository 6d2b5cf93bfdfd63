//! `till`: the command line of tillstream. Each command has a file of its own, which parses, wires the crates together
//! and prints; what is decided is decided in the crates. Results go to standard output, everything else to standard
//! error.

mod alerts_command;
mod append;
mod clock;
mod completions;
mod config;
mod control;
mod decode_command;
mod demo;
mod doctor;
mod failure;
mod faults;
mod feedback;
mod fraud_command;
mod job;
mod kafka;
mod labels_command;
mod lag;
mod lake_rows;
mod live;
mod maintain;
mod ops;
mod output;
mod past;
mod progress;
mod publish;
mod registry;
mod rules_command;
mod run;
mod score;
mod scoring;
mod simulate;
mod snapshot;
mod sql;
mod summary;
mod topics;
mod trips_command;
mod wiring;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::{Exit, Failure};

/// A batch of a few records is hundreds of small arrays: with the system's allocator a third of the time that decode and
/// authorize take under live traffic went into it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Card payments and GPS pings, from encrypted swipes to tables.
#[derive(Parser)]
#[command(name = "till", version, max_term_width = 110, arg_required_else_help = true)]
#[command(after_help = "Start with `till demo`: it simulates a day in town and runs everything on it.\n\
    Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused because going on could lose or double \
    something, 4 findings.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Simulate(simulate::SimulateArgs),
    Run(run::RunArgs),
    Job(job::JobArgs),
    Sql(sql::SqlArgs),
    Trips(trips_command::TripsArgs),
    Fraud(fraud_command::FraudArgs),
    Rules(rules_command::RulesArgs),
    Alerts(alerts_command::AlertsArgs),
    Labels(labels_command::LabelsArgs),
    Decode(decode_command::DecodeArgs),
    Maintain(maintain::MaintainArgs),
    Topics(topics::TopicsArgs),
    Control(control::ControlArgs),
    Lag(lag::LagArgs),
    Snapshot(snapshot::SnapshotArgs),
    Doctor(doctor::DoctorArgs),
    Config(config::ConfigArgs),
    Completions(completions::CompletionsArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log();
    let ended = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Job(args) => job::run(&args),
        Command::Sql(args) => sql::run(&args),
        Command::Trips(args) => trips_command::run(&args),
        Command::Fraud(args) => fraud_command::run(&args),
        Command::Rules(args) => rules_command::run(&args),
        Command::Alerts(args) => alerts_command::run(&args),
        Command::Labels(args) => labels_command::run(&args),
        Command::Decode(args) => decode_command::run(&args),
        Command::Maintain(args) => maintain::run(&args),
        Command::Topics(args) => topics::run(&args),
        Command::Control(args) => control::run(&args),
        Command::Lag(args) => lag::run(&args),
        Command::Snapshot(args) => snapshot::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match ended {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            let exit = failure.exit();
            report(failure);
            exit.into()
        }
    }
}

fn report(failure: Failure) {
    eprintln!("{:?}", miette::Report::new(failure));
}

/// What is logged unless `TILL_LOG` says otherwise. Several writers may commit to a table at once: Delta warns of it, and
/// calls a commit that came second an error, which the lake resolves.
const LOG_FILTER: &str = "warn,deltalake_core=error,deltalake_core::kernel::transaction=off";

/// Warnings and worse go to standard error; `TILL_LOG=info` or `TILL_LOG=runner=debug` shows more.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TILL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG_FILTER));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
