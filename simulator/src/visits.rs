//! Who pays what, where and when on a civil day, and which of these payments go another way than most.

use rand::RngExt;
use schemas::reasons::Reason;

use crate::World;
use crate::cards::CardKind;
use crate::clock::SECOND_US;
use crate::fixes::Phone;
use crate::merchants;
use crate::scenarios::{self, Part, Role};
use crate::streams::{self, Stream};
use crate::town::Point;

/// Regular customers of a merchant.
const REGULARS: usize = 40;
/// A phone needs this long from one swipe to the next.
pub(crate) const SWIPE_US: i64 = 25 * SECOND_US;

/// What a payment is meant to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Meant {
    Ordinary,
    ForgotSignature,
    NoAnswer,
    WithdrawnEarly,
    Retransmitted,
    Late,
    Cancelled,
    Refunded,
    ChargedBack,
    Disposed,
    Expired,
    NoName,
    NameUnknown,
    PinOnly,
    Poor,
    Stolen,
    BrokenFrame,
    NegativeAmount,
    LongStan,
    UnknownMerchant,
    ForeignReader,
    DuplicateLooking,
    /// Nobody's own payment: see the visit's part.
    Fraud,
}

/// Of a thousand payments so many go each of these ways, and every day at least one.
const SHARES: [(Meant, usize); 21] = [
    (Meant::ForgotSignature, 30),
    (Meant::NoAnswer, 5),
    (Meant::WithdrawnEarly, 1),
    (Meant::Retransmitted, 10),
    (Meant::Late, 8),
    (Meant::Cancelled, 6),
    (Meant::Refunded, 8),
    (Meant::ChargedBack, 2),
    (Meant::Disposed, 3),
    (Meant::Expired, 6),
    (Meant::NoName, 6),
    (Meant::NameUnknown, 3),
    (Meant::PinOnly, 2),
    (Meant::Poor, 8),
    (Meant::Stolen, 2),
    (Meant::BrokenFrame, 2),
    (Meant::NegativeAmount, 1),
    (Meant::LongStan, 1),
    (Meant::UnknownMerchant, 1),
    (Meant::ForeignReader, 1),
    (Meant::DuplicateLooking, 4),
];

impl Meant {
    /// Name as the truth shows it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::ForgotSignature => "forgot_signature",
            Self::NoAnswer => "no_answer",
            Self::WithdrawnEarly => "withdrawn_early",
            Self::Retransmitted => "retransmitted",
            Self::Late => "late",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
            Self::ChargedBack => "charged_back",
            Self::Disposed => "disposed",
            Self::Expired => "expired",
            Self::NoName => "no_name",
            Self::NameUnknown => "name_unknown",
            Self::PinOnly => "pin_only",
            Self::Poor => "poor",
            Self::Stolen => "stolen",
            Self::BrokenFrame => "broken_frame",
            Self::NegativeAmount => "negative_amount",
            Self::LongStan => "long_stan",
            Self::UnknownMerchant => "unknown_merchant",
            Self::ForeignReader => "foreign_reader",
            Self::DuplicateLooking => "duplicate_looking",
            Self::Fraud => "fraud",
        }
    }

    /// Why such a payment is refused, whatever the card's balance and whose the reader is.
    pub(crate) const fn refusal(self) -> Option<Reason> {
        Some(match self {
            Self::WithdrawnEarly => Reason::WithdrawnBeforeArrival,
            Self::Expired => Reason::ExpiredCard,
            Self::NoName => Reason::NoNameCard,
            Self::NameUnknown => Reason::NameUnknown,
            Self::PinOnly => Reason::ServiceNotAllowed,
            Self::Stolen => Reason::StolenCard,
            Self::BrokenFrame => Reason::DamagedFrame,
            Self::NegativeAmount => Reason::InvalidAmount,
            Self::LongStan => Reason::FormatError,
            Self::UnknownMerchant => Reason::UnknownMerchant,
            _ => return None,
        })
    }

    /// Whether the record itself is broken on purpose.
    pub(crate) const fn is_broken(self) -> bool {
        matches!(
            self,
            Self::BrokenFrame | Self::NegativeAmount | Self::LongStan | Self::UnknownMerchant | Self::ForeignReader
        )
    }

    const fn card_kind(self) -> CardKind {
        match self {
            Self::Expired => CardKind::Expired,
            Self::NoName => CardKind::NoName,
            Self::PinOnly => CardKind::PinOnly,
            Self::Poor => CardKind::Poor,
            Self::Stolen => CardKind::Stolen,
            _ => CardKind::Ordinary,
        }
    }
}

/// Somebody holds a card at a reader.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Visit {
    /// True time of the swipe, microseconds UTC.
    pub(crate) at_us: i64,
    pub(crate) reader: usize,
    pub(crate) card: usize,
    pub(crate) amount_minor: i64,
    pub(crate) meant: Meant,
    pub(crate) place: Point,
    /// Civil day and number on it: names the visit's stream.
    pub(crate) number: (u32, u64),
    pub(crate) part: Option<Part>,
}

impl Visit {
    /// The merchant for whom a copy of the reader is used.
    pub(crate) fn copy_at(&self) -> Option<usize> {
        match self.part?.role {
            Role::Copy { merchant } => Some(merchant),
            Role::Thief { .. } | Role::GivenBack { .. } => None,
        }
    }

    /// The merchant under whom the phone is logged in; nothing for one that is not known.
    pub(crate) fn merchant(&self, world: &World) -> Option<usize> {
        let owner = world.business.readers[self.reader].merchant;
        match self.meant {
            Meant::UnknownMerchant => None,
            Meant::ForeignReader => Some((owner + 1) % world.business.merchants.len()),
            _ => Some(self.copy_at().unwrap_or(owner)),
        }
    }
}

/// Every visit of a civil day, ordered by time. `phones` are those of everybody who is on the road.
pub(crate) fn of_day(world: &World, day: u32, phones: &[Phone]) -> Vec<Visit> {
    let mut visits = Vec::new();
    for (index, merchant) in world.business.merchants.iter().enumerate().filter(|(_, merchant)| merchant.is_open(day)) {
        let mut stream = streams::stream(world.seed, "customers", index as u64, u64::from(day));
        let mut free_us = vec![0; merchant.readers.len()];
        for at_us in merchants::customer_times(&mut stream, merchant.trade, day) {
            let counter = stream.random_range(0..free_us.len());
            let at_us = at_us.max(free_us[counter]);
            free_us[counter] = at_us + SWIPE_US;
            let amount_minor = merchants::amount_minor(&mut stream, merchant.trade);
            let card = customer(world, &mut stream, index);
            visits.push(ordinary(at_us, merchant.readers.start + counter, card, amount_minor, merchant.place.at));
        }
    }
    for phone in phones {
        let mut stream = streams::stream(world.seed, "road customers", phone.carrier() as u64, u64::from(day));
        let carrier = &world.business.carriers[phone.carrier()];
        for payment in &phone.shift().payments {
            let card = customer(world, &mut stream, carrier.merchant);
            visits.push(ordinary(payment.at_us, carrier.reader, card, payment.amount_minor, payment.at));
        }
    }
    let mut stream = streams::stream(world.seed, "incidents", 0, u64::from(day));
    allot(world, &mut stream, &mut visits);
    visits.sort_by_key(|visit| (visit.at_us, visit.reader));
    scenarios::add(world, day, phones, &mut visits);
    // Frauds come last, so that they change the numbers of nobody else.
    for (number, visit) in (0..).zip(&mut visits) {
        visit.number = (day, number);
    }
    visits.sort_by_key(|visit| (visit.at_us, visit.reader));
    visits
}

fn ordinary(at_us: i64, reader: usize, card: usize, amount_minor: i64, place: Point) -> Visit {
    Visit { at_us, reader, card, amount_minor, meant: Meant::Ordinary, place, number: (0, 0), part: None }
}

/// Half of a merchant's customers are its regulars.
fn customer(world: &World, stream: &mut Stream, merchant: usize) -> usize {
    let start = if stream.random_bool(0.5) {
        merchant * 97 + stream.random_range(0..REGULARS) * 13
    } else {
        stream.random_range(0..world.cards.all.len())
    };
    world.cards.ordinary_from(start)
}

/// Gives each special way its share of the visits, no visit two of them.
fn allot(world: &World, stream: &mut Stream, visits: &mut Vec<Visit>) {
    let total = visits.len();
    let mut untouched: Vec<usize> = (0..total).collect();
    for (meant, per_mille) in SHARES {
        for _ in 0..(total * per_mille / 1_000).max(1) {
            if untouched.is_empty() {
                return;
            }
            let index = untouched.swap_remove(stream.random_range(0..untouched.len()));
            if meant == Meant::DuplicateLooking {
                let mut second = visits[index].clone();
                second.at_us += streams::wait_us(stream, 15_000..45_000);
                second.meant = meant;
                visits.push(second);
                continue;
            }
            let visit = &mut visits[index];
            visit.meant = match meant {
                Meant::ForeignReader if world.business.merchants.len() < 2 => Meant::UnknownMerchant,
                _ => meant,
            };
            if meant.card_kind() != CardKind::Ordinary {
                visit.card = world.cards.any(stream, meant.card_kind());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when a share is forgotten in `allot`, or a visit gets two.
    #[test]
    fn every_day_has_every_way_and_most_are_ordinary() {
        let world = World::new(9, 3);
        for day in 0..3 {
            let visits = of_day(&world, day, &[]);
            for (meant, _) in SHARES {
                assert!(visits.iter().any(|visit| visit.meant == meant), "{meant:?} on day {day}");
            }
            let ordinary = visits.iter().filter(|visit| visit.meant == Meant::Ordinary).count();
            let genuine = visits.iter().filter(|visit| visit.meant != Meant::Fraud).count();
            assert!(ordinary * 10 > genuine * 7, "{ordinary} of {genuine}");
            assert!(visits.is_sorted_by_key(|visit| visit.at_us));
        }
    }

    #[test]
    fn special_ways_have_the_card_that_they_need() {
        let world = World::new(9, 3);
        for visit in of_day(&world, 0, &[]) {
            assert_eq!(world.cards.all[visit.card].kind, visit.meant.card_kind(), "{:?}", visit.meant);
        }
    }
}
