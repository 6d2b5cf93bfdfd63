//! Findings about a swipe on the card's side, added to decode's. Every check runs, whatever the others found.

use schemas::bundles::CardList;
use schemas::findings::Findings;
use schemas::ids::CardToken;
use schemas::judgement::Outcome;
use schemas::money::{AMOUNT_MINOR_MAX, Currency};
use schemas::reasons::Reason;

use crate::columns::Record;
use crate::in_force::{InForce, Rules};
use crate::memory::Memory;
use crate::payment::{ksn_hash, merchant_hash};

/// What is known about a swipe after its checks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Decode's findings and these.
    pub(crate) findings: Findings,
    /// When the card showed the same KSN in another payment, microseconds UTC.
    pub(crate) ksn_shown_us: Option<i64>,
    /// When the card paid the same amount at the same merchant shortly before, microseconds UTC.
    pub(crate) lookalike_us: Option<i64>,
}

/// Runs every check of a swipe, on top of what was found about its identity.
pub(crate) fn check(
    record: &Record<'_>,
    identity: Option<Reason>,
    in_force: Option<&InForce>,
    rules: &Rules,
    memory: &Memory,
) -> Seen {
    let mut seen = Seen { findings: record.findings, ksn_shown_us: None, lookalike_us: None };
    identity.into_iter().for_each(|reason| seen.findings.insert(reason));
    risk(record).into_iter().for_each(|reason| seen.findings.insert(reason));
    let findings = &mut seen.findings;
    if record.chip_capable {
        findings.insert(Reason::ChipFallback);
    }
    if !record.amount_minor.is_some_and(|amount| (1..=AMOUNT_MINOR_MAX).contains(&amount)) {
        findings.insert(Reason::InvalidAmount);
    }
    let currency = record.currency.and_then(Currency::from_code);
    if currency.is_none() {
        findings.insert(Reason::CurrencyNotAllowed);
    }
    let Some(token) = record.token else {
        // Decode says why a frame did not open; a missing token without a reason must not be approved either.
        if findings.refusal().is_none() {
            findings.insert(Reason::CannotDecrypt);
        }
        return seen;
    };
    let at_us = record.received_at_us;
    let ksn = record.ksn.map(|ksn| ksn_hash(token, ksn));
    seen.ksn_shown_us = ksn.and_then(|ksn| memory.ksn_shown_at(ksn, record.payment_id, at_us, rules));
    if seen.ksn_shown_us.is_some() {
        findings.insert(Reason::KsnSeenOnCard);
    }
    let amount_minor = record.amount_minor.unwrap_or_default();
    limits(token, at_us, amount_minor, rules, memory, findings);
    account(token, at_us, amount_minor, currency, in_force, memory, findings);
    if findings.refusal().is_none() {
        seen.lookalike_us = memory.lookalike_at(token, merchant_hash(record.merchant_id), amount_minor, at_us, rules);
        if seen.lookalike_us.is_some() {
            findings.insert(Reason::LooksDuplicate);
        }
    }
    seen
}

/// What the risk team's rules find.
pub(crate) fn risk(record: &Record<'_>) -> Option<Reason> {
    record.judgement.and_then(|judgement| judgement.outcome).map(|outcome| match outcome {
        Outcome::Block => Reason::RiskBlocked,
        Outcome::Review => Reason::RiskReview,
    })
}

/// The card's limits over the 24 hours that end with this swipe.
fn limits(token: CardToken, at_us: i64, amount_minor: i64, rules: &Rules, memory: &Memory, findings: &mut Findings) {
    let (sum_minor, count) = memory.day_of_card(token, at_us);
    if sum_minor.saturating_add(amount_minor) > rules.card_day_minor_max {
        findings.insert(Reason::CardDayAmount);
    }
    if count >= rules.card_day_count_max {
        findings.insert(Reason::CardDayCount);
    }
}

/// Lists and the issuer's account. The bundle says whether there is an account; the ledger what it has.
fn account(
    token: CardToken,
    at_us: i64,
    amount_minor: i64,
    currency: Option<Currency>,
    in_force: Option<&InForce>,
    memory: &Memory,
    findings: &mut Findings,
) {
    let lists = in_force.into_iter().flat_map(|in_force| in_force.lists_of(token, at_us));
    for list in lists {
        findings.insert(match list {
            CardList::Lost => Reason::LostCard,
            CardList::Stolen => Reason::StolenCard,
            CardList::Restricted => Reason::RestrictedCard,
            CardList::Blocked => Reason::BlockedCard,
        });
    }
    let entry = in_force.and_then(|in_force| in_force.cards.get(&token));
    let (Some(entry), Some(account)) = (entry, memory.ledger().account(token)) else {
        findings.insert(Reason::NoAccount);
        return;
    };
    if !entry.open {
        findings.insert(Reason::RestrictedCard);
    }
    if currency != Some(account.currency) {
        findings.insert(Reason::CurrencyNotAllowed);
    } else if amount_minor > account.available_minor() {
        findings.insert(Reason::InsufficientFunds);
    }
}
