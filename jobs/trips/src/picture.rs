//! A recording as a drawing in SVG: for each of the first devices a map of its track with trips, stops and the fixes that
//! were left out, north up and with one scale on both axes; beside them a legend and how long trips last.
//!
//! Maps are equirectangular at the mean latitude of their fixes, on the WGS84 ellipsoid. Fixes are drawn as far as they can
//! be told apart, so that the size of a drawing is bounded whatever is drawn. It needs no fonts and no other files. It may
//! depend on the rest of the crate; it refuses files.

mod bars;
mod legend;
mod map;
mod panel;
mod svg;

use panel::Panel;
use svg::{Anchor, INK, MUTED, Svg, Text};

use crate::histogram::Histogram;
use crate::sighting::Sighting;
use crate::whole::Found;

/// Most devices that have a map.
pub const PANELS_MAX: usize = 9;

/// Maps in a row, where there are so many.
const COLUMNS_MAX: usize = 3;
const MARGIN_PX: f64 = 20.0;
const SPACE_PX: f64 = 16.0;
const HEAD_PX: f64 = 58.0;
const SIDE_PX: f64 = 340.0;

/// A drawing that grows device by device.
#[derive(Debug)]
pub struct Picture {
    columns: usize,
    size: panel::Size,
    panels: Vec<Panel>,
    durations_us: Vec<i64>,
    devices: usize,
    trips: u64,
    stops: u64,
}

impl Picture {
    /// A drawing for so many devices.
    pub fn of(devices: usize) -> Self {
        let columns = match devices.min(PANELS_MAX) {
            0 | 1 => 1,
            2..=4 => 2,
            _ => COLUMNS_MAX,
        };
        let size = match columns {
            1 => panel::Size { width: 860.0, height_min: 420.0, height_max: 760.0 },
            2 => panel::Size { width: 520.0, height_min: 400.0, height_max: 400.0 },
            _ => panel::Size { width: 400.0, height_min: 330.0, height_max: 330.0 },
        };
        Self { columns, size, panels: Vec::new(), durations_us: Vec::new(), devices: 0, trips: 0, stops: 0 }
    }

    /// Adds a device: its fixes and what was found in them. Of those after the first [`PANELS_MAX`] only the durations
    /// of their trips are shown.
    pub fn add(&mut self, device: &str, fixes: impl Iterator<Item = Sighting>, found: &Found) {
        self.devices += 1;
        self.trips += found.trips.len() as u64;
        self.stops += found.stops.len() as u64;
        self.durations_us.extend(found.trips.iter().map(|trip| trip.end_us - trip.start_us));
        if self.panels.len() < PANELS_MAX {
            self.panels.push(Panel::draw(device, self.size, fixes, found));
        }
    }

    /// The drawing under this title, with a line below it.
    pub fn svg(&self, title: &str, below: &str) -> String {
        let rows: Vec<&[Panel]> = self.panels.chunks(self.columns).collect();
        let heights = rows.iter().map(|row| row.iter().map(|panel| panel.height).fold(0.0, f64::max));
        let heights: Vec<f64> = heights.collect();
        let maps_px = self.columns as f64 * (self.size.width + SPACE_PX);
        let width = MARGIN_PX + maps_px + SIDE_PX + MARGIN_PX;
        let histogram = Histogram::of(self.durations_us.iter().copied());
        let bars_px = 280.0;
        let side_px = bars_px + SPACE_PX + legend::HEIGHT_PX;
        let rows_px = heights.iter().map(|height| height + SPACE_PX).sum::<f64>() - SPACE_PX;
        let height = HEAD_PX + rows_px.max(side_px) + MARGIN_PX;

        let mut svg = Svg::of(width, height, title);
        svg.text((MARGIN_PX, 28.0), Text { size: 18.0, weight: 600, ..Text::default() }, title);
        svg.text((MARGIN_PX, 46.0), Text { fill: MUTED, ..Text::default() }, &self.line_below(below));
        let mut y = HEAD_PX;
        for (row, height) in rows.iter().zip(&heights) {
            for (column, panel) in row.iter().enumerate() {
                let x = MARGIN_PX + column as f64 * (self.size.width + SPACE_PX);
                svg.part((x, y), "panel", |svg| svg.raw(&panel.content));
            }
            y += height + SPACE_PX;
        }
        let side_x = MARGIN_PX + maps_px;
        svg.part((side_x, HEAD_PX), "durations", |svg| match &histogram {
            Some(histogram) => bars::draw(svg, histogram, (SIDE_PX, bars_px)),
            None => {
                let middle = Text { anchor: Anchor::Middle, fill: INK, ..Text::default() };
                svg.text((SIDE_PX / 2.0, bars_px / 2.0), middle, "no trips");
            }
        });
        let dwell_scale = self.panels.first().map_or(1.0, |panel| panel.dwell_scale);
        svg.part((side_x, HEAD_PX + bars_px + SPACE_PX), "legend", |svg| legend::draw(svg, SIDE_PX, dwell_scale));
        svg.finish()
    }

    fn line_below(&self, below: &str) -> String {
        let hidden = self.devices - self.panels.len();
        match hidden {
            0 => below.to_string(),
            _ => format!("{below}; maps of the first {PANELS_MAX} of {} devices", self.devices),
        }
    }
}

#[cfg(test)]
mod tests;
