//! `till rules shadow`: rules and models that say what they would do, and change nothing.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use fraud::live::Definitions;
use lake::open_session;
use schemas::ids::ContentHash;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::config::{Config, LakeFlags, StateFlags};
use crate::control::keep_bundle;
use crate::failure::Failure;
use crate::lake_rows::rows;
use crate::output;
use crate::wiring::{start_runtime, write_durably};

/// Most bundles in shadow at once: each is computed over all new payments.
const SHADOWS_MAX: usize = 16;
/// What shadows say beside what was decided, a line for each.
const COMPARED: &str = "
    SELECT s.shadow_bundle, count(*) AS payments,
           count(*) FILTER (WHERE s.outcome = 'block') AS would_block,
           count(*) FILTER (WHERE s.outcome = 'review') AS would_review,
           count(*) FILTER (WHERE s.outcome = 'block' AND d.response_code = '00') AS blocks_approved,
           count(*) FILTER (WHERE s.outcome <> 'block' AND d.reason = 'risk_blocked') AS lets_blocked_go,
           avg(s.score) AS mean_score
    FROM shadow_decisions s
    LEFT JOIN (SELECT payment_id, response_code, reason FROM decisions WHERE kind = 'authorization' AND NOT repeat) d
         ON d.payment_id = s.payment_id AND s.kind = 'swipe'
    GROUP BY s.shadow_bundle";

/// Put a folder of rules, with its model, into shadow, or say what those in shadow would have done.
///
/// `till job shadow-decisions` judges the payments of the lake by them, into table shadow_decisions and nowhere else: no
/// decision and no alert knows of it.
#[derive(Args)]
pub struct ShadowArgs {
    /// Folder of rules to put into shadow [default: say what those in shadow would have done].
    #[arg(value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Take the rules of this hash out of shadow; what they said stays in the table.
    #[arg(long, value_name = "HASH", conflicts_with = "rules")]
    end: Option<String>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    state: StateFlags,
}

/// Rules in shadow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// Their bundle, which lies in the state folder.
    pub hash: ContentHash,
    /// Folder that they came from, for people.
    pub name: String,
}

fn path(state: &Path) -> PathBuf {
    state.join("shadows.json")
}

/// Everything in shadow, oldest first.
pub fn all(state: &Path) -> Result<Vec<Shadow>, Failure> {
    let path = path(state);
    let damaged = |error: &dyn std::fmt::Display| Failure::failed(format!("cannot read {}: {error}", path.display()));
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| damaged(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(damaged(&error)),
    }
}

fn keep(state: &Path, shadows: &[Shadow]) -> Result<(), Failure> {
    let path = path(state);
    let text = serde_json::to_vec_pretty(shadows).map_err(Failure::failed)?;
    write_durably(&path, &text).map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}

/// Runs the command.
pub fn run(args: &ShadowArgs) -> Result<(), Failure> {
    let config = Config::resolve(&args.lake, &args.state)?;
    let mut shadows = all(&config.state)?;
    if let Some(folder) = &args.rules {
        let bundle = super::read(folder)?;
        Definitions::read(&bundle).map_err(|problems| Failure::usage(format!("{}: {problems}", folder.display())))?;
        let content = serde_json::to_vec_pretty(&bundle).map_err(Failure::failed)?;
        let hash = ContentHash::of(&content);
        let name = folder.display().to_string();
        shadows.retain(|shadow| shadow.hash != hash);
        if shadows.len() >= SHADOWS_MAX {
            return Err(Failure::usage(format!("{SHADOWS_MAX} folders are in shadow")).with_help("--end takes one out"));
        }
        shadows.push(Shadow { hash, name });
        keep_bundle(&config.state, &hash.to_hex(), &content)?;
        keep(&config.state, &shadows)?;
        return said(args, hash, "is in shadow: till job shadow-decisions judges payments by it");
    }
    if let Some(end) = &args.end {
        let ended = shadows.iter().position(|shadow| shadow.hash.to_hex() == *end);
        let ended = ended.ok_or_else(|| Failure::usage(format!("nothing of hash {end} is in shadow")))?;
        let hash = shadows.remove(ended).hash;
        keep(&config.state, &shadows)?;
        return said(args, hash, "is in shadow no more");
    }
    compared(args, &config, &shadows)
}

fn said(args: &ShadowArgs, hash: ContentHash, what: &str) -> Result<(), Failure> {
    match args.json {
        true => output::print_json(&json!({ "shadow": hash.to_hex() })),
        false => output::print(&format!("{} {what}", hash.to_hex())),
    }
}

/// What each would have done, beside what was decided.
fn compared(args: &ShadowArgs, config: &Config, shadows: &[Shadow]) -> Result<(), Failure> {
    let rows = start_runtime()?.block_on(async { rows(&open_session(&config.lake).await?, COMPARED).await })?;
    let of = |shadow: &Shadow| rows.iter().find(|row| row["shadow_bundle"] == shadow.hash.to_hex().as_str());
    if args.json {
        let all = shadows
            .iter()
            .map(|shadow| json!({ "hash": shadow.hash.to_hex(), "name": shadow.name, "found": of(shadow) }));
        return output::print_json(&all.collect::<Vec<_>>());
    }
    let heads = ["rules", "folder", "payments", "would block", "would review", "blocks approved", "lets blocked go"];
    let mut table = output::table(heads);
    for shadow in shadows {
        let number = |name: &str| of(shadow).map_or("-".to_string(), |row| row[name].to_string());
        let numbers = ["payments", "would_block", "would_review", "blocks_approved", "lets_blocked_go"].map(number);
        let named = [shadow.hash.to_hex()[..12].to_string(), shadow.name.clone()];
        table.add_row(named.into_iter().chain(numbers));
    }
    output::print(&table.to_string())
}
