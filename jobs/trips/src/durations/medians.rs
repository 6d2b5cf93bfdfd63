//! Exact medians of groups over a moving window of time, for many moments at once.
//!
//! All values are known before the sweep begins, so each has a fixed rank within its group. A Fenwick tree over the
//! ranks of a group counts which of its values are inside the window: one enters when its trip has ended before the
//! moment asked about, and leaves when that is too long ago. Entering, leaving and asking for the middle take the
//! logarithm of the group's size each, and all trees lie in one array: 12 bytes a trip (order, place, count) beside its
//! group and value, freed when the sweep ends. Two heaps would need a third structure to let values leave.

/// Group of a trip that belongs to none.
pub(super) const NO_GROUP: u32 = u32::MAX;

/// When trips enter and leave, and about which of them is asked.
pub(super) struct Sweep<'a> {
    /// Starts of all trips.
    pub(super) started_us: &'a [i64],
    /// Their ends, which never go back.
    pub(super) ended_us: &'a [i64],
    /// Trips about which is asked.
    pub(super) asked: &'a [u32],
    /// For how long after its end a trip counts, microseconds.
    pub(super) window_us: i64,
}

/// What a group of earlier trips says about a trip.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Median {
    /// How many trips there were.
    pub(super) trips: u32,
    /// Their exact median; without meaning where there are none.
    pub(super) value: f64,
}

impl Median {
    /// The median, where so many trips make it.
    pub(super) fn of_at_least(self, trips: u32) -> Option<f64> {
        (self.trips >= trips.max(1)).then_some(self.value)
    }
}

impl Sweep<'_> {
    /// For each trip asked about, in their order: the median of the values of its group.
    pub(super) fn medians(&self, groups: &[u32], values: &[f64]) -> Vec<Median> {
        let mut trees = Trees::new(groups, values);
        let started_us = |place: u32| self.started_us[self.asked[place as usize] as usize];
        let mut by_start: Vec<u32> = (0..).take(self.asked.len()).collect();
        by_start.sort_unstable_by_key(|place| started_us(*place));
        let mut medians = vec![Median::default(); self.asked.len()];
        let (mut entering, mut leaving) = (0, 0);
        for place in by_start {
            let now_us = started_us(place);
            while entering < self.ended_us.len() && self.ended_us[entering] < now_us {
                trees.count(entering, 1);
                entering += 1;
            }
            while leaving < entering && self.ended_us[leaving] < now_us.saturating_sub(self.window_us) {
                trees.count(leaving, -1);
                leaving += 1;
            }
            medians[place as usize] = trees.median(self.asked[place as usize] as usize);
        }
        medians
    }
}

/// The values of all groups by rank, and which of them count.
struct Trees<'a> {
    groups: &'a [u32],
    values: &'a [f64],
    /// Rows by group and value.
    order: Vec<u32>,
    /// Place of each row in that order.
    place: Vec<u32>,
    /// Where each group starts in it, and where the last one ends.
    starts: Vec<u32>,
    /// A Fenwick tree over the places of each group.
    counts: Vec<i32>,
    /// Values inside the window, by group.
    inside: Vec<u32>,
}

impl<'a> Trees<'a> {
    fn new(groups: &'a [u32], values: &'a [f64]) -> Self {
        let rows = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        let mut order: Vec<u32> = (0..rows).filter(|row| groups[*row as usize] != NO_GROUP).collect();
        order.sort_unstable_by(|one, other| {
            let (one, other) = (*one as usize, *other as usize);
            groups[one].cmp(&groups[other]).then_with(|| values[one].total_cmp(&values[other]))
        });
        let group_count = order.last().map_or(0, |row| groups[*row as usize] as usize + 1);
        let mut starts = vec![0; group_count + 1];
        let mut place = vec![0; groups.len()];
        for (at, row) in (0..).zip(&order) {
            place[*row as usize] = at;
            starts[groups[*row as usize] as usize + 1] += 1;
        }
        for group in 0..group_count {
            starts[group + 1] += starts[group];
        }
        let counts = vec![0; order.len()];
        Self { groups, values, order, place, starts, counts, inside: vec![0; group_count] }
    }

    fn bounds(&self, group: u32) -> (usize, usize) {
        let group = group as usize;
        (self.starts[group] as usize, self.starts[group + 1] as usize)
    }

    /// Adds to the count of a row's value.
    fn count(&mut self, row: usize, change: i32) {
        let group = self.groups[row];
        if group == NO_GROUP {
            return;
        }
        let (start, end) = self.bounds(group);
        let size = end - start;
        let mut rank = self.place[row] as usize - start + 1;
        while rank <= size {
            self.counts[start + rank - 1] += change;
            rank += rank & rank.wrapping_neg();
        }
        self.inside[group as usize] = self.inside[group as usize].saturating_add_signed(change);
    }

    fn median(&self, row: usize) -> Median {
        let group = self.groups[row];
        let trips = if group == NO_GROUP { 0 } else { self.inside[group as usize] };
        if trips == 0 {
            return Median::default();
        }
        let upper = self.nth(group, trips / 2);
        let value = if trips % 2 == 1 { upper } else { (self.nth(group, trips / 2 - 1) + upper) / 2.0 };
        Median { trips, value }
    }

    /// The value with so many smaller ones inside the window.
    fn nth(&self, group: u32, smaller: u32) -> f64 {
        let (start, end) = self.bounds(group);
        let size = end - start;
        let (mut rank, mut left) = (0, smaller as i32);
        let mut step = (size + 1).next_power_of_two() / 2;
        while step > 0 {
            let next = rank + step;
            if next <= size && self.counts[start + next - 1] <= left {
                rank = next;
                left -= self.counts[start + next - 1];
            }
            step /= 2;
        }
        self.values[self.order[start + rank] as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn median_of(mut values: Vec<f64>) -> Median {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => Median::default(),
            count if count % 2 == 1 => Median { trips: count as u32, value: values[middle] },
            count => Median { trips: count as u32, value: (values[middle - 1] + values[middle]) / 2.0 },
        }
    }

    proptest! {
        /// Fails if a value enters or leaves a moment too early or too late, or counts for another group.
        #[test]
        fn the_sweep_says_what_sorting_says(
            trips in prop::collection::vec((0..200_i64, 0..60_i64, 0..4_u32, 0..9_u32), 1..120),
            window_us in 0..120_i64,
        ) {
            let mut trips = trips;
            trips.sort_by_key(|trip| trip.0 + trip.1);
            let started_us: Vec<i64> = trips.iter().map(|trip| trip.0).collect();
            let ended_us: Vec<i64> = trips.iter().map(|trip| trip.0 + trip.1).collect();
            let groups: Vec<u32> = trips.iter().map(|trip| if trip.2 == 3 { NO_GROUP } else { trip.2 }).collect();
            let values: Vec<f64> = trips.iter().map(|trip| f64::from(trip.3)).collect();
            let asked: Vec<u32> = (0..trips.len() as u32).filter(|row| row % 3 != 1).collect();
            let sweep = Sweep { started_us: &started_us, ended_us: &ended_us, asked: &asked, window_us };
            for (row, found) in asked.iter().zip(sweep.medians(&groups, &values)) {
                let now_us = started_us[*row as usize];
                let group = groups[*row as usize];
                let counts = |other: &usize| group != NO_GROUP && groups[*other] == group
                    && ended_us[*other] < now_us && ended_us[*other] >= now_us - window_us;
                let expected = median_of((0..trips.len()).filter(counts).map(|other| values[other]).collect());
                prop_assert_eq!(found, expected);
            }
        }
    }
}
