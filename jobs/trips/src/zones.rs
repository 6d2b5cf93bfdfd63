//! Zones: named areas of a map with the time zone of their clocks, and the one in which a position lies.
//!
//! A zone holds its border. A position that lies in several zones, because they overlap or because it is on the border
//! that they share, belongs to the one with the smallest geodesic area, of equal ones to the first by name; so each
//! position belongs to exactly one zone, or to none, which is called [`OUTSIDE`].
//!
//! It may depend on `geo` for areas and containment, on `rstar` for the search and on `jiff` for civil time (with the
//! time zones that it brings along). It refuses files, and areas that it would have to guess about.

mod geojson;

use geo::coordinate_position::{CoordPos, CoordinatePosition};
use geo::{BoundingRect, Coord, GeodesicArea, MultiPolygon, Polygon};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rstar::{AABB, RTree, RTreeObject};

use crate::metric::Place;

/// Name of whatever lies in no zone.
pub const OUTSIDE: &str = "outside";

/// Hours of a week.
pub const WEEK_HOURS: u32 = 7 * 24;

/// Why zones could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZonesError {
    /// It is not JSON.
    #[error("the zones are no JSON: {0}")]
    Json(String),
    /// It is not GeoJSON of areas.
    #[error("the zones are no GeoJSON: {0}")]
    Document(String),
    /// A feature cannot be a zone.
    #[error("zone {place}: {problem}")]
    Feature {
        /// Where the feature stands, with its name where it has one.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such time zone.
    #[error("there is no time zone {0:?}; names are those of IANA, for instance Europe/Dublin")]
    TimeZone(String),
}

/// A zone among [`Zones`], or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(u32);

/// No zone.
const NONE: ZoneId = ZoneId(u32::MAX);

/// What a feature says.
struct Area {
    name: String,
    time_zone: TimeZone,
    shape: MultiPolygon,
}

#[derive(Debug)]
struct Zone {
    name: String,
    time_zone: TimeZone,
}

/// A polygon of a zone in the tree. The tree sees boxes in degrees; what lies in a box is compared with the polygon.
#[derive(Debug)]
struct Shape {
    zone: ZoneId,
    polygon: Polygon,
    envelope: AABB<[f64; 2]>,
}

impl RTreeObject for Shape {
    type Envelope = AABB<[f64; 2]>;

    fn envelope(&self) -> Self::Envelope {
        self.envelope
    }
}

impl Shape {
    fn holds(&self, at: Coord) -> bool {
        self.polygon.coordinate_position(&at) != CoordPos::Outside
    }
}

/// The zones of a map.
#[derive(Debug)]
pub struct Zones {
    /// The smallest area first, so that of several zones the least index wins.
    zones: Vec<Zone>,
    tree: RTree<Shape>,
    outside: TimeZone,
}

impl Zones {
    /// No zones: everything is outside, where clocks show this time zone.
    ///
    /// # Errors
    /// Fails where there is no such time zone.
    pub fn none(time_zone: &str) -> Result<Self, ZonesError> {
        Ok(Self::of(Vec::new(), time_zone_of(time_zone)?))
    }

    /// Zones from GeoJSON (RFC 7946): polygons and multi-polygons with the properties `name`, which is required and
    /// unique, and `zone`, the IANA time zone of its clocks, which may be missing. The time zone given here is for
    /// zones without one and for whatever lies outside.
    ///
    /// # Errors
    /// Says which feature cannot be a zone, and why.
    pub fn from_geojson(text: &str, time_zone: &str) -> Result<Self, ZonesError> {
        let outside = time_zone_of(time_zone)?;
        let areas = geojson::areas(text, &outside)?;
        Ok(Self::of(areas, outside))
    }

    fn of(areas: Vec<Area>, outside: TimeZone) -> Self {
        let measured = areas.into_iter().map(|area| (area.shape.geodesic_area_unsigned(), area));
        let mut measured: Vec<(f64, Area)> = measured.collect();
        measured.sort_by(|(one_m2, one), (other_m2, other)| {
            one_m2.total_cmp(other_m2).then_with(|| one.name.cmp(&other.name))
        });
        let mut zones = Vec::with_capacity(measured.len());
        let mut shapes = Vec::new();
        for ((_, area), index) in measured.into_iter().zip(0..) {
            shapes.extend(area.shape.into_iter().filter_map(|polygon| shape(ZoneId(index), polygon)));
            zones.push(Zone { name: area.name, time_zone: area.time_zone });
        }
        Self { zones, tree: RTree::bulk_load(shapes), outside }
    }

    /// The zone in which a position lies.
    pub fn find(&self, place: Place) -> ZoneId {
        let at = Coord { x: place.lon, y: place.lat };
        let here = AABB::from_point([at.x, at.y]);
        let mut found = NONE;
        for shape in self.tree.locate_in_envelope_intersecting(here) {
            if shape.zone < found && shape.holds(at) {
                found = shape.zone;
            }
        }
        found
    }

    /// Name of a zone.
    pub fn name(&self, zone: ZoneId) -> &str {
        self.zone(zone).map_or(OUTSIDE, |zone| &zone.name)
    }

    /// Hour of the week by the zone's clocks: 0 is Monday from 00:00 to 01:00. A time in microseconds since the epoch
    /// that no calendar holds counts as hour 0.
    pub fn hour_of_week(&self, zone: ZoneId, at_us: i64) -> u32 {
        let Ok(at) = Timestamp::from_microsecond(at_us) else { return 0 };
        let civil = self.zone(zone).map_or(&self.outside, |zone| &zone.time_zone).to_datetime(at);
        let hours = i32::from(civil.weekday().to_monday_zero_offset()) * 24 + i32::from(civil.hour());
        u32::try_from(hours).unwrap_or_default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.zones.len()
    }

    /// Whether everything is outside.
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }

    fn zone(&self, zone: ZoneId) -> Option<&Zone> {
        self.zones.get(zone.0 as usize)
    }
}

fn time_zone_of(name: &str) -> Result<TimeZone, ZonesError> {
    TimeZone::get(name).map_err(|_| ZonesError::TimeZone(name.to_string()))
}

/// A polygon without points has no box, and holds nothing.
fn shape(zone: ZoneId, polygon: Polygon) -> Option<Shape> {
    let bounds = polygon.bounding_rect()?;
    let envelope = AABB::from_corners([bounds.min().x, bounds.min().y], [bounds.max().x, bounds.max().y]);
    Some(Shape { zone, polygon, envelope })
}

#[cfg(test)]
mod tests;
