//! Which claimed stop is which true one: one to one, nearest first, within a radius, and overlapping in time where the
//! truth has times. What is left over of the claims is false, also a second find at one stop.
//!
//! It may depend on the crate's own metres; it refuses to judge what a good share is.

use std::collections::HashSet;

use crate::metric::{Place, geodesic_m};
use crate::profiles::Stop;

/// How far a claim may lie from the true stop, metres.
pub const RADIUS_M: f64 = 40.0;

/// A stop that is known to have been there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrueStop {
    /// Latitude, WGS84 degrees.
    pub lat: f64,
    /// Longitude, WGS84 degrees.
    pub lon: f64,
    /// Begin and end, microseconds UTC, where they are known.
    pub times_us: Option<(i64, i64)>,
}

/// A claim that was taken for a true stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Place among the true stops.
    pub truth: usize,
    /// Place among the claims.
    pub claim: usize,
    /// How far apart they are, metres on the ellipsoid.
    pub distance_m: f64,
}

/// What was found, missed and invented.
#[derive(Debug, Clone, PartialEq)]
pub struct Matching {
    /// The pairs, nearest first.
    pub pairs: Vec<Pair>,
    /// How many true stops there are.
    pub truths: usize,
    /// How many stops were claimed.
    pub claims: usize,
}

impl Matching {
    /// Share of the true stops that were found; nothing where there are none.
    pub fn recall(&self) -> Option<f64> {
        share(self.pairs.len(), self.truths)
    }

    /// Share of the claims that are true; nothing where there are none.
    pub fn precision(&self) -> Option<f64> {
        share(self.pairs.len(), self.claims)
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Matches claims within `radius_m` of true stops. Of pairs equally near, the first true stop and then the first claim
/// win.
pub fn matching(truths: &[TrueStop], claims: &[Stop], radius_m: f64) -> Matching {
    let near = |(truth, stop): (usize, &TrueStop)| {
        let place = Place { lat: stop.lat, lon: stop.lon };
        let together = claims.iter().enumerate().filter(|(_, claim)| overlaps(stop, claim));
        let pairs = together.map(|(claim, claimed)| {
            let distance_m = geodesic_m(place, Place { lat: claimed.lat, lon: claimed.lon });
            Pair { truth, claim, distance_m }
        });
        pairs.filter(|pair| pair.distance_m <= radius_m).collect::<Vec<_>>()
    };
    let mut candidates: Vec<Pair> = truths.iter().enumerate().flat_map(near).collect();
    candidates.sort_by(|one, other| {
        let places = (one.truth, one.claim).cmp(&(other.truth, other.claim));
        one.distance_m.total_cmp(&other.distance_m).then(places)
    });
    let pairs = one_to_one(candidates, |pair| (pair.truth, pair.claim));
    Matching { pairs, truths: truths.len(), claims: claims.len() }
}

/// Of candidates in the order of preference those whose places, one on either side, no candidate before them has taken.
pub(crate) fn one_to_one<T>(mut candidates: Vec<T>, places: impl Fn(&T) -> (usize, usize)) -> Vec<T> {
    let (mut of_one_side, mut of_the_other) = (HashSet::new(), HashSet::new());
    candidates.retain(|candidate| {
        let (one, other) = places(candidate);
        let is_free = !of_one_side.contains(&one) && !of_the_other.contains(&other);
        if is_free {
            of_one_side.insert(one);
            of_the_other.insert(other);
        }
        is_free
    });
    candidates
}

/// Whether claim and truth share a moment; without times they may.
fn overlaps(truth: &TrueStop, claim: &Stop) -> bool {
    truth.times_us.is_none_or(|(start_us, end_us)| claim.start_us <= end_us && start_us <= claim.end_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(lat: f64, start_us: i64, end_us: i64) -> Stop {
        Stop { start_us, end_us, lat, lon: -8.0, fixes: 1 }
    }

    fn truth(lat: f64, times_us: Option<(i64, i64)>) -> TrueStop {
        TrueStop { lat, lon: -8.0, times_us }
    }

    fn pairs(matching: &Matching) -> Vec<(usize, usize)> {
        matching.pairs.iter().map(|pair| (pair.truth, pair.claim)).collect()
    }

    /// A degree of latitude is 111 km: 0.0001 degree is 11 m. Fails where the first claim in the list is taken instead
    /// of the nearest, or where a true stop may be found twice.
    #[test]
    fn the_nearest_claim_wins_and_a_second_one_is_false() {
        let truths = [truth(52.0, None), truth(52.0004, None), truth(53.0, None)];
        let claims = [claim(52.0002, 0, 1), claim(52.0001, 2, 3), claim(52.000_05, 4, 5)];
        let matching = matching(&truths, &claims, RADIUS_M);
        assert_eq!(pairs(&matching), [(0, 2), (1, 0)]);
        assert_eq!((matching.recall(), matching.precision()), (Some(2.0 / 3.0), Some(2.0 / 3.0)));
        assert!((matching.pairs[0].distance_m - 5.56).abs() < 0.01, "{matching:?}");
    }

    #[test]
    fn a_claim_beyond_the_radius_or_at_another_time_is_false() {
        let far = matching(&[truth(52.0, None)], &[claim(52.0004, 0, 1)], RADIUS_M);
        assert_eq!((pairs(&far), far.precision()), (vec![], Some(0.0)));
        let timed = [truth(52.0, Some((10, 20)))];
        let found = |start_us, end_us| matching(&timed, &[claim(52.0, start_us, end_us)], RADIUS_M).pairs.len();
        assert_eq!([found(0, 9), found(0, 10), found(12, 13), found(20, 30), found(21, 30)], [0, 1, 1, 1, 0]);
    }

    #[test]
    fn nothing_of_nothing_has_no_share() {
        let none = matching(&[], &[], RADIUS_M);
        assert_eq!((none.recall(), none.precision()), (None, None));
    }
}
