//! The lake: one Delta table for each [`schemas::tables::TableSpec`], in a folder of its own under the lake's folder.
//!
//! Three things are done here and nowhere else: opening or creating a table, appending rows together with the input
//! offsets that they stand for in one commit ([`Table`]), and building the DataFusion session that reads the lake
//! ([`Session`]). Besides it keeps tables in shape ([`Lake::maintain`]). It may depend on Delta, DataFusion, tokio and
//! the local file system, since it syncs what it commits to the disk. It knows neither units nor logs, and it refuses
//! an append whose offsets are not those that it read before, rows without offsets, and SQL that changes anything.
//!
//! [`Lake`] and [`Table`] are synchronous and wait on the runtime that they were given, so they must not be called
//! from inside that runtime's own tasks; [`Session`] is asynchronous. The runtime must be a multi-threaded one.

mod commit;
mod compact;
mod create;
mod disk;
mod error;
mod functions;
mod inspect;
mod listing;
mod maintain;
mod session;
mod table;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemas::tables::TableSpec;
use tokio::runtime::Handle;

pub use error::{LakeError, QueryError};
pub use inspect::Inspection;
pub use listing::{ColumnListing, Kind, TableListing};
pub use maintain::{KEEP_VERSIONS_S_MAX, KEEP_VERSIONS_S_MIN, Maintenance, MaintenancePolicy};
pub use session::{Session, moment, open_session};
pub use table::{Committed, Table};

/// Moments of an append at which a fault test may want to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitPoint {
    /// Nothing is written yet.
    BeforeUpload,
    /// The Parquet files lie in the table's folder; no commit names them.
    AfterUpload,
    /// The commit lies in the table's log, and nobody has been told.
    AfterCommit,
}

/// Called with a table's name at each [`CommitPoint`] of its appends.
pub type CommitHook = Arc<dyn Fn(&str, CommitPoint) + Send + Sync>;

/// A folder of Delta tables, opened for writing and maintenance.
#[derive(Clone)]
pub struct Lake {
    folder: PathBuf,
    runtime: Handle,
    hook: Option<CommitHook>,
}

impl Lake {
    /// Opens the lake in this folder and makes the folder if it is missing. Tables are opened one by one.
    pub fn open(folder: &Path, runtime: Handle) -> Result<Lake, LakeError> {
        std::fs::create_dir_all(folder).map_err(|cause| LakeError::io("the lake", "make the folder", folder, cause))?;
        let folder = folder.canonicalize().map_err(|cause| LakeError::io("the lake", "resolve", folder, cause))?;
        Ok(Lake { folder, runtime, hook: None })
    }

    /// The same lake with a hook that appends of its tables call.
    pub fn with_commit_hook(mut self, hook: CommitHook) -> Lake {
        self.hook = Some(hook);
        self
    }

    /// Where the lake lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens a table for appending: creates it if it is missing and adds columns that its stored schema lacks.
    pub fn table(&self, spec: &TableSpec) -> Result<Table, LakeError> {
        let folder = self.folder.join(spec.name);
        let delta = self.runtime.block_on(create::open_or_create(&folder, spec))?;
        Ok(Table::new(spec.name, folder, delta, self.runtime.clone(), self.hook.clone()))
    }

    /// Keeps one table in shape: merges small files, writes a checkpoint, removes what no version younger than the
    /// policy's retention needs. `None` when the table does not exist.
    ///
    /// `now_us` is the present in microseconds since the epoch, by which ages are judged; a false one can remove files
    /// that somebody still reads or is about to commit.
    pub fn maintain(
        &self,
        spec: &TableSpec,
        policy: &MaintenancePolicy,
        now_us: i64,
    ) -> Result<Option<Maintenance>, LakeError> {
        self.runtime.block_on(maintain::maintain(&self.folder.join(spec.name), spec, policy, now_us))
    }
}

#[cfg(test)]
mod tests;
