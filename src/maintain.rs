//! `till maintain`: keeps the tables fast to open and to read.

use clap::Args;
use lake::{Lake, Maintenance, MaintenancePolicy};
use serde_json::json;

use crate::clock;
use crate::config::{Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::output;
use crate::wiring::{Company, Locks, maintenance_lock, open_lake, start_runtime};

/// Merge small files, write checkpoints, and delete what no version within the retention needs. `till run` and `till
/// demo` do it themselves when they end.
#[derive(Args)]
pub struct MaintainArgs {
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeFlags,
    #[command(flatten)]
    state: StateFlags,
}

/// Maintains every table of the lake. There must be no other maintenance at the same time: locks see to it.
pub fn maintain_all(lake: &Lake, policy: &MaintenancePolicy) -> Result<Vec<(&'static str, Maintenance)>, Failure> {
    let mut done = Vec::new();
    for spec in schemas::tables::all() {
        if let Some(maintenance) = lake.maintain(&spec, policy, clock::now_us())? {
            done.push((spec.name, maintenance));
        }
    }
    Ok(done)
}

/// Runs the command.
pub fn run(args: &MaintainArgs) -> Result<(), Failure> {
    let config = Config::resolve(&args.lake, &args.state)?;
    config.require_lake()?;
    let _locks = (Locks::take(&config, Company::Shared)?, maintenance_lock(&config)?);
    let runtime = start_runtime()?;
    let lake = open_lake(&config, &runtime)?;
    let done = maintain_all(&lake, &config.policy)?;
    if args.json {
        let row = |(table, done): &(&str, Maintenance)| {
            json!({
                "table": table,
                "version": done.version,
                "files_merged": done.files_merged,
                "files_written": done.files_written,
                "bytes_before": done.bytes_before,
                "bytes_after": done.bytes_after,
                "files_deleted": done.files_deleted + done.staged_files_deleted,
                "log_files_deleted": done.log_files_deleted,
            })
        };
        return output::print_json(&done.iter().map(row).collect::<Vec<_>>());
    }
    let mut table = output::table(["table", "version", "files merged", "into", "files deleted", "log files deleted"]);
    for (name, done) in &done {
        let deleted = done.files_deleted + done.staged_files_deleted;
        let counts = [done.files_merged, done.files_written, deleted, done.log_files_deleted];
        let [merged, written, deleted, log_deleted] = counts.map(|count| count.to_string());
        table.add_row([*name, &done.version.to_string(), &merged, &written, &deleted, &log_deleted]);
    }
    output::print(&table.to_string())
}
