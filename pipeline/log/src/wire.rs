//! Records as they travel on a broker: payloads become rows or rejects, and rows become payloads.
//!
//! A payload's first bytes tell its format: JSON, an Avro single object (its schema named by a fingerprint: one of the
//! topic's own, today's or a published older one), or a Confluent frame (its schema named by a registry's number). What
//! a number means is a property of the partition's log, never of a registry that somebody asks at the time: the record
//! says itself that it is written by one of the topic's own schemas (its header [`SCHEMA_HEADER`]), or control records
//! have brought a schema into force under the number. The same log decodes to the same rows whenever it is read.
//!
//! No payload costs its neighbours, whatever its bytes; it refuses to guess: a payload of no known format or schema is
//! a reject. A schema that a control record names and that cannot be had or does not fit is an error, since later
//! records would be lost for it.

mod body;
mod encode;
mod foreign;
mod records;
mod rows;
mod schema;

pub use encode::{Encoder, Format, Formats, Take};
pub use foreign::ForeignDecoder;
pub use records::RawRecords;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, filter_record_batch, not, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType as Micros};
use arrow::error::ArrowError;
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm};
use schemas::ids::ContentHash;
use schemas::{Offset, topics};

use crate::gather::Gathered;
use crate::group::TopicPartition;
use crate::json::{JsonRows, OBJECTS_MAX, Text, fault};
use crate::lines::RECORD_BYTES_MAX;
use crate::screen::screen;
use crate::{LogBatch, LogError, Reject, reason};
use rows::Values;
use schema::Writer;

/// Control type that brings a schema into force: its id is the schema's number in decimal digits, its hash the SHA-256
/// of the schema's text.
pub const SCHEMA_CONTROL: &str = "schema";

/// How far a record's `received_at` may lie after the time at which the broker appended it, microseconds. Gateways'
/// clocks agree within seconds; a record from further ahead would move its partition's clock for all the others.
pub const RECEIVED_AHEAD_MAX_US: i64 = 5_000_000;

/// Header of a record whose payload is a Confluent frame by one of the topic's own schemas. Its value is the schema's
/// fingerprint (CRC-64-AVRO of its parsing canonical form) in the eight bytes that a single object would have.
pub const SCHEMA_HEADER: &str = "till-schema";

/// First bytes of an Avro single object (Avro specification, "Single-object encoding").
const SINGLE_OBJECT: [u8; 2] = [0xc3, 0x01];
/// First byte of a Confluent frame, before the schema's number.
const FRAME: u8 = 0;

/// Finds a schema's text by its hash.
pub trait SchemaSource: Send + Sync {
    /// The text, or what is missing and where it was looked for.
    fn schema(&self, hash: ContentHash) -> Result<String, String>;

    /// Notes durably that a schema came into force on a partition; noting the same again changes nothing. A source that
    /// keeps no notes serves logs that are read from their start only.
    fn note(&self, _partition: TopicPartition, _change: SchemaChange) -> Result<(), String> {
        Ok(())
    }

    /// What was noted of a partition below an offset, in order.
    fn noted(&self, _partition: TopicPartition, _below: Offset) -> Result<Vec<SchemaChange>, String> {
        Ok(Vec::new())
    }
}

/// A control record that brought a schema into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaChange {
    /// Where it lies.
    pub offset: Offset,
    /// Number in the frames.
    pub id: u32,
    /// Hash of the schema's text.
    pub hash: ContentHash,
}

/// A schema that is in force: the hash of its text, and what is read by it.
type InForce = BTreeMap<u32, (ContentHash, Arc<Writer>)>;

/// Decodes the records of one partition, in order. Each partition needs its own: which schemas are in force is a
/// property of its log. One that goes back in its log needs a new one, with the schemas that were in force there.
pub struct Decoder {
    topic: &'static str,
    schema: SchemaRef,
    json: JsonRows,
    /// The topic's own schemas, today's and published ones, by fingerprint.
    own: BTreeMap<u64, Writer>,
    in_force: InForce,
    changes: Vec<SchemaChange>,
    source: Option<Arc<dyn SchemaSource>>,
}

impl Decoder {
    /// A decoder without schemas in force.
    ///
    /// # Errors
    /// There is no such topic.
    pub fn new(topic: &'static str) -> Result<Self, LogError> {
        let schema = schema_of(topic)?;
        let mut own = BTreeMap::new();
        for text in schemas::avro::versions_of(topic) {
            let fail = |reason: String| LogError::Schema { topic, schema: "of the topic itself".to_string(), reason };
            own.insert(fingerprint_of(topic, &text)?, Writer::new(&text, &schema).map_err(fail)?);
        }
        let json = JsonRows::new(&schema)?;
        Ok(Self { topic, schema, json, own, in_force: InForce::new(), changes: Vec::new(), source: None })
    }

    /// The same, with a place where schemas are found that control records name.
    #[must_use]
    pub fn with_source(mut self, source: Arc<dyn SchemaSource>) -> Self {
        self.source = Some(source);
        self
    }

    /// Brings a schema into force for the records after those that were decoded. A number that was in force means the
    /// new schema from then on.
    ///
    /// # Errors
    /// The text is no Avro schema, or the topic's columns cannot be read from it; says which and why.
    pub fn bring_into_force(&mut self, id: u32, schema: &str) -> Result<(), LogError> {
        let fail = |reason| LogError::Schema { topic: self.topic, schema: id.to_string(), reason };
        let writer = Writer::new(schema, &self.schema).map_err(fail)?;
        self.in_force.insert(id, (ContentHash::of(schema.as_bytes()), Arc::new(writer)));
        Ok(())
    }

    /// Numbers of the schemas in force with the hashes of their texts, ascending.
    pub fn in_force(&self) -> impl Iterator<Item = (u32, ContentHash)> + '_ {
        self.in_force.iter().map(|(id, (hash, _))| (*id, *hash))
    }

    /// What has come into force since the last call.
    pub fn take_changes(&mut self) -> Vec<SchemaChange> {
        std::mem::take(&mut self.changes)
    }

    /// Brings into force again what was in force at the offset where reading starts.
    ///
    /// # Errors
    /// A schema cannot be had or read.
    pub fn resume(&mut self, noted: &[SchemaChange]) -> Result<(), LogError> {
        let changes = noted.iter().map(|change| (change.offset.0, (change.id, change.hash)));
        self.apply(changes.collect())?;
        self.changes.clear();
        Ok(())
    }

    /// Decodes records. No result depends on where batches begin and end.
    ///
    /// # Errors
    /// A control record brings a schema into force that cannot be had or read. Then the decoder is as it was before,
    /// and the same records can be decoded again once the cause is gone.
    pub fn decode(&mut self, records: &RawRecords) -> Result<LogBatch, LogError> {
        let before = self.in_force.clone();
        let decoded = self.decode_all(records);
        if decoded.is_err() {
            self.changes.clear();
            self.in_force = before;
            self.json = JsonRows::new(&self.schema)?;
        }
        decoded
    }

    /// Frames that do not say their schema come last, since what they mean may depend on any record before them, whatever
    /// its format.
    fn decode_all(&mut self, records: &RawRecords) -> Result<LogBatch, LogError> {
        let mut gathered = Gathered::new();
        let mut avro = AvroRows::new(&self.schema);
        let mut texts = Vec::new();
        let mut frames = Vec::new();
        for (index, row) in records.offsets.iter().map(|offset| offset.cast_unsigned()).enumerate() {
            match Payload::of(records.payload(index)) {
                Payload::Json(text) => texts.push(Text { row, text }),
                Payload::SingleObject { fingerprint, body } => match self.own.get(&fingerprint) {
                    Some(writer) => avro.take(writer, body, row, &mut gathered),
                    None => {
                        gathered.reject(None, row, reason::UNKNOWN_SCHEMA, "no schema of the topic has its fingerprint")
                    }
                },
                Payload::Frame { id, body } => match records.fingerprint(index).and_then(|own| self.own.get(&own)) {
                    Some(writer) => avro.take(writer, body, row, &mut gathered),
                    None => frames.push((row, id, body)),
                },
                Payload::Bad(reason, cause) => gathered.reject(None, row, reason, cause),
            }
        }
        for chunk in texts.chunks(OBJECTS_MAX) {
            self.json.decode(chunk, None, &mut gathered)?;
        }
        let mut parts = vec![self.part(&mut avro, gathered, records)?];
        let mut controls = schema_controls(&parts[0]);
        let mut gathered = Gathered::new();
        for (row, id, body) in frames {
            let later = controls.split_off(&row.cast_signed());
            self.apply(std::mem::replace(&mut controls, later))?;
            let Some((_, writer)) = self.in_force.get(&id) else {
                gathered.reject(None, row, reason::SCHEMA_NOT_IN_FORCE, &format!("schema {id} is not in force"));
                continue;
            };
            avro.take(writer, body, row, &mut gathered);
            if avro.may_end_in_schema_control() {
                let part = self.part(&mut avro, std::mem::replace(&mut gathered, Gathered::new()), records)?;
                controls.extend(schema_controls(&part));
                parts.push(part);
            }
        }
        self.apply(controls)?;
        parts.push(self.part(&mut avro, gathered, records)?);
        Ok(in_order(&self.schema, parts)?)
    }

    /// Rows and rejects so far, not in order of offset, without rows from the future.
    fn part(&self, avro: &mut AvroRows, mut gathered: Gathered, records: &RawRecords) -> Result<LogBatch, LogError> {
        avro.flush(&self.schema, &mut gathered)?;
        let mut part = gathered.finish(&self.schema)?;
        let appended = part.offsets.iter().map(|offset| {
            let index = records.offsets.binary_search(offset).expect("each row has the offset of a record");
            records.appended_us[index]
        });
        part.appended_us = appended.collect();
        reject_future(part)
    }

    /// Brings what control records named into force, in order.
    fn apply(&mut self, controls: BTreeMap<i64, (u32, ContentHash)>) -> Result<(), LogError> {
        for (offset, (id, hash)) in controls {
            if self.in_force.get(&id).is_some_and(|(known, _)| *known == hash) {
                continue;
            }
            let fail =
                |reason| LogError::Schema { topic: self.topic, schema: format!("{id} ({})", hash.to_hex()), reason };
            let source =
                self.source.as_ref().ok_or_else(|| fail("no place was given where it could be found".to_string()))?;
            let text = source.schema(hash).map_err(fail)?;
            if ContentHash::of(text.as_bytes()) != hash {
                return Err(fail("its text has another hash; restore the published one".to_string()));
            }
            self.bring_into_force(id, &text)?;
            self.changes.push(SchemaChange { offset: Offset(offset), id, hash });
        }
        Ok(())
    }
}

/// Fingerprint of one of a topic's own schemas.
fn fingerprint_of(topic: &'static str, text: &str) -> Result<u64, LogError> {
    match AvroSchema::new(text.to_string()).fingerprint(FingerprintAlgorithm::Rabin)? {
        Fingerprint::Rabin(fingerprint) => Ok(fingerprint),
        _ => Err(LogError::Schema {
            topic,
            schema: "of the topic itself".to_string(),
            reason: "its fingerprint is of another sort than was asked for".to_string(),
        }),
    }
}

/// Arrow schema of a topic.
fn schema_of(topic: &'static str) -> Result<SchemaRef, LogError> {
    topics::by_name(topic).ok_or_else(|| LogError::Topic { topic: topic.to_string() })
}

/// Whether a payload is a Confluent frame by its first byte, so that its record's [`SCHEMA_HEADER`] matters.
pub fn is_frame(payload: &[u8]) -> bool {
    payload.first() == Some(&FRAME)
}

/// What a payload's first bytes say that it is.
enum Payload<'a> {
    Json(&'a [u8]),
    SingleObject { fingerprint: u64, body: &'a [u8] },
    Frame { id: u32, body: &'a [u8] },
    Bad(&'static str, &'static str),
}

impl<'a> Payload<'a> {
    fn of(payload: &'a [u8]) -> Self {
        const NO_HEAD: Payload<'_> = Payload::Bad(reason::BAD_AVRO, "the record ends before its schema is named");
        if payload.len() > RECORD_BYTES_MAX {
            return Self::Bad(reason::LINE_TOO_LONG, "longer than 1 MiB");
        }
        if let Some(rest) = payload.strip_prefix(&SINGLE_OBJECT) {
            return match rest.split_first_chunk() {
                Some((head, body)) => Self::SingleObject { fingerprint: u64::from_le_bytes(*head), body },
                None => NO_HEAD,
            };
        }
        if let Some(rest) = payload.strip_prefix(&[FRAME]) {
            return match rest.split_first_chunk() {
                Some((head, body)) => Self::Frame { id: u32::from_be_bytes(*head), body },
                None => NO_HEAD,
            };
        }
        match payload.iter().find(|byte| !b" \t\r\n".contains(byte)) {
            None => Self::Bad(reason::EMPTY_RECORD, "nothing in it"),
            Some(b'{') => fault(payload).map_or(Self::Json(payload), |(reason, cause)| Self::Bad(reason, cause)),
            Some(_) => Self::Bad(reason::UNKNOWN_FORMAT, "neither JSON nor Avro by its first bytes"),
        }
    }
}

/// Rows from Avro bodies, of whichever writers.
struct AvroRows {
    columns: Vec<Values>,
    rows: Vec<u64>,
    control_type: Option<usize>,
}

impl AvroRows {
    fn new(schema: &SchemaRef) -> Self {
        let columns = schema.fields().iter().map(|field| Values::new(field.data_type())).collect();
        Self { columns, rows: Vec::new(), control_type: schema.index_of("control_type").ok() }
    }

    fn take(&mut self, writer: &Writer, body: &[u8], row: u64, gathered: &mut Gathered) {
        match body::check(writer, body) {
            Ok(()) => {
                body::append(writer, body, &mut self.columns);
                self.rows.push(row);
            }
            Err(cause) => gathered.reject(None, row, reason::BAD_AVRO, &cause),
        }
    }

    /// Whether the last row may bring a schema into force.
    fn may_end_in_schema_control(&self) -> bool {
        let last = self.control_type.filter(|_| !self.rows.is_empty()).map(|column| self.columns[column].last_text());
        last == Some(SCHEMA_CONTROL.as_bytes())
    }

    fn flush(&mut self, schema: &SchemaRef, gathered: &mut Gathered) -> Result<(), LogError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let columns = self.columns.iter_mut().map(Values::finish).collect();
        Ok(screen(schema, columns, &std::mem::take(&mut self.rows), None, gathered)?)
    }
}

/// What the control records among the rows bring into force, by offset. One whose number or hash is malformed brings
/// nothing; its row goes on, for the unit to say so.
fn schema_controls(batch: &LogBatch) -> BTreeMap<i64, (u32, ContentHash)> {
    let column = |name: &str| batch.rows.column_by_name(name).map(|column| column.as_string::<i32>());
    let (Some(types), Some(ids), Some(hashes)) = (column("control_type"), column("control_id"), column("control_hash"))
    else {
        return BTreeMap::new();
    };
    let kinds = column("kind");
    let is_control = |row: usize| {
        types.is_valid(row)
            && types.value(row) == SCHEMA_CONTROL
            && kinds.is_none_or(|kinds| kinds.is_valid(row) && kinds.value(row) == topics::kind::CONTROL)
            && ids.is_valid(row)
            && hashes.is_valid(row)
    };
    let controls = (0..types.len()).filter(|row| is_control(*row)).filter_map(|row| {
        let id = ids.value(row).parse().ok()?;
        Some((batch.offsets[row], (id, ContentHash::from_hex(hashes.value(row))?)))
    });
    controls.collect()
}

/// Turns rows that were received further after their append than clocks differ into rejects.
fn reject_future(mut batch: LogBatch) -> Result<LogBatch, LogError> {
    let Some(received) = batch.rows.column_by_name("received_at") else { return Ok(batch) };
    let received = received.as_primitive::<Micros>();
    let is_ahead = |row: usize| {
        let appended_us = batch.appended_us[row];
        let ahead_us = received.value(row).saturating_sub(appended_us);
        appended_us >= 0 && received.is_valid(row) && ahead_us > RECEIVED_AHEAD_MAX_US
    };
    let ahead: Vec<bool> = (0..received.len()).map(is_ahead).collect();
    if !ahead.contains(&true) {
        return Ok(batch);
    }
    let seconds = RECEIVED_AHEAD_MAX_US / 1_000_000;
    let detail = format!("column received_at lies more than {seconds} s after the record was appended");
    let rejected = batch.offsets.iter().zip(&ahead).filter(|(_, is_ahead)| **is_ahead).map(|(offset, _)| Reject {
        offset: Offset(*offset),
        reason: reason::RECEIVED_IN_FUTURE,
        detail: detail.clone(),
    });
    batch.rejects.extend(rejected);
    batch.rows = filter_record_batch(&batch.rows, &not(&BooleanArray::from(ahead.clone()))?)?;
    let kept = |values: &[i64]| {
        values.iter().zip(&ahead).filter(|(_, is_ahead)| !**is_ahead).map(|(value, _)| *value).collect()
    };
    batch.offsets = kept(&batch.offsets);
    batch.appended_us = kept(&batch.appended_us);
    Ok(batch)
}

/// Parts of a batch as one, in order of offset.
fn in_order(schema: &SchemaRef, mut parts: Vec<LogBatch>) -> Result<LogBatch, ArrowError> {
    let batches: Vec<RecordBatch> = parts.iter().map(|part| part.rows.clone()).collect();
    let mut whole = parts.remove(0);
    for part in parts {
        whole.offsets.extend(part.offsets);
        whole.appended_us.extend(part.appended_us);
        whole.rejects.extend(part.rejects);
    }
    whole.rejects.sort_by_key(|reject| reject.offset);
    let filled: Vec<&RecordBatch> = batches.iter().filter(|rows| rows.num_rows() > 0).collect();
    whole.rows = match filled[..] {
        [rows] => rows.clone(),
        _ => concat_batches(schema, filled)?,
    };
    if !whole.offsets.is_sorted() {
        let mut order: Vec<usize> = (0..whole.offsets.len()).collect();
        order.sort_by_key(|row| whole.offsets[*row]);
        whole.rows =
            take_record_batch(&whole.rows, &UInt64Array::from_iter_values(order.iter().map(|row| *row as u64)))?;
        whole.offsets = order.iter().map(|row| whole.offsets[*row]).collect();
        whole.appended_us = order.iter().map(|row| whole.appended_us[*row]).collect();
    }
    Ok(whole)
}

#[cfg(test)]
mod tests;
