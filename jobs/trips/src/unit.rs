//! The unit: one fold over the pings log of a partition, and the part of it that the lake reads by itself.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;
use schemas::unit::{BundleSource, Control, ControlChange, Destination, Input, Output, OutputSpec, Unit, UnitError};
use schemas::{movement, tables, topics};

use crate::fix::{Columns, Verdict};
use crate::operator::Operator;
use crate::rows::{Cause, PING_FAULTS, Rows, STOPS, TRIPS, VEHICLES};

/// Name under which the unit appears in app ids, snapshots, refusals and dead letters.
const UNIT: &str = "trips";
/// Raised whenever the same log would give other rows or another state.
const LOGIC_VERSION: u32 = 3;
const PINGS: &str = "pings";
const PING_TICKS: &str = "ping_ticks";
const DEAD_LETTERS: &str = "dead_letters";

/// The devices of one partition of the pings log.
#[derive(Debug, Default)]
pub struct TripsUnit {
    operator: Operator,
}

/// The pings log without its devices: the fixes as they came, its ticks, and what is neither. The lake reads a broker's topic with it,
/// where [`TripsUnit`] fills the topics of trips and stops; it remembers nothing.
#[derive(Debug, Default)]
pub struct FixesUnit {}

/// A row that is no fix.
struct Letter {
    row: usize,
    reason: &'static str,
    detail: &'static str,
}

/// Rows of a batch by what they are.
#[derive(Default)]
struct Sorted {
    fixes: Vec<usize>,
    ticks: Vec<usize>,
    letters: Vec<Letter>,
}

impl Sorted {
    /// What the rows are; hands each fix and tick to the operator, where there is one.
    fn of(columns: &Columns<'_>, mut on: impl FnMut(usize, Verdict)) -> Self {
        let mut sorted = Self::default();
        for row in 0..columns.kind.len() {
            let verdict = columns.judge(row);
            match verdict {
                Verdict::Fix => sorted.fixes.push(row),
                Verdict::Tick => sorted.ticks.push(row),
                Verdict::NoFix(reason, detail) => sorted.letters.push(Letter { row, reason, detail }),
            }
            on(row, verdict);
        }
        sorted
    }

    /// The fixes, the ticks that say a time, and the dead letters as outputs.
    fn write(&self, input: &Input, columns: &Columns<'_>, outputs: &mut Vec<Output>) -> Result<(), ArrowError> {
        if !self.fixes.is_empty() {
            let rows = ping_rows(columns, &self.fixes)?;
            outputs.push(Output { name: PINGS, offsets: offsets(input, self.fixes.iter().copied()), rows });
        }
        let timed = |row: &usize| columns.received_us(*row).map(|time_us| (input.offsets[*row], time_us));
        let (offsets_of_ticks, times): (Vec<i64>, Vec<i64>) = self.ticks.iter().filter_map(timed).unzip();
        if !times.is_empty() {
            let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"));
            let rows = RecordBatch::try_new(tables::ping_tick_rows(), vec![times.clone(), times])?;
            outputs.push(Output { name: PING_TICKS, offsets: offsets_of_ticks, rows });
        }
        if !self.letters.is_empty() {
            let rows = letter_rows(columns, &self.letters)?;
            let offsets = offsets(input, self.letters.iter().map(|letter| letter.row));
            outputs.push(Output { name: DEAD_LETTERS, offsets, rows });
        }
        Ok(())
    }
}

impl TripsUnit {
    /// A unit that has read nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn fold(&mut self, input: &Input, outputs: &mut Vec<Output>) -> Result<(), String> {
        let columns = Columns::of(&input.rows)?;
        let mut rows = Rows::default();
        let operator = &mut self.operator;
        let sorted = Sorted::of(&columns, |row, verdict| {
            let cause = Cause { offset: input.offsets[row], received_us: columns.received_us(row) };
            let mut say = |device_id: &str, said| rows.push(cause, device_id, said);
            match (verdict, cause.received_us) {
                (Verdict::Fix, _) => operator.take(columns.device_id.value(row), columns.sighting(row), &mut say),
                (Verdict::Tick, Some(received_us)) => operator.pass(received_us, &mut say),
                (Verdict::Tick, None) | (Verdict::NoFix(..), _) => {}
            }
        });
        let failed = |error: ArrowError| error.to_string();
        sorted.write(input, &columns, outputs).map_err(failed)?;
        outputs.extend(rows.finish().map_err(failed)?);
        Ok(())
    }
}

impl FixesUnit {
    fn fold(input: &Input, outputs: &mut Vec<Output>) -> Result<(), String> {
        let columns = Columns::of(&input.rows)?;
        let sorted = Sorted::of(&columns, |_, _| {});
        sorted.write(input, &columns, outputs).map_err(|error| error.to_string())
    }
}

fn offsets(input: &Input, rows: impl Iterator<Item = usize>) -> Vec<i64> {
    rows.map(|row| input.offsets[row]).collect()
}

/// The fixes as they came, column by column.
fn ping_rows(columns: &Columns<'_>, fixes: &[usize]) -> Result<RecordBatch, ArrowError> {
    let kept: [&dyn Array; 9] = [
        columns.device_id,
        columns.time,
        columns.lat,
        columns.lon,
        columns.accuracy_m,
        columns.speed_mps,
        columns.bearing_deg,
        columns.hired,
        columns.received_at,
    ];
    let picked: Result<Vec<ArrayRef>, ArrowError> = if fixes.len() == columns.kind.len() {
        Ok(kept.into_iter().map(|column| column.slice(0, fixes.len())).collect())
    } else {
        // A batch has far fewer rows than 32 bits can count.
        let positions: UInt32Array = fixes.iter().map(|row| u32::try_from(*row).unwrap_or(u32::MAX)).collect();
        kept.into_iter().map(|column| take(column, &positions, None)).collect()
    };
    RecordBatch::try_new(tables::ping_rows(), picked?)
}

fn letter_rows(columns: &Columns<'_>, letters: &[Letter]) -> Result<RecordBatch, ArrowError> {
    let received: TimestampMicrosecondArray = letters.iter().map(|letter| columns.received_us(letter.row)).collect();
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

fn table(name: &'static str, schema: arrow::datatypes::SchemaRef) -> OutputSpec {
    OutputSpec { name, schema, destination: Destination::Table }
}

fn fix_tables() -> Vec<OutputSpec> {
    vec![
        table(PINGS, tables::ping_rows()),
        table(PING_TICKS, tables::ping_tick_rows()),
        table(DEAD_LETTERS, topics::dead_letters()),
    ]
}

/// Nothing comes into force here.
fn refuse(control: &Control) -> Result<(), UnitError> {
    let what = match &control.change {
        ControlChange::Bundle { hash, .. } => format!("bundle {}", hash.to_hex()),
        ControlChange::Rules { hash, .. } => format!("rules {}", hash.to_hex()),
        ControlChange::Key { kind, id, .. } => format!("{kind} {id}"),
    };
    let reason = "trips has no use for it; address the control record to decode or authorize".to_string();
    Err(UnitError::NotLoadable { unit: UNIT, what, reason })
}

impl Unit for TripsUnit {
    fn name(&self) -> &'static str {
        UNIT
    }

    fn logic_version(&self) -> u32 {
        LOGIC_VERSION
    }

    fn outputs(&self) -> Vec<OutputSpec> {
        let said = [
            table(PING_FAULTS, movement::ping_faults()),
            table(STOPS, movement::stops()),
            table(TRIPS, movement::trips()),
            table(VEHICLES, movement::vehicles()),
        ];
        fix_tables().into_iter().chain(said).collect()
    }

    fn process(&mut self, input: &Input, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        self.fold(input, outputs).map_err(|reason| UnitError::Internal { unit: UNIT, reason })
    }

    fn control(&mut self, control: &Control, _outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        refuse(control)
    }

    fn save(&self) -> Result<Vec<u8>, UnitError> {
        self.operator.save().map_err(|error| UnitError::Internal { unit: UNIT, reason: error.to_string() })
    }

    fn restore(&mut self, state: &[u8], _bundles: &dyn BundleSource) -> Result<(), UnitError> {
        let failed = |error: postcard::Error| UnitError::Snapshot { unit: UNIT, reason: error.to_string() };
        self.operator = Operator::restore(state).map_err(failed)?;
        Ok(())
    }
}

impl Unit for FixesUnit {
    fn name(&self) -> &'static str {
        UNIT
    }

    fn logic_version(&self) -> u32 {
        LOGIC_VERSION
    }

    fn outputs(&self) -> Vec<OutputSpec> {
        fix_tables()
    }

    fn process(&mut self, input: &Input, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        Self::fold(input, outputs).map_err(|reason| UnitError::Internal { unit: UNIT, reason })
    }

    fn control(&mut self, control: &Control, _outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        refuse(control)
    }

    fn save(&self) -> Result<Vec<u8>, UnitError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, state: &[u8], _bundles: &dyn BundleSource) -> Result<(), UnitError> {
        if state.is_empty() {
            return Ok(());
        }
        let reason = format!("it has {} bytes where there is no state", state.len());
        Err(UnitError::Snapshot { unit: UNIT, reason })
    }
}

#[cfg(test)]
mod tests;
