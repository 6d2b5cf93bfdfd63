//! Splits a text file into records and hashes what it has handed out, in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::identity::Prefix;

/// Longest record in bytes, without its line end. A swipe takes less than 2 KiB.
pub(crate) const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Bytes read from the file at a time.
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Bytes of a record taken at a time, which bounds what a record over the limit costs.
const PIECE_BYTES_MAX: u64 = 64 * 1024;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A record.
    Record,
    /// A record over [`RECORD_BYTES_MAX`], which was skipped.
    TooLong,
    /// A record whose quotes are still open at the end of the file.
    Unclosed,
}

/// Whether quotes may hold line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// Each line is a record.
    Plain,
    /// CSV: a line end inside a quoted field belongs to the field.
    Csv,
}

/// Records of one file.
pub(crate) struct Lines {
    input: BufReader<File>,
    quotes: Quotes,
    /// Everything handed out so far.
    pub(crate) read: Prefix,
}

impl Lines {
    /// Opens a file after what was read of it.
    pub(crate) fn open(path: &Path, quotes: Quotes, read: Prefix) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(read.bytes))?;
        Ok(Self { input: BufReader::with_capacity(READ_BUFFER_BYTES, file), quotes, read })
    }

    /// Appends the next record to `buffer` without its line end (LF or CR LF); nothing of one that is skipped.
    /// `None` at the end of the file.
    pub(crate) fn next(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<Found>> {
        let start = buffer.len();
        let bytes_before = self.read.bytes;
        let mut field = Field::Start;
        let mut is_too_long = false;
        loop {
            let piece_start = buffer.len();
            let read = self.input.by_ref().take(PIECE_BYTES_MAX).read_until(b'\n', buffer)?;
            if read == 0 {
                if self.read.bytes == bytes_before {
                    return Ok(None);
                }
                self.read.open_end = true;
                break;
            }
            let piece = &buffer[piece_start..];
            self.read.add(piece);
            if self.quotes == Quotes::Csv {
                field = piece.iter().fold(field, |field, byte| field.after(*byte));
            }
            let is_complete = piece.ends_with(b"\n") && field != Field::Quoted;
            is_too_long |= buffer.len() - start > RECORD_BYTES_MAX + b"\r\n".len();
            if is_too_long {
                buffer.truncate(start);
            }
            if is_complete {
                self.read.open_end = false;
                break;
            }
        }
        strip_line_end(buffer, start);
        if is_too_long || buffer.len() - start > RECORD_BYTES_MAX {
            buffer.truncate(start);
            return Ok(Some(Found::TooLong));
        }
        if field == Field::Quoted {
            buffer.truncate(start);
            return Ok(Some(Found::Unclosed));
        }
        Ok(Some(Found::Record))
    }
}

fn strip_line_end(buffer: &mut Vec<u8>, start: usize) {
    for end in [b'\n', b'\r'] {
        if buffer.len() > start && buffer.last() == Some(&end) {
            buffer.pop();
        }
    }
}

/// Where in a CSV field a byte stands, as the CSV parser sees it: a quote opens only at the start of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Start,
    Plain,
    Quoted,
    /// A quote inside quotes: their end, or the first of two.
    QuoteInQuotes,
}

impl Field {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::QuoteInQuotes,
            (Self::Start | Self::QuoteInQuotes, b'"') | (Self::Quoted, _) => Self::Quoted,
            (_, b',' | b'\n') => Self::Start,
            _ => Self::Plain,
        }
    }
}

#[cfg(test)]
mod tests;
