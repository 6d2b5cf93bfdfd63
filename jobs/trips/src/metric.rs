//! Metres between positions on the WGS84 ellipsoid: the geodesic, a fast way for short legs inside a stated bound, and a
//! plane around a point for decisions about nearness.
//!
//! It may depend on `geo`. It refuses to store anything.

use geo::{Distance, Geodesic, Point};

/// Equatorial radius of WGS84, metres.
const EQUATOR_M: f64 = 6_378_137.0;
/// Square of the first eccentricity of WGS84.
const ECCENTRICITY_SQUARED: f64 = 0.006_694_379_990_141_316;
/// Longest leg of the fast way, degrees along either axis: at most some 2.3 km.
const SHORT_DEG_MAX: f64 = 0.02;
/// Farthest latitude of the fast way, degrees: nearer to the poles meridians converge within a leg.
const SHORT_LAT_MAX: f64 = 75.0;

/// A position, WGS84 degrees.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// Latitude, north positive.
    pub lat: f64,
    /// Longitude, east positive.
    pub lon: f64,
}

/// Length of the geodesic, metres.
pub fn geodesic_m(from: Place, to: Place) -> f64 {
    Geodesic.distance(Point::new(from.lon, from.lat), Point::new(to.lon, to.lat))
}

/// Length of a leg, metres, within a millionth of the geodesic: short legs by the radii of curvature at the middle
/// latitude (Gauss's mid-latitude method to first order), others by the geodesic itself.
pub fn leg_m(from: Place, to: Place) -> f64 {
    let (north_deg, east_deg) = (to.lat - from.lat, to.lon - from.lon);
    let middle = (to.lat + from.lat) / 2.0;
    let is_short = north_deg.abs() <= SHORT_DEG_MAX && east_deg.abs() <= SHORT_DEG_MAX && middle.abs() <= SHORT_LAT_MAX;
    if !is_short {
        return geodesic_m(from, to);
    }
    let plane = Plane::at(Place { lat: middle, lon: 0.0 });
    (north_deg * plane.north_m).hypot_fast(east_deg * plane.east_m)
}

/// Largest relative error of [`leg_m`]: 1 mm in a kilometre. A property test holds it.
#[cfg(test)]
pub(crate) const LEG_ERROR: f64 = 1e-6;

trait HypotFast {
    fn hypot_fast(self, other: Self) -> Self;
}

impl HypotFast for f64 {
    /// Without `hypot`'s care for overflow, which metres on Earth do not need.
    fn hypot_fast(self, other: Self) -> Self {
        (self * self + other * other).sqrt()
    }
}

/// Farthest from its own latitude that a plane's scale is used, degrees: there it is wrong by less than 0.1 % up to 80°.
const SCALE_DEG_MAX: f64 = 0.01;

/// The plane that touches the ellipsoid at a point: good to 0.2 % within some kilometres.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Plane {
    origin: Place,
    /// Latitude of the scale.
    scale_lat: f64,
    /// Metres in a degree of latitude and of longitude.
    north_m: f64,
    east_m: f64,
}

impl Plane {
    pub(crate) fn at(origin: Place) -> Self {
        let (sin, cos) = origin.lat.to_radians().sin_cos();
        let shape = 1.0 - ECCENTRICITY_SQUARED * sin * sin;
        let normal_m = EQUATOR_M / shape.sqrt();
        let meridian_m = normal_m * (1.0 - ECCENTRICITY_SQUARED) / shape;
        let (north_m, east_m) = (meridian_m.to_radians(), (normal_m * cos).to_radians());
        Self { origin, scale_lat: origin.lat, north_m, east_m }
    }

    /// A plane at another point, with this one's scale where that is near enough.
    pub(crate) fn moved(&self, origin: Place) -> Self {
        if (origin.lat - self.scale_lat).abs() <= SCALE_DEG_MAX { Self { origin, ..*self } } else { Self::at(origin) }
    }

    /// Metres east and north of the plane's point; the antimeridian is no border.
    pub(crate) fn metres(&self, place: Place) -> Offset {
        let mut east_deg = place.lon - self.origin.lon;
        if east_deg.abs() > 180.0 {
            east_deg -= 360.0_f64.copysign(east_deg);
        }
        Offset { east_m: east_deg * self.east_m, north_m: (place.lat - self.origin.lat) * self.north_m }
    }

    /// The position so many metres from the plane's point.
    pub(crate) fn place(&self, offset: Offset) -> Place {
        let mut lon = self.origin.lon + if self.east_m > 0.0 { offset.east_m / self.east_m } else { 0.0 };
        if lon.abs() > 180.0 {
            lon -= 360.0_f64.copysign(lon);
        }
        Place { lat: (self.origin.lat + offset.north_m / self.north_m).clamp(-90.0, 90.0), lon }
    }
}

/// A step in a plane, metres.
#[derive(Debug, Default, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Offset {
    pub(crate) east_m: f64,
    pub(crate) north_m: f64,
}

impl Offset {
    pub(crate) fn length_m(self) -> f64 {
        self.east_m.hypot_fast(self.north_m)
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self { east_m: self.east_m - other.east_m, north_m: self.north_m - other.north_m }
    }

    pub(crate) fn times(self, factor: f64) -> Self {
        Self { east_m: self.east_m * factor, north_m: self.north_m * factor }
    }

    pub(crate) fn dot(self, other: Self) -> f64 {
        self.east_m * other.east_m + self.north_m * other.north_m
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_known_line_has_its_length() {
        // A degree of the equator, whose radius is part of the definition of WGS84.
        let degree_m = geodesic_m(Place { lat: 0.0, lon: 0.0 }, Place { lat: 0.0, lon: 1.0 });
        assert!((degree_m - 111_319.490_8).abs() < 1e-3, "{degree_m}");
    }

    #[test]
    fn the_plane_goes_there_and_back_over_the_antimeridian() {
        let plane = Plane::at(Place { lat: -17.0, lon: 179.999 });
        let there = plane.metres(Place { lat: -17.001, lon: -179.999 });
        assert!((200.0..220.0).contains(&there.east_m), "{there:?}");
        let back = plane.place(there);
        assert!((back.lon + 179.999).abs() < 1e-9 && (back.lat + 17.001).abs() < 1e-9, "{back:?}");
    }

    proptest! {
        /// Fails when a radius of curvature is taken for the other one, or at one end instead of the middle.
        #[test]
        fn the_fast_way_stays_inside_its_bound(
            lat in -89.9..89.9_f64, lon in -180.0..180.0_f64,
            north in -0.03..0.03_f64, east in -0.03..0.03_f64, scale in 0..6_i32,
        ) {
            let shrink = 10.0_f64.powi(-scale);
            let from = Place { lat, lon };
            let to = Place { lat: (lat + north * shrink).clamp(-90.0, 90.0), lon: lon + east * shrink };
            let (fast, exact) = (leg_m(from, to), geodesic_m(from, to));
            // Rounding of degrees near 180 alone is some nanometres.
            prop_assert!((fast - exact).abs() <= exact * LEG_ERROR + 1e-7, "{fast} {exact}");
        }
    }
}
