//! What one partition remembers: clocks, payments, ledger and alert groups are saved; every index is rebuilt from them.
//!
//! Bounds: payments by the policy's `payments_max`, accounts by [`crate::in_force::ACCOUNTS_MAX`], origins by `u16`,
//! alert groups by [`crate::alerts::GROUPS_MAX`]; an index has at most one entry a payment.

mod indexes;
mod saved;

use std::collections::BTreeMap;

use schemas::ids::{CardToken, ContentHash, PaymentId};
use schemas::reasons::Reason;

use crate::alerts::Groups;
use crate::error::Error;
use crate::in_force::{DAY_US, InForce, Rules};
use crate::ledger::{Amounts, Ledger};
use crate::machine::{State, Transition};
use crate::payment::{Core, Payment, Standing};
use indexes::{Indexes, Recent};

/// The state of one partition.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Hash of the bundle in force.
    pub(crate) bundle: Option<ContentHash>,
    /// Alerts that belong together.
    pub(crate) groups: Groups,
    clocks: BTreeMap<u16, i64>,
    payments: BTreeMap<PaymentId, Payment>,
    ledger: Ledger,
    indexes: Indexes,
}

impl Memory {
    /// The embedded issuer's ledger.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Brings a bundle into force: opens the accounts that are new.
    pub(crate) fn accept(&mut self, in_force: &InForce) -> Result<(), Error> {
        for (token, card) in &in_force.cards {
            self.ledger.open(*token, card.currency, card.opening_minor);
        }
        self.bundle = Some(in_force.hash);
        if self.ledger.len() > crate::in_force::ACCOUNTS_MAX {
            let reason = format!("with earlier bundles there would be {} accounts in state", self.ledger.len());
            return Err(Error::NotLoadable { what: format!("bundle {}", in_force.hash_text), reason });
        }
        Ok(())
    }

    /// Number of payments in state.
    pub(crate) fn payments_len(&self) -> usize {
        self.payments.len()
    }

    /// A payment, unless a record received at this time comes too late for it.
    pub(crate) fn payment_at(&self, id: PaymentId, at_us: i64, rules: &Rules) -> Option<&Payment> {
        self.payments.get(&id).filter(|payment| !payment.core.expired(at_us, rules))
    }

    /// Where a payment stands that is still in state.
    pub(crate) fn state_of(&self, id: PaymentId) -> Option<State> {
        self.payments.get(&id).map(|payment| payment.core.state)
    }

    /// The answer that stands about a payment that is still in state; none for an approval.
    pub(crate) fn standing_of(&self, id: PaymentId) -> Option<Reason> {
        self.payments.get(&id).and_then(|payment| payment.core.standing.reason())
    }

    /// Moves the clock of an origin and returns it: the largest `received_at` or tick seen from there.
    pub(crate) fn advance(&mut self, origin: u16, received_at_us: i64) -> i64 {
        let clock_us = self.clocks.entry(origin).or_insert(received_at_us);
        *clock_us = received_at_us.max(*clock_us);
        *clock_us
    }

    /// The first payment of an origin whose deadline lies at or before this time.
    pub(crate) fn next_due(&self, origin: u16, by_us: i64) -> Option<(i64, PaymentId)> {
        self.indexes.timers.get(&origin)?.first().copied().filter(|(deadline_us, _)| *deadline_us <= by_us)
    }

    /// Remembers a payment that was just decided. An approved one holds its amount and starts its timer.
    pub(crate) fn insert(&mut self, id: PaymentId, payment: Payment) -> Result<(), Error> {
        let core = payment.core;
        self.indexes.add(id, &payment);
        self.payments.insert(id, payment);
        self.book(&core, core.amounts(), core.amounts())
    }

    /// Takes an edge of the state machine and moves the money with it; returns what moved on the card and the payment
    /// after it.
    pub(crate) fn apply(
        &mut self,
        id: PaymentId,
        transition: Transition,
        part_minor: i64,
        standing: Standing,
    ) -> Result<(Amounts, &Payment), Error> {
        let payment = self.payments.get_mut(&id).ok_or_else(unknown_payment)?;
        let before = payment.core;
        let change = before.change_by(transition.effect, part_minor);
        payment.core.take(transition, part_minor);
        payment.core.standing = standing;
        let after = payment.core;
        if before.state.holds() && !after.state.holds() {
            self.indexes.stop_timer(id, payment);
        }
        self.book(&after, change, after.amounts() - before.amounts())?;
        Ok((change, self.payments.get(&id).ok_or_else(unknown_payment)?))
    }

    /// Books both sides, each by its own count, and compares them.
    fn book(&mut self, core: &Core, account_change: Amounts, payment_change: Amounts) -> Result<(), Error> {
        if account_change == Amounts::default() && payment_change == Amounts::default() {
            return Ok(());
        }
        let (Some(token), Some(currency)) = (core.token, core.currency) else {
            return Err(Error::Invariant {
                name: crate::ledger::MONEY,
                found: "a payment without card or currency moves money".into(),
            });
        };
        self.ledger.book(token, account_change)?;
        self.ledger.payment_changed(currency, payment_change)?;
        self.ledger.check(currency)
    }

    /// Sets the signature's deadline when the phone is first known to have the answer of a payment that holds money.
    pub(crate) fn set_deadline(&mut self, id: PaymentId, deadline_us: i64) -> Result<(), Error> {
        let payment = self.payments.get_mut(&id).ok_or_else(unknown_payment)?;
        if let Some(detail) = payment.detail.as_deref_mut()
            && payment.core.state.holds()
            && !detail.answered
        {
            let timers = self.indexes.timers.entry(payment.core.origin).or_default();
            timers.remove(&(detail.deadline_us, id));
            timers.insert((deadline_us, id));
            detail.deadline_us = deadline_us;
            detail.answered = true;
        }
        Ok(())
    }

    /// Notes that a payment alerted, by the bit of the reason; false if it had.
    pub(crate) fn mark_alerted(&mut self, id: PaymentId, bit: u8) -> bool {
        let Some(payment) = self.payments.get_mut(&id) else { return true };
        let is_first = payment.core.alerted & bit == 0;
        payment.core.alerted |= bit;
        is_first
    }

    /// When another payment of the card showed this KSN, microseconds UTC: the newest that is still remembered.
    pub(crate) fn ksn_shown_at(&self, ksn: u64, not: Option<PaymentId>, at_us: i64, rules: &Rules) -> Option<i64> {
        let first = (ksn, i64::MIN, PaymentId([0; 14]));
        let last = (ksn, i64::MAX, PaymentId([u8::MAX; 14]));
        let mut shown = self.indexes.ksns.range(first..=last).rev();
        let other = shown.find(|(_, _, id)| Some(*id) != not && self.payment_at(*id, at_us, rules).is_some())?;
        Some(other.1)
    }

    /// Sum (minor units) and number of the card's approved payments in the 24 hours that end at this time, that time
    /// included. Reversed ones count: they were approved.
    pub(crate) fn day_of_card(&self, token: CardToken, at_us: i64) -> (i64, u32) {
        self.recent_in(token, at_us - DAY_US + 1, at_us)
            .fold((0, 0), |(sum, count), recent| (recent.amount_minor.saturating_add(sum), count + 1))
    }

    /// The nearest approved payment of the same card, merchant and amount within the policy's `duplicate_s` on either
    /// side that was not taken back: its `received_at`.
    pub(crate) fn lookalike_at(
        &self,
        token: CardToken,
        merchant_hash: u64,
        amount_minor: i64,
        at_us: i64,
        rules: &Rules,
    ) -> Option<i64> {
        self.recent_in(token, at_us - rules.duplicate_us, at_us + rules.duplicate_us)
            .filter(|other| other.merchant_hash == merchant_hash && other.amount_minor == amount_minor)
            .filter(|other| self.payments.get(&other.id).is_some_and(|payment| payment.core.state != State::Reversed))
            .map(|other| other.received_at_us)
            .min_by_key(|other_us| (at_us - other_us).abs())
    }

    fn recent_in(&self, token: CardToken, from_us: i64, to_us: i64) -> impl Iterator<Item = &Recent> {
        let recent = self.indexes.recent.get(&token).map_or(&[][..], Vec::as_slice);
        let start = recent.partition_point(|payment| payment.received_at_us < from_us);
        recent[start..].iter().take_while(move |payment| payment.received_at_us <= to_us)
    }

    /// Frees what no record can ask for any more, by the least of the clocks and with the timers' grace, since gateways
    /// differ by seconds. Oldest first.
    pub(crate) fn forget(&mut self, rules: &Rules) {
        let Some(least_us) = self.clocks.values().min().map(|least_us| least_us - rules.timer_grace_us) else { return };
        while let Some((received_at_us, id)) = self.indexes.settled.first().copied()
            && received_at_us + rules.full_record_us() < least_us
        {
            self.indexes.settled.pop_first();
            self.indexes.compact.insert((received_at_us, id));
            if let Some(payment) = self.payments.get_mut(&id) {
                payment.detail = None;
                self.indexes.leave_windows(id, &payment.core);
            }
        }
        while let Some((received_at_us, id)) = self.indexes.compact.first().copied()
            && received_at_us + rules.payment_kept_us < least_us
        {
            self.remove(id);
        }
        self.groups.forget(least_us);
    }

    /// Forgets a payment that a swipe of the same identity, received at this time, no longer finds.
    pub(crate) fn make_room(&mut self, id: PaymentId, at_us: i64, rules: &Rules) {
        if self.payments.get(&id).is_some_and(|payment| payment.core.expired(at_us, rules)) {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: PaymentId) {
        let Some(payment) = self.payments.remove(&id) else { return };
        self.indexes.remove(id, &payment.core);
        if let Some(currency) = payment.core.currency {
            self.ledger.forget(currency, payment.core.captured_minor);
        }
    }

    /// Whether every index is as another state's.
    #[cfg(test)]
    pub(crate) fn has_indexes_of(&self, other: &Self) -> bool {
        self.indexes == other.indexes
    }
}

/// Callers look a payment up before they change it.
fn unknown_payment() -> Error {
    Error::Invariant { name: "a swipe is decided once", found: "a step of a payment that is not remembered".into() }
}
