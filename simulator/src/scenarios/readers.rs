//! Frauds that show in where a reader is and how it counts: stolen from a courier, or copied with its keys.

use super::*;
use crate::merchants::Trade;

/// How far a stolen reader is from its courier, metres, with room for noise up to 2 and 8 km.
const FAR_M: std::ops::Range<f64> = 2_100.0..7_900.0;
/// From one payment on a stolen reader to the next.
const STOLEN_WAIT_MS: std::ops::Range<i64> = 60_000..240_000;
/// So long before and after them the courier takes no payment.
const STOLEN_APART_US: i64 = 2 * MINUTE_US;
/// A copy of a reader is used when the reader itself has been used so often since it was copied.
const SWIPES_SINCE_COPIED: usize = 15;
/// How far a copy is from its reader at least, metres.
const COPY_M_MIN: f64 = 500.0;

/// A thief takes payments on a courier's reader while the courier is kilometres away.
pub(super) fn far_reader(plan: &mut DayPlan<'_>, stream: &mut Stream) -> Option<()> {
    let business = &plan.world.business;
    let works_for_a_shop = |phone: &&Phone| {
        let carrier = &business.carriers[phone.carrier()];
        let merchant = &business.merchants[carrier.merchant];
        merchant.trade == Trade::CourierShop && !plan.readers.contains(&carrier.reader)
    };
    let couriers: Vec<&Phone> = plan.phones.iter().filter(works_for_a_shop).collect();
    let waits_us: Vec<i64> =
        (0..stream.random_range(0..=2)).map(|_| streams::wait_us(stream, STOLEN_WAIT_MS)).collect();
    let (phone, times_us, place) = (0..TRIES).find_map(|_| {
        let phone = choose(stream, &couriers)?;
        let times_us = moments_apart(plan, stream, phone, &waits_us)?;
        let place = far_from(plan, stream, phone, &times_us)?;
        Some((phone, times_us, place))
    })?;
    let reader = business.carriers[phone.carrier()].reader;
    plan.readers.insert(reader);
    for at_us in times_us {
        let (card, role, amount_minor) = (plan.card(stream)?, thief(stream), stream.random_range(3_000..=25_000));
        plan.swipe(role, Scenario::FarReader, Swipe { at_us, reader, card, amount_minor, place });
    }
    Some(())
}

/// Moments so far apart between two payments of a courier, at which his phone is heard.
fn moments_apart(plan: &DayPlan<'_>, stream: &mut Stream, phone: &Phone, waits_us: &[i64]) -> Option<Vec<i64>> {
    let reader = plan.world.business.carriers[phone.carrier()].reader;
    let payments = &phone.shift().payments;
    let (first_us, last_us) = (payments.first()?.at_us, payments.last()?.at_us);
    let lasts_us: i64 = waits_us.iter().sum();
    if last_us <= first_us + lasts_us {
        return None;
    }
    let start_us = stream.random_range(first_us..last_us - lasts_us);
    let mut times_us = vec![start_us];
    for wait_us in waits_us {
        times_us.push(times_us[times_us.len() - 1] + wait_us);
    }
    let is_alone = plan.is_free(reader, start_us - STOLEN_APART_US, start_us + lasts_us + STOLEN_APART_US);
    (is_alone && times_us.iter().all(|at_us| phone.is_heard_at(*at_us))).then_some(times_us)
}

/// A place in town that is far from a courier at each of these moments.
fn far_from(plan: &DayPlan<'_>, stream: &mut Stream, phone: &Phone, times_us: &[i64]) -> Option<Point> {
    let mut cursor = 0;
    let ways: Vec<Point> = times_us.iter().map(|at_us| phone.shift().at(*at_us, &mut cursor)).collect();
    let is_far = |place: &Point| ways.iter().all(|at| FAR_M.contains(&at.distance_m(*place)));
    (0..TRIES).map(|_| plan.world.town.place(stream).at).find(is_far)
}

/// A copy of a shop's reader takes payments elsewhere for the same merchant, counting on from the night before: most of
/// its counters the reader itself has used by then.
pub(super) fn cloned_reader(plan: &mut DayPlan<'_>, stream: &mut Stream) -> Option<()> {
    let mut at_us = plan.moment(stream, 14..18);
    let swipes = |reader: usize| plan.busy.range((reader, plan.midnight_us)..(reader, at_us)).count();
    let readers = plan.free_readers_of_shops();
    let reader =
        (0..TRIES).find_map(|_| choose(stream, &readers).filter(|reader| swipes(*reader) >= SWIPES_SINCE_COPIED))?;
    plan.readers.insert(reader);
    let (merchant, door) = (plan.world.business.readers[reader].merchant, plan.door(reader));
    let far = |place: &Point| place.distance_m(door) > COPY_M_MIN;
    let place = (0..TRIES).map(|_| plan.world.town.place(stream).at).find(far)?;
    for _ in 0..stream.random_range(4..=8) {
        let (card, amount_minor) = (plan.card(stream)?, stream.random_range(2_000..=15_000));
        let swipe = Swipe { at_us, reader, card, amount_minor, place };
        plan.swipe(Role::Copy { merchant }, Scenario::ClonedReader, swipe);
        at_us += streams::wait_us(stream, 120_000..600_000);
    }
    Some(())
}

/// A copy of a reader takes payments for a merchant to whom the reader does not belong.
pub(super) fn cloned_reader_other_merchant(plan: &mut DayPlan<'_>, stream: &mut Stream) -> Option<()> {
    let business = &plan.world.business;
    let readers: Vec<usize> = (0..business.readers.len()).filter(|reader| !plan.readers.contains(reader)).collect();
    let reader = choose(stream, &readers)?;
    let owner = business.readers[reader].merchant;
    let is_other = |index: &usize| *index != owner && business.merchants[*index].is_open(plan.day);
    let others: Vec<usize> = (0..business.merchants.len()).filter(is_other).collect();
    let merchant = choose(stream, &others)?;
    plan.readers.insert(reader);
    let place = business.merchants[merchant].place.at;
    let mut at_us = plan.moment(stream, 10..18);
    for _ in 0..stream.random_range(3..=6) {
        let (card, amount_minor) = (plan.card(stream)?, stream.random_range(1_000..=15_000));
        let swipe = Swipe { at_us, reader, card, amount_minor, place };
        plan.swipe(Role::Copy { merchant }, Scenario::ClonedReaderOtherMerchant, swipe);
        at_us += streams::wait_us(stream, 30_000..120_000);
    }
    Some(())
}
