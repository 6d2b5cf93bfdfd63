//! What is kept of each key.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use super::entries::{ENTRIES_MAX, Entries, Range};
use super::labelled::Known;
use super::operator::{Group, range_at};
use super::payments::{Cell, Payments};

/// Entries that have left every window before they are dropped together.
const DROPPED_MIN: usize = 32;
/// Between the parts of a key of several fields: a control character that no field holds.
const SEPARATOR: char = '\u{1f}';

/// What is kept of a key.
pub(super) struct Key {
    pub(super) entries: Entries,
    /// Payments that another label would let in.
    pub(super) waiting: Option<Box<Entries>>,
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
            entries: group.entries(),
            waiting: None,
            texts: (0..group.columns()).map(|_| Texts::default()).collect(),
            newest_us: i64::MIN,
            capped_us,
            ranges: vec![Range::default(); group.spans.len()],
            distinct: vec![HashMap::new(); group.counts.len()],
        }
    }

    /// What stands for the fields of a payment in its entry.
    pub(super) fn values<'a>(&mut self, cells: impl Iterator<Item = Cell<'a>>) -> impl Iterator<Item = Option<i64>> {
        values(&mut self.texts, cells)
    }

    /// Enters a payment; returns its place.
    pub(super) fn enter<'a>(&mut self, at_us: i64, cells: impl Iterator<Item = Cell<'a>>) -> usize {
        let Self { entries, texts, .. } = self;
        entries.insert(at_us, values(texts, cells))
    }

    /// Drops the oldest entries where they are as many as a key may have.
    pub(super) fn make_room(&mut self, group: &Group) {
        if self.entries.len() >= ENTRIES_MAX {
            // What has left every window does not count: a restart would not have it.
            self.drop_before(group, self.entries.until(self.newest_us.saturating_sub(group.reach_us)));
        }
        if self.entries.len() >= ENTRIES_MAX {
            let dropped = ENTRIES_MAX / 4;
            self.capped_us = self.capped_us.max(self.entries.time(dropped - 1));
            self.drop_before(group, dropped);
        }
        self.make_waiting_room(group);
    }

    /// Finds anew where each span of the newest payment begins and ends.
    pub(super) fn settle(&mut self, group: &Group) {
        let Self { entries, ranges, distinct, newest_us, .. } = self;
        for (span, range) in group.spans.iter().zip(ranges.iter_mut()) {
            *range = range_at(entries, *span, *newest_us);
        }
        for (count, counts) in group.counts.iter().zip(distinct) {
            counts.clear();
            let Range { start, end } = ranges[count.span];
            for value in (start..end).filter_map(|place| entries.value(count.column, place)) {
                *counts.entry(value).or_default() += 1;
            }
        }
    }

    /// Drops entries up to a moment when they are many.
    pub(super) fn forget(&mut self, group: &Group, until_us: i64) {
        let many = DROPPED_MIN.max(self.entries.len() / 2);
        if self.entries.len() > many && self.entries.time(many) <= until_us {
            self.drop_before(group, self.entries.until(until_us));
        }
        let is_much = |waiting: &Entries| {
            let many = DROPPED_MIN.max(waiting.len() / 2);
            waiting.len() > many && waiting.time(many) <= until_us
        };
        if self.waiting.as_deref().is_some_and(is_much) {
            self.drop_waiting(until_us);
        }
    }

    /// Drops those that wait up to a moment.
    pub(super) fn drop_waiting(&mut self, until_us: i64) {
        if let Some(waiting) = &mut self.waiting {
            waiting.drop_before(waiting.until(until_us));
        }
        self.forget_texts();
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
        self.forget_texts();
    }

    fn forget_texts(&mut self) {
        let lists = || [Some(&self.entries), self.waiting.as_deref()].into_iter().flatten();
        for (column, texts) in self.texts.iter_mut().enumerate() {
            if !texts.numbers.is_empty() {
                let values = |list: &Entries| (0..list.len()).filter_map(|place| list.value(column, place)).collect();
                let kept: HashSet<i64> = lists().flat_map(|list| -> Vec<i64> { values(list) }).collect();
                texts.numbers.retain(|_, number| kept.contains(number));
            }
        }
    }
}

fn values<'a>(texts: &mut [Texts], cells: impl Iterator<Item = Cell<'a>>) -> impl Iterator<Item = Option<i64>> {
    cells.zip(texts).map(|(cell, texts)| match cell {
        Cell::Number(number) => number,
        Cell::Text(text) => text.map(|text| texts.number(text)),
    })
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
    /// Where the payments of a labelled group lie, as long as a window may hold them.
    pub(super) known: HashMap<u128, Known>,
}

impl Keys {
    /// Place of the key of a payment, a new one where it has none yet; nothing where one of its fields is missing, or keys are too
    /// many.
    pub(super) fn of_payment(
        &mut self,
        group: &Group,
        payments: &Payments,
        row: usize,
        at_us: i64,
        keys_max: usize,
    ) -> Option<usize> {
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
            return Some(*place);
        }
        if self.keys.len() >= keys_max {
            self.unknown_us = self.unknown_us.max(Some(at_us));
            return None;
        }
        self.add(self.name.as_str().into(), Key::new(group, self.unknown_us.unwrap_or(i64::MIN)));
        Some(self.keys.len() - 1)
    }

    /// The key at a place.
    pub(super) fn at(&mut self, place: usize) -> Option<&mut Key> {
        self.keys.get_mut(place)
    }

    /// Every key, by its place.
    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
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
        self.keys.iter().map(|key| key.entries.len() + key.waiting.as_ref().map_or(0, |waiting| waiting.len())).sum()
    }

    /// Forgets keys of which everything is older than this.
    pub(super) fn sweep(&mut self, group: &Group, until_us: i64) {
        let keys = &self.keys;
        self.known.retain(|_, known| known.at_us > keys[known.key].unseen_us(group));
        if self.keys.iter().all(|key| key.newest_us > until_us) {
            return;
        }
        let mut kept: Vec<Option<Key>> = std::mem::take(&mut self.keys).into_iter().map(Some).collect();
        let mut moved = vec![None; kept.len()];
        self.places.retain(|_, place| {
            let key = kept[*place].take_if(|key| key.newest_us > until_us);
            let is_kept = key.is_some();
            moved[*place] = is_kept.then_some(self.keys.len());
            *place = self.keys.len();
            self.keys.extend(key);
            is_kept
        });
        self.known.retain(|_, known| {
            moved[known.key].is_some_and(|place| {
                known.key = place;
                true
            })
        });
        self.unknown_us = self.unknown_us.max(Some(until_us));
    }
}
