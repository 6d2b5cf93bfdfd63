//! JSON objects, decoded many at a time straight into columns: lines of files and records of brokers alike.
//!
//! Columns are read as text first, whatever their type, so that nothing is rounded on the way and one unreadable value
//! costs neither its record nor its neighbours; [`crate::convert`] gives them their types. Unknown names are ignored;
//! of a name that occurs twice the last value counts. The decoder forgives missing and superfluous commas, and reads
//! without recursion, so that deep nesting costs memory in proportion to the text only.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;

use crate::convert::{Column, Times, from_text, from_text_lists};
use crate::gather::{Gathered, Place};
use crate::reason;
use crate::screen::screen;

/// Objects decoded at a time.
pub(crate) const OBJECTS_MAX: usize = 1_024;

/// Text that may be an object: its record's number and the text.
pub(crate) struct Text<'a> {
    pub(crate) row: u64,
    pub(crate) text: &'a [u8],
}

/// Decodes objects into rows of a topic.
pub(crate) struct JsonRows {
    schema: SchemaRef,
    decoder: Decoder,
}

impl JsonRows {
    pub(crate) fn new(schema: &SchemaRef) -> Result<Self, ArrowError> {
        Ok(Self { schema: schema.clone(), decoder: decoder_of(schema, text_type)? })
    }

    /// Decodes at most [`OBJECTS_MAX`] texts in which [`fault`] finds nothing; those that are not one object are
    /// rejected.
    pub(crate) fn decode(
        &mut self,
        texts: &[Text<'_>],
        place: Option<&Place>,
        gathered: &mut Gathered,
    ) -> Result<(), ArrowError> {
        let mut start = 0;
        for (index, text) in texts.iter().enumerate() {
            if feed(&mut self.decoder, text.text, index - start + 1) {
                continue;
            }
            gathered.reject(place, text.row, reason::BAD_JSON, "not exactly one JSON object");
            // The decoder has swallowed part of the broken text: a new one reads what came before it again.
            self.decoder = decoder_of(&self.schema, text_type)?;
            for (fed, good) in texts[start..index].iter().enumerate() {
                feed(&mut self.decoder, good.text, fed + 1);
            }
            self.flush(&texts[start..index], place, gathered)?;
            start = index + 1;
        }
        self.flush(&texts[start..], place, gathered)
    }

    /// Turns the texts that the decoder has taken into rows.
    fn flush(&mut self, texts: &[Text<'_>], place: Option<&Place>, gathered: &mut Gathered) -> Result<(), ArrowError> {
        let Some(decoded) = self.decoder.flush()? else { return Ok(()) };
        let typed = decoded.columns().iter().zip(self.schema.fields()).map(|(column, field)| match field.data_type() {
            DataType::List(item) => from_text_lists(column.as_list(), item),
            other => from_text(column.as_string(), other, Times::Rfc3339OrMicros),
        });
        let mut columns: Vec<Column> = typed.collect();
        self.mark_misplaced(texts, &decoded, &mut columns)?;
        let rows: Vec<u64> = texts.iter().map(|text| text.row).collect();
        screen(&self.schema, columns, &rows, place, gathered)
    }

    /// Finds objects and lists where a single value belongs, and single values where a list does: read as the column's
    /// shape they are null, as if nothing were there.
    fn mark_misplaced(
        &self,
        texts: &[Text<'_>],
        decoded: &RecordBatch,
        columns: &mut [Column],
    ) -> Result<(), ArrowError> {
        let lists: Vec<&ArrayRef> =
            decoded.columns().iter().filter(|column| matches!(column.data_type(), DataType::List(_))).collect();
        let is_suspect = |row: usize, text: &[u8]| {
            let found = lists.iter().filter(|list| list.is_valid(row)).count();
            found < lists.len() || may_nest(text, found)
        };
        let texts = texts.iter().map(|text| text.text).enumerate();
        let (rows, suspects): (Vec<usize>, Vec<&[u8]>) = texts.filter(|(row, text)| is_suspect(*row, text)).unzip();
        if rows.is_empty() {
            return Ok(());
        }
        for shape in [single_for_list as fn(&DataType) -> DataType, object] {
            let shapes = decode_all(&suspects, decoder_of(&self.schema, shape)?)?;
            for (column, shape) in columns.iter_mut().zip(shapes.columns()) {
                column.bad.extend(rows.iter().enumerate().filter(|(at, _)| shape.is_valid(*at)).map(|(_, row)| *row));
            }
        }
        for column in columns {
            column.bad.sort_unstable();
            column.bad.dedup();
        }
        Ok(())
    }
}

/// The type as which a column of this type is read first.
fn text_type(column: &DataType) -> DataType {
    match column {
        DataType::List(_) => DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))),
        _ => DataType::Utf8,
    }
}

/// What a column of this type must not hold: a list where a single value belongs, and the other way round.
fn single_for_list(column: &DataType) -> DataType {
    match column {
        DataType::List(_) => DataType::Utf8,
        _ => DataType::List(Arc::new(Field::new("element", DataType::Null, true))),
    }
}

/// What no column may hold.
fn object(_: &DataType) -> DataType {
    DataType::Struct(Vec::<Field>::new().into())
}

/// A decoder that takes each column of the topic for the type that `shape` says and gives null where a value is none
/// of it.
fn decoder_of(schema: &Schema, shape: fn(&DataType) -> DataType) -> Result<Decoder, ArrowError> {
    let fields = schema.fields().iter().map(|field| Field::new(field.name(), shape(field.data_type()), true));
    ReaderBuilder::new(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
        .with_batch_size(OBJECTS_MAX)
        .with_coerce_primitive(true)
        .with_ignore_type_conflicts(true)
        .build_decoder()
}

/// Feeds a text; whether the decoder then holds this many whole objects and nothing else.
fn feed(decoder: &mut Decoder, text: &[u8], objects: usize) -> bool {
    decoder.decode(text).is_ok_and(|read| read == text.len())
        && decoder.len() == objects
        && !decoder.has_partial_record()
}

/// Decodes texts that were decoded before.
fn decode_all(texts: &[&[u8]], mut decoder: Decoder) -> Result<RecordBatch, ArrowError> {
    for text in texts {
        decoder.decode(text)?;
    }
    decoder.flush()?.ok_or_else(|| ArrowError::JsonError("texts that were objects are none".to_string()))
}

/// Whether more lists than those known, or an inner object, may begin in a text: brackets in strings count too, which
/// only costs time.
fn may_nest(text: &[u8], lists: usize) -> bool {
    let count = |wanted: u8| text.iter().filter(|byte| **byte == wanted).count();
    count(b'[') > lists || count(b'{') > 1
}

/// What can be wrong with a text before it is decoded. Only an object may reach the decoder: its complaint about
/// anything else writes that out by recursion.
pub(crate) fn fault(text: &[u8]) -> Option<(&'static str, &'static str)> {
    match text.trim_ascii_start().first() {
        None => Some((reason::EMPTY_LINE, "nothing on it")),
        Some(_) if std::str::from_utf8(text).is_err() => Some((reason::BAD_UTF8, "not UTF-8")),
        Some(b'{') => None,
        Some(_) => Some((reason::BAD_JSON, "not exactly one JSON object")),
    }
}
