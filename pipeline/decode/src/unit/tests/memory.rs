//! Retransmissions, trace numbers used twice, withdraws.

use schemas::ids::ContentHash;
use schemas::topics::kind;
use schemas::unit::Unit;

use crate::testing::{
    AMEX, Line, Row, bundle, enforce, feed, frame_under, ksn, of, payment, publish, record, swipe, swipe_of, to_json,
    unit_with, withdraw,
};

const DAY_S: i64 = 24 * 3_600;

fn is_repeat(line: &Line) -> bool {
    line.get("repeat") == "true"
}

/// Fails when a column of a repeat is made anew from what holds now, or when a repeat moves anything.
#[test]
fn a_retransmission_gets_the_first_row_again_and_moves_nothing() {
    let rows = [
        swipe_of(0, 1, 1, &AMEX),
        Row { merchant: Some("M2".into()), reader: Some("R2".into()), ..swipe(0, 2, 2) },
        Row { frame: None, malformed: Some("frame".into()), ..swipe(0, 3, 3) },
    ];
    let mut unit = unit_with(|_| {});
    let first = feed(&mut unit, 0, &rows);
    let saved = unit.save().unwrap();
    let again = feed(&mut unit, 3, &rows);
    assert_eq!(unit.save().unwrap(), saved);
    assert!(of(&again, "payments").iter().all(|line| is_repeat(line)));
    assert!(!of(&first, "payments").iter().any(|line| is_repeat(line)));
    // Another token key and another bundle come into force in between.
    enforce(&mut unit, "token_key", "2").unwrap();
    let mut other = bundle();
    (other.assignments, other.number_ranges) = (vec![], vec![]);
    other.merchants.iter_mut().for_each(|merchant| merchant.mcc = "0000".into());
    publish(&mut unit, 6, &to_json(&other)).unwrap();
    let last = feed(&mut unit, 6, &rows.map(|row| row.at(DAY_S)));
    for ((first, again), last) in of(&first, "payments").iter().zip(of(&again, "payments")).zip(of(&last, "payments")) {
        assert!(is_repeat(last));
        assert_eq!(first.timeless(), again.timeless());
        assert_eq!(first.timeless(), last.timeless());
        assert_eq!(last.get("event_time"), "2027-01-02T08:00:00Z");
    }
}

/// Fails when the day is measured by the clock that others move, or is off by one.
#[test]
fn a_swipe_is_remembered_for_a_day_of_its_own_time() {
    let mut unit = unit_with(|_| {});
    let (early, late) = (swipe(0, 1, 1), swipe(0, 2, 2));
    feed(&mut unit, 0, &[early.clone(), late.clone(), record(kind::TICK, DAY_S + 20)]);
    assert!(is_repeat(&payment(&mut unit, early.clone().at(DAY_S))), "the clock is ahead");
    let again = payment(&mut unit, late.at(DAY_S + 1));
    assert!(!is_repeat(&again) && again.findings() == ["replayed_counter"]);
    feed(&mut unit, 0, &[record(kind::TICK, DAY_S + 31)]);
    assert!(!is_repeat(&payment(&mut unit, early.at(DAY_S))), "forgotten by the clock and its spread");
}

/// Fails when a field is left out of the content.
#[test]
fn any_other_content_is_another_swipe() {
    let mut unit = unit_with(|_| {});
    let first = swipe(0, 1, 1);
    payment(&mut unit, first.clone());
    let changes: [fn(&mut Row); 7] = [
        |row| row.amount = Some(1_201),
        |row| row.currency = Some("USD".into()),
        |row| row.courier = Some("C1".into()),
        |row| row.app_version = None,
        |row| row.terminal_us = None,
        |row| row.malformed = Some("courier_id".into()),
        |row| row.frame = Some(frame_under(ksn(1, 2), &AMEX)),
    ];
    for change in changes {
        let mut row = first.clone();
        change(&mut row);
        let line = payment(&mut unit, row);
        assert!(!is_repeat(&line) && line.findings().contains(&"duplicate_stan"), "{line:?}");
    }
    for (merchant, reader, stan) in [("M2", "R1", 1), ("M1", "R2", 1), ("M1", "R1", 2)] {
        let (merchant, reader, stan) = (Some(merchant.into()), Some(reader.into()), Some(stan));
        let line = payment(&mut unit, Row { merchant, reader, stan, ..first.clone() });
        assert!(!is_repeat(&line) && !line.findings().contains(&"duplicate_stan"), "{line:?}");
    }
    assert!(is_repeat(&payment(&mut unit, first)));
}

/// Fails when a retransmission of the second swipe gets the answer of the first.
#[test]
fn a_stan_used_twice_has_two_payments_each_with_its_retransmissions() {
    let mut unit = unit_with(|_| {});
    let (first, second) = (swipe(0, 1, 1), swipe_of(1, 1, 2, &AMEX));
    let same_counter = Row { amount: Some(1), ..first.clone() };
    let rows = [first.clone(), second.clone(), second, first, same_counter.clone(), same_counter];
    let lines = feed(&mut unit, 0, &rows);
    let payments = of(&lines, "payments");
    let seen: Vec<_> = payments.iter().map(|line| (is_repeat(line), line.findings().join(" "))).collect();
    let expected = [
        (false, ""),
        (false, "duplicate_stan"),
        (true, "duplicate_stan"),
        (true, ""),
        (false, "duplicate_stan replayed_counter"),
        (false, "duplicate_stan replayed_counter"),
    ];
    assert_eq!(seen, expected.map(|(repeat, findings)| (repeat, findings.to_string())));
    assert_ne!(payments[0].get("payment_id"), payments[1].get("payment_id"));
    assert_eq!(payments[1].timeless(), payments[2].timeless());
    // Same reader, counter and STAN is the same identity; authorize must not repeat the first answer for it.
    assert_eq!(payments[0].get("payment_id"), payments[4].get("payment_id"));
}

#[test]
fn a_withdraw_finds_its_payment() {
    let mut unit = unit_with(|_| {});
    let row = swipe(0, 1, 1);
    let lines = feed(&mut unit, 0, &[row.clone(), swipe_of(1, 1, 2, &AMEX), withdraw(30, &row), row.clone().at(31)]);
    let payments = of(&lines, "payments");
    assert_eq!((payments[2].get("kind"), payments[2].findings()), ("withdraw", vec![]));
    assert_eq!(payments[2].get("payment_id"), payments[0].get("payment_id"), "the first of its STAN");
    assert_eq!(["merchant_id", "reader_id", "stan"].map(|name| payments[2].get(name)), ["M1", "R1", "1"]);
    assert!(is_repeat(payments[3]), "withdrawn or not, it was answered");
    assert_eq!(payment(&mut unit, withdraw(DAY_S + 2, &row)).get("payment_id"), "", "too late");
}

/// Fails when the early withdraw is forgotten, or refuses anybody else's swipe.
#[test]
fn a_swipe_that_was_withdrawn_before_it_arrived_is_refused() {
    let mut unit = unit_with(|_| {});
    let row = swipe(0, 1, 1);
    let foreign = Row { merchant: Some("M2".into()), ..withdraw(0, &row) };
    let lines = feed(&mut unit, 0, &[foreign, withdraw(0, &swipe(0, 2, 2)), row, swipe(3, 2, 2)]);
    let payments = of(&lines, "payments");
    assert_eq!([payments[0].get("payment_id"), payments[1].get("payment_id")], [""; 2]);
    assert_eq!(payments[2].findings(), Vec::<&str>::new());
    assert_eq!(payments[3].findings(), ["withdrawn_before_arrival"]);
    // What was refused once stays refused; another swipe under its STAN is a second use.
    let lines = feed(&mut unit, 4, &[swipe(3, 2, 2), swipe(4, 2, 3), withdraw(5, &swipe(3, 2, 2))]);
    let after = of(&lines, "payments");
    assert_eq!(after[0].timeless(), payments[3].timeless());
    assert_eq!(after[1].findings(), ["duplicate_stan"]);
    assert_eq!(after[2].get("payment_id"), payments[3].get("payment_id"));
    // After a day the withdraw is forgotten.
    let late = swipe(10, 3, 4);
    payment(&mut unit, withdraw(10, &late));
    assert_eq!(payment(&mut unit, late.at(DAY_S + 11)).findings(), Vec::<&str>::new());
}

#[test]
fn a_full_memory_refuses_what_it_cannot_remember() {
    let mut unit = unit_with(|_| {});
    unit.state.memory.limit(2);
    let lines = feed(&mut unit, 0, &[swipe(0, 1, 1), withdraw(1, &swipe(0, 2, 2)), swipe(2, 3, 3), swipe(0, 1, 1)]);
    let payments = of(&lines, "payments");
    assert_eq!(payments[2].findings(), ["capacity_reached"]);
    assert!(is_repeat(payments[3]));
    let lines = feed(&mut unit, 4, &[withdraw(3, &swipe(0, 9, 9)), swipe(3, 2, 2), swipe_of(3, 1, 5, &AMEX)]);
    let payments = of(&lines, "payments");
    assert_eq!(payments[0].findings(), ["capacity_reached"]);
    assert_eq!(payments[1].findings(), ["withdrawn_before_arrival", "capacity_reached"]);
    assert_eq!(payments[2].findings(), ["duplicate_stan", "capacity_reached"]);
    // A day later there is room again.
    feed(&mut unit, 7, &[record(kind::TICK, DAY_S + 60)]);
    assert_eq!(payment(&mut unit, swipe(DAY_S + 61, 4, 6)).findings(), Vec::<&str>::new());
}

/// Fails when names of old bundles stay in state for ever, or a remembered swipe loses its own.
#[test]
fn a_new_bundle_drops_names_that_no_swipe_uses() {
    let mut unit = unit_with(|_| {});
    let last = swipe(4 * DAY_S, 3, 3);
    let swipes = [swipe(0, 1, 1), swipe(2 * DAY_S, 2, 2), last.clone()];
    let mut hashes = Vec::new();
    for (number, row) in swipes.into_iter().enumerate() {
        let mut other = bundle();
        other.merchants[0].name = format!("Shop {number}");
        publish(&mut unit, 0, &to_json(&other)).unwrap();
        hashes.push(ContentHash::of(&to_json(&other)).to_hex());
        payment(&mut unit, row);
    }
    publish(&mut unit, 0, &to_json(&bundle())).unwrap();
    let saved = unit.save().unwrap();
    let is_saved = |hash: &String| saved.windows(hash.len()).any(|window| window == hash.as_bytes());
    assert_eq!(hashes.iter().map(is_saved).collect::<Vec<_>>(), [false, false, true]);
    let line = payment(&mut unit, last.at(4 * DAY_S + 5));
    assert!(is_repeat(&line));
    assert_eq!((line.get("scheme"), line.get("decode_bundle")), ("Visa", hashes[2].as_str()));
}
