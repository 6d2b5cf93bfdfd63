//! Frauds that show in what a merchant does: money given back that nobody asked for, and a business that takes all it can
//! on its last day.

use super::*;
use crate::merchants::usual_minor;

/// Every shop has closed and every payment of the day is signed after so many hours of the day.
const CLOSED_HOUR: i64 = 21;
/// Money is given back within so long.
const GIVEN_BACK_US: i64 = 29 * MINUTE_US;
/// A bust-out lasts so long.
const BUST_OUT_US: i64 = 3 * HOUR_US - MINUTE_US;

/// Somebody who should not gives back payments of the day at a shop that has closed.
pub(super) fn refund_abuse(plan: &mut DayPlan<'_>, stream: &mut Stream) -> Option<()> {
    let shops: Vec<usize> =
        plan.shops().map(|(index, _)| index).filter(|index| !plan.merchants.contains(index)).collect();
    let shop = choose(stream, &shops)?;
    let readers = plan.world.business.merchants[shop].readers.clone();
    let is_fit = |visit: &Visit| readers.contains(&visit.reader) && plan.is_genuine(visit);
    let mut genuine: Vec<usize> = (0..plan.visits.len()).filter(|index| is_fit(&plan.visits[*index])).collect();
    let from_us = plan.midnight_us + CLOSED_HOUR * HOUR_US + stream.random_range(0..HOUR_US);
    for _ in 0..stream.random_range(8..=15_usize).min(genuine.len()) {
        let visit = &mut plan.visits[genuine.swap_remove(stream.random_range(0..genuine.len()))];
        let role = Role::GivenBack { at_us: from_us + stream.random_range(0..GIVEN_BACK_US) };
        visit.part = Some(Part { scenario: Scenario::RefundAbuse, incident: plan.incidents, role });
        plan.cards.insert(visit.card);
    }
    plan.merchants.insert(shop);
    Some(())
}

/// A shop whose last day it is takes what it can on cards that it has collected.
pub(super) fn bust_out(plan: &mut DayPlan<'_>, stream: &mut Stream) -> Option<()> {
    let shop = plan.world.business.merchants.iter().position(|merchant| merchant.last_day == Some(plan.day))?;
    let merchant = &plan.world.business.merchants[shop];
    plan.merchants.insert(shop);
    plan.readers.extend(merchant.readers.clone());
    let usual_minor = usual_minor(merchant.trade);
    let from_us = plan.moment(stream, 13..16);
    for _ in 0..stream.random_range(30..=60) {
        let (reader, at_us) = (0..TRIES)
            .map(|_| (stream.random_range(merchant.readers.clone()), from_us + stream.random_range(0..BUST_OUT_US)))
            .find(|(reader, at_us)| plan.is_free(*reader, *at_us, *at_us))?;
        let (card, role) = (plan.card(stream)?, thief(stream));
        let amount_minor = stream.random_range(usual_minor * 5..=usual_minor * 10);
        let place = merchant.place.at;
        plan.swipe(role, Scenario::BustOut, Swipe { at_us, reader, card, amount_minor, place });
    }
    Some(())
}
