//! The tables of merchants, readers and couriers from the control records alone, for whoever fills them beside decode.

use schemas::tables;
use schemas::unit::{BundleSource, Control, ControlChange, Destination, Input, Output, OutputSpec, Unit, UnitError};

use crate::bundle_rows::{self, COURIERS, MERCHANTS, READERS};
use crate::error::{UNIT, internal};
use crate::in_force::InForce;

const LOGIC_VERSION: u32 = 1;

/// Writes the rows of each bundle that a control record brings into force. It keeps no state and needs no keys. It
/// bears decode's name, since the records that it reads are addressed to decode.
#[derive(Debug, Default)]
pub struct CatalogUnit {}

impl Unit for CatalogUnit {
    fn name(&self) -> &'static str {
        UNIT
    }

    fn logic_version(&self) -> u32 {
        LOGIC_VERSION
    }

    fn outputs(&self) -> Vec<OutputSpec> {
        let table = |name, schema| OutputSpec { name, schema, destination: Destination::Table };
        vec![
            table(MERCHANTS, tables::merchant_rows()),
            table(READERS, tables::reader_rows()),
            table(COURIERS, tables::courier_rows()),
        ]
    }

    /// There is nothing but control records on its topic, and those come another way.
    fn process(&mut self, _input: &Input, _outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        Ok(())
    }

    fn control(&mut self, control: &Control, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        match &control.change {
            ControlChange::Bundle { hash, content } => {
                bundle_rows::write(&InForce::read(*hash, content)?, control, outputs)
            }
            ControlChange::Rules { .. } | ControlChange::Key { .. } => Ok(()),
        }
    }

    fn save(&self) -> Result<Vec<u8>, UnitError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, state: &[u8], _bundles: &dyn BundleSource) -> Result<(), UnitError> {
        if state.is_empty() { Ok(()) } else { Err(internal("the catalog has no state to restore".to_string())) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::Offset;
    use schemas::ids::ContentHash;

    use super::*;
    use crate::DecodeUnit;
    use crate::keys::KeyRing;

    /// Fails when the two units stop writing the same rows for the same bundle.
    #[test]
    fn its_rows_are_those_of_decode() {
        let content = br#"{"merchants":[{"id":"m","name":"M","trade":"cafe","mcc":"5814","zone":"UTC","currency":"EUR",
            "active":true,"payment_minor_max":1,"day_minor_max":1,"day_count_max":1}],
            "readers":[{"id":"r","merchant_id":"m","key_set":"k","active":true,"counter_min":0}],
            "assignments":[],"placeholder_names":[],"decline_unknown_name":true,"number_ranges":[]}"#;
        let change = ControlChange::Bundle { hash: ContentHash::of(content), content: content.to_vec() };
        let control = Control { offset: Offset(3), received_at_us: 5, change };
        let (mut by_decode, mut by_catalog) = (Vec::new(), Vec::new());
        DecodeUnit::new(Arc::new(KeyRing::published())).control(&control, &mut by_decode).unwrap();
        CatalogUnit::default().control(&control, &mut by_catalog).unwrap();
        assert_eq!(format!("{by_decode:?}"), format!("{by_catalog:?}"));
        assert_eq!(by_catalog.len(), 2);
    }
}
