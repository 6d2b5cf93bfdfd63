//! Tables as plain text: columns side by side, two blanks between them, for terminals and for files that people compare.
//!
//! It may depend on nothing. It refuses to cut or wrap: whoever fills a cell bounds it.

use std::fmt;

use schemas::money::Currency;

/// A table. Its first columns hold words and stand to the left, the others hold numbers and stand to the right.
pub(crate) struct Table {
    words: usize,
    /// The heads, then row by row.
    lines: Vec<Vec<String>>,
}

impl Table {
    /// A table with these heads, of which the first so many are those of words.
    pub(crate) fn new(words: usize, heads: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { words, lines: vec![heads.into_iter().map(Into::into).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.lines.push(cells.into_iter().map(Into::into).collect());
    }

    /// Whether it has nothing but heads.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.len() == 1
    }
}

/// Every line ends with a line end.
impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.lines.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for cells in &self.lines {
            let mut line = String::new();
            for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                line += &match column < self.words {
                    true => format!("{gap}{cell:<width$}"),
                    false => format!("{gap}{cell:>width$}"),
                };
            }
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A count with its digits in groups of three.
pub(crate) fn count(count: u64) -> String {
    grouped(u128::from(count))
}

/// A share in percent, one digit behind its point; a dash where there is none.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_string(), |share| format!("{:.1}%", 100.0 * share))
}

/// An amount with the decimals of its currency; without one a count of minor units.
pub(crate) fn money(minor: i128, currency: Option<Currency>) -> String {
    let decimals = currency.map_or(0, Currency::exponent);
    let scale = 10_u128.pow(decimals);
    let sign = if minor < 0 { "-" } else { "" };
    let magnitude = minor.unsigned_abs();
    let whole = grouped(magnitude / scale);
    let width = decimals as usize;
    if decimals == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{:0width$}", magnitude % scale) }
}

/// What amounts of a currency are counted in, as a head of a column says it.
pub(crate) fn unit(currency: Option<Currency>) -> &'static str {
    currency.map_or("minor units", Currency::code)
}

fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_their_heads() {
        let mut table = Table::new(1, ["rule", "hits", ""]);
        assert!(table.is_empty());
        table.row(["größe", "1 000", "x"]);
        table.row(["b", "7", ""]);
        assert_eq!(table.to_string(), "rule    hits\ngröße  1 000  x\nb          7\n");
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!((count(0), count(1_234_567)), ("0".into(), "1 234 567".into()));
        assert_eq!((percent(Some(0.123_45)), percent(None)), ("12.3%".into(), "-".into()));
        assert_eq!(money(-1_234_505, Some(Currency::EUR)), "-12 345.05");
        assert_eq!(money(5, Some(Currency::KWD)), "0.005");
        assert_eq!(money(1_234_505, Some(Currency::JPY)), "1 234 505");
        assert_eq!(money(-1_234, None), "-1 234");
        assert_eq!(money(i128::MIN, None), "-170 141 183 460 469 231 731 687 303 715 884 105 728");
    }
}
