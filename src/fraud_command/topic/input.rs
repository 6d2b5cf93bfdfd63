//! What the records of a topic say: columns with their types, and how they are written.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use fraud::fields::{FieldType, Fields};
use log::wire::ForeignDecoder;
use log::{LogBatch, Reject, reason};
use schemas::Offset;
use schemas::topics::timestamp;

use super::super::transactions::{Decimals, plain};
use crate::failure::Failure;

/// A field of the records: its name there, and its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSpec {
    name: String,
    field_type: FieldType,
}

impl FromStr for FieldSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let field_type = |word: &str| {
            Some(match word {
                "text" => FieldType::Text,
                "integer" => FieldType::Integer,
                "number" => FieldType::Number,
                "boolean" => FieldType::Boolean,
                "time" => FieldType::Time,
                _ => return None,
            })
        };
        let parts = text.trim().rsplit_once(':').and_then(|(name, word)| Some((name.trim(), field_type(word.trim())?)));
        match parts {
            Some((name, field_type)) if !name.is_empty() => Ok(Self { name: name.to_string(), field_type }),
            _ => Err("say NAME:TYPE, where the type is text, integer, number, boolean or time".to_string()),
        }
    }
}

impl FieldSpec {
    /// The fields of an Avro schema, but for those of types that windows do not know.
    ///
    /// # Errors
    /// It is no Avro schema of a record.
    pub fn of_avro(schema: &str) -> Result<Vec<Self>, Failure> {
        let fields = ForeignDecoder::avro_fields(schema)
            .map_err(|reason| Failure::usage(format!("the Avro schema cannot be used: {reason}")))?;
        Ok(fields.into_iter().map(|(name, data_type)| Self { name, field_type: type_of(&data_type) }).collect())
    }
}

/// How records are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    Json,
    /// By the schema with this text; in frames of a registry it has this number.
    Avro {
        schema: String,
        id: Option<u32>,
    },
}

/// The records of a topic as transactions.
#[derive(Debug, Clone)]
pub struct Input {
    format: Format,
    /// Columns under the records' own names, decimals as they are written.
    written: SchemaRef,
    /// Columns as windows and tables know them.
    schema: SchemaRef,
    fields: Fields,
    /// Columns of decimals.
    decimals: Vec<(usize, Decimals)>,
}

impl Input {
    /// Checks what was said of the records.
    ///
    /// # Errors
    /// A name is no field's, the time is not among them, decimals have no column, or Avro does not fit.
    pub fn new(specs: &[FieldSpec], time: &str, decimals: &[Decimals], format: Format) -> Result<Self, Failure> {
        let time = plain(time);
        let mut of_columns = Vec::new();
        let (mut written, mut schema) = (Vec::new(), Vec::new());
        for (index, FieldSpec { name, field_type }) in specs.iter().enumerate() {
            let column = plain(name);
            let decimals = decimals.iter().find(|decimals| decimals.column() == column);
            let data_type = stored_type(if decimals.is_some() { FieldType::Integer } else { *field_type });
            let written_type = match (decimals, &format) {
                (None, _) => data_type.clone(),
                (Some(_), Format::Json) => DataType::Utf8,
                (Some(_), Format::Avro { .. }) => DataType::Float64,
            };
            of_columns.extend(decimals.map(|decimals| (index, decimals.clone())));
            let is_optional = column != time;
            written.push(Field::new(name, written_type, is_optional));
            schema.push(Field::new(column, data_type, is_optional));
        }
        if of_columns.len() < decimals.len() {
            return Err(Failure::usage("--decimals names a column that is not among --fields"));
        }
        let schema = Schema::new(schema);
        let is_time = |field: &Field| matches!(field.data_type(), DataType::Timestamp(..));
        if !schema.field_with_name(&time).is_ok_and(is_time) {
            return Err(Failure::usage(format!("there is no field {time} of type time"))
                .with_help(format!("say it with --fields {time}:time,... or name another one with --time")));
        }
        let typed = schema.fields().iter().map(|field| (field.name().clone(), type_of(field.data_type())));
        let fields = Fields::new(typed).map_err(Failure::usage)?;
        let input = Self {
            format,
            written: Arc::new(Schema::new(written)),
            schema: Arc::new(schema),
            fields,
            decimals: of_columns,
        };
        input.decoder().map(|_| input)
    }

    /// What windows may speak of.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What tells inputs apart whose rows are different: a state goes on with the same alone.
    pub fn identity(&self) -> String {
        let Self { format, written, schema, decimals, .. } = self;
        let columns = |schema: &Schema| {
            let texts = schema.fields().iter().map(|field| format!("{}:{}", field.name(), field.data_type()));
            texts.collect::<Vec<_>>().join(",")
        };
        format!("{format:?} {} {} {decimals:?}", columns(written), columns(schema))
    }

    /// A decoder of its records.
    ///
    /// # Errors
    /// The Avro schema does not fit the columns.
    pub fn decoder(&self) -> Result<ForeignDecoder, Failure> {
        match &self.format {
            Format::Json => Ok(ForeignDecoder::json(&self.written)?),
            Format::Avro { schema, id } => ForeignDecoder::avro(&self.written, schema, *id)
                .map_err(|reason| Failure::usage(format!("the Avro schema does not fit the fields: {reason}"))),
        }
    }

    /// Decoded records with their decimals as whole numbers; those whose decimals are none become rejects.
    ///
    /// # Errors
    /// The rows cannot be put together, which no record causes.
    pub fn rows(&self, mut batch: LogBatch) -> Result<LogBatch, Failure> {
        let mut columns: Vec<ArrayRef> = batch.rows.columns().to_vec();
        let mut kept = vec![true; batch.offsets.len()];
        for (column, decimals) in &self.decimals {
            let (whole, bad) = decimals.read(&columns[*column]).map_err(Failure::failed)?;
            columns[*column] = whole;
            for row in bad.into_iter().filter(|row| std::mem::take(&mut kept[*row])) {
                let detail = format!("column {}: {}", decimals.column(), decimals.complaint());
                let offset = Offset(batch.offsets[row]);
                batch.rejects.push(Reject { offset, reason: reason::BAD_VALUE, detail });
            }
        }
        batch.rows = RecordBatch::try_new(self.schema.clone(), columns).map_err(Failure::failed)?;
        if kept.contains(&false) {
            let mut is_kept = kept.iter().copied();
            batch.offsets.retain(|_| is_kept.next().unwrap_or_default());
            batch.rejects.sort_by_key(|reject| reject.offset);
            batch.rows = filter_record_batch(&batch.rows, &BooleanArray::from(kept)).map_err(Failure::failed)?;
        }
        Ok(batch)
    }
}

fn stored_type(field_type: FieldType) -> DataType {
    match field_type {
        FieldType::Integer => DataType::Int64,
        FieldType::Number => DataType::Float64,
        FieldType::Text => DataType::Utf8,
        FieldType::Boolean => DataType::Boolean,
        FieldType::Time => timestamp(),
    }
}

fn type_of(data_type: &DataType) -> FieldType {
    match data_type {
        DataType::Int64 => FieldType::Integer,
        DataType::Float64 => FieldType::Number,
        DataType::Boolean => FieldType::Boolean,
        DataType::Timestamp(..) => FieldType::Time,
        _ => FieldType::Text,
    }
}
