//! The unit: one fold over the transactions log of a partition.
//!
//! Choices that no format prescribes, and where they live: what counts for a merchant's day in `days`; how long and by
//! whose time swipes are remembered in `memory`; which readers move a counter in `checks`. Besides:
//!
//! * A swipe's courier is the one whom the record names; where it names none, the one who carries the reader by the
//!   bundle at `received_at`.
//! * While no token key or no routing key is in force every swipe is refused with `unknown_key_set`, the latter with
//!   route 0. While no bundle is in force merchants and readers are unknown.
//! * A withdraw goes by merchant, reader and STAN alone, whatever payment id it may carry.

use std::sync::Arc;

use schemas::ids::ContentHash;
use schemas::parts;
use schemas::reasons::Reason;
use schemas::unit::{BundleSource, Control, ControlChange, Input, Output, OutputSpec, Unit, UnitError};

use crate::bundle_rows;
use crate::checks::{Against, check};
use crate::columns::{Columns, Kind, Record, Sender};
use crate::error::{UNIT, internal, not_loadable};
use crate::in_force::InForce;
use crate::keys::KeyRing;
use crate::memory::{Standing, SwipeKey};
use crate::rows::{self, Found, Rows};
use crate::state::State;
use crate::windows::MerchantWindows;

/// Raised whenever the same log would give other rows or another state.
const LOGIC_VERSION: u32 = 2;

/// The merchant's side of one partition of the transactions log.
pub struct DecodeUnit {
    ring: Arc<KeyRing>,
    in_force: Option<InForce>,
    windows: Option<Box<dyn MerchantWindows>>,
    state: State,
}

impl DecodeUnit {
    /// A unit that has read nothing. Which keys of the ring are in force is said by control records.
    pub fn new(ring: impl Into<Arc<KeyRing>>) -> Self {
        Self { ring: ring.into(), in_force: None, windows: None, state: State::default() }
    }

    /// The same with windows of the merchant's side.
    pub fn with_windows(mut self, windows: Box<dyn MerchantWindows>) -> Self {
        self.windows = Some(windows);
        self
    }

    fn record(&mut self, record: &Record<'_>, rows: &mut Rows) {
        match (record.kind, record.sender) {
            (Kind::Swipe, Some(sender)) => self.swipe(record, &sender, rows),
            (Kind::Withdraw, Some(sender)) => self.withdraw(record, &sender, rows),
            (Kind::Tick, _) => rows.other(record, &Found::default()),
            _ => rows.other(record, &self.found(record)),
        }
    }

    /// Checks a swipe once. The same swipe again gets the same row, and nothing moves.
    fn swipe(&mut self, record: &Record<'_>, sender: &Sender<'_>, rows: &mut Rows) {
        let Self { ring, in_force, state: State { keys, guards, days, memory, .. }, .. } = self;
        let key = SwipeKey::of(record, sender);
        let mut findings = record.findings;
        match memory.standing(key, record.received_at_us) {
            Standing::Repeat(seen) => return rows.swipe(record, true, &seen),
            Standing::StanUsed => findings.insert(Reason::DuplicateStan),
            Standing::Withdrawn => findings.insert(Reason::WithdrawnBeforeArrival),
            Standing::New => {}
        }
        findings.insert_if(memory.is_full(), Reason::CapacityReached);
        let against = Against { ring, keys, in_force: in_force.as_ref() };
        let seen = check(record, sender, findings, against, guards, days);
        rows.swipe(record, false, &seen);
        if !memory.is_full() {
            memory.remember(key, record.received_at_us, &seen);
        }
    }

    /// Names the payment that a withdraw takes back; where there is none yet, its swipe will be refused.
    fn withdraw(&mut self, record: &Record<'_>, sender: &Sender<'_>, rows: &mut Rows) {
        let memory = &mut self.state.memory;
        let payment_id = memory.withdrawn(record, sender);
        let is_lost = payment_id.is_none() && memory.is_full();
        if payment_id.is_none() && !is_lost {
            memory.remember_withdraw(record, sender);
        }
        let mut found = Found { payment_id, ..self.found(record) };
        found.findings.insert_if(is_lost, Reason::CapacityReached);
        rows.other(record, &found);
    }

    /// What a later record's row says beside the record's own columns.
    fn found<'a>(&'a self, record: &Record<'a>) -> Found<'a> {
        let in_force = self.in_force.as_ref();
        let merchant = record.merchant_id.and_then(|id| in_force?.merchant(id));
        Found {
            payment_id: record.payment_id,
            courier_id: record.courier_id,
            mcc: merchant.map(|(merchant, _)| merchant.mcc.as_str()),
            findings: record.findings,
            decode_bundle: in_force.map(|in_force| in_force.hash_text.as_str()),
        }
    }
}

impl std::fmt::Debug for DecodeUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DecodeUnit").field("ring", &self.ring).field("in_force", &self.in_force).finish_non_exhaustive()
    }
}

impl Unit for DecodeUnit {
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
        let columns = Columns::of(&input.rows)?;
        let mut rows = Rows::default();
        for (row, offset) in input.offsets.iter().enumerate() {
            rows.at(*offset);
            let received_at_us = columns.received_at_us(row);
            received_at_us.into_iter().for_each(|received_at_us| self.state.memory.forget(received_at_us));
            match columns.record(row) {
                Ok(record) => self.record(&record, &mut rows),
                Err(why) => rows.dead_letter(&why, received_at_us),
            }
        }
        rows.finish(input.partition, self.windows.as_deref_mut(), outputs)
    }

    fn control(&mut self, control: &Control, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        match &control.change {
            ControlChange::Bundle { hash, content } => {
                let in_force = InForce::read(*hash, content)?;
                bundle_rows::write(&in_force, control, outputs)?;
                self.state.days.keep_merchants_of(&in_force);
                self.state.memory.tidy_names();
                self.state.bundle = Some(*hash);
                self.in_force = Some(in_force);
            }
            ControlChange::Rules { hash, content } => {
                let fail = |reason| not_loadable(format!("rules {}", hash.to_hex()), reason);
                let windows = self.windows.as_mut();
                let windows = windows.ok_or_else(|| fail("this program was built without windows".to_string()))?;
                windows.accept(*hash, content, control.received_at_us).map_err(fail)?;
            }
            ControlChange::Key { kind, id, check_value } => {
                self.state.keys.accept(&self.ring, kind, id, check_value)?;
            }
        }
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>, UnitError> {
        let windows = self.windows.as_ref().map_or(Ok(Vec::new()), |windows| windows.save()).map_err(internal)?;
        Ok(parts::joined(self.state.save()?, &windows))
    }

    fn restore(&mut self, state: &[u8], bundles: &dyn BundleSource) -> Result<(), UnitError> {
        let (state, windows) = parts::parted(state);
        let state = State::restore(state)?;
        state.keys.check(&self.ring)?;
        let read = |hash: ContentHash| {
            let fail = |reason| not_loadable(format!("bundle {}", hash.to_hex()), reason);
            InForce::read(hash, &bundles.checked(hash).map_err(fail)?)
        };
        self.in_force = state.bundle.map(read).transpose()?;
        if let Some(own) = &mut self.windows {
            own.restore(windows, bundles).map_err(|reason| not_loadable("the rules in force", reason))?;
        }
        self.state = state;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
