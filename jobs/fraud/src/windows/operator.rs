//! The fold over payments: each reads its values of the windows, and is entered.
//!
//! What it costs is memory that is not in the cache: a payment reads a few lines of each of its keys. So rows are taken by
//! blocks, and a block by kinds of key: first all its keys are found, then what the windows will read is touched, so that
//! many reads wait for memory at once, and only then the payments are entered one after the other.

use std::collections::{BTreeMap, HashSet};
use std::hint::black_box;
use std::ops::Range as Rows;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};

use super::entries::{Entries, Range, VALUE_MAX};
use super::groups::{Group, Window, place_of};
use super::key::Key;
use super::keys::Keys;
use super::labelled::{Answers, Known, LABEL, Label, Position};
use super::output::Column;
use super::payments::{Cell, Payments};
use super::{Function, WindowError, WindowSet};
use crate::expression::Expression;

/// Payments after which keys of which nothing is left are looked for.
const SWEEP_EVERY: u64 = 1 << 16;
/// Rows of a block: few enough that what they touch is still there when they are entered.
const BLOCK_ROWS: usize = 32;

/// A value of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// Exact.
    Integer(i64),
    /// A quotient, or a root.
    Number(f64),
}

/// Windows over a log.
pub struct Windows {
    set: WindowSet,
    pub(super) fields: Vec<String>,
    pub(super) groups: Vec<Group>,
    /// Keys of each group.
    pub(super) keys: Vec<Keys>,
    /// The largest time of all payments.
    pub(super) newest_us: i64,
    /// Payments that were read.
    pub(super) read: u64,
    /// Places of the keys of a block, by kind of key and row.
    places: Vec<u32>,
}

impl Windows {
    /// Windows over a log of which nothing was read.
    ///
    /// # Errors
    /// Fails where the set is wrong.
    pub fn new(set: WindowSet) -> Result<Self, WindowError> {
        set.check()?;
        let mut fields: Vec<String> = Vec::new();
        let mut by_key: BTreeMap<(&[String], Option<String>, bool), Group> = BTreeMap::new();
        for (place, definition) in set.windows.iter().enumerate() {
            let filter_text = definition.filter.as_ref().map(Expression::to_string);
            let is_labelled = set.labels_follow && definition.speaks_of(LABEL);
            let group = by_key.entry((&definition.key, filter_text, is_labelled)).or_insert_with(|| {
                let key_fields = definition.key.iter().map(|name| place_of(name, &mut fields)).collect();
                let mut group = Group::new(definition.filter.clone(), key_fields);
                if is_labelled {
                    group.follow_labels(&mut fields);
                }
                group
            });
            group.add(place, definition, set.lateness_us, &mut fields);
        }
        let groups: Vec<Group> = by_key.into_values().collect();
        let keys = groups.iter().map(|_| Keys::default()).collect();
        Ok(Self { fields, groups, keys, newest_us: i64::MIN, read: 0, places: Vec::new(), set })
    }

    /// Says that payments up to a moment were not seen: windows that begin before it are missing.
    pub fn begin_after(&mut self, at_us: i64) {
        self.newest_us = self.newest_us.max(at_us);
        self.keys.iter_mut().for_each(|keys| keys.unknown_us = keys.unknown_us.max(Some(at_us)));
    }

    /// The definitions.
    pub fn set(&self) -> &WindowSet {
        &self.set
    }

    /// Number of payments that are kept, each once for each kind of key.
    pub fn entries(&self) -> usize {
        self.keys.iter().map(Keys::entries).sum()
    }

    /// The fields of a batch that the windows read.
    ///
    /// # Errors
    /// Fails where a field is missing or of a type that no window can read.
    pub fn bind(&self, rows: &RecordBatch) -> Result<Payments, WindowError> {
        let payments = Payments::read(rows, &self.set.time, &self.fields)?;
        let summed = self.groups.iter().flat_map(|group| &group.sources).filter(|source| source.is_summed);
        payments.check_numbers(summed.map(|source| source.field), &self.fields)?;
        let filters = self.groups.iter().map(|group| (group.filter.as_ref(), group.labelled.is_some()));
        payments.with_filters(rows, filters)
    }

    /// Whether a window speaks of labels that follow.
    pub fn reads_labels(&self) -> bool {
        self.groups.iter().any(|group| group.labelled.is_some())
    }

    /// Values of the windows for each row of a batch, which follow those of the batches before: one column a window.
    ///
    /// # Errors
    /// As [`Windows::bind`]; nothing was entered then.
    pub fn process(&mut self, rows: &RecordBatch) -> Result<RecordBatch, WindowError> {
        self.process_labelled(rows, &[])
    }

    /// The same, with labels that were read between the rows, in their order.
    ///
    /// # Errors
    /// As [`Windows::bind`]; nothing was entered then.
    pub fn process_labelled(&mut self, rows: &RecordBatch, labels: &[Label]) -> Result<RecordBatch, WindowError> {
        let payments = self.bind(rows)?;
        let length = rows.num_rows();
        let mut columns: Vec<Column> = self.set.windows.iter().map(|window| Column::of(window, length)).collect();
        let mut labels = labels.iter().peekable();
        let mut row = 0;
        while row < length {
            std::iter::from_fn(|| labels.next_if(|label| label.before <= row)).for_each(|label| self.relabel(label));
            let labelled = labels.peek().map_or(length, |label| label.before);
            let end = self.until_sweep(&payments, row..length.min(labelled).min(row + BLOCK_ROWS));
            self.enter_block(&payments, row..end, |row, place, value| columns[place].set(row, value));
            row = end;
        }
        labels.for_each(|label| self.relabel(label));
        let columns = columns.into_iter().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(length));
        RecordBatch::try_new_with_options(Arc::new(self.set.schema()), columns, &options)
            .map_err(|error| WindowError::Column { name: "of windows".to_string(), problem: error.to_string() })
    }

    fn relabel(&mut self, label: &Label) {
        for (group, keys) in self.groups.iter().zip(&mut self.keys) {
            keys.relabel(group, label.payment, label.is_fraud);
        }
    }

    /// Reads the values of one payment, in the order of the set's windows, and enters it. Those of a batch are entered one
    /// after the other. `values` has a place for each window.
    pub fn enter(&mut self, payments: &Payments, row: usize, values: &mut [Option<Value>]) {
        values.fill(None);
        self.enter_block(payments, row..row + 1, |_, place, value| values[place] = Some(value));
    }

    /// The end of these rows, or where keys are to be swept before.
    fn until_sweep(&self, payments: &Payments, rows: Rows<usize>) -> usize {
        let left = SWEEP_EVERY - self.read % SWEEP_EVERY;
        if left >= rows.len() as u64 {
            return rows.end;
        }
        let mut read = rows.clone().filter(|row| payments.time_us(*row).is_some());
        read.nth(left as usize - 1).map_or(rows.end, |row| row + 1)
    }

    /// Enters a few payments, no label and no sweep between them. `put` gets each value that is there, with its row and the
    /// place of its window.
    fn enter_block(&mut self, payments: &Payments, rows: Rows<usize>, mut put: impl FnMut(usize, usize, Value)) {
        let timed = || rows.clone().filter_map(|row| Some((row, payments.time_us(row)?)));
        self.places.clear();
        for (group, keys) in self.groups.iter().zip(&mut self.keys) {
            keys.of_payments(group, payments, timed(), self.set.keys_max, &mut self.places);
        }
        let count = timed().count();
        for (number, keys) in self.keys.iter().enumerate() {
            let places = &self.places[number * count..(number + 1) * count];
            black_box(places.iter().fold(0, |all, place| all ^ keys.touch(*place)));
        }
        for (number, (group, keys)) in self.groups.iter().zip(&mut self.keys).enumerate() {
            let places = &self.places[number * count..(number + 1) * count];
            for ((read, place), (row, at_us)) in (self.read + 1..).zip(places).zip(timed()) {
                let Some(key) = keys.at(*place) else { continue };
                let answers = payments.passes(number, row);
                let position = Position::new(read, answers);
                let payment = Payment { payments, row, at_us, answers, position };
                step(group, key, &payment, self.set.lateness_us, &mut |place, value| put(row, place, value));
                if let Some(labelled) = group.labelled.filter(|_| answers.any()) {
                    keys.note(payments.identity(row, group, labelled), Known { key: *place, at_us, position });
                }
            }
        }
        self.read += count as u64;
        self.newest_us = timed().map(|(_, at_us)| at_us).fold(self.newest_us, i64::max);
        if count > 0 && self.read.is_multiple_of(SWEEP_EVERY) {
            for (group, keys) in self.groups.iter().zip(&mut self.keys) {
                keys.sweep(group, self.newest_us.saturating_sub(group.reach_us));
            }
        }
    }
}

/// One payment of a batch.
struct Payment<'a> {
    payments: &'a Payments,
    row: usize,
    at_us: i64,
    /// Whether it is among those that the group's windows hold.
    answers: Answers,
    position: Position,
}

/// Values of a payment by one key, and its entry there.
fn step(group: &Group, key: &mut Key, payment: &Payment<'_>, lateness_us: i64, put: &mut impl FnMut(usize, Value)) {
    let Payment { at_us, answers, .. } = *payment;
    let is_in_order = at_us >= key.newest_us;
    let is_late = at_us < key.newest_us.saturating_sub(lateness_us);
    if is_in_order {
        key.advance(group, at_us);
    }
    let mut read = |key: &mut Key, include_current: bool| {
        if is_in_order {
            key.count(group, include_current);
        }
        for window in group.windows(include_current) {
            if is_late || key.capped_us > window.span.start_us(group, at_us) {
                continue;
            }
            let range =
                if is_in_order { window.span.of_newest(key) } else { window.span.of_any(group, &key.entries, at_us) };
            if let Some(value) = value(key, window, range, at_us, is_in_order) {
                put(window.place, value);
            }
        }
    };
    read(key, false);
    if answers.any() && at_us > key.newest_us.saturating_sub(group.reach_us) {
        enter(group, key, payment, is_in_order);
    }
    read(key, true);
    if is_in_order {
        key.newest_us = at_us;
        key.forget(group, at_us.saturating_sub(group.reach_us));
    }
}

fn enter(group: &Group, key: &mut Key, payment: &Payment<'_>, is_in_order: bool) {
    let Payment { payments, row, at_us, answers, position } = *payment;
    let cells = group.sources.iter().map(|source| match payments.cell(row, source.field) {
        Cell::Number(number) if source.is_summed => Cell::Number(number.filter(|number| is_summable(*number))),
        cell => cell,
    });
    let cells = cells.chain(group.labelled.map(|_| Cell::Number(Some(position.0))));
    key.make_room(group);
    if answers.under(false) {
        let place = key.enter(at_us, cells);
        if !is_in_order {
            key.shift(group, at_us, place);
        }
    } else {
        let values: Vec<Option<i64>> = key.values(cells).collect();
        key.wait(group, at_us, &values);
    }
}

fn is_summable(number: i64) -> bool {
    number.unsigned_abs() <= VALUE_MAX.unsigned_abs()
}

/// Value of a window that holds these entries.
fn value(key: &mut Key, window: &Window, range: Range, at_us: i64, is_in_order: bool) -> Option<Value> {
    let (entries, column) = (&mut key.entries, window.column);
    // Counts are far below what 63 bits hold.
    let count = |count: u64| Some(Value::Integer(count as i64));
    let integer = |value: Option<i64>| value.map(Value::Integer);
    let newest = |before: usize| range.end.checked_sub(1 + before).filter(|place| *place >= range.start);
    let since = |place: usize| Value::Integer(at_us.saturating_sub(entries.time(place)));
    match window.function {
        Function::Count => count(range.len()),
        Function::SinceFirst => (range.len() > 0).then(|| since(range.start)),
        Function::SinceLast => newest(0).map(since),
        Function::Sum(_) => Some(Value::Integer(entries.sum(column, range))),
        Function::Mean(_) => mean(entries, column, range),
        Function::Stddev(_) => deviation(entries, column, range),
        Function::Min(_) => integer(entries.extremes(column, range).map(|(least, _)| least)),
        Function::Max(_) => integer(entries.extremes(column, range).map(|(_, greatest)| greatest)),
        Function::Last(_) => integer(newest(0).and_then(|place| entries.value(column, place))),
        Function::Previous(_) => integer(newest(1).and_then(|place| entries.value(column, place))),
        Function::Distinct(_) if is_in_order => count(key.distinct[window.count].counts.len() as u64),
        Function::Distinct(_) => {
            let values = (range.start..range.end).filter_map(|place| entries.value(column, place));
            count(values.collect::<HashSet<i64>>().len() as u64)
        }
    }
}

fn mean(entries: &Entries, column: usize, range: Range) -> Option<Value> {
    let present = entries.present(column, range);
    (present > 0).then(|| Value::Number(entries.sum(column, range) as f64 / present as f64))
}

/// Standard deviation of the population: sqrt(n·Σx² - (Σx)²) / n, where what is under the root is exact.
fn deviation(entries: &Entries, column: usize, range: Range) -> Option<Value> {
    let (present, sum) = (entries.present(column, range), i128::from(entries.sum(column, range)));
    let spread = i128::from(present) * entries.squares(column, range) - sum * sum;
    (present > 0).then(|| Value::Number((spread as f64).sqrt() / present as f64))
}
