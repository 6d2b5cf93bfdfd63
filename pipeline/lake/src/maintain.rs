//! Keeping a table fast to open and to read, and letting go of what nobody may need any more.

use std::path::Path;
use std::sync::Arc;

use arrow::temporal_conversions::try_duration_s_to_duration;
use deltalake::checkpoints::cleanup_expired_logs_for;
use deltalake::operations::vacuum::{Clock, VacuumMode};
use deltalake::{DeltaTable, DeltaTableError};
use schemas::tables::TableSpec;

use crate::create::{exists, load};
use crate::table::write_checkpoint;
use crate::{LakeError, compact, disk};

/// Shortest time for which old versions and unknown files stay: longer than any upload, commit, replay and query.
pub const KEEP_VERSIONS_S_MIN: u64 = 24 * 60 * 60;

/// Longest time for which old versions stay: what a table's own properties keep its log and its tombstones for.
pub const KEEP_VERSIONS_S_MAX: u64 = 30 * 24 * 60 * 60;

/// When maintenance does what.
#[derive(Debug, Clone)]
pub struct MaintenancePolicy {
    /// Files below this size are merged, bytes.
    pub small_file_bytes: u64,
    /// Number of small files from which merging them is worth a commit.
    pub files_min: usize,
    /// Largest number of files merged in one round.
    pub files_max: usize,
    /// How long old versions of a table stay readable and unknown files stay, seconds; from [`KEEP_VERSIONS_S_MIN`]
    /// to [`KEEP_VERSIONS_S_MAX`].
    pub keep_versions_s: u64,
}

impl Default for MaintenancePolicy {
    /// Files of some 32 MB read at full speed; eight of them are worth a commit; a week allows looking back at a
    /// weekend.
    fn default() -> Self {
        MaintenancePolicy {
            small_file_bytes: 32 * 1024 * 1024,
            files_min: 8,
            files_max: 10_000,
            keep_versions_s: 7 * 24 * 60 * 60,
        }
    }
}

/// What one round of maintenance did to a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// Version of the table afterwards.
    pub version: u64,
    /// Small files that were merged.
    pub files_merged: usize,
    /// Files that they became.
    pub files_written: usize,
    /// Rows in them.
    pub rows_rewritten: u64,
    /// Size of the small files, bytes.
    pub bytes_before: u64,
    /// Size of what they became, bytes.
    pub bytes_after: u64,
    /// Data files deleted: those that no kept version names, and those that no version ever named.
    pub files_deleted: usize,
    /// Entries of the log deleted.
    pub log_files_deleted: usize,
    /// Unfinished uploads deleted.
    pub staged_files_deleted: usize,
}

/// The present as the caller says.
#[derive(Debug)]
struct Now {
    ms: i64,
}

impl Clock for Now {
    fn current_timestamp_millis(&self) -> i64 {
        self.ms
    }
}

/// See [`crate::Lake::maintain`].
pub(crate) async fn maintain(
    folder: &Path,
    spec: &TableSpec,
    policy: &MaintenancePolicy,
    now_us: i64,
) -> Result<Option<Maintenance>, LakeError> {
    let table = spec.name;
    if !(KEEP_VERSIONS_S_MIN..=KEEP_VERSIONS_S_MAX).contains(&policy.keep_versions_s) {
        let problem = format!(
            "keep_versions_s is {}, and must be from {KEEP_VERSIONS_S_MIN} to {KEEP_VERSIONS_S_MAX}",
            policy.keep_versions_s
        );
        return Err(LakeError::Policy { problem });
    }
    if !exists(folder) {
        return Ok(None);
    }
    let failed = |error: DeltaTableError| LakeError::delta(table, "clean up", error);
    let mut report = Maintenance::default();

    let mut delta = load(folder, table, None).await?;
    if let Some(done) = compact::compact(table, folder, &delta, policy, now_us).await? {
        report.files_merged = done.files_before;
        report.files_written = done.files_after;
        report.rows_rewritten = done.rows;
        report.bytes_before = done.bytes_before;
        report.bytes_after = done.bytes_after;
        delta = load(folder, table, None).await?;
    }
    let now_ms = now_us / 1_000;
    let (mut delta, files_deleted) = vacuum(delta, policy, now_ms).await.map_err(failed)?;
    report.files_deleted = files_deleted;
    delta.update_state().await.map_err(failed)?;
    report.version = delta.version().unwrap_or_default();
    // Only behind a checkpoint that is on the disk may the log be cut.
    write_checkpoint(table, folder, &delta).await?;
    let keep_ms = policy.keep_versions_s as i64 * 1_000;
    report.log_files_deleted =
        cleanup_expired_logs_for(report.version, delta.log_store().as_ref(), now_ms - keep_ms, None)
            .await
            .map_err(failed)?;
    for staged in [folder.to_path_buf(), disk::log_folder(folder)] {
        report.staged_files_deleted += delete_staged(table, &staged, now_ms - keep_ms)?;
    }
    Ok(Some(report))
}

async fn vacuum(
    delta: DeltaTable,
    policy: &MaintenancePolicy,
    now_ms: i64,
) -> Result<(DeltaTable, usize), DeltaTableError> {
    let keep = try_duration_s_to_duration(policy.keep_versions_s as i64)
        .ok_or_else(|| DeltaTableError::generic("retention out of range"))?;
    let (delta, metrics) = delta
        .vacuum()
        .with_mode(VacuumMode::Full)
        .with_retention_period(keep)
        // The table's own bound is the longest retention; the policy chooses a shorter one.
        .with_enforce_retention_duration(false)
        .with_clock(Arc::new(Now { ms: now_ms }))
        .await?;
    Ok((delta, metrics.files_deleted.len()))
}

/// Deletes old unfinished uploads (`NAME#N`), which the object store hides from vacuum.
fn delete_staged(table: &str, folder: &Path, before_ms: i64) -> Result<usize, LakeError> {
    let mut deleted = 0;
    for name in disk::file_names(table, folder)? {
        let staged = name.rsplit_once('#').is_some_and(|(stem, number)| {
            !stem.is_empty() && !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
        });
        if staged && disk::modified_ms(table, &folder.join(&name))?.is_some_and(|ms| ms < before_ms) {
            deleted += usize::from(disk::delete(table, &folder.join(&name))?);
        }
    }
    Ok(deleted)
}
