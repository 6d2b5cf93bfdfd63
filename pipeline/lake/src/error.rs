//! What can go wrong, and what to do then.

use std::path::{Path, PathBuf};

use deltalake::DeltaTableError;
use schemas::Offset;

/// Why a table could not be opened, appended to or maintained.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The file system refused.
    #[error("table {table}: cannot {doing} {}: {cause}; check the disk and the folder's owner", path.display())]
    Io {
        /// Table concerned.
        table: String,
        /// What was tried.
        doing: &'static str,
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The folder of a table holds something else.
    #[error("table {table}: {} is not empty and holds no Delta table; move its content away", folder.display())]
    Occupied {
        /// Table concerned.
        table: String,
        /// Its folder.
        folder: PathBuf,
    },
    /// The stored table does not fit what this program writes.
    #[error("table {table}: column {column} {problem}; use the program that wrote the table, or another lake")]
    Incompatible {
        /// Table concerned.
        table: String,
        /// Column concerned.
        column: String,
        /// What does not fit.
        problem: String,
    },
    /// Rows do not fit the table. Nothing was committed.
    #[error("table {table}: rows do not fit: {problem}; this is an error of the program that made them")]
    Rows {
        /// Table concerned.
        table: String,
        /// What does not fit.
        problem: String,
    },
    /// Somebody else appended under this app id. Nothing was committed, and this writer must stop.
    #[error(
        "table {table}: {app_id} stands at {}, not at {}: another run writes here; stop this one",
        shown(found),
        shown(expected)
    )]
    Fenced {
        /// Table concerned.
        table: String,
        /// Who is written by two.
        app_id: String,
        /// Frontier that this handle remembers.
        expected: Option<Offset>,
        /// Frontier that the table has; equal to `expected` where only the conflict was seen.
        found: Option<Offset>,
    },
    /// An append whose frontiers do not say which rows it holds: none, one that was not read first, one named twice,
    /// or rows while every frontier stands still.
    #[error(
        "table {table}: append without fence: {problem}; read the frontier of each app id first, and move it with its rows"
    )]
    Unfenced {
        /// Table concerned.
        table: String,
        /// What is wrong with the frontiers.
        problem: String,
    },
    /// A frontier would go back.
    #[error("table {table}: frontier of {app_id} would go back from {from} to {to}; this is an error of the caller")]
    Backwards {
        /// Table concerned.
        table: String,
        /// Whose frontier.
        app_id: String,
        /// Where it stands.
        from: Offset,
        /// Where it would go.
        to: Offset,
    },
    /// Other writers were faster each time. Nothing was committed; the same append may be tried again.
    #[error("table {table}: {attempts} attempts to commit met other commits; try again later")]
    Busy {
        /// Table concerned.
        table: String,
        /// Attempts made.
        attempts: u32,
    },
    /// Schema or protocol changed each time. Nothing was committed; open the table again.
    #[error("table {table}: its schema changed while it was written; open it again")]
    Changed {
        /// Table concerned.
        table: String,
    },
    /// Compaction would have changed the rows. Nothing was committed.
    #[error("table {table}: compaction read {read} rows and wrote {written} of {expected}; check the disk")]
    RowsChanged {
        /// Table concerned.
        table: String,
        /// Rows by the statistics of the files.
        expected: u64,
        /// Rows read from them.
        read: u64,
        /// Rows in the files written.
        written: u64,
    },
    /// A maintenance policy that would break tables or promises.
    #[error("maintenance policy: {problem}")]
    Policy {
        /// What is wrong with it.
        problem: String,
    },
    /// A Parquet file of a table could not be read.
    #[error("table {table}: cannot read {}: {cause}; restore the file or the lake", path.display())]
    Parquet {
        /// Table concerned.
        table: String,
        /// File concerned.
        path: PathBuf,
        /// What the reader said.
        cause: parquet::errors::ParquetError,
    },
    /// Delta refused. After a failed append it is not known whether the commit landed: open the table again and read
    /// its frontier.
    #[error("table {table}: cannot {doing}: {cause}; open the table again, and if it lasts restore its log")]
    Delta {
        /// Table concerned.
        table: String,
        /// What was tried.
        doing: &'static str,
        /// What Delta said.
        cause: Box<DeltaTableError>,
    },
    /// The session over the lake could not be built.
    #[error("cannot build the session for {name}: {problem}")]
    Session {
        /// Table or view concerned.
        name: String,
        /// What DataFusion said.
        problem: String,
    },
}

impl LakeError {
    pub(crate) fn io(table: &str, doing: &'static str, path: &Path, cause: std::io::Error) -> LakeError {
        LakeError::Io { table: table.to_string(), doing, path: path.to_path_buf(), cause }
    }

    pub(crate) fn delta(table: &str, doing: &'static str, cause: DeltaTableError) -> LakeError {
        LakeError::Delta { table: table.to_string(), doing, cause: Box::new(cause) }
    }
}

/// Why a query got no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The statement would change something; the lake is read only for SQL.
    #[error("refused: {what}; only SELECT, EXPLAIN and SHOW are allowed here")]
    Refused {
        /// What was asked for.
        what: String,
    },
    /// A table or column of this name does not exist.
    #[error("{problem}{}", nearest.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
    UnknownName {
        /// What was looked for.
        problem: String,
        /// The nearest name that exists, where one is near enough.
        nearest: Option<String>,
    },
    /// The statement cannot be understood.
    #[error("{problem}")]
    Invalid {
        /// What the parser or planner said.
        problem: String,
    },
    /// Running the query failed.
    #[error("the query failed: {problem}")]
    Failed {
        /// What went wrong.
        problem: String,
    },
}

fn shown(frontier: &Option<Offset>) -> String {
    frontier.map_or_else(|| "no offset".to_string(), |offset| format!("offset {offset}"))
}
