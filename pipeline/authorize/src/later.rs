//! What comes after a swipe: answered, signature, withdraw, cancel, refund, chargeback, disposition, and the timer.
//! Every such record writes exactly one row: a decision, or for a disposition that is accepted a label.

use schemas::findings::Findings;
use schemas::ids::PaymentId;
use schemas::money::Currency;
use schemas::reasons::Reason;
use schemas::topics::label::{FRAUD, LEGITIMATE};

use crate::answer;
use crate::checks::risk;
use crate::columns::{Kind, Record};
use crate::error::Error;
use crate::machine::{Event, MoneyEffect, State, Transition, next};
use crate::payment::{Payment, Standing, merchant_hash};
use crate::rows::{Decision, Rows, kind};
use crate::unit::AuthorizeUnit;

/// What a label may say.
const LABELS: [&str; 2] = [FRAUD, LEGITIMATE];
/// Source of a chargeback's label.
const CHARGEBACK_SOURCE: &str = "chargeback";

/// Column `kind` of the row that a later record asks for.
fn asked(kind_of_record: Kind) -> &'static str {
    match kind_of_record {
        Kind::Signature => kind::CAPTURE,
        Kind::Withdraw | Kind::Cancel => kind::REVERSAL,
        Kind::Refund => kind::REFUND,
        Kind::Chargeback => kind::CHARGEBACK,
        Kind::Answered | Kind::Disposition | Kind::Swipe | Kind::Tick => kind::ACKNOWLEDGEMENT,
    }
}

/// What a record means for a payment; nothing for a disposition.
fn event(record: &Record<'_>, payment: &Payment) -> Option<Event> {
    Some(match record.kind {
        Kind::Answered => Event::Answered,
        Kind::Signature if payment.may_sign_at(record.received_at_us) => Event::SignatureInTime,
        Kind::Signature => Event::SignatureLate,
        Kind::Withdraw => Event::Withdraw,
        Kind::Cancel => Event::Cancel,
        Kind::Refund => match record.amount_minor.unwrap_or_default().cmp(&payment.core.captured_minor) {
            std::cmp::Ordering::Less => Event::RefundPart,
            std::cmp::Ordering::Equal => Event::RefundRest,
            std::cmp::Ordering::Greater => Event::RefundTooLarge,
        },
        Kind::Chargeback => Event::Chargeback,
        Kind::Disposition | Kind::Swipe | Kind::Tick => return None,
    })
}

/// Findings about the record itself, beside decode's.
fn check(record: &Record<'_>, payment: &Payment) -> Findings {
    let mut findings = record.findings;
    if !names_its_merchant(record, payment) {
        findings.insert(Reason::OtherMerchant);
    }
    match record.kind {
        Kind::Signature if !record.signed => findings.insert(Reason::FormatError),
        Kind::Refund => {
            risk(record).into_iter().for_each(|reason| findings.insert(reason));
            if record.amount_minor.is_none_or(|amount| amount < 1) {
                findings.insert(Reason::InvalidAmount);
            }
            if record.currency.is_some_and(|code| Currency::from_code(code) != payment.core.currency) {
                findings.insert(Reason::CurrencyNotAllowed);
            }
        }
        Kind::Chargeback if record.label.is_some_and(|label| !LABELS.contains(&label)) => {
            findings.insert(Reason::FormatError);
        }
        Kind::Disposition if record.label.is_none_or(|label| !LABELS.contains(&label)) => {
            findings.insert(Reason::FormatError);
        }
        _ => {}
    }
    findings
}

/// A refund or cancel must name the payment's merchant, any other act of a merchant must not name another one. What
/// issuers and analysts send is not a merchant's act.
fn names_its_merchant(record: &Record<'_>, payment: &Payment) -> bool {
    let is_same = || merchant_hash(record.merchant_id) == payment.core.merchant_hash;
    match record.kind {
        Kind::Refund | Kind::Cancel => is_same(),
        Kind::Answered | Kind::Signature | Kind::Withdraw => record.merchant_id.is_none() || is_same(),
        Kind::Chargeback | Kind::Disposition | Kind::Swipe | Kind::Tick => true,
    }
}

/// A row about a remembered payment: what the payment knows, else what the record says.
fn decision_about<'a>(
    record: &Record<'a>,
    id: PaymentId,
    payment: &'a Payment,
    approval_code: &'a Option<String>,
) -> Decision<'a> {
    let core = &payment.core;
    let detail = payment.detail.as_deref();
    let kept = |text: &'a Option<Box<str>>| text.as_deref();
    Decision {
        payment_id: Some(id),
        merchant_id: record.merchant_id.or(detail.and_then(|detail| kept(&detail.merchant_id))),
        reader_id: detail.and_then(|detail| kept(&detail.reader_id)).or(record.reader_id),
        courier_id: detail.and_then(|detail| kept(&detail.courier_id)).or(record.courier_id),
        stan: detail.and_then(|detail| detail.stan).or(record.stan),
        token: core.token,
        state: Some(core.state),
        amount_minor: if record.kind == Kind::Refund { record.amount_minor } else { Some(core.amount_minor) },
        currency: core.currency.map(Currency::code),
        approval_code: approval_code.as_deref(),
        rrn: detail.and_then(|detail| kept(&detail.rrn)),
        deadline_us: payment.known_deadline_us(),
        ..Decision::about(record, asked(record.kind))
    }
}

/// The approval code of a payment that was approved.
fn approval_code(id: PaymentId, payment: &Payment) -> Option<String> {
    (payment.core.state != State::Declined).then(|| answer::approval_code(id))
}

impl AuthorizeUnit {
    /// Takes a later record's step, or refuses it with every finding.
    pub(crate) fn later(&mut self, record: &Record<'_>, rows: &mut Rows) -> Result<(), Error> {
        let rules = self.rules();
        let found =
            record.payment_id.and_then(|id| Some((id, self.memory.payment_at(id, record.received_at_us, &rules)?)));
        let Some((id, payment)) = found else {
            let mut findings = record.findings;
            findings.insert(Reason::OriginalNotFound);
            let decision =
                Decision { reason: findings.refusal(), findings, ..Decision::about(record, asked(record.kind)) };
            rows.decision(&decision, &decision.answer());
            return Ok(());
        };
        let (mut findings, token) = (check(record, payment), payment.core.token);
        let step = event(record, payment).map(|event| next(payment.core.state, event));
        if let Some(Err(reason)) = step {
            findings.insert(reason);
        }
        match step {
            _ if findings.refusal().is_some() => refuse(record, id, payment, findings, rows),
            Some(Ok(transition)) => self.take(record, id, transition, findings, rows)?,
            _ => rows.label(id, record.label.unwrap_or_default(), record.label_source, record),
        }
        self.alert_refund(record, id, token, rows);
        Ok(())
    }

    /// Takes a legal edge and writes its row. One that moves no money repeats the answer that stands.
    fn take(
        &mut self,
        record: &Record<'_>,
        id: PaymentId,
        transition: Transition,
        mut findings: Findings,
        rows: &mut Rows,
    ) -> Result<(), Error> {
        let moves = transition.effect != MoneyEffect::None;
        let reason = match record.kind {
            _ if !moves => self.memory.standing_of(id),
            Kind::Withdraw => Some(Reason::Withdrawn),
            Kind::Cancel => Some(Reason::Cancelled),
            _ => None,
        };
        reason.into_iter().for_each(|reason| findings.insert(reason));
        if record.kind == Kind::Answered {
            self.memory.set_deadline(id, record.received_at_us + self.rules().signature_us)?;
        }
        let part_minor = record.amount_minor.unwrap_or_default();
        let (change, after) = self.memory.apply(id, transition, part_minor, Standing::of(reason))?;
        let code = approval_code(id, after);
        let about = decision_about(record, id, after, &code);
        let step_minor = change.held_minor.abs().max(change.captured_minor.abs());
        let decision = Decision {
            kind: if moves { about.kind } else { kind::ACKNOWLEDGEMENT },
            reason,
            findings,
            amount_minor: if moves { Some(step_minor) } else { about.amount_minor },
            held_minor: change.held_minor,
            captured_minor: change.captured_minor,
            ..about
        };
        rows.decision(&decision, &decision.answer());
        if record.kind == Kind::Chargeback && moves {
            rows.label(id, record.label.unwrap_or(FRAUD), Some(CHARGEBACK_SOURCE), record);
        }
        Ok(())
    }

    /// Reverses a payment whose deadline passed without a signature. `record` is the one that moved the clock.
    pub(crate) fn time_out(
        &mut self,
        id: PaymentId,
        deadline_us: i64,
        record: &Record<'_>,
        rows: &mut Rows,
    ) -> Result<(), Error> {
        let reason = Reason::SignatureTimeout;
        let state = self.memory.state_of(id).ok_or_else(|| without_money("forgotten"))?;
        let transition = next(state, Event::Timeout).map_err(|_| without_money(state.name()))?;
        let (change, payment) = self.memory.apply(id, transition, 0, Standing::of(Some(reason)))?;
        let code = approval_code(id, payment);
        // Only the log's timestamp comes from the record that moved the clock: what the row says is the payment's.
        let tick = Record {
            kind: Kind::Tick,
            merchant_id: None,
            reader_id: None,
            courier_id: None,
            stan: None,
            decode_bundle: None,
            origin: payment.core.origin,
            received_at_us: deadline_us,
            judgement: None,
            ..*record
        };
        let decision = Decision {
            kind: kind::REVERSAL,
            reason: Some(reason),
            findings: Findings::only(reason),
            held_minor: change.held_minor,
            captured_minor: change.captured_minor,
            deadline_us: Some(deadline_us),
            ..decision_about(&tick, id, payment, &code)
        };
        rows.decision(&decision, &decision.answer());
        Ok(())
    }
}

/// Every timer that is set belongs to a payment that holds money.
fn without_money(found: &str) -> Error {
    Error::Invariant { name: "only a payment that holds money has a timer", found: format!("one that is {found}") }
}

/// Refuses a step; the payment stays as it is. A merchant who names another's payment learns only its
/// state: no card, no amount and no reference.
fn refuse(record: &Record<'_>, id: PaymentId, payment: &Payment, findings: Findings, rows: &mut Rows) {
    let code = approval_code(id, payment);
    let about = if findings.contains(Reason::OtherMerchant) {
        Decision { state: Some(payment.core.state), ..Decision::about(record, asked(record.kind)) }
    } else {
        decision_about(record, id, payment, &code)
    };
    let decision = Decision { reason: findings.refusal(), findings, ..about };
    rows.decision(&decision, &decision.answer());
}
