//! CSV: comma separated, a header line that names the columns, one record an offset.
//!
//! Columns are found by name in their usual spellings, others are ignored; an empty field is null. A record of the
//! wrong length is rejected, since nobody can say which field is missing.

use std::path::Path;

use arrow::array::StringBuilder;
use arrow::datatypes::SchemaRef;
use csv_core::{ReadRecordResult, Reader};

use crate::convert::{Column, Times, from_text};
use crate::gather::{Gathered, Mismatch, Place, Source};
use crate::identity::{FileIdentity, Prefix};
use crate::lines::{Found, Lines, Quotes};
use crate::screen::screen;
use crate::{LogError, names, reason};

/// Records converted at a time.
const CHUNK_RECORDS_MAX: usize = 1_024;
/// Bytes of records after which a chunk takes no further record.
const CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most columns that a file may have.
const COLUMNS_MAX: usize = 1_024;

/// A CSV file.
pub(crate) struct CsvFile {
    lines: Lines,
    rows: u64,
    place: Place,
    schema: SchemaRef,
    /// For each column of the topic the field of a record.
    positions: Vec<Option<usize>>,
    /// Columns that the header lacks, and those that it names, comma separated.
    missing: String,
    named: String,
    fields: Fields,
    field_count: usize,
    record: Vec<u8>,
}

impl CsvFile {
    /// Opens a file after what was read of it.
    pub(crate) fn open(
        path: &Path,
        name: &str,
        schema: &SchemaRef,
        rows: u64,
        read: Option<Prefix>,
    ) -> Result<Self, LogError> {
        let fail = LogError::file(name);
        let header_failed = |cause: &str| LogError::Format { file: name.to_string(), cause: cause.to_string() };
        let mut lines = Lines::open(path, Quotes::Csv, Prefix::default()).map_err(&fail)?;
        let mut record = Vec::new();
        let mut fields = Fields { reader: Reader::new(), text: Vec::new(), ends: vec![0; COLUMNS_MAX] };
        let names: Vec<String> = match lines.next(&mut record).map_err(&fail)? {
            None => Vec::new(),
            Some(Found::Record) => {
                let count =
                    fields.split(&mut record).ok_or_else(|| header_failed("its header has too many columns"))?;
                (0..count).map(|index| String::from_utf8_lossy(fields.get(index)).into_owned()).collect()
            }
            Some(Found::TooLong | Found::Unclosed) => return Err(header_failed("its header does not end")),
        };
        if let Some(read) = read {
            lines = Lines::open(path, Quotes::Csv, read).map_err(&fail)?;
        }
        let positions = names::positions(schema, &names);
        fields.ends.truncate(names.len());
        Ok(Self {
            lines,
            rows,
            place: Place { file: name.to_string(), unit: "record" },
            schema: schema.clone(),
            missing: names::missing(schema, &positions),
            named: names.join(","),
            positions,
            fields,
            field_count: names.len(),
            record,
        })
    }

    /// What is wrong with the record at hand before its values are looked at. Splits it into fields.
    fn fault(&mut self, found: Found) -> Option<(&'static str, String)> {
        let fault = |reason, cause: &str| Some((reason, cause.to_string()));
        match found {
            Found::TooLong => return fault(reason::LINE_TOO_LONG, "longer than 1 MiB"),
            Found::Unclosed => return fault(reason::UNCLOSED_QUOTE, "a quote opens that does not close"),
            Found::Record if self.record.is_empty() => return fault(reason::EMPTY_LINE, "nothing on it"),
            Found::Record if std::str::from_utf8(&self.record).is_err() => {
                return fault(reason::BAD_UTF8, "not UTF-8");
            }
            Found::Record => {}
        }
        if !self.missing.is_empty() {
            return Some((reason::MISSING_COLUMN, format!("the header does not name {}", self.missing)));
        }
        if self.fields.split(&mut self.record) != Some(self.field_count) {
            let cause = format!("not {} fields as in the header", self.field_count);
            return Some((reason::WRONG_FIELD_COUNT, cause));
        }
        None
    }
}

impl Source for CsvFile {
    fn read(&mut self, rows_max: usize, gathered: &mut Gathered) -> Result<usize, LogError> {
        let first_row = self.rows;
        let bytes_before = self.lines.read.bytes;
        let rows_end = first_row + rows_max.min(CHUNK_RECORDS_MAX) as u64;
        let mut texts: Vec<StringBuilder> = self.positions.iter().map(|_| StringBuilder::new()).collect();
        let mut rows = Vec::new();
        while self.rows < rows_end && self.lines.read.bytes - bytes_before < CHUNK_BYTES_MAX as u64 {
            self.record.clear();
            let found = self.lines.next(&mut self.record).map_err(LogError::file(&self.place.file))?;
            let Some(found) = found else { break };
            gathered.text_bytes += self.record.len();
            if let Some((reason, cause)) = self.fault(found) {
                gathered.reject(Some(&self.place), self.rows, reason, &cause);
            } else {
                rows.push(self.rows);
                for (text, position) in texts.iter_mut().zip(&self.positions) {
                    text.append_option(position.and_then(|position| self.fields.text(position)));
                }
            }
            self.rows += 1;
        }
        let texts = texts.iter_mut().zip(self.schema.fields());
        let columns: Vec<Column> =
            texts.map(|(text, field)| from_text(&text.finish(), field.data_type(), Times::Rfc3339)).collect();
        if !rows.is_empty() {
            screen(&self.schema, columns, &rows, Some(&self.place), gathered)?;
        }
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

    fn mismatch(&self) -> Option<Mismatch> {
        let cause = || format!("the header does not name {}", self.missing);
        (!self.missing.is_empty()).then(|| Mismatch { cause: cause(), found: self.named.clone() })
    }
}

/// The fields of one record.
struct Fields {
    reader: Reader,
    text: Vec<u8>,
    /// Where each field ends; as many as a record may have fields.
    ends: Vec<usize>,
}

impl Fields {
    /// Splits a record (without its line end) and counts the fields. `None`: too many, or a lone CR ends it early.
    fn split(&mut self, record: &mut Vec<u8>) -> Option<usize> {
        record.push(b'\n');
        self.text.resize(self.text.len().max(record.len()), 0);
        self.reader.reset();
        let (result, read, _, count) = self.reader.read_record(record, &mut self.text, &mut self.ends);
        (result == ReadRecordResult::Record && read == record.len()).then_some(count)
    }

    /// A field of the record.
    fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start..self.ends[index]]
    }

    /// A field of a record that is UTF-8; `None` if it is empty.
    fn text(&self, index: usize) -> Option<&str> {
        std::str::from_utf8(self.get(index)).ok().filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests;
