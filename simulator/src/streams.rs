//! Randomness from the seed: every entity and day has a stream of its own, so that no draw depends on another's order.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// A stream of numbers.
pub(crate) type Stream = ChaCha8Rng;

/// The stream of one purpose, entity and day under a seed.
pub(crate) fn stream(seed: u64, purpose: &str, entity: u64, day: u64) -> Stream {
    Stream::from_seed(digest(seed, purpose, entity, day))
}

/// 32 bytes that depend on all four.
pub(crate) fn digest(seed: u64, purpose: &str, entity: u64, day: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"tillstream town 1");
    for number in [seed, entity, day] {
        hash.update(number.to_be_bytes());
    }
    hash.update(purpose.as_bytes());
    hash.finalize().into()
}

/// A number of the standard normal distribution (Box and Muller 1958).
pub(crate) fn normal(stream: &mut Stream) -> f64 {
    let radius = (-2.0 * (1.0 - stream.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * stream.random::<f64>()).cos()
}

/// One of the items, each as likely.
pub(crate) fn pick<'item, T>(stream: &mut Stream, items: &'item [T]) -> &'item T {
    &items[stream.random_range(0..items.len())]
}

/// A duration in microseconds from a range in milliseconds.
pub(crate) fn wait_us(stream: &mut Stream, range_ms: std::ops::Range<i64>) -> i64 {
    stream.random_range(range_ms) * 1_000 + stream.random_range(0..1_000)
}

/// Bytes that spell a name: alternating consonants and vowels, upper case.
pub(crate) fn word(stream: &mut Stream, syllables: std::ops::RangeInclusive<usize>) -> String {
    const STARTS: [&str; 16] = ["B", "BR", "C", "D", "F", "G", "H", "K", "L", "M", "N", "P", "R", "S", "T", "V"];
    const ENDS: [&str; 12] = ["A", "AN", "E", "EL", "EN", "I", "IN", "O", "OR", "U", "AR", "ON"];
    let count = stream.random_range(syllables);
    (0..count).map(|_| format!("{}{}", pick(stream, &STARTS), pick(stream, &ENDS))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when a part is left out of the hash.
    #[test]
    fn every_part_makes_a_stream_of_its_own() {
        let first = |seed, purpose, entity, day| stream(seed, purpose, entity, day).random::<u64>();
        let base = first(1, "cards", 2, 3);
        assert_eq!(base, first(1, "cards", 2, 3));
        for other in
            [first(2, "cards", 2, 3), first(1, "readers", 2, 3), first(1, "cards", 3, 3), first(1, "cards", 2, 4)]
        {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn normal_numbers_have_mean_0_and_variance_1() {
        let mut stream = stream(1, "normal", 0, 0);
        let numbers: Vec<f64> = (0..20_000).map(|_| normal(&mut stream)).collect();
        let mean = numbers.iter().sum::<f64>() / 20_000.0;
        let variance = numbers.iter().map(|number| number * number).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
