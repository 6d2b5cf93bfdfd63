//! What one partition remembers: clocks, payments, ledger and alert groups are saved; every index is rebuilt from them.
//!
//! Bounds: payments by the policy's `payments_max`, accounts by [`crate::in_force::ACCOUNTS_MAX`], origins by `u16`,
//! alert groups by [`crate::alerts::GROUPS_MAX`]; an index has at most one entry a payment.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use schemas::ids::{CardToken, ContentHash, PaymentId};
use schemas::money::Currency;
use schemas::reasons::Reason;
use serde::{Deserialize, Deserializer, Serialize};

use crate::alerts::Groups;
use crate::error::Error;
use crate::in_force::{DAY_US, InForce, Rules};
use crate::ledger::{Amounts, Ledger};
use crate::machine::{State, Transition};
use crate::payment::{Core, Payment, Standing};

/// Layout of the saved bytes, their first value. A reader refuses others.
const LAYOUT: u16 = 1;

/// An approved payment of a card, as its windows need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recent {
    received_at_us: i64,
    id: PaymentId,
    amount_minor: i64,
    merchant_hash: u64,
}

/// Everything here follows from the payments.
#[derive(Debug, Default, PartialEq, Eq)]
struct Indexes {
    /// Payments that hold money, by origin: deadline and payment.
    timers: BTreeMap<u16, BTreeSet<(i64, PaymentId)>>,
    /// Payments with details and without a timer, by `received_at`.
    settled: BTreeSet<(i64, PaymentId)>,
    /// Payments without details, by `received_at`.
    compact: BTreeSet<(i64, PaymentId)>,
    /// KSNs that cards have shown: hash, `received_at`, payment.
    ksns: BTreeSet<(u64, i64, PaymentId)>,
    /// Approved payments with details of each card, by `received_at`. Only looked up by card, never listed.
    recent: HashMap<CardToken, Vec<Recent>>,
}

/// The state of one partition.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Hash of the bundle in force.
    pub(crate) bundle: Option<ContentHash>,
    /// Alerts that belong together.
    pub(crate) groups: Groups,
    clocks: BTreeMap<u16, i64>,
    #[serde(deserialize_with = "in_order")]
    payments: BTreeMap<PaymentId, Payment>,
    ledger: Ledger,
    #[serde(skip)]
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

    /// The state as bytes, after the full check of money in = money out.
    pub(crate) fn save(&self) -> Result<Vec<u8>, Error> {
        self.ledger.audit(amounts(&self.payments))?;
        postcard::to_stdvec(&(LAYOUT, self)).map_err(|error| Error::Snapshot { reason: error.to_string() })
    }

    /// The state of saved bytes, checked in full, its indexes rebuilt.
    pub(crate) fn restore(bytes: &[u8]) -> Result<Self, Error> {
        let unreadable = |reason: String| Error::Snapshot { reason };
        let (layout, rest): (u16, &[u8]) =
            postcard::take_from_bytes(bytes).map_err(|error| unreadable(error.to_string()))?;
        if layout != LAYOUT {
            return Err(unreadable(format!("layout {layout}, but this program reads {LAYOUT}")));
        }
        let (mut memory, rest): (Self, &[u8]) =
            postcard::take_from_bytes(rest).map_err(|error| unreadable(error.to_string()))?;
        if !rest.is_empty() {
            return Err(unreadable(format!("{} bytes follow the state", rest.len())));
        }
        for payment in memory.payments.values() {
            if payment.core.state.holds() && payment.detail.is_none() {
                return Err(unreadable("a payment that holds money has no deadline".into()));
            }
        }
        memory.indexes = Indexes::of(&memory.payments);
        memory.groups.rebuild();
        let Self { payments, ledger, .. } = &mut memory;
        ledger.rebuild(amounts(payments))?;
        Ok(memory)
    }

    /// Whether every index is as another state's.
    #[cfg(test)]
    pub(crate) fn has_indexes_of(&self, other: &Self) -> bool {
        self.indexes == other.indexes
    }
}

impl Indexes {
    /// The indexes of payments. What every payment has an entry in is sorted as a whole: entered one by one in the order
    /// of their identities, each would fall on another place of the memory.
    fn of(payments: &BTreeMap<PaymentId, Payment>) -> Self {
        let mut indexes = Self::default();
        for (id, payment) in payments.iter().filter(|(_, payment)| payment.detail.is_some()) {
            indexes.add_detailed(*id, payment);
        }
        let short = payments.iter().filter(|(_, payment)| payment.detail.is_none());
        indexes.compact = short.map(|(id, payment)| (payment.core.received_at_us, *id)).collect();
        indexes.ksns = payments.iter().filter_map(|(id, payment)| ksn_entry(*id, &payment.core)).collect();
        indexes
    }

    /// Enters a payment that was just decided.
    fn add(&mut self, id: PaymentId, payment: &Payment) {
        self.add_detailed(id, payment);
        self.ksns.extend(ksn_entry(id, &payment.core));
    }

    /// Enters a payment with details where only those are.
    fn add_detailed(&mut self, id: PaymentId, payment: &Payment) {
        let (core, Some(detail)) = (&payment.core, &payment.detail) else { return };
        let by_time = (core.received_at_us, id);
        if core.state.holds() {
            self.timers.entry(core.origin).or_default().insert((detail.deadline_us, id));
        } else {
            self.settled.insert(by_time);
        }
        if let Some(token) = core.token
            && core.state != State::Declined
        {
            let recent = self.recent.entry(token).or_default();
            let place = recent.partition_point(|other| (other.received_at_us, other.id) < by_time);
            let Core { received_at_us, amount_minor, merchant_hash, .. } = *core;
            recent.insert(place, Recent { received_at_us, id, amount_minor, merchant_hash });
        }
    }

    /// The payment holds nothing any more.
    fn stop_timer(&mut self, id: PaymentId, payment: &Payment) {
        if let (Some(timers), Some(detail)) = (self.timers.get_mut(&payment.core.origin), &payment.detail) {
            timers.remove(&(detail.deadline_us, id));
            if timers.is_empty() {
                self.timers.remove(&payment.core.origin);
            }
        }
        self.settled.insert((payment.core.received_at_us, id));
    }

    /// The payment leaves the card's windows together with its details.
    fn leave_windows(&mut self, id: PaymentId, core: &Core) {
        let Some(token) = core.token else { return };
        let Some(recent) = self.recent.get_mut(&token) else { return };
        let place = recent.binary_search_by(|other| (other.received_at_us, other.id).cmp(&(core.received_at_us, id)));
        if let Ok(place) = place {
            recent.remove(place);
        }
        if recent.is_empty() {
            self.recent.remove(&token);
        }
    }

    /// The payment is forgotten. Only one without a timer ever is.
    fn remove(&mut self, id: PaymentId, core: &Core) {
        let by_time = (core.received_at_us, id);
        self.settled.remove(&by_time);
        self.compact.remove(&by_time);
        self.ksns.remove(&(core.ksn_hash, core.received_at_us, id));
        self.leave_windows(id, core);
    }
}

/// Reads the payments as the list that a saved map is, and builds the map as a whole: serde would look for the place of
/// each, and leave every node of the map half empty.
fn in_order<'de, D: Deserializer<'de>>(saved: D) -> Result<BTreeMap<PaymentId, Payment>, D::Error> {
    Vec::<(PaymentId, Payment)>::deserialize(saved).map(BTreeMap::from_iter)
}

/// Currency and amounts of each payment.
fn amounts(payments: &BTreeMap<PaymentId, Payment>) -> impl Iterator<Item = (Currency, Amounts)> {
    payments.values().filter_map(|payment| Some((payment.core.currency?, payment.core.amounts())))
}

/// A payment among the KSNs; none where the frame did not open.
fn ksn_entry(id: PaymentId, core: &Core) -> Option<(u64, i64, PaymentId)> {
    (core.ksn_hash != 0).then_some((core.ksn_hash, core.received_at_us, id))
}

/// Callers look a payment up before they change it.
fn unknown_payment() -> Error {
    Error::Invariant { name: "a swipe is decided once", found: "a step of a payment that is not remembered".into() }
}
