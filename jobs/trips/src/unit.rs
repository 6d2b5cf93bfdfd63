//! The unit: one fold over the pings log of a partition.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;
use schemas::unit::{BundleSource, Control, ControlChange, Destination, Input, Output, OutputSpec, Unit, UnitError};
use schemas::{tables, topics};

use crate::fix::{Columns, Verdict};

/// Name under which the unit appears in app ids, snapshots, refusals and dead letters.
const UNIT: &str = "trips";
/// Raised whenever the same log would give other rows or another state.
const LOGIC_VERSION: u32 = 1;
const PINGS: &str = "pings";
const DEAD_LETTERS: &str = "dead_letters";

/// The devices of one partition of the pings log. It remembers nothing yet: each row speaks for itself.
#[derive(Debug, Default)]
pub struct TripsUnit {}

/// A row that is no fix.
struct Letter {
    row: usize,
    reason: &'static str,
    detail: &'static str,
}

impl TripsUnit {
    /// A unit that has read nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn fold(input: &Input, outputs: &mut Vec<Output>) -> Result<(), String> {
        let columns = Columns::of(&input.rows)?;
        let (mut fixes, mut letters) = (Vec::new(), Vec::new());
        for row in 0..input.rows.num_rows() {
            match columns.judge(row) {
                Verdict::Fix => fixes.push(row),
                Verdict::Tick => {}
                Verdict::NoFix(reason, detail) => letters.push(Letter { row, reason, detail }),
            }
        }
        if !fixes.is_empty() {
            let rows = ping_rows(&columns, &fixes).map_err(|error| error.to_string())?;
            outputs.push(Output { name: PINGS, offsets: offsets(input, fixes.iter().copied()), rows });
        }
        if !letters.is_empty() {
            let rows = letter_rows(&columns, &letters).map_err(|error| error.to_string())?;
            let offsets = offsets(input, letters.iter().map(|letter| letter.row));
            outputs.push(Output { name: DEAD_LETTERS, offsets, rows });
        }
        Ok(())
    }
}

fn offsets(input: &Input, rows: impl Iterator<Item = usize>) -> Vec<i64> {
    rows.map(|row| input.offsets[row]).collect()
}

/// The fixes as they came, column by column.
fn ping_rows(columns: &Columns<'_>, fixes: &[usize]) -> Result<RecordBatch, ArrowError> {
    // A batch has far fewer rows than 32 bits can count.
    let positions: UInt32Array = fixes.iter().map(|row| u32::try_from(*row).unwrap_or(u32::MAX)).collect();
    let columns = vec![
        take(columns.device_id, &positions, None)?,
        take(columns.time, &positions, None)?,
        take(columns.lat, &positions, None)?,
        take(columns.lon, &positions, None)?,
        take(columns.accuracy_m, &positions, None)?,
        take(columns.speed_mps, &positions, None)?,
        take(columns.bearing_deg, &positions, None)?,
        take(columns.hired, &positions, None)?,
        take(columns.received_at, &positions, None)?,
    ];
    RecordBatch::try_new(tables::ping_rows(), columns)
}

fn letter_rows(columns: &Columns<'_>, letters: &[Letter]) -> Result<RecordBatch, ArrowError> {
    let received: TimestampMicrosecondArray =
        letters.iter().map(|letter| columns.printable_received_at(letter.row)).collect();
    let received = Arc::new(received.with_timezone("UTC"));
    RecordBatch::try_new(
        topics::dead_letters(),
        vec![
            Arc::new(StringArray::from_iter_values(letters.iter().map(|_| UNIT))),
            Arc::new(StringArray::from_iter_values(letters.iter().map(|letter| letter.reason))),
            Arc::new(StringArray::from_iter_values(letters.iter().map(|letter| letter.detail))),
            received.clone(),
            received,
        ],
    )
}

impl Unit for TripsUnit {
    fn name(&self) -> &'static str {
        UNIT
    }

    fn logic_version(&self) -> u32 {
        LOGIC_VERSION
    }

    fn outputs(&self) -> Vec<OutputSpec> {
        let table = |name, schema| OutputSpec { name, schema, destination: Destination::Table };
        vec![table(PINGS, tables::ping_rows()), table(DEAD_LETTERS, topics::dead_letters())]
    }

    fn process(&mut self, input: &Input, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        Self::fold(input, outputs).map_err(|reason| UnitError::Internal { unit: UNIT, reason })
    }

    fn control(&mut self, control: &Control, _outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        let what = match &control.change {
            ControlChange::Bundle { hash, .. } => format!("bundle {}", hash.to_hex()),
            ControlChange::Key { kind, id, .. } => format!("{kind} {id}"),
        };
        let reason = "trips has no use for it; address the control record to decode or authorize".to_string();
        Err(UnitError::NotLoadable { unit: UNIT, what, reason })
    }

    fn save(&self) -> Result<Vec<u8>, UnitError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, state: &[u8], _bundles: &dyn BundleSource) -> Result<(), UnitError> {
        if state.is_empty() {
            return Ok(());
        }
        let reason = format!("it has {} bytes where this version has none", state.len());
        Err(UnitError::Snapshot { unit: UNIT, reason })
    }
}

#[cfg(test)]
mod tests;
