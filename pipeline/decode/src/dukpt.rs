//! TDES DUKPT (ANSI X9.24-1:2009 annex A): the key of each swipe, derived from a base key and the key serial number
//! that the reader sends with it. Derivation keeps no state: it walks the counter's one-bits from the highest down.
//! Reader firmware encrypts with the same functions, so the simulator uses them too.

use des::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use des::{Des, TdesEde2};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Highest counter of a device (X9.24-1:2009 annex A); past it the device must stop.
pub const COUNTER_MAX: u32 = 0x1F_F800;
/// Most one-bits that a legal counter may have.
pub const COUNTER_ONE_BITS_MAX: u32 = 10;
/// The low 21 bits of a key serial number.
const COUNTER_MASK: u32 = 0x1F_FFFF;
/// Mask by which the right half of an initial key and the left half of a derived key are made.
const DERIVATION_MASK: u128 = 0xC0C0_C0C0_0000_0000_C0C0_C0C0_0000_0000;
/// Mask of the key for data from the reader (X9.24-1:2009 table A-1, "data encryption, request").
const DATA_REQUEST_MASK: u128 = 0x0000_0000_00FF_0000_0000_0000_00FF_0000;

/// Which scheme derives and applies the key of a swipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Cipher {
    /// Two-key TDES with DUKPT, CBC with initial vector 0, data-request variant.
    #[serde(rename = "tdes-dukpt")]
    TdesDukpt,
}

/// A double-length TDES key; wiped on drop, never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct TdesKey([u8; 16]);

impl TdesKey {
    /// The key with these 16 bytes, left half first.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for writing a key file.
    pub(crate) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// First three bytes of encrypting eight zero bytes (X9.24-1:2009 7.7), by which key files and control records
    /// name a key without showing it; six upper-case hexadecimal digits.
    pub fn check_value(&self) -> String {
        hex::encode_upper(&self.encrypt([0; 8])[..3])
    }

    fn encrypt(&self, block: [u8; 8]) -> [u8; 8] {
        let mut block = block.into();
        TdesEde2::new(&self.0.into()).encrypt_block(&mut block);
        block.into()
    }

    fn masked(&self, mask: u128) -> Self {
        Self((u128::from_be_bytes(self.0) ^ mask).to_be_bytes())
    }

    fn halves(&self) -> ([u8; 8], [u8; 8]) {
        let mut halves = ([0; 8], [0; 8]);
        halves.0.copy_from_slice(&self.0[..8]);
        halves.1.copy_from_slice(&self.0[8..]);
        halves
    }

    fn from_halves(left: [u8; 8], right: [u8; 8]) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&left);
        bytes[8..].copy_from_slice(&right);
        Self(bytes)
    }
}

impl std::fmt::Debug for TdesKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TdesKey(****)")
    }
}

/// Why a counter may not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CounterError {
    /// Zero belongs to the initial key, which encrypts nothing.
    #[error("key counter is 0, which encrypts nothing: inject the reader again")]
    Zero,
    /// More one-bits than a reader ever sends.
    #[error("key counter {0:#X} has more than {COUNTER_ONE_BITS_MAX} one-bits, which no reader sends")]
    TooManyOneBits(u32),
}

/// A key serial number: ten bytes, of which the low 21 bits count the swipes of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ksn([u8; 10]);

impl Ksn {
    /// Length in bytes.
    pub const LENGTH: usize = 10;

    /// The key serial number with these bytes, legal or not.
    pub const fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The bytes as the reader sends them.
    pub const fn bytes(self) -> [u8; Self::LENGTH] {
        self.0
    }

    /// The low 21 bits.
    pub fn counter(self) -> u32 {
        u32::from_be_bytes([0, self.0[7], self.0[8], self.0[9]]) & COUNTER_MASK
    }

    /// The same device at another counter, of which the low 21 bits count.
    pub fn with_counter(self, counter: u32) -> Self {
        let mut bytes = self.0;
        let low = u32::from_be_bytes([0, bytes[7], bytes[8], bytes[9]]) & !COUNTER_MASK | counter & COUNTER_MASK;
        bytes[7..].copy_from_slice(&low.to_be_bytes()[1..]);
        Self(bytes)
    }

    /// Key set and device without the counter: the initial key serial number.
    pub fn device(self) -> Self {
        self.with_counter(0)
    }

    /// Refuses a counter that no reader sends. 21 bits with at most ten ones never exceed [`COUNTER_MAX`].
    pub fn check(self) -> Result<(), CounterError> {
        match self.counter() {
            0 => Err(CounterError::Zero),
            counter if counter.count_ones() > COUNTER_ONE_BITS_MAX => Err(CounterError::TooManyOneBits(counter)),
            _ => Ok(()),
        }
    }

    /// 20 upper-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        hex::encode_upper(self.0)
    }

    /// The inverse of [`Ksn::to_hex`].
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::LENGTH];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

/// The counter that a device uses after this one, if there is one left: counters with too many one-bits are skipped.
pub fn next_counter(counter: u32) -> Option<u32> {
    let mut next = counter + 1;
    while next.count_ones() > COUNTER_ONE_BITS_MAX {
        // Every number before the next multiple of the lowest one-bit has these ones and more.
        next += next & next.wrapping_neg();
    }
    (next <= COUNTER_MAX).then_some(next)
}

/// Key that is injected into the device of this key serial number (annex A.6).
pub fn initial_key(base_key: &TdesKey, ksn: Ksn) -> TdesKey {
    let mut device = [0; 8];
    device.copy_from_slice(&ksn.device().0[..8]);
    TdesKey::from_halves(base_key.encrypt(device), base_key.masked(DERIVATION_MASK).encrypt(device))
}

/// Key of one swipe, from the device's initial key and the swipe's key serial number (annex A.2 and A.3).
pub fn transaction_key(initial_key: &TdesKey, ksn: Ksn) -> TdesKey {
    let mut register = [0; 8];
    register.copy_from_slice(&ksn.device().0[2..]);
    let mut register = u64::from_be_bytes(register);
    let mut key = TdesKey(initial_key.0);
    let counter = ksn.counter();
    for bit in (0..21).rev().map(|place| 1_u32 << place).filter(|bit| counter & bit != 0) {
        register |= u64::from(bit);
        key = TdesKey::from_halves(one_way(&key.masked(DERIVATION_MASK), register), one_way(&key, register));
    }
    key
}

/// The non-reversible step: single DES under the left half, the right half folded in before and after.
fn one_way(key: &TdesKey, register: u64) -> [u8; 8] {
    let (left, right) = key.halves();
    let right = u64::from_be_bytes(right);
    let mut block = (register ^ right).to_be_bytes().into();
    Des::new(&left.into()).encrypt_block(&mut block);
    (u64::from_be_bytes(block.into()) ^ right).to_be_bytes()
}

/// Key under which a reader encrypts tracks: each half of the data-request variant, encrypted under the whole variant.
pub fn data_key(transaction_key: &TdesKey) -> TdesKey {
    let variant = transaction_key.masked(DATA_REQUEST_MASK);
    let (left, right) = variant.halves();
    TdesKey::from_halves(variant.encrypt(left), variant.encrypt(right))
}

/// Data key of a swipe straight from the base key.
pub fn swipe_key(base_key: &TdesKey, ksn: Ksn) -> TdesKey {
    data_key(&transaction_key(&initial_key(base_key, ksn), ksn))
}

/// TDES-CBC with initial vector 0, in place.
pub fn cbc_encrypt(key: &TdesKey, blocks: &mut [[u8; 8]]) {
    let cipher = TdesEde2::new(&key.0.into());
    let mut previous = 0_u64;
    for block in blocks {
        let mut chained = (u64::from_be_bytes(*block) ^ previous).to_be_bytes().into();
        cipher.encrypt_block(&mut chained);
        *block = chained.into();
        previous = u64::from_be_bytes(*block);
    }
}

/// The inverse of [`cbc_encrypt`].
pub fn cbc_decrypt(key: &TdesKey, blocks: &mut [[u8; 8]]) {
    let cipher = TdesEde2::new(&key.0.into());
    let mut previous = 0_u64;
    for block in blocks {
        let closed = u64::from_be_bytes(*block);
        cipher.decrypt_block(block.into());
        *block = (u64::from_be_bytes(*block) ^ previous).to_be_bytes();
        previous = closed;
    }
}

#[cfg(test)]
mod tests;
