//! On which partition of a topic a record lies: by hash of its key, as Kafka's own clients place records, and for
//! payments by the route in the payment id. The state for a key lives where its records lie.

use crate::Partition;
use crate::ids::{PaymentId, Route};

/// Kafka's hash of keys: 32-bit MurmurHash2 with the seed of its Java client
/// (`org.apache.kafka.common.utils.Utils.murmur2`).
pub fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MULTIPLIER: u32 = 0x5bd1_e995;
    const ROTATION: u32 = 24;
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> ROTATION;
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed.wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(MULTIPLIER);
    hash ^ hash >> 15
}

/// Partition of a key where Kafka's Java client puts it by default (`murmur2` in librdkafka).
pub fn of_key(key: &[u8], partition_count: u16) -> Partition {
    let positive = murmur2(key) & 0x7fff_ffff;
    Partition(i32::try_from(positive % u32::from(partition_count.max(1))).unwrap_or_default())
}

/// Partition of the payments topic on which a payment lies: its route modulo the number of partitions. `None` for a
/// text that is no payment id.
pub fn of_payment(payment_id: &str, partition_count: u16) -> Option<Partition> {
    let PaymentId([high, low, ..]) = PaymentId::from_hex(payment_id)?;
    Some(Route(u16::from_be_bytes([high, low])).partition(partition_count))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the Java client's own tests (UtilsTest.testMurmur2, Apache Kafka).
    #[test]
    fn the_hash_is_that_of_kafkas_java_client() {
        let published: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in published {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_payment_lies_where_its_route_says() {
        let id = "0102aaaaaaaaaaaaaaaaaaaaaaaa";
        assert_eq!(of_payment(id, 12), Some(Partition(0x0102 % 12)));
        assert_eq!(of_payment("0102", 12), None);
        assert_eq!(of_payment(id, 1), Some(Partition(0)));
    }
}
