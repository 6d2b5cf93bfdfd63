//! The line of a trip as it is stored: points where the path deviates from it, found by Douglas and Peucker's method.
//!
//! It may depend on `geo`. It is bounded: a longer line becomes coarser.

use geo::{Coord, LineString, SimplifyIdx};
use serde::{Deserialize, Serialize};

use crate::metric::{Place, Plane};
use crate::profile::LINE_M;

/// A point is noted when the way since the last one is at least this, metres.
const STEP_M: f64 = 10.0;
/// Most points of an open trip.
const POINTS_MAX: usize = 1_024;
/// So many must be left out when there are too many, else the line becomes coarser.
const POINTS_ROOM: usize = 256;

/// The line of an open trip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    points: Vec<Place>,
    /// Way since the last point, metres.
    since_m: f64,
    tolerance_m: f64,
}

impl Default for Line {
    fn default() -> Self {
        Self { points: Vec::new(), since_m: 0.0, tolerance_m: LINE_M }
    }
}

impl Line {
    /// Begins anew at a place.
    pub(crate) fn begin(&mut self, place: Place) {
        self.points.clear();
        self.points.push(place);
        (self.since_m, self.tolerance_m) = (0.0, LINE_M);
    }

    pub(crate) fn len(&self) -> usize {
        self.points.len()
    }

    /// Goes on to a place.
    pub(crate) fn go(&mut self, place: Place, way_m: f64) {
        self.since_m += way_m;
        if self.since_m >= STEP_M && self.points.len() < POINTS_MAX + POINTS_ROOM {
            self.points.push(place);
            self.since_m = 0.0;
        }
    }

    /// Begins anew at a place, and keeps the points after the first so many.
    pub(crate) fn begin_after(&mut self, points: usize, place: Place) {
        self.points.drain(..points.min(self.points.len()));
        self.points.insert(0, place);
    }

    /// Forgets all but the first points: the way after them led nowhere.
    pub(crate) fn back_to(&mut self, points: usize) {
        self.points.truncate(points.max(1));
    }

    /// Makes room where the line has too many points, among the first `settled` of them; how many are left of those.
    pub(crate) fn make_room(&mut self, settled: usize) -> usize {
        if self.points.len() <= POINTS_MAX || settled < POINTS_MAX / 2 {
            return settled;
        }
        let rest = self.points.split_off(settled.min(self.points.len()));
        let mut kept = simplified(&self.points, self.tolerance_m);
        while kept.len() > POINTS_MAX - POINTS_ROOM {
            self.tolerance_m *= 2.0;
            kept = simplified(&self.points, self.tolerance_m);
        }
        self.points = kept;
        let settled = self.points.len();
        self.points.extend(rest);
        settled
    }

    /// The line up to its first points and on to a place.
    pub(crate) fn until(&self, points: usize, end: Place) -> Vec<Place> {
        let mut points = self.points[..points.min(self.points.len())].to_vec();
        if points.last() != Some(&end) {
            points.push(end);
        }
        simplified(&points, self.tolerance_m)
    }
}

/// The points without which a line would deviate by more than the tolerance; first and last stay.
fn simplified(points: &[Place], tolerance_m: f64) -> Vec<Place> {
    let Some(first) = points.first() else { return Vec::new() };
    let plane = Plane::at(*first);
    let line: LineString = points
        .iter()
        .map(|place| plane.metres(*place))
        .map(|offset| Coord { x: offset.east_m, y: offset.north_m })
        .collect();
    line.simplify_idx(tolerance_m).into_iter().map(|index| points[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(east_m: f64, north_m: f64) -> Place {
        use crate::metric::Offset;
        Plane::at(Place { lat: 53.0, lon: -6.0 }).place(Offset { east_m, north_m })
    }

    #[test]
    fn a_corner_stays_and_a_straight_goes() {
        let mut line = Line::default();
        line.begin(place(0.0, 0.0));
        for step in 1..=40 {
            let way_m = f64::from(step) * 50.0;
            let to = if way_m <= 1_000.0 { place(way_m, 0.0) } else { place(1_000.0, way_m - 1_000.0) };
            line.go(to, 50.0);
        }
        let stored = line.until(line.len(), place(1_000.0, 1_000.0));
        assert_eq!(stored.len(), 3, "{stored:?}");
        assert!((stored[1].lat - place(1_000.0, 0.0).lat).abs() < 1e-9);
    }

    /// Fails without the bound, or when the way after the settled points is thinned too.
    #[test]
    fn the_line_is_bounded_and_what_is_not_settled_stays() {
        let mut line = Line::default();
        line.begin(place(0.0, 0.0));
        for step in 1..20_000 {
            let turn = f64::from(step) * 0.7;
            line.go(place(f64::from(step) * 8.0 + 40.0 * turn.sin(), 40.0 * turn.cos()), 50.0);
            let settled = line.make_room(line.len() - 1);
            assert_eq!(settled, line.len() - 1);
            assert!(line.len() <= POINTS_MAX);
        }
        assert!(line.tolerance_m > LINE_M);
        assert!(line.until(line.len(), place(0.0, 0.0)).len() > 2);
    }
}
