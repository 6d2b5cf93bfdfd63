//! Drives a chain of units over one partition of a log: batches in, table commits and snapshots out.
//!
//! The runner keeps the promises of exactly-once processing: it plans a start from snapshots and table frontiers,
//! replays, suppresses what a table already holds, commits rows together with their frontier, and writes snapshots
//! that no table lags behind. It knows units only through [`schemas::unit::Unit`], logs through [`log::LogReader`]
//! and tables through [`Tables`]; it refuses to know Kafka, Delta or any rule of payments.

mod buffer;
mod chain;
mod drive;
pub mod group;
mod snapshot;

pub use chain::Chain;
pub use drive::{OpenLog, Progress, Report, Settings, Surroundings, run};
pub use snapshot::{Snapshot, SnapshotLabel, SnapshotStore, Snapshots, StoredSnapshot, Unfit, Writing, find_start};

use arrow::array::RecordBatch;
use schemas::Offset;

/// Where the rows go: tables whose commits hold rows and frontiers together.
pub trait Tables {
    /// The commit frontier of `app_id` in `table`: everything below it is in the table. `None`: never committed.
    fn frontier(&mut self, table: &str, app_id: &str) -> Result<Option<Offset>, TableError>;

    /// Commits rows (possibly none) and the new frontier of each app id in one step. Fenced: another writer with one of
    /// the app ids makes this fail and nothing is written.
    fn commit(&mut self, table: &str, rows: &[RecordBatch], frontiers: &[(String, Offset)]) -> Result<(), TableError>;

    /// Forgets every frontier that was asked for: another process may have written since.
    fn refresh(&mut self);
}

/// A table could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("table {table}: {reason}")]
pub struct TableError {
    /// Which table.
    pub table: String,
    /// What went wrong and what to do.
    pub reason: String,
    /// Somebody else writes under the same name: going on could double rows.
    pub fenced: bool,
}

/// Why a run ended early. Nothing that was committed is lost or doubled by any of them.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// Going on could lose or double something.
    #[error("refused to start: {0}")]
    Refused(#[from] frontier::Refusal),
    /// The frontier rules found a mistake of this program.
    #[error("frontier rule broken: {0}")]
    Frontier(#[from] frontier::FrontierError),
    /// The input cannot be read, or is not the input that was read before.
    #[error(transparent)]
    Log(#[from] log::LogError),
    /// A table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A unit cannot go on.
    #[error(transparent)]
    Unit(#[from] schemas::unit::UnitError),
    /// A snapshot cannot be read or written.
    #[error("snapshot {path}: {reason}")]
    Snapshot {
        /// The file.
        path: String,
        /// What went wrong and what to do.
        reason: String,
    },
    /// A control record names a bundle that is not there.
    #[error("the control record at offset {offset} names the bundle {hash}, which cannot be loaded: {reason}")]
    Bundle {
        /// Where the record lies.
        offset: Offset,
        /// The bundle's hash.
        hash: String,
        /// What is missing and where it was looked for.
        reason: String,
    },
    /// The group or its log cannot be used before somebody acts.
    #[error(transparent)]
    Group(#[from] log::group::GroupError),
    /// One failure after the other and no commit in between.
    #[error("no progress after {failures} failures in a row, the last was {last}; see to that and start again")]
    Stuck {
        /// How many.
        failures: u32,
        /// What the last one said.
        last: String,
    },
    /// Rows do not fit the schema that their unit declared.
    #[error("rows of output {output} do not fit: {reason}")]
    Rows {
        /// The output.
        output: String,
        /// Why.
        reason: String,
    },
}

impl RunnerError {
    /// Whether the run stopped because going on could lose or double something (exit code 3).
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Bundle { .. } => true,
            Self::Log(error) => error.is_refusal(),
            Self::Table(error) => error.fenced,
            Self::Unit(error) => matches!(error, schemas::unit::UnitError::NotLoadable { .. }),
            Self::Group(error) => error.is_refusal(),
            Self::Frontier(_) | Self::Snapshot { .. } | Self::Rows { .. } | Self::Stuck { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests;
