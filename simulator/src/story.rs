//! What follows an approved swipe: answer, signature or none, and whatever is thought of afterwards.

use rand::RngExt;
use schemas::ids::PaymentId;
use schemas::topics::kind;

use crate::clock::{DAY_US, HOUR_US, MINUTE_US, SECOND_US};
use crate::merchants::CURRENCY;
use crate::records::{Record, Time};
use crate::scenarios::Role;
use crate::streams::{self, Stream};
use crate::truth::LaterTruth;
use crate::visits::{Meant, Visit};

/// A gateway without an answer takes the swipe back after this time.
pub(crate) const WITHDRAW_US: i64 = 30 * SECOND_US;
/// A hold without a signature is released this long after the answer: the deadline and the grace of the clocks.
const UNSIGNED_US: i64 = 150 * SECOND_US;
/// Days from the signature until a fraud is charged back.
const FRAUD_DAYS: std::ops::Range<i64> = 1..10;
/// Days from the signature until an ordinary payment is charged back.
const DISPUTE_DAYS: std::ops::Range<i64> = 1..4;

/// Something that follows a swipe: a record, or only money that goes back to the card.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Later {
    pub(crate) at_us: i64,
    pub(crate) record: Option<Record>,
    pub(crate) card: usize,
    pub(crate) returned_minor: i64,
}

impl LaterTruth {
    pub(crate) fn of(later: &Later) -> Option<Self> {
        let record = later.record.as_ref()?;
        let received_at = Time(later.at_us);
        Some(Self { kind: record.kind?, received_at, amount_minor: record.amount_minor, label: record.label })
    }
}

/// The gateway takes a swipe back.
pub(crate) fn withdraw(swipe: &Record) -> Record {
    Record {
        kind: Some(kind::WITHDRAW),
        merchant_id: swipe.merchant_id.clone(),
        reader_id: swipe.reader_id.clone(),
        stan: swipe.stan,
        ..Record::default()
    }
}

/// The story of one approved payment while it is written.
pub(crate) struct Story<'a> {
    pub(crate) seed: u64,
    pub(crate) stream: &'a mut Stream,
    pub(crate) visit: &'a Visit,
    pub(crate) swipe: &'a Record,
    pub(crate) payment_id: PaymentId,
    pub(crate) all: Vec<Later>,
}

impl Story<'_> {
    /// Everything that follows, and the state in which the payment ends.
    pub(crate) fn tell(mut self, approved_us: i64) -> (Vec<Later>, &'static str) {
        let state = self.until_signature(approved_us);
        (self.all, state)
    }

    fn until_signature(&mut self, approved_us: i64) -> &'static str {
        let amount_minor = self.visit.amount_minor;
        if self.visit.meant == Meant::NoAnswer {
            self.push(approved_us + WITHDRAW_US, Some(withdraw(self.swipe)), amount_minor);
            return "reversed";
        }
        let answered_us = approved_us + streams::wait_us(self.stream, 200..2_000);
        let answered = Record {
            reader_id: self.swipe.reader_id.clone(),
            stan: self.swipe.stan,
            courier_id: self.swipe.courier_id.clone(),
            ..self.about(kind::ANSWERED)
        };
        self.push(answered_us, Some(answered), 0);
        if self.visit.meant == Meant::ForgotSignature {
            self.push(answered_us + UNSIGNED_US, None, amount_minor);
            return "reversed";
        }
        if self.visit.meant == Meant::Cancelled && self.stream.random_bool(0.5) {
            let at_us = answered_us + streams::wait_us(self.stream, 4_000..50_000);
            self.push(at_us, Some(self.about(kind::CANCEL)), amount_minor);
            return "reversed";
        }
        let signed_us = answered_us + streams::wait_us(self.stream, 3_000..60_000);
        let (day, number) = self.visit.number;
        let image = streams::digest(self.seed, "signature", number, u64::from(day));
        let signature = Record { signature_sha256: Some(hex::encode(image)), ..self.about(kind::SIGNATURE) };
        self.push(signed_us, Some(signature), 0);
        self.after_signature(signed_us)
    }

    fn after_signature(&mut self, signed_us: i64) -> &'static str {
        let amount_minor = self.visit.amount_minor;
        match self.visit.part.map(|part| part.role) {
            Some(Role::Thief { noticed: true }) => return self.charged_back(signed_us, FRAUD_DAYS),
            Some(Role::GivenBack { at_us }) => {
                self.push(at_us, Some(priced(self.about(kind::REFUND), amount_minor)), amount_minor);
                return "refunded";
            }
            Some(Role::Thief { noticed: false } | Role::Copy { .. }) | None => {}
        }
        match self.visit.meant {
            Meant::Cancelled => {
                let at_us = signed_us + streams::wait_us(self.stream, 60_000..1_200_000);
                self.push(at_us, Some(self.about(kind::CANCEL)), amount_minor);
                "reversed"
            }
            Meant::Refunded => {
                let wait_days = if self.stream.random_bool(0.5) { 0 } else { self.stream.random_range(1..=5) };
                let at_us = signed_us + wait_days * DAY_US + self.stream.random_range(5 * MINUTE_US..3 * HOUR_US);
                let whole = self.stream.random_bool(0.6) || amount_minor < 2;
                let refund_minor = if whole { amount_minor } else { self.stream.random_range(1..amount_minor) };
                self.push(at_us, Some(priced(self.about(kind::REFUND), refund_minor)), refund_minor);
                if whole { "refunded" } else { "refunded_partly" }
            }
            Meant::ChargedBack => self.charged_back(signed_us, DISPUTE_DAYS),
            Meant::Disposed => {
                let at_us = signed_us + self.stream.random_range(HOUR_US..2 * DAY_US);
                self.push(at_us, Some(self.labelled(kind::DISPOSITION, "legitimate", "analyst")), 0);
                "captured"
            }
            _ => "captured",
        }
    }

    /// The issuer takes the money back after so many days; half of the time an analyst has seen it coming.
    fn charged_back(&mut self, signed_us: i64, days: std::ops::Range<i64>) -> &'static str {
        if self.stream.random_bool(0.5) {
            let at_us = signed_us + self.stream.random_range(HOUR_US..20 * HOUR_US);
            self.push(at_us, Some(self.labelled(kind::DISPOSITION, "fraud", "analyst")), 0);
        }
        let at_us = signed_us + self.stream.random_range(days.start * DAY_US..days.end * DAY_US);
        let amount_minor = self.visit.amount_minor;
        let chargeback = priced(self.labelled(kind::CHARGEBACK, "fraud", "issuer"), amount_minor);
        self.push(at_us, Some(chargeback), amount_minor);
        "charged_back"
    }

    fn push(&mut self, at_us: i64, record: Option<Record>, returned_minor: i64) {
        self.all.push(Later { at_us, record, card: self.visit.card, returned_minor });
    }

    fn about(&self, kind: &'static str) -> Record {
        Record {
            kind: Some(kind),
            merchant_id: self.swipe.merchant_id.clone(),
            payment_id: Some(self.payment_id.to_hex()),
            ..Record::default()
        }
    }

    fn labelled(&self, kind: &'static str, label: &'static str, source: &'static str) -> Record {
        Record { label: Some(label), label_source: Some(source), ..self.about(kind) }
    }
}

fn priced(record: Record, amount_minor: i64) -> Record {
    Record { amount_minor: Some(amount_minor), currency: Some(CURRENCY.code()), ..record }
}
