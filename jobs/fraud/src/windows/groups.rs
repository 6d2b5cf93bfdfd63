//! Windows of the same payments by the same key, and when they begin and end.

use super::entries::{Entries, Range};
use super::key::Key;
use super::labelled::{LABEL, Labelled, PAYMENT_ID};
use super::{Definition, Function};
use crate::expression::Expression;

/// A field of a payment that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source {
    /// Place among the set's fields.
    pub(super) field: usize,
    /// Whether it is added up, so that large values are none.
    pub(super) is_summed: bool,
    pub(super) with_squares: bool,
}

/// A time before a payment that windows of a group share: places of its edges among the group's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: usize,
    /// None where it ends with the payment.
    end: Option<usize>,
    pub(super) includes_current: bool,
}

/// A column of which different values are counted over a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) span: Span,
    pub(super) column: usize,
}

/// A window, with places of what it is about in its group.
pub(super) struct Window {
    pub(super) function: Function,
    /// Place among the set's windows.
    pub(super) place: usize,
    pub(super) span: Span,
    pub(super) column: usize,
    /// Place among the group's counts of different values.
    pub(super) count: usize,
}

/// Windows of the same payments by the same key.
pub(super) struct Group {
    pub(super) filter: Option<Expression>,
    /// Places of the key's fields among the set's.
    pub(super) key_fields: Vec<usize>,
    pub(super) sources: Vec<Source>,
    /// How long before a payment its windows begin, and end where they end before it, microseconds; each once.
    pub(super) edges: Vec<i64>,
    pub(super) counts: Vec<Count>,
    /// Those without the payment itself, and those with it.
    windows: [Vec<Window>; 2],
    /// Where labels of its payments follow.
    pub(super) labelled: Option<Labelled>,
    /// Longest length with its delay, and lateness, microseconds: older entries have left every window.
    pub(super) reach_us: i64,
}

impl Group {
    pub(super) fn new(filter: Option<Expression>, key_fields: Vec<usize>) -> Self {
        Self {
            filter,
            key_fields,
            sources: Vec::new(),
            edges: Vec::new(),
            counts: Vec::new(),
            windows: [Vec::new(), Vec::new()],
            labelled: None,
            reach_us: 0,
        }
    }

    /// Adds a window; `fields` are those of the whole set.
    pub(super) fn add(&mut self, place: usize, definition: &Definition, lateness_us: i64, fields: &mut Vec<String>) {
        let Definition { function, length_us, delay_us, includes_current, .. } = definition;
        let start = found_or_added(length_us + delay_us, &mut self.edges);
        let end = (*delay_us > 0).then(|| found_or_added(*delay_us, &mut self.edges));
        let span = Span { start, end, includes_current: *includes_current };
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
        self.windows[usize::from(*includes_current)].push(Window {
            function: function.clone(),
            place,
            span,
            column,
            count,
        });
    }

    /// Its windows without the payment itself, or those with it.
    #[inline]
    pub(super) fn windows(&self, include_current: bool) -> &[Window] {
        &self.windows[usize::from(include_current)]
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
    pub(super) fn follow_labels(&mut self, fields: &mut Vec<String>) {
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

impl Span {
    /// When the span of a payment begins, exclusive.
    #[inline]
    pub(super) fn start_us(self, group: &Group, at_us: i64) -> i64 {
        at_us.saturating_sub(group.edges[self.start])
    }

    /// When the span of a payment ends.
    #[inline]
    pub(super) fn end_us(self, group: &Group, at_us: i64) -> i64 {
        self.end.map_or(at_us, |end| at_us.saturating_sub(group.edges[end]))
    }

    /// What is in the span of the newest payment of a key.
    #[inline]
    pub(super) fn of_newest(self, key: &Key) -> Range {
        let end = self.end.map_or(key.entries.len(), |end| key.places[end] as usize);
        Range { start: key.places[self.start] as usize, end }
    }

    /// What is in the span of a payment of any time.
    pub(super) fn of_any(self, group: &Group, entries: &Entries, at_us: i64) -> Range {
        Range { start: entries.until(self.start_us(group, at_us)), end: entries.until(self.end_us(group, at_us)) }
    }
}

fn found_or_added<T: PartialEq>(wanted: T, among: &mut Vec<T>) -> usize {
    among.iter().position(|other| *other == wanted).unwrap_or_else(|| {
        among.push(wanted);
        among.len() - 1
    })
}

/// Place of a field, which is added where it is new.
pub(super) fn place_of(name: &str, fields: &mut Vec<String>) -> usize {
    fields.iter().position(|field| field == name).unwrap_or_else(|| {
        fields.push(name.to_string());
        fields.len() - 1
    })
}
