//! Payments by time, deadline, KSN and card: everything here follows from the payments and is never saved.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::resume_unwind;

use schemas::ids::{CardToken, PaymentId};

use crate::machine::State;
use crate::payment::{Core, Payment};

/// An approved payment of a card, as its windows need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recent {
    pub(super) received_at_us: i64,
    pub(super) id: PaymentId,
    pub(super) amount_minor: i64,
    pub(super) merchant_hash: u64,
}

/// Everything here follows from the payments.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes {
    /// Payments that hold money, by origin: deadline and payment.
    pub(super) timers: BTreeMap<u16, BTreeSet<(i64, PaymentId)>>,
    /// Payments with details and without a timer, by `received_at`.
    pub(super) settled: BTreeSet<(i64, PaymentId)>,
    /// Payments without details, by `received_at`.
    pub(super) compact: BTreeSet<(i64, PaymentId)>,
    /// KSNs that cards have shown: hash, `received_at`, payment.
    pub(super) ksns: BTreeSet<(u64, i64, PaymentId)>,
    /// Approved payments with details of each card, by `received_at`. Only looked up by card, never listed.
    pub(super) recent: HashMap<CardToken, Vec<Recent>>,
}

impl Indexes {
    /// Enters a payment that was just decided.
    pub(super) fn add(&mut self, id: PaymentId, payment: &Payment) {
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
    pub(super) fn stop_timer(&mut self, id: PaymentId, payment: &Payment) {
        if let (Some(timers), Some(detail)) = (self.timers.get_mut(&payment.core.origin), &payment.detail) {
            timers.remove(&(detail.deadline_us, id));
            if timers.is_empty() {
                self.timers.remove(&payment.core.origin);
            }
        }
        self.settled.insert((payment.core.received_at_us, id));
    }

    /// The payment leaves the card's windows together with its details.
    pub(super) fn leave_windows(&mut self, id: PaymentId, core: &Core) {
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
    pub(super) fn remove(&mut self, id: PaymentId, core: &Core) {
        let by_time = (core.received_at_us, id);
        self.settled.remove(&by_time);
        self.compact.remove(&by_time);
        self.ksns.remove(&(core.ksn_hash, core.received_at_us, id));
        self.leave_windows(id, core);
    }
}

/// A payment among the KSNs; none where the frame did not open.
fn ksn_entry(id: PaymentId, core: &Core) -> Option<(u64, i64, PaymentId)> {
    (core.ksn_hash != 0).then_some((core.ksn_hash, core.received_at_us, id))
}

/// Indexes of payments that come one by one in no order of time. What every payment has an entry in is sorted as a whole:
/// entered one by one, each would fall on another place of the memory.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    detailed: Indexes,
    compact: Vec<(i64, PaymentId)>,
    ksns: Vec<(u64, i64, PaymentId)>,
}

impl Gathered {
    /// Takes note of a payment that was not there before.
    pub(super) fn add(&mut self, id: PaymentId, payment: &Payment) {
        match payment.detail {
            Some(_) => self.detailed.add_detailed(id, payment),
            None => self.compact.push((payment.core.received_at_us, id)),
        }
        self.ksns.extend(ksn_entry(id, &payment.core));
    }

    /// The indexes, and what else there is to do for a restore: the two large sets and that take about the same time, and
    /// one of them is made beside the others.
    pub(super) fn finish<T>(self, besides: impl FnOnce() -> T) -> (Indexes, T) {
        let Self { mut detailed, compact, ksns } = self;
        let done = std::thread::scope(|scope| {
            let sorting = scope.spawn(|| sorted(ksns));
            detailed.compact = sorted(compact);
            let done = besides();
            detailed.ksns = sorting.join().unwrap_or_else(|panic| resume_unwind(panic));
            done
        });
        (detailed, done)
    }
}

/// A set of all of these. It sorts by itself too, but by a way that needs half the list again as room.
fn sorted<T: Ord>(mut entries: Vec<T>) -> BTreeSet<T> {
    entries.sort_unstable();
    BTreeSet::from_iter(entries)
}
