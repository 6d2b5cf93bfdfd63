//! What was read of a log, so that a restart over other input is noticed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::LogError;

/// Bytes of a file that are hashed at a time.
const HASH_BUFFER_BYTES: usize = 256 * 1024;

/// What was read of a log: its files in order, up to the one that holds the last record read. An in-memory log has
/// none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogIdentity {
    /// Files in order of name.
    pub files: Vec<FileIdentity>,
}

impl LogIdentity {
    /// Number of records read: the offset that follows them.
    pub fn rows(&self) -> i64 {
        let rows = self.files.iter().map(|file| file.rows).fold(0, u64::saturating_add);
        i64::try_from(rows).unwrap_or(i64::MAX)
    }
}

/// What was read of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Name in the folder.
    pub name: String,
    /// Records read, rejected ones too.
    pub rows: u64,
    /// Bytes that those records take, from the start of the file; of Parquet and Avro the whole file.
    pub bytes: u64,
    /// SHA-256 of those bytes.
    pub sha256: [u8; 32],
    /// Whether more bytes at the end of the file would have changed the last record read: it has no line end.
    pub open_end: bool,
}

/// Hash of the first bytes of a file, ready to go on.
#[derive(Clone, Default)]
pub(crate) struct Prefix {
    pub(crate) bytes: u64,
    /// Whether the last record in them has no line end.
    pub(crate) open_end: bool,
    hash: Sha256,
}

impl Prefix {
    /// Reads and hashes at most `bytes_max` bytes from the start of a file.
    pub(crate) fn read(path: &Path, name: &str, bytes_max: u64) -> Result<Self, LogError> {
        let fail = LogError::file(name);
        let mut input = File::open(path).map_err(&fail)?.take(bytes_max);
        let mut prefix = Self::default();
        let mut buffer = vec![0; HASH_BUFFER_BYTES];
        loop {
            let read = input.read(&mut buffer).map_err(&fail)?;
            if read == 0 {
                return Ok(prefix);
            }
            prefix.add(&buffer[..read]);
        }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    pub(crate) fn sha256(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }
}
