//! A swipe's effect: it is decided once, remembered, answered and, where a finding alerts, alerted.
//! A retransmission gets the stored answer.

use schemas::findings::Findings;
use schemas::ids::{CardToken, PaymentId, alert_id, alerting_payment, hash_of_parts};
use schemas::money::Currency;
use schemas::reasons::Reason;

use crate::alerts::{ALERTING, Group, Subject, bit, sentence};
use crate::answer;
use crate::checks::{self, Seen, risk};
use crate::columns::Record;
use crate::error::Error;
use crate::in_force::Rules;
use crate::machine::State;
use crate::payment::{Core, Detail, Payment, Standing, ksn_hash, merchant_hash};
use crate::rows::{Alert, Decision, Rows, kind};
use crate::unit::AuthorizeUnit;

impl AuthorizeUnit {
    /// Decides a swipe. One whose identity is known already asks again with other content: it is refused and the
    /// payment stays as it is.
    pub(crate) fn swipe(&mut self, record: &Record<'_>, rows: &mut Rows) -> Result<(), Error> {
        let rules = self.rules();
        let at_us = record.received_at_us;
        if let Some(id) = record.payment_id {
            self.memory.make_room(id, at_us, &rules);
        }
        let known_state = record
            .payment_id
            .and_then(|id| self.memory.payment_at(id, at_us, &rules))
            .map(|payment| payment.core.state);
        let is_full = self.memory.payments_len() >= rules.payments_max;
        let identity = match (record.payment_id, known_state) {
            (None, _) => Some(Reason::FormatError),
            (_, Some(_)) => Some(Reason::DuplicateStan),
            (_, None) => is_full.then_some(Reason::CapacityReached),
        };
        let seen = checks::check(record, identity, self.in_force.as_ref(), &rules, &self.memory);
        let reason = seen.findings.refusal();
        let approved_id = record.payment_id.filter(|_| reason.is_none());
        let state = if approved_id.is_some() { State::Authorized } else { State::Declined };
        let approval_code = approved_id.map(answer::approval_code);
        let rrn = answer::rrn(at_us, record.stan);
        let decision = Decision {
            state: Some(known_state.unwrap_or(state)),
            reason,
            findings: seen.findings,
            held_minor: record.amount_minor.filter(|_| approved_id.is_some()).unwrap_or_default(),
            approval_code: approval_code.as_deref(),
            rrn: rrn.as_deref(),
            ..Decision::about(record, kind::AUTHORIZATION)
        };
        let answer = decision.answer();
        rows.decision(&decision, &answer);
        if let (Some(id), None) = (record.payment_id, identity) {
            self.memory.insert(id, payment_of(record, state, seen.findings, &rules, &answer, rrn.as_deref()))?;
        }
        self.alert(record, &seen, rows);
        Ok(())
    }

    /// Alerts for what the rules find about a refund, each by itself. The card is the payment's.
    pub(crate) fn alert_refund(
        &mut self,
        record: &Record<'_>,
        id: PaymentId,
        token: Option<CardToken>,
        rows: &mut Rows,
    ) {
        let Some(reason) = risk(record) else { return };
        let record = Record { token, ..*record };
        let refund = hash_of_parts(&[b"refund", &id.0, &record.received_at_us.to_be_bytes()]);
        let group = self.memory.groups.join(Subject::of(&record), record.received_at_us, &refund);
        write(reason, &record, group, &refund, 0, rows);
    }

    /// Gives the stored answer again, or says that it is not known any more.
    pub(crate) fn repeat(&mut self, record: &Record<'_>, rows: &mut Rows) {
        let rules = self.rules();
        let base = Decision { repeat: true, ..Decision::about(record, kind::AUTHORIZATION) };
        let at_us = record.received_at_us;
        let original = record
            .payment_id
            .and_then(|id| Some((id, self.memory.payment_at(id, at_us, &rules)?)))
            .and_then(|(id, payment)| Some((id, payment.core, payment.answer_at(at_us, &rules)?)));
        let Some((id, core, detail)) = original else {
            let reason = Reason::OriginalNotFound;
            let decision = Decision { reason: Some(reason), findings: Findings::only(reason), ..base };
            rows.decision(&decision, &decision.answer());
            return;
        };
        let reason = detail.findings.refusal();
        let approval_code = reason.is_none().then(|| answer::approval_code(id));
        let decision = Decision {
            token: core.token,
            state: Some(core.state),
            reason,
            findings: detail.findings,
            approval_code: approval_code.as_deref(),
            rrn: detail.rrn.as_deref(),
            ..base
        };
        rows.decision(&decision, &detail.answer);
    }

    /// Alerts for every finding that alerts, once for each payment and reason.
    fn alert(&mut self, record: &Record<'_>, seen: &Seen, rows: &mut Rows) {
        for (place, reason) in ALERTING.into_iter().enumerate() {
            if !seen.findings.contains(reason) {
                continue;
            }
            let remembered = record.payment_id.filter(|_| !seen.findings.contains(Reason::CapacityReached));
            if remembered.is_some_and(|id| !self.memory.mark_alerted(id, bit(place))) {
                continue;
            }
            let payment = alert_name(record);
            let group = self.memory.groups.join(Subject::of(record), record.received_at_us, &payment);
            let other_us = match reason {
                Reason::KsnSeenOnCard => seen.ksn_shown_us,
                Reason::LooksDuplicate => seen.lookalike_us,
                _ => None,
            };
            let apart_us = record.received_at_us - other_us.unwrap_or(record.received_at_us);
            write(reason, record, group, &payment, apart_us, rows);
        }
    }
}

/// Writes an alert about what `name` names.
fn write(reason: Reason, record: &Record<'_>, group: Group, name: &[u8; 16], apart_us: i64, rows: &mut Rows) {
    rows.alert(&Alert {
        alert_id: alert_id(name, reason.name()),
        record,
        reason,
        group_id: group.id,
        group_number: group.number,
        sentence: &sentence(reason, record, apart_us),
    });
}

/// What names the payment in an alert's identity: its identity, or for a swipe without one what makes it unlike others.
fn alert_name(record: &Record<'_>) -> [u8; 16] {
    match record.payment_id {
        Some(id) => alerting_payment(id),
        None => hash_of_parts(&[
            b"swipe",
            record.reader_id.unwrap_or_default().as_bytes(),
            &record.stan.unwrap_or(-1).to_be_bytes(),
            &record.received_at_us.to_be_bytes(),
        ]),
    }
}

fn payment_of(
    record: &Record<'_>,
    state: State,
    findings: Findings,
    rules: &Rules,
    answer: &str,
    rrn: Option<&str>,
) -> Payment {
    let core = Core {
        received_at_us: record.received_at_us,
        amount_minor: record.amount_minor.unwrap_or_default(),
        captured_minor: 0,
        merchant_hash: merchant_hash(record.merchant_id),
        ksn_hash: record.token.zip(record.ksn).map_or(0, |(token, ksn)| ksn_hash(token, ksn)),
        token: record.token,
        origin: record.origin,
        state,
        standing: Standing::of(findings.refusal()),
        alerted: 0,
        currency: record.currency.and_then(Currency::from_code),
    };
    let detail = Detail {
        merchant_id: record.merchant_id.map(Box::from),
        reader_id: record.reader_id.map(Box::from),
        courier_id: record.courier_id.map(Box::from),
        stan: record.stan,
        rrn: rrn.map(Box::from),
        findings,
        answer: answer.into(),
        deadline_us: record.received_at_us + rules.unanswered_us,
        answered: false,
    };
    Payment { core, detail: Some(Box::new(detail)) }
}
