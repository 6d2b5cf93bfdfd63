//! NDJSON: one JSON object a line, decoded a chunk of lines at a time straight into columns.
//!
//! Columns are read as text first, whatever their type, so that nothing is rounded on the way and one unreadable value
//! costs neither its record nor its neighbours; [`crate::convert`] gives them their types. Unknown names are ignored;
//! of a name that occurs twice the last value counts. The decoder forgives missing and superfluous commas, and reads
//! without recursion, so that deep nesting costs memory in proportion to the line only.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;

use crate::convert::{Column, Times, from_text};
use crate::gather::{Gathered, Place, Source};
use crate::identity::{FileIdentity, Prefix};
use crate::lines::{Found, Lines, Quotes};
use crate::screen::screen;
use crate::{LogError, reason};

/// Lines decoded at a time.
const CHUNK_LINES_MAX: usize = 1_024;
/// Bytes of lines after which a chunk takes no further line.
const CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An NDJSON file.
pub(crate) struct NdjsonFile {
    lines: Lines,
    rows: u64,
    place: Place,
    schema: SchemaRef,
    decoder: Decoder,
    text: Vec<u8>,
}

/// A line that may hold an object: its number in the file and where its text lies.
struct Line {
    row: u64,
    text: Range<usize>,
}

impl NdjsonFile {
    /// Opens a file after what was read of it.
    pub(crate) fn open(path: &Path, name: &str, schema: &SchemaRef, rows: u64, read: Prefix) -> Result<Self, LogError> {
        Ok(Self {
            lines: Lines::open(path, Quotes::Plain, read).map_err(LogError::file(name))?,
            rows,
            place: Place { file: name.to_string(), unit: "line" },
            schema: schema.clone(),
            decoder: decoder_of(schema, &DataType::Utf8)?,
            text: Vec::new(),
        })
    }

    /// Decodes lines; those that are not one object are rejected.
    fn decode(&mut self, lines: &[Line], gathered: &mut Gathered) -> Result<(), ArrowError> {
        let mut start = 0;
        for (index, line) in lines.iter().enumerate() {
            if feed(&mut self.decoder, &self.text[line.text.clone()], index - start + 1) {
                continue;
            }
            gathered.reject(&self.place, line.row, reason::BAD_JSON, "not exactly one JSON object");
            // The decoder has swallowed part of the broken line: a new one reads what came before it again.
            self.decoder = decoder_of(&self.schema, &DataType::Utf8)?;
            for (fed, good) in lines[start..index].iter().enumerate() {
                feed(&mut self.decoder, &self.text[good.text.clone()], fed + 1);
            }
            self.flush(&lines[start..index], gathered)?;
            start = index + 1;
        }
        self.flush(&lines[start..], gathered)
    }

    /// Turns the lines that the decoder has taken into rows.
    fn flush(&mut self, lines: &[Line], gathered: &mut Gathered) -> Result<(), ArrowError> {
        let Some(texts) = self.decoder.flush()? else { return Ok(()) };
        let columns = texts.columns().iter().zip(self.schema.fields());
        let mut columns: Vec<Column> = columns
            .map(|(text, field)| from_text(text.as_string(), field.data_type(), Times::Rfc3339OrMicros))
            .collect();
        self.mark_nested(lines, &mut columns)?;
        let rows: Vec<u64> = lines.iter().map(|line| line.row).collect();
        screen(&self.schema, columns, &rows, &self.place, gathered)
    }

    /// Finds objects and lists where a single value belongs: read as text they are null, as if nothing were there.
    fn mark_nested(&self, lines: &[Line], columns: &mut [Column]) -> Result<(), ArrowError> {
        let texts = lines.iter().map(|line| &self.text[line.text.clone()]);
        let (rows, suspects): (Vec<usize>, Vec<&[u8]>) = texts.enumerate().filter(|(_, text)| may_nest(text)).unzip();
        if rows.is_empty() {
            return Ok(());
        }
        let list = DataType::List(Arc::new(Field::new("element", DataType::Null, true)));
        let object = DataType::Struct(Vec::<Field>::new().into());
        for shape in [list, object] {
            let shapes = decode_all(&suspects, decoder_of(&self.schema, &shape)?)?;
            for (column, shape) in columns.iter_mut().zip(shapes.columns()) {
                column.bad.extend(rows.iter().enumerate().filter(|(at, _)| shape.is_valid(*at)).map(|(_, row)| *row));
            }
        }
        columns.iter_mut().for_each(|column| column.bad.sort_unstable());
        Ok(())
    }
}

impl Source for NdjsonFile {
    fn read(&mut self, rows_max: usize, gathered: &mut Gathered) -> Result<usize, LogError> {
        self.text.clear();
        let mut lines = Vec::new();
        let first_row = self.rows;
        let rows_end = first_row + rows_max.min(CHUNK_LINES_MAX) as u64;
        while self.rows < rows_end && self.text.len() < CHUNK_BYTES_MAX {
            let start = self.text.len();
            let found = self.lines.next(&mut self.text).map_err(LogError::file(&self.place.file))?;
            let Some(found) = found else { break };
            match fault(found, &self.text[start..]) {
                None => lines.push(Line { row: self.rows, text: start..self.text.len() }),
                Some((reason, cause)) => gathered.reject(&self.place, self.rows, reason, cause),
            }
            self.rows += 1;
        }
        gathered.text_bytes += self.text.len();
        self.decode(&lines, gathered)?;
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

/// A decoder that takes each column of the topic for one type and gives null where a value is none of it.
fn decoder_of(schema: &Schema, data_type: &DataType) -> Result<Decoder, ArrowError> {
    let fields = schema.fields().iter().map(|field| Field::new(field.name(), data_type.clone(), true));
    ReaderBuilder::new(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
        .with_batch_size(CHUNK_LINES_MAX)
        .with_coerce_primitive(true)
        .with_ignore_type_conflicts(true)
        .build_decoder()
}

/// Feeds a line; whether the decoder then holds this many whole objects and nothing else.
fn feed(decoder: &mut Decoder, text: &[u8], objects: usize) -> bool {
    decoder.decode(text).is_ok_and(|read| read == text.len())
        && decoder.len() == objects
        && !decoder.has_partial_record()
}

/// Decodes lines that were decoded before.
fn decode_all(lines: &[&[u8]], mut decoder: Decoder) -> Result<RecordBatch, ArrowError> {
    for line in lines {
        decoder.decode(line)?;
    }
    decoder.flush()?.ok_or_else(|| ArrowError::JsonError("lines that were objects are none".to_string()))
}

/// Whether a list or an inner object may begin in a line: braces in texts count too, which only costs time.
fn may_nest(text: &[u8]) -> bool {
    text.contains(&b'[') || text.iter().filter(|byte| **byte == b'{').count() > 1
}

/// What can be wrong with a line before it is decoded. Only an object may reach the decoder: its complaint about
/// anything else writes that out by recursion.
fn fault(found: Found, text: &[u8]) -> Option<(&'static str, &'static str)> {
    if found == Found::TooLong {
        return Some((reason::LINE_TOO_LONG, "longer than 1 MiB"));
    }
    match text.trim_ascii_start().first() {
        None => Some((reason::EMPTY_LINE, "nothing on it")),
        Some(_) if std::str::from_utf8(text).is_err() => Some((reason::BAD_UTF8, "not UTF-8")),
        Some(b'{') => None,
        Some(_) => Some((reason::BAD_JSON, "not exactly one JSON object")),
    }
}

#[cfg(test)]
mod tests;
