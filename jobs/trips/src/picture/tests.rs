use super::map::{Extent, along, beside, thinned};
use super::svg::escaped;
use super::*;
use crate::metric::{Offset, Place, Plane};
use crate::units::SECOND_US;
use crate::whole::whole_track;

/// A fix so many metres east and north, at this second.
fn fix(second: i64, east_m: f64, north_m: f64) -> Sighting {
    let place = Plane::at(Place { lat: 53.0, lon: -6.0 }).place(Offset { east_m, north_m });
    let time_us = (1_772_409_600 + second) * SECOND_US;
    Sighting { time_us, place, accuracy_m: None, speed_mps: None, hired: None, received_us: None }
}

/// Out, a stop of two minutes, and on; with one fix that cannot be.
fn journey() -> Vec<Sighting> {
    let way_m = |second: i64| (second.min(300) + (second - 420).max(0)) as f64 * 10.0;
    let mut fixes: Vec<Sighting> = (0..=720).step_by(5).map(|second| fix(second, way_m(second), 0.0)).collect();
    fixes[20] = fix(100, 1_000.0, 90_000.0);
    fixes
}

fn count(svg: &str, what: &str) -> usize {
    svg.matches(what).count()
}

#[test]
fn a_picture_has_what_was_found() {
    let fixes = journey();
    let found = whole_track(fixes.iter().copied());
    assert_eq!((found.trips.len(), found.stops.len(), found.faults.len()), (1, 1, 1));
    let mut picture = Picture::of(1);
    picture.add("a<b>&\"c\"", fixes.into_iter(), &found);
    let svg = picture.svg("file", "below");
    for (class, expected) in
        [("trip", 1), ("stop", 1), ("start", 1), ("end", 1), ("bar", 1), ("scale", 1), ("north", 1)]
    {
        assert_eq!(count(&svg, &format!("<g class=\"{class}\">")), expected, "{class}");
    }
    // It lies ninety kilometres off: the map is of what was kept.
    assert_eq!(count(&svg, "<g class=\"fault\">"), 0);
    assert!(svg.contains("a&lt;b&gt;&amp;&quot;c&quot;") && svg.contains("1 left out"));
    assert!(svg.contains("<title>stop 2026-03-02 00:05:00 to 00:07:00 UTC, 0:02:00 (h:mm:ss)"), "{svg}");
    assert!(svg.contains("<title>trip 1: 2026-03-02 00:00:00 to 00:12:00 UTC, 0:12:00 (h:mm:ss), 6.00 km"), "{svg}");
    assert_eq!(count(&svg, "<g"), count(&svg, "</g>"));
}

/// Fails when every device gets a map, or when those without one are not counted.
#[test]
fn maps_are_bounded_and_the_picture_says_so() {
    let mut picture = Picture::of(12);
    for device in 0..12 {
        let found = whole_track(journey());
        picture.add(&format!("d{device}"), journey().into_iter(), &found);
    }
    let svg = picture.svg("file", "below");
    assert_eq!(count(&svg, "<g class=\"panel\""), PANELS_MAX);
    assert!(svg.contains("below; maps of the first 9 of 12 devices") && svg.contains("how long 12 trips last"));
    let empty = Picture::of(0).svg("file", "below");
    assert!(empty.contains("no trips") && empty.ends_with("</svg>\n"));
}

#[test]
fn a_device_of_faults_or_of_one_place_is_drawn() {
    let still: Vec<Sighting> = (0..100).map(|second| fix(second, 0.0, 0.0)).collect();
    let mut picture = Picture::of(2);
    picture.add("still", still.iter().copied(), &whole_track(still.iter().copied()));
    let nowhere = vec![fix(0, 0.0, 0.0)];
    let found = Found { faults: vec![(nowhere[0], crate::Reason::Accuracy)], ..Found::default() };
    picture.add("nowhere", nowhere.into_iter(), &found);
    let svg = picture.svg("file", "below");
    assert!(svg.contains("no fix was kept") && svg.contains(">20 m<") && !svg.contains("NaN"), "{svg}");
}

/// Fails when the axes differ in scale, or when north is down.
#[test]
fn a_map_has_one_scale_and_north_up() {
    let corners = [fix(0, 0.0, 0.0), fix(0, 3_000.0, 0.0), fix(0, 3_000.0, 1_000.0)].map(|fix| fix.place);
    let view = Extent::of(corners.into_iter()).unwrap().view((852.0, 400.0));
    let [west, east, north] = corners.map(|place| view.at(place));
    assert!((east.0 - west.0 - 800.0).abs() < 1.0, "{west:?} {east:?}");
    assert!((east.1 - north.1 - 800.0 / 3.0).abs() < 1.0 && (east.0 - north.0).abs() < 0.1, "{east:?} {north:?}");
    assert_eq!(view.bar_m(213.0), 500.0);
}

/// A track over the antimeridian is not as wide as the Earth.
#[test]
fn a_map_goes_over_the_antimeridian() {
    let places = [Place { lat: -17.0, lon: 179.99 }, Place { lat: -17.0, lon: -179.99 }];
    let view = Extent::of(places.into_iter()).unwrap().view((800.0, 400.0));
    assert!(view.at(places[1]).0 > view.at(places[0]).0 && view.bar_m(200.0) <= 1_000.0);
}

#[test]
fn lines_are_thinned_moved_and_walked() {
    let line: Vec<(f64, f64)> = (0..100).map(|step| (f64::from(step) * 0.1, 0.0)).collect();
    let kept = thinned(line.iter().copied(), 1.0);
    assert!((10..13).contains(&kept.len()) && kept.last() == line.last(), "{kept:?}");
    // The right of a way to the east is south, which is down.
    assert_eq!(beside(&[(0.0, 0.0), (10.0, 0.0)], 2.0), [(0.0, 2.0), (10.0, 2.0)]);
    let arrows = along(&[(0.0, 0.0), (0.0, 30.0), (0.0, 100.0)], 40.0);
    assert_eq!(arrows, [((0.0, 20.0), (0.0, 1.0)), ((0.0, 60.0), (0.0, 1.0)), ((0.0, 100.0), (0.0, 1.0))]);
    assert_eq!(escaped("\u{1}\u{ffff}a\tb"), "??a\tb");
}
