//! `till demo`: a day in town, from encrypted swipes to tables, with a summary that people enjoy reading.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::job::{self, JobName, JobOptions};
use crate::run::{self, Job};
use crate::simulate::{self, PlanFlags};
use crate::wiring::write_durably;
use crate::{output, summary};

/// Simulate a day in town and run everything on it. On a folder that holds a demo already it goes on where that stands.
#[derive(Args)]
pub struct DemoArgs {
    /// Folder for everything: input, lake, truth and reports.
    #[arg(long, value_name = "DIR", default_value = "till-data")]
    dir: PathBuf,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    plan: PlanFlags,
}

/// Runs the command.
pub fn run(args: &DemoArgs) -> Result<(), Failure> {
    let input = args.dir.join("input");
    simulate::execute(args.plan, &input, &args.dir.join("truth"))?;
    let flags = LakeFlags { lake: Some(args.dir.join("lake")), config: None };
    let state = StateFlags { state: Some(args.dir.join("lake/_state")), instance: None };
    let config = Config::resolve(&flags, &state)?;
    let keys = input.join("keys");
    let outcome = run::execute(&Job { input: &input, keys: &keys, config: &config, batch_rows_seed: None })?;
    if outcome.stopped {
        eprintln!("stopped; the same command goes on from here");
        return Ok(());
    }
    let zones = Some(input.join("bundles/zones.geojson")).filter(|zones| zones.is_file());
    job::execute(
        &[JobName::TripDurations, JobName::PaymentPlaces, JobName::CourierAlerts, JobName::AlertGroups],
        &config,
        &JobOptions { zones, ..JobOptions::default() },
    )?;
    let summary = summary::of(&config.lake, &args.dir.join("truth"))?;
    let text = summary.text(&args.dir);
    let reports = args.dir.join("reports");
    let path = reports.join("summary.txt");
    std::fs::create_dir_all(&reports)
        .and_then(|()| write_durably(&path, text.as_bytes()))
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
    if args.json { output::print_json(&summary) } else { output::print(&text) }
}
