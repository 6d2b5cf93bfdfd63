//! Frauds that show in what a card does: spent fast, in two towns at once, or tried with many others.

use super::*;

/// Share of copies that are used before their holder pays: then it is his own payment that looks impossible.
const BEFORE_SHARE: f64 = 0.25;
/// Where other towns of the island lie, kilometres east and north: 74 to 196 km away.
const ELSEWHERE_KM: [(f64, f64); 8] = [
    (71.8, -18.9),
    (-113.9, -27.8),
    (-87.1, -95.7),
    (-77.6, -180.3),
    (90.9, 120.2),
    (15.7, -140.2),
    (-73.5, 83.5),
    (1.9, 164.7),
];
/// How far from such a point, along each axis, metres.
const ELSEWHERE_M: f64 = 2_000.0;

/// A thief uses a card that nobody misses yet, as often as he can at the shops around, within a quarter of an hour.
pub(super) fn spree(plan: &mut DayPlan<'_>, stream: &mut Stream) -> Option<()> {
    let readers: Vec<usize> = plan.shops().flat_map(|(_, shop)| shop.readers.clone()).collect();
    let (card, role) = (plan.card(stream)?, thief(stream));
    let mut at_us = plan.moment(stream, 11..17);
    for _ in 0..stream.random_range(4..=7) {
        let reader = choose(stream, &readers)?;
        let (amount_minor, place) = (stream.random_range(20..=180) * 100, plan.door(reader));
        plan.swipe(role, Scenario::Spree, Swipe { at_us, reader, card, amount_minor, place });
        at_us += MINUTE_US + stream.random_range(0..MINUTE_US);
    }
    Some(())
}

/// A copy of a card is swiped in another town, minutes before or after its holder pays here: at the reader of somebody who
/// has his day off and is there.
pub(super) fn impossible_travel(plan: &mut DayPlan<'_>, stream: &mut Stream) -> Option<()> {
    let away: Vec<usize> = plan.resting.iter().copied().filter(|reader| !plan.readers.contains(reader)).collect();
    let reader = choose(stream, &away)?;
    let by_day = plan.midnight_us + 9 * HOUR_US..plan.midnight_us + 20 * HOUR_US;
    let is_fit = |visit: &&Visit| plan.is_genuine(visit) && by_day.contains(&visit.at_us);
    let genuine = (0..TRIES).map(|_| streams::pick(stream, &plan.visits[..])).find(is_fit)?;
    let (card, at_us) = (genuine.card, genuine.at_us);
    plan.cards.insert(card);
    plan.readers.insert(reader);
    // The two arrive at the gateway some tenths of a second later.
    let apart_us = stream.random_range(4 * MINUTE_US + SECOND_US..25 * MINUTE_US - SECOND_US);
    let at_us = if stream.random_bool(BEFORE_SHARE) { at_us - apart_us } else { at_us + apart_us };
    let (east_km, north_km) = *streams::pick(stream, &ELSEWHERE_KM);
    let [east_m, north_m] = [east_km, north_km].map(|km| km * 1_000.0 + stream.random_range(-ELSEWHERE_M..ELSEWHERE_M));
    let place = Point { east_m, north_m };
    let (amount_minor, role) = (stream.random_range(4_000..=30_000), thief(stream));
    plan.swipe(role, Scenario::ImpossibleTravel, Swipe { at_us, reader, card, amount_minor, place });
    Some(())
}

/// Somebody tries out card numbers at a shop's reader while nobody else needs it.
pub(super) fn card_testing(plan: &mut DayPlan<'_>, stream: &mut Stream) -> Option<()> {
    let readers = plan.free_readers_of_shops();
    let any_reader = choose(stream, &readers)?;
    let waits_us: Vec<i64> =
        (0..stream.random_range(15..=40)).map(|_| streams::wait_us(stream, 9_000..14_000)).collect();
    let lasts_us: i64 = waits_us.iter().sum();
    let free = (0..TRIES)
        .map(|_| (*streams::pick(stream, &readers), plan.moment(stream, 8..20)))
        .find(|(reader, at_us)| plan.is_free(*reader, *at_us, at_us + lasts_us));
    // In the evening every shop is closed.
    let (reader, mut at_us) = free.unwrap_or_else(|| (any_reader, plan.moment(stream, 21..22)));
    plan.readers.insert(reader);
    let place = plan.door(reader);
    for wait_us in waits_us {
        let (card, role, amount_minor) = (plan.card(stream)?, thief(stream), stream.random_range(100..=300));
        plan.swipe(role, Scenario::CardTesting, Swipe { at_us, reader, card, amount_minor, place });
        at_us += wait_us;
    }
    Some(())
}
