//! The unit: one fold over the payments log of a partition.

use std::collections::BTreeMap;

use schemas::ids::ContentHash;
use schemas::money::Currency;
use schemas::parts;
use schemas::unit::{BundleSource, Control, ControlChange, Input, Output, OutputSpec, Unit, UnitError};

use crate::columns::{Columns, Kind, Record};
use crate::error::{Error, UNIT};
use crate::in_force::{InForce, Rules};
use crate::ledger::Totals;
use crate::memory::Memory;
use crate::rows::{self, Rows};
use crate::scorer::Scorer;

/// Raised whenever the same log would give other rows or another state.
const LOGIC_VERSION: u32 = 3;

/// The card's side of one partition of the payments log.
#[derive(Default)]
pub struct AuthorizeUnit {
    pub(crate) in_force: Option<InForce>,
    pub(crate) memory: Memory,
    scorer: Option<Box<dyn Scorer>>,
}

impl AuthorizeUnit {
    /// A unit that has read nothing. Until a bundle comes into force it declines every swipe with `no_account`.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a scorer of payments.
    pub fn with_scorer(mut self, scorer: Box<dyn Scorer>) -> Self {
        self.scorer = Some(scorer);
        self
    }

    /// Money of the embedded issuer's accounts by currency, minor units: opening = held + captured + available.
    pub fn totals(&self) -> BTreeMap<Currency, Totals> {
        self.memory.ledger().totals()
    }

    /// Timers and limits in force.
    pub(crate) fn rules(&self) -> Rules {
        self.in_force.as_ref().map_or_else(Rules::default, |in_force| in_force.rules)
    }

    /// Lets time pass up to a record: timers of its origin fire, in order of deadline and payment, and what nobody can
    /// ask for any more is forgotten.
    fn pass_time(&mut self, record: &Record<'_>, rows: &mut Rows) -> Result<(), Error> {
        let rules = self.rules();
        let clock_us = self.memory.advance(record.origin, record.received_at_us);
        while let Some((deadline_us, id)) = self.memory.next_due(record.origin, clock_us - rules.timer_grace_us) {
            self.time_out(id, deadline_us, record, rows)?;
        }
        self.memory.forget(&rules);
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>, rows: &mut Rows) -> Result<(), Error> {
        self.pass_time(record, rows)?;
        match record.kind {
            Kind::Tick => Ok(()),
            Kind::Swipe if record.repeat => {
                self.repeat(record, rows);
                Ok(())
            }
            Kind::Swipe => self.swipe(record, rows),
            _ => self.later(record, rows),
        }
    }

    fn fold(&mut self, input: &Input, outputs: &mut Vec<Output>) -> Result<(), Error> {
        let columns = Columns::of(&input.rows)?;
        // Rows are judged before the first of them is decided: no decision enters a judgement.
        let judgements = self.scorer.as_mut().map_or(Ok(Vec::new()), |scorer| scorer.judge(&input.rows));
        let judgements = judgements.map_err(|reason| Error::Scorer { reason })?;
        let rules_bundle = self.scorer.as_ref().and_then(|scorer| scorer.bundle()).map(ContentHash::to_hex);
        let authorize_bundle = self.in_force.as_ref().map(|in_force| in_force.hash_text.clone());
        let mut rows = Rows::new(authorize_bundle, rules_bundle);
        for (row, offset) in input.offsets.iter().enumerate() {
            rows.at(*offset);
            match columns.record(row) {
                Ok(record) => {
                    let judgement = judgements.get(row).and_then(Option::as_ref);
                    self.record(&Record { judgement, ..record }, &mut rows)?;
                }
                Err(why) => rows.dead_letter(why, columns.event_time_us(row), columns.ingest_time_us(row)),
            }
        }
        rows.finish(outputs)
    }
}

impl std::fmt::Debug for AuthorizeUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizeUnit").field("memory", &self.memory).finish_non_exhaustive()
    }
}

impl Unit for AuthorizeUnit {
    fn name(&self) -> &'static str {
        UNIT
    }

    fn logic_version(&self) -> u32 {
        LOGIC_VERSION
    }

    fn outputs(&self) -> Vec<OutputSpec> {
        rows::outputs()
    }

    fn process(&mut self, input: &Input, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        Ok(self.fold(input, outputs)?)
    }

    fn control(&mut self, control: &Control, _outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        match &control.change {
            ControlChange::Bundle { hash, content } => {
                let in_force = InForce::read(*hash, content)?;
                self.memory.accept(&in_force)?;
                self.in_force = Some(in_force);
                Ok(())
            }
            ControlChange::Rules { hash, content } => {
                let fail = |reason| Error::NotLoadable { what: format!("rules {}", hash.to_hex()), reason };
                let scorer = self.scorer.as_mut();
                let scorer = scorer.ok_or_else(|| fail("this program was built without a scorer".to_string()))?;
                Ok(scorer.accept(*hash, content, control.received_at_us).map_err(fail)?)
            }
            ControlChange::Key { kind, id, .. } => {
                let reason =
                    "authorize sees tokens and has no use for keys; address the control record to decode".into();
                Err(Error::NotLoadable { what: format!("{kind} {id}"), reason }.into())
            }
        }
    }

    fn save(&self) -> Result<Vec<u8>, UnitError> {
        let scorer = self.scorer.as_ref().map_or(Ok(Vec::new()), |scorer| scorer.save());
        Ok(parts::joined(self.memory.save()?, &scorer.map_err(|reason| Error::Scorer { reason })?))
    }

    fn restore(&mut self, state: &[u8], bundles: &dyn BundleSource) -> Result<(), UnitError> {
        let (memory, scorer_state) = parts::parted(state);
        let memory = Memory::restore(memory)?;
        let in_force = memory
            .bundle
            .map(|hash| {
                let content = bundles
                    .bundle(hash)
                    .map_err(|reason| Error::NotLoadable { what: format!("bundle {}", hash.to_hex()), reason })?;
                InForce::read(hash, &content)
            })
            .transpose()?;
        if let Some(scorer) = &mut self.scorer {
            let fail = |reason| Error::NotLoadable { what: "the rules in force".to_string(), reason };
            scorer.restore(scorer_state, bundles).map_err(fail)?;
        }
        (self.in_force, self.memory) = (in_force, memory);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
