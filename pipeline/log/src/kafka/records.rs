//! Rows of a topic become records of a broker: key, payload and header, the same for whoever sends them.

use arrow::array::{Array, AsArray, RecordBatch};
use schemas::topics;

use super::headers::SchemaHeader;
use crate::LogError;
use crate::wire::{Encoder, Format};

/// A record that is to be sent.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// What places it among the partitions; none where the topic's key has no value in its row.
    pub key: Option<&'a [u8]>,
    /// What it says.
    pub payload: &'a [u8],
    pub(super) header: Option<&'a SchemaHeader>,
}

/// Takes a row's number and its record.
type Take<'a, E> = dyn FnMut(usize, Record<'_>) -> Result<(), E> + 'a;

/// Makes the records of one topic.
pub struct RecordWriter {
    topic: &'static str,
    encoder: Encoder,
    header: Option<SchemaHeader>,
}

impl RecordWriter {
    /// A writer for a topic.
    ///
    /// # Errors
    /// There is no such topic.
    pub fn new(topic: &'static str, format: Format) -> Result<Self, LogError> {
        let encoder = Encoder::new(topic, format)?;
        let header = SchemaHeader::of(&encoder);
        Ok(Self { topic, encoder, header })
    }

    /// Gives each row's number and record to `each`, in order, up to its first error.
    ///
    /// # Errors
    /// The rows do not have the topic's schema, or what `each` returns.
    pub fn write<E: From<LogError>>(&mut self, rows: &RecordBatch, each: &mut Take<'_, E>) -> Result<(), E> {
        let keys = topics::key_column(self.topic)
            .and_then(|column| rows.column_by_name(column))
            .and_then(|column| column.as_string_opt::<i32>());
        let header = self.header.as_ref();
        self.encoder.encode(rows, &mut |row, payload| {
            let key = keys.filter(|keys| keys.is_valid(row)).map(|keys| keys.value(row).as_bytes());
            each(row, Record { key, payload, header })
        })
    }
}
