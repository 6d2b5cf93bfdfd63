//! The payments of one key in the order of time and position, as cumulated sums: any window over them is a difference of
//! two places, so nothing is kept for a window but where it begins and ends.
//!
//! A late payment is put in its place and moves what lies behind it; that is rare, and costs a pass over the key's later
//! entries.

/// Largest absolute value of a payment's field, and most entries of a key: their sums fit 64 bits and the sums of their
/// squares 128.
pub(super) const VALUE_MAX: i64 = 1 << 42;
/// See [`VALUE_MAX`].
pub(super) const ENTRIES_MAX: usize = 1 << 20;
/// Entries whose least and greatest value are remembered together.
const CHUNK: usize = 64;

/// Values of one field, of which some may be missing. Sums are over everything that was ever entered and wrap around;
/// differences between two places are exact.
#[derive(Debug, Clone, Default)]
pub(super) struct Column {
    /// Sum of the values before each place.
    sums: Vec<i64>,
    /// Sum up to the last place.
    sum: i64,
    /// Sum of squares before each place, where a window needs it.
    squares: Option<(Vec<i128>, i128)>,
    /// Number of missing values before each place, once there was one.
    missing: Option<(Vec<u32>, u32)>,
    /// Least and greatest value of each full chunk, as far as anybody has asked.
    extremes: Vec<Option<(i64, i64)>>,
}

impl Column {
    pub(super) fn new(with_squares: bool) -> Self {
        Self { squares: with_squares.then(Default::default), ..Self::default() }
    }

    fn insert(&mut self, place: usize, value: Option<i64>) {
        let (known, length) = (value.unwrap_or_default(), self.sums.len());
        let before = self.sum_before(place);
        self.sums.insert(place, before);
        self.sums[place + 1..].iter_mut().for_each(|sum| *sum = sum.wrapping_add(known));
        self.sum = self.sum.wrapping_add(known);
        if let Some((squares, total)) = &mut self.squares {
            let square = i128::from(known) * i128::from(known);
            let before = squares.get(place).copied().unwrap_or(*total);
            squares.insert(place, before);
            squares[place + 1..].iter_mut().for_each(|sum| *sum += square);
            *total += square;
        }
        if value.is_none() && self.missing.is_none() {
            self.missing = Some((vec![0; length], 0));
        }
        if let Some((missing, total)) = &mut self.missing {
            let before = missing.get(place).copied().unwrap_or(*total);
            missing.insert(place, before);
            let one = u32::from(value.is_none());
            missing[place + 1..].iter_mut().for_each(|count| *count += one);
            *total += one;
        }
        self.extremes.truncate(place / CHUNK);
    }

    fn drop_before(&mut self, place: usize) {
        self.sums.drain(..place);
        if let Some((squares, _)) = &mut self.squares {
            squares.drain(..place);
        }
        if let Some((missing, _)) = &mut self.missing {
            missing.drain(..place);
        }
        self.extremes.clear();
    }

    fn sum_before(&self, place: usize) -> i64 {
        self.sums.get(place).copied().unwrap_or(self.sum)
    }

    pub(super) fn sum(&self, range: Range) -> i64 {
        self.sum_before(range.end).wrapping_sub(self.sum_before(range.start))
    }

    pub(super) fn squares(&self, range: Range) -> i128 {
        let Some((squares, total)) = &self.squares else { return 0 };
        let before = |place: usize| squares.get(place).copied().unwrap_or(*total);
        before(range.end) - before(range.start)
    }

    /// Number of values that are there.
    pub(super) fn present(&self, range: Range) -> u64 {
        let Some((missing, total)) = &self.missing else { return range.len() };
        let before = |place: usize| missing.get(place).copied().unwrap_or(*total);
        range.len() - u64::from(before(range.end) - before(range.start))
    }

    /// The value at a place.
    pub(super) fn value(&self, place: usize) -> Option<i64> {
        let one = Range { start: place, end: place + 1 };
        (self.present(one) == 1).then(|| self.sum(one))
    }

    /// Least and greatest value.
    pub(super) fn extremes(&mut self, range: Range) -> Option<(i64, i64)> {
        let mut found = None;
        let mut place = range.start;
        while place < range.end {
            let chunk = place / CHUNK;
            if place.is_multiple_of(CHUNK) && place + CHUNK <= range.end {
                found = wider(found, self.extremes_of(chunk));
                place += CHUNK;
            } else {
                found = wider(found, self.value(place).map(|value| (value, value)));
                place += 1;
            }
        }
        found
    }

    fn extremes_of(&mut self, chunk: usize) -> Option<(i64, i64)> {
        while self.extremes.len() <= chunk {
            let start = self.extremes.len() * CHUNK;
            let values = (start..start + CHUNK).filter_map(|place| self.value(place));
            let extremes = values.fold(None, |found, value| wider(found, Some((value, value))));
            self.extremes.push(extremes);
        }
        self.extremes[chunk]
    }
}

fn wider(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (found, None) | (None, found) => found,
    }
}

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

/// The entries of a key.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    /// Microseconds UTC, ascending; of equal times the earlier read comes first.
    times: Vec<i64>,
    pub(super) columns: Vec<Column>,
}

impl Entries {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self { times: Vec::new(), columns }
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn time(&self, place: usize) -> i64 {
        self.times[place]
    }

    /// Number of entries at or before a moment.
    pub(super) fn until(&self, at_us: i64) -> usize {
        self.times.partition_point(|time| *time <= at_us)
    }

    /// The first place at or after `from` that is later than a moment, where it is known to lie not far from there.
    pub(super) fn advance(&self, mut from: usize, at_us: i64) -> usize {
        while from < self.times.len() && self.times[from] <= at_us {
            from += 1;
        }
        from
    }

    /// Enters a payment that was read after all others; returns its place.
    pub(super) fn insert(&mut self, at_us: i64, values: impl Iterator<Item = Option<i64>>) -> usize {
        let place = match self.times.last() {
            Some(last) if *last > at_us => self.until(at_us),
            _ => self.times.len(),
        };
        self.times.insert(place, at_us);
        self.columns.iter_mut().zip(values).for_each(|(column, value)| column.insert(place, value));
        place
    }

    /// The entries from a place on: time and values.
    pub(super) fn rows(&self, from: usize) -> impl Iterator<Item = (i64, Vec<Option<i64>>)> {
        let values = |place: usize| self.columns.iter().map(move |column| column.value(place)).collect();
        (from..self.len()).map(move |place| (self.times[place], values(place)))
    }

    /// Forgets the entries before a place.
    pub(super) fn drop_before(&mut self, place: usize) {
        self.times.drain(..place);
        self.columns.iter_mut().for_each(|column| column.drop_before(place));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(entries: &[(i64, Option<i64>)]) -> Entries {
        let mut filled = Entries::new(vec![Column::new(true)]);
        for (at_us, value) in entries {
            filled.insert(*at_us, [*value].into_iter());
        }
        filled
    }

    proptest! {
        /// Fails if a late payment is put after later ones, or does not move the sums behind it.
        #[test]
        fn any_range_is_what_a_plain_list_says(
            entries in prop::collection::vec((0..50_i64, prop::option::weighted(0.9, -1_000..1_000_i64)), 1..300),
            (cut, from, to) in (0..100_usize, 0..300_usize, 0..300_usize),
        ) {
            let mut filled = filled(&entries);
            let mut plain = entries.clone();
            plain.sort_by_key(|(at_us, _)| *at_us);
            let cut = cut.min(plain.len());
            // Asked before, so that what is remembered of chunks is there.
            filled.columns[0].extremes(Range { start: 0, end: plain.len() });
            filled.drop_before(cut);
            plain.drain(..cut);
            let range = Range { start: from.min(to).min(plain.len()), end: from.max(to).min(plain.len()) };
            let expected: Vec<i64> = plain[range.start..range.end].iter().filter_map(|(_, value)| *value).collect();
            let column = &mut filled.columns[0];
            prop_assert_eq!(column.sum(range), expected.iter().sum::<i64>());
            prop_assert_eq!(column.squares(range), expected.iter().map(|value| i128::from(value * value)).sum::<i128>());
            prop_assert_eq!(column.present(range), expected.len() as u64);
            let extremes = expected.iter().min().copied().zip(expected.iter().max().copied());
            prop_assert_eq!(column.extremes(range), extremes);
            prop_assert_eq!(filled.until(25), plain.iter().filter(|(at_us, _)| *at_us <= 25).count());
        }
    }
}
