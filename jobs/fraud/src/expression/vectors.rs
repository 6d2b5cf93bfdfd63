//! The values of a whole batch: vectors of integers, of numbers and of truth, and the loops over them. No loop
//! allocates for a row.
//!
//! Truth is kept as two bitmaps, the rows where it is true and those where it is false; in neither it is missing. So
//! `not` swaps them, `and` and `or` are two bitwise operations, and Kleene's logic follows by itself.
//!
//! It may depend on Arrow's buffers. It refuses Arrow's comparison kernels: they order -0.0 below 0.0.

use std::borrow::Cow;

use arrow::array::{Array, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::ArrowNativeType;

use crate::expression::scalar::finite;

/// Rows that share a word of a bitmap.
const WORD_ROWS: usize = u64::BITS as usize;

/// Values of every row.
#[derive(Debug, Clone)]
pub(crate) enum Vector<T: ArrowNativeType> {
    /// The same in each.
    Constant(Option<T>),
    /// Whatever stands where a row is not present means nothing.
    Rows { values: ScalarBuffer<T>, present: Option<NullBuffer> },
}

impl<T: ArrowNativeType> Vector<T> {
    /// The value in a row, which may lie beyond the last.
    pub(crate) fn value(&self, row: usize) -> Option<T> {
        match self {
            Self::Constant(value) => *value,
            Self::Rows { values, present } => {
                let value = values.get(row).copied()?;
                present.as_ref().is_none_or(|present| present.is_valid(row)).then_some(value)
            }
        }
    }

    /// Each value, or missing, made of one.
    pub(crate) fn map<R: ArrowNativeType>(&self, become_of: impl Fn(T) -> Option<R>) -> Vector<R> {
        match self {
            Self::Constant(value) => Vector::Constant(value.and_then(become_of)),
            Self::Rows { values, present } => made(values.len(), present.as_ref(), |row| become_of(values[row])),
        }
    }

    /// Each value, or missing, made of two.
    pub(crate) fn combine<U: ArrowNativeType, R: ArrowNativeType>(
        &self,
        other: &Vector<U>,
        become_of: impl Fn(T, U) -> Option<R>,
    ) -> Vector<R> {
        match (self, other) {
            (Self::Constant(None), _) | (_, Vector::Constant(None)) => Vector::Constant(None),
            (Self::Constant(Some(left)), right) => right.map(|right| become_of(*left, right)),
            (left, Vector::Constant(Some(right))) => left.map(|left| become_of(left, *right)),
            (Self::Rows { values: left, present }, Vector::Rows { values: right, present: right_present }) => {
                let present = NullBuffer::union(present.as_ref(), right_present.as_ref());
                made(left.len().min(right.len()), present.as_ref(), |row| become_of(left[row], right[row]))
            }
        }
    }

    /// Where a value satisfies something.
    pub(crate) fn test(&self, rows: usize, is_so: impl Fn(T) -> bool) -> Truth {
        match self {
            Self::Constant(value) => Truth::constant(rows, value.map(is_so)),
            Self::Rows { values, present } => {
                let word = |values: &[T]| word_of(values.iter().map(|value| is_so(*value)));
                Truth::of(bitmap(rows, values.chunks(WORD_ROWS).map(word)), present.clone())
            }
        }
    }

    /// Where two values satisfy something.
    pub(crate) fn test_both<U: ArrowNativeType>(
        &self,
        other: &Vector<U>,
        rows: usize,
        is_so: impl Fn(T, U) -> bool,
    ) -> Truth {
        match (self, other) {
            (Self::Constant(None), _) | (_, Vector::Constant(None)) => Truth::missing(rows),
            (Self::Constant(Some(left)), right) => right.test(rows, |right| is_so(*left, right)),
            (left, Vector::Constant(Some(right))) => left.test(rows, |left| is_so(left, *right)),
            (Self::Rows { values: left, present }, Vector::Rows { values: right, present: right_present }) => {
                let word = |(left, right): (&[T], &[U])| {
                    word_of(left.iter().zip(right).map(|(left, right)| is_so(*left, *right)))
                };
                let words = left.chunks(WORD_ROWS).zip(right.chunks(WORD_ROWS)).map(word);
                Truth::of(bitmap(rows, words), NullBuffer::union(present.as_ref(), right_present.as_ref()))
            }
        }
    }

    /// Where it is missing.
    pub(crate) fn is_missing(&self, rows: usize) -> Truth {
        match self {
            Self::Constant(value) => Truth::constant(rows, Some(value.is_none())),
            Self::Rows { present, .. } => missing_of(rows, present.as_ref()),
        }
    }

    /// The values as Arrow keeps them.
    pub(crate) fn into_parts(self, rows: usize) -> (ScalarBuffer<T>, Option<NullBuffer>) {
        match self {
            Self::Constant(value) => {
                let present = value.is_none().then(|| NullBuffer::new_null(rows));
                (vec![value.unwrap_or_default(); rows].into(), present)
            }
            Self::Rows { values, present } => (values, present),
        }
    }
}

impl Vector<f64> {
    /// The same, where NaN and the infinities are missing.
    pub(crate) fn finite(self) -> Self {
        let is_finite = match &self {
            Self::Constant(value) => value.is_none_or(f64::is_finite),
            Self::Rows { values, .. } => values.iter().all(|value| value.is_finite()),
        };
        if is_finite { self } else { self.map(finite) }
    }
}

/// A vector of what each row becomes.
fn made<R: ArrowNativeType>(
    rows: usize,
    present: Option<&NullBuffer>,
    become_of: impl Fn(usize) -> Option<R>,
) -> Vector<R> {
    let mut values = Vec::with_capacity(rows);
    let became = BooleanBuffer::collect_bool(rows, |row| {
        let value = become_of(row);
        values.push(value.unwrap_or_default());
        value.is_some()
    });
    let became = became.has_false().then(|| NullBuffer::new(became));
    Vector::Rows { values: values.into(), present: NullBuffer::union(present, became.as_ref()) }
}

/// Up to 64 rows as bits, the first lowest.
fn word_of(rows: impl DoubleEndedIterator<Item = bool>) -> u64 {
    rows.rev().fold(0, |word, row| word << 1 | u64::from(row))
}

fn bitmap(rows: usize, words: impl Iterator<Item = u64>) -> BooleanBuffer {
    let mut words: Vec<u64> = words.map(u64::to_le).collect();
    words.resize(rows.div_ceil(WORD_ROWS), 0);
    BooleanBuffer::new(Buffer::from_vec(words), 0, rows)
}

fn missing_of(rows: usize, present: Option<&NullBuffer>) -> Truth {
    match present {
        None => Truth::constant(rows, Some(false)),
        Some(present) => Truth { yes: !present.inner(), no: present.inner().clone() },
    }
}

/// Where something is true, and where it is false.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    pub(crate) yes: BooleanBuffer,
    pub(crate) no: BooleanBuffer,
}

impl Truth {
    /// True where it holds, false elsewhere, missing where it is not present.
    pub(crate) fn of(holds: BooleanBuffer, present: Option<NullBuffer>) -> Self {
        match present {
            None => Self { no: !&holds, yes: holds },
            Some(present) => Self { yes: &holds & present.inner(), no: &!&holds & present.inner() },
        }
    }

    pub(crate) fn constant(rows: usize, value: Option<bool>) -> Self {
        let everywhere =
            |is_so: bool| if is_so { BooleanBuffer::new_set(rows) } else { BooleanBuffer::new_unset(rows) };
        Self { yes: everywhere(value == Some(true)), no: everywhere(value == Some(false)) }
    }

    pub(crate) fn missing(rows: usize) -> Self {
        Self::constant(rows, None)
    }

    /// The value in a row, which may lie beyond the last.
    pub(crate) fn value(&self, row: usize) -> Option<bool> {
        if row >= self.yes.len() {
            return None;
        }
        (self.yes.value(row) || self.no.value(row)).then(|| self.yes.value(row))
    }

    pub(crate) fn not(self) -> Self {
        Self { yes: self.no, no: self.yes }
    }

    pub(crate) fn and(self, other: &Self) -> Self {
        Self { yes: &self.yes & &other.yes, no: &self.no | &other.no }
    }

    pub(crate) fn or(self, other: &Self) -> Self {
        Self { yes: &self.yes | &other.yes, no: &self.no & &other.no }
    }

    /// Where both are there and the same.
    pub(crate) fn same(&self, other: &Self) -> Self {
        Self {
            yes: &(&self.yes & &other.yes) | &(&self.no & &other.no),
            no: &(&self.yes & &other.no) | &(&self.no & &other.yes),
        }
    }

    pub(crate) fn is_missing(&self) -> Self {
        let present = &self.yes | &self.no;
        Self { yes: !&present, no: present }
    }
}

/// Texts of every row.
#[derive(Debug, Clone)]
pub(crate) enum Texts<'a> {
    /// The same in each.
    Constant(Option<Cow<'a, str>>),
    Rows(Cow<'a, StringArray>),
}

impl Texts<'_> {
    /// Where a text satisfies something that may depend on its row.
    pub(crate) fn test(&self, rows: usize, is_so: impl Fn(usize, &str) -> bool) -> Truth {
        match self {
            Self::Constant(None) => Truth::missing(rows),
            Self::Constant(Some(text)) => Truth::of(BooleanBuffer::collect_bool(rows, |row| is_so(row, text)), None),
            Self::Rows(texts) => {
                // Texts that are not there are not asked about: a list would be searched for nothing.
                let holds =
                    BooleanBuffer::collect_bool(rows, |row| texts.is_valid(row) && is_so(row, texts.value(row)));
                Truth::of(holds, texts.nulls().cloned())
            }
        }
    }

    /// Where two texts satisfy something.
    pub(crate) fn test_both(&self, other: &Self, rows: usize, is_so: impl Fn(&str, &str) -> bool) -> Truth {
        match (self, other) {
            (Self::Constant(None), _) | (_, Self::Constant(None)) => Truth::missing(rows),
            (Self::Constant(Some(left)), right) => right.test(rows, |_, right| is_so(left, right)),
            (left, Self::Constant(Some(right))) => left.test(rows, |_, left| is_so(left, right)),
            (left, Self::Rows(right)) => {
                let Truth { yes, no } = left.test(rows, |row, left| is_so(left, right.value(row)));
                match right.nulls() {
                    None => Truth { yes, no },
                    Some(present) => Truth { yes: &yes & present.inner(), no: &no & present.inner() },
                }
            }
        }
    }

    /// Where it is missing.
    pub(crate) fn is_missing(&self, rows: usize) -> Truth {
        match self {
            Self::Constant(text) => Truth::constant(rows, Some(text.is_none())),
            Self::Rows(texts) => missing_of(rows, texts.nulls()),
        }
    }
}
