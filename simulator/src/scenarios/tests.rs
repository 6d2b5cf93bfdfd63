//! What defines each fraud, on the visits of whole days.

use std::collections::BTreeMap;

use super::*;
use crate::merchants::usual_minor;
use crate::run::phones_of_day;
use crate::visits;

/// A day of a town.
struct Played {
    world: World,
    day: u32,
    phones: Vec<Phone>,
    visits: Vec<Visit>,
}

impl Played {
    fn new(seed: u64, merchants: u32, day: u32) -> Self {
        let world = World::new(seed, merchants);
        let phones = phones_of_day(&world, day);
        let visits = visits::of_day(&world, day, &phones);
        Self { world, day, phones, visits }
    }

    /// Visits of each fraud of this scenario, by time.
    fn frauds(&self, scenario: Scenario) -> Vec<Vec<&Visit>> {
        let mut frauds: BTreeMap<u32, Vec<&Visit>> = BTreeMap::new();
        for visit in &self.visits {
            if let Some(part) = visit.part.filter(|part| part.scenario == scenario) {
                frauds.entry(part.incident).or_default().push(visit);
            }
        }
        frauds.into_values().collect()
    }

    fn merchant_of(&self, visit: &Visit) -> &Merchant {
        &self.world.business.merchants[self.world.business.readers[visit.reader].merchant]
    }

    fn hour(&self, at_us: i64) -> i64 {
        (at_us - clock::midnight_us(self.day)) / HOUR_US
    }
}

/// Days of towns with every trade.
fn days() -> impl Iterator<Item = Played> {
    [(7, 5, 0), (8, 5, 4), (7, 40, 0), (7, 40, 1), (9, 40, 6), (9, 40, 28)]
        .into_iter()
        .map(|(seed, merchants, day)| Played::new(seed, merchants, day))
}

fn lasts_us(fraud: &[&Visit]) -> i64 {
    fraud[fraud.len() - 1].at_us - fraud[0].at_us
}

fn cards_of(fraud: &[&Visit]) -> BTreeSet<usize> {
    fraud.iter().map(|visit| visit.card).collect()
}

fn same<T: PartialEq + Copy>(fraud: &[&Visit], of: impl Fn(&Visit) -> T) -> T {
    let first = of(fraud[0]);
    assert!(fraud.iter().all(|visit| of(visit) == first));
    first
}

#[test]
fn every_day_has_every_fraud_for_which_there_is_room() {
    let found = |seed, merchants, day| -> Vec<usize> {
        let played = Played::new(seed, merchants, day);
        Scenario::ALL.iter().map(|scenario| played.frauds(*scenario).len()).collect()
    };
    for seed in 0..8 {
        assert_eq!(found(seed, 5, 0), [1; 8], "seed {seed}");
        assert_eq!(found(seed, 5, 1), [0, 1, 1, 1, 1, 1, 1, 1], "seed {seed}");
        // A cafe alone has no courier and nobody else's reader.
        assert_eq!(found(seed, 1, 0), [0, 1, 0, 0, 1, 1, 0, 1], "seed {seed}");
    }
    for day in 0..6 {
        let bust_outs = usize::from(day < 4);
        assert_eq!(found(7, 40, day), [bust_outs, 2, 2, 2, 2, 2, 2, 3], "day {day}");
    }
}

#[test]
fn no_two_frauds_of_a_day_share_a_card() {
    for played in days() {
        let mut seen = BTreeSet::new();
        for scenario in Scenario::ALL {
            for fraud in played.frauds(scenario) {
                for card in cards_of(&fraud) {
                    assert!(seen.insert(card), "{scenario:?} {card}");
                }
            }
        }
        assert!(seen.len() > 30);
    }
}

/// Fails when a fraud ends after its day: its line of the truth would be missing in a run that ends there.
#[test]
fn frauds_are_over_before_their_day_is() {
    for visit in days().flat_map(|played| played.visits) {
        let ends_us = match visit.part.map(|part| part.role) {
            Some(Role::GivenBack { at_us }) => at_us,
            Some(_) => visit.at_us,
            None => continue,
        };
        let hour = (ends_us - clock::midnight_us(visit.number.0)) / HOUR_US;
        assert!((8..=22).contains(&hour), "{visit:?}");
    }
}

#[test]
fn a_spree_is_one_card_at_shops_within_a_quarter_of_an_hour() {
    for played in days() {
        for fraud in played.frauds(Scenario::Spree) {
            assert_eq!(cards_of(&fraud).len(), 1);
            assert!((4..=7).contains(&fraud.len()) && lasts_us(&fraud) < 15 * MINUTE_US);
            assert!(fraud.iter().all(|visit| played.merchant_of(visit).is_open(played.day)));
        }
    }
}

#[test]
fn impossible_travel_is_minutes_and_many_kilometres_from_the_holders_own_payment() {
    for played in days() {
        for fraud in played.frauds(Scenario::ImpossibleTravel) {
            let [there] = fraud[..] else { panic!("{fraud:?}") };
            let minutes = |visit: &Visit| (visit.at_us - there.at_us).abs() / MINUTE_US;
            let here = played.visits.iter().find(|visit| {
                visit.card == there.card && visit.meant == Meant::Ordinary && (4..25).contains(&minutes(visit))
            });
            let away_m = here.unwrap().place.distance_m(there.place);
            assert!((60_000.0..300_000.0).contains(&away_m), "{away_m}");
            let carrier = played.world.business.readers[there.reader].carrier.unwrap();
            assert!(played.phones.iter().all(|phone| phone.carrier() != carrier), "he works");
        }
    }
}

#[test]
fn a_far_reader_is_kilometres_from_its_courier_who_is_on_the_road_and_takes_no_payment() {
    for played in days() {
        for fraud in played.frauds(Scenario::FarReader) {
            assert!((1..=3).contains(&fraud.len()) && lasts_us(&fraud) < 10 * MINUTE_US);
            let reader = same(&fraud, |visit| visit.reader);
            let carrier = played.world.business.readers[reader].carrier.unwrap();
            let phone = played.phones.iter().find(|phone| phone.carrier() == carrier).unwrap();
            let mut cursor = 0;
            for visit in &fraud {
                let (from_us, to_us) = phone.shift().span_us();
                assert!((from_us..to_us).contains(&visit.at_us));
                let away_m = phone.shift().at(visit.at_us, &mut cursor).distance_m(visit.place);
                assert!((2_000.0..8_000.0).contains(&away_m), "{away_m}");
                assert!(phone.is_heard_at(visit.at_us));
            }
            let own = played.visits.iter().filter(|visit| visit.reader == reader && visit.part.is_none());
            let apart_us = own.map(|visit| (visit.at_us - fraud[0].at_us).abs()).min().unwrap();
            assert!(apart_us > 2 * MINUTE_US, "{apart_us}");
        }
    }
}

#[test]
fn a_copy_is_used_elsewhere_for_its_own_merchant_or_there_for_another() {
    for played in days() {
        for fraud in played.frauds(Scenario::ClonedReader) {
            assert!((4..=8).contains(&fraud.len()) && cards_of(&fraud).len() == fraud.len());
            let reader = same(&fraud, |visit| visit.reader);
            assert_eq!(same(&fraud, Visit::copy_at), Some(played.world.business.readers[reader].merchant));
            assert!(fraud[0].place.distance_m(played.merchant_of(fraud[0]).place.at) > 500.0);
            let before = |visit: &&Visit| visit.reader == reader && visit.at_us < fraud[0].at_us;
            assert!(played.visits.iter().filter(before).count() >= 15);
        }
        for fraud in played.frauds(Scenario::ClonedReaderOtherMerchant) {
            assert!((3..=6).contains(&fraud.len()) && cards_of(&fraud).len() == fraud.len());
            let merchant = same(&fraud, Visit::copy_at).unwrap();
            assert_ne!(merchant, played.world.business.readers[same(&fraud, |visit| visit.reader)].merchant);
            assert_eq!(fraud[0].place, played.world.business.merchants[merchant].place.at);
        }
    }
}

#[test]
fn card_testing_is_many_cards_with_small_amounts_at_a_reader_that_nobody_else_uses() {
    for played in days() {
        for fraud in played.frauds(Scenario::CardTesting) {
            assert!((15..=40).contains(&fraud.len()) && cards_of(&fraud).len() == fraud.len());
            assert!(lasts_us(&fraud) < 10 * MINUTE_US);
            assert!(fraud.iter().all(|visit| (100..=300).contains(&visit.amount_minor)));
            let reader = same(&fraud, |visit| visit.reader);
            let span = fraud[0].at_us..=fraud[fraud.len() - 1].at_us;
            let at_reader = |visit: &&Visit| visit.reader == reader && span.contains(&visit.at_us);
            assert_eq!(played.visits.iter().filter(at_reader).filter(|visit| visit.part.is_none()).count(), 0);
        }
    }
}

#[test]
fn refund_abuse_gives_back_ordinary_payments_of_a_shop_in_the_evening() {
    for played in days() {
        for fraud in played.frauds(Scenario::RefundAbuse) {
            assert!((8..=15).contains(&fraud.len()));
            same(&fraud, |visit| played.world.business.readers[visit.reader].merchant);
            let times_us = fraud.iter().map(|visit| match visit.part.unwrap().role {
                Role::GivenBack { at_us } => at_us,
                role => panic!("{role:?}"),
            });
            let times_us: Vec<i64> = times_us.collect();
            let (first_us, last_us) = (*times_us.iter().min().unwrap(), *times_us.iter().max().unwrap());
            assert!(last_us - first_us < 30 * MINUTE_US && (21..=22).contains(&played.hour(first_us)));
            // Late enough for every signature.
            assert!(
                fraud.iter().all(|visit| visit.meant == Meant::Ordinary && visit.at_us < first_us - 10 * MINUTE_US)
            );
        }
    }
}

#[test]
fn a_bust_out_takes_high_amounts_of_many_cards_and_ends_a_business() {
    for day in 0..4 {
        let played = Played::new(7, 40, day);
        let frauds = played.frauds(Scenario::BustOut);
        let [fraud] = &frauds[..] else { panic!("{frauds:?}") };
        assert!((30..=60).contains(&fraud.len()) && cards_of(fraud).len() == fraud.len());
        assert!(lasts_us(fraud) < 3 * HOUR_US);
        let merchant = played.merchant_of(fraud[0]);
        let usual_minor = usual_minor(merchant.trade);
        assert!(fraud.iter().all(|visit| (5 * usual_minor..=10 * usual_minor).contains(&visit.amount_minor)));
        let noticed = fraud.iter().filter(|visit| visit.part.unwrap().role == Role::Thief { noticed: true }).count();
        assert!(noticed * 2 > fraud.len(), "{noticed}");
        let of_merchant = |played: &Played| {
            let at_merchant = |visit: &&Visit| merchant.readers.contains(&visit.reader) && visit.copy_at().is_none();
            played.visits.iter().filter(at_merchant).filter(|visit| visit.meant != Meant::Fraud).count()
        };
        assert!(of_merchant(&played) > 20);
        assert!((0..day).all(|earlier| of_merchant(&Played::new(7, 40, earlier)) > 20));
        assert_eq!(of_merchant(&Played::new(7, 40, day + 1)), 0);
    }
}

/// Fails when frauds are numbered among others' visits: a number names a stream, and what anybody else does must not depend
/// on frauds.
#[test]
fn frauds_are_numbered_after_everybody_else() {
    let played = Played::new(7, 5, 0);
    let genuine: Vec<&Visit> = played.visits.iter().filter(|visit| visit.meant != Meant::Fraud).collect();
    let mut numbers: Vec<u64> = genuine.iter().map(|visit| visit.number.1).collect();
    assert!(numbers.is_sorted(), "genuine visits are numbered by time");
    numbers.dedup();
    assert_eq!(numbers, (0..genuine.len() as u64).collect::<Vec<_>>());
}
