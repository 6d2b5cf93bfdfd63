//! Answers as tables for people: numbers to the right, times as RFC 3339, lists as `[a, b]`, nothing for null.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use crate::output;

/// Most rows of a table: it is laid out as a whole, hence held in memory.
pub const TABLE_ROWS_MAX: usize = 10_000;

/// Room that a column needs on the average to be read when its cells are wrapped, in characters.
const WRAPPED_COLUMN_WIDTH_MIN: usize = 16;

/// A table that grows batch by batch.
pub struct TextTable {
    table: Table,
    rows: usize,
}

impl TextTable {
    /// An empty table with the heads of this schema.
    pub fn new(schema: &Schema) -> Self {
        let mut table = output::table([]);
        table.set_header(schema.fields().iter().map(|field| printable(field.name())));
        for (field, column) in schema.fields().iter().zip(table.column_iter_mut()) {
            if is_number(field.data_type()) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self { table, rows: 0 }
    }

    /// Adds rows up to [`TABLE_ROWS_MAX`]; `false` when some found no room.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<bool, ArrowError> {
        let options = FormatOptions::new().with_null("null");
        let columns = batch.columns().iter().map(|column| {
            Ok::<_, ArrowError>((column.logical_nulls(), ArrayFormatter::try_new(column.as_ref(), &options)?))
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let taken = batch.num_rows().min(TABLE_ROWS_MAX - self.rows);
        for row in 0..taken {
            let cells = columns.iter().map(|(nulls, formatter)| match nulls {
                Some(nulls) if nulls.is_null(row) => Cell::new_owned(String::new()),
                _ => Cell::new_owned(printable(&formatter.value(row).to_string())),
            });
            self.table.add_row(cells);
        }
        self.rows += taken;
        Ok(taken == batch.num_rows())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The table as text. Where it is wider than the terminal, cells are wrapped, or with too many columns for that
    /// each value gets a line.
    pub fn text(mut self, width: Option<u16>) -> String {
        let Some(width) = width else {
            return self.table.to_string();
        };
        let widths = self.table.column_max_content_widths();
        // A blank on each side of a cell, and a line between and around cells.
        let needed = widths.iter().map(|width| usize::from(*width) + 3).sum::<usize>() + 1;
        if needed > usize::from(width) {
            if usize::from(width) < WRAPPED_COLUMN_WIDTH_MIN * widths.len() {
                return self.records();
            }
            self.table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        self.table.to_string()
    }

    fn records(&self) -> String {
        let names: Vec<String> =
            self.table.header().into_iter().flat_map(|head| head.cell_iter().map(Cell::content)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        let mut lines = Vec::with_capacity(self.rows * (names.len() + 1));
        for (index, row) in self.table.row_iter().enumerate() {
            lines.push(format!("── row {} ──", index + 1));
            let values = names.iter().zip(row.cell_iter());
            lines
                .extend(values.map(|(name, cell)| format!("{name:width$}  {}", cell.content()).trim_end().to_string()));
        }
        lines.join("\n")
    }
}

fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_number(values),
        other => other.is_numeric(),
    }
}

/// A terminal must not obey what a table says, so control characters other than line ends are spelled out.
pub fn printable(text: &str) -> String {
    let is_obeyed = |sign: char| sign.is_control() && sign != '\n';
    if !text.contains(is_obeyed) {
        return text.to_string();
    }
    let mut spelled = String::with_capacity(text.len() + 8);
    for sign in text.chars() {
        if is_obeyed(sign) { spelled.extend(sign.escape_default()) } else { spelled.push(sign) }
    }
    spelled
}
