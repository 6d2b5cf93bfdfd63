//! GeoJSON (RFC 7946) to areas, with errors that say which feature is wrong and in what. It is read by hand: areas need
//! three levels of arrays and two properties, and an error should name the ring and the point.

use std::collections::BTreeSet;

use geo::{Coord, LineString, MultiPolygon, Polygon, Validation};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{Area, OUTSIDE, ZonesError, time_zone_of};

/// Positions of the shortest ring: a triangle, whose first position is also its last (RFC 7946, 3.1.6).
const RING_POSITIONS_MIN: usize = 4;
/// Names of the reference system that GeoJSON has; files from before RFC 7946 may name another one.
const WGS84: [&str; 3] = ["CRS84", "EPSG::4326", "EPSG:4326"];

/// Areas of a document. Those without a time zone of their own get the one given here.
pub(super) fn areas(text: &str, time_zone: &TimeZone) -> Result<Vec<Area>, ZonesError> {
    let document: Value = serde_json::from_str(text).map_err(|error| ZonesError::Json(error.to_string()))?;
    check_reference(&document)?;
    let features = match document["type"].as_str() {
        Some("Feature") => std::slice::from_ref(&document),
        Some("FeatureCollection") => document["features"]
            .as_array()
            .map(Vec::as_slice)
            .ok_or_else(|| ZonesError::Document("the collection has no array of features".to_string()))?,
        Some(other) => {
            return Err(ZonesError::Document(format!(
                "it is a {other}; zones are a FeatureCollection or a Feature, since they need names"
            )));
        }
        None => return Err(ZonesError::Document("it has no type".to_string())),
    };
    let mut names = BTreeSet::new();
    let mut areas = Vec::with_capacity(features.len());
    for (index, feature) in features.iter().enumerate() {
        let wrong = |problem: String| {
            let name = feature["properties"]["name"].as_str();
            let name = name.map(|name| format!(" ({name:?})")).unwrap_or_default();
            ZonesError::Feature { place: format!("features[{index}]{name}"), problem }
        };
        let area = area(feature, time_zone).map_err(wrong)?;
        if !names.insert(area.name.clone()) {
            return Err(wrong("a feature before it has the same name".to_string()));
        }
        areas.push(area);
    }
    Ok(areas)
}

fn check_reference(document: &Value) -> Result<(), ZonesError> {
    let Some(named) = document.get("crs").filter(|crs| !crs.is_null()) else { return Ok(()) };
    let name = named["properties"]["name"].as_str().unwrap_or_default();
    if WGS84.iter().any(|known| name.ends_with(known)) {
        return Ok(());
    }
    let problem = format!("its reference system is {name:?}; GeoJSON has longitude and latitude of WGS84 only");
    Err(ZonesError::Document(problem))
}

fn area(feature: &Value, time_zone: &TimeZone) -> Result<Area, String> {
    if feature["type"] != "Feature" {
        return Err("it is no Feature".to_string());
    }
    let properties = &feature["properties"];
    let name = match &properties["name"] {
        Value::String(name) if name.trim().is_empty() => return Err("its name is empty".to_string()),
        Value::String(name) if name == OUTSIDE => return Err(format!("{OUTSIDE} is what lies in no zone")),
        Value::String(name) => name.clone(),
        Value::Null => return Err("it has no property name".to_string()),
        _ => return Err("its name is no text".to_string()),
    };
    let time_zone = match &properties["zone"] {
        Value::String(zone) => time_zone_of(zone).map_err(|error| error.to_string())?,
        Value::Null => time_zone.clone(),
        _ => return Err("its property zone, an IANA time zone, is no text".to_string()),
    };
    let geometry = &feature["geometry"];
    let coordinates = &geometry["coordinates"];
    let polygons = match geometry["type"].as_str() {
        Some("Polygon") => vec![polygon(coordinates)?],
        Some("MultiPolygon") => {
            let parts = list(coordinates, "its polygons")?.iter().enumerate();
            let named =
                |(index, part): (usize, &Value)| polygon(part).map_err(|problem| format!("polygon {index}: {problem}"));
            parts.map(named).collect::<Result<_, _>>()?
        }
        Some(other) => return Err(format!("its geometry is a {other}; a zone is a Polygon or a MultiPolygon")),
        None => return Err("it has no geometry".to_string()),
    };
    let shape = MultiPolygon(polygons);
    match shape.check_validation() {
        Ok(()) => Ok(Area { name, time_zone, shape }),
        Err(error) => Err(error.to_string()),
    }
}

fn list<'a>(value: &'a Value, what: &str) -> Result<&'a [Value], String> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| format!("{what} are no array"))
}

fn polygon(value: &Value) -> Result<Polygon, String> {
    let mut rings = Vec::new();
    for (index, ring) in list(value, "its rings")?.iter().enumerate() {
        rings.push(line(ring).map_err(|problem| format!("ring {index}: {problem}"))?);
    }
    if rings.is_empty() {
        return Err("it has no ring".to_string());
    }
    let exterior = rings.remove(0);
    Ok(Polygon::new(exterior, rings))
}

fn line(value: &Value) -> Result<LineString, String> {
    let mut ring: Vec<Coord> = Vec::new();
    for (index, position) in list(value, "its positions")?.iter().enumerate() {
        ring.push(coordinate(position).map_err(|problem| format!("position {index}: {problem}"))?);
    }
    if ring.len() < RING_POSITIONS_MIN {
        return Err(format!("{} positions are no ring; it takes {RING_POSITIONS_MIN}", ring.len()));
    }
    if ring.first() != ring.last() {
        return Err("it is not closed: its last position is not its first".to_string());
    }
    if let Some(index) = ring.windows(2).position(|edge| (edge[1].x - edge[0].x).abs() > 180.0) {
        return Err(format!(
            "it crosses the antimeridian after position {index}; split it there into a MultiPolygon (RFC 7946, 3.1.9)"
        ));
    }
    Ok(LineString(ring))
}

fn coordinate(value: &Value) -> Result<Coord, String> {
    let numbers: Option<Vec<f64>> = value.as_array().map(|parts| parts.iter().filter_map(Value::as_f64).collect());
    let Some([lon, lat, ..]) = numbers.as_deref() else {
        return Err("it is not [longitude, latitude]".to_string());
    };
    let (lon, lat) = (*lon, *lat);
    if lat.abs() > 90.0 && lat.abs() <= 180.0 && lon.abs() <= 90.0 {
        return Err(format!("latitude {lat} is out of range; longitude comes first, these look swapped"));
    }
    if lat.abs() > 90.0 {
        return Err(format!("latitude {lat} is out of range (-90 to 90 degrees)"));
    }
    if lon.abs() > 180.0 {
        return Err(format!(
            "longitude {lon} is out of range (-180 to 180 degrees); split what crosses the antimeridian into a \
             MultiPolygon (RFC 7946, 3.1.9)"
        ));
    }
    Ok(Coord { x: lon, y: lat })
}
