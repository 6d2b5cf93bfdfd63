//! How long trips last, as a histogram for people: bins of a round width, few enough to be read, and an open one at the
//! end where a few trips last far longer than the rest.
//!
//! It may depend on nothing.

use crate::units::{MINUTE_US, SECOND_US};

/// Most bins, the open one aside.
const BINS_MAX: i64 = 12;
/// Share of the durations that the closed bins hold at least.
const SHARE_CLOSED: f64 = 0.95;
/// Fewer durations than this have no open bin: one of ten is no exception.
const DURATIONS_OPEN_MIN: usize = 20;
/// Round widths, seconds.
const WIDTHS_S: [i64; 18] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 604_800];
/// A bin is not narrower than this share of the longest duration: more would be read than is there.
const WIDTH_SHARE_MIN: i64 = 20;

/// Bins of one width from a first border on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// Lower border of the first bin, microseconds.
    pub first_us: i64,
    /// Width of a bin, microseconds.
    pub width_us: i64,
    /// How many durations lie in each bin; its lower border belongs to it.
    pub counts: Vec<usize>,
    /// Durations beyond the last bin.
    pub beyond: usize,
}

impl Histogram {
    /// Of these durations, microseconds; nothing where there are none.
    pub fn of(durations_us: impl IntoIterator<Item = i64>) -> Option<Self> {
        let mut durations: Vec<i64> = durations_us.into_iter().map(|duration| duration.max(0)).collect();
        durations.sort_unstable();
        let (least, longest) = (*durations.first()?, *durations.last()?);
        let mut most = longest;
        if durations.len() >= DURATIONS_OPEN_MIN {
            let usual = durations[(durations.len() as f64 * SHARE_CLOSED) as usize - 1];
            // An open bin is worth its place only where it saves many empty ones.
            if longest > 2 * usual {
                most = usual;
            }
        }
        let borders = |width_us: i64| (least / width_us, most / width_us + 1);
        let is_wide_enough = |width_us: &i64| {
            let (first, end) = borders(*width_us);
            end - first <= BINS_MAX && *width_us * WIDTH_SHARE_MIN >= most
        };
        // Longer than any track: weeks are put together.
        let weeks = |weeks: i64| weeks * WIDTHS_S[WIDTHS_S.len() - 1] * SECOND_US;
        let mut widths = WIDTHS_S.into_iter().map(|width_s| width_s * SECOND_US);
        let width_us = widths.find(is_wide_enough).unwrap_or_else(|| weeks(most / weeks(BINS_MAX - 1) + 1));
        let (first, end) = borders(width_us);
        let mut counts = vec![0; usize::try_from(end - first).unwrap_or_default()];
        let mut beyond = 0;
        for duration in &durations {
            let bin = usize::try_from(duration / width_us - first).unwrap_or_default();
            match counts.get_mut(bin) {
                Some(count) => *count += 1,
                None => beyond += 1,
            }
        }
        Some(Self { first_us: first * width_us, width_us, counts, beyond })
    }

    /// Lower border of a bin, microseconds; of the place after the last bin the upper border of the last.
    pub fn border_us(&self, bin: usize) -> i64 {
        self.first_us + self.width_us * i64::try_from(bin).unwrap_or(i64::MAX / self.width_us.max(1))
    }

    /// The unit in which all borders are whole: its name and its length, microseconds.
    pub fn unit(&self) -> (&'static str, i64) {
        match self.width_us {
            width_us if width_us % (60 * MINUTE_US) == 0 && self.border_us(self.counts.len()) > 180 * MINUTE_US => {
                ("h", 60 * MINUTE_US)
            }
            width_us if width_us % MINUTE_US == 0 => ("min", MINUTE_US),
            _ => ("s", SECOND_US),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(durations_s: &[i64]) -> Histogram {
        Histogram::of(durations_s.iter().map(|duration_s| duration_s * SECOND_US)).unwrap()
    }

    #[test]
    fn one_trip_is_one_bin_of_a_round_width() {
        let found = of(&[4_476]);
        assert_eq!((found.first_us, found.width_us), (70 * MINUTE_US, 5 * MINUTE_US));
        assert_eq!((found.counts, found.beyond), (vec![1], 0));
        assert_eq!(Histogram::of([]), None);
        assert_eq!(of(&[0]).counts, [1]);
    }

    #[test]
    fn bins_cover_everything_from_the_shortest_trip_on() {
        let found = of(&[610, 1_200, 1_199, 2_400]);
        assert_eq!((found.first_us, found.width_us), (10 * MINUTE_US, 5 * MINUTE_US));
        assert_eq!((found.counts.as_slice(), found.beyond), ([1, 1, 1, 0, 0, 0, 1].as_slice(), 0));
        assert_eq!((found.border_us(7), found.unit()), (45 * MINUTE_US, ("min", MINUTE_US)));
    }

    /// Fails when one trip of a week makes all others one bar.
    #[test]
    fn a_few_long_trips_have_an_open_bin() {
        let mut durations: Vec<i64> = (0..40).map(|minutes| minutes * 60).collect();
        durations.push(604_800);
        let found = of(&durations);
        assert_eq!((found.width_us, found.beyond), (5 * MINUTE_US, 1));
        assert_eq!(found.counts.iter().sum::<usize>(), 40);
    }

    #[test]
    fn any_durations_have_few_bins() {
        for scale in 0..12 {
            let step = 10_i64.pow(scale);
            let found = Histogram::of((1..30).map(|number| number * step * SECOND_US / 100)).unwrap();
            assert!(found.counts.len() <= 12, "{found:?}");
            assert_eq!(found.counts.iter().sum::<usize>() + found.beyond, 29);
        }
    }
}
