//! Stops as the `TrajectoryStopDetector` of MovingPandas 0.23.0 finds them in a track of longitudes and latitudes.
//!
//! A window of fixes grows while it is a stop: while the diagonal of its smallest rectangle is shorter than the largest
//! diameter. When a fix does not fit any more, what the window held before it is a stop if it lasted long enough, and
//! the window begins anew with that fix; otherwise the window is cut to the shortest duration. What a reader would not
//! expect, and what is kept:
//!
//! * of fixes of one time the first is taken and the others are dropped;
//! * the rectangle is the smallest in degrees, and only its diagonal is measured on the ellipsoid. Far from the equator
//!   it is a parallelogram on the ground, of whose two diagonals one is measured (`rectangle.rs`);
//! * before that the diagonal of the upright box must be shorter than one and a half times the largest diameter;
//! * a window whose stop was too short is cut one fix late, since the cut looks at the fix before.

use geo::algorithm::convex_hull::graham_hull;
use geo::{Coord, Distance, Geodesic, Point};

use super::rectangle::diagonal;
use super::{Stop, in_time_order, median_place};
use crate::track::Fix;

/// How many largest diameters the diagonal of the upright box may have.
const BOX_FACTOR: f64 = 1.5;

/// Parameters of the detector. The library has no defaults: these are the values of its documentation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    /// `max_diameter`, metres: a stop's rectangle has a shorter diagonal.
    pub max_diameter_m: f64,
    /// `min_duration`, microseconds: a stop lasts at least this.
    pub min_duration_us: i64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { max_diameter_m: 100.0, min_duration_us: 60_000_000 }
    }
}

/// The stops of one track: from the first to the last fix of the window, at their median.
pub fn stops(fixes: &[Fix], parameters: &Parameters) -> Vec<Stop> {
    let mut track = in_time_order(fixes).into_owned();
    track.dedup_by_key(|fix| fix.time_us);
    let lasts = |window: &[Fix]| match window {
        [first, .., last] => last.time_us - first.time_us >= parameters.min_duration_us,
        _ => false,
    };
    let mut stops = Vec::new();
    let mut window = Window::of(&track);
    let mut is_stopped = false;
    for _ in 0..track.len() {
        window.push();
        if !is_stopped {
            while window.fixes().len() > 2 && lasts(window.fixes()) {
                window.drop_first();
            }
        }
        let was_stopped = std::mem::replace(&mut is_stopped, window.fits(parameters.max_diameter_m));
        if was_stopped && !is_stopped {
            let (_, before) = window.fixes().split_last().unwrap_or((&track[0], &[]));
            if lasts(before) {
                stops.push(stop(before));
                window.keep_last();
            }
        }
    }
    if is_stopped && lasts(window.fixes()) {
        stops.push(stop(window.fixes()));
    }
    stops
}

/// `fixes` must not be empty.
fn stop(fixes: &[Fix]) -> Stop {
    let (lat, lon) = median_place(fixes);
    let times = (fixes[0].time_us, fixes[fixes.len() - 1].time_us);
    Stop { start_us: times.0, end_us: times.1, lat, lon, fixes: fixes.len() }
}

/// Consecutive fixes with their convex hull, which is all of them that the rectangle depends on: it is kept while the
/// window only grows, so that a long stop does not cost the square of its fixes.
struct Window<'a> {
    track: &'a [Fix],
    first: usize,
    end: usize,
    /// Least and greatest longitude and latitude of the fixes before `boxed`.
    upright: (Coord, Coord),
    boxed: usize,
    /// Corners of the hull of the fixes before `hulled`.
    hull: Vec<Coord>,
    hulled: usize,
}

/// A box that any fix widens.
const NOWHERE: (Coord, Coord) =
    (Coord { x: f64::INFINITY, y: f64::INFINITY }, Coord { x: f64::NEG_INFINITY, y: f64::NEG_INFINITY });

fn place(fix: &Fix) -> Coord {
    Coord { x: fix.lon, y: fix.lat }
}

fn geodesic_m(from: Coord, to: Coord) -> f64 {
    Geodesic.distance(Point(from), Point(to))
}

impl<'a> Window<'a> {
    fn of(track: &'a [Fix]) -> Self {
        Self { track, first: 0, end: 0, upright: NOWHERE, boxed: 0, hull: Vec::new(), hulled: 0 }
    }

    fn fixes(&self) -> &'a [Fix] {
        &self.track[self.first..self.end]
    }

    fn push(&mut self) {
        self.end += 1;
    }

    fn drop_first(&mut self) {
        self.begin(self.first + 1);
    }

    fn keep_last(&mut self) {
        self.begin(self.end - 1);
    }

    fn begin(&mut self, first: usize) {
        self.first = first;
        self.upright = NOWHERE;
        self.boxed = first;
        self.hull.clear();
        self.hulled = first;
    }

    /// Whether the fixes are close enough together for a stop; a single fix is none.
    fn fits(&mut self, max_diameter_m: f64) -> bool {
        if self.fixes().len() < 2 {
            return false;
        }
        let (low, high) = self.grown_box();
        if geodesic_m(low, high) >= max_diameter_m * BOX_FACTOR {
            return false;
        }
        let (from, to) = match self.fixes() {
            [from, to] => (place(from), place(to)),
            _ => diagonal(self.grown_hull()),
        };
        geodesic_m(from, to) < max_diameter_m
    }

    fn grown_box(&mut self) -> (Coord, Coord) {
        let (mut low, mut high) = self.upright;
        for fix in &self.track[self.boxed..self.end] {
            low = Coord { x: low.x.min(fix.lon), y: low.y.min(fix.lat) };
            high = Coord { x: high.x.max(fix.lon), y: high.y.max(fix.lat) };
        }
        self.upright = (low, high);
        self.boxed = self.end;
        self.upright
    }

    fn grown_hull(&mut self) -> &[Coord] {
        let mut places = std::mem::take(&mut self.hull);
        places.extend(self.track[self.hulled..self.end].iter().map(place));
        self.hull = convex_hull(places);
        self.hulled = self.end;
        &self.hull
    }
}

/// The corners of the hull of some places in order, each once.
pub(super) fn convex_hull(mut places: Vec<Coord>) -> Vec<Coord> {
    let mut corners = graham_hull(&mut places, false).0;
    // A ring ends with its first corner again; a single place may come without.
    if corners.len() > 1 && corners.first() == corners.last() {
        corners.pop();
    }
    corners
}
