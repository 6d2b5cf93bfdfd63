//! `till doctor`: looks for what will stop a run or spoil its results, and says what to do about each.
//!
//! Each check is a function that returns what it found. They change nothing: two of them write a file of their own
//! and delete it again, since nothing else shows whether a folder takes files and locks.

mod brokers;
mod files;
mod keys;
mod snapshots;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::config::{BrokerFlags, Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::wiring::{existing_lake, start_runtime};
use crate::{clock, output};

/// Look for what will stop a run or spoil its results: folders, disk, tables, snapshots, locks, keys, and with brokers
/// the topics and clocks.
#[derive(Args)]
#[command(after_help = "Exit code 0: nothing was found; 4: something was found, be it a warning.")]
pub struct DoctorArgs {
    /// Folder of keys.json; without it keys are not looked at.
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// This is a demo: published keys are as they should be, and closed frames may be kept.
    #[arg(long)]
    demo_keys: bool,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    state: StateFlags,
    #[command(flatten)]
    brokers: BrokerFlags,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A run is refused, fails, or loses its way back.
    Error,
    /// It will become an error by itself.
    Warning,
}

/// Something that needs an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check that found it.
    pub check: &'static str,
    /// What it is about: a file, a topic, a key set.
    pub subject: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub fix: String,
    /// How bad it is.
    pub severity: Severity,
}

impl Finding {
    fn error(check: &'static str, subject: impl ToString, problem: impl ToString, fix: impl ToString) -> Self {
        let [subject, problem, fix] = [subject.to_string(), problem.to_string(), fix.to_string()];
        Self { check, subject, problem, fix, severity: Severity::Error }
    }

    fn warning(check: &'static str, subject: impl ToString, problem: impl ToString, fix: impl ToString) -> Self {
        Self { severity: Severity::Warning, ..Self::error(check, subject, problem, fix) }
    }
}

/// Runs the command.
pub fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let config = Config::resolve_with(&args.lake, &args.state, &args.brokers)?;
    let mut findings = Vec::new();
    let mut checks = Vec::new();
    let mut note = |check: &'static str, found: Vec<Finding>| {
        checks.push(check);
        findings.extend(found);
    };
    note("lake", files::lake(&config.lake));
    note("disk", files::disk(&[&config.lake, &config.state]));
    note("state", files::state(&config.state));
    let runtime = start_runtime()?;
    let lake = existing_lake(&config, &runtime)?;
    if let Some(lake) = &lake {
        note("tables", files::tables(lake));
    }
    if let Some(folder) = &args.keys {
        note("keys", keys::keys(folder, args.demo_keys, clock::today()));
    }
    let connected = config.kafka.brokers.is_some().then(|| brokers::connect(&config));
    let (brokers, unreachable) = match connected.transpose() {
        Ok(brokers) => (brokers, None),
        Err(finding) => (None, Some(finding)),
    };
    if config.kafka.brokers.is_some() {
        note("brokers", unreachable.into_iter().collect());
    }
    if let Some(brokers) = &brokers {
        note("topics", brokers::topics(brokers, args.demo_keys));
        note("clock", brokers::clock(brokers, clock::now_us()));
    }
    note("snapshots", snapshots::snapshots(&config.state, lake.as_ref(), brokers.as_ref()));
    print(&checks, &findings, args.json)?;
    if findings.is_empty() {
        return Ok(());
    }
    Err(Failure::findings("what was found needs an operator").with_help("each finding stands above with its fix"))
}

fn print(checks: &[&str], findings: &[Finding], as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::print_json(&json!({ "checks": checks, "findings": findings }));
    }
    for finding in findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Finding { check, subject, problem, fix, .. } = finding;
        output::print(&format!("{severity}: {check}: {subject}: {problem}\n    fix: {fix}"))?;
    }
    let found = if findings.is_empty() { "nothing was found" } else { "that was found" };
    output::print(&format!("checked {}: {found}", checks.join(", ")))
}
