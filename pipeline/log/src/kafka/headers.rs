//! The header of a record that names the schema of its frame: written beside what an encoder makes, and found on what is
//! read. Other headers are somebody else's, and are passed over.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers, OwnedHeaders};

use crate::wire::{Encoder, SCHEMA_HEADER, is_frame};

/// Headers of a record that are looked at, from its last one on: relays and traces add some each.
const HEADERS_MAX: usize = 64;

/// Headers of every record of one encoder, made once: the client takes a copy of them for each record.
pub(super) struct SchemaHeader(OwnedHeaders);

impl SchemaHeader {
    /// What an encoder's records need; `None` where their payloads name the schema themselves.
    pub(super) fn of(encoder: &Encoder) -> Option<Self> {
        let fingerprint = encoder.fingerprint()?;
        let header = Header { key: SCHEMA_HEADER, value: Some(&fingerprint[..]) };
        Some(Self(OwnedHeaders::new_with_capacity(1).insert(header)))
    }

    /// A copy for one record.
    pub(super) fn copied(&self) -> OwnedHeaders {
        self.0.clone()
    }
}

/// What the header of a frame holds; the last one where there are several, as Kafka's own clients choose. Records of other
/// formats are not asked, since librdkafka parses headers on demand.
pub(super) fn schema_header<'a>(message: &'a BorrowedMessage<'_>, payload: &[u8]) -> Option<&'a [u8]> {
    let headers = if is_frame(payload) { message.headers()? } else { return None };
    let newest_first = (0..headers.count()).rev().take(HEADERS_MAX);
    let mut readable = newest_first.filter_map(|index| unless_it_panics(|| headers.get(index)));
    readable.find(|header| header.key == SCHEMA_HEADER)?.value
}

/// The binding panics over a header whose name is not UTF-8. Such a record would end the unit at each start.
fn unless_it_panics<T>(get: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(get)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_cannot_be_read_is_passed_over() {
        let names = [Ok("a"), Err("not UTF-8"), Ok("b")];
        let read: Vec<_> = names.iter().filter_map(|name| unless_it_panics(|| name.unwrap())).collect();
        assert_eq!(read, ["a", "b"]);
    }

    #[test]
    fn a_header_says_the_fingerprint_of_the_encoder() {
        let encoder = Encoder::new("pings", crate::wire::Format::Registry(4)).unwrap();
        let headers = SchemaHeader::of(&encoder).unwrap().copied();
        let header = headers.get(0);
        assert_eq!((headers.count(), header.key), (1, "till-schema"));
        assert_eq!(header.value, encoder.fingerprint().as_ref().map(|value| &value[..]));
        assert!(SchemaHeader::of(&Encoder::new("pings", crate::wire::Format::Avro).unwrap()).is_none());
    }
}
