//! What is found with so many cards a day: by hand, and against a literal definition.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::evaluate::budget::{budget, found_by_day};
use crate::measures::{MeasureError, card_precision_top_k};

const MINUTE_US: i64 = 60_000_000;

/// The hint is the score.
fn of(rows: &[Row], cards_a_day: usize) -> Budget {
    let scores: Vec<f64> = rows.iter().map(|row| row.5).collect();
    budget(&transactions(rows).frame, &scores, cards_a_day).unwrap()
}

/// A moment of a day, minutes.
fn at(day: i64, minute: i64) -> i64 {
    day * DAY_US + minute * MINUTE_US
}

#[test]
fn what_is_found_and_saved_by_hand() {
    let rows = [
        // Day 0, two cards: "a" with 0.9 and "b" with 0.8, so alerts are at 0.8. The first fraud of "a" scores less, so
        // that its alert is the second; "b" is genuine. "c" is not looked at.
        (at(0, 10), "a", "t", 1_000, 1, 0.7),
        (at(0, 40), "a", "t", 2_000, 2, 0.9),
        (at(0, 20), "b", "t", 5_000, 0, 0.8),
        (at(0, 30), "c", "t", 400, 2, 0.6),
        // Day 1: "a" is blocked, and its fraud saved. "c" is found at its second fraud of the test, "d" by a genuine
        // payment: at the end of the day, which saves the fraud of day 2 only.
        (at(1, 5), "a", "t", 7_000, 1, 0.99),
        (at(1, 30), "c", "t", 500, 3, 0.5),
        (at(1, 50), "d", "t", 10, 0, 0.6),
        (at(1, 55), "d", "t", 100, 3, 0.1),
        // Day 2: "e" is found on its first fraud; "f" is never found.
        (at(2, 1), "d", "t", 200, 3, 0.9),
        (at(2, 2), "e", "t", 60, 2, 0.8),
        (at(2, 3), "f", "t", 30, 2, 0.3),
        (at(2, 4), "g", "t", 30, 0, 0.4),
    ];
    let found = of(&rows, 2);
    assert_eq!((found.defrauded, found.found), (5, 4));
    assert_eq!(found.first_payment_share, 1.0 / 5.0);
    assert_eq!(found.fraud_minor, 1_000 + 2_000 + 400 + 7_000 + 500 + 100 + 200 + 60 + 30);
    assert_eq!(found.saved_minor, (2_000 + 7_000) + 500 + 200 + 60);
    assert_eq!(found.saved_share, 9_760.0 / 11_290.0);
    // "a" waited half an hour; "c" a day; "e" not at all, "f" for ever; "d" from 00:55 to midnight.
    let cases = |defrauded, found, minutes| ScenarioCases { defrauded, found, minutes_to_alert_median: minutes };
    let by_scenario = [(1, cases(1, 1, Some(30.0))), (2, cases(3, 2, Some(720.0))), (3, cases(1, 1, Some(1_385.0)))];
    assert_eq!(found.by_scenario, BTreeMap::from(by_scenario));

    let one = of(&rows, 1);
    // Day 0 "a", day 1 "d" (0.6 beside 0.5), day 2 "e".
    assert_eq!((one.found, one.saved_minor), (3, 9_000 + 200 + 60));
}

#[test]
fn of_frauds_at_one_moment_the_first_read_is_the_first() {
    let rows = [(at(0, 1), "a", "t", 5, 1, 0.2), (at(0, 1), "a", "t", 7, 2, 0.9), (at(0, 2), "b", "t", 1, 0, 0.5)];
    let found = of(&rows, 1);
    assert_eq!((found.first_payment_share, found.saved_minor), (0.0, 12));
    assert_eq!(found.by_scenario.keys().collect::<Vec<_>>(), [&1]);
    let turned = of(&[rows[1], rows[0], rows[2]], 1);
    assert_eq!(turned.first_payment_share, 1.0);
    assert_eq!(turned.by_scenario.keys().collect::<Vec<_>>(), [&2]);
}

/// Fails where a card is looked at that card precision does not look at.
fn days_of(rows: &[Row], cards_a_day: usize) -> Result<(), MeasureError> {
    let all = transactions(rows);
    let scores: Vec<f64> = rows.iter().map(|row| row.5).collect();
    let precision = card_precision_top_k(&payments(&all.frame).unwrap(), &scores, cards_a_day)?.unwrap();
    let mut scored = all.frame.clone();
    let column = polars::prelude::Float64Chunked::from_vec("score".into(), scores);
    scored.with_column(polars::prelude::IntoColumn::into_column(column)).unwrap();
    let found = found_by_day(&scored, cards_a_day).unwrap();
    let found: Vec<i64> = found.column("day").unwrap().i64().unwrap().into_no_null_iter().collect();
    for day in precision.days {
        assert_eq!(found.iter().filter(|found| **found == day.day).count(), day.found, "{day:?}");
    }
    Ok(())
}

/// The definition, card by card.
fn literal(rows: &[Row], k: usize) -> (usize, usize, i64) {
    let mut ordered: Vec<&Row> = rows.iter().collect();
    ordered.sort_by_key(|row| row.0);
    let day_of = |row: &Row| row.0.div_euclid(DAY_US);
    let days: BTreeSet<i64> = rows.iter().map(day_of).collect();
    let mut found: BTreeMap<&str, (Option<&Row>, i64)> = BTreeMap::new();
    for day in days {
        let mut cards: BTreeMap<&str, f64> = BTreeMap::new();
        for row in rows.iter().filter(|row| day_of(row) == day && !found.contains_key(row.1)) {
            let score = cards.entry(row.1).or_insert(row.5);
            *score = score.max(row.5);
        }
        let mut cards: Vec<(&str, f64)> = cards.into_iter().collect();
        cards.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(other.0)));
        cards.truncate(k);
        let lowest = cards.last().map_or(f64::INFINITY, |card| card.1);
        for (card, _) in cards {
            let own: Vec<&&Row> =
                ordered.iter().filter(|row| row.1 == card && day_of(row) == day && row.4 != 0).collect();
            if !own.is_empty() {
                let alert = own.iter().find(|row| row.5 >= lowest).map(|row| **row);
                found.insert(card, (alert, alert.map_or((day + 1) * DAY_US, |row| row.0)));
            }
        }
    }
    let frauds = ordered.iter().filter(|row| row.4 != 0);
    let is_saved = |row: &&&Row| found.get(row.1).is_some_and(|(_, since)| row.0 >= *since);
    let saved = frauds.clone().filter(is_saved).map(|row| row.3).sum();
    let mut first: BTreeMap<&str, &Row> = BTreeMap::new();
    for row in frauds.rev() {
        first.insert(row.1, row);
    }
    let at_once = first.iter().filter(|(card, row)| found.get(*card).is_some_and(|(alert, _)| *alert == Some(**row)));
    (found.len(), at_once.count(), saved)
}

proptest! {
    #[test]
    fn found_and_saved_are_their_literal_definition(
        rows in prop::collection::vec((-2..3_i64, 0..8_usize, prop::bool::weighted(0.3), 0..5_i32), 1..60), k in 1..4_usize
    ) {
        const CARDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
        // Each at a moment and with an amount of its own.
        let rows: Vec<Row> = (0..).zip(&rows).map(|(place, (day, card, is_fraud, score))| {
            (at(*day, (place * 37) % 1_440), CARDS[*card], "t", 1 << (place % 50), i32::from(*is_fraud), f64::from(*score))
        }).collect();
        days_of(&rows, k).unwrap();
        let (found, at_once, saved_minor) = literal(&rows, k);
        let budget = of(&rows, k);
        prop_assert_eq!((budget.found, budget.saved_minor), (found, saved_minor));
        prop_assert_eq!(budget.first_payment_share, at_once as f64 / budget.defrauded.max(1) as f64);
    }
}
