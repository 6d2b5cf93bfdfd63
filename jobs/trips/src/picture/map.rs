//! From positions to pixels: a plane at the mean latitude, fitted into a rectangle with one scale on both axes.

use super::svg::At;
use crate::metric::{Offset, Place, Plane};

/// Least extent of a map, metres: what a parked receiver wanders over.
const EXTENT_M_MIN: f64 = 120.0;

/// Space between the map's border and what is drawn, pixels: left and right, above, below (where the scale bar is).
const PADDING_PX: (f64, f64, f64) = (26.0, 26.0, 46.0);

/// Where positions lie in a rectangle.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    plane: Plane,
    /// Pixels in a metre.
    pub(super) scale: f64,
    /// Metres of the middle.
    middle: Offset,
    /// Pixels of the middle.
    centre: At,
}

/// Extent of places on a plane, metres.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    plane: Plane,
    low: Offset,
    high: Offset,
}

impl Extent {
    /// Of these places; nothing where there are none.
    pub(super) fn of(places: impl Iterator<Item = Place> + Clone) -> Option<Self> {
        let (mut sum_lat, mut count) = (0.0, 0.0);
        places.clone().for_each(|place| (sum_lat, count) = (sum_lat + place.lat, count + 1.0));
        let first = places.clone().next()?;
        let plane = Plane::at(Place { lat: sum_lat / count, lon: first.lon });
        let (mut low, mut high) = (plane.metres(first), plane.metres(first));
        for place in places {
            let at = plane.metres(place);
            low = Offset { east_m: low.east_m.min(at.east_m), north_m: low.north_m.min(at.north_m) };
            high = Offset { east_m: high.east_m.max(at.east_m), north_m: high.north_m.max(at.north_m) };
        }
        Some(Self { plane, low, high })
    }

    fn size_m(&self) -> (f64, f64) {
        let size = self.high.minus(self.low);
        (size.east_m.max(EXTENT_M_MIN), size.north_m.max(EXTENT_M_MIN))
    }

    /// Height of a rectangle of this width that it fills.
    pub(super) fn height_px(&self, width_px: f64) -> f64 {
        let (east_m, north_m) = self.size_m();
        let (side, above, below) = PADDING_PX;
        (width_px - 2.0 * side) * north_m / east_m + above + below
    }

    /// The view in a rectangle of this size.
    pub(super) fn view(&self, (width_px, height_px): (f64, f64)) -> View {
        let (east_m, north_m) = self.size_m();
        let (side, above, below) = PADDING_PX;
        let scale = ((width_px - 2.0 * side) / east_m).min((height_px - above - below) / north_m);
        let middle = Offset {
            east_m: (self.low.east_m + self.high.east_m) / 2.0,
            north_m: (self.low.north_m + self.high.north_m) / 2.0,
        };
        View { plane: self.plane, scale, middle, centre: (width_px / 2.0, (height_px + above - below) / 2.0) }
    }
}

impl View {
    pub(super) fn at(&self, place: Place) -> At {
        let offset = self.plane.metres(place).minus(self.middle);
        (self.centre.0 + offset.east_m * self.scale, self.centre.1 - offset.north_m * self.scale)
    }

    /// Length of the scale bar, metres: the longest of 1, 2 and 5 times a power of ten that takes at most so many pixels.
    pub(super) fn bar_m(&self, width_px: f64) -> f64 {
        let room_m = width_px / self.scale;
        let power = 10.0_f64.powf(room_m.log10().floor());
        [5.0, 2.0].into_iter().map(|times| times * power).find(|length_m| *length_m <= room_m).unwrap_or(power)
    }
}

fn distance(from: At, to: At) -> f64 {
    (to.0 - from.0).hypot(to.1 - from.1)
}

/// The points at least so far from the one before, and the last.
pub(super) fn thinned(points: impl Iterator<Item = At>, apart_px: f64) -> Vec<At> {
    let mut kept: Vec<At> = Vec::new();
    let mut last = None;
    for point in points {
        last = Some(point);
        if kept.last().is_none_or(|before| distance(*before, point) >= apart_px) {
            kept.push(point);
        }
    }
    if let Some(last) = last.filter(|last| kept.last() != Some(last)) {
        kept.push(last);
    }
    kept
}

/// The line moved to the right of its direction, so that ways there and back lie beside each other.
pub(super) fn beside(points: &[At], by_px: f64) -> Vec<At> {
    let moved = |index: usize| {
        let before = points[index.saturating_sub(2)];
        let after = points[(index + 2).min(points.len() - 1)];
        let (east, south, length) = (after.0 - before.0, after.1 - before.1, distance(before, after));
        let (x, y) = points[index];
        if length == 0.0 { (x, y) } else { (x - south / length * by_px, y + east / length * by_px) }
    };
    (0..points.len()).map(moved).collect()
}

/// Places and directions every so many pixels along a line, the first after half of that.
pub(super) fn along(points: &[At], every_px: f64) -> Vec<(At, At)> {
    let mut found = Vec::new();
    let mut left = every_px / 2.0;
    for pair in points.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let length = distance(from, to);
        if length == 0.0 {
            continue;
        }
        let direction = ((to.0 - from.0) / length, (to.1 - from.1) / length);
        let mut gone = left;
        while gone <= length {
            found.push(((from.0 + direction.0 * gone, from.1 + direction.1 * gone), direction));
            gone += every_px;
        }
        left = gone - length;
    }
    found
}
