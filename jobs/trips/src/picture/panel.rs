//! The map of one device: its track, its trips with their directions, beginnings and ends, its stops by how long they
//! lasted, and the fixes that were left out.

use std::collections::HashSet;

use super::map::{Extent, View, along, beside, thinned};
use super::svg::{Anchor, At, BORDER, INK, MUTED, Svg, Text};
use crate::clean::GAP_US;
use crate::metric::Place;
use crate::segment::{StopEnded, TripEnded};
use crate::sighting::{Reason, Sighting};
use crate::units::seconds;
use crate::whole::Found;
use crate::words;

/// Height of the line above a map, pixels.
const HEAD_PX: f64 = 24.0;
/// Fixes nearer to the one before than this are not told apart, pixels.
const APART_PX: f64 = 0.7;
/// Most points of a device's lines.
const POINTS_MAX: usize = 20_000;
/// Most trips, stops and left-out fixes of a map. Of stops the longest are drawn, of the others the first.
const ITEMS_MAX: usize = 500;
/// How far the first trip's line lies to the right of its track, how much farther each of the next does, and after how
/// many that begins anew, pixels: trips along one street lie beside each other, also those in one direction.
const BESIDE_PX: f64 = 1.8;
const NEXT_PX: f64 = 3.0;
const NEXT_MAX: usize = 3;
/// Most trips of a map that say when they begin and end.
const LABELLED_MAX: usize = 12;
/// Way between arrows along a trip, pixels.
const ARROW_PX: f64 = 90.0;
/// Radius of a stop of one second, pixels: area grows with time.
const DWELL_PX: f64 = 0.62;
const DWELL_PX_MIN: f64 = 3.0;
const DWELL_PX_MAX: f64 = 26.0;

/// Colours of trips in turn, told apart by people who do not see all colours (Okabe and Ito's set without the yellow).
pub(super) const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc5fa0", "#3aa0d8", "#b8860b"];
pub(super) const TRACK: &str = "stroke=\"#9ca3af\" stroke-width=\"1.4\" stroke-linejoin=\"round\"";
pub(super) const GAP: &str = "stroke=\"#9ca3af\" stroke-width=\"1.2\" stroke-dasharray=\"2 4\"";
pub(super) const STOP: &str = "fill=\"#1f2937\" fill-opacity=\"0.22\" stroke=\"#1f2937\" stroke-width=\"1\"";
pub(super) const CROSS: &str = "stroke=\"#dc2626\" stroke-width=\"1.3\"";

/// How large a map is, pixels. Its height follows from the track's shape inside these bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height_min: f64,
    pub(super) height_max: f64,
}

/// The finished map of a device.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) height: f64,
    /// Elements, with places from the upper left of the panel.
    pub(super) content: String,
    /// Factor of the radius of stops.
    pub(super) dwell_scale: f64,
}

/// A fix that was kept.
#[derive(Debug, Clone, Copy)]
struct Seen {
    time_us: i64,
    place: Place,
}

/// Radius of a stop, pixels.
pub(super) fn radius_px(dwell_us: i64, dwell_scale: f64) -> f64 {
    (DWELL_PX * dwell_scale * seconds(dwell_us).max(0.0).sqrt()).clamp(DWELL_PX_MIN, DWELL_PX_MAX * dwell_scale)
}

impl Panel {
    /// Draws a device.
    pub(super) fn draw(device: &str, size: Size, fixes: impl Iterator<Item = Sighting>, found: &Found) -> Self {
        let seen = kept(fixes, found);
        let extent = Extent::of(seen.iter().map(|fix| fix.place));
        let height = extent.map_or(0.0, |extent| extent.height_px(size.width));
        let map = (size.width, height.clamp(size.height_min, size.height_max));
        let dwell_scale = if size.width < 600.0 { 0.7 } else { 1.0 };
        let mut svg = Svg::default();
        head(&mut svg, device, size.width, found);
        svg.part((0.0, HEAD_PX), "map", |svg| {
            svg.rect((0.0, 0.0), map, &format!("fill=\"#fbfbfa\" stroke=\"{BORDER}\" rx=\"4\""));
            match extent {
                Some(extent) => {
                    let drawing = Drawing { view: extent.view(map), seen: &seen, found, dwell_scale };
                    drawing.all(svg, map);
                }
                None => {
                    let middle = Text { anchor: Anchor::Middle, fill: MUTED, ..Text::default() };
                    svg.text((map.0 / 2.0, map.1 / 2.0), middle, "no fix was kept");
                }
            }
        });
        Self { height: HEAD_PX + map.1, content: svg.into_text(), dwell_scale }
    }
}

/// Kept fixes by time. A copy of a fix lies where the fix lies, whichever of the two was left out.
fn kept(fixes: impl Iterator<Item = Sighting>, found: &Found) -> Vec<Seen> {
    let key = |fix: &Sighting| (fix.time_us, fix.place.lat.to_bits(), fix.place.lon.to_bits());
    let left_out = found.faults.iter().filter(|(_, reason)| *reason != Reason::Duplicate);
    let left_out: HashSet<_> = left_out.map(|(fix, _)| key(fix)).collect();
    let fixes = fixes.filter(|fix| !left_out.contains(&key(fix)));
    let mut seen: Vec<Seen> = fixes.map(|fix| Seen { time_us: fix.time_us, place: fix.place }).collect();
    if !seen.is_sorted_by_key(|fix| fix.time_us) {
        seen.sort_by_key(|fix| fix.time_us);
    }
    seen
}

fn head(svg: &mut Svg, device: &str, width: f64, found: &Found) {
    let Found { trips, stops, faults } = found;
    let distance_m: f64 = trips.iter().map(|trip| trip.distance_m.0).sum();
    let mut told = format!(
        "{}, {}, {}",
        words::counted(trips.len() as u64, "trip", "trips"),
        words::length(distance_m),
        words::counted(stops.len() as u64, "stop", "stops"),
    );
    if !faults.is_empty() {
        told += &format!(", {} left out", words::thousands(faults.len() as u64));
    }
    if trips.len().max(stops.len()) > ITEMS_MAX {
        told += &format!("; {ITEMS_MAX} of each drawn");
    }
    // Names may be longer than there is room for.
    let room = ((width - 6.4 * told.len() as f64) / 8.0).max(4.0) as usize;
    let name: String = match device.chars().count() {
        long if long > room => device.chars().take(room - 1).chain(['…']).collect(),
        _ => device.to_string(),
    };
    svg.text((2.0, 15.0), Text { size: 13.0, weight: 600, ..Text::default() }, &name);
    svg.text((width - 2.0, 15.0), Text { fill: MUTED, anchor: Anchor::End, ..Text::default() }, &told);
}

/// What is drawn on one map.
struct Drawing<'a> {
    view: View,
    seen: &'a [Seen],
    found: &'a Found,
    dwell_scale: f64,
}

impl Drawing<'_> {
    fn all(&self, svg: &mut Svg, map: (f64, f64)) {
        let apart_px = self.apart_px();
        self.track(svg, apart_px);
        let trips: Vec<(&str, Vec<At>)> = self.trips(apart_px);
        for ((colour, points), (number, trip)) in trips.iter().zip((1..).zip(&self.found.trips)) {
            svg.told("trip", &trip_words(number, trip), |svg| {
                let style = format!(
                    "stroke=\"{colour}\" stroke-width=\"2.6\" stroke-linejoin=\"round\" stroke-opacity=\"0.9\""
                );
                svg.polyline(points, &style);
                along(points, ARROW_PX).into_iter().for_each(|(at, way)| svg.arrow(at, way, colour));
            });
        }
        self.stops(svg);
        self.crosses(svg, map);
        for ((colour, points), (number, trip)) in trips.iter().zip((1..).zip(&self.found.trips)) {
            let (Some(first), Some(last)) = (points.first(), points.last()) else { continue };
            let words = trip_words(number, trip);
            svg.told("end", &words, |svg| end_mark(svg, *last, colour));
            svg.told("start", &words, |svg| start_mark(svg, *first, colour, &number.to_string()));
            if trips.len() <= LABELLED_MAX {
                label(svg, *last, number, trip.end_us);
                label(svg, *first, number, trip.start_us);
            }
        }
        let bar_end = scale_bar(svg, &self.view, map);
        north(svg, (bar_end + 28.0, map.1 - 20.0));
    }

    /// How far apart points must be for lines of no more than [`POINTS_MAX`] of them.
    fn apart_px(&self) -> f64 {
        let mut apart_px = APART_PX;
        loop {
            let points = thinned(self.seen.iter().map(|fix| self.view.at(fix.place)), apart_px).len();
            if points <= POINTS_MAX {
                return apart_px;
            }
            apart_px *= 2.0;
        }
    }

    fn line_of(&self, seen: &[Seen], apart_px: f64) -> Vec<At> {
        thinned(seen.iter().map(|fix| self.view.at(fix.place)), apart_px)
    }

    /// The kept fixes, with a dotted line over gaps.
    fn track(&self, svg: &mut Svg, apart_px: f64) {
        let pieces = self.seen.chunk_by(|fix, next| next.time_us - fix.time_us <= GAP_US);
        let mut before: Option<Place> = None;
        svg.told("track", "track of the kept fixes", |svg| {
            for piece in pieces {
                let (Some(first), Some(last)) = (piece.first(), piece.last()) else { continue };
                if let Some(before) = before.replace(last.place) {
                    svg.line(self.view.at(before), self.view.at(first.place), GAP);
                }
                let points = self.line_of(piece, apart_px);
                if points.len() > 1 {
                    svg.polyline(&points, TRACK);
                }
            }
        });
    }

    fn trips(&self, apart_px: f64) -> Vec<(&'static str, Vec<At>)> {
        let line = |(index, trip): (usize, &TripEnded)| {
            let begin = self.seen.partition_point(|fix| fix.time_us < trip.start_us);
            let end = self.seen.partition_point(|fix| fix.time_us <= trip.end_us);
            let points = self.line_of(&self.seen[begin..end.max(begin)], apart_px.max(2.0 * APART_PX));
            let beside_px = BESIDE_PX + NEXT_PX * (index % NEXT_MAX) as f64;
            (COLOURS[index % COLOURS.len()], beside(&points, beside_px))
        };
        self.found.trips.iter().take(ITEMS_MAX).enumerate().map(line).collect()
    }

    /// The longest below the others.
    fn stops(&self, svg: &mut Svg) {
        let dwell_us = |stop: &StopEnded| stop.end_us - stop.start_us;
        let mut stops: Vec<&StopEnded> = self.found.stops.iter().collect();
        stops.sort_by_key(|stop| -dwell_us(stop));
        for stop in stops.into_iter().take(ITEMS_MAX) {
            let words = format!(
                "stop {} UTC, {} (h:mm:ss), {}",
                words::span(stop.start_us, stop.end_us),
                words::duration(dwell_us(stop)),
                words::counted(stop.fixes.into(), "fix", "fixes")
            );
            let radius = radius_px(dwell_us(stop), self.dwell_scale);
            svg.told("stop", &words, |svg| svg.circle(self.view.at(stop.place), radius, STOP));
        }
    }

    /// Fixes that were left out, where they lie on the map.
    fn crosses(&self, svg: &mut Svg, (width, height): (f64, f64)) {
        let on_map = |(x, y): At| (4.0..width - 4.0).contains(&x) && (4.0..height - 4.0).contains(&y);
        let faults = self.found.faults.iter().map(|(fix, reason)| (self.view.at(fix.place), fix, reason));
        for (at, fix, reason) in faults.filter(|(at, ..)| on_map(*at)).take(ITEMS_MAX) {
            let words = format!("left out ({}) {} UTC", reason.code(), words::time(fix.time_us));
            svg.told("fault", &words, |svg| cross(svg, at));
        }
    }
}

fn trip_words(number: usize, trip: &TripEnded) -> String {
    format!(
        "trip {number}: {} UTC, {} (h:mm:ss), {} ± {}, {}, ended by {}",
        words::span(trip.start_us, trip.end_us),
        words::duration(trip.end_us - trip.start_us),
        words::length(trip.distance_m.0),
        words::length(trip.distance_m.1),
        words::counted(trip.stops.into(), "stop", "stops"),
        trip.close.code(),
    )
}

/// A ring with the trip's number.
pub(super) fn start_mark(svg: &mut Svg, at: At, colour: &str, number: &str) {
    svg.circle(at, 7.5, &format!("fill=\"#ffffff\" stroke=\"{colour}\" stroke-width=\"2.4\""));
    let look = Text { size: if number.len() > 2 { 6.5 } else { 9.0 }, weight: 700, fill: INK, anchor: Anchor::Middle };
    svg.text((at.0, at.1 + 3.2), look, number);
}

/// A filled square.
pub(super) fn end_mark(svg: &mut Svg, at: At, colour: &str) {
    let style = format!("fill=\"{colour}\" stroke=\"#ffffff\" stroke-width=\"1.6\"");
    svg.rect((at.0 - 6.5, at.1 - 6.5), (13.0, 13.0), &style);
}

pub(super) fn cross(svg: &mut Svg, (x, y): At) {
    svg.line((x - 3.0, y - 3.0), (x + 3.0, y + 3.0), CROSS);
    svg.line((x - 3.0, y + 3.0), (x + 3.0, y - 3.0), CROSS);
}

/// The time above or below a mark, in turn, so that trips from and to one place have theirs apart.
fn label(svg: &mut Svg, (x, y): At, number: usize, time_us: i64) {
    let time = words::time_of_day(time_us);
    let text = time.rsplit_once(':').map_or(time.as_str(), |(minutes, _)| minutes);
    let y = if number.is_multiple_of(2) { y + 20.0 } else { y - 11.0 };
    svg.haloed_text((x, y), Text { size: 11.0, anchor: Anchor::Middle, ..Text::default() }, text);
}

/// The bar of a round length, and where it ends.
fn scale_bar(svg: &mut Svg, view: &View, (width, height): (f64, f64)) -> f64 {
    let length_m = view.bar_m(width / 4.0);
    let (x, y, end) = (16.0, height - 14.0, 16.0 + length_m * view.scale);
    let ink = format!("stroke=\"{INK}\" stroke-width=\"1.4\"");
    svg.told("scale", "scale: the same on both axes", |svg| {
        svg.line((x, y), (end, y), &ink);
        for tick in [x, end] {
            svg.line((tick, y - 4.0), (tick, y + 4.0), &ink);
        }
        let words = if length_m < 1_000.0 { format!("{length_m} m") } else { format!("{} km", length_m / 1e3) };
        svg.text((x + 4.0, y - 5.0), Text { size: 11.0, ..Text::default() }, &words);
    });
    end
}

fn north(svg: &mut Svg, (x, y): At) {
    svg.told("north", "north is up", |svg| {
        svg.line((x, y + 8.0), (x, y - 4.0), &format!("stroke=\"{INK}\" stroke-width=\"1.4\""));
        svg.arrow((x, y - 6.0), (0.0, -1.0), INK);
        svg.text((x + 7.0, y + 8.0), Text { size: 11.0, weight: 600, ..Text::default() }, "N");
    });
}
