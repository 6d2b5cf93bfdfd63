//! Identifiers: card tokens, payment ids with their route, content hashes.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Keyed identity of a card: the first 128 bits of HMAC-SHA-256 over the card number's digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CardToken(pub [u8; 16]);

impl CardToken {
    /// Token of a card number given as ASCII digits, under one version of the token key.
    pub fn derive(token_key: &[u8; 32], card_number: &[u8]) -> Self {
        let digest = hmac_sha256(token_key, card_number);
        let mut token = [0; 16];
        token.copy_from_slice(&digest[..16]);
        Self(token)
    }

    /// 32 lower-case hexadecimal digits, as tables show it.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// The inverse of [`CardToken::to_hex`].
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut token = [0; 16];
        hex::decode_to_slice(text, &mut token).ok()?;
        Some(Self(token))
    }
}

/// The 16 bits of a payment id that choose its partition of the payments topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Route(pub u16);

impl Route {
    /// Route of a card number (ASCII digits) under the routing key, which never rotates.
    pub fn of_card(routing_key: &[u8; 32], card_number: &[u8]) -> Self {
        Self::keyed(routing_key, b"card", card_number)
    }

    /// Route of a swipe whose frame did not open: of its reader.
    pub fn of_reader(routing_key: &[u8; 32], reader_id: &str) -> Self {
        Self::keyed(routing_key, b"reader", reader_id.as_bytes())
    }

    fn keyed(routing_key: &[u8; 32], domain: &[u8], value: &[u8]) -> Self {
        let mut message = Vec::with_capacity(domain.len() + 1 + value.len());
        message.extend_from_slice(domain);
        message.push(0);
        message.extend_from_slice(value);
        let digest = hmac_sha256(routing_key, &message);
        message.fill(0);
        Self(u16::from_be_bytes([digest[0], digest[1]]))
    }

    /// Partition of the payments topic for a topic of `partition_count` partitions.
    pub fn partition(self, partition_count: u16) -> crate::Partition {
        crate::Partition(i32::from(self.0 % partition_count.max(1)))
    }
}

/// Identity of a payment: two bytes of route, then the first 12 bytes of SHA-256(reader, KSN, STAN).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PaymentId(pub [u8; 14]);

impl PaymentId {
    /// Identity of the swipe that `reader_id` sent with this key serial number (raw bytes) and STAN. The parts are
    /// length-prefixed, so that no two different triples hash the same text.
    pub fn derive(route: Route, reader_id: &str, ksn: &[u8], stan: i32) -> Self {
        let mut hash = Sha256::new();
        for part in [reader_id.as_bytes(), ksn, &stan.to_be_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut id = [0; 14];
        id[..2].copy_from_slice(&route.0.to_be_bytes());
        id[2..].copy_from_slice(&digest[..12]);
        Self(id)
    }

    /// The route inside the identity.
    pub fn route(self) -> Route {
        Route(u16::from_be_bytes([self.0[0], self.0[1]]))
    }

    /// 28 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// The inverse of [`PaymentId::to_hex`].
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut id = [0; 14];
        hex::decode_to_slice(text, &mut id).ok()?;
        Some(Self(id))
    }
}

/// Identity of something that a device did from a moment on: the first 128 bits of SHA-256 over what it is, the device and
/// the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MovementId([u8; 16]);

impl MovementId {
    /// Identity of the device's trip that starts at this time, microseconds UTC.
    pub fn of_trip(device_id: &str, start_us: i64) -> Self {
        Self::derive(b"trip", device_id, start_us)
    }

    /// Identity of the device's stop that starts at this time, microseconds UTC.
    pub fn of_stop(device_id: &str, start_us: i64) -> Self {
        Self::derive(b"stop", device_id, start_us)
    }

    fn derive(what: &[u8; 4], device_id: &str, start_us: i64) -> Self {
        let mut hash = Sha256::new();
        hash.update(what);
        hash.update(start_us.to_be_bytes());
        hash.update(device_id);
        let digest = hash.finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }

    /// 32 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

/// SHA-256 of a bundle's bytes, by which control records name it and under which the file lies in `bundles/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// Hash of these bytes.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// The inverse of [`ContentHash::to_hex`].
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).ok()?;
        Some(Self(hash))
    }
}

/// First sixteen bytes of SHA-256 over parts, each with its length before it so that no two lists hash the same text.
pub fn hash_of_parts(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    first
}

/// 32 lower-case hexadecimal digits of an identity, as tables show it.
pub fn hex_of(identity: &[u8; 16]) -> String {
    hex::encode(identity)
}

/// What names a payment in the identities of its alerts and of the groups that it opens.
pub fn alerting_payment(payment_id: PaymentId) -> [u8; 16] {
    hash_of_parts(&[b"payment", &payment_id.0])
}

/// Identity of the alert about a payment, by what names it, for a reason.
pub fn alert_id(payment: &[u8; 16], reason: &str) -> [u8; 16] {
    hash_of_parts(&[b"alert", payment, reason.as_bytes()])
}

/// Identity of a card's group of alerts, by the payment that opened it.
pub fn card_group_id(token: CardToken, payment: &[u8]) -> [u8; 16] {
    hash_of_parts(&[b"card", &token.0, payment])
}

/// HMAC-SHA-256 (RFC 2104) under a 256-bit key.
pub fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    // HMAC pads a key with zeros to the hash's block (RFC 2104 section 2).
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Check value of a token or routing key: the first three bytes of HMAC-SHA-256 over an empty message, in hexadecimal.
pub fn key_check_value(key: &[u8; 32]) -> String {
    hex::encode(&hmac_sha256(key, b"")[..3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_agrees_with_rfc_4231_case_3() {
        // RFC 4231 test case 3 has a 20-byte key; HMAC pads keys with zeros, so 32 bytes with 12 zeros is the same key.
        let mut key = [0; 32];
        key[..20].fill(0xaa);
        assert_eq!(
            hex::encode(hmac_sha256(&key, &[0xdd; 50])),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
        );
    }

    #[test]
    fn a_payment_id_carries_its_route_and_depends_on_every_part() {
        let base = PaymentId::derive(Route(0xbeef), "R1", &[1; 10], 7);
        assert_eq!(base.route(), Route(0xbeef));
        assert_eq!(PaymentId::from_hex(&base.to_hex()), Some(base));
        for other in [
            PaymentId::derive(Route(0xbeee), "R1", &[1; 10], 7),
            PaymentId::derive(Route(0xbeef), "R2", &[1; 10], 7),
            PaymentId::derive(Route(0xbeef), "R1", &[2; 10], 7),
            PaymentId::derive(Route(0xbeef), "R1", &[1; 10], 8),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn changing_the_key_changes_the_token_and_the_route() {
        let card = b"4111111111111111";
        assert_ne!(CardToken::derive(&[1; 32], card), CardToken::derive(&[2; 32], card));
        assert_ne!(Route::of_card(&[1; 32], card), Route::of_card(&[2; 32], card));
    }
}
