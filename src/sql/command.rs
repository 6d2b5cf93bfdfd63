//! Backslash commands: what is in the lake, as batches, so that every format can show it.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, StringArray, UInt64Array};
use arrow::error::ArrowError;
use lake::{Kind, TableListing};

use super::answer::Format;

/// What `\?` prints.
pub const HELP: &str = r"\d        tables and views
\d NAME   columns of a table or view with their meaning
\?        this help
\q        quit (or Ctrl-D)
Statements end with a semicolon. Ctrl-C clears the line or cancels the query.
Only reading is allowed here; each statement sees the lake as it stands when it starts.";

/// A backslash command.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// `\d`
    List,
    /// `\d NAME`
    Describe(String),
    /// `\?`
    Help,
    /// `\q`
    Quit,
}

impl Command {
    /// The command that this text is: nothing where it is SQL, an error where no such command exists.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let text = text.strip_prefix('\\')?;
        let mut words = text.split_whitespace();
        Some(match (words.next().unwrap_or_default(), words.next(), words.next()) {
            ("d", None, None) => Ok(Self::List),
            ("d", Some(name), None) => Ok(Self::Describe(folded(name))),
            ("?", None, None) => Ok(Self::Help),
            ("q", None, None) => Ok(Self::Quit),
            _ => Err(format!("there is no command \\{text}")),
        })
    }
}

/// The name as SQL reads it: small letters, unless quoted.
fn folded(name: &str) -> String {
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => quoted.to_string(),
        None => name.to_lowercase(),
    }
}

/// Tables and views: name, kind, number of rows (null where only counting could tell), size, what one row is. The
/// size is in bytes, and in the largest fitting unit where people read it.
pub fn list(listings: &[TableListing], format: Format) -> Result<RecordBatch, ArrowError> {
    let kind = |listing: &TableListing| match listing.kind {
        Kind::Table => "table",
        Kind::View => "view",
    };
    let size: (&str, arrow::array::ArrayRef) = match format {
        Format::Table => {
            let sizes = listings.iter().map(|listing| listing.bytes.map(readable));
            ("size", Arc::new(sizes.collect::<StringArray>()))
        }
        _ => ("bytes", Arc::new(listings.iter().map(|listing| listing.bytes).collect::<UInt64Array>())),
    };
    RecordBatch::try_from_iter_with_nullable([
        ("name", Arc::new(listings.iter().map(|listing| Some(listing.name)).collect::<StringArray>()) as _, false),
        ("kind", Arc::new(listings.iter().map(|listing| Some(kind(listing))).collect::<StringArray>()) as _, false),
        ("rows", Arc::new(listings.iter().map(|listing| listing.rows).collect::<UInt64Array>()) as _, true),
        (size.0, size.1, true),
        (
            "comment",
            Arc::new(listings.iter().map(|listing| Some(listing.comment)).collect::<StringArray>()) as _,
            false,
        ),
    ])
}

/// Columns of a table or view: name, type, whether it may be null, what it means.
pub fn describe(listing: &TableListing) -> Result<RecordBatch, ArrowError> {
    let columns = &listing.columns;
    let text = |of: fn(&lake::ColumnListing) -> &str| {
        Arc::new(columns.iter().map(|column| Some(of(column))).collect::<StringArray>()) as _
    };
    let nullable: BooleanArray = columns.iter().map(|column| Some(column.nullable)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("column", text(|column| &column.name), false),
        ("type", text(|column| &column.data_type), false),
        ("nullable", Arc::new(nullable) as _, false),
        ("comment", text(|column| &column.comment), false),
    ])
}

/// Bytes in the largest unit of which there is at least one, rounded down to a tenth.
fn readable(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_sql_and_from_mistakes() {
        assert!(Command::parse("SELECT 1").is_none());
        assert_eq!(Command::parse("\\d"), Some(Ok(Command::List)));
        assert_eq!(Command::parse("\\d  Payments "), Some(Ok(Command::Describe("payments".into()))));
        assert_eq!(Command::parse("\\d \"Payments\""), Some(Ok(Command::Describe("Payments".into()))));
        assert_eq!(Command::parse("\\?"), Some(Ok(Command::Help)));
        assert_eq!(Command::parse("\\q"), Some(Ok(Command::Quit)));
        for mistake in ["\\", "\\x", "\\d a b", "\\dt", "\\q now"] {
            assert!(Command::parse(mistake).unwrap().is_err(), "{mistake}");
        }
    }

    #[test]
    fn sizes_are_readable() {
        let sizes = [0, 1_023, 1_024, 1_587, 5_452_596, 1 << 31].map(readable);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.2 MiB", "2.0 GiB"]);
        assert_eq!(readable(u64::MAX), "17179869183.9 GiB");
    }
}
