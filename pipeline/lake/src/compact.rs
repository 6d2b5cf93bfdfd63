//! Merging small files: the same rows in fewer files, by a commit that says that no data changed.
//!
//! Delta's own optimize is not used. Two of it from one snapshot both land and double the rows, since its conflict
//! check passes over removes that change no data; here a `txn` of the app id [`COMPACTOR`] refuses the second one.

use std::fs::File;
use std::path::Path;

use deltalake::kernel::{Action, Remove, Transaction};
use deltalake::protocol::DeltaOperation;
use deltalake::{DeltaTable, DeltaTableError};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use crate::commit::{Conflict, Nonces, commit, conflict, landed};
use crate::create::load;
use crate::maintain::MaintenancePolicy;
use crate::write::{FILE_BYTES_MAX, FileWriter, byte_count, record_count};
use crate::{LakeError, disk};

/// App id under which compactions of a table exclude each other.
pub(crate) const COMPACTOR: &str = "compactor";

/// What one compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Compaction {
    pub(crate) files_before: usize,
    pub(crate) files_after: usize,
    pub(crate) rows: u64,
    pub(crate) bytes_before: u64,
    pub(crate) bytes_after: u64,
}

/// A file chosen to be merged with others.
struct Chosen {
    /// Least offset in it, so that merged files keep the order of the log as far as they can.
    first_offset: i64,
    path: String,
    rows: u64,
    bytes: u64,
    remove: Remove,
}

/// Merges the small files of the handle's snapshot, if they are many enough, in one commit. The handle is left at its
/// snapshot. `None` when there was nothing to do.
pub(crate) async fn compact(
    table: &str,
    folder: &Path,
    delta: &DeltaTable,
    policy: &MaintenancePolicy,
    now_us: i64,
) -> Result<Option<Compaction>, LakeError> {
    let failed = |error| LakeError::delta(table, "compact", error);
    let chosen = choose(delta, policy, now_us).map_err(failed)?;
    if chosen.len() < policy.files_min.max(2) {
        return Ok(None);
    }
    let mut writer = FileWriter::new(table, folder, delta)?;
    let mut read = 0;
    for file in &chosen {
        read += copy(table, &folder.join(&file.path), &mut writer).await?;
    }
    let mut adds = writer.finish().await?;
    let expected = chosen.iter().map(|file| file.rows).sum();
    let written = record_count(&adds);
    if read != expected || written != expected {
        return Err(LakeError::RowsChanged { table: table.to_string(), expected, read, written });
    }
    for add in &mut adds {
        add.data_change = false;
    }
    let report = Compaction {
        files_before: chosen.len(),
        files_after: adds.len(),
        rows: expected,
        bytes_before: chosen.iter().map(|file| file.bytes).sum(),
        bytes_after: byte_count(&adds),
    };

    let state = delta.snapshot().map_err(failed)?;
    let count = state.transaction_version(delta.log_store().as_ref(), COMPACTOR).await.map_err(failed)?;
    let transaction = Transaction::new(COMPACTOR, count.unwrap_or_default() + 1);
    let removes = chosen.into_iter().map(|file| Action::Remove(file.remove));
    let actions = removes.chain(adds.into_iter().map(Action::Add)).collect();
    let operation = DeltaOperation::Optimize { predicate: None, target_size: FILE_BYTES_MAX as i64 };
    let version = land(table, folder, delta, actions, transaction, operation).await?;
    disk::sync_commit(table, folder, version)?;
    Ok(Some(report))
}

async fn land(
    table: &str,
    folder: &Path,
    delta: &DeltaTable,
    actions: Vec<Action>,
    transaction: Transaction,
    operation: DeltaOperation,
) -> Result<u64, LakeError> {
    let nonce = Nonces::new().next();
    let error = match commit(delta, actions, vec![transaction], operation, &nonce).await {
        Ok(done) => return Ok(done.version),
        Err(error) => error,
    };
    let before_version = delta.version().unwrap_or_default();
    let newest = load(folder, table, None).await?;
    let found = landed(&newest, &nonce, before_version).await;
    if let Some(version) = found.map_err(|error| LakeError::delta(table, "read the log", error))? {
        return Ok(version);
    }
    let (table_name, app_id) = (table.to_string(), COMPACTOR.to_string());
    Err(match conflict(&error) {
        Conflict::SameApp => LakeError::Fenced { table: table_name, app_id, expected: None, found: None },
        Conflict::Changed => LakeError::Changed { table: table_name },
        Conflict::Busy => LakeError::Busy { table: table_name, attempts: 1 },
        Conflict::Unclear => LakeError::delta(table, "compact", error),
    })
}

/// The small files in the order of the log, as many as one round takes.
fn choose(delta: &DeltaTable, policy: &MaintenancePolicy, now_us: i64) -> Result<Vec<Chosen>, DeltaTableError> {
    let mut chosen = Vec::new();
    for file in delta.snapshot()?.log_data().iter() {
        let bytes = u64::try_from(file.size()).unwrap_or_default();
        let Some(rows) = file.num_records() else { continue };
        if bytes >= policy.small_file_bytes || file.deletion_vector_descriptor().is_some() {
            continue;
        }
        let mut remove = file.remove_action(false);
        remove.deletion_timestamp = Some(now_us / 1_000);
        let first_offset = file.stats().as_deref().and_then(first_offset).unwrap_or_default();
        chosen.push(Chosen { first_offset, path: file.path().into_owned(), rows: rows as u64, bytes, remove });
    }
    chosen.sort_by(|a, b| (a.first_offset, &a.path).cmp(&(b.first_offset, &b.path)));
    chosen.truncate(policy.files_max);
    Ok(chosen)
}

fn first_offset(statistics: &str) -> Option<i64> {
    let statistics: serde_json::Value = serde_json::from_str(statistics).ok()?;
    statistics["minValues"][schemas::tables::SOURCE_OFFSET].as_i64()
}

/// Writes all rows of a file again; returns their number.
async fn copy(table: &str, path: &Path, writer: &mut FileWriter<'_>) -> Result<u64, LakeError> {
    let unreadable =
        |cause: ParquetError| LakeError::Parquet { table: table.to_string(), path: path.to_path_buf(), cause };
    let file = File::open(path).map_err(|cause| LakeError::io(table, "open", path, cause))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
    let mut rows = 0;
    for batch in reader.map_err(unreadable)? {
        let batch = batch.map_err(|cause| unreadable(cause.into()))?;
        rows += batch.num_rows() as u64;
        writer.write(&batch).await?;
    }
    Ok(rows)
}
