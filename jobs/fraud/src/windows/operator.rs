//! The fold over payments: each reads its values of the windows, and is entered.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, Int64Builder, RecordBatch, RecordBatchOptions};

use super::entries::{Column, Range, VALUE_MAX};
use super::keys::{Key, Keys, uncount};
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
    field: usize,
    /// Whether it is added up, so that large values are none.
    is_summed: bool,
    with_squares: bool,
}

/// A window, with the place of what it is about among the columns of its group.
pub(super) struct Window {
    definition: Definition,
    /// Place among the set's windows.
    place: usize,
    pub(super) column: usize,
}

impl Window {
    /// When a window of a payment begins, exclusive, and ends.
    fn span_us(&self, at_us: i64) -> (i64, i64) {
        let end_us = at_us.saturating_sub(self.definition.delay_us);
        (end_us.saturating_sub(self.definition.length_us), end_us)
    }

    pub(super) fn counts_different(&self) -> bool {
        matches!(self.definition.function, Function::Distinct(_))
    }
}

/// Windows of the same payments by the same key.
pub(super) struct Group {
    filter: Option<Expression>,
    /// Places of the key's fields among the set's.
    pub(super) key_fields: Vec<usize>,
    pub(super) sources: Vec<Source>,
    pub(super) windows: Vec<Window>,
    /// Longest length with its delay, and lateness, microseconds: older entries have left every window.
    pub(super) reach_us: i64,
}

impl Group {
    pub(super) fn columns(&self) -> Vec<Column> {
        self.sources.iter().map(|source| Column::new(source.with_squares)).collect()
    }
}

/// Windows over a log.
pub struct Windows {
    set: WindowSet,
    fields: Vec<String>,
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
        let mut by_key: BTreeMap<(&[String], Option<String>), Group> = BTreeMap::new();
        for (place, definition) in set.windows.iter().enumerate() {
            let filter_text = definition.filter.as_ref().map(Expression::to_string);
            let group = by_key.entry((&definition.key, filter_text)).or_insert_with(|| Group {
                filter: definition.filter.clone(),
                key_fields: definition.key.iter().map(|name| place_of(name, &mut fields)).collect(),
                sources: Vec::new(),
                windows: Vec::new(),
                reach_us: 0,
            });
            let column = definition.function.field().map_or(0, |field| {
                let (is_summed, with_squares) = match definition.function {
                    Function::Sum(_) | Function::Mean(_) => (true, false),
                    Function::Stddev(_) => (true, true),
                    _ => (false, false),
                };
                let source = Source { field: place_of(field, &mut fields), is_summed, with_squares };
                let same = |other: &Source| (other.field, other.is_summed) == (source.field, source.is_summed);
                let found = group.sources.iter().position(same).unwrap_or(group.sources.len());
                match group.sources.get_mut(found) {
                    Some(other) => other.with_squares |= with_squares,
                    None => group.sources.push(source),
                }
                found
            });
            group.reach_us = group.reach_us.max(definition.length_us + definition.delay_us + set.lateness_us);
            group.windows.push(Window { definition: definition.clone(), place, column });
        }
        let groups: Vec<Group> = by_key.into_values().collect();
        let keys = groups.iter().map(|_| Keys::default()).collect();
        Ok(Self { fields, groups, keys, newest_us: i64::MIN, read: 0, set })
    }

    /// The definitions.
    pub fn set(&self) -> &WindowSet {
        &self.set
    }

    /// Number of payments that are kept, each once for each kind of key.
    pub fn entries(&self) -> usize {
        self.keys.iter().flat_map(|keys| keys.by_name.values()).map(|key| key.entries.len()).sum()
    }

    /// The fields of a batch that the windows read.
    ///
    /// # Errors
    /// Fails where a field is missing or of a type that no window can read.
    pub fn bind(&self, rows: &RecordBatch) -> Result<Payments, WindowError> {
        let payments = Payments::read(rows, &self.set.time, &self.fields)?;
        let summed = self.groups.iter().flat_map(|group| &group.sources).filter(|source| source.is_summed);
        payments.check_numbers(summed.map(|source| source.field), &self.fields)?;
        let filters = self.groups.iter().map(|group| group.filter.as_ref());
        payments.with_filters(rows, filters)
    }

    /// Values of the windows for each row of a batch, which follow those of the batches before: one column a window.
    ///
    /// # Errors
    /// As [`Windows::bind`]; nothing was entered then.
    pub fn process(&mut self, rows: &RecordBatch) -> Result<RecordBatch, WindowError> {
        let payments = self.bind(rows)?;
        let length = rows.num_rows();
        let mut builders: Vec<Builder> = self.set.windows.iter().map(|window| Builder::of(window, length)).collect();
        let mut values = vec![None; self.set.windows.len()];
        for row in 0..length {
            self.enter(&payments, row, &mut values);
            builders.iter_mut().zip(&values).for_each(|(builder, value)| builder.append(*value));
        }
        let columns = builders.into_iter().map(Builder::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(length));
        RecordBatch::try_new_with_options(Arc::new(self.set.schema()), columns, &options)
            .map_err(|error| WindowError::Column { name: "of windows".to_string(), problem: error.to_string() })
    }

    /// Reads the values of one payment, in the order of the set's windows, and enters it. Those of a batch are entered one
    /// after the other. `values` has a place for each window.
    pub fn enter(&mut self, payments: &Payments, row: usize, values: &mut [Option<Value>]) {
        values.fill(None);
        let Some(at_us) = payments.time_us(row) else { return };
        self.read += 1;
        self.newest_us = self.newest_us.max(at_us);
        for (number, (group, keys)) in self.groups.iter().zip(&mut self.keys).enumerate() {
            let Some(key) = keys.of_payment(group, payments, row, at_us, self.set.keys_max) else { continue };
            let payment = Payment { payments, row, at_us, is_entered: payments.passes(number, row) };
            step(group, key, &payment, self.set.lateness_us, values);
        }
        if self.read.is_multiple_of(SWEEP_EVERY) {
            for (group, keys) in self.groups.iter().zip(&mut self.keys) {
                keys.sweep(self.newest_us.saturating_sub(group.reach_us));
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
    is_entered: bool,
}

/// Values of a payment by one key, and its entry there.
fn step(group: &Group, key: &mut Key, payment: &Payment<'_>, lateness_us: i64, values: &mut [Option<Value>]) {
    let Payment { payments, row, at_us, is_entered } = *payment;
    let is_in_order = at_us >= key.newest_us;
    let is_late = at_us < key.newest_us.saturating_sub(lateness_us);
    let mut read = |key: &mut Key, includes_current: bool| {
        let asked = group.windows.iter().enumerate();
        for (number, window) in asked.filter(|(_, window)| window.definition.includes_current == includes_current) {
            let range = if is_in_order { advance(key, number, window, at_us) } else { range_at(key, window, at_us) };
            let (start_us, _) = window.span_us(at_us);
            if !is_late && key.capped_us <= start_us {
                values[window.place] = value(key, number, window, range, at_us, is_in_order);
            }
        }
    };
    read(key, false);
    if is_entered && at_us > key.newest_us.saturating_sub(group.reach_us) {
        let cells = group.sources.iter().map(|source| match payments.cell(row, source.field) {
            Cell::Number(number) if source.is_summed => Cell::Number(number.filter(|number| is_summable(*number))),
            cell => cell,
        });
        let place = key.enter(group, at_us, cells);
        if !is_in_order {
            shift(group, key, at_us, place);
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

/// Moves the window of a key's newest payment on to one that is not older.
pub(super) fn advance(key: &mut Key, number: usize, window: &Window, at_us: i64) -> Range {
    let (start_us, end_us) = window.span_us(at_us);
    let before = key.ranges[number];
    let end = key.entries.advance(before.end, end_us);
    let start = key.entries.advance(before.start, start_us).min(end);
    if window.counts_different() {
        let (column, counts) = (&key.entries.columns[window.column], &mut key.distinct[number]);
        for value in (before.end..end).filter_map(|place| column.value(place)) {
            *counts.entry(value).or_default() += 1;
        }
        (before.start..start).filter_map(|place| column.value(place)).for_each(|value| uncount(counts, value));
    }
    key.ranges[number] = Range { start, end };
    key.ranges[number]
}

fn range_at(key: &Key, window: &Window, at_us: i64) -> Range {
    let (start_us, end_us) = window.span_us(at_us);
    Range { start: key.entries.until(start_us), end: key.entries.until(end_us) }
}

/// Moves the windows of a key's newest payment past an older one that was entered at this place.
fn shift(group: &Group, key: &mut Key, at_us: i64, place: usize) {
    for (number, window) in group.windows.iter().enumerate() {
        let (start_us, end_us) = window.span_us(key.newest_us);
        if at_us > end_us {
            continue;
        }
        key.ranges[number].end += 1;
        if at_us <= start_us {
            key.ranges[number].start += 1;
        } else if window.counts_different()
            && let Some(value) = key.entries.columns[window.column].value(place)
        {
            *key.distinct[number].entry(value).or_default() += 1;
        }
    }
}

/// Value of a window that holds these entries.
fn value(key: &mut Key, number: usize, window: &Window, range: Range, at_us: i64, is_in_order: bool) -> Option<Value> {
    // Counts are far below what 63 bits hold.
    let count = |count: u64| Some(Value::Integer(count as i64));
    let newest = |before: usize| range.end.checked_sub(1 + before).filter(|place| *place >= range.start);
    let since = |place: usize| Value::Integer(at_us.saturating_sub(key.entries.time(place)));
    match window.definition.function {
        Function::Count => return count(range.len()),
        Function::SinceFirst => return (range.len() > 0).then(|| since(range.start)),
        Function::SinceLast => return newest(0).map(since),
        Function::Distinct(_) if is_in_order => return count(key.distinct[number].len() as u64),
        _ => {}
    }
    let column = &mut key.entries.columns[window.column];
    let integer = |value: Option<i64>| value.map(Value::Integer);
    match window.definition.function {
        Function::Sum(_) => Some(Value::Integer(column.sum(range))),
        Function::Mean(_) => mean(column, range),
        Function::Stddev(_) => deviation(column, range),
        Function::Min(_) => integer(column.extremes(range).map(|(least, _)| least)),
        Function::Max(_) => integer(column.extremes(range).map(|(_, greatest)| greatest)),
        Function::Last(_) => integer(newest(0).and_then(|place| column.value(place))),
        Function::Previous(_) => integer(newest(1).and_then(|place| column.value(place))),
        _ => {
            let different: HashSet<i64> = (range.start..range.end).filter_map(|place| column.value(place)).collect();
            count(different.len() as u64)
        }
    }
}

fn mean(column: &Column, range: Range) -> Option<Value> {
    let present = column.present(range);
    (present > 0).then(|| Value::Number(column.sum(range) as f64 / present as f64))
}

/// Standard deviation of the population: sqrt(n·Σx² - (Σx)²) / n, where what is under the root is exact.
fn deviation(column: &Column, range: Range) -> Option<Value> {
    let (present, sum) = (column.present(range), i128::from(column.sum(range)));
    let spread = i128::from(present) * column.squares(range) - sum * sum;
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
