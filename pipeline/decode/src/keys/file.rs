//! The key file's JSON. Texts that hold keys are wiped as soon as they have been read or written.

use jiff::civil::Date;
use schemas::ids::key_check_value;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{KeyRing, KeySet, NamedKey, value};
use crate::KeyError;
use crate::dukpt::Cipher;

/// A key as hexadecimal digits.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
struct KeyText(String);

impl KeyText {
    fn of(key: &[u8]) -> Self {
        Self(hex::encode_upper(key))
    }

    fn bytes<const LENGTH: usize>(&self, what: &str) -> Result<[u8; LENGTH], KeyError> {
        let mut bytes = [0; LENGTH];
        hex::decode_to_slice(&self.0, &mut bytes).map_err(|_| {
            let problem = if LENGTH == 16 { "must be 32 hexadecimal digits" } else { "must be 64 hexadecimal digits" };
            value(what.to_string(), problem)
        })?;
        Ok(bytes)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RingFile {
    demo: bool,
    key_sets: Vec<KeySetFile>,
    token_keys: Vec<TokenKeyFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    routing_key: Option<RoutingKeyFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeySetFile {
    id: String,
    ksn_prefix: String,
    cipher: Cipher,
    base_key: KeyText,
    check_value: String,
    test: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_after: Option<Date>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenKeyFile {
    version: String,
    key: KeyText,
    check_value: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoutingKeyFile {
    id: String,
    key: KeyText,
    check_value: String,
}

impl KeyRing {
    /// Reads a key file and checks every key against its check value. Messages name the entry, never the key.
    pub fn from_json(content: &[u8]) -> Result<Self, KeyError> {
        let file: RingFile = serde_json::from_slice(content)
            .map_err(|error| KeyError::NotReadable { line: error.line(), column: error.column() })?;
        let mut ring = Self { demo: file.demo, ..Self::default() };
        for entry in file.key_sets {
            let what = format!("key set {:?}", entry.id);
            let mut key_set = KeySet::new(&entry.id, &entry.ksn_prefix, entry.base_key.bytes(&what)?, entry.test)?;
            key_set.cipher = entry.cipher;
            key_set.not_after = entry.not_after;
            compare(what, &entry.check_value, key_set.base_key.check_value())?;
            ring = ring.with_key_set(key_set)?;
        }
        for entry in file.token_keys {
            let what = format!("token key {:?}", entry.version);
            let key = Zeroizing::new(entry.key.bytes(&what)?);
            compare(what, &entry.check_value, key_check_value(&key))?;
            ring = ring.with_token_key(&entry.version, *key)?;
        }
        if let Some(entry) = file.routing_key {
            let what = format!("routing key {:?}", entry.id);
            let key = Zeroizing::new(entry.key.bytes(&what)?);
            compare(what, &entry.check_value, key_check_value(&key))?;
            ring = ring.with_routing_key(&entry.id, *key);
        }
        Ok(ring)
    }

    /// The ring as a key file, keys in clear: for a demo's ring, and to be wiped after writing.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let key_set = |set: &KeySet| KeySetFile {
            id: set.id.clone(),
            ksn_prefix: set.ksn_prefix.clone(),
            cipher: set.cipher,
            base_key: KeyText::of(set.base_key.bytes()),
            check_value: set.base_key.check_value(),
            test: set.test,
            not_after: set.not_after,
        };
        let token_key = |key: &NamedKey| TokenKeyFile {
            version: key.name.clone(),
            key: KeyText::of(&*key.key),
            check_value: key_check_value(&key.key),
        };
        let routing_key = |key: &NamedKey| RoutingKeyFile {
            id: key.name.clone(),
            key: KeyText::of(&*key.key),
            check_value: key_check_value(&key.key),
        };
        let file = RingFile {
            demo: self.demo,
            key_sets: self.key_sets.iter().map(key_set).collect(),
            token_keys: self.token_keys.iter().map(token_key).collect(),
            routing_key: self.routing_key.as_ref().map(routing_key),
        };
        Zeroizing::new(serde_json::to_vec_pretty(&file).expect("texts and flags always serialize"))
    }
}

fn compare(what: String, stated: &str, found: String) -> Result<(), KeyError> {
    if stated.eq_ignore_ascii_case(&found) {
        return Ok(());
    }
    Err(KeyError::CheckValue { what, stated: stated.to_string(), found })
}
