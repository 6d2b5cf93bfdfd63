//! The fold over payments: each reads its values of the windows, and is entered.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, Int64Builder, RecordBatch, RecordBatchOptions};

use super::entries::{Entries, Range, VALUE_MAX};
use super::keys::{Key, Keys, uncount};
use super::labelled::{Answers, Known, LABEL, Label, Labelled, PAYMENT_ID, Position};
use super::payments::{Cell, Payments};
use super::{Definition, Function, WindowError, WindowSet};
use crate::expression::Expression;

/// Payments after which keys of which nothing is left are looked for.
const SWEEP_EVERY: u64 = 1 << 16;

/// A value of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// Exact.
    Integer(i64),
    /// A quotient, or a root.
    Number(f64),
}

/// A field of a payment that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source {
    /// Place among the set's fields.
    pub(super) field: usize,
    /// Whether it is added up, so that large values are none.
    pub(super) is_summed: bool,
    pub(super) with_squares: bool,
}

/// A time before a payment that windows of a group share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    length_us: i64,
    delay_us: i64,
    includes_current: bool,
}

/// A column of which different values are counted over a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) span: usize,
    pub(super) column: usize,
}

/// A window, with places of what it is about in its group.
pub(super) struct Window {
    function: Function,
    /// Place among the set's windows.
    place: usize,
    span: usize,
    column: usize,
    /// Place among the group's counts of different values.
    count: usize,
}

impl Span {
    /// When the span of a payment begins, exclusive, and ends.
    fn of_payment(self, at_us: i64) -> (i64, i64) {
        let end_us = at_us.saturating_sub(self.delay_us);
        (end_us.saturating_sub(self.length_us), end_us)
    }
}

/// Windows of the same payments by the same key.
pub(super) struct Group {
    pub(super) filter: Option<Expression>,
    /// Places of the key's fields among the set's.
    pub(super) key_fields: Vec<usize>,
    pub(super) sources: Vec<Source>,
    pub(super) spans: Vec<Span>,
    pub(super) counts: Vec<Count>,
    windows: Vec<Window>,
    /// Where labels of its payments follow.
    pub(super) labelled: Option<Labelled>,
    /// Longest length with its delay, and lateness, microseconds: older entries have left every window.
    pub(super) reach_us: i64,
}

impl Group {
    /// Adds a window; `fields` are those of the whole set.
    fn add(&mut self, place: usize, definition: &Definition, lateness_us: i64, fields: &mut Vec<String>) {
        let Definition { function, length_us, delay_us, includes_current, .. } = definition;
        let span = Span { length_us: *length_us, delay_us: *delay_us, includes_current: *includes_current };
        let span = found_or_added(span, &mut self.spans);
        let column = function.field().map_or(0, |field| {
            let (is_summed, with_squares) = match function {
                Function::Sum(_) | Function::Mean(_) => (true, false),
                Function::Stddev(_) => (true, true),
                _ => (false, false),
            };
            // A label is small: one column of it serves all functions.
            let is_summed = is_summed && !(self.labelled.is_some() && field == LABEL);
            self.source(Source { field: place_of(field, fields), is_summed, with_squares })
        });
        let counts_different = matches!(function, Function::Distinct(_));
        let count = if counts_different { found_or_added(Count { span, column }, &mut self.counts) } else { 0 };
        self.reach_us = self.reach_us.max(length_us + delay_us + lateness_us);
        self.windows.push(Window { function: function.clone(), place, span, column, count });
    }

    /// Place of a source among the group's.
    fn source(&mut self, wanted: Source) -> usize {
        let same = |other: &Source| (other.field, other.is_summed) == (wanted.field, wanted.is_summed);
        match self.sources.iter().position(same) {
            Some(found) => {
                self.sources[found].with_squares |= wanted.with_squares;
                found
            }
            None => {
                self.sources.push(wanted);
                self.sources.len() - 1
            }
        }
    }

    /// Keeps what labels need.
    fn follow_labels(&mut self, fields: &mut Vec<String>) {
        let mut column =
            |name| self.source(Source { field: place_of(name, fields), is_summed: false, with_squares: false });
        self.labelled = Some(Labelled { label: column(LABEL), payment: PAYMENT_ID.map(column) });
    }

    /// Entries of a key of which nothing was read.
    pub(super) fn entries(&self) -> Entries {
        let with_squares = self.sources.iter().map(|source| source.with_squares);
        Entries::new(with_squares.chain(self.labelled.map(|_| false)))
    }
}

fn found_or_added<T: PartialEq>(wanted: T, among: &mut Vec<T>) -> usize {
    among.iter().position(|other| *other == wanted).unwrap_or_else(|| {
        among.push(wanted);
        among.len() - 1
    })
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
                let mut group = Group {
                    filter: definition.filter.clone(),
                    key_fields: definition.key.iter().map(|name| place_of(name, &mut fields)).collect(),
                    sources: Vec::new(),
                    spans: Vec::new(),
                    counts: Vec::new(),
                    windows: Vec::new(),
                    labelled: None,
                    reach_us: 0,
                };
                if is_labelled {
                    group.follow_labels(&mut fields);
                }
                group
            });
            group.add(place, definition, set.lateness_us, &mut fields);
        }
        let groups: Vec<Group> = by_key.into_values().collect();
        let keys = groups.iter().map(|_| Keys::default()).collect();
        Ok(Self { fields, groups, keys, newest_us: i64::MIN, read: 0, set })
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
        let mut builders: Vec<Builder> = self.set.windows.iter().map(|window| Builder::of(window, length)).collect();
        let mut values = vec![None; self.set.windows.len()];
        let mut labels = labels.iter().peekable();
        for row in 0..length {
            std::iter::from_fn(|| labels.next_if(|label| label.before <= row)).for_each(|label| self.relabel(label));
            self.enter(&payments, row, &mut values);
            builders.iter_mut().zip(&values).for_each(|(builder, value)| builder.append(*value));
        }
        labels.for_each(|label| self.relabel(label));
        let columns = builders.into_iter().map(Builder::finish).collect();
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
        let Some(at_us) = payments.time_us(row) else { return };
        self.read += 1;
        self.newest_us = self.newest_us.max(at_us);
        for (number, (group, keys)) in self.groups.iter().zip(&mut self.keys).enumerate() {
            let Some(place) = keys.of_payment(group, payments, row, at_us, self.set.keys_max) else { continue };
            let Some(key) = keys.at(place) else { continue };
            let answers = payments.passes(number, row);
            let position = Position::new(self.read, answers);
            step(group, key, &Payment { payments, row, at_us, answers, position }, self.set.lateness_us, values);
            if let Some(labelled) = group.labelled.filter(|_| answers.any()) {
                keys.note(payments.identity(row, group, labelled), Known { key: place, at_us, position });
            }
        }
        if self.read.is_multiple_of(SWEEP_EVERY) {
            for (group, keys) in self.groups.iter().zip(&mut self.keys) {
                keys.sweep(group, self.newest_us.saturating_sub(group.reach_us));
            }
        }
    }
}

fn place_of(name: &str, fields: &mut Vec<String>) -> usize {
    fields.iter().position(|field| field == name).unwrap_or_else(|| {
        fields.push(name.to_string());
        fields.len() - 1
    })
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
fn step(group: &Group, key: &mut Key, payment: &Payment<'_>, lateness_us: i64, values: &mut [Option<Value>]) {
    let Payment { payments, row, at_us, answers, position } = *payment;
    let is_in_order = at_us >= key.newest_us;
    let is_late = at_us < key.newest_us.saturating_sub(lateness_us);
    let mut read = |key: &mut Key, includes_current: bool| {
        for (number, span) in group.spans.iter().enumerate() {
            if is_in_order && span.includes_current == includes_current {
                advance(group, key, number, at_us);
            }
        }
        for window in &group.windows {
            let span = group.spans[window.span];
            let (start_us, _) = span.of_payment(at_us);
            if span.includes_current == includes_current && !is_late && key.capped_us <= start_us {
                let range = if is_in_order { key.ranges[window.span] } else { range_at(&key.entries, span, at_us) };
                values[window.place] = value(key, window, range, at_us, is_in_order);
            }
        }
    };
    read(key, false);
    if answers.any() && at_us > key.newest_us.saturating_sub(group.reach_us) {
        let cells = group.sources.iter().map(|source| match payments.cell(row, source.field) {
            Cell::Number(number) if source.is_summed => Cell::Number(number.filter(|number| is_summable(*number))),
            cell => cell,
        });
        let cells = cells.chain(group.labelled.map(|_| Cell::Number(Some(position.0))));
        key.make_room(group);
        if answers.under(false) {
            let place = key.enter(at_us, cells);
            if !is_in_order {
                shift(group, key, at_us, place);
            }
        } else {
            let values: Vec<Option<i64>> = key.values(cells).collect();
            key.wait(group, at_us, &values);
        }
    }
    read(key, true);
    if is_in_order {
        key.newest_us = at_us;
        key.forget(group, at_us.saturating_sub(group.reach_us));
    }
}

fn is_summable(number: i64) -> bool {
    number.unsigned_abs() <= VALUE_MAX.unsigned_abs()
}

/// Moves a span of a key's newest payment on to one that is not older.
fn advance(group: &Group, key: &mut Key, number: usize, at_us: i64) {
    let (start_us, end_us) = group.spans[number].of_payment(at_us);
    let before = key.ranges[number];
    let end = key.entries.advance(before.end, end_us);
    let start = key.entries.advance(before.start, start_us).min(end);
    for (count, counts) in group.counts.iter().zip(&mut key.distinct).filter(|(count, _)| count.span == number) {
        for value in (before.end..end).filter_map(|place| key.entries.value(count.column, place)) {
            *counts.entry(value).or_default() += 1;
        }
        let left = (before.start..start).filter_map(|place| key.entries.value(count.column, place));
        left.for_each(|value| uncount(counts, value));
    }
    key.ranges[number] = Range { start, end };
}

pub(super) fn range_at(entries: &Entries, span: Span, at_us: i64) -> Range {
    let (start_us, end_us) = span.of_payment(at_us);
    Range { start: entries.until(start_us), end: entries.until(end_us) }
}

/// Moves the spans of a key's newest payment past an older one that was entered at this place.
fn shift(group: &Group, key: &mut Key, at_us: i64, place: usize) {
    for (number, span) in group.spans.iter().enumerate() {
        let (start_us, end_us) = span.of_payment(key.newest_us);
        if at_us > end_us {
            continue;
        }
        key.ranges[number].end += 1;
        if at_us <= start_us {
            key.ranges[number].start += 1;
            continue;
        }
        for (count, counts) in group.counts.iter().zip(&mut key.distinct).filter(|(count, _)| count.span == number) {
            if let Some(value) = key.entries.value(count.column, place) {
                *counts.entry(value).or_default() += 1;
            }
        }
    }
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
        Function::Distinct(_) if is_in_order => count(key.distinct[window.count].len() as u64),
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

/// Builds a window's column.
enum Builder {
    Integers(Int64Builder),
    Numbers(Float64Builder),
}

impl Builder {
    fn of(window: &Definition, rows: usize) -> Self {
        match window.function {
            Function::Mean(_) | Function::Stddev(_) => Self::Numbers(Float64Builder::with_capacity(rows)),
            _ => Self::Integers(Int64Builder::with_capacity(rows)),
        }
    }

    fn append(&mut self, value: Option<Value>) {
        match (self, value) {
            (Self::Integers(builder), Some(Value::Integer(value))) => builder.append_value(value),
            (Self::Numbers(builder), Some(Value::Number(value))) => builder.append_value(value),
            (Self::Integers(builder), _) => builder.append_null(),
            (Self::Numbers(builder), _) => builder.append_null(),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Integers(mut builder) => Arc::new(builder.finish()),
            Self::Numbers(mut builder) => Arc::new(builder.finish()),
        }
    }
}
