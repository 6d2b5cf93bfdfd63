//! Rows of a topic become payloads, one a row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, FieldRef, SchemaRef, TimestampMicrosecondType as Micros};
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, NullableEncoder};
use arrow::json::{EncoderFactory, EncoderOptions, WriterBuilder};
use arrow_avro::schema::{FingerprintStrategy, SCHEMA_METADATA_KEY};
use arrow_avro::writer::format::AvroSoeFormat;

use super::{fingerprint_of, schema_of};
use crate::LogError;

/// How payloads are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object: times in RFC 3339 with microseconds, bytes in hexadecimal digits, no member for a null.
    Json,
    /// Avro single-object encoding with the topic's schema of today.
    Avro,
    /// A Confluent frame with today's schema under this number, which a registry gave it. The record's header should name
    /// the schema (see [`Encoder::fingerprint`]); else a control record must have brought the number into force.
    Registry(u32),
}

/// How the records of each topic are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Formats {
    /// All as [`Format::Json`].
    Json,
    /// All as [`Format::Avro`].
    Avro,
    /// As [`Format::Registry`], those of each topic under its schema's number. Topics without one are not written.
    Registry(BTreeMap<&'static str, u32>),
}

impl Formats {
    /// How records of this topic are written.
    ///
    /// # Errors
    /// A registry has given the topic's schema no number.
    pub fn of(&self, topic: &'static str) -> Result<Format, LogError> {
        match self {
            Self::Json => Ok(Format::Json),
            Self::Avro => Ok(Format::Avro),
            Self::Registry(numbers) => {
                let number = numbers.get(topic).ok_or_else(|| LogError::Unregistered { topic: topic.to_string() });
                number.map(|number| Format::Registry(*number))
            }
        }
    }
}

/// Takes a row's number and payload.
pub type Take<'a, E> = dyn FnMut(usize, &[u8]) -> Result<(), E> + 'a;

/// Writes rows of one topic.
pub struct Encoder {
    schema: SchemaRef,
    writer: Writer,
    fingerprint: Option<u64>,
}

enum Writer {
    /// The text of the rows at hand, a line each.
    Json(Vec<u8>),
    Avro(Box<arrow_avro::writer::Encoder>),
}

impl Encoder {
    /// An encoder for a topic.
    ///
    /// # Errors
    /// There is no such topic.
    pub fn new(topic: &'static str, format: Format) -> Result<Self, LogError> {
        let schema = schema_of(topic)?;
        let strategy = match format {
            Format::Json => return Ok(Self { schema, writer: Writer::Json(Vec::new()), fingerprint: None }),
            Format::Avro => FingerprintStrategy::Rabin,
            Format::Registry(id) => FingerprintStrategy::Id(id),
        };
        let avro_schema = schemas::avro::schema_of(topic, &schema).to_string();
        let fingerprint = match format {
            Format::Registry(_) => Some(fingerprint_of(topic, &avro_schema)?),
            _ => None,
        };
        let annotated = schema.as_ref().clone().with_metadata([(SCHEMA_METADATA_KEY.to_string(), avro_schema)].into());
        let encoder = arrow_avro::writer::WriterBuilder::new(annotated)
            .with_fingerprint_strategy(strategy)
            .build_encoder::<AvroSoeFormat>()
            .map_err(ArrowError::from)?;
        Ok(Self { schema, writer: Writer::Avro(Box::new(encoder)), fingerprint })
    }

    /// What the header [`SCHEMA_HEADER`](super::SCHEMA_HEADER) of each record is to say; `None` where the payload names its
    /// schema itself.
    pub fn fingerprint(&self) -> Option<[u8; 8]> {
        self.fingerprint.map(u64::to_le_bytes)
    }

    /// Gives each row's number and payload to `each`, in order, up to its first error. Optional columns may be missing
    /// at the end of the rows' schema: they are written as nulls.
    ///
    /// # Errors
    /// The rows do not have the topic's schema, or what `each` returns.
    pub fn encode<E: From<LogError>>(&mut self, rows: &RecordBatch, each: &mut Take<'_, E>) -> Result<(), E> {
        let rows = fitted(&self.schema, rows).map_err(LogError::from)?;
        match &mut self.writer {
            Writer::Json(text) => {
                text.clear();
                write_json(&rows, text).map_err(LogError::from)?;
                let lines = text.split(|byte| *byte == b'\n');
                lines.take(rows.num_rows()).enumerate().try_for_each(|(row, line)| each(row, line))
            }
            Writer::Avro(encoder) => {
                let written = encoder.encode(&rows).map_err(ArrowError::from).map_err(LogError::from);
                // Flushed in any case: rows of a failed call must not come before those of the next.
                let payloads = encoder.flush();
                written?;
                let places = payloads.offsets().windows(2).enumerate();
                let mut places = places.map(|(row, ends)| (row, &payloads.bytes()[ends[0]..ends[1]]));
                places.try_for_each(|(row, payload)| each(row, payload))
            }
        }
    }
}

/// The rows in the topic's schema.
fn fitted(schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let given = rows.schema_ref().fields();
    for (index, field) in given.iter().enumerate() {
        if schema.fields().get(index).is_none_or(|wanted| wanted.name() != field.name()) {
            return Err(ArrowError::SchemaError(format!("column {} is not the topic's column {index}", field.name())));
        }
    }
    let missing = schema.fields().iter().skip(given.len());
    let nulls = missing.map(|field| new_null_array(field.data_type(), rows.num_rows()));
    RecordBatch::try_new(schema.clone(), rows.columns().iter().cloned().chain(nulls).collect::<Vec<ArrayRef>>())
}

fn write_json(rows: &RecordBatch, text: &mut Vec<u8>) -> Result<(), ArrowError> {
    let builder = WriterBuilder::new().with_encoder_factory(Arc::new(TimesAndBytes));
    let mut writer = builder.build::<_, LineDelimited>(text);
    writer.write(rows)?;
    writer.finish()
}

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;
/// Midnight before the years of RFC 3339 (0000 to 9999), and after them, microseconds since the epoch.
const RFC_3339_US: std::ops::Range<i64> = -62_167_219_200_000_000..253_402_300_800_000_000;

/// Writes times and bytes. Times that RFC 3339 cannot say are written as microseconds since the epoch, which readers
/// take too: one absurd time of a phone must not stop its topic.
#[derive(Debug)]
struct TimesAndBytes;

impl EncoderFactory for TimesAndBytes {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn arrow::json::Encoder> = match array.data_type() {
            DataType::Timestamp(..) => Box::new(TimeEncoder(array.as_primitive::<Micros>().values())),
            DataType::Binary => Box::new(BytesEncoder(array.as_binary())),
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct TimeEncoder<'a>(&'a [i64]);

impl arrow::json::Encoder for TimeEncoder<'_> {
    fn encode(&mut self, row: usize, text: &mut Vec<u8>) {
        text.extend_from_slice(time_text(self.0[row]).as_bytes());
    }
}

/// Arrow's own encoder formats each byte by itself, which takes most of the time that a swipe takes.
struct BytesEncoder<'a>(&'a BinaryArray);

impl arrow::json::Encoder for BytesEncoder<'_> {
    fn encode(&mut self, row: usize, text: &mut Vec<u8>) {
        let bytes = self.0.value(row);
        text.push(b'"');
        let start = text.len();
        text.resize(start + 2 * bytes.len(), 0);
        hex::encode_to_slice(bytes, &mut text[start..]).expect("the place is two digits a byte long");
        text.push(b'"');
    }
}

/// A time as JSON.
fn time_text(microseconds: i64) -> String {
    if !RFC_3339_US.contains(&microseconds) {
        return microseconds.to_string();
    }
    let (year, month, day) = civil(microseconds.div_euclid(DAY_US));
    let in_day = microseconds.rem_euclid(DAY_US);
    let (seconds, fraction) = (in_day / 1_000_000, in_day % 1_000_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!(r#""{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{:02}.{fraction:06}Z""#, seconds % 60)
}

/// Year, month and day of a number of days since 1970-01-01, by Howard Hinnant's `civil_from_days` ("chrono-Compatible
/// Low-Level Date Algorithms"): years begin in March, so that the leap day is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let from_march_0000 = days + 719_468;
    let era = from_march_0000.div_euclid(146_097);
    let day_of_era = from_march_0000.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + 400 * era + i64::from(month <= 2), month, day)
}
