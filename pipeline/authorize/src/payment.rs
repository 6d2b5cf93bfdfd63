//! What is remembered about one payment: a small core for as long as it can be refunded, details while they are needed.

use schemas::findings::Findings;
use schemas::ids::{CardToken, hash_of_parts};
use schemas::money::Currency;
use schemas::reasons::Reason;
use serde::{Deserialize, Serialize};

use crate::in_force::Rules;
use crate::ledger::Amounts;
use crate::machine::{MoneyEffect, State, Transition};

/// First eight bytes of SHA-256 over parts, each with its length before it.
pub(crate) fn short_hash(parts: &[&[u8]]) -> u64 {
    let digest = hash_of_parts(parts);
    u64::from_be_bytes([digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7]])
}

/// Hash by which a payment remembers its merchant; a missing merchant hashes as an empty name.
pub(crate) fn merchant_hash(merchant_id: Option<&str>) -> u64 {
    short_hash(&[b"merchant", merchant_id.unwrap_or_default().as_bytes()])
}

/// Hash of a KSN as one card showed it.
pub(crate) fn ksn_hash(token: CardToken, ksn: &str) -> u64 {
    short_hash(&[b"ksn", &token.0, ksn.as_bytes()])
}

/// The answer that stands about a payment: approved, or the reason with this number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing(u8);

const _: () = assert!(Reason::ALL.len() < u8::MAX as usize, "a standing is one byte");

impl Standing {
    /// Approved without a reason to say otherwise, or the reason.
    pub(crate) fn of(reason: Option<Reason>) -> Self {
        Self(reason.map_or(0, |reason| reason as u8 + 1))
    }

    /// The reason; none for an approval.
    pub(crate) fn reason(self) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| Some(*reason as u8) == self.0.checked_sub(1))
    }
}

/// What is kept as long as a payment can be refunded, charged back or labelled: at most [`CORE_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Core {
    /// The swipe's `received_at`, microseconds UTC.
    pub(crate) received_at_us: i64,
    /// Amount of the swipe, minor units; 0 where it had none.
    pub(crate) amount_minor: i64,
    /// What of it is owed to the merchant, minor units.
    pub(crate) captured_minor: i64,
    /// [`merchant_hash`] of the swipe.
    pub(crate) merchant_hash: u64,
    /// [`ksn_hash`] of the swipe; 0 where the frame did not open.
    pub(crate) ksn_hash: u64,
    /// The card; none where the frame did not open.
    pub(crate) token: Option<CardToken>,
    /// Transactions partition whose clock runs its timer.
    pub(crate) origin: u16,
    /// Where it stands.
    pub(crate) state: State,
    /// The answer that stands.
    pub(crate) standing: Standing,
    /// Alerts already written, one bit for each alerting reason.
    pub(crate) alerted: u8,
    /// Currency of the amount; none where it is not a known one.
    pub(crate) currency: Option<Currency>,
}

/// Largest size of a [`Core`]: fifty million payments stay within a few gigabytes.
const CORE_BYTES_MAX: usize = 64;
const _: () = assert!(size_of::<Core>() <= CORE_BYTES_MAX, "the compact record of a payment is bounded");

impl Core {
    /// What it holds and owes.
    pub(crate) fn amounts(&self) -> Amounts {
        let held_minor = if self.state.holds() { self.amount_minor } else { 0 };
        Amounts { held_minor, captured_minor: self.captured_minor }
    }

    /// The change that an edge makes on the card's account. `part_minor` counts for a partial return only.
    pub(crate) fn change_by(&self, effect: MoneyEffect, part_minor: i64) -> Amounts {
        let (held_minor, captured_minor) = match effect {
            MoneyEffect::None => (0, 0),
            MoneyEffect::Release => (-self.amount_minor, 0),
            MoneyEffect::Capture => (-self.amount_minor, self.amount_minor),
            MoneyEffect::ReturnRest => (0, -self.captured_minor),
            MoneyEffect::ReturnPart => (0, -part_minor),
        };
        Amounts { held_minor, captured_minor }
    }

    /// Takes an edge.
    pub(crate) fn take(&mut self, transition: Transition, part_minor: i64) {
        self.captured_minor = match transition.effect {
            MoneyEffect::None | MoneyEffect::Release => self.captured_minor,
            MoneyEffect::Capture => self.amount_minor,
            MoneyEffect::ReturnRest => 0,
            MoneyEffect::ReturnPart => self.captured_minor - part_minor,
        };
        self.state = transition.to;
    }

    /// Whether a record received at this time comes too late to find the payment. The record's own time decides, not
    /// the clock that frees the memory, so that neighbours cannot change an answer.
    pub(crate) fn expired(&self, at_us: i64, rules: &Rules) -> bool {
        !self.state.holds() && at_us > self.received_at_us + rules.payment_kept_us
    }
}

/// What is kept beside the core while its answer may be asked for again or its timer runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Detail {
    /// Merchant of the swipe.
    pub(crate) merchant_id: Option<Box<str>>,
    /// Reader of the swipe.
    pub(crate) reader_id: Option<Box<str>>,
    /// Who took the payment.
    pub(crate) courier_id: Option<Box<str>>,
    /// System trace audit number of the swipe.
    pub(crate) stan: Option<i32>,
    /// Retrieval reference number of the answer.
    pub(crate) rrn: Option<Box<str>>,
    /// Every finding about the swipe.
    pub(crate) findings: Findings,
    /// The answer, byte for byte.
    pub(crate) answer: Box<str>,
    /// Until when the cardholder may sign, microseconds UTC. A declined payment's means nothing.
    pub(crate) deadline_us: i64,
    /// Whether the phone is known to have the answer, which is when the deadline counts.
    pub(crate) answered: bool,
}

/// One payment. A payment that holds money keeps its details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payment {
    /// Kept to the end.
    pub(crate) core: Core,
    /// Kept while needed.
    pub(crate) detail: Option<Box<Detail>>,
}

impl Payment {
    /// The details, if a repeat received at this time may still have its answer.
    pub(crate) fn answer_at(&self, at_us: i64, rules: &Rules) -> Option<&Detail> {
        let in_time = at_us <= self.core.received_at_us + rules.answer_kept_us;
        self.detail.as_deref().filter(|_| in_time)
    }

    /// The deadline as rows show it: once the phone has the answer.
    pub(crate) fn known_deadline_us(&self) -> Option<i64> {
        self.detail.as_deref().filter(|detail| detail.answered).map(|detail| detail.deadline_us)
    }

    /// Whether a signature received at this time is in time. A payment without details lost its deadline long ago.
    pub(crate) fn may_sign_at(&self, at_us: i64) -> bool {
        self.detail.as_deref().is_some_and(|detail| at_us <= detail.deadline_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_remembers_every_reason() {
        assert_eq!(Standing::of(None).reason(), None);
        for reason in Reason::ALL {
            assert_eq!(Standing::of(Some(reason)).reason(), Some(reason));
        }
    }

    #[test]
    fn hashes_keep_parts_apart() {
        assert_ne!(short_hash(&[b"ab", b"c"]), short_hash(&[b"a", b"bc"]));
        assert_ne!(merchant_hash(None), merchant_hash(Some("M001")));
    }
}
