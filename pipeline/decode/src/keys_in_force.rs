//! Which keys of the ring are in force, by control records: names and check values, never a key.

use std::collections::BTreeMap;

use schemas::ids::Route;
use schemas::unit::UnitError;
use serde::{Deserialize, Serialize};

use crate::dukpt::Ksn;
use crate::error::not_loadable;
use crate::keys::{KeyRing, KeySet};

/// Most key sets in force at once: a ring is searched from end to end for each swipe.
const KEY_SETS_MAX: usize = 1_000;

/// A key by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Named {
    name: String,
    check_value: String,
}

/// Names and check values of the keys in force.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeysInForce {
    key_sets: BTreeMap<String, String>,
    /// The newest by control record.
    token_key: Option<Named>,
    /// It never rotates, or payments would change their partition: a ring has one, and what is in force must be in it.
    routing_key: Option<Named>,
}

impl KeysInForce {
    /// Brings a key into force that the ring must have with this check value.
    pub(crate) fn accept(&mut self, ring: &KeyRing, kind: &str, id: &str, check_value: &str) -> Result<(), UnitError> {
        compare(ring, kind, id, check_value)?;
        let named = Named { name: id.to_string(), check_value: check_value.to_ascii_lowercase() };
        match kind {
            "key_set" => {
                self.key_sets.insert(named.name, named.check_value);
                if self.key_sets.len() > KEY_SETS_MAX {
                    let reason = format!("more than {KEY_SETS_MAX} key sets would be in force; start a new log");
                    return Err(not_loadable(format!("{kind} {id:?}"), reason));
                }
            }
            "token_key" => self.token_key = Some(named),
            _ => self.routing_key = Some(named),
        }
        Ok(())
    }

    /// Checks that the ring has every key in force.
    pub(crate) fn check(&self, ring: &KeyRing) -> Result<(), UnitError> {
        for (id, check_value) in &self.key_sets {
            compare(ring, "key_set", id, check_value)?;
        }
        for (kind, key) in [("token_key", &self.token_key), ("routing_key", &self.routing_key)] {
            if let Some(key) = key {
                compare(ring, kind, &key.name, &key.check_value)?;
            }
        }
        Ok(())
    }

    /// The key set with the longest prefix of this key serial number, of those in force or, of these, the one that the
    /// reader must have.
    pub(crate) fn key_set_for<'ring>(
        &self,
        ring: &'ring KeyRing,
        ksn: Ksn,
        of_reader: Option<&str>,
    ) -> Option<&'ring KeySet> {
        ring.key_set_for(ksn, |id| of_reader.is_none_or(|named| named == id) && self.key_sets.contains_key(id))
    }

    /// Version and token key in force.
    pub(crate) fn token_key<'a>(&'a self, ring: &'a KeyRing) -> Option<(&'a str, &'a [u8; 32])> {
        let version = &self.token_key.as_ref()?.name;
        Some((version, ring.token_key(version)?))
    }

    /// The routing key in force.
    pub(crate) fn routing_key<'ring>(&self, ring: &'ring KeyRing) -> Option<&'ring [u8; 32]> {
        self.routing_key.as_ref()?;
        ring.routing_key().map(|(_, key)| key)
    }
}

/// Route of a swipe while no routing key is in force: such a swipe is refused, and partition 0 answers it.
pub(crate) const ROUTE_WITHOUT_KEY: Route = Route(0);

fn compare(ring: &KeyRing, kind: &str, id: &str, check_value: &str) -> Result<(), UnitError> {
    let what = || format!("{kind} {id:?}");
    match ring.check_value(kind, id) {
        None => Err(not_loadable(what(), "the key ring has no such key; add it to the key file and start again")),
        Some(found) if found.eq_ignore_ascii_case(check_value) => Ok(()),
        Some(found) => Err(not_loadable(
            what(),
            format!("the key ring's has check value {found}, not {check_value}; put the right key into the key file"),
        )),
    }
}
