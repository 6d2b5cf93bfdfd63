//! The payments of one key in the order of time and position, as cumulated sums: any window over them is a difference of
//! two places, so nothing is kept for a window but where it begins and ends.
//!
//! Time and sums of a place lie side by side in a ring, since reading them from memory is what a window costs: what has
//! left every window makes room where it lies, and nothing is moved for it. A late payment is put in its place and moves
//! what lies behind it; that is rare, and costs a pass over the key's later entries.

/// Largest absolute value of a payment's field, and most entries of a key: their sums fit 64 bits and the sums of their
/// squares 128.
pub(super) const VALUE_MAX: i64 = 1 << 42;
/// See [`VALUE_MAX`].
pub(super) const ENTRIES_MAX: usize = 1 << 20;
/// Entries whose least and greatest value are remembered together.
const CHUNK: usize = 64;
/// Rows of a key of which nothing was read: with two numbers each a line of the processor's cache.
const ROWS_MIN: usize = 4;

/// Places of entries, the end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Range {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Range {
    pub(super) fn len(self) -> u64 {
        self.end.saturating_sub(self.start) as u64
    }
}

/// What some windows need of a field beside sums.
#[derive(Debug, Clone, Default)]
struct Extras {
    /// Sum of squares before each place and of all, where a window needs it.
    squares: Option<Vec<i128>>,
    /// Number of missing values before each place and of all, once there was one.
    missing: Option<Vec<u32>>,
    /// Least and greatest value of each full chunk, as far as anybody has asked.
    extremes: Vec<Option<(i64, i64)>>,
}

/// The entries of a key.
#[derive(Debug, Clone)]
pub(super) struct Entries {
    /// A ring with a row for each entry and one behind them: its time, microseconds UTC, ascending, of equal times the
    /// earlier read first; then for each field the sum of the values before it since the first that was ever entered. Sums
    /// wrap around; differences between two places are exact. The last row has the time after all times.
    rows: Box<[i64]>,
    /// By field, once one of them needs it.
    extras: Option<Box<[Extras]>>,
    /// Numbers in a row.
    width: u32,
    /// Rows of the ring, a power of two, less one.
    mask: u32,
    /// The row of the first entry.
    first: u32,
    length: u32,
}

impl Entries {
    /// No entries, with fields of which some need sums of squares.
    pub(super) fn new(with_squares: impl Iterator<Item = bool>) -> Self {
        let extras = with_squares.map(|with| Extras { squares: with.then(|| vec![0]), ..Extras::default() });
        let extras: Box<[Extras]> = extras.collect();
        let width = 1 + extras.len();
        let mut rows = vec![0; ROWS_MIN * width].into_boxed_slice();
        rows[0] = i64::MAX;
        let extras = extras.iter().any(|extras| extras.squares.is_some()).then_some(extras);
        Self { rows, extras, width: width as u32, mask: ROWS_MIN as u32 - 1, first: 0, length: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.length as usize
    }

    /// Number of fields.
    #[inline]
    pub(super) fn columns(&self) -> usize {
        self.width as usize - 1
    }

    /// Where the row of a place begins in the ring.
    #[inline]
    fn row(&self, place: usize) -> usize {
        ((self.first as usize).wrapping_add(place) & self.mask as usize).wrapping_mul(self.width as usize)
    }

    #[inline]
    pub(super) fn time(&self, place: usize) -> i64 {
        self.rows[self.row(place)]
    }

    /// Number of entries at or before a moment.
    pub(super) fn until(&self, at_us: i64) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.time(middle) <= at_us { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The first place at or after `from` that is later than a moment, where it is known to lie not far from there.
    #[inline]
    pub(super) fn advance(&self, mut from: usize, at_us: i64) -> usize {
        // As a rule it is none, one or two farther on, which no processor can foretell: so these steps are no branches.
        from += usize::from(self.time(from) <= at_us);
        from += usize::from(self.time(from) <= at_us);
        // No moment is later than the last row.
        while self.time(from) <= at_us && from < self.len() {
            from += 1;
        }
        from.min(self.len())
    }

    /// Enters a payment that was read after all others; returns its place.
    #[inline]
    pub(super) fn insert(&mut self, at_us: i64, values: impl Iterator<Item = Option<i64>>) -> usize {
        let length = self.len();
        let is_last = length == 0 || self.time(length - 1) <= at_us;
        let place = if is_last { length } else { self.until(at_us) };
        self.insert_at(place, at_us, values);
        place
    }

    /// Enters a payment at the place that its time and position have.
    pub(super) fn insert_at(&mut self, place: usize, at_us: i64, values: impl Iterator<Item = Option<i64>>) {
        let length = self.len();
        if self.is_full() {
            self.grow();
        }
        // The row that was there moves back with what it says of before, and stands for this entry too.
        (place..=length).rev().for_each(|moved| self.copy_row(moved, moved + 1));
        let start = self.row(place);
        self.rows[start] = at_us;
        for (column, value) in values.enumerate() {
            if let Some(value) = value {
                self.add(column, place + 1..length + 2, value);
            }
            if value.is_none() || self.extras.is_some() {
                self.extras()[column].insert(place, value, length);
            }
        }
        self.length += 1;
    }

    /// Takes out the entry at a place; returns its values.
    pub(super) fn remove(&mut self, place: usize) -> Vec<Option<i64>> {
        let values: Vec<Option<i64>> = (0..self.columns()).map(|column| self.value(column, place)).collect();
        (place..self.len()).for_each(|moved| self.copy_row(moved + 1, moved));
        self.length -= 1;
        // The row behind it, which is at its place now, still counts it.
        for (column, value) in values.iter().enumerate() {
            self.add(column, place..self.len() + 1, value.unwrap_or_default().wrapping_neg());
        }
        let extras = self.extras.iter_mut().flatten();
        extras.zip(&values).for_each(|(extras, value)| extras.remove(place, *value));
        values
    }

    #[inline]
    fn copy_row(&mut self, from: usize, to: usize) {
        let (from, to) = (self.row(from), self.row(to));
        (0..self.width as usize).for_each(|number| self.rows[to + number] = self.rows[from + number]);
    }

    #[inline]
    fn add(&mut self, column: usize, places: std::ops::Range<usize>, value: i64) {
        for place in places {
            let sum = self.row(place) + 1 + column;
            self.rows[sum] = self.rows[sum].wrapping_add(value);
        }
    }

    fn extras(&mut self) -> &mut [Extras] {
        let columns = self.columns();
        self.extras.get_or_insert_with(|| vec![Extras::default(); columns].into())
    }

    /// Whether the next entry needs a larger ring.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.length >= self.mask
    }

    fn grow(&mut self) {
        let (behind, ahead) = self.rows.split_at(self.row(0));
        let mut rows = Vec::with_capacity(2 * self.rows.len());
        rows.extend_from_slice(ahead);
        rows.extend_from_slice(behind);
        rows.resize(2 * self.rows.len(), 0);
        (self.rows, self.mask, self.first) = (rows.into_boxed_slice(), 2 * self.mask + 1, 0);
    }

    /// The entries from a place on: time and values.
    pub(super) fn entries(&self, from: usize) -> impl Iterator<Item = (i64, Vec<Option<i64>>)> {
        let values = move |place: usize| (0..self.columns()).map(|column| self.value(column, place)).collect();
        (from..self.len()).map(move |place| (self.time(place), values(place)))
    }

    /// Forgets the entries before a place.
    pub(super) fn drop_before(&mut self, place: usize) {
        // Neither is larger than the ring, whose size fits.
        self.first = (self.first + place as u32) & self.mask;
        self.length -= place as u32;
        self.extras.iter_mut().flatten().for_each(|extras| extras.drop_before(place));
    }

    /// Makes room where less than a quarter of the ring is free, so that whoever looks for what can be dropped each time it
    /// is full does not look often.
    pub(super) fn widen(&mut self) {
        if self.length > (self.mask + 1) / 4 * 3 {
            self.grow();
        }
    }

    #[inline]
    pub(super) fn sum(&self, column: usize, range: Range) -> i64 {
        let before = |place: usize| self.rows[self.row(place) + 1 + column];
        before(range.end).wrapping_sub(before(range.start))
    }

    #[inline]
    pub(super) fn squares(&self, column: usize, range: Range) -> i128 {
        let squares = self.extras.as_ref().and_then(|extras| extras[column].squares.as_ref());
        squares.map_or(0, |squares| squares[range.end] - squares[range.start])
    }

    /// Number of values that are there.
    #[inline]
    pub(super) fn present(&self, column: usize, range: Range) -> u64 {
        let missing = self.extras.as_ref().and_then(|extras| extras[column].missing.as_ref());
        range.len() - missing.map_or(0, |missing| u64::from(missing[range.end] - missing[range.start]))
    }

    /// The value at a place.
    #[inline]
    pub(super) fn value(&self, column: usize, place: usize) -> Option<i64> {
        let one = Range { start: place, end: place + 1 };
        (self.present(column, one) == 1).then(|| self.sum(column, one))
    }

    /// The value of the last column at a place.
    pub(super) fn position(&self, place: usize) -> Option<i64> {
        self.value(self.columns() - 1, place)
    }

    /// Least and greatest value.
    pub(super) fn extremes(&mut self, column: usize, range: Range) -> Option<(i64, i64)> {
        let mut found = None;
        let mut place = range.start;
        while place < range.end {
            if place.is_multiple_of(CHUNK) && place + CHUNK <= range.end {
                found = wider(found, self.extremes_of(column, place / CHUNK));
                place += CHUNK;
            } else {
                found = wider(found, self.value(column, place).map(|value| (value, value)));
                place += 1;
            }
        }
        found
    }

    fn extremes_of(&mut self, column: usize, chunk: usize) -> Option<(i64, i64)> {
        while self.extras()[column].extremes.len() <= chunk {
            let start = self.extras()[column].extremes.len() * CHUNK;
            let values = (start..start + CHUNK).filter_map(|place| self.value(column, place));
            let extremes = values.fold(None, |found, value| wider(found, Some((value, value))));
            self.extras()[column].extremes.push(extremes);
        }
        self.extras()[column].extremes[chunk]
    }
}

impl Extras {
    /// `length` is the number of entries before this one.
    fn insert(&mut self, place: usize, value: Option<i64>, length: usize) {
        if let Some(squares) = &mut self.squares {
            let square = i128::from(value.unwrap_or_default()).pow(2);
            squares.insert(place, squares[place]);
            squares[place + 1..].iter_mut().for_each(|sum| *sum += square);
        }
        if value.is_none() && self.missing.is_none() {
            self.missing = Some(vec![0; length + 1]);
        }
        if let Some(missing) = &mut self.missing {
            missing.insert(place, missing[place]);
            missing[place + 1..].iter_mut().for_each(|count| *count += u32::from(value.is_none()));
        }
        self.extremes.truncate(place / CHUNK);
    }

    fn remove(&mut self, place: usize, value: Option<i64>) {
        if let Some(squares) = &mut self.squares {
            let square = i128::from(value.unwrap_or_default()).pow(2);
            squares.remove(place);
            squares[place..].iter_mut().for_each(|sum| *sum -= square);
        }
        if let Some(missing) = &mut self.missing {
            missing.remove(place);
            missing[place..].iter_mut().for_each(|count| *count -= u32::from(value.is_none()));
        }
        self.extremes.truncate(place / CHUNK);
    }

    fn drop_before(&mut self, place: usize) {
        if let Some(squares) = &mut self.squares {
            squares.drain(..place);
        }
        if let Some(missing) = &mut self.missing {
            missing.drain(..place);
        }
        self.extremes.clear();
    }
}

fn wider(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (found, None) | (None, found) => found,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(entries: &[(i64, Option<i64>)]) -> Entries {
        let mut filled = Entries::new([true].into_iter());
        for (at_us, value) in entries {
            filled.insert(*at_us, [*value].into_iter());
        }
        filled
    }

    proptest! {
        /// Fails if a late payment is put after later ones, or does not move the sums behind it; if one that is taken out still
        /// counts; or if something is lost where the ring ends.
        #[test]
        fn any_range_is_what_a_plain_list_says(
            entries in prop::collection::vec((0..50_i64, prop::option::weighted(0.9, -1_000..1_000_i64)), 1..300),
            more in prop::collection::vec((0..100_i64, prop::option::weighted(0.9, -1_000..1_000_i64)), 0..300),
            (cut, from, to) in (0..300_usize, 0..600_usize, 0..600_usize),
            removed in any::<prop::sample::Index>(),
        ) {
            let mut filled = filled(&entries);
            let mut plain = entries.clone();
            plain.sort_by_key(|(at_us, _)| *at_us);
            let cut = cut.min(plain.len());
            // Asked before, so that what is remembered of chunks is there.
            filled.extremes(0, Range { start: 0, end: plain.len() });
            filled.drop_before(cut);
            plain.drain(..cut);
            for (at_us, value) in more {
                filled.insert(at_us, [value].into_iter());
                plain.insert(plain.partition_point(|(other_us, _)| *other_us <= at_us), (at_us, value));
            }
            if !plain.is_empty() {
                let place = removed.index(plain.len());
                prop_assert_eq!(filled.remove(place), [plain.remove(place).1]);
            }
            let range = Range { start: from.min(to).min(plain.len()), end: from.max(to).min(plain.len()) };
            let expected: Vec<i64> = plain[range.start..range.end].iter().filter_map(|(_, value)| *value).collect();
            prop_assert_eq!(filled.len(), plain.len());
            prop_assert_eq!(filled.sum(0, range), expected.iter().sum::<i64>());
            prop_assert_eq!(filled.squares(0, range), expected.iter().map(|value| i128::from(value * value)).sum::<i128>());
            prop_assert_eq!(filled.present(0, range), expected.len() as u64);
            let extremes = expected.iter().min().copied().zip(expected.iter().max().copied());
            prop_assert_eq!(filled.extremes(0, range), extremes);
            prop_assert_eq!(filled.until(25), plain.iter().filter(|(at_us, _)| *at_us <= 25).count());
            prop_assert_eq!(filled.advance(0, 25), filled.until(25));
        }
    }
}
