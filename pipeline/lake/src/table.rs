//! Appending rows and the offsets that they stand for in one commit.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use deltalake::kernel::{Action, Add, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableError, checkpoints};
use schemas::Offset;
use tokio::runtime::Handle;

use crate::commit::{Conflict, Nonces, commit, conflict, landed};
use crate::create::{CHECKPOINT_COMMITS, load};
use crate::write::{FileWriter, byte_count};
use crate::{CommitHook, CommitPoint, LakeError, disk};

/// Attempts of one append. Each of them already tries fifteen times against commits that do not disturb it.
const ATTEMPTS_MAX: u32 = 4;

/// What an append committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Version of the table that the commit made.
    pub version: u64,
    /// Rows appended.
    pub rows: u64,
    /// Parquet files written.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
}

/// A table opened for appending.
///
/// The handle remembers the frontier of each app id that it was asked for, and commits only while the table still
/// says the same. Two handles that write under one app id can both be open, but only one can go on.
pub struct Table {
    name: &'static str,
    folder: PathBuf,
    pub(crate) delta: DeltaTable,
    runtime: Handle,
    hook: Option<CommitHook>,
    nonces: Nonces,
    /// Frontier of each app id asked for, as this handle last read or wrote it.
    frontiers: BTreeMap<String, Option<Offset>>,
    /// Commits of others came into the snapshot that were never compared with all that this handle remembers.
    unchecked: bool,
}

impl Table {
    pub(crate) fn new(
        name: &'static str,
        folder: PathBuf,
        delta: DeltaTable,
        runtime: Handle,
        hook: Option<CommitHook>,
    ) -> Table {
        let nonces = Nonces::new();
        Table { name, folder, delta, runtime, hook, nonces, frontiers: BTreeMap::new(), unchecked: false }
    }

    /// Name of the table.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Version of the table as this handle sees it.
    pub fn version(&self) -> u64 {
        self.delta.version().unwrap_or_default()
    }

    /// How far an app id (unit/topic/partition) has come: the next offset that the table lacks. `None` if it never
    /// committed here.
    pub fn frontier(&mut self, app_id: &str) -> Result<Option<Offset>, LakeError> {
        if let Some(known) = self.frontiers.get(app_id) {
            return Ok(*known);
        }
        let found = self.runtime.block_on(self.stored_frontier(app_id))?;
        self.frontiers.insert(app_id.to_string(), found);
        Ok(found)
    }

    /// Appends rows and sets the frontiers of their sources, all in one commit; without rows the frontiers alone.
    ///
    /// The files are on the disk before the commit names them, and the commit is on the disk when this returns.
    /// [`Table::frontier`] must have been asked before for each app id. After an error other than `Rows`, `Unfenced`,
    /// `Backwards` and `Busy` open the table again.
    pub fn append(&mut self, rows: &[RecordBatch], frontiers: &[(String, Offset)]) -> Result<Committed, LakeError> {
        self.check_request(rows, frontiers)?;
        let runtime = self.runtime.clone();
        runtime.block_on(self.append_fenced(rows, frontiers))
    }

    fn check_request(&self, rows: &[RecordBatch], frontiers: &[(String, Offset)]) -> Result<(), LakeError> {
        let unfenced = |problem: String| Err(LakeError::Unfenced { table: self.name.to_string(), problem });
        if frontiers.is_empty() {
            return unfenced(format!("{} batches and no offsets", rows.len()));
        }
        let mut moves = false;
        for (index, (app_id, to)) in frontiers.iter().enumerate() {
            if frontiers[..index].iter().any(|(earlier, _)| earlier == app_id) {
                return unfenced(format!("{app_id} is named twice"));
            }
            match self.frontiers.get(app_id) {
                None => return unfenced(format!("the frontier of {app_id} was not asked for")),
                Some(Some(from)) if to < from => {
                    let (table, app_id, from, to) = (self.name.to_string(), app_id.clone(), *from, *to);
                    return Err(LakeError::Backwards { table, app_id, from, to });
                }
                Some(from) => moves |= *from != Some(*to),
            }
        }
        // Else a frontier that stands where it stood would not tell whether the rows are in the table.
        if !moves && rows.iter().any(|batch| batch.num_rows() > 0) {
            return unfenced("rows whose frontiers all stand still".to_string());
        }
        Ok(())
    }

    async fn append_fenced(
        &mut self,
        rows: &[RecordBatch],
        frontiers: &[(String, Offset)],
    ) -> Result<Committed, LakeError> {
        let mut last = Conflict::Busy;
        for _ in 0..ATTEMPTS_MAX {
            self.check_fence().await?;
            self.reach(CommitPoint::BeforeUpload);
            let adds = self.upload(rows).await?;
            self.reach(CommitPoint::AfterUpload);
            let before_version = self.version();
            let nonce = self.nonces.next();
            let version = match self.commit_adds(&adds, frontiers, &nonce).await {
                Ok(version) => Some(version),
                Err(error) => {
                    // A retried request or a failure after the commit looks like a refusal, so look before believing.
                    self.reload().await?;
                    let version = landed(&self.delta, &nonce, before_version).await;
                    let version = version.map_err(|error| LakeError::delta(self.name, "read the log", error))?;
                    last = conflict(&error);
                    match (version, last) {
                        (None, Conflict::SameApp) => return Err(self.fenced(frontiers).await),
                        (None, Conflict::Unclear) => return Err(LakeError::delta(self.name, "commit", error)),
                        (version, _) => version,
                    }
                }
            };
            if let Some(version) = version {
                return self.finish(version, rows, &adds, frontiers).await;
            }
        }
        let table = self.name.to_string();
        Err(match last {
            Conflict::Changed => LakeError::Changed { table },
            _ => LakeError::Busy { table, attempts: ATTEMPTS_MAX },
        })
    }

    /// First half of the fence: the snapshot to commit from says what this handle remembers. The other half is Delta's
    /// own check of the commits after that snapshot, which compares app ids and not offsets.
    async fn check_fence(&mut self) -> Result<(), LakeError> {
        if !self.unchecked {
            return Ok(());
        }
        for (app_id, expected) in &self.frontiers {
            let found = self.stored_frontier(app_id).await?;
            if found != *expected {
                let (table, app_id, expected) = (self.name.to_string(), app_id.clone(), *expected);
                return Err(LakeError::Fenced { table, app_id, expected, found });
            }
        }
        self.unchecked = false;
        Ok(())
    }

    async fn stored_frontier(&self, app_id: &str) -> Result<Option<Offset>, LakeError> {
        let failed = |error| LakeError::delta(self.name, "read the frontier", error);
        let state = self.delta.snapshot().map_err(failed)?;
        let stored = state.transaction_version(self.delta.log_store().as_ref(), app_id).await.map_err(failed)?;
        Ok(stored.map(Offset))
    }

    async fn upload(&self, rows: &[RecordBatch]) -> Result<Vec<Add>, LakeError> {
        if rows.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(Vec::new());
        }
        let mut writer = FileWriter::new(self.name, &self.folder, &self.delta)?;
        for batch in rows {
            writer.write(batch).await?;
        }
        writer.finish().await
    }

    async fn commit_adds(
        &mut self,
        adds: &[Add],
        frontiers: &[(String, Offset)],
        nonce: &str,
    ) -> Result<u64, DeltaTableError> {
        let actions = adds.iter().cloned().map(Action::Add).collect();
        let transactions = frontiers.iter().map(|(app_id, offset)| Transaction::new(app_id, offset.0)).collect();
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        let before_version = self.version();
        let done = commit(&self.delta, actions, transactions, operation, nonce).await?;
        self.delta.state = Some(done.snapshot);
        // Delta compared the commits in between with the app ids of this commit only.
        self.unchecked |= done.version > before_version + 1;
        Ok(done.version)
    }

    /// The commit is in the log: remember it, sync it, and after every so many commits write a checkpoint.
    async fn finish(
        &mut self,
        version: u64,
        rows: &[RecordBatch],
        adds: &[Add],
        frontiers: &[(String, Offset)],
    ) -> Result<Committed, LakeError> {
        for (app_id, offset) in frontiers {
            self.frontiers.insert(app_id.clone(), Some(*offset));
        }
        self.reach(CommitPoint::AfterCommit);
        disk::sync_commit(self.name, &self.folder, version)?;
        if (version + 1).is_multiple_of(CHECKPOINT_COMMITS) {
            // The rows are safe without it, and the next one makes up for it.
            if let Err(error) = write_checkpoint(self.name, &self.folder, &self.delta).await {
                tracing::warn!(table = self.name, version, %error, "no checkpoint written");
            }
            self.reload().await?;
        }
        let rows = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        Ok(Committed { version, rows, files: adds.len(), bytes: byte_count(adds) })
    }

    /// Loads the newest version anew, which drops what a handle gathers over many commits.
    pub(crate) async fn reload(&mut self) -> Result<(), LakeError> {
        self.delta = load(&self.folder, self.name, None).await?;
        self.unchecked = true;
        Ok(())
    }

    async fn fenced(&mut self, frontiers: &[(String, Offset)]) -> LakeError {
        if let Err(error) = self.check_fence().await {
            return error;
        }
        // The other writer set the same frontier again: its commit still was not ours.
        let app_id = frontiers.first().map(|(app_id, _)| app_id.clone()).unwrap_or_default();
        let expected = self.frontiers.get(&app_id).copied().flatten();
        LakeError::Fenced { table: self.name.to_string(), app_id, expected, found: expected }
    }

    fn reach(&self, point: CommitPoint) {
        if let Some(hook) = &self.hook {
            hook(self.name, point);
        }
    }
}

/// Writes a checkpoint of the handle's version, unless there is one, and syncs it: whoever wrote it may have been killed
/// before its own sync.
pub(crate) async fn write_checkpoint(
    table: &str,
    folder: &std::path::Path,
    delta: &DeltaTable,
) -> Result<(), LakeError> {
    let version = delta.version().unwrap_or_default();
    if disk::checkpoint_files(table, folder, version)?.is_empty() {
        checkpoints::create_checkpoint(delta, None)
            .await
            .map_err(|error| LakeError::delta(table, "write a checkpoint", error))?;
    }
    let log = disk::log_folder(folder);
    for name in disk::checkpoint_files(table, folder, version)? {
        disk::sync(table, &log.join(name))?;
    }
    disk::sync(table, &log)
}
