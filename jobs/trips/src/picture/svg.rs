//! SVG as text: the few elements that the drawing needs, numbers to a tenth of a pixel, texts escaped.

use std::fmt::Write as _;

/// Colour of texts and of stops.
pub(super) const INK: &str = "#1f2937";
/// Colour of lesser texts and axes.
pub(super) const MUTED: &str = "#6b7280";
/// Colour of borders.
pub(super) const BORDER: &str = "#d1d5db";

/// Horizontal and vertical place, pixels from the upper left.
pub(super) type At = (f64, f64);

/// Which end of a text lies at its place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) size: f64,
    pub(super) weight: u32,
    pub(super) fill: &'a str,
    pub(super) anchor: Anchor,
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self { size: 12.0, weight: 400, fill: INK, anchor: Anchor::Start }
    }
}

/// A drawing, or a part of one.
#[derive(Debug, Default)]
pub(super) struct Svg(String);

impl Svg {
    /// An empty drawing on white.
    pub(super) fn of(width: f64, height: f64, title: &str) -> Self {
        let mut svg = Self::default();
        svg.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
             font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\">"
        ));
        svg.put(format_args!("<title>{}</title>", escaped(title)));
        svg.put(format_args!("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"));
        svg
    }

    fn put(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }

    /// The text of a part.
    pub(super) fn into_text(self) -> String {
        self.0
    }

    /// The whole drawing.
    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }

    pub(super) fn raw(&mut self, part: &str) {
        self.0.push_str(part);
    }

    /// A part whose places count from this one.
    pub(super) fn part(&mut self, (x, y): At, class: &str, draw: impl FnOnce(&mut Self)) {
        self.put(format_args!("<g class=\"{class}\" transform=\"translate({x:.1} {y:.1})\">"));
        draw(self);
        self.0.push_str("</g>\n");
    }

    /// Elements that belong together, with the text that shows where the pointer rests.
    pub(super) fn told(&mut self, class: &str, tooltip: &str, draw: impl FnOnce(&mut Self)) {
        self.put(format_args!("<g class=\"{class}\"><title>{}</title>", escaped(tooltip)));
        draw(self);
        self.0.push_str("</g>\n");
    }

    /// A text that can be read over lines.
    pub(super) fn haloed_text(&mut self, at: At, look: Text<'_>, text: &str) {
        self.0.push_str("<g stroke=\"#ffffff\" stroke-width=\"3\" stroke-linejoin=\"round\">");
        self.text(at, look, text);
        self.0.push_str("</g>");
        self.text(at, look, text);
    }

    pub(super) fn text(&mut self, (x, y): At, look: Text<'_>, text: &str) {
        let anchor = match look.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let Text { size, weight, fill, .. } = look;
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size:.1}\" font-weight=\"{weight}\" fill=\"{fill}\" \
             text-anchor=\"{anchor}\">{}</text>",
            escaped(text)
        ));
    }

    /// A text along the vertical, read from below.
    pub(super) fn upright_text(&mut self, (x, y): At, look: Text<'_>, text: &str) {
        self.put(format_args!("<g transform=\"translate({x:.1} {y:.1}) rotate(-90)\">"));
        self.text((0.0, 0.0), look, text);
        self.0.push_str("</g>\n");
    }

    /// `style`: further attributes.
    pub(super) fn line(&mut self, from: At, to: At, style: &str) {
        let ((x, y), (to_x, to_y)) = (from, to);
        self.put(format_args!("<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{to_x:.1}\" y2=\"{to_y:.1}\" {style}/>"));
    }

    pub(super) fn rect(&mut self, (x, y): At, (width, height): (f64, f64), style: &str) {
        self.put(format_args!("<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" {style}/>"));
    }

    pub(super) fn circle(&mut self, (x, y): At, radius: f64, style: &str) {
        self.put(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" {style}/>"));
    }

    pub(super) fn polyline(&mut self, points: &[At], style: &str) {
        self.0.push_str("<polyline points=\"");
        for (x, y) in points {
            let _ = write!(self.0, "{x:.1},{y:.1} ");
        }
        self.put(format_args!("\" fill=\"none\" {style}/>"));
    }

    /// A small triangle that points this way.
    pub(super) fn arrow(&mut self, (x, y): At, (east, south): At, fill: &str) {
        let degrees = south.atan2(east).to_degrees();
        self.put(format_args!(
            "<path d=\"M-3.5 -4 L4.5 0 L-3.5 4 Z\" transform=\"translate({x:.1} {y:.1}) rotate({degrees:.0})\" \
             fill=\"{fill}\" stroke=\"#ffffff\" stroke-width=\"0.8\"/>"
        ));
    }
}

/// Text without what XML takes for its own; characters that it does not allow at all become a question mark.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => safe.push('?'),
            sign if sign.is_control() && !matches!(sign, '\n' | '\t') => safe.push('?'),
            sign => safe.push(sign),
        }
    }
    safe
}
