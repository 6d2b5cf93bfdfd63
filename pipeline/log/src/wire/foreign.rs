//! Records of somebody else's topic, by columns that its reader names.
//!
//! All payloads are of one format: JSON objects, or Avro by one schema that the reader was given. Of a single object the
//! fingerprint must be that schema's, of a registry's frame the number must be the one that was given with it: a payload
//! by another schema is a reject, never a guess.

use arrow::datatypes::{DataType, Schema, SchemaRef};
use schemas::topics::timestamp;

use super::schema::{Writer, WrittenField};
use super::{AvroRows, Payload, RawRecords, fingerprint_of, in_order};
use crate::gather::Gathered;
use crate::json::{JsonRows, OBJECTS_MAX, Text};
use crate::{LogBatch, LogError, reason};

/// How such records are read.
enum Reader {
    Json(Box<JsonRows>),
    Avro { writer: Writer, fingerprint: u64, id: Option<u32> },
}

/// Decodes records into rows with the columns that were named; unknown fields are ignored. Which columns must have a
/// value is said by the schema.
pub struct ForeignDecoder {
    schema: SchemaRef,
    reader: Reader,
}

impl ForeignDecoder {
    /// A decoder of JSON objects.
    ///
    /// # Errors
    /// A column has a type that records do not have.
    pub fn json(schema: &SchemaRef) -> Result<Self, LogError> {
        Ok(Self { schema: schema.clone(), reader: Reader::Json(Box::new(JsonRows::new(schema)?)) })
    }

    /// A decoder of Avro by the schema with this text, and of frames whose number is `id`.
    ///
    /// # Errors
    /// The text is no Avro schema, or the columns cannot be read from it; says why.
    pub fn avro(schema: &SchemaRef, text: &str, id: Option<u32>) -> Result<Self, String> {
        let writer = Writer::new(text, schema)?;
        let fingerprint = fingerprint_of("of others", text).map_err(|error| error.to_string())?;
        Ok(Self { schema: schema.clone(), reader: Reader::Avro { writer, fingerprint, id } })
    }

    /// The fields of an Avro schema that a column of ours can take, in its order, each with the type of that column.
    ///
    /// # Errors
    /// The text is no Avro schema of a record; says why.
    pub fn avro_fields(text: &str) -> Result<Vec<(String, DataType)>, String> {
        let types = [DataType::Boolean, DataType::Int64, DataType::Float64, timestamp(), DataType::Utf8];
        let writer = Writer::new(text, &Schema::empty())?;
        let field = |written: &WrittenField| {
            let fitting = types.iter().find(|data_type| writer.fits(written, data_type))?;
            Some((written.name.clone(), fitting.clone()))
        };
        Ok(writer.fields.iter().filter_map(field).collect())
    }

    /// Decodes records. No result depends on where batches begin and end.
    ///
    /// # Errors
    /// The rows cannot be put together, which no payload causes.
    pub fn decode(&mut self, records: &RawRecords) -> Result<LogBatch, LogError> {
        let mut gathered = Gathered::new();
        let mut avro = AvroRows::new(&self.schema);
        let mut texts = Vec::new();
        for (index, row) in records.offsets.iter().map(|offset| offset.cast_unsigned()).enumerate() {
            match (Payload::of(records.payload(index)), &self.reader) {
                (Payload::Json(text), Reader::Json(_)) => texts.push(Text { row, text }),
                (Payload::SingleObject { fingerprint, body }, Reader::Avro { writer, fingerprint: known, .. })
                    if fingerprint == *known =>
                {
                    avro.take(writer, body, row, &mut gathered);
                }
                (Payload::Frame { id, body }, Reader::Avro { writer, id: known, .. }) if Some(id) == *known => {
                    avro.take(writer, body, row, &mut gathered);
                }
                (Payload::SingleObject { .. }, Reader::Avro { .. }) => {
                    gathered.reject(None, row, reason::UNKNOWN_SCHEMA, "the schema given has another fingerprint");
                }
                (Payload::Frame { id, .. }, Reader::Avro { .. }) => {
                    let cause = format!("schema {id} of a registry is not the one that was given");
                    gathered.reject(None, row, reason::UNKNOWN_SCHEMA, &cause);
                }
                (Payload::Bad(reason, cause), _) => gathered.reject(None, row, reason, cause),
                (Payload::Json(_), Reader::Avro { .. }) => {
                    gathered.reject(None, row, reason::UNKNOWN_FORMAT, "JSON, and Avro is to be read");
                }
                (Payload::SingleObject { .. } | Payload::Frame { .. }, Reader::Json(_)) => {
                    gathered.reject(None, row, reason::UNKNOWN_FORMAT, "Avro, and JSON is to be read");
                }
            }
        }
        if let Reader::Json(json) = &mut self.reader {
            for chunk in texts.chunks(OBJECTS_MAX) {
                json.decode(chunk, None, &mut gathered)?;
            }
        }
        avro.flush(&self.schema, &mut gathered)?;
        Ok(in_order(&self.schema, vec![gathered.finish(&self.schema)?])?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::AsArray;
    use arrow::datatypes::{Field, Int64Type};

    use super::*;

    const SCHEMA: &str = r#"{"type":"record","name":"Payment","fields":[{"name":"minor","type":"long"}]}"#;

    fn columns() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("minor", DataType::Int64, false)]))
    }

    fn records(payloads: &[&[u8]]) -> RawRecords {
        let mut records = RawRecords::default();
        payloads.iter().zip(5..).for_each(|(payload, offset)| records.push(offset, -1, payload));
        records
    }

    /// Fails if a record costs its neighbours, or a value is rounded.
    #[test]
    fn json_objects_become_rows_and_others_rejects() {
        let payloads: [&[u8]; 4] =
            [br#"{"minor":9007199254740993,"more":[1]}"#, b"{", br#"{"minor":1.5}"#, b"\0\0\0\0\x07\x02"];
        let batch = ForeignDecoder::json(&columns()).unwrap().decode(&records(&payloads)).unwrap();
        assert_eq!(batch.rows.column(0).as_primitive::<Int64Type>().values(), &[9_007_199_254_740_993]);
        assert_eq!(batch.offsets, [5]);
        let reasons: Vec<(i64, &str)> = batch.rejects.iter().map(|reject| (reject.offset.0, reject.reason)).collect();
        assert_eq!(reasons, [(6, reason::BAD_JSON), (7, reason::BAD_VALUE), (8, reason::UNKNOWN_FORMAT)]);
    }

    /// Fails if a payload is read by a schema that it does not name.
    #[test]
    fn avro_is_read_by_the_schema_that_it_names_alone() {
        let fingerprint = fingerprint_of("of others", SCHEMA).unwrap().to_le_bytes();
        let single = [&[0xc3, 0x01][..], &fingerprint, &[0x02]].concat();
        let other = [&[0xc3, 0x01][..], &[0; 8], &[0x02]].concat();
        let payloads: [&[u8]; 4] = [&single, &other, b"\0\0\0\0\x07\x04", b"\0\0\0\0\x08\x04"];
        let mut decoder = ForeignDecoder::avro(&columns(), SCHEMA, Some(7)).unwrap();
        let batch = decoder.decode(&records(&payloads)).unwrap();
        assert_eq!(batch.rows.column(0).as_primitive::<Int64Type>().values(), &[1, 2]);
        assert_eq!(batch.offsets, [5, 7]);
        assert!(batch.rejects.iter().all(|reject| reject.reason == reason::UNKNOWN_SCHEMA));
        assert_eq!(batch.rejects.len(), 2);
        let text = Arc::new(Schema::new(vec![Field::new("minor", DataType::Utf8, true)]));
        assert!(ForeignDecoder::avro(&text, SCHEMA, None).is_err());
    }

    /// Fails if a field gets a type that loses something of it, or one that nothing can take is told.
    #[test]
    fn the_fields_of_a_schema_have_the_types_that_take_them() {
        let field = |name: &str, shape: &str| format!(r#"{{"name":"{name}","type":{shape}}}"#);
        let fields = [
            field("card", r#""string""#),
            field("kind", r#"{"type":"enum","name":"Kind","symbols":["a"]}"#),
            field("minor", r#"["null","int","long"]"#),
            field("amount", r#"["null","double"]"#),
            field("either", r#"["int","float"]"#),
            field("chip", r#""boolean""#),
            field("at", r#"{"type":"long","logicalType":"timestamp-millis"}"#),
            field("nothing", r#""null""#),
            field("tags", r#"{"type":"array","items":"string"}"#),
            field("mixed", r#"["string","long"]"#),
        ];
        let text = format!(r#"{{"type":"record","name":"Payment","fields":[{}]}}"#, fields.join(","));
        let found = ForeignDecoder::avro_fields(&text).unwrap();
        let found: Vec<(&str, &DataType)> = found.iter().map(|(name, data_type)| (name.as_str(), data_type)).collect();
        let expected = [
            ("card", &DataType::Utf8),
            ("kind", &DataType::Utf8),
            ("minor", &DataType::Int64),
            ("amount", &DataType::Float64),
            ("either", &DataType::Float64),
            ("chip", &DataType::Boolean),
            ("at", &timestamp()),
        ];
        assert_eq!(found, expected);
        assert!(ForeignDecoder::avro_fields("\"int\"").is_err());
    }
}
