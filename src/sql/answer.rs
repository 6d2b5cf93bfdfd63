//! Writes an answer batch by batch in the format asked for. CSV, JSON and Parquet stream: never is the whole answer in
//! memory. A table is laid out as a whole and therefore bounded.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::csv;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json;
use arrow::json::writer::{EncoderOptions, LineDelimited, make_encoder};
use clap::ValueEnum;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use schemas::movement;

use super::cells::TextTable;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: at most 10000 rows, nothing for null; column under column where the terminal is too narrow.
    Table,
    /// A head line and RFC 4180 quoting; nothing for null, lists as JSON.
    Csv,
    /// One object a line.
    Json,
    /// A Parquet file, which needs --output.
    Parquet,
}

/// Why an answer could not be written.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The output refused.
    #[error("cannot write the answer: {0}")]
    Write(#[from] io::Error),
    /// The format has no way to say it: choose another one or cast the column.
    #[error("the answer cannot be written in this format: {0}")]
    Format(#[from] ArrowError),
    /// The same for Parquet.
    #[error("the answer cannot be written as parquet: {0}")]
    Parquet(#[from] ParquetError),
    /// Objects and Parquet files name their columns apart.
    #[error("two columns of the answer are named {0}; name one otherwise with AS")]
    SameName(String),
}

/// How an answer is written, and how much room there is.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The format.
    pub format: Format,
    /// Width of the terminal in characters, where people read a table on one.
    pub width: Option<u16>,
}

/// Where answers go.
pub type Out<'out> = &'out mut (dyn Write + Send);

/// An answer being written.
pub struct AnswerWriter<'out> {
    body: Body<'out>,
    rows: u64,
}

enum Body<'out> {
    Table { table: Box<TextTable>, width: Option<u16>, out: Out<'out> },
    Csv { with_heads: bool, buffer: Vec<u8>, out: Out<'out> },
    Json { buffer: Vec<u8>, out: Out<'out> },
    Parquet(Box<ArrowWriter<Out<'out>>>),
}

impl<'out> AnswerWriter<'out> {
    /// Starts an answer with this schema.
    pub fn start(shape: Shape, schema: SchemaRef, out: Out<'out>) -> Result<Self, AnswerError> {
        if matches!(shape.format, Format::Json | Format::Parquet) {
            let mut names = BTreeSet::new();
            if let Some(field) = schema.fields().iter().find(|field| !names.insert(field.name())) {
                return Err(AnswerError::SameName(field.name().clone()));
            }
        }
        let body = match shape.format {
            Format::Table => Body::Table { table: Box::new(TextTable::new(&schema)), width: shape.width, out },
            Format::Csv => Body::Csv { with_heads: true, buffer: Vec::new(), out },
            Format::Json => Body::Json { buffer: Vec::new(), out },
            Format::Parquet => {
                let compression = Compression::ZSTD(ZstdLevel::default());
                let geometry =
                    movement::geoparquet(&schema).map(|text| KeyValue::new(movement::GEOPARQUET.to_string(), text));
                let properties = WriterProperties::builder()
                    .set_compression(compression)
                    .set_key_value_metadata(geometry.map(|geometry| vec![geometry]))
                    .build();
                Body::Parquet(Box::new(ArrowWriter::try_new(out, schema.clone(), Some(properties))?))
            }
        };
        let mut answer = Self { body, rows: 0 };
        // Head lines are there even where no row is.
        answer.write(&RecordBatch::new_empty(schema))?;
        Ok(answer)
    }

    /// Writes rows; `false` when the table had no room for all of them, and more would be in vain.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<bool, AnswerError> {
        match &mut self.body {
            Body::Table { table, .. } => {
                let had_room = table.add(batch)?;
                self.rows = table.rows() as u64;
                return Ok(had_room);
            }
            Body::Csv { with_heads, buffer, out } => {
                buffer.clear();
                let mut writer = csv::WriterBuilder::new().with_header(*with_heads).build(&mut *buffer);
                writer.write(&with_nested_as_json(batch)?)?;
                drop(writer);
                *with_heads = false;
                out.write_all(buffer)?;
            }
            Body::Json { buffer, out } => {
                buffer.clear();
                let builder = json::WriterBuilder::new().with_explicit_nulls(true);
                let mut writer = builder.build::<_, LineDelimited>(&mut *buffer);
                writer.write(batch)?;
                writer.finish()?;
                drop(writer);
                out.write_all(buffer)?;
            }
            Body::Parquet(writer) => writer.write(batch)?,
        }
        self.rows += batch.num_rows() as u64;
        Ok(true)
    }

    /// Writes what is left and returns the number of rows.
    pub fn finish(self) -> Result<u64, AnswerError> {
        match self.body {
            Body::Table { table, width, out } => {
                writeln!(out, "{}", table.text(width))?;
                out.flush()?;
            }
            Body::Csv { out, .. } | Body::Json { out, .. } => out.flush()?,
            Body::Parquet(writer) => {
                writer.close()?;
            }
        }
        Ok(self.rows)
    }
}

/// The batch with lists and structures as JSON texts, since CSV knows none.
fn with_nested_as_json(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    if !schema.fields().iter().any(|field| field.data_type().is_nested()) {
        return Ok(batch.clone());
    }
    let column = |(field, array): (&FieldRef, &ArrayRef)| -> Result<(FieldRef, ArrayRef), ArrowError> {
        if !field.data_type().is_nested() {
            return Ok((field.clone(), array.clone()));
        }
        let text = Field::new(field.name(), DataType::Utf8, true);
        Ok((Arc::new(text), Arc::new(as_json(field, array)?)))
    };
    let columns = schema.fields().iter().zip(batch.columns()).map(column).collect::<Result<Vec<_>, _>>()?;
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

fn as_json(field: &FieldRef, array: &ArrayRef) -> Result<StringArray, ArrowError> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(field, array.as_ref(), &options)?;
    let texts = (0..array.len()).map(|row| {
        if encoder.is_null(row) {
            return Ok(None);
        }
        let mut text = Vec::new();
        encoder.encode(row, &mut text);
        String::from_utf8(text).map(Some).map_err(|error| ArrowError::JsonError(error.to_string()))
    });
    texts.collect()
}

#[cfg(test)]
mod tests;
