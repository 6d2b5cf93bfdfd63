//! The town: some six by six kilometres of jittered street grid, with every fifth street an arterial road. Positions
//! are metres east and north of its centre.

use rand::RngExt;

use crate::streams::{self, Stream};

/// Latitude of the centre, degrees.
const CENTRE_LAT: f64 = 53.52;
/// Longitude of the centre, degrees.
const CENTRE_LON: f64 = -7.34;
/// Crossings along each side.
pub(crate) const SIDE: i64 = 41;
/// Mean distance of neighbouring crossings, metres.
pub(crate) const BLOCK_M: f64 = 150.0;
/// Largest displacement of a crossing along each axis, metres.
const JITTER_M: f64 = 30.0;
/// Largest distance along each axis from a crossing to a door beside it, metres.
const DOOR_M: f64 = 25.0;
/// One street of so many is an arterial road.
const ARTERIAL_EVERY: i64 = 5;

/// A position, metres east and north of the town's centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) east_m: f64,
    pub(crate) north_m: f64,
}

impl Point {
    pub(crate) fn distance_m(self, other: Self) -> f64 {
        (self.east_m - other.east_m).hypot(self.north_m - other.north_m)
    }

    pub(crate) fn moved(self, east_m: f64, north_m: f64) -> Self {
        Self { east_m: self.east_m + east_m, north_m: self.north_m + north_m }
    }

    /// The point at a share of the way to another.
    pub(crate) fn towards(self, other: Self, share: f64) -> Self {
        self.moved((other.east_m - self.east_m) * share, (other.north_m - self.north_m) * share)
    }

    /// Latitude and longitude, WGS84 degrees to seven decimals, by the ellipsoid's radii of curvature in the meridian at
    /// the centre and along the point's own parallel. Lengths agree with the geodesic to some 0.1 %.
    pub(crate) fn degrees(self) -> (f64, f64) {
        const EQUATOR_M: f64 = 6_378_137.0;
        const ECCENTRICITY_SQUARED: f64 = 0.006_694_379_990_14;
        let shape = |lat: f64| 1.0 - ECCENTRICITY_SQUARED * lat.to_radians().sin().powi(2);
        let meridian_m = EQUATOR_M * (1.0 - ECCENTRICITY_SQUARED) / shape(CENTRE_LAT).powf(1.5);
        let lat = CENTRE_LAT + (self.north_m / meridian_m).to_degrees();
        let parallel_m = EQUATOR_M / shape(lat).sqrt() * lat.to_radians().cos();
        let lon = CENTRE_LON + (self.east_m / parallel_m).to_degrees();
        let rounded = |degrees: f64| (degrees * 1e7).round() / 1e7;
        (rounded(lat), rounded(lon))
    }
}

/// A door beside a crossing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    column: i64,
    row: i64,
    pub(crate) at: Point,
}

/// The next point of a route and how fast the street to it may be driven.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub(crate) to: Point,
    pub(crate) limit_mps: f64,
}

/// The streets.
pub(crate) struct Town {
    crossings: Vec<Point>,
}

impl Town {
    /// The town of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut stream = streams::stream(seed, "streets", 0, 0);
        let middle = (SIDE - 1) as f64 / 2.0;
        let mut crossings = Vec::new();
        for row in 0..SIDE {
            for column in 0..SIDE {
                let grid =
                    Point { east_m: (column as f64 - middle) * BLOCK_M, north_m: (row as f64 - middle) * BLOCK_M };
                crossings.push(near(&mut stream, grid, JITTER_M));
            }
        }
        Self { crossings }
    }

    /// A door anywhere in town.
    pub(crate) fn place(&self, stream: &mut Stream) -> Place {
        let (column, row) = (stream.random_range(0..SIDE), stream.random_range(0..SIDE));
        self.door(stream, column, row)
    }

    /// A door at most so many blocks east or west and north or south of another, and not at the same crossing.
    pub(crate) fn place_near(&self, stream: &mut Stream, centre: &Place, blocks_max: i64) -> Place {
        let column = (centre.column + stream.random_range(-blocks_max..=blocks_max)).clamp(0, SIDE - 1);
        let mut row = (centre.row + stream.random_range(-blocks_max..=blocks_max)).clamp(0, SIDE - 1);
        if (column, row) == (centre.column, centre.row) {
            row = if row == 0 { 1 } else { row - 1 };
        }
        self.door(stream, column, row)
    }

    /// A door over which the way from one to another is a long way round: at least so many times as far. Nothing where the
    /// two are so near or the town so small that none is found.
    pub(crate) fn way_round(&self, stream: &mut Stream, from: &Place, to: &Place) -> Option<Place> {
        const TIMES: std::ops::Range<f64> = 1.8..3.0;
        const STRAIGHT_M_MIN: f64 = 800.0;
        const TRIES: usize = 64;
        let straight_m = from.at.distance_m(to.at);
        if straight_m < STRAIGHT_M_MIN {
            return None;
        }
        let times = |round: &Place| (from.at.distance_m(round.at) + round.at.distance_m(to.at)) / straight_m;
        (0..TRIES).map(|_| self.place(stream)).find(|round| TIMES.contains(&times(round)))
    }

    fn door(&self, stream: &mut Stream, column: i64, row: i64) -> Place {
        Place { column, row, at: near(stream, self.crossing(column, row), DOOR_M) }
    }

    fn crossing(&self, column: i64, row: i64) -> Point {
        self.crossings[(row * SIDE + column) as usize]
    }

    /// A way with at most two turns from door to door, crossing by crossing.
    pub(crate) fn route(&self, stream: &mut Stream, from: &Place, to: &Place) -> Vec<Step> {
        let mut steps = vec![Step { to: self.crossing(from.column, from.row), limit_mps: limit_mps(1) }];
        let mut at = (from.column, from.row);
        let corners = if stream.random_bool(0.5) {
            let column = between(stream, from.column, to.column);
            [(column, from.row), (column, to.row), (to.column, to.row)]
        } else {
            let row = between(stream, from.row, to.row);
            [(from.column, row), (to.column, row), (to.column, to.row)]
        };
        for corner in corners {
            while at != corner {
                let street = if at.0 == corner.0 { at.0 } else { at.1 };
                at = (at.0 + (corner.0 - at.0).signum(), at.1 + (corner.1 - at.1).signum());
                steps.push(Step { to: self.crossing(at.0, at.1), limit_mps: limit_mps(street) });
            }
        }
        steps.push(Step { to: to.at, limit_mps: limit_mps(1) });
        steps
    }
}

/// 50 km/h on arterial roads, 30 km/h elsewhere.
fn limit_mps(street: i64) -> f64 {
    if street % ARTERIAL_EVERY == 0 { 50.0 / 3.6 } else { 30.0 / 3.6 }
}

/// An arterial road between two streets where there is one, else any street between them.
fn between(stream: &mut Stream, one: i64, other: i64) -> i64 {
    let street = stream.random_range(one.min(other)..=one.max(other));
    let arterial = street / ARTERIAL_EVERY * ARTERIAL_EVERY;
    if arterial >= one.min(other) { arterial } else { street }
}

fn near(stream: &mut Stream, point: Point, range_m: f64) -> Point {
    point.moved(stream.random_range(-range_m..range_m), stream.random_range(-range_m..range_m))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_connected_and_ends_at_its_door() {
        let town = Town::new(1);
        let mut stream = streams::stream(1, "test", 0, 0);
        for _ in 0..200 {
            let (from, to) = (town.place(&mut stream), town.place(&mut stream));
            let steps = town.route(&mut stream, &from, &to);
            let mut at = from.at;
            for step in &steps {
                assert!(at.distance_m(step.to) < BLOCK_M + 3.0 * JITTER_M, "{at:?} {step:?}");
                at = step.to;
            }
            assert_eq!(at, to.at);
        }
    }

    /// One degree of latitude at 53.5 north is 111.29 km and one of longitude 66.36 km (WGS84 tables).
    #[test]
    fn metres_become_degrees() {
        let (lat, lon) = Point { east_m: 66_330.0, north_m: 0.0 }.degrees();
        assert_eq!(lat, CENTRE_LAT);
        assert!((lon - CENTRE_LON - 1.0).abs() < 0.001, "{lon}");
        let (lat, _) = Point { east_m: 0.0, north_m: 111_290.0 }.degrees();
        assert!((lat - CENTRE_LAT - 1.0).abs() < 0.001, "{lat}");
    }
}
