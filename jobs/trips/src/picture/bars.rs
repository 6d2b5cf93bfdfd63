//! The histogram of durations: a bar a bin with its count on top, bars of one width touching as bins do.

use super::svg::{Anchor, BORDER, INK, MUTED, Svg, Text};
use crate::histogram::Histogram;
use crate::words;

/// Space around the bars, pixels: left, right, above, below.
const SPACE_PX: (f64, f64, f64, f64) = (46.0, 14.0, 46.0, 52.0);
const BAR: &str = "fill=\"#0072b2\" fill-opacity=\"0.8\" stroke=\"#ffffff\" stroke-width=\"1\"";
const BEYOND: &str = "fill=\"#9ca3af\" stroke=\"#ffffff\" stroke-width=\"1\"";
/// Widest bar, pixels: one bin alone does not fill the axis.
const BAR_PX_MAX: f64 = 60.0;
/// Most ticks of the vertical axis.
const TICKS_MAX: usize = 5;
/// Room that the number below a border needs, pixels.
const NUMBER_PX: f64 = 30.0;

/// Draws it into a rectangle of this size.
pub(super) fn draw(svg: &mut Svg, histogram: &Histogram, (width, height): (f64, f64)) {
    let (left, right, above, below) = SPACE_PX;
    let (right_x, top, bottom) = (width - right, above, height - below);
    svg.rect((0.0, 0.0), (width, height), &format!("fill=\"#ffffff\" stroke=\"{BORDER}\" rx=\"4\""));
    let trips = histogram.counts.iter().sum::<usize>() + histogram.beyond;
    let title = format!("how long {} last", words::counted(trips as u64, "trip", "trips"));
    let title = if trips == 1 { "how long the trip lasts".to_string() } else { title };
    svg.text((14.0, 22.0), Text { size: 13.0, weight: 600, ..Text::default() }, &title);

    let most = histogram.counts.iter().copied().max().unwrap_or_default().max(histogram.beyond).max(1);
    let step = tick_step(most);
    let full = most.div_ceil(step) * step;
    let y_of = |count: usize| bottom - (bottom - top) * count as f64 / full as f64;
    for tick in (0..=full).step_by(step) {
        let y = y_of(tick);
        svg.line((left, y), (right_x, y), &format!("stroke=\"{BORDER}\" stroke-width=\"0.8\""));
        let look = Text { size: 11.0, fill: MUTED, anchor: Anchor::End, ..Text::default() };
        svg.text((left - 6.0, y + 4.0), look, &words::thousands(tick as u64));
    }
    let middle = Text { size: 11.0, fill: MUTED, anchor: Anchor::Middle, ..Text::default() };
    svg.upright_text((14.0, (top + bottom) / 2.0), middle, "trips");

    let bins = histogram.counts.len();
    // The open bin stands apart by half a bar.
    let places = bins as f64 + if histogram.beyond > 0 { 1.5 } else { 0.0 };
    let bar_px = ((right_x - left - 12.0) / places).min(BAR_PX_MAX);
    let x_of = |bin: f64| left + 6.0 + bin * bar_px;
    let unit = histogram.unit();
    let number = |bin: usize| histogram.border_us(bin) / unit.1;
    let bars =
        (0..bins).map(|bin| (bin as f64, histogram.counts[bin], BAR, range(number(bin), number(bin + 1), unit.0)));
    let beyond = (bins as f64 + 0.5, histogram.beyond, BEYOND, format!("{} {} and more", number(bins), unit.0));
    for (place, count, style, words) in bars.chain([beyond]).filter(|(_, count, ..)| *count > 0) {
        let tooltip = format!("{words}: {}", words::counted(count as u64, "trip", "trips"));
        svg.told("bar", &tooltip, |svg| {
            svg.rect((x_of(place), y_of(count)), (bar_px, bottom - y_of(count)), style);
            let look = Text { size: 11.0, weight: 600, anchor: Anchor::Middle, ..Text::default() };
            svg.text((x_of(place + 0.5), y_of(count) - 5.0), look, &words::thousands(count as u64));
        });
    }
    svg.line((left, bottom), (right_x, bottom), &format!("stroke=\"{INK}\" stroke-width=\"1\""));
    let every = (NUMBER_PX / bar_px).ceil().max(1.0) as usize;
    for border in (0..=bins).filter(|border| border % every == 0) {
        let x = x_of(border as f64);
        svg.line((x, bottom), (x, bottom + 4.0), &format!("stroke=\"{INK}\" stroke-width=\"1\""));
        svg.text((x, bottom + 16.0), middle, &number(border).to_string());
    }
    if histogram.beyond > 0 {
        svg.text((x_of(bins as f64 + 1.0), bottom + 16.0), middle, "more");
    }
    svg.text(((left + right_x) / 2.0, bottom + 36.0), middle, &format!("duration, {}", unit.0));
}

fn range(from: i64, until: i64, unit: &str) -> String {
    format!("{from} to {until} {unit}")
}

/// The smallest of 1, 2 and 5 times a power of ten that takes few ticks.
fn tick_step(most: usize) -> usize {
    let mut power = 1;
    loop {
        for times in [1, 2, 5] {
            if most.div_ceil(times * power) <= TICKS_MAX {
                return times * power;
            }
        }
        power *= 10;
    }
}
