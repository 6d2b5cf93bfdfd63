//! What can stop a simulation.

use std::path::{Path, PathBuf};

/// Why a town could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The plan is empty or larger than the bounds that are set out at [`crate::Plan`].
    #[error("a town needs {what} between 1 and {max}, not {found}: choose another number")]
    Plan {
        /// Which part of the plan.
        what: &'static str,
        /// What was asked for.
        found: u32,
        /// Largest number allowed.
        max: u32,
    },
    /// The plan of the handbook's simulation is outside the bounds set out at [`crate::handbook::HandbookPlan`].
    #[error("the handbook's simulation needs {what} {allowed}, not {found}: choose another")]
    HandbookPlan {
        /// Which part of the plan.
        what: &'static str,
        /// What is allowed.
        allowed: String,
        /// What was asked for.
        found: String,
    },
    /// The folder holds another town; writing into it would mix two.
    #[error("{} holds {found}, but {wanted} was asked for: choose another folder", path.display())]
    OtherPlan {
        /// The input folder.
        path: PathBuf,
        /// What lies there.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// A file could not be read, written or renamed.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A Parquet file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Parquet {
        /// Which file.
        path: PathBuf,
        /// Why it failed.
        source: parquet::errors::ParquetError,
    },
    /// A CSV file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Csv {
        /// Which file.
        path: PathBuf,
        /// Why it failed.
        source: arrow::error::ArrowError,
    },
    /// More events wait for their time than [`crate::IN_FLIGHT_MAX`].
    #[error("more than {max} events are in flight: simulate fewer merchants")]
    TooManyInFlight {
        /// The bound.
        max: usize,
    },
    /// A reader has used all of its key counters.
    #[error("reader {reader_id} has used up its key counters: simulate fewer days")]
    ReaderWornOut {
        /// Which reader.
        reader_id: String,
    },
}

impl SimulatorError {
    /// For `map_err` on file operations.
    pub(crate) fn file<'path>(doing: &'static str, path: &'path Path) -> impl FnOnce(std::io::Error) -> Self + 'path {
        move |source| Self::File { doing, path: path.to_path_buf(), source }
    }
}
