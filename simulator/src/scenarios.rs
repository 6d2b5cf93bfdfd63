//! Frauds that follow a pattern, several each day: whoever finds frauds is measured by them. No two of a day share a card,
//! nor a reader that is far away, copied or used for many cards. Each has a stream of its own.
//!
//! Where a town has no card, reader, courier or merchant left, a fraud is smaller or does not happen.

use std::collections::BTreeSet;

use rand::RngExt;

use crate::World;
use crate::clock::{self, HOUR_US, MINUTE_US, SECOND_US};
use crate::fixes::Phone;
use crate::merchants::Merchant;
use crate::streams::{self, Stream};
use crate::town::Point;
use crate::visits::{Meant, SWIPE_US, Visit};

mod cards;
mod merchants;
mod readers;
#[cfg(test)]
mod tests;

/// How often something is drawn until it fits.
const TRIES: usize = 64;
/// Share of frauds that the card's holder never notices.
const UNNOTICED_SHARE: f64 = 0.2;

/// A pattern of fraud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scenario {
    BustOut,
    RefundAbuse,
    ImpossibleTravel,
    FarReader,
    ClonedReader,
    CardTesting,
    ClonedReaderOtherMerchant,
    Spree,
}

impl Scenario {
    /// Every scenario, those first that find the least room in a small town.
    pub(crate) const ALL: [Self; 8] = [
        Self::BustOut,
        Self::RefundAbuse,
        Self::ImpossibleTravel,
        Self::FarReader,
        Self::ClonedReader,
        Self::CardTesting,
        Self::ClonedReaderOtherMerchant,
        Self::Spree,
    ];

    /// Name as the truth shows it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BustOut => "bust_out",
            Self::RefundAbuse => "refund_abuse",
            Self::ImpossibleTravel => "impossible_travel",
            Self::FarReader => "far_reader",
            Self::ClonedReader => "cloned_reader",
            Self::CardTesting => "card_testing",
            Self::ClonedReaderOtherMerchant => "cloned_reader_other_merchant",
            Self::Spree => "spree",
        }
    }

    /// How many a day has, where there is room for them.
    const fn daily(self, merchants: usize) -> usize {
        match self {
            Self::BustOut => 1,
            Self::Spree => 1 + merchants / 20,
            _ => 1 + merchants / 40,
        }
    }
}

/// What a visit is in a fraud.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Part {
    pub(crate) scenario: Scenario,
    /// Number of the fraud on its day.
    pub(crate) incident: u32,
    pub(crate) role: Role,
}

/// Who does what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Role {
    /// Somebody pays with a card that is not his; a holder who notices gets the money back.
    Thief { noticed: bool },
    /// Somebody pays on a copy of the reader, which is used for this merchant.
    Copy { merchant: usize },
    /// The card's holder pays; somebody else gives the money back at this time.
    GivenBack { at_us: i64 },
}

/// Adds the frauds of a civil day to its visits.
pub(crate) fn add(world: &World, day: u32, phones: &[Phone], visits: &mut Vec<Visit>) {
    let mut plan = DayPlan::new(world, day, phones, visits);
    for scenario in Scenario::ALL {
        for number in 0..scenario.daily(world.business.merchants.len()) {
            let mut stream = streams::stream(world.seed, scenario.name(), number as u64, u64::from(day));
            // A fraud for which there is no room stops, with what it has.
            let _ = match scenario {
                Scenario::BustOut => merchants::bust_out(&mut plan, &mut stream),
                Scenario::RefundAbuse => merchants::refund_abuse(&mut plan, &mut stream),
                Scenario::ImpossibleTravel => cards::impossible_travel(&mut plan, &mut stream),
                Scenario::FarReader => readers::far_reader(&mut plan, &mut stream),
                Scenario::ClonedReader => readers::cloned_reader(&mut plan, &mut stream),
                Scenario::CardTesting => cards::card_testing(&mut plan, &mut stream),
                Scenario::ClonedReaderOtherMerchant => readers::cloned_reader_other_merchant(&mut plan, &mut stream),
                Scenario::Spree => cards::spree(&mut plan, &mut stream),
            };
            plan.incidents += 1;
        }
    }
}

/// A civil day while frauds are added to it.
struct DayPlan<'a> {
    world: &'a World,
    day: u32,
    midnight_us: i64,
    phones: &'a [Phone],
    /// Readers of those who have their day off.
    resting: Vec<usize>,
    visits: &'a mut Vec<Visit>,
    /// Readers and when they are in use.
    busy: BTreeSet<(usize, i64)>,
    /// Cards, readers and merchants that have their fraud of the day.
    cards: BTreeSet<usize>,
    readers: BTreeSet<usize>,
    merchants: BTreeSet<usize>,
    /// Frauds so far: number of the one that is being added.
    incidents: u32,
}

/// Somebody holds a card at a reader.
struct Swipe {
    at_us: i64,
    reader: usize,
    card: usize,
    amount_minor: i64,
    place: Point,
}

impl<'a> DayPlan<'a> {
    fn new(world: &'a World, day: u32, phones: &'a [Phone], visits: &'a mut Vec<Visit>) -> Self {
        let busy = visits.iter().map(|visit| (visit.reader, visit.at_us)).collect();
        let works: BTreeSet<usize> = phones.iter().map(Phone::carrier).collect();
        let carriers = world.business.carriers.iter().enumerate();
        let resting = carriers.filter(|(index, _)| !works.contains(index)).map(|(_, carrier)| carrier.reader).collect();
        Self {
            world,
            day,
            midnight_us: clock::midnight_us(day),
            phones,
            resting,
            visits,
            busy,
            cards: BTreeSet::new(),
            readers: BTreeSet::new(),
            merchants: BTreeSet::new(),
            incidents: 0,
        }
    }

    /// A moment of the day between two hours of it.
    fn moment(&self, stream: &mut Stream, hours: std::ops::Range<i64>) -> i64 {
        self.midnight_us + stream.random_range(hours.start * HOUR_US..hours.end * HOUR_US)
    }

    /// An ordinary card for this fraud alone.
    fn card(&mut self, stream: &mut Stream) -> Option<usize> {
        let cards = &self.world.cards;
        let start = stream.random_range(0..cards.all.len());
        let card = (start..start + cards.all.len())
            .map(|start| cards.ordinary_from(start))
            .find(|card| !self.cards.contains(card))?;
        self.cards.insert(card);
        Some(card)
    }

    /// Shops that do business today, by number.
    fn shops(&self) -> impl Iterator<Item = (usize, &'a Merchant)> {
        let (merchants, day) = (&self.world.business.merchants, self.day);
        merchants.iter().enumerate().filter(move |(_, merchant)| merchant.trade.is_shop() && merchant.is_open(day))
    }

    /// Readers of these shops that have no fraud yet.
    fn free_readers_of_shops(&self) -> Vec<usize> {
        self.shops()
            .flat_map(|(_, shop)| shop.readers.clone())
            .filter(|reader| !self.readers.contains(reader))
            .collect()
    }

    /// The door of the merchant to whom a reader belongs.
    fn door(&self, reader: usize) -> Point {
        let business = &self.world.business;
        business.merchants[business.readers[reader].merchant].place.at
    }

    /// A genuine payment that no fraud touches.
    fn is_genuine(&self, visit: &Visit) -> bool {
        visit.meant == Meant::Ordinary && visit.part.is_none() && !self.cards.contains(&visit.card)
    }

    /// Whether nobody uses a reader from one moment to another and shortly before and after.
    fn is_free(&self, reader: usize, from_us: i64, to_us: i64) -> bool {
        self.busy.range((reader, from_us - SWIPE_US)..=(reader, to_us + SWIPE_US)).next().is_none()
    }

    fn swipe(&mut self, role: Role, scenario: Scenario, swipe: Swipe) {
        let Swipe { at_us, reader, card, amount_minor, place } = swipe;
        self.busy.insert((reader, at_us));
        let part = Some(Part { scenario, incident: self.incidents, role });
        let meant = Meant::Fraud;
        self.visits.push(Visit { at_us, reader, card, amount_minor, meant, place, number: (0, 0), part });
    }
}

/// One of the items, each as likely, if there is any.
fn choose<T: Copy>(stream: &mut Stream, items: &[T]) -> Option<T> {
    (!items.is_empty()).then(|| *streams::pick(stream, items))
}

/// The role of a thief.
fn thief(stream: &mut Stream) -> Role {
    Role::Thief { noticed: !stream.random_bool(UNNOTICED_SHARE) }
}
