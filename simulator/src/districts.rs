//! The town's districts: squares of blocks with names, as zones of GeoJSON. Their borders run half a block beside the
//! crossings, so that no street lies on one.

use serde_json::{Value, json};

use crate::clock;
use crate::town::{BLOCK_M, Point, SIDE};

/// Crossings along each side of a district; those of the last row and column have the rest.
const DISTRICT_SIDE: i64 = 10;
/// Names, from south to north and from west to east.
const NAMES: [[&str; 4]; 4] = [
    ["Harbour", "Ropewalk", "Fish Market", "Lighthouse"],
    ["Mill Lane", "Cathedral", "Old Town", "Tannery"],
    ["Station", "University", "Market Square", "Gasworks"],
    ["Orchards", "Hospital", "Northgate", "Airfield"],
];

/// `zones.geojson`.
pub(crate) fn geojson() -> Value {
    let mut features = Vec::new();
    for (row, names) in (0..).zip(NAMES) {
        for (column, name) in (0..).zip(names) {
            features.push(json!({
                "type": "Feature",
                "properties": { "name": name, "zone": clock::ZONE },
                "geometry": { "type": "Polygon", "coordinates": [ring(column, row)] },
            }));
        }
    }
    json!({ "type": "FeatureCollection", "features": features })
}

/// Corners against the clock, longitude first.
fn ring(column: i64, row: i64) -> Vec<[f64; 2]> {
    let (west, east) = (border_m(column), border_m(column + 1));
    let (south, north) = (border_m(row), border_m(row + 1));
    let corner = |(east_m, north_m): (f64, f64)| {
        let (lat, lon) = Point { east_m, north_m }.degrees();
        [lon, lat]
    };
    [(west, south), (east, south), (east, north), (west, north), (west, south)].map(corner).to_vec()
}

/// Where the district of this number begins, metres from the centre.
fn border_m(number: i64) -> f64 {
    let last = number == NAMES.len() as i64;
    let crossing = if last { SIDE } else { number * DISTRICT_SIDE };
    (crossing as f64 - 0.5 - (SIDE - 1) as f64 / 2.0) * BLOCK_M
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn districts_cover_every_door_and_meet_at_their_borders() {
        let reach_m = (SIDE - 1) as f64 / 2.0 * BLOCK_M;
        assert!(border_m(0) < -reach_m && border_m(NAMES.len() as i64) > reach_m);
        let document = geojson();
        let features = document["features"].as_array().unwrap();
        assert_eq!(features.len(), 16);
        let corners = |feature: usize| features[feature]["geometry"]["coordinates"][0].clone();
        // The east side of one is the west side of the next, the north side the south side of the next row's.
        assert_eq!((&corners(0)[1], &corners(0)[2]), (&corners(1)[0], &corners(1)[3]));
        assert_eq!((&corners(0)[3], &corners(0)[2]), (&corners(4)[0], &corners(4)[1]));
    }
}
