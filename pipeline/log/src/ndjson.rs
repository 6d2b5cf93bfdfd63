//! NDJSON: one JSON object a line, read a chunk of lines at a time; [`crate::json`] says what an object becomes.

use std::ops::Range;
use std::path::Path;

use arrow::datatypes::SchemaRef;

use crate::gather::{Gathered, Place, Source};
use crate::identity::{FileIdentity, Prefix};
use crate::json::{JsonRows, OBJECTS_MAX, Text, fault};
use crate::lines::{Found, Lines, Quotes};
use crate::{LogError, reason};

/// Bytes of lines after which a chunk takes no further line.
const CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An NDJSON file.
pub(crate) struct NdjsonFile {
    lines: Lines,
    rows: u64,
    place: Place,
    json: JsonRows,
    text: Vec<u8>,
}

impl NdjsonFile {
    /// Opens a file after what was read of it.
    pub(crate) fn open(path: &Path, name: &str, schema: &SchemaRef, rows: u64, read: Prefix) -> Result<Self, LogError> {
        Ok(Self {
            lines: Lines::open(path, Quotes::Plain, read).map_err(LogError::file(name))?,
            rows,
            place: Place { file: name.to_string(), unit: "line" },
            json: JsonRows::new(schema)?,
            text: Vec::new(),
        })
    }
}

impl Source for NdjsonFile {
    fn read(&mut self, rows_max: usize, gathered: &mut Gathered) -> Result<usize, LogError> {
        self.text.clear();
        let mut lines: Vec<(u64, Range<usize>)> = Vec::new();
        let first_row = self.rows;
        let rows_end = first_row + rows_max.min(OBJECTS_MAX) as u64;
        while self.rows < rows_end && self.text.len() < CHUNK_BYTES_MAX {
            let start = self.text.len();
            let found = self.lines.next(&mut self.text).map_err(LogError::file(&self.place.file))?;
            let Some(found) = found else { break };
            let wrong = match found {
                Found::TooLong => Some((reason::LINE_TOO_LONG, "longer than 1 MiB")),
                Found::Record | Found::Unclosed => fault(&self.text[start..]),
            };
            match wrong {
                None => lines.push((self.rows, start..self.text.len())),
                Some((reason, cause)) => gathered.reject(Some(&self.place), self.rows, reason, cause),
            }
            self.rows += 1;
        }
        gathered.text_bytes += self.text.len();
        let texts: Vec<Text<'_>> = lines.into_iter().map(|(row, text)| Text { row, text: &self.text[text] }).collect();
        self.json.decode(&texts, Some(&self.place), gathered)?;
        Ok(usize::try_from(self.rows - first_row).expect("no more than rows_max were read"))
    }

    fn identity(&self) -> FileIdentity {
        FileIdentity {
            name: self.place.file.clone(),
            rows: self.rows,
            bytes: self.lines.read.bytes,
            sha256: self.lines.read.sha256(),
            open_end: self.lines.read.open_end,
        }
    }

    fn bytes_read(&self) -> u64 {
        self.lines.read.bytes
    }
}

#[cfg(test)]
pub(crate) mod tests;
