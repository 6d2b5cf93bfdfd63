//! What is kept of each key.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use super::entries::{ENTRIES_MAX, Entries, Range};
use super::operator::Group;
use super::payments::{Cell, Payments};

/// Entries that have left every window before they are dropped together.
const DROPPED_MIN: usize = 32;
/// Between the parts of a key of several fields: a control character that no field holds.
const SEPARATOR: char = '\u{1f}';

/// What is kept of a key.
pub(super) struct Key {
    pub(super) entries: Entries,
    /// Texts by column and what stands for them.
    pub(super) texts: Vec<Texts>,
    /// The largest time of its payments.
    pub(super) newest_us: i64,
    /// Some payments up to here are not known: a window that begins before would be too small.
    pub(super) capped_us: i64,
    /// Where each span of the group began and ended for the newest payment.
    pub(super) ranges: Vec<Range>,
    /// Values in the range of each window that counts different ones.
    pub(super) distinct: Vec<HashMap<i64, u32>>,
}

impl Key {
    pub(super) fn new(group: &Group, capped_us: i64) -> Self {
        Self {
            entries: Entries::new(group.sources.iter().map(|source| source.with_squares)),
            texts: group.sources.iter().map(|_| Texts::default()).collect(),
            newest_us: i64::MIN,
            capped_us,
            ranges: vec![Range::default(); group.spans.len()],
            distinct: vec![HashMap::new(); group.counts.len()],
        }
    }

    /// Enters a payment; returns its place.
    pub(super) fn enter<'a>(&mut self, group: &Group, at_us: i64, cells: impl Iterator<Item = Cell<'a>>) -> usize {
        if self.entries.len() >= ENTRIES_MAX {
            // What has left every window does not count: a restart would not have it.
            self.drop_before(group, self.entries.until(self.newest_us.saturating_sub(group.reach_us)));
        }
        if self.entries.len() >= ENTRIES_MAX {
            let dropped = ENTRIES_MAX / 4;
            self.capped_us = self.capped_us.max(self.entries.time(dropped - 1));
            self.drop_before(group, dropped);
        }
        let Self { entries, texts, .. } = self;
        let values = cells.zip(texts).map(|(cell, texts)| match cell {
            Cell::Number(number) => number,
            Cell::Text(text) => text.map(|text| texts.number(text)),
        });
        entries.insert(at_us, values)
    }

    /// Drops entries up to a moment when they are many.
    pub(super) fn forget(&mut self, group: &Group, until_us: i64) {
        let many = DROPPED_MIN.max(self.entries.len() / 2);
        if self.entries.len() > many && self.entries.time(many) <= until_us {
            self.drop_before(group, self.entries.until(until_us));
        }
    }

    fn drop_before(&mut self, group: &Group, place: usize) {
        for (count, counts) in group.counts.iter().zip(&mut self.distinct) {
            let Range { start, end } = self.ranges[count.span];
            // Only a cap drops what is still in a window.
            let dropped = (start..end.min(place)).filter_map(|place| self.entries.value(count.column, place));
            dropped.for_each(|value| uncount(counts, value));
        }
        for Range { start, end } in &mut self.ranges {
            (*start, *end) = (start.saturating_sub(place), end.saturating_sub(place));
        }
        self.entries.drop_before(place);
        for (column, texts) in self.texts.iter_mut().enumerate() {
            if !texts.numbers.is_empty() {
                let values = (0..self.entries.len()).filter_map(|place| self.entries.value(column, place));
                let kept: HashSet<i64> = values.collect();
                texts.numbers.retain(|_, number| kept.contains(number));
            }
        }
    }
}

/// Counts one value less.
pub(super) fn uncount(counts: &mut HashMap<i64, u32>, value: i64) {
    if let Some(count) = counts.get_mut(&value) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&value);
        }
    }
}

/// Texts of a column and the numbers that stand for them.
#[derive(Default)]
pub(super) struct Texts {
    pub(super) numbers: HashMap<Box<str>, i64>,
    next: i64,
}

impl Texts {
    /// The number that stands for a text, a new one for a new text.
    pub(super) fn number(&mut self, text: &str) -> i64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        self.numbers.insert(text.into(), self.next);
        self.next += 1;
        self.next - 1
    }
}

/// Keys of one kind.
#[derive(Default)]
pub(super) struct Keys {
    /// Only looked up, or listed in order.
    places: HashMap<Box<str>, usize>,
    keys: Vec<Key>,
    /// Payments of keys that are not here are not known up to this moment.
    pub(super) unknown_us: Option<i64>,
    name: String,
}

impl Keys {
    /// The key of a payment, a new one where it has none yet; nothing where one of its fields is missing, or keys are too
    /// many.
    pub(super) fn of_payment(
        &mut self,
        group: &Group,
        payments: &Payments,
        row: usize,
        at_us: i64,
        keys_max: usize,
    ) -> Option<&mut Key> {
        self.name.clear();
        for (part, place) in group.key_fields.iter().enumerate() {
            if part > 0 {
                self.name.push(SEPARATOR);
            }
            match payments.cell(row, *place) {
                Cell::Text(text) => self.name.push_str(text?),
                // Writing to a string never fails.
                Cell::Number(number) => drop(write!(self.name, "{}", number?)),
            }
        }
        if let Some(place) = self.places.get(self.name.as_str()) {
            return self.keys.get_mut(*place);
        }
        if self.keys.len() >= keys_max {
            self.unknown_us = self.unknown_us.max(Some(at_us));
            return None;
        }
        self.add(self.name.as_str().into(), Key::new(group, self.unknown_us.unwrap_or(i64::MIN)));
        self.keys.last_mut()
    }

    /// Adds a key; false where one of this name is there.
    pub(super) fn add(&mut self, name: Box<str>, key: Key) -> bool {
        let is_new = self.places.insert(name, self.keys.len()).is_none();
        self.keys.push(key);
        is_new
    }

    /// Every key in the order of names.
    pub(super) fn in_order(&self) -> BTreeMap<&str, &Key> {
        self.places.iter().map(|(name, place)| (name.as_ref(), &self.keys[*place])).collect()
    }

    /// Number of payments that are kept.
    pub(super) fn entries(&self) -> usize {
        self.keys.iter().map(|key| key.entries.len()).sum()
    }

    /// Forgets keys of which everything is older than this.
    pub(super) fn sweep(&mut self, until_us: i64) {
        if self.keys.iter().all(|key| key.newest_us > until_us) {
            return;
        }
        let mut kept: Vec<Option<Key>> = std::mem::take(&mut self.keys).into_iter().map(Some).collect();
        self.places.retain(|_, place| {
            let key = kept[*place].take_if(|key| key.newest_us > until_us);
            let is_kept = key.is_some();
            *place = self.keys.len();
            self.keys.extend(key);
            is_kept
        });
        self.unknown_us = self.unknown_us.max(Some(until_us));
    }
}
