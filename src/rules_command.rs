//! `till rules`: what scores payments, from a folder of texts to what is in force.

mod quality;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fraud::live::Definitions;
use log::kafka::{Admin, Feeder};
use schemas::bundles::RulesBundle;
use schemas::ids::ContentHash;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::config::{BrokerFlags, Config, LakeFlags, StateFlags};
use crate::control::{ControlRecord, PUBLISHED, Publisher, keep_bundle};
use crate::failure::Failure;
use crate::wiring::{start_runtime, write_durably};
use crate::{append, clock, kafka, output};

/// Units that score, the one whose values travel first.
const UNITS: [&str; 2] = ["decode", "authorize"];
/// Files of a folder of rules.
const WINDOWS: &str = "windows.txt";
const RULES: &str = "rules.txt";
const LISTS: &str = "lists";
const MODEL: &str = "model.txt";

/// Rules, windows, lists and the model that score payments.
#[derive(Args)]
pub struct RulesArgs {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Subcommand)]
enum RulesCommand {
    Lint(LintArgs),
    Publish(PublishArgs),
    Rollback(RollbackArgs),
    Quality(quality::QualityArgs),
}

/// Check a folder of rules: what is wrong is marked in its line, what is odd is said. Exit code 4 where there is anything.
#[derive(Args)]
#[command(
    after_help = "A folder holds windows.txt and rules.txt, and where wanted lists/NAME.txt and model.txt (LightGBM):\n  \
    window card_swipes_10m = count by token over 10m including current\n\n  \
    rule fast_spending review\n    \"{card_swipes_10m} swipes of one card in 10 minutes\"\n    when card_swipes_10m >= 6"
)]
struct LintArgs {
    /// Folder of rules.
    #[arg(value_name = "DIR")]
    rules: PathBuf,
    /// One JSON document.
    #[arg(long)]
    json: bool,
}

/// Bring a folder of rules into force: on a broker's topics with --brokers, in an input folder with --input.
#[derive(Args)]
struct PublishArgs {
    /// Folder of rules.
    #[arg(value_name = "DIR")]
    rules: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Bring the rules into force again that were so before the last ones.
#[derive(Args)]
struct RollbackArgs {
    #[command(flatten)]
    place: Place,
}

/// Where rules come into force.
#[derive(Args)]
struct Place {
    /// Input folder of embedded runs; the next run reads them behind what is there.
    #[arg(long, value_name = "DIR", conflicts_with = "brokers")]
    input: Option<PathBuf>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    brokers: BrokerFlags,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    state: StateFlags,
}

/// A line of the history of what was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Published {
    hash: String,
    /// When, microseconds UTC by the publisher's clock.
    at_us: i64,
}

/// Runs the command.
pub fn run(args: &RulesArgs) -> Result<(), Failure> {
    match &args.command {
        RulesCommand::Lint(args) => lint(args),
        RulesCommand::Publish(args) => {
            let bundle = read(&args.rules)?;
            Definitions::read(&bundle).map_err(|problems| {
                let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
                Failure::usage(format!("{}: {}", args.rules.display(), said.join("\n")))
                    .with_help("nothing was published")
            })?;
            publish(&serde_json::to_vec_pretty(&bundle).map_err(Failure::failed)?, &args.place)
        }
        RulesCommand::Rollback(args) => rollback(&args.place),
        RulesCommand::Quality(args) => quality::run(args),
    }
}

/// The bundle of a folder.
fn read(folder: &Path) -> Result<RulesBundle, Failure> {
    let text = |path: &Path| {
        fs::read_to_string(path).map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
    };
    let mut lists = BTreeMap::new();
    if let Ok(entries) = fs::read_dir(folder.join(LISTS)) {
        for entry in entries {
            let path = entry.map_err(Failure::failed)?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_string();
            lists.insert(name, text(&path)?);
        }
    }
    let model = Some(folder.join(MODEL)).filter(|path| path.is_file()).map(|path| text(&path)).transpose()?;
    Ok(RulesBundle { windows: text(&folder.join(WINDOWS))?, rules: text(&folder.join(RULES))?, lists, model })
}

fn lint(args: &LintArgs) -> Result<(), Failure> {
    let bundle = read(&args.rules)?;
    let definitions = Definitions::read(&bundle);
    let (errors, oddities) = match &definitions {
        Ok(definitions) => (Vec::new(), definitions.lint().iter().map(ToString::to_string).collect()),
        Err(problems) => (problems.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::new()),
    };
    if args.json {
        output::print_json(&json!({ "errors": errors, "oddities": oddities }))?;
    } else {
        for said in errors.iter().chain(&oddities) {
            output::print(said)?;
        }
    }
    if !errors.is_empty() || !oddities.is_empty() {
        return Err(Failure::findings("the rules need a look").with_help("each finding stands above"));
    }
    if let (Ok(definitions), false) = (&definitions, args.json) {
        let (merchant, card) = definitions.windows();
        output::print(&format!(
            "{} rules, {} windows of the merchant's side, {} of the card's, {} lists{}: nothing is odd",
            definitions.rules().rules().len(),
            merchant.windows.len(),
            card.windows.len(),
            bundle.lists.len(),
            if bundle.model.is_some() { ", a model" } else { "" }
        ))?;
    }
    Ok(())
}

fn rollback(place: &Place) -> Result<(), Failure> {
    let config = Config::resolve_with(&place.lake, &place.state, &place.brokers)?;
    let history = history(&config)?;
    let now = history.last().ok_or_else(|| Failure::usage("no rules were published with this state folder"))?;
    let before = history.iter().rev().find(|published| published.hash != now.hash);
    let before = before.ok_or_else(|| Failure::usage(format!("there were no rules before {}", now.hash)))?;
    let path = config.state.join("bundles").join(format!("{}.json", before.hash));
    let content =
        fs::read(&path).map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))?;
    publish(&content, place)
}

/// Keeps a bundle where units look for it, names it on the log, and notes that.
fn publish(content: &[u8], place: &Place) -> Result<(), Failure> {
    let config = Config::resolve_with(&place.lake, &place.state, &place.brokers)?;
    let hash = ContentHash::of(content).to_hex();
    let at_us = clock::now_us();
    keep_bundle(&config, &hash, content)?;
    let record = |unit: &str| ControlRecord {
        unit: unit.to_string(),
        change_type: "rules".to_string(),
        id: "rules".to_string(),
        hash: hash.clone(),
        received_at_us: at_us,
    };
    let said = match &place.input {
        Some(input) => {
            let name = input.join("bundles").join(format!("{hash}.json"));
            write_durably(&name, content)
                .map_err(|error| Failure::failed(format!("cannot write {}: {error}", name.display())))?;
            let lines = UNITS.map(|unit| {
                json!({ "kind": "control", "control_unit": unit, "control_type": "rules", "control_id": "rules",
                    "control_hash": hash })
            });
            append::to_transactions(input, "rules", lines.to_vec())?.display().to_string()
        }
        None => {
            let settings = kafka::writing_settings(&config, "control", &start_runtime()?, &PUBLISHED)?;
            let feeder = Feeder::connect(&settings)?;
            let mut publisher = Publisher::new(&feeder, &Admin::connect(&settings)?, &settings.formats)?;
            let mut said = Vec::new();
            for unit in UNITS {
                said.push(format!("{unit}: {} partitions", publisher.control(&record(unit))?));
                publisher.flush()?;
            }
            said.join(", ")
        }
    };
    note(&config, Published { hash: hash.clone(), at_us })?;
    if place.json {
        return output::print_json(&json!({ "rules": hash, "published": said }));
    }
    output::print(&format!("rules {hash} come into force: {said}"))
}

fn history_path(config: &Config) -> PathBuf {
    config.state.join("rules.ndjson")
}

/// What was published with this state folder, oldest first.
fn history(config: &Config) -> Result<Vec<Published>, Failure> {
    let path = history_path(config);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::failed(format!("cannot read {}: {error}", path.display()))),
    };
    let line =
        |line| serde_json::from_str(line).map_err(|error| Failure::failed(format!("{}: {error}", path.display())));
    text.lines().map(line).collect()
}

fn note(config: &Config, published: Published) -> Result<(), Failure> {
    let mut all = history(config)?;
    all.push(published);
    let line = |published: &Published| serde_json::to_string(published).map(|line| line + "\n");
    let lines: String = all.iter().map(line).collect::<Result<_, _>>().map_err(Failure::failed)?;
    let path = history_path(config);
    write_durably(&path, lines.as_bytes())
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}
