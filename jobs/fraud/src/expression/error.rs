//! What is wrong with a text of the language, and where.
//!
//! It may depend on nothing. It refuses to print: an edge shows what [`ParseError::marked`] makes.

use std::ops::Range;

/// Longest part of a line that is shown around a mark, characters: what fits beside a line number.
const SHOWN_CHARACTERS_MAX: usize = 100;

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", .nearest.as_ref().map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default())]
pub struct ParseError {
    /// Bytes of the text that it is about. Empty only at the end of the text.
    pub span: Range<usize>,
    /// What is wrong, lower case, without a full stop.
    pub message: String,
    /// The known name that is nearest to the one that was written.
    pub nearest: Option<String>,
}

impl ParseError {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), nearest: None }
    }

    #[must_use]
    pub(crate) fn or_nearest(mut self, nearest: Option<String>) -> Self {
        self.nearest = nearest;
        self
    }

    /// Number of the line in which it begins, from 1. `text` is what was parsed.
    pub fn line(&self, text: &str) -> usize {
        1 + text.bytes().take(self.span.start).filter(|byte| *byte == b'\n').count()
    }

    /// The error with the line that it is about and a mark below, for instance:
    ///
    /// ```text
    /// line 2: there is no field card_cuont_1h; did you mean `card_count_1h`?
    ///   when card_cuont_1h >= 5
    ///        ^^^^^^^^^^^^^
    /// ```
    ///
    /// `text` is what was parsed. Of what goes over several lines the first is marked.
    pub fn marked(&self, text: &str) -> String {
        let border = |place: usize| (0..=place.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        let start = border(self.span.start).unwrap_or_default();
        let end = border(self.span.end).unwrap_or_default().max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |place| place + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |place| start + place);
        let before: Vec<char> = text[line_start..start].chars().collect();
        // What stands far to the right is shown without the beginning of its line.
        let skipped = before.len().saturating_sub(SHOWN_CHARACTERS_MAX / 2);
        let visible = |sign: char| if sign.is_control() { ' ' } else { sign };
        let shown: String =
            text[line_start..line_end].chars().skip(skipped).take(SHOWN_CHARACTERS_MAX).map(visible).collect();
        let marks_max = SHOWN_CHARACTERS_MAX.saturating_sub(before.len() - skipped);
        let marks = text[start..end.min(line_end)].chars().count().clamp(1, marks_max.max(1));
        let indent = " ".repeat(before.len() - skipped);
        format!("line {}: {self}\n  {}\n  {indent}{}", self.line(text), shown.trim_end(), "^".repeat(marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_below_the_place() {
        let error = ParseError::new(5..8, "odd");
        assert_eq!(error.marked("one\n\ttwo three"), "line 2: odd\n   two three\n   ^^^");
        assert_eq!(ParseError::new(3..3, "odd").marked("one"), "line 1: odd\n  one\n     ^");
        assert_eq!(ParseError::new(0..99, "odd").marked("äb\nc"), "line 1: odd\n  äb\n  ^^");
    }

    #[test]
    fn far_places_are_shown() {
        let text = format!("{}wrong{}", "a".repeat(500), "b".repeat(500));
        let marked = ParseError::new(500..505, "odd").marked(&text);
        let lines: Vec<&str> = marked.lines().collect();
        let place = lines[2].find('^').unwrap();
        assert_eq!(&lines[1][place..place + 5], "wrong");
        assert_eq!(lines[2].trim(), "^^^^^");
    }
}
