//! What is kept of a key.

use std::collections::HashSet;
use std::ops::{Deref, DerefMut};

use hashbrown::HashMap;

use super::entries::{ENTRIES_MAX, Entries, Range};
use super::groups::Group;
use super::payments::Cell;

/// Bytes of a name that are kept beside what is read with it.
const NAME_SHORT: usize = 22;
/// Edges of a group whose places are kept beside what is read with them.
const PLACES_FEW: usize = 7;

/// What is kept of a key. What each payment reads comes first: two lines of the processor's cache, and then the entries
/// where its windows begin and end.
#[repr(C, align(64))]
pub(super) struct Key {
    name: Name,
    pub(super) entries: Entries,
    /// The largest time of its payments.
    pub(super) newest_us: i64,
    /// Some payments up to here are not known: a window that begins before would be too small.
    pub(super) capped_us: i64,
    /// Where the edges of the group lie for the newest payment.
    pub(super) places: Places,
    /// Payments that another label would let in.
    pub(super) waiting: Option<Box<Entries>>,
    /// Texts by column and what stands for them, of as many columns as had any.
    pub(super) texts: Vec<Texts>,
    /// By count of the group.
    pub(super) distinct: Vec<Distinct>,
}

impl Key {
    pub(super) fn new(name: &str, group: &Group, capped_us: i64) -> Self {
        Self {
            name: Name::new(name),
            entries: group.entries(),
            newest_us: i64::MIN,
            capped_us,
            places: Places::new(group.edges.len()),
            waiting: None,
            texts: Vec::new(),
            distinct: vec![Distinct::default(); group.counts.len()],
        }
    }

    #[inline]
    pub(super) fn name(&self) -> &[u8] {
        self.name.bytes()
    }

    /// Reads what a payment will read of the key itself, so that it is there by then; the answer says nothing.
    #[inline]
    pub(super) fn touch_self(&self) -> i64 {
        self.newest_us ^ i64::from(self.name.is_short())
    }

    /// The same of its entries.
    #[inline]
    pub(super) fn touch_entries(&self) -> i64 {
        let edges = self.places.iter().map(|place| *place as usize);
        // With the row behind each: there the edge moves, or the payment is entered.
        let read = |place: usize| self.entries.time(place) ^ self.entries.time(place + 1);
        edges.fold(read(self.entries.len()), |all, place| all ^ read(place))
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

    /// Moves the edges on to those of a payment that is not older than the newest.
    #[inline]
    pub(super) fn advance(&mut self, group: &Group, at_us: i64) {
        for (place, offset_us) in self.places.iter_mut().zip(&group.edges) {
            *place = self.entries.advance(*place as usize, at_us.saturating_sub(*offset_us)) as u32;
        }
    }

    /// Counts the different values in spans of the newest payment without itself, or in those with it.
    #[inline]
    pub(super) fn count(&mut self, group: &Group, include_current: bool) {
        for (number, count) in
            group.counts.iter().enumerate().filter(|(_, count)| count.span.includes_current == include_current)
        {
            let Range { start, end } = count.span.of_newest(self);
            let Distinct { range: before, counts } = &mut self.distinct[number];
            for value in (before.end..end).filter_map(|place| self.entries.value(count.column, place)) {
                *counts.entry(value).or_default() += 1;
            }
            let left = (before.start..start).filter_map(|place| self.entries.value(count.column, place));
            left.for_each(|value| uncount(counts, value));
            *before = Range { start, end };
        }
    }

    /// Moves the edges of the newest payment past an older one that was entered at this place, and counts it.
    pub(super) fn shift(&mut self, group: &Group, at_us: i64, place: usize) {
        for (edge, offset_us) in self.places.iter_mut().zip(&group.edges) {
            *edge += u32::from(at_us <= self.newest_us.saturating_sub(*offset_us));
        }
        for (count, Distinct { range, counts }) in group.counts.iter().zip(&mut self.distinct) {
            if at_us > count.span.end_us(group, self.newest_us) {
                continue;
            }
            range.end += 1;
            if at_us <= count.span.start_us(group, self.newest_us) {
                range.start += 1;
            } else if let Some(value) = self.entries.value(count.column, place) {
                *counts.entry(value).or_default() += 1;
            }
        }
    }

    /// Drops the oldest entries where they are as many as a key may have.
    #[inline]
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
        if group.labelled.is_some() {
            self.make_waiting_room(group);
        }
    }

    /// Finds anew where each span of the newest payment begins and ends.
    pub(super) fn settle(&mut self, group: &Group) {
        let Self { entries, places, distinct, newest_us, .. } = self;
        for (place, offset_us) in places.iter_mut().zip(&group.edges) {
            *place = entries.until(newest_us.saturating_sub(*offset_us)) as u32;
        }
        for (count, Distinct { range, counts }) in group.counts.iter().zip(distinct) {
            counts.clear();
            *range = count.span.of_any(group, entries, *newest_us);
            for value in (range.start..range.end).filter_map(|place| entries.value(count.column, place)) {
                *counts.entry(value).or_default() += 1;
            }
        }
    }

    /// Drops entries up to a moment where the next one needs a larger ring.
    #[inline]
    pub(super) fn forget(&mut self, group: &Group, until_us: i64) {
        if self.entries.is_full() {
            self.drop_before(group, self.entries.until(until_us));
            self.entries.widen();
        }
        if group.labelled.is_some() && self.waiting.as_ref().is_some_and(|waiting| waiting.is_full()) {
            self.drop_waiting(until_us);
            self.waiting.iter_mut().for_each(|waiting| waiting.widen());
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
        for (count, Distinct { range, counts }) in group.counts.iter().zip(&mut self.distinct) {
            // Only a cap drops what is still in a window.
            let dropped =
                (range.start..range.end.min(place)).filter_map(|place| self.entries.value(count.column, place));
            dropped.for_each(|value| uncount(counts, value));
            *range = Range { start: range.start.saturating_sub(place), end: range.end.saturating_sub(place) };
        }
        self.places.iter_mut().for_each(|edge| *edge = edge.saturating_sub(place as u32));
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

fn values<'a>(texts: &mut Vec<Texts>, cells: impl Iterator<Item = Cell<'a>>) -> impl Iterator<Item = Option<i64>> {
    cells.enumerate().map(|(column, cell)| match cell {
        Cell::Number(number) => number,
        Cell::Text(text) => text.map(|text| of_column(texts, column).number(text)),
    })
}

/// The texts of a column.
pub(super) fn of_column(texts: &mut Vec<Texts>, column: usize) -> &mut Texts {
    if texts.len() <= column {
        texts.resize_with(column + 1, Texts::default);
    }
    &mut texts[column]
}

/// A key's name: its fields as text.
enum Name {
    Short { length: u8, bytes: [u8; NAME_SHORT] },
    Long(Box<[u8]>),
}

impl Name {
    fn new(name: &str) -> Self {
        let name = name.as_bytes();
        let mut bytes = [0; NAME_SHORT];
        match bytes.get_mut(..name.len()) {
            Some(short) => {
                short.copy_from_slice(name);
                Self::Short { length: name.len() as u8, bytes }
            }
            None => Self::Long(name.into()),
        }
    }

    fn is_short(&self) -> bool {
        matches!(self, Self::Short { .. })
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => &bytes[..usize::from(*length)],
            Self::Long(bytes) => bytes,
        }
    }
}

/// Places of entries, by edge of the group.
pub(super) enum Places {
    Few { length: u8, places: [u32; PLACES_FEW] },
    Many(Box<[u32]>),
}

impl Places {
    fn new(edges: usize) -> Self {
        match edges {
            0..=PLACES_FEW => Self::Few { length: edges as u8, places: [0; PLACES_FEW] },
            _ => Self::Many(vec![0; edges].into()),
        }
    }
}

impl Deref for Places {
    type Target = [u32];

    #[inline]
    fn deref(&self) -> &[u32] {
        match self {
            Self::Few { length, places } => &places[..usize::from(*length)],
            Self::Many(places) => places,
        }
    }
}

impl DerefMut for Places {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u32] {
        match self {
            Self::Few { length, places } => &mut places[..usize::from(*length)],
            Self::Many(places) => places,
        }
    }
}

/// How often each value is in a span, as far as it was counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Distinct {
    range: Range,
    pub(super) counts: HashMap<i64, u32>,
}

/// Counts one value less.
fn uncount(counts: &mut HashMap<i64, u32>, value: i64) {
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
