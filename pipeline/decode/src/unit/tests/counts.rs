//! Key counters and the merchant's day: what moves them, and what they refuse.

use crate::DecodeUnit;
use crate::idtech::tests::resealed;
use crate::testing::{AMEX, Row, feed, of, swipe, swipe_of, unit_with};

/// The findings of swipes, one text a swipe.
fn findings(unit: &mut DecodeUnit, rows: &[Row]) -> Vec<String> {
    of(&feed(unit, 0, rows), "payments").iter().map(|line| line.findings().join(" ")).collect()
}

/// Swipes with these counters of device 1, each with a STAN of its own.
fn with_counters(counters: &[u32]) -> Vec<Row> {
    counters.iter().enumerate().map(|(at, counter)| swipe(0, at as i32, *counter)).collect()
}

/// Fails when a counter passes twice, or one that comes late inside the window of 64 does not pass.
#[test]
fn a_counter_passes_once_and_may_come_late() {
    let mut unit = unit_with(|_| {});
    let seen = findings(&mut unit, &with_counters(&[100, 164, 101, 102, 101, 164, 100, 60]));
    let replayed = "replayed_counter";
    assert_eq!(seen, ["", "", "", "", replayed, replayed, replayed, replayed]);
}

#[test]
fn a_reader_that_changed_hands_starts_at_its_lowest_counter() {
    let mut unit = unit_with(|bundle| bundle.readers[0].counter_min = 100);
    assert_eq!(findings(&mut unit, &with_counters(&[99, 100, 101])), ["replayed_counter", "", ""]);
}

/// Fails when any of the first four moves the counter: the reader's own swipe would be a replay.
#[test]
fn only_frames_that_opened_for_their_own_merchant_move_a_counter() {
    let mut unit = unit_with(|_| {});
    let row = |stan| swipe(0, stan, 900);
    let foreign = |stan| Row { merchant: Some("M2".into()), ..row(stan) };
    let unknown = Row { reader: Some("R9".into()), ..row(2) };
    let stranger = Row { merchant: Some("M9".into()), ..row(3) };
    let mut closed = row(4);
    closed.frame = closed.frame.map(|frame| resealed(&frame, |card_data| card_data[8] = b'5'));
    let rows = [foreign(1), unknown, stranger, closed, row(5), foreign(6), row(7)];
    let seen = findings(&mut unit, &rows);
    assert_eq!(seen[4], "");
    assert_eq!(seen[5], "reader_of_other_merchant", "a stranger does not learn about the counter");
    assert_eq!(seen[6], "replayed_counter");
    // A swipe that is refused for another reason did use up its counter.
    let refused = Row { amount: Some(-1), ..swipe(0, 8, 901) };
    assert_eq!(findings(&mut unit, &[refused, swipe(0, 9, 901)]), ["invalid_amount", "replayed_counter"]);
}

/// Fails when a refused swipe or a retransmission counts, or a limit is off by one.
#[test]
fn limits_of_a_day_count_what_decode_does_not_refuse() {
    let mut unit = unit_with(|bundle| {
        let merchant = &mut bundle.merchants[0];
        (merchant.payment_minor_max, merchant.day_minor_max, merchant.day_count_max) = (500, 1_000, 3);
    });
    let of_amount = |(stan, amount): (i32, i64)| Row { amount: Some(amount), ..swipe(0, stan, stan as u32) };
    let rows = [(1, 501), (2, 500), (2, 500), (3, 400), (4, 101), (5, 100), (6, 1)].map(of_amount);
    let last = "merchant_day_amount merchant_day_count";
    assert_eq!(findings(&mut unit, &rows), ["payment_limit", "", "", "", "merchant_day_amount", "", last]);
}

/// Fails when days change by UTC or a late record opens its own day again: midnight in Tokyo is at 15:00 UTC.
#[test]
fn a_merchants_day_runs_in_its_zone_and_never_goes_back() {
    let mut unit = unit_with(|bundle| bundle.merchants[1].day_count_max = 1);
    let midnight_s = 7 * 3_600;
    let times_s = [0, midnight_s - 1, midnight_s, midnight_s + 1, midnight_s - 2, midnight_s + 24 * 3_600];
    let rows: Vec<Row> = (1_i32..)
        .zip(times_s)
        .map(|(stan, at_s)| Row {
            merchant: Some("M2".into()),
            reader: Some("R2".into()),
            ..swipe_of(at_s, stan, stan as u32, &AMEX)
        })
        .collect();
    let full = "merchant_day_count";
    assert_eq!(findings(&mut unit, &rows), ["", full, "", full, full, ""]);
}
