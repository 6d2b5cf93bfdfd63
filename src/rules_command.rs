//! `till rules`: what scores payments, from a folder of texts to what is in force.

mod backtest;
mod quality;
pub mod shadow;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fraud::live::Definitions;
use schemas::bundles::RulesBundle;
use schemas::ids::ContentHash;
use schemas::topics::kind;
use schemas::unit::BundleSource;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::append::Place;
use crate::config::Config;
use crate::control::{ControlRecord, PUBLISHED, keep_bundle, publishing};
use crate::failure::Failure;
use crate::wiring::{StateBundles, start_runtime, write_durably};
use crate::{append, clock, kafka, output};

/// Units that score, the one whose values travel first.
const UNITS: [&str; 2] = ["decode", "authorize"];
/// Type and name of their control records.
const CONTROL_TYPE: &str = "rules";
/// Files of a folder of rules.
const WINDOWS: &str = "windows.txt";
const RULES: &str = "rules.txt";
const LISTS: &str = "lists";
pub const MODEL: &str = "model.txt";

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
    Backtest(backtest::BacktestArgs),
    Shadow(shadow::ShadowArgs),
    Rollout(RolloutArgs),
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
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Let a rule fire for a share of the cards only, in the folder and in force. A card that is in stays in as the share grows.
#[derive(Args)]
struct RolloutArgs {
    /// Folder of rules, whose rules.txt is changed.
    #[arg(value_name = "DIR")]
    rules: PathBuf,
    /// The rule.
    #[arg(value_name = "RULE")]
    rule: String,
    /// Share of the cards, such as 25% or 0.5%.
    #[arg(value_name = "SHARE")]
    share: String,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Bring the rules into force again that were so before the last ones.
#[derive(Args)]
struct RollbackArgs {
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
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
            checked(&bundle, &args.rules)?;
            let content = serde_json::to_vec_pretty(&bundle).map_err(Failure::failed)?;
            publish(&content, &args.place, args.json)
        }
        RulesCommand::Rollback(args) => rollback(args),
        RulesCommand::Quality(args) => quality::run(args),
        RulesCommand::Backtest(args) => backtest::run(args),
        RulesCommand::Shadow(args) => shadow::run(args),
        RulesCommand::Rollout(args) => rollout(args),
    }
}

/// What a bundle says; everything that is wrong with it is said at once.
fn checked(bundle: &RulesBundle, folder: &Path) -> Result<Definitions, Failure> {
    Definitions::read(bundle).map_err(|problems| {
        Failure::usage(format!("{}: {problems}", folder.display())).with_help("nothing was published")
    })
}

fn rollout(args: &RolloutArgs) -> Result<(), Failure> {
    let mut bundle = read(&args.rules)?;
    let definitions = checked(&bundle, &args.rules)?;
    bundle.rules = definitions.rules().with_rollout(&bundle.rules, &args.rule, &args.share).ok_or_else(|| {
        let known: Vec<&str> = definitions.rules().rules().iter().map(fraud::rules::Rule::name).collect();
        Failure::usage(format!("{} has no rule {}", args.rules.display(), args.rule))
            .with_help(format!("it has {}", known.join(", ")))
    })?;
    checked(&bundle, &args.rules)?;
    let path = args.rules.join(RULES);
    write_durably(&path, bundle.rules.as_bytes())
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
    publish(&serde_json::to_vec_pretty(&bundle).map_err(Failure::failed)?, &args.place, args.json)
}

/// The bundle of a folder.
pub fn read(folder: &Path) -> Result<RulesBundle, Failure> {
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
        Err(problems) => (problems.0.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::new()),
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

fn rollback(args: &RollbackArgs) -> Result<(), Failure> {
    let config = args.place.config()?;
    let history = history(&config)?;
    let now = history.last().ok_or_else(|| Failure::usage("no rules were published with this state folder"))?;
    let before = history.iter().rev().find(|published| published.hash != now.hash);
    let before = before.and_then(|published| ContentHash::from_hex(&published.hash));
    let before = before.ok_or_else(|| Failure::usage(format!("there were no rules before {}", now.hash)))?;
    let content = StateBundles::new(&config.state).checked(before).map_err(Failure::failed)?;
    publish(&content, &args.place, args.json)
}

/// Keeps a bundle where units look for it, names it on the log, and notes that.
fn publish(content: &[u8], place: &Place, json: bool) -> Result<(), Failure> {
    let config = place.config()?;
    let hash = ContentHash::of(content).to_hex();
    let at_us = clock::now_us();
    keep_bundle(&config.state, &hash, content)?;
    let said = match &place.input {
        Some(input) => {
            keep_bundle(input, &hash, content)?;
            let lines = UNITS.map(|unit| {
                json!({ "kind": kind::CONTROL, "control_unit": unit, "control_type": CONTROL_TYPE,
                    "control_id": CONTROL_TYPE, "control_hash": hash })
            });
            append::to_transactions(input, "rules", lines.to_vec())?.display().to_string()
        }
        None => {
            let settings = kafka::writing_settings(&config, "control", &start_runtime()?, &PUBLISHED)?;
            publishing(&settings, |publisher| {
                let mut said = Vec::new();
                for unit in UNITS {
                    let record = ControlRecord {
                        unit: unit.to_string(),
                        change_type: CONTROL_TYPE.to_string(),
                        id: CONTROL_TYPE.to_string(),
                        hash: hash.clone(),
                        received_at_us: at_us,
                    };
                    said.push(format!("{unit}: {} partitions", publisher.control(&record)?));
                    // The brokers have one unit's record before the next one's is sent.
                    publisher.flush()?;
                }
                Ok(said.join(", "))
            })?
        }
    };
    note(&config, Published { hash: hash.clone(), at_us })?;
    if json {
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
