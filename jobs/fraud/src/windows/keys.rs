//! Every key of one kind, by its name.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::hint::black_box;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::groups::Group;
use super::key::Key;
use super::labelled::Known;
use super::payments::Payments;

/// Place of no key.
const NO_KEY: u32 = u32::MAX;

/// Keys of one kind.
#[derive(Default)]
pub(super) struct Keys {
    /// Places by name, only looked up; so small that they stay in the cache.
    places: HashTable<u32>,
    /// Seeded for each run, since names come from outside.
    hasher: DefaultHashBuilder,
    keys: Vec<Key>,
    /// Payments of keys that are not here are not known up to this moment.
    pub(super) unknown_us: Option<i64>,
    sought: Sought,
    /// Where the payments of a labelled group lie, as long as a window may hold them.
    pub(super) known: HashMap<u128, Known>,
}

/// What is looked up for a block of payments.
#[derive(Default)]
struct Sought {
    /// Names, one after the other.
    names: String,
    keys: Vec<SoughtKey>,
}

struct SoughtKey {
    /// Where its name ends.
    end: usize,
    /// Nothing where a part of the name is missing.
    hash: Option<u64>,
    at_us: i64,
}

impl Sought {
    fn clear(&mut self) {
        self.names.clear();
        self.keys.clear();
    }
}

impl Keys {
    /// Places of the keys of a block of payments, rows and times, new ones for those that have none yet; [`NO_KEY`] where a
    /// field of it is missing, or keys are too many. They are added to `places`.
    pub(super) fn of_payments(
        &mut self,
        group: &Group,
        payments: &Payments,
        timed: impl Iterator<Item = (usize, i64)>,
        keys_max: usize,
        places: &mut Vec<u32>,
    ) {
        let mut sought = std::mem::take(&mut self.sought);
        sought.clear();
        for (row, at_us) in timed {
            let start = sought.names.len();
            let is_there = payments.name(row, &group.key_fields, &mut sought.names);
            let hash = self.hash(&sought.names.as_bytes()[start..]);
            sought.keys.push(SoughtKey { end: sought.names.len(), hash: is_there.then_some(hash), at_us });
        }
        // A key that may be it, as a rule is: so its memory is there once names are compared, and reads of many keys wait for
        // memory at once.
        let hashes = sought.keys.iter().filter_map(|key| key.hash);
        black_box(hashes.fold(0, |all, hash| {
            all ^ self.places.find(hash, |_| true).map_or(0, |place| self.keys[*place as usize].touch_self())
        }));
        let mut start = 0;
        for SoughtKey { end, hash, at_us } in &sought.keys {
            let name = &sought.names[start..*end];
            places.push(hash.map_or(NO_KEY, |hash| self.of_name(name, hash, group, *at_us, keys_max)));
            start = *end;
        }
        self.sought = sought;
    }

    fn of_name(&mut self, name: &str, hash: u64, group: &Group, at_us: i64, keys_max: usize) -> u32 {
        if let Some(place) = self.find(hash, name.as_bytes()) {
            return place;
        }
        if self.keys.len() >= keys_max.min(NO_KEY as usize) {
            self.unknown_us = self.unknown_us.max(Some(at_us));
            return NO_KEY;
        }
        self.add_new(hash, Key::new(name, group, self.unknown_us.unwrap_or(i64::MIN)))
    }

    fn hash(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name)
    }

    #[inline]
    fn find(&self, hash: u64, name: &[u8]) -> Option<u32> {
        self.places.find(hash, |place| self.keys[*place as usize].name() == name).copied()
    }

    fn add_new(&mut self, hash: u64, key: Key) -> u32 {
        let place = self.keys.len() as u32;
        self.keys.push(key);
        let Self { places, keys, hasher, .. } = self;
        places.insert_unique(hash, place, |place| hasher.hash_one(keys[*place as usize].name()));
        place
    }

    /// The key at a place.
    #[inline]
    pub(super) fn at(&mut self, place: u32) -> Option<&mut Key> {
        self.keys.get_mut(place as usize)
    }

    /// As [`Key::touch_entries`].
    #[inline]
    pub(super) fn touch(&self, place: u32) -> i64 {
        self.keys.get(place as usize).map_or(0, Key::touch_entries)
    }

    /// Every key, by its place.
    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// Adds a key; false where one of this name is there.
    pub(super) fn add(&mut self, key: Key) -> bool {
        let hash = self.hash(key.name());
        let is_new = self.find(hash, key.name()).is_none();
        if is_new {
            self.add_new(hash, key);
        }
        is_new
    }

    /// Every key in the order of names.
    pub(super) fn in_order(&self) -> BTreeMap<&[u8], &Key> {
        self.keys.iter().map(|key| (key.name(), key)).collect()
    }

    /// Number of payments that are kept.
    pub(super) fn entries(&self) -> usize {
        self.keys.iter().map(|key| key.entries.len() + key.waiting.as_ref().map_or(0, |waiting| waiting.len())).sum()
    }

    /// Forgets keys of which everything is older than this.
    pub(super) fn sweep(&mut self, group: &Group, until_us: i64) {
        let keys = &self.keys;
        self.known.retain(|_, known| known.at_us > keys[known.key as usize].unseen_us(group));
        if self.keys.iter().all(|key| key.newest_us > until_us) {
            return;
        }
        let mut left = 0;
        let moved = self.keys.iter().map(|key| {
            let is_kept = key.newest_us > until_us;
            left += u32::from(is_kept);
            is_kept.then(|| left - 1)
        });
        let moved: Vec<Option<u32>> = moved.collect();
        let mut follow = |place: &mut u32| {
            moved[*place as usize].is_some_and(|now| {
                *place = now;
                true
            })
        };
        self.places.retain(&mut follow);
        self.known.retain(|_, known| follow(&mut known.key));
        self.keys.retain(|key| key.newest_us > until_us);
        self.unknown_us = self.unknown_us.max(Some(until_us));
    }
}
