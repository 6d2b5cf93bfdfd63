use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A rectangle as a ring.
fn ring(west: f64, south: f64, east: f64, north: f64) -> Value {
    json!([[west, south], [east, south], [east, north], [west, north], [west, south]])
}

fn feature(name: &str, coordinates: &Value) -> Value {
    json!({"type": "Feature", "properties": {"name": name},
        "geometry": {"type": "Polygon", "coordinates": coordinates}})
}

fn collection(features: &[Value]) -> String {
    json!({"type": "FeatureCollection", "features": features}).to_string()
}

fn zones(features: &[Value]) -> Zones {
    Zones::from_geojson(&collection(features), "UTC").unwrap()
}

fn at(zones: &Zones, lon: f64, lat: f64) -> &str {
    zones.name(zones.find(Place { lat, lon }))
}

#[track_caller]
fn problem(document: &str) -> String {
    Zones::from_geojson(document, "UTC").map(|zones| zones.len()).unwrap_err().to_string()
}

#[test]
fn the_smallest_zone_wins_then_the_name() {
    let twins = [("b", 4.0), ("a", 4.0)].map(|(name, west)| feature(name, &json!([ring(west, 0.0, west + 1.0, 1.0)])));
    let nested =
        [feature("city", &json!([ring(0.0, 0.0, 10.0, 10.0)])), feature("airport", &json!([ring(1.0, 1.0, 2.0, 2.0)]))];
    let zones = zones(&[nested, twins].concat());
    assert_eq!(at(&zones, 1.5, 1.5), "airport");
    assert_eq!(at(&zones, 5.0, 5.0), "city");
    assert_eq!(at(&zones, 4.5, 0.5), "a");
    assert_eq!(at(&zones, 11.0, 5.0), OUTSIDE);
}

/// Fails if a border belongs to nobody, as with `contains` of the simple features.
#[test]
fn a_border_belongs_to_one_zone() {
    // Going north a box of as many degrees is smaller.
    let zones = zones(&[
        feature("south", &json!([ring(0.0, 0.0, 1.0, 1.0)])),
        feature("north", &json!([ring(0.0, 1.0, 1.0, 2.0)])),
    ]);
    assert_eq!(at(&zones, 0.5, 1.0), "north");
    assert_eq!((at(&zones, 0.0, 0.5), at(&zones, 0.0, 0.0), at(&zones, 1.0, 2.0)), ("south", "south", "north"));
}

#[test]
fn holes_and_parts_count() {
    let zones = zones(&[
        feature("ring", &json!([ring(0.0, 0.0, 9.0, 9.0), ring(3.0, 3.0, 6.0, 6.0)])),
        json!({"type": "Feature", "properties": {"name": "isles", "zone": "Pacific/Auckland"}, "geometry":
            {"type": "MultiPolygon", "coordinates": [[ring(170.0, -20.0, 180.0, -10.0)], [ring(-180.0, -20.0, -170.0, -10.0)]]}}),
    ]);
    assert_eq!((at(&zones, 1.0, 1.0), at(&zones, 4.0, 4.0)), ("ring", OUTSIDE));
    assert_eq!((at(&zones, 175.0, -15.0), at(&zones, -175.0, -15.0)), ("isles", "isles"));
}

#[test]
fn hours_are_those_of_the_zones_clocks() {
    let auckland = json!({"type": "Feature", "properties": {"name": "a", "zone": "Pacific/Auckland"},
        "geometry": {"type": "Polygon", "coordinates": [ring(170.0, -40.0, 175.0, -35.0)]}});
    let zones = Zones::from_geojson(&auckland.to_string(), "Europe/Dublin").unwrap();
    let hour = |lon: f64, time: &str| {
        let at_us = time.parse::<Timestamp>().unwrap().as_microsecond();
        zones.hour_of_week(zones.find(Place { lat: -37.0, lon }), at_us)
    };
    // Monday 2026-03-02 at noon, when it is one in the night of Tuesday in Auckland.
    assert_eq!((hour(0.0, "2026-03-02T12:30:00Z"), hour(172.0, "2026-03-02T12:30:00Z")), (12, 25));
    // Dublin's summer time begins on Sunday, March 29, at 01:00.
    assert_eq!((hour(0.0, "2026-03-29T00:59:59Z"), hour(0.0, "2026-03-29T01:00:00Z")), (6 * 24, 6 * 24 + 2));
    assert_eq!(hour(0.0, "2026-03-01T23:59:59.999999Z"), WEEK_HOURS - 1);
}

#[test]
fn errors_say_which_feature_and_what() {
    let good = feature("good", &json!([ring(0.0, 0.0, 1.0, 1.0)]));
    let second = |other: Value| problem(&collection(&[good.clone(), other]));
    let polygon = |coordinates: Value| second(feature("bad", &coordinates));
    let cases = [
        (second(feature("good", &json!([ring(2.0, 0.0, 3.0, 1.0)]))), "(\"good\"): a feature before it has the same"),
        (
            second(json!({"type": "Feature", "geometry": null, "properties": null})),
            "features[1]: it has no property name",
        ),
        (second(json!({"type": "Feature", "properties": {"name": "x"}})), "features[1] (\"x\"): it has no geometry"),
        (second(feature("outside", &json!([]))), "outside is what lies in no zone"),
        (
            second(json!({"type": "Feature", "properties": {"name": "x", "zone": "Mars/Base"}})),
            "no time zone \"Mars/Base\"",
        ),
        (
            second(
                json!({"type": "Feature", "properties": {"name": "x"}, "geometry": {"type": "Point", "coordinates": [1, 2]}}),
            ),
            "its geometry is a Point",
        ),
        (polygon(json!([])), "it has no ring"),
        (polygon(json!([[[0, 0], [1, 1], [0, 0]]])), "ring 0: 3 positions are no ring"),
        (polygon(json!([[[0, 0], [1, 0], [1, 1], [0, 1]]])), "ring 0: it is not closed"),
        (polygon(json!([[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]])), "exterior ring has a self-intersection"),
        (
            polygon(json!([ring(0.0, 0.0, 1.0, 1.0), ring(5.0, 5.0, 6.0, 6.0)])),
            "interior ring at index 0 is not contained",
        ),
        (polygon(json!([[[0, 0], [1, "x"], [1, 1], [0, 0]]])), "position 1: it is not [longitude, latitude]"),
        (polygon(json!([ring(-7.0, 100.0, -6.0, 101.0)])), "these look swapped"),
        (polygon(json!([ring(0.0, 500.0, 1.0, 501.0)])), "latitude 500 is out of range"),
        (polygon(json!([ring(179.0, 0.0, 181.0, 1.0)])), "longitude 181 is out of range"),
        (polygon(json!([ring(179.0, 0.0, -179.0, 1.0)])), "crosses the antimeridian after position 0; split it"),
        (problem("{"), "no JSON"),
        (problem("[]"), "it has no type"),
        (problem(r#"{"type": "Polygon", "coordinates": []}"#), "it is a Polygon"),
        (problem(r#"{"type": "FeatureCollection"}"#), "no array of features"),
        (
            problem(r#"{"type": "FeatureCollection", "features": [], "crs": {"properties": {"name": "EPSG:3857"}}}"#),
            "reference system is \"EPSG:3857\"",
        ),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "{expected:?} is not in {found:?}");
    }
    assert!(Zones::none("Nowhere/City").is_err());
    assert_eq!(Zones::none("UTC").unwrap().find(Place { lat: 0.0, lon: 0.0 }), NONE);
}

/// A rectangle on a grid, so that borders meet and positions fall on them.
fn rectangle() -> impl Strategy<Value = (i32, i32, i32, i32)> {
    (0..8_i32, 0..8_i32, 1..4_i32, 1..4_i32)
        .prop_map(|(west, south, width, height)| (west, south, west + width, south + height))
}

proptest! {
    /// Fails if the tree misses a box, or if another zone than the smallest wins.
    #[test]
    fn the_tree_finds_what_a_scan_finds(
        rectangles in prop::collection::vec(rectangle(), 0..12),
        places in prop::collection::vec((0..24_i32, 0..24_i32), 1..40),
    ) {
        let features: Vec<Value> = rectangles.iter().enumerate().map(|(index, (west, south, east, north))| {
            let [west, south, east, north] = [west, south, east, north].map(|value| f64::from(*value));
            feature(&format!("z{index:02}"), &json!([ring(west, south, east, north)]))
        }).collect();
        let zones = zones(&features);
        for (x, y) in places {
            let (lon, lat) = (f64::from(x) / 2.0, f64::from(y) / 2.0);
            let holding = rectangles.iter().enumerate().filter(|(_, (west, south, east, north))| {
                (f64::from(*west)..=f64::from(*east)).contains(&lon) && (f64::from(*south)..=f64::from(*north)).contains(&lat)
            });
            let measured = holding.map(|(index, (west, south, east, north))| {
                let [west, south, east, north] = [west, south, east, north].map(|value| f64::from(*value));
                // The same order of corners as the feature's, since rounding depends on it.
                let corners = [(west, south), (east, south), (east, north), (west, north), (west, south)];
                let rectangle = Polygon::new(corners.to_vec().into(), Vec::new());
                (rectangle.geodesic_area_unsigned(), format!("z{index:02}"))
            });
            let smallest = measured.min_by(|one, other| one.0.total_cmp(&other.0).then_with(|| one.1.cmp(&other.1)));
            let expected = smallest.map_or(OUTSIDE.to_string(), |(_, name)| name);
            prop_assert_eq!(at(&zones, lon, lat), expected);
        }
    }
}
