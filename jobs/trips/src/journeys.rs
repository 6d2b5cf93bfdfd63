//! Which found trip is which true one: one to one, the least error first, where neither end is off by more than a
//! tolerance. What is left over of the found ones is false.
//!
//! It refuses to judge what a good share is.

use crate::matching::one_to_one;

/// Begin and end of a trip of one device, microseconds UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Journey {
    /// When it began.
    pub start_us: i64,
    /// When it ended.
    pub end_us: i64,
}

/// A found trip that was taken for a true one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JourneyPair {
    /// Place among the true trips.
    pub truth: usize,
    /// Place among the found ones.
    pub found: usize,
    /// How far the ends are off, microseconds: found less true.
    pub start_error_us: i64,
    /// See `start_error_us`.
    pub end_error_us: i64,
}

impl JourneyPair {
    fn error_us(&self) -> i64 {
        self.start_error_us.abs() + self.end_error_us.abs()
    }
}

/// Matches trips of one device, both sides in order of their starts. Of pairs with the same error the first true trip and
/// then the first found one win.
pub fn match_journeys(truths: &[Journey], found: &[Journey], tolerance_us: i64) -> Vec<JourneyPair> {
    let mut candidates = Vec::new();
    for (truth, true_one) in truths.iter().enumerate() {
        let first = found.partition_point(|claim| claim.start_us < true_one.start_us - tolerance_us);
        let near = found[first..].iter().take_while(|claim| claim.start_us <= true_one.start_us + tolerance_us);
        for (place, claim) in (first..).zip(near) {
            let (start_error_us, end_error_us) = (claim.start_us - true_one.start_us, claim.end_us - true_one.end_us);
            if end_error_us.abs() <= tolerance_us {
                candidates.push(JourneyPair { truth, found: place, start_error_us, end_error_us });
            }
        }
    }
    candidates.sort_by_key(|pair| (pair.error_us(), pair.truth, pair.found));
    one_to_one(candidates, |pair| (pair.truth, pair.found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journeys(spans: &[(i64, i64)]) -> Vec<Journey> {
        spans.iter().map(|(start_us, end_us)| Journey { start_us: *start_us, end_us: *end_us }).collect()
    }

    /// Fails where the first found trip is taken instead of the nearest, or where one may stand for two.
    #[test]
    fn the_least_error_wins_and_a_second_find_is_false() {
        let truths = journeys(&[(100, 200), (110, 210), (500, 600)]);
        let found = journeys(&[(95, 215), (108, 209), (500, 650)]);
        let pairs = match_journeys(&truths, &found, 20);
        let places: Vec<_> = pairs.iter().map(|pair| (pair.truth, pair.found)).collect();
        assert_eq!(places, [(1, 1), (0, 0)]);
        assert_eq!((pairs[1].start_error_us, pairs[1].end_error_us), (-5, 15));
    }

    #[test]
    fn a_journey_cut_in_two_is_not_found() {
        assert!(match_journeys(&journeys(&[(0, 1_000)]), &journeys(&[(0, 500), (500, 1_000)]), 100).is_empty());
        assert!(match_journeys(&[], &journeys(&[(0, 1)]), 100).is_empty());
    }
}
