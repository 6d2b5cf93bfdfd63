//! What the marks on the maps mean.

use super::panel::{COLOURS, GAP, STOP, TRACK, cross, end_mark, radius_px, start_mark};
use super::svg::{At, BORDER, MUTED, Svg, Text};
use crate::units::SECOND_US;

/// Height of the legend, pixels.
pub(super) const HEIGHT_PX: f64 = 236.0;
const ROW_PX: f64 = 25.0;
/// Where marks and words lie.
const MARK_X: f64 = 34.0;
const WORDS_X: f64 = 68.0;
/// Stops that are shown as samples: what one is called, and how long it lasted, seconds.
const SAMPLES: [(&str, i64); 3] = [("1 min", 60), ("5 min", 300), ("20 min", 1_200)];

/// Draws it with the radius of stops as on the maps.
pub(super) fn draw(svg: &mut Svg, width: f64, dwell_scale: f64) {
    svg.rect((0.0, 0.0), (width, HEIGHT_PX), &format!("fill=\"#ffffff\" stroke=\"{BORDER}\" rx=\"4\""));
    let mut y = 22.0;
    let mut row = |svg: &mut Svg, words: &str, mark: &dyn Fn(&mut Svg, At)| {
        mark(svg, (MARK_X, y));
        svg.text((WORDS_X, y + 4.0), Text::default(), words);
        y += ROW_PX;
    };
    row(svg, "trip, with its direction; a colour a trip", &|svg, (x, y)| {
        let style = format!("stroke=\"{}\" stroke-width=\"2.6\"", COLOURS[0]);
        svg.line((x - 20.0, y), (x + 20.0, y), &style);
        svg.arrow((x, y), (1.0, 0.0), COLOURS[0]);
    });
    row(svg, "start of a trip, with its number", &|svg, at| start_mark(svg, at, COLOURS[0], "1"));
    row(svg, "end of a trip", &|svg, at| end_mark(svg, at, COLOURS[0]));
    row(svg, "track of kept fixes", &|svg, (x, y)| svg.polyline(&[(x - 20.0, y), (x + 20.0, y)], TRACK));
    row(svg, "more than 10 min without a fix", &|svg, (x, y)| svg.line((x - 20.0, y), (x + 20.0, y), GAP));
    row(svg, "fix that was left out", &|svg, at| cross(svg, at));
    row(svg, "stop: the area grows with its time", &|svg, at| svg.circle(at, 6.0, STOP));
    let mut x = MARK_X;
    for (words, dwell_s) in SAMPLES {
        let radius = radius_px(dwell_s * SECOND_US, dwell_scale);
        svg.circle((x, y + 8.0), radius, STOP);
        svg.text((x + radius + 6.0, y + 12.0), Text { fill: MUTED, size: 11.0, ..Text::default() }, words);
        x += 2.0 * radius + 62.0;
    }
}
