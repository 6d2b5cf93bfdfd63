//! Units that put a topic's rows into the table of the same name as they are.

use arrow::array::{Array, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use schemas::movement;
use schemas::topics::{self, kind};
use schemas::unit::{BundleSource, Control, Destination, Input, Output, OutputSpec, Unit, UnitError};

use super::route::{text, texts};

/// Name of the lake's unit.
pub(crate) const LAKE: &str = "lake";
const LOGIC_VERSION: u32 = 1;

/// The unit of a topic whose rows are those of the table of its name: decisions, alerts, labels, dead_letters, what trips
/// says, and payments without the ticks and control records on the topic. `None` for other topics.
pub fn pass_through(topic: &str) -> Option<Box<dyn Unit>> {
    let (table, schema) = match topic {
        "decisions" => ("decisions", topics::decisions()),
        "alerts" => ("alerts", topics::alerts()),
        "labels" => ("labels", topics::labels()),
        "payments" => ("payments", topics::payments()),
        "trips" => ("trips", movement::trips()),
        "stops" => ("stops", movement::stops()),
        "ping_faults" => ("ping_faults", movement::ping_faults()),
        "vehicles" => ("vehicles", movement::vehicles()),
        // They bring along the place of the record that was refused.
        "dead_letters" => ("dead_letters", topics::dead_letters_topic()),
        _ => return None,
    };
    Some(Box::new(PassThrough { table, schema }))
}

struct PassThrough {
    table: &'static str,
    schema: SchemaRef,
}

impl PassThrough {
    fn internal(reason: impl std::fmt::Display) -> UnitError {
        UnitError::Internal { unit: LAKE, reason: reason.to_string() }
    }
}

impl Unit for PassThrough {
    fn name(&self) -> &'static str {
        LAKE
    }

    fn logic_version(&self) -> u32 {
        LOGIC_VERSION
    }

    fn outputs(&self) -> Vec<OutputSpec> {
        vec![OutputSpec { name: self.table, schema: self.schema.clone(), destination: Destination::Table }]
    }

    fn process(&mut self, input: &Input, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        let indices = self.schema.fields().iter().map(|field| input.rows.schema().index_of(field.name()));
        let indices: Vec<usize> = indices.collect::<Result<_, _>>().map_err(Self::internal)?;
        let mut rows = input.rows.project(&indices).map_err(Self::internal)?;
        let mut offsets = input.offsets.clone();
        if let Some(kinds) = texts(&rows, "kind").filter(|_| self.table == "payments") {
            let stays = |row| !matches!(text(Some(kinds), row), Some(kind::TICK | kind::CONTROL));
            let stays: Vec<bool> = (0..kinds.len()).map(stays).collect();
            let mut stay = stays.iter();
            offsets.retain(|_| stay.next().copied().unwrap_or_default());
            rows = filter_record_batch(&rows, &BooleanArray::from(stays)).map_err(Self::internal)?;
        }
        outputs.push(Output { name: self.table, offsets, rows });
        Ok(())
    }

    fn control(&mut self, _control: &Control, _outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>, UnitError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _state: &[u8], _bundles: &dyn BundleSource) -> Result<(), UnitError> {
        Ok(())
    }
}
