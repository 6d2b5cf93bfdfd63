//! Lists: texts that rules look for, such as tokens of stolen cards, in three tiers and with expiry.
//!
//! | tier | stands for | `at` a merchant | `until` |
//! |---|---|---|---|
//! | `global` | the whole installation | never | may have one |
//! | `merchant` | one merchant | always | may have one |
//! | `case` | what an analyst put in by hand while working on a case | may have one | always |
//!
//! An entry is in force for payments of its merchant, or of all, whose own time lies before its `until`; afterwards it
//! counts as not there. No clock is asked, so a replay judges as the day itself did. An entry may be an exclusion
//! (`!value`). Of the entries of a value that are in force the nearest decides: `case` at the merchant, `case`,
//! `merchant`, `global`. So a merchant takes a card off the global list for himself, and an analyst puts it back. What
//! has no entry in force is not on the list. A payment whose merchant is missing has no entries at a merchant.
//!
//! Lists hold texts only: what payments are told apart by (tokens, merchants, readers, category codes) is text here.
//!
//! It may depend on `jiff` for written times. It refuses two entries of one value, tier and merchant: which of them
//! holds could not be seen.

mod parse;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::names::nearest;

/// Most entries of a list. As many as lists of card acquirers' tools hold; a list of that size takes some 10 MB.
pub const ENTRIES_MAX: usize = 50_000;

/// Longest text of a list, bytes: all entries with values and merchants of usual length.
pub const LIST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longest value or merchant of an entry, bytes.
pub const VALUE_BYTES_MAX: usize = 256;

/// How near an entry is to a payment; the nearer decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// For the whole installation.
    Global,
    /// For one merchant.
    Merchant,
    /// Put in by hand while working on a case.
    Case,
}

impl Tier {
    /// All of them, farthest first.
    pub const ALL: [Self; 3] = [Self::Global, Self::Merchant, Self::Case];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Merchant => "merchant",
            Self::Case => "case",
        }
    }
}

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its tier.
    pub tier: Tier,
    /// What is looked for.
    pub value: String,
    /// Whether it says that the value is not on the list.
    pub is_exclusion: bool,
    /// The merchant for whose payments alone it stands.
    pub merchant: Option<String>,
    /// From then on it counts as not there, microseconds since the epoch, UTC.
    pub until_us: Option<i64>,
}

impl Entry {
    fn is_in_force(&self, time_us: i64) -> bool {
        self.until_us.is_none_or(|until_us| time_us < until_us)
    }

    /// The greater the nearer. Among entries for one payment no two are equally near.
    fn nearness(&self) -> (Tier, bool) {
        (self.tier, self.merchant.is_some())
    }
}

/// Why a line or a set of lists is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListProblem {
    /// Not a name.
    #[error("{0:?} is no name of a list: lower-case letters, digits and underscores")]
    Name(String),
    /// Two lists have this name.
    #[error("there are two lists named {0}")]
    Twice(String),
    /// Longer than [`LIST_BYTES_MAX`].
    #[error("the list is longer than {LIST_BYTES_MAX} bytes")]
    TooLong,
    /// More than [`ENTRIES_MAX`].
    #[error("the list has more than {ENTRIES_MAX} entries")]
    TooMany,
    /// The line begins with no tier.
    #[error("a line begins with global, merchant or case, not with {0:?}")]
    Tier(String),
    /// There is no value, or it is empty.
    #[error("there is no value")]
    NoValue,
    /// A value or merchant is too long.
    #[error("{0:?}... is longer than {VALUE_BYTES_MAX} bytes")]
    LongValue(String),
    /// A quote is not closed, or text follows one at once.
    #[error("a value between quotes ends with a quote and a blank; a quote within is written twice")]
    Quote,
    /// Something else than `at` or `until`, or one of them twice.
    #[error("after the value come `at MERCHANT` and `until TIME`, each once, not {0:?}")]
    Word(String),
    /// `at` without a merchant or `until` without a time.
    #[error("something should follow {0:?}")]
    Nothing(String),
    /// Not a time.
    #[error("{0:?} is no time of RFC 3339, such as 2026-12-31T00:00:00Z")]
    Time(String),
    /// A tier does not go with `at`, or with its absence.
    #[error("{0}")]
    Scope(&'static str),
    /// The value stands there already.
    #[error("this value stands in line {0} already, in the same tier for the same merchant")]
    Again(usize),
}

/// What is wrong with a list, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("list {list}, line {line}: {problem}")]
pub struct ListError {
    /// Name of the list.
    pub list: String,
    /// Line, from 1; 0 where it is about all of it.
    pub line: usize,
    /// What is wrong.
    pub problem: ListProblem,
}

/// Hashes with fixed keys, so that a lookup takes the same way in every run. Operators write lists, not attackers.
type Places = HashMap<String, Range<usize>, BuildHasherDefault<DefaultHasher>>;

/// Values with a name, in tiers and with expiry.
#[derive(Debug, Clone)]
pub struct List {
    name: String,
    identity: String,
    /// By value, then those without a merchant, then by merchant and tier.
    entries: Vec<Entry>,
    /// The entries of each value. Only looked up, never gone through.
    places: Places,
}

impl List {
    /// A list from its text, one entry a line; blank lines and what follows a `#` behind a blank do not count.
    ///
    /// ```text
    /// # stolen cards
    /// global    tok_5fd1
    /// global    'a value with blanks'  until 2027-01-01T00:00:00Z
    /// merchant  !tok_5fd1              at m_17
    /// case      tok_90ab               until 2026-12-24T12:00:00+01:00
    /// ```
    ///
    /// # Errors
    /// All lines that are wrong, the first hundred of them.
    pub fn parse(name: &str, text: &str) -> Result<Self, Vec<ListError>> {
        let entries = parse::entries(name, text)?;
        Ok(Self::of(name, text, entries))
    }

    fn of(name: &str, text: &str, mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|left, right| {
            (&left.value, &left.merchant, left.tier).cmp(&(&right.value, &right.merchant, right.tier))
        });
        let mut places = Places::default();
        for (index, entry) in entries.iter().enumerate() {
            match places.get_mut(&entry.value) {
                Some(place) => place.end = index + 1,
                None => {
                    places.insert(entry.value.clone(), index..index + 1);
                }
            }
        }
        Self { name: name.to_string(), identity: hex::encode(Sha256::digest(text)), entries, places }
    }

    /// Its name, without `@`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of its text, hexadecimal.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Its entries in order of values.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether a value stands on it for a payment of this merchant at this time (microseconds since the epoch, UTC).
    pub fn holds(&self, value: &str, merchant: Option<&str>, time_us: i64) -> bool {
        let Some(place) = self.places.get(value) else { return false };
        let (for_all, for_one) = {
            let entries = &self.entries[place.clone()];
            entries.split_at(entries.partition_point(|entry| entry.merchant.is_none()))
        };
        let at_merchant = match merchant {
            None => &[],
            Some(merchant) => {
                let start = for_one.partition_point(|entry| entry.merchant.as_deref() < Some(merchant));
                let end = for_one.partition_point(|entry| entry.merchant.as_deref() <= Some(merchant));
                &for_one[start..end]
            }
        };
        let in_force = for_all.iter().chain(at_merchant).filter(|entry| entry.is_in_force(time_us));
        in_force.max_by_key(|entry| entry.nearness()).is_some_and(|entry| !entry.is_exclusion)
    }
}

/// Lists by their names.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    by_name: BTreeMap<String, Arc<List>>,
}

impl Lists {
    /// These lists.
    ///
    /// # Errors
    /// Fails where two have the same name.
    pub fn new(lists: impl IntoIterator<Item = List>) -> Result<Self, ListError> {
        let mut by_name = BTreeMap::new();
        for list in lists {
            let name = list.name.clone();
            if by_name.insert(name.clone(), Arc::new(list)).is_some() {
                let problem = ListProblem::Twice(name.clone());
                return Err(ListError { list: name, line: 0, problem });
            }
        }
        Ok(Self { by_name })
    }

    /// The list of this name, without `@`.
    pub fn get(&self, name: &str) -> Option<&Arc<List>> {
        self.by_name.get(name)
    }

    /// The name nearest to one that no list has, if any is near.
    pub fn nearest(&self, name: &str) -> Option<String> {
        nearest(name, self.by_name.keys().map(String::as_str))
    }

    /// All of them in order of names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<List>> {
        self.by_name.values()
    }
}

#[cfg(test)]
mod tests;
