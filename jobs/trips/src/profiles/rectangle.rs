//! The diagonal of the smallest rectangle around a convex hull, as GEOS 3.14 through Shapely 2.2 gives it to
//! MovingPandas.
//!
//! Which rectangle and which of its diagonals matters: in degrees they are of one length, on the ground they are not.
//! And ties are the rule, not the exception, since the rectangles on the three sides of an acute triangle all have
//! twice its area: rounding decides. The search therefore takes the sides in the same order, clockwise from the lowest
//! corner, and computes feet, distances and areas by the same operations. It refuses to be anything but this.

use geo::Coord;
use geo::algorithm::kernels::{Kernel, Orientation, RobustKernel};

/// Ends of the measured diagonal. The hull has its corners in order, either way around, each once, none on a line
/// between others; it may be a line of two or a single point. An empty hull has the diagonal from 0/0 to 0/0.
pub(super) fn diagonal(hull: &[Coord]) -> (Coord, Coord) {
    match hull {
        [] => (Coord::zero(), Coord::zero()),
        [point] => (*point, *point),
        [from, to] => (*from, *to),
        _ => smallest(&clockwise(hull)).diagonal(),
    }
}

/// The ring clockwise from its lowest corner, of several the leftmost.
fn clockwise(hull: &[Coord]) -> Vec<Coord> {
    let mut ring = hull.to_vec();
    if RobustKernel::orient2d(ring[0], ring[1], ring[2]) == Orientation::CounterClockwise {
        ring.reverse();
    }
    let lower = |one: &usize, other: &usize| {
        let (one, other) = (ring[*one], ring[*other]);
        one.y.total_cmp(&other.y).then(one.x.total_cmp(&other.x))
    };
    let lowest = (0..ring.len()).min_by(lower).unwrap_or(0);
    ring.rotate_left(lowest);
    ring
}

/// A rectangle by one side of the hull and the corners that its other sides touch.
struct Rectangle {
    base: Side,
    opposite: Coord,
    left: Coord,
    right: Coord,
}

impl Rectangle {
    /// From the corner at the start of the base to the one across.
    fn diagonal(&self) -> (Coord, Coord) {
        let corner = |on: Coord, beside: Coord| if on == beside { on } else { self.base.corner(on, beside) };
        (corner(self.base.from, self.right), corner(self.opposite, self.left))
    }
}

/// The first of the rectangles with the smallest area. Each of the touching corners is searched from where it was for
/// the side before (rotating calipers).
fn smallest(ring: &[Coord]) -> Rectangle {
    let side = |index: usize| Side { from: ring[index], to: ring[(index + 1) % ring.len()] };
    let (mut opposite, mut left, mut right) = (1, 1, None);
    let (mut best, mut best_area) = ((0, 0, 0, 0), f64::MAX);
    for base in 0..ring.len() {
        opposite = furthest(ring, opposite, |corner| side(base).signed_distance(corner).abs());
        let height = Side { from: side(base).foot(ring[opposite]), to: ring[opposite] };
        left = furthest(ring, left, |corner| height.signed_distance(corner));
        let right_most = furthest(ring, right.unwrap_or(opposite), |corner| -height.signed_distance(corner));
        right = Some(right_most);
        let width = height.distance(ring[left]) + height.distance(ring[right_most]);
        let area = length(height.from, height.to) * width;
        if area < best_area {
            (best, best_area) = ((base, opposite, left, right_most), area);
        }
    }
    let (base, opposite, left, right) = best;
    Rectangle { base: side(base), opposite: ring[opposite], left: ring[left], right: ring[right] }
}

/// The corner at which the distance stops growing, on from `start`.
fn furthest(ring: &[Coord], start: usize, distance: impl Fn(Coord) -> f64) -> usize {
    let (mut found, mut longest) = (start, distance(ring[start]));
    loop {
        let next = (found + 1) % ring.len();
        if next == start {
            return found;
        }
        let further = distance(ring[next]);
        if further < longest {
            return found;
        }
        (found, longest) = (next, further);
    }
}

/// A directed line through two points.
#[derive(Clone, Copy)]
struct Side {
    from: Coord,
    to: Coord,
}

fn length(from: Coord, to: Coord) -> f64 {
    let step = to - from;
    (step.x * step.x + step.y * step.y).sqrt()
}

impl Side {
    fn step(&self) -> Coord {
        self.to - self.from
    }

    fn square(&self) -> f64 {
        self.step().x * self.step().x + self.step().y * self.step().y
    }

    /// Where the perpendicular through a point meets the line.
    fn foot(&self, point: Coord) -> Coord {
        if point == self.from || point == self.to {
            return point;
        }
        let away = point - self.from;
        let share = (away.x * self.step().x + away.y * self.step().y) / self.square();
        Coord { x: self.from.x + share * self.step().x, y: self.from.y + share * self.step().y }
    }

    /// Distance of a point from the line; from the point where the line is none.
    fn distance(&self, point: Coord) -> f64 {
        if self.from == self.to {
            return length(self.from, point);
        }
        let away = self.from - point;
        let share = (away.y * self.step().x - away.x * self.step().y) / self.square();
        share.abs() * self.square().sqrt()
    }

    /// The distance, negative on the right of the line.
    fn signed_distance(&self, point: Coord) -> f64 {
        let distance = self.distance(point);
        match RobustKernel::orient2d(self.from, self.to, point) {
            Orientation::Clockwise if self.from != self.to => -distance,
            _ => distance,
        }
    }

    /// Where the parallel through `on` meets the perpendicular through `beside`.
    fn corner(&self, on: Coord, beside: Coord) -> Coord {
        let away = beside - on;
        let share = (away.x * self.step().x + away.y * self.step().y) / self.square();
        Coord { x: on.x + share * self.step().x, y: on.y + share * self.step().y }
    }
}
