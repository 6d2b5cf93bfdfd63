//! Why a log cannot be read, or must not be read on.

use std::io;
use std::path::PathBuf;

use schemas::Offset;

/// Why a log cannot be read, or must not be read on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The folder cannot be listed.
    #[error("input folder {}: {source}; name a folder that exists and may be read", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Something in the folder is no input file.
    #[error(
        "{}: not an input file (.ndjson, .avro, .parquet or .csv); move it away, or end its name in .partial while it is being written",
        path.display()
    )]
    NotInput {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be opened or read.
    #[error("input file {file}: {source}")]
    File {
        /// Name in the folder.
        file: String,
        /// Cause.
        source: io::Error,
    },
    /// A file is not what its ending says or is damaged. Its records cannot be counted, so later offsets would change.
    #[error(
        "input file {file}: {cause}; replace it with an undamaged copy of the same records, or move it away if nothing was read of it"
    )]
    Format {
        /// Name in the folder.
        file: String,
        /// What is wrong.
        cause: String,
    },
    /// No record of a file can become a row, since its columns are not the topic's.
    #[error("input file {file}: {cause}; its columns are {found}; name those that are needed {needed}")]
    Columns {
        /// Name of the file.
        file: String,
        /// What is wrong.
        cause: String,
        /// Names of the file's columns.
        found: String,
        /// The columns that a record needs, with their other spellings.
        needed: String,
    },
    /// The topic has a column that the file log cannot fill.
    #[error("column {column} has type {data_type}, which a file log cannot fill; read this topic from another log")]
    Column {
        /// The column.
        column: String,
        /// Its type.
        data_type: String,
    },
    /// There is no such topic.
    #[error("no topic is called {topic}; name one of the topics of this program")]
    Topic {
        /// What was asked for.
        topic: String,
    },
    /// A schema that is to come into force cannot be had or does not fit the topic. Records written with it would be
    /// lost.
    #[error(
        "schema {schema} cannot come into force on topic {topic}: {reason}; publish one that fits, or put its text where this process looks for it"
    )]
    Schema {
        /// The topic.
        topic: &'static str,
        /// The schema's number and hash.
        schema: String,
        /// Why not.
        reason: String,
    },
    /// Frames are to be written on a topic whose schema has no number.
    #[error(
        "no registry has numbered the schema of topic {topic}, so no frames can be written on it; register it first"
    )]
    Unregistered {
        /// The topic.
        topic: String,
    },
    /// Rows do not have the topic's schema.
    #[error("rows do not have the topic's schema: {0}")]
    Rows(#[from] arrow::error::ArrowError),
    /// A file of which records were read is gone.
    #[error("input file {file} was read before and is gone; put it back")]
    Missing {
        /// Name in the folder.
        file: String,
    },
    /// A file is shorter than what was read of it.
    #[error("input file {file} has {bytes} bytes now, but {bytes_read} were read before; put the earlier file back")]
    Shortened {
        /// Name in the folder.
        file: String,
        /// Bytes now.
        bytes: u64,
        /// Bytes read before.
        bytes_read: u64,
    },
    /// What was read of a file has changed.
    #[error(
        "input file {file} is not what was read before: its first {bytes_read} bytes have another SHA-256; put the earlier file back"
    )]
    Changed {
        /// Name in the folder.
        file: String,
        /// Bytes read before.
        bytes_read: u64,
    },
    /// A file grew although later offsets, or its own last record, forbid it.
    #[error("input file {file} has grown, but {cause}; put the earlier file back and the new records into a new file")]
    Grown {
        /// Name in the folder.
        file: String,
        /// Why it must not grow.
        cause: &'static str,
    },
    /// A new file sorts before one that was read.
    #[error(
        "new input file {file} is mis-sorted: {last_read} was read before; give it a name that sorts after that one"
    )]
    MisSorted {
        /// Name in the folder.
        file: String,
        /// Last file of which something was read.
        last_read: String,
    },
    /// The identity does not describe what lies below the offset.
    #[error(
        "the log's identity covers the records below {covered}, but reading was to go on at {offset}; start from another snapshot"
    )]
    Position {
        /// Offset after the identity's last record.
        covered: i64,
        /// Offset asked for.
        offset: Offset,
    },
}

impl LogError {
    /// Whether the input is not what was read before, so that going on could lose or double something (exit code 3).
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Missing { .. }
            | Self::Shortened { .. }
            | Self::Changed { .. }
            | Self::Grown { .. }
            | Self::MisSorted { .. }
            | Self::Position { .. }
            | Self::Schema { .. } => true,
            Self::Folder { .. }
            | Self::NotInput { .. }
            | Self::File { .. }
            | Self::Format { .. }
            | Self::Columns { .. }
            | Self::Column { .. }
            | Self::Topic { .. }
            | Self::Unregistered { .. }
            | Self::Rows(_) => false,
        }
    }

    /// Makes errors of one file from input/output errors.
    pub(crate) fn file(file: &str) -> impl Fn(io::Error) -> Self + '_ {
        move |source| Self::File { file: file.to_string(), source }
    }
}
