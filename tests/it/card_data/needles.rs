//! Secrets in every usual spelling, and a search for all of them at once.

use std::collections::{BTreeSet, HashMap};

/// Bytes of a needle by which it is looked up; no needle is shorter.
const START: usize = 6;
/// Bytes of a frame that are searched for together: any 15 bytes of its secret part hold such a piece.
const PIECE: usize = 8;
/// Bytes at the start of a frame that say only how long its parts are.
const FRAME_HEAD: usize = 16;
/// Bytes at its end that are no secret: key serial number, LRC, checksum, end.
const FRAME_TAIL: usize = 13;

/// Byte strings that must not be found.
pub struct Needles {
    needles: Vec<(String, Vec<u8>)>,
    /// Needles by their first bytes; only looked up, never walked.
    by_start: HashMap<[u8; START], Vec<usize>>,
    /// Which first three bytes any needle has, one bit each: most places are none of them.
    starts: Vec<u64>,
}

impl Default for Needles {
    fn default() -> Self {
        Self { needles: Vec::new(), by_start: HashMap::new(), starts: vec![0; 1 << 18] }
    }
}

impl Needles {
    fn add(&mut self, what: String, bytes: Vec<u8>) {
        let start: [u8; START] = *bytes.first_chunk().unwrap_or_else(|| panic!("{what} is too short to search for"));
        let bit = bit_of(&start);
        self.starts[bit / 64] |= 1 << (bit % 64);
        self.by_start.entry(start).or_default().push(self.needles.len());
        self.needles.push((what, bytes));
    }

    /// Bytes as they are, in hexadecimal and in base64.
    pub fn add_text(&mut self, what: &str, secret: &[u8]) {
        self.add(what.to_string(), secret.to_vec());
        self.add(format!("{what}, hexadecimal"), hex::encode(secret).into_bytes());
        self.add(format!("{what}, hexadecimal in capitals"), hex::encode_upper(secret).into_bytes());
        for shift in 0..3 {
            self.add(format!("{what}, base64 from byte {shift} of a group on"), base64(secret, shift));
        }
    }

    /// Digits as text, and two to a byte.
    pub fn add_digits(&mut self, what: &str, digits: &str) {
        self.add_text(what, digits.as_bytes());
        for (from, alignment) in [(0, "even"), (1, "odd")] {
            self.add(format!("{what}, BCD, {alignment} digits first"), bcd(&digits[from..]));
        }
    }

    /// The parts of a reader's frame that hold what it encrypted.
    pub fn add_frame(&mut self, frame: &[u8]) {
        let secret = &frame[FRAME_HEAD..frame.len() - FRAME_TAIL];
        // Masked digits and the flags around them are no secret; names are searched for on their own.
        let is_readable = |piece: &&[u8]| piece.iter().filter(|byte| (b' '..=b'~').contains(byte)).count() >= PIECE - 1;
        for piece in secret.chunks_exact(PIECE).filter(|piece| !is_readable(piece)) {
            self.add_text("part of a frame", piece);
        }
    }

    /// What is found in these bytes, each kind once.
    pub fn found_in(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        for (at, start) in bytes.array_windows::<START>().enumerate() {
            let bit = bit_of(start);
            if self.starts[bit / 64] & (1 << (bit % 64)) == 0 {
                continue;
            }
            let candidates = self.by_start.get(start).into_iter().flatten().map(|index| &self.needles[*index]);
            found.extend(
                candidates.filter(|(_, needle)| bytes[at..].starts_with(needle)).map(|(what, _)| what.as_str()),
            );
        }
        found
    }
}

fn bit_of(start: &[u8; START]) -> usize {
    usize::from(start[0]) << 16 | usize::from(start[1]) << 8 | usize::from(start[2])
}

/// The characters of base64 that depend on these bytes alone, where `shift` other bytes stand before them in a group.
pub fn base64(bytes: &[u8], shift: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bit = |index: usize| bytes[index / 8 - shift] >> (7 - index % 8) & 1;
    let characters = (shift * 8).div_ceil(6)..(shift + bytes.len()) * 8 / 6;
    let value = |character: usize| (character * 6..character * 6 + 6).fold(0, |value, index| value << 1 | bit(index));
    characters.map(|character| ALPHABET[usize::from(value(character))]).collect()
}

/// Two digits a byte; one that is left over is left out.
pub fn bcd(digits: &str) -> Vec<u8> {
    digits.as_bytes().as_chunks::<2>().0.iter().map(|[high, low]| (high - b'0') << 4 | (low - b'0')).collect()
}

#[test]
fn base64_agrees_with_rfc_4648_at_each_place_in_a_group() {
    assert_eq!(base64(b"foobar", 0), b"Zm9vYmFy");
    // Of "_foobar" (X2Zvb2Jhcg==) and "__foobar" (X19mb29iYXI=) the characters that no underscore reaches.
    assert_eq!(base64(b"foobar", 1), b"Zvb2Jhc");
    assert_eq!(base64(b"foobar", 2), b"mb29iYX");
}
