//! `till simulate`: a town from a seed as an input folder, its ground truth in a folder of its own.

mod handbook;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use simulator::{Plan, Summary};

use crate::config::{BrokerFlags, Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::live::{self, LiveFlags};
use crate::output;
use crate::progress::Bars;
use crate::publish::{self, Published};

/// Seed of a town where none is given.
const SEED: u64 = 1;
/// Days of a town where none are given.
const DAYS: u32 = 1;
/// Merchants of a town where none are given: some 4,000 swipes and 150,000 pings a day.
const MERCHANTS: u32 = 40;

/// Which town. On a folder that holds one already, what is not said is as it is there.
#[derive(Args, Clone, Copy, Default)]
pub struct PlanFlags {
    /// Every choice follows from it [default: 1].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Days in all; more than there are appends days [default: 1].
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// Merchants of all trades [default: 40].
    #[arg(long, value_name = "N")]
    merchants: Option<u32>,
}

/// Simulate a town: merchants, readers that encrypt, cards, couriers and taxis, and what goes wrong with them.
///
/// With --brokers what the folder holds also goes to the topics (days that went there before are left out), and its
/// bundles to the state folder.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SimulateArgs {
    #[command(subcommand)]
    other: Option<Other>,
    /// Folder for the input; one that holds the same town gets the missing days.
    #[arg(long, value_name = "DIR", required = true)]
    out: Option<PathBuf>,
    /// Folder for what is true about the town, card numbers in clear included [default: OUT-truth].
    #[arg(long, value_name = "DIR")]
    truth: Option<PathBuf>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    plan: PlanFlags,
    #[command(flatten)]
    live: LiveFlags,
    #[command(flatten)]
    brokers: BrokerFlags,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    state: StateFlags,
}

/// What is simulated instead of a town.
#[derive(Subcommand)]
enum Other {
    Handbook(handbook::HandbookArgs),
}

/// Writes the missing days of a town, with a progress bar.
pub fn execute(flags: PlanFlags, input: &Path, truth: &Path) -> Result<Summary, Failure> {
    let found = simulator::plan_in(input)?;
    let plan = Plan {
        seed: flags.seed.or(found.map(|plan| plan.seed)).unwrap_or(SEED),
        // A run that was interrupted in its first day noted none.
        days: flags.days.or(found.map(|plan| plan.days)).unwrap_or(DAYS).max(u32::from(flags.days.is_none())),
        merchants: flags.merchants.or(found.map(|plan| plan.merchants)).unwrap_or(MERCHANTS),
    };
    let bar = Bars::default().bar("simulating", u64::from(plan.days) * 24);
    let summary = simulator::simulate(&plan, input, truth, &mut |progress| {
        bar.set_length(u64::from(progress.hours));
        bar.set_position(u64::from(progress.hours_done));
        bar.set_message(format!("{} swipes, {} pings", progress.swipes, progress.pings));
    })?;
    bar.finish();
    Ok(summary)
}

/// Runs the command.
pub fn run(args: &SimulateArgs) -> Result<(), Failure> {
    if let Some(Other::Handbook(args)) = &args.other {
        return handbook::run(args);
    }
    let out = args.out.as_deref().ok_or_else(|| Failure::usage("--out names the folder for the input"))?;
    let truth = args.truth.clone().unwrap_or_else(|| beside(out));
    let summary = execute(args.plan, out, &truth)?;
    if args.brokers.brokers.is_some() {
        let config = Config::resolve_with(&args.lake, &args.state, &args.brokers)?;
        if args.live.live {
            return live::run(out, &config, &args.live, args.json);
        }
        return print_published(out, args.json, &publish::publish(out, &config)?);
    }
    if args.json {
        return output::print_json(&json!({
            "input": out,
            "truth": truth,
            "days": summary.days,
            "days_written": summary.days_written,
            "swipes": summary.swipes,
            "pings": summary.pings,
        }));
    }
    output::print(&match summary.days_written {
        0 => format!("{}: all {} days are there", out.display(), summary.days),
        written => format!(
            "{}: {written} days written, {} in all, with {} swipes and {} pings",
            out.display(),
            summary.days,
            summary.swipes,
            summary.pings
        ),
    })?;
    eprintln!("next: till run --input {}", out.display());
    Ok(())
}

fn print_published(out: &Path, json: bool, published: &Published) -> Result<(), Failure> {
    if json {
        return output::print_json(published);
    }
    let Published { records, left_out } = published;
    output::print(&format!("{}: {records} records went to the topics", out.display()))?;
    if *left_out > 0 {
        eprintln!("{left_out} records of the folder do not parse and stayed behind");
    }
    Ok(())
}

fn beside(out: &Path) -> PathBuf {
    let mut name = out.components().as_path().as_os_str().to_os_string();
    name.push("-truth");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_lies_beside_the_input_and_never_in_it() {
        assert_eq!(beside(Path::new("town")), Path::new("town-truth"));
        assert_eq!(beside(Path::new("a/town/")), Path::new("a/town-truth"));
    }
}
