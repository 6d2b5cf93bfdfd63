//! The key ring: base keys of readers by prefix of their key serial numbers, token keys by version, the routing key.
//! Keys are wiped on drop and never printed; each is checked against its check value when the ring is read.
//!
//! A ring is JSON whose bytes the caller provides. What is in it comes into force only by control records.

mod file;
#[cfg(test)]
mod tests;

use jiff::civil::Date;
use schemas::ids::key_check_value;
use zeroize::Zeroizing;

use crate::KeyError;
use crate::dukpt::{Cipher, Ksn, TdesKey};

/// Base key of the published test vectors: ANSI X9.24-1 annex A and the manuals of ID TECH readers.
pub const PUBLISHED_BASE_KEY: [u8; 16] =
    [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0xFE, 0xDC, 0xBA, 0x98, 0x76, 0x54, 0x32, 0x10];
/// Key set of [`KeyRing::published`] for the readers of ID TECH's manuals.
pub const PUBLISHED_ID_TECH: &str = "test-id-tech";
/// Key set of [`KeyRing::published`] for the vectors of ANSI X9.24-1.
pub const PUBLISHED_X9_24: &str = "test-x9-24";
/// Longest prefix: the hexadecimal digits of a key serial number that hold no bit of the counter.
const PREFIX_DIGITS_MAX: usize = 14;

/// A base key and the readers for which it counts.
#[derive(Debug)]
pub struct KeySet {
    id: String,
    ksn_prefix: String,
    cipher: Cipher,
    base_key: TdesKey,
    test: bool,
    not_after: Option<Date>,
}

impl KeySet {
    /// A key set for the readers whose key serial numbers start with `ksn_prefix` (1 to 14 hexadecimal digits).
    /// `test` marks a published key.
    pub fn new(id: &str, ksn_prefix: &str, base_key: [u8; 16], test: bool) -> Result<Self, KeyError> {
        let digits = ksn_prefix.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !digits || !(1..=PREFIX_DIGITS_MAX).contains(&ksn_prefix.len()) {
            return Err(value(format!("ksn_prefix of key set {id:?}"), "must be 1 to 14 hexadecimal digits"));
        }
        Ok(Self {
            id: id.to_string(),
            ksn_prefix: ksn_prefix.to_ascii_uppercase(),
            cipher: Cipher::TdesDukpt,
            base_key: TdesKey::new(base_key),
            test,
            not_after: None,
        })
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// First hexadecimal digits (upper case) of its readers' key serial numbers.
    pub fn ksn_prefix(&self) -> &str {
        &self.ksn_prefix
    }

    /// How its readers encrypt.
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// The base key (BDK).
    pub fn base_key(&self) -> &TdesKey {
        &self.base_key
    }

    /// Whether the key is a published one: only then may clear tracks be shown.
    pub fn is_test(&self) -> bool {
        self.test
    }

    /// Last day of its cryptoperiod, where it has one. Who loads the ring checks it: this crate has no clock.
    pub fn not_after(&self) -> Option<Date> {
        self.not_after
    }
}

/// A 256-bit key of which only the check value shows.
struct NamedKey {
    name: String,
    key: Zeroizing<[u8; 32]>,
}

impl NamedKey {
    fn new(name: &str, key: [u8; 32]) -> Self {
        Self { name: name.to_string(), key: Zeroizing::new(key) }
    }
}

impl std::fmt::Debug for NamedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ****", self.name)
    }
}

/// Every key that this process can use.
#[derive(Debug, Default)]
pub struct KeyRing {
    demo: bool,
    key_sets: Vec<KeySet>,
    token_keys: Vec<NamedKey>,
    routing_key: Option<NamedKey>,
}

impl KeyRing {
    /// A ring with the published test keys only: [`PUBLISHED_ID_TECH`] and [`PUBLISHED_X9_24`].
    pub fn published() -> Self {
        let key_set = |id, prefix| {
            KeySet::new(id, prefix, PUBLISHED_BASE_KEY, true).expect("the prefix below has 1 to 14 hexadecimal digits")
        };
        Self {
            demo: true,
            key_sets: vec![key_set(PUBLISHED_ID_TECH, "62994901"), key_set(PUBLISHED_X9_24, "FFFF9876543210")],
            ..Self::default()
        }
    }

    /// The ring with one more key set; its id and prefix must be new.
    pub fn with_key_set(mut self, key_set: KeySet) -> Result<Self, KeyError> {
        if self.key_sets.iter().any(|other| other.id == key_set.id || other.ksn_prefix == key_set.ksn_prefix) {
            return Err(value(format!("key set {:?}", key_set.id), "its id and its ksn_prefix must be its own"));
        }
        self.key_sets.push(key_set);
        Ok(self)
    }

    /// The ring with one more token key; its version must be new.
    pub fn with_token_key(mut self, version: &str, key: [u8; 32]) -> Result<Self, KeyError> {
        if self.token_key(version).is_some() {
            return Err(value(format!("token key {version:?}"), "its version must be its own"));
        }
        self.token_keys.push(NamedKey::new(version, key));
        Ok(self)
    }

    /// The ring with this routing key, which never rotates.
    pub fn with_routing_key(mut self, id: &str, key: [u8; 32]) -> Self {
        self.routing_key = Some(NamedKey::new(id, key));
        self
    }

    /// Whether the ring belongs to a demo, where test cards are taken. Fixed for the life of a log.
    pub fn is_demo(&self) -> bool {
        self.demo
    }

    /// Every key set, in the order of the file.
    pub fn key_sets(&self) -> &[KeySet] {
        &self.key_sets
    }

    /// The key set of this id.
    pub fn key_set(&self, id: &str) -> Option<&KeySet> {
        self.key_sets.iter().find(|key_set| key_set.id == id)
    }

    /// Of the key sets that `may_be_used`, the one with the longest prefix of this key serial number.
    pub(crate) fn key_set_for(&self, ksn: Ksn, may_be_used: impl Fn(&str) -> bool) -> Option<&KeySet> {
        let mut digits = [0; 2 * Ksn::LENGTH];
        hex::encode_to_slice(ksn.bytes(), &mut digits).expect("two digits for each byte");
        let fits = |key_set: &&KeySet| {
            let start = &digits[..key_set.ksn_prefix.len()];
            start.eq_ignore_ascii_case(key_set.ksn_prefix.as_bytes()) && may_be_used(&key_set.id)
        };
        self.key_sets.iter().filter(fits).max_by_key(|key_set| key_set.ksn_prefix.len())
    }

    /// The token key of this version.
    pub fn token_key(&self, version: &str) -> Option<&[u8; 32]> {
        self.token_keys.iter().find(|key| key.name == version).map(|key| &*key.key)
    }

    /// Versions of the token keys, in the order of the file.
    pub fn token_key_versions(&self) -> impl Iterator<Item = &str> {
        self.token_keys.iter().map(|key| key.name.as_str())
    }

    /// The routing key with its id.
    pub fn routing_key(&self) -> Option<(&str, &[u8; 32])> {
        self.routing_key.as_ref().map(|key| (key.name.as_str(), &*key.key))
    }

    /// Check value of the key that a control record of this kind (`key_set`, `token_key`, `routing_key`) and id
    /// names, if the ring has it.
    pub fn check_value(&self, kind: &str, id: &str) -> Option<String> {
        match kind {
            "key_set" => self.key_set(id).map(|key_set| key_set.base_key.check_value()),
            "token_key" => self.token_key(id).map(key_check_value),
            "routing_key" => self.routing_key().filter(|(name, _)| *name == id).map(|(_, key)| key_check_value(key)),
            _ => None,
        }
    }
}

fn value(what: String, problem: &'static str) -> KeyError {
    KeyError::Value { what, problem }
}
