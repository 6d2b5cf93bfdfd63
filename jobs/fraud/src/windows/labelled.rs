//! Labels that come later: windows that read them find a payment again by its identity and move it where its label says.
//!
//! Only groups of windows that speak of [`LABEL`] pay for it. Beside their sources each of their entries keeps its label,
//! its payment's identity, and where in the log it was read with the answers of the group's condition to both labels. A
//! payment that passes under its other label alone *waits*, outside the windows.

use super::entries::{ENTRIES_MAX, Entries};
use super::groups::Group;
use super::key::Key;
use super::keys::Keys;
use super::payments::{Cell, Payments};

/// The field that is what was said of a payment: whether it is fraud.
pub const LABEL: &str = "fraud";
/// Columns with a payment's identity, where labels follow: the first 64 bits and the rest. No names of the language.
pub const PAYMENT_ID: [&str; 2] = ["payment id, first", "payment id, rest"];
/// Bits of an entry's position for the answers of the condition.
const ANSWER_BITS: u32 = 2;

/// What is said of a payment between two payments of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Row of the batch before which it was read; their number where it was read after all.
    pub before: usize,
    /// The payment, as [`Label::payment`] puts the columns of [`PAYMENT_ID`] together.
    pub payment: u128,
    /// What it is said to be.
    pub is_fraud: bool,
}

impl Label {
    /// The identity that both columns are.
    pub fn payment(first: i64, rest: i64) -> u128 {
        (u128::from(first.cast_unsigned()) << 64) | u128::from(rest.cast_unsigned())
    }
}

/// Where a labelled group keeps what it needs, among its columns; the entry's position is the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Labelled {
    pub(super) label: usize,
    pub(super) payment: [usize; 2],
}

/// Whether a payment is in the windows under no label or `legitimate` (bit 0), and under `fraud` (bit 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answers(pub(super) u8);

impl Answers {
    pub(super) fn any(self) -> bool {
        self.0 != 0
    }

    pub(super) fn under(self, is_fraud: bool) -> bool {
        self.0 >> u32::from(is_fraud) & 1 == 1
    }
}

/// An entry's position in the log, with the answers of its group's condition. Ascending as they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position(pub(super) i64);

impl Position {
    pub(super) fn new(read: u64, answers: Answers) -> Self {
        // No log has 2^61 payments.
        Self((read << ANSWER_BITS) as i64 | i64::from(answers.0))
    }

    fn answers(self) -> Answers {
        Answers((self.0 & ((1 << ANSWER_BITS) - 1)) as u8)
    }
}

/// Where a payment lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Place of its key.
    pub(super) key: u32,
    pub(super) at_us: i64,
    pub(super) position: Position,
}

impl Group {
    /// Number of columns of its entries.
    pub(super) fn columns(&self) -> usize {
        self.sources.len() + usize::from(self.labelled.is_some())
    }

    /// Whether an entry with these values waits for its other label.
    pub(super) fn waits(&self, values: &[Option<i64>]) -> bool {
        self.labelled.is_some_and(|labelled| {
            let position = Position(values.last().copied().flatten().unwrap_or_default());
            !position.answers().under(values[labelled.label] == Some(1))
        })
    }
}

impl Payments {
    /// Identity of a payment.
    pub(super) fn identity(&self, row: usize, group: &Group, labelled: Labelled) -> Option<u128> {
        let number = |column: usize| match self.cell(row, group.sources[column].field) {
            Cell::Number(number) => number,
            Cell::Text(_) => None,
        };
        Some(Label::payment(number(labelled.payment[0])?, number(labelled.payment[1])?))
    }
}

impl Key {
    /// Up to here nothing that is kept is in any window.
    pub(super) fn unseen_us(&self, group: &Group) -> i64 {
        self.capped_us.max(self.newest_us.saturating_sub(group.reach_us))
    }

    /// Keeps a payment that only its other label would let into the windows.
    pub(super) fn wait(&mut self, group: &Group, at_us: i64, values: &[Option<i64>]) {
        self.waiting.get_or_insert_with(|| Box::new(group.entries())).insert_read(at_us, values);
    }

    /// Drops the oldest of those that wait where they are as many as a key may have.
    pub(super) fn make_waiting_room(&mut self, group: &Group) {
        let unseen_us = self.unseen_us(group);
        let is_full = |waiting: &Option<Box<Entries>>| {
            waiting.as_ref().filter(|waiting| waiting.len() >= ENTRIES_MAX).map(|waiting| waiting.time(ENTRIES_MAX / 4))
        };
        if is_full(&self.waiting).is_some() {
            self.drop_waiting(unseen_us);
        }
        if let Some(dropped_us) = is_full(&self.waiting) {
            self.capped_us = self.capped_us.max(dropped_us);
            self.drop_waiting(dropped_us);
        }
    }

    /// Gives a payment that is kept a label.
    fn relabel(&mut self, group: &Group, labelled: Labelled, known: Known, is_fraud: bool) {
        let Known { at_us, position, .. } = known;
        // Before anything is taken out, since what is dropped is counted by places.
        self.make_room(group);
        if at_us <= self.unseen_us(group) {
            return;
        }
        let lists = [Some(&mut self.entries), self.waiting.as_deref_mut()];
        let found = lists.into_iter().flatten().find_map(|list| Some((list.place_of(at_us, position)?, list)));
        let Some((place, list)) = found else { return };
        if list.value(labelled.label, place) == Some(i64::from(is_fraud)) {
            return;
        }
        let mut values = list.remove(place);
        values[labelled.label] = Some(i64::from(is_fraud));
        if group.waits(&values) {
            self.wait(group, at_us, &values);
        } else {
            self.entries.insert_read(at_us, &values);
        }
        self.settle(group);
    }
}

impl Entries {
    /// The place of an entry, by its time and the position in its last column.
    fn place_of(&self, at_us: i64, position: Position) -> Option<usize> {
        let places = (0..self.until(at_us)).rev().take_while(|place| self.time(*place) == at_us);
        let mut places = places.filter(|place| self.position(*place) == Some(position.0));
        places.next()
    }

    /// Enters a payment whose last value is its position.
    fn insert_read(&mut self, at_us: i64, values: &[Option<i64>]) {
        let position = values.last().copied().flatten();
        let later = (0..self.until(at_us)).rev().take_while(|place| self.time(*place) == at_us);
        let later = later.take_while(|place| self.position(*place) > position).count();
        self.insert_at(self.until(at_us) - later, at_us, values.iter().copied());
    }
}

impl Keys {
    /// Notes where a payment lies.
    pub(super) fn note(&mut self, payment: Option<u128>, known: Known) {
        let Some(payment) = payment else { return };
        let newest = self.known.entry(payment).or_insert(known);
        if newest.position.0 < known.position.0 {
            *newest = known;
        }
    }

    /// Gives a payment a label, if it is kept.
    pub(super) fn relabel(&mut self, group: &Group, payment: u128, is_fraud: bool) {
        let (Some(labelled), Some(known)) = (group.labelled, self.known.get(&payment).copied()) else { return };
        if let Some(key) = self.at(known.key) {
            key.relabel(group, labelled, known, is_fraud);
        }
    }

    /// Notes where the payments lie that a saved state holds.
    pub(super) fn note_all(&mut self, group: &Group) {
        let Some(labelled) = group.labelled else { return };
        let mut found = Vec::new();
        for (place, key) in self.all().enumerate() {
            let lists = [Some(&key.entries), key.waiting.as_deref()].into_iter().flatten();
            found.extend(lists.flat_map(|list| list.entries(0)).map(|(at_us, values)| {
                let [first, rest] = labelled.payment.map(|column| values[column]);
                let position = Position(values.last().copied().flatten().unwrap_or_default());
                (
                    first.zip(rest).map(|(first, rest)| Label::payment(first, rest)),
                    Known { key: place as u32, at_us, position },
                )
            }));
        }
        found.into_iter().for_each(|(payment, known)| self.note(payment, known));
    }
}
