//! Records as a broker gave them, before anything is known of what they say.

/// Records as a broker gave them, one contiguous buffer. Not for print: payloads may hold readers' frames.
#[derive(Clone, Default)]
pub struct RawRecords {
    /// Offset of each record, from 0 and strictly increasing.
    pub offsets: Vec<i64>,
    /// When the broker appended each, microseconds UTC; negative where it does not say.
    pub appended_us: Vec<i64>,
    /// All payloads, one after the other.
    pub bytes: Vec<u8>,
    /// Where each payload ends in `bytes`.
    pub ends: Vec<usize>,
    /// Fingerprint that each names in its header [`SCHEMA_HEADER`](super::SCHEMA_HEADER).
    pub fingerprints: Vec<Option<u64>>,
}

impl RawRecords {
    /// Adds a record after the others. One without a payload has an empty one.
    pub fn push(&mut self, offset: i64, appended_us: i64, payload: &[u8]) {
        self.push_with(offset, appended_us, payload, None);
    }

    /// The same for a record with what its header [`SCHEMA_HEADER`](super::SCHEMA_HEADER) holds. A value that is no
    /// fingerprint counts as no header: the payload's own number then says what it means, or that it cannot be read.
    pub fn push_with(&mut self, offset: i64, appended_us: i64, payload: &[u8], header: Option<&[u8]>) {
        self.offsets.push(offset);
        self.appended_us.push(appended_us);
        self.bytes.extend_from_slice(payload);
        self.ends.push(self.bytes.len());
        self.fingerprints.push(header.and_then(|value| Some(u64::from_le_bytes(value.try_into().ok()?))));
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Drops all records and keeps the memory.
    pub fn clear(&mut self) {
        self.offsets.clear();
        self.appended_us.clear();
        self.bytes.clear();
        self.ends.clear();
        self.fingerprints.clear();
    }

    pub(super) fn fingerprint(&self, index: usize) -> Option<u64> {
        self.fingerprints[index]
    }

    /// Payload of a record, by its number.
    pub fn payload(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }
}
