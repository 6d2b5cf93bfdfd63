//! What is kept of each key.

use std::collections::{HashMap, HashSet};
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
    /// Where each window began and ended for the newest payment.
    pub(super) ranges: Vec<Range>,
    /// Values in the range of each window that counts different ones.
    pub(super) distinct: Vec<HashMap<i64, u32>>,
}

impl Key {
    pub(super) fn new(group: &Group, capped_us: i64) -> Self {
        Self {
            entries: Entries::new(group.columns()),
            texts: group.sources.iter().map(|_| Texts::default()).collect(),
            newest_us: i64::MIN,
            capped_us,
            ranges: vec![Range::default(); group.windows.len()],
            distinct: vec![HashMap::new(); group.windows.len()],
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
        for (number, window) in group.windows.iter().enumerate() {
            let Range { start, end } = self.ranges[number];
            // Only a cap drops what is still in a window.
            if window.counts_different() && start < place {
                let column = &self.entries.columns[window.column];
                let counts = &mut self.distinct[number];
                (start..end.min(place))
                    .filter_map(|place| column.value(place))
                    .for_each(|value| uncount(counts, value));
            }
            self.ranges[number] = Range { start: start.saturating_sub(place), end: end.saturating_sub(place) };
        }
        self.entries.drop_before(place);
        for (texts, column) in self.texts.iter_mut().zip(&self.entries.columns) {
            if !texts.numbers.is_empty() {
                let kept: HashSet<i64> = (0..self.entries.len()).filter_map(|place| column.value(place)).collect();
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
    pub(super) by_name: HashMap<Box<str>, Key>,
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
        let Self { by_name, unknown_us, name } = self;
        name.clear();
        for (part, place) in group.key_fields.iter().enumerate() {
            if part > 0 {
                name.push(SEPARATOR);
            }
            match payments.cell(row, *place) {
                Cell::Text(text) => name.push_str(text?),
                // Writing to a string never fails.
                Cell::Number(number) => drop(write!(name, "{}", number?)),
            }
        }
        if !by_name.contains_key(name.as_str()) {
            if by_name.len() >= keys_max {
                *unknown_us = Some(unknown_us.map_or(at_us, |unknown_us| unknown_us.max(at_us)));
                return None;
            }
            by_name.insert(name.as_str().into(), Key::new(group, unknown_us.unwrap_or(i64::MIN)));
        }
        by_name.get_mut(name.as_str())
    }

    /// Forgets keys of which everything is older than this.
    pub(super) fn sweep(&mut self, until_us: i64) {
        let before = self.by_name.len();
        self.by_name.retain(|_, key| key.newest_us > until_us);
        if self.by_name.len() < before {
            self.unknown_us = Some(self.unknown_us.map_or(until_us, |unknown_us| unknown_us.max(until_us)));
        }
    }
}
