//! One test for each rule; `day` is a written-out day, `laws` what holds for any log.

mod day;
mod laws;
mod scoring;
mod steps;

use schemas::bundles::{CardAccount, CardList, ListedCard, Policy};
use schemas::money::Currency;
use schemas::topics::kind;
use schemas::unit::{Control, ControlChange, Destination, Unit, UnitError};
use schemas::{Offset, tables};

use crate::AuthorizeUnit;
use crate::testing::{
    Row, START_S, Shelf, account, bundle, control, feed, later, of, short, swipe, tick, token, unit_with,
};

#[test]
fn the_outputs_are_tables_of_the_lake() {
    let unit = AuthorizeUnit::new();
    assert_eq!((unit.name(), unit.logic_version()), ("authorize", 3));
    for output in unit.outputs() {
        assert_eq!(output.destination, Destination::Table);
        assert_eq!(tables::by_name(output.name).unwrap().schema, tables::with_source(&output.schema));
    }
}

#[test]
fn before_any_bundle_there_are_no_accounts() {
    let lines = feed(&mut AuthorizeUnit::new(), 0, &[swipe(0, 1, 100, 1)]);
    assert_eq!(short(&lines), ["authorization declined 78 no_account 0 0"]);
    assert_eq!(of(&lines, "decisions")[0].get("authorize_bundle"), "");
}

/// Fails when a check returns at its first finding.
#[test]
fn every_finding_is_stored_and_the_first_by_priority_is_answered() {
    let mut unit = AuthorizeUnit::new();
    let cards = vec![CardAccount { open: false, ..account(1, 50) }];
    let listed = |list| ListedCard { token: token(1).to_hex(), list, until_us: None };
    let policy = Policy { card_day_minor_max: 90, card_day_count_max: 0, ..Policy::default() };
    control(&mut unit, &bundle(policy, cards, vec![listed(CardList::Stolen), listed(CardList::Blocked)])).unwrap();
    let row = Row { chip: true, findings: vec!["payment_limit", "no_name_card"], ..swipe(0, 1, 100, 1) };
    let lines = feed(&mut unit, 0, &[row]);
    let decision = of(&lines, "decisions")[0];
    assert_eq!(
        decision.get("findings"),
        "[no_name_card, stolen_card, restricted_card, blocked_card, payment_limit, card_day_amount, card_day_count, \
         insufficient_funds, chip_fallback]"
    );
    assert_eq!((decision.get("response_code"), decision.get("reason")), ("57", "no_name_card"));
    assert_eq!(of(&lines, "alerts")[0].get("sentence"), "A card reported stolen was swiped at M017 for 1.00 EUR.");
}

#[test]
fn a_list_ends_and_an_account_keeps_its_currency() {
    let mut unit = AuthorizeUnit::new();
    let until_us = Some((START_S + 10) * 1_000_000);
    let lists = vec![ListedCard { token: token(1).to_hex(), list: CardList::Lost, until_us }];
    control(&mut unit, &bundle(Policy::default(), vec![account(1, 500)], lists)).unwrap();
    let dollars = Row { currency: "USD", ..swipe(10, 1, 100, 3) };
    let lines = feed(&mut unit, 0, &[swipe(9, 1, 100, 1), swipe(10, 1, 100, 2), dollars]);
    assert_eq!(
        short(&lines),
        [
            "authorization declined 41 lost_card 0 0",
            "authorization authorized 00 approved 100 0",
            "authorization declined 57 currency_not_allowed 0 0",
        ]
    );
}

/// Fails when a bundle overwrites accounts: the second swipe would find 300 again.
#[test]
fn a_later_bundle_does_not_reset_an_account_and_may_close_it() {
    let mut unit = AuthorizeUnit::new();
    control(&mut unit, &bundle(Policy::default(), vec![account(1, 300)], vec![])).unwrap();
    feed(&mut unit, 0, &[swipe(0, 1, 200, 1)]);
    control(&mut unit, &bundle(Policy::default(), vec![account(1, 9_000)], vec![])).unwrap();
    assert_eq!(
        short(&feed(&mut unit, 1, &[swipe(1, 1, 200, 2)])),
        ["authorization declined 51 insufficient_funds 0 0"]
    );
    let total = unit.totals()[&Currency::EUR];
    assert_eq!((total.opening_minor, total.held_minor, total.available_minor), (300, 200, 100));
    let closed = CardAccount { open: false, ..account(1, 300) };
    control(&mut unit, &bundle(Policy::default(), vec![closed], vec![])).unwrap();
    assert_eq!(short(&feed(&mut unit, 2, &[swipe(2, 1, 1, 3)])), ["authorization declined 62 restricted_card 0 0"]);
    control(&mut unit, &bundle(Policy::default(), vec![], vec![])).unwrap();
    assert_eq!(short(&feed(&mut unit, 3, &[swipe(3, 1, 1, 4)])), ["authorization declined 78 no_account 0 0"]);
}

#[test]
fn a_swipe_without_token_is_never_approved() {
    let mut unit = unit_with(Policy::default());
    let closed = |findings, stan| Row { card: None, findings, ..swipe(0, 1, 100, stan) };
    let lines = feed(&mut unit, 0, &[closed(vec!["damaged_frame"], 1), closed(vec![], 2)]);
    assert_eq!(
        short(&lines),
        ["authorization declined 88 damaged_frame 0 0", "authorization declined 88 cannot_decrypt 0 0",]
    );
}

#[test]
fn the_deadline_itself_is_in_time_and_a_millisecond_later_is_not() {
    let mut unit = unit_with(Policy::default());
    let (first, second) = (swipe(0, 1, 100, 1), swipe(0, 2, 100, 2));
    let mut late = later(kind::SIGNATURE, 121, &second);
    late.at_ms += 1;
    let lines = feed(
        &mut unit,
        0,
        &[
            first.clone(),
            second.clone(),
            later(kind::ANSWERED, 1, &first),
            later(kind::ANSWERED, 1, &second),
            later(kind::ANSWERED, 50, &second),
            later(kind::SIGNATURE, 121, &first),
            late,
            later(kind::SIGNATURE, 122, &first),
        ],
    );
    assert_eq!(
        short(&lines)[2..],
        [
            "acknowledgement authorized 00 approved 0 0",
            "acknowledgement authorized 00 approved 0 0",
            "acknowledgement authorized 00 approved 0 0",
            "capture captured 00 approved -100 100",
            "capture authorized 68 signature_too_late 0 0",
            "acknowledgement captured 00 approved 0 0",
        ]
    );
    let deadlines: Vec<_> = of(&lines, "decisions").iter().map(|line| line.time_ms("signature_deadline")).collect();
    assert_eq!(deadlines[..2], [None, None], "unknown until the phone has the answer");
    assert!(deadlines[2..].iter().all(|deadline| *deadline == Some(121_000)), "the first answered counts");
}

/// Fails when one clock serves all origins, when the grace is forgotten, or when timers fire after the record.
#[test]
fn a_timer_fires_by_its_own_origins_clock_before_the_record_that_moves_it() {
    let mut unit = unit_with(Policy::default());
    let (first, second) = (swipe(0, 1, 100, 1), swipe(1, 1, 300, 2));
    let lines = feed(
        &mut unit,
        0,
        &[
            first.clone(),
            second.clone(),
            later(kind::ANSWERED, 10, &second),
            later(kind::ANSWERED, 11, &first),
            tick(100_000, 7),
            tick(159, 0),
            later(kind::SIGNATURE, 161, &second),
        ],
    );
    assert_eq!(
        short(&lines)[4..],
        [
            "reversal reversed 68 signature_timeout -300 0",
            "reversal reversed 68 signature_timeout -100 0",
            "capture reversed 68 signature_too_late 0 0",
        ]
    );
    let timer = of(&lines, "decisions")[4];
    assert_eq!(
        (timer.offset, timer.time_ms("event_time"), timer.time_ms("ingest_time")),
        (6, Some(130_000), Some(161_000))
    );
    assert_eq!((timer.get("merchant_id"), timer.get("stan"), timer.get("decode_bundle")), ("M017", "2", ""));
    assert_eq!(unit.totals()[&Currency::EUR].available_minor, 300_000);
}

#[test]
fn without_answered_the_timer_runs_from_the_swipe() {
    let mut unit = unit_with(Policy::default());
    let day_s = 24 * 3600;
    feed(&mut unit, 0, &[swipe(0, 1, 100, 1), tick(day_s + 29, 0)]);
    let lines = feed(&mut unit, 2, &[tick(day_s + 30, 0)]);
    assert_eq!(short(&lines), ["reversal reversed 68 signature_timeout -100 0"]);
    assert_eq!(of(&lines, "decisions")[0].time_ms("event_time"), Some(day_s * 1_000));
}

/// Fails when a late record turns the clock back: the timer would wait for a time that has already been.
#[test]
fn a_clock_never_goes_back() {
    let mut unit = unit_with(Policy::default());
    let first = swipe(0, 1, 100, 1);
    feed(&mut unit, 0, &[first.clone(), tick(500, 0), later(kind::ANSWERED, 10, &first)]);
    assert_eq!(short(&feed(&mut unit, 3, &[tick(11, 0)])), ["reversal reversed 68 signature_timeout -100 0"]);
}

#[test]
fn refunds_cancels_and_withdraws_move_what_they_may_and_no_more() {
    let mut unit = unit_with(Policy::default());
    let paid = swipe(0, 1, 1_000, 1);
    let refund = |amount, at| Row { amount_minor: Some(amount), ..later(kind::REFUND, at, &paid) };
    let cancelled = swipe(0, 2, 500, 2);
    let withdrawn = swipe(0, 3, 700, 3);
    let lines = feed(
        &mut unit,
        0,
        &[
            paid.clone(),
            cancelled.clone(),
            withdrawn.clone(),
            refund(1, 1),
            later(kind::SIGNATURE, 2, &paid),
            later(kind::SIGNATURE, 2, &cancelled),
            Row { merchant: "M018", ..refund(1, 3) },
            refund(0, 3),
            Row { currency: "USD", ..refund(1, 3) },
            refund(1_001, 4),
            refund(400, 5),
            refund(601, 6),
            refund(600, 7),
            refund(1, 8),
            later(kind::CANCEL, 9, &cancelled),
            later(kind::CANCEL, 10, &cancelled),
            later(kind::WITHDRAW, 11, &withdrawn),
            later(kind::SIGNATURE, 12, &withdrawn),
        ],
    );
    assert_eq!(
        short(&lines)[3..],
        [
            "refund authorized 12 wrong_state 0 0",
            "capture captured 00 approved -1000 1000",
            "capture captured 00 approved -500 500",
            "refund captured 12 other_merchant 0 0",
            "refund captured 13 invalid_amount 0 0",
            "refund captured 57 currency_not_allowed 0 0",
            "refund captured 61 refund_too_large 0 0",
            "refund refunded_partly 00 approved 0 -400",
            "refund refunded_partly 61 refund_too_large 0 0",
            "refund refunded 00 approved 0 -600",
            "refund refunded 61 refund_too_large 0 0",
            "reversal reversed 17 cancelled 0 -500",
            "acknowledgement reversed 17 cancelled 0 0",
            "reversal reversed 68 withdrawn -700 0",
            "capture reversed 12 wrong_state 0 0",
        ]
    );
    let other = of(&lines, "decisions")[6];
    assert_eq!((other.get("token"), other.get("rrn"), other.get("approval_code")), ("", "", ""));
}

/// Fails when the window includes the payment of exactly 24 hours ago, or leaves out the one a second younger.
#[test]
fn the_cards_day_slides_and_ends_after_exactly_24_hours() {
    let mut unit = unit_with(Policy { card_day_minor_max: 300, card_day_count_max: 2, ..Policy::default() });
    let day_s = 24 * 3600;
    let lines = feed(
        &mut unit,
        0,
        &[
            swipe(0, 1, 100, 1),
            swipe(1, 1, 200, 2),
            swipe(day_s - 1, 1, 1, 3),
            swipe(day_s, 1, 101, 4),
            swipe(day_s, 1, 100, 5),
            swipe(day_s + 1, 1, 200, 6),
        ],
    );
    let answers = of(&lines, "decisions").into_iter().filter(|line| line.get("kind") == "authorization");
    assert_eq!(
        answers.map(|line| line.get("findings")).collect::<Vec<_>>(),
        ["[]", "[]", "[card_day_amount, card_day_count]", "[card_day_amount]", "[]", "[]",]
    );
}

#[test]
fn chargebacks_and_dispositions_label() {
    let mut unit = unit_with(Policy::default());
    let (first, second) = (swipe(0, 1, 1_000, 1), swipe(0, 2, 500, 2));
    let part = Row { amount_minor: Some(300), ..later(kind::REFUND, 2, &first) };
    let say = |label, row: Row| Row { label, ..row };
    let lines = feed(
        &mut unit,
        0,
        &[
            first.clone(),
            second.clone(),
            later(kind::SIGNATURE, 1, &first),
            later(kind::SIGNATURE, 1, &second),
            part,
            later(kind::CHARGEBACK, 3, &first),
            later(kind::CHARGEBACK, 4, &first),
            say(Some("legitimate"), later(kind::CHARGEBACK, 5, &second)),
            say(Some("legitimate"), later(kind::DISPOSITION, 6, &first)),
            say(Some("maybe"), later(kind::DISPOSITION, 7, &first)),
        ],
    );
    assert_eq!(
        short(&lines)[5..],
        [
            "chargeback charged_back 00 approved 0 -700",
            "acknowledgement charged_back 00 approved 0 0",
            "chargeback charged_back 00 approved 0 -500",
            "acknowledgement charged_back 30 format_error 0 0",
        ]
    );
    let labels: Vec<_> =
        of(&lines, "labels").iter().map(|line| (line.offset, line.get("label"), line.get("label_source"))).collect();
    assert_eq!(labels, [(5, "fraud", "chargeback"), (7, "legitimate", "chargeback"), (8, "legitimate", "analyst-1")]);
}

#[test]
fn a_repeat_gets_the_stored_answer_until_it_is_no_longer_kept() {
    let mut unit = unit_with(Policy { answer_kept_s: 100, ..Policy::default() });
    let first = swipe(0, 1, 100, 1);
    let again = |at_s: i64| Row { repeat: true, at_ms: at_s * 1_000, ..first.clone() };
    let lines = feed(
        &mut unit,
        0,
        &[
            first.clone(),
            again(1),
            later(kind::SIGNATURE, 2, &first),
            again(100),
            again(101),
            Row { stan: 9, payment_id: None, ..again(102) },
        ],
    );
    assert_eq!(
        short(&lines),
        [
            "authorization authorized 00 approved 100 0",
            "authorization authorized 00 approved 0 0",
            "capture captured 00 approved -100 100",
            "authorization captured 00 approved 0 0",
            "authorization  25 original_not_found 0 0",
            "authorization  25 original_not_found 0 0",
        ]
    );
    let decisions = of(&lines, "decisions");
    let answers: Vec<_> = decisions.iter().map(|line| line.get("answer")).collect();
    assert_eq!((answers[0], answers[0]), (answers[1], answers[3]));
    assert_eq!(decisions.iter().map(|line| line.get("repeat")).filter(|repeat| *repeat == "true").count(), 4);
}

/// Fails when the second swipe replaces the payment: its signature would capture 999.
#[test]
fn a_swipe_with_a_known_identity_and_other_content_changes_nothing() {
    let mut unit = unit_with(Policy::default());
    let first = swipe(0, 1, 100, 1);
    let other = |at_s: i64| Row { at_ms: at_s * 1_000, amount_minor: Some(999), ..first.clone() };
    let lines = feed(&mut unit, 0, &[first.clone(), other(1), other(2), later(kind::SIGNATURE, 3, &first)]);
    assert_eq!(
        short(&lines),
        [
            "authorization authorized 00 approved 100 0",
            "authorization authorized 94 duplicate_stan 0 0",
            "authorization authorized 94 duplicate_stan 0 0",
            "capture captured 00 approved -100 100",
        ]
    );
    assert_eq!(of(&lines, "alerts").len(), 1, "an alert's identity is unique");
}

#[test]
fn a_ksn_that_the_card_has_shown_is_refused_as_long_as_its_payment_is_kept() {
    let policy = Policy { payment_kept_s: 2 * 24 * 3600, ..Policy::default() };
    let mut unit = unit_with(policy);
    let first = swipe(0, 1, 100, 1);
    let replay = |at_s, stan| Row { ksn: first.ksn.clone(), reader: "R2".into(), ..swipe(at_s, 1, 100, stan) };
    let same_on_other_card = Row { ksn: first.ksn.clone(), ..swipe(3, 2, 100, 4) };
    let lines = feed(&mut unit, 0, &[first.clone(), replay(40, 2), same_on_other_card]);
    assert_eq!(
        short(&lines)[1..],
        ["authorization declined 63 ksn_seen_on_card 0 0", "authorization authorized 00 approved 100 0",]
    );
    assert_eq!(
        of(&lines, "alerts")[0].get("sentence"),
        "The same encrypted swipe of a card came again through reader R2 at M017 for 1.00 EUR, 40 s from the other."
    );
    let after_s = 40 + 2 * 24 * 3600 + 1;
    assert_eq!(
        short(&feed(&mut unit, 3, &[replay(after_s, 5)])).last().unwrap(),
        "authorization authorized 00 approved 100 0"
    );
}

#[test]
fn the_same_amount_twice_is_approved_and_alerts_unless_the_first_was_taken_back() {
    let mut unit = unit_with(Policy::default());
    let withdrawn = swipe(100, 2, 1_200, 5);
    let lines = feed(
        &mut unit,
        0,
        &[
            swipe(0, 1, 1_200, 1),
            swipe(40, 1, 1_200, 2),
            swipe(101, 1, 1_200, 3),
            Row { merchant: "M018", ..swipe(102, 1, 1_200, 4) },
            withdrawn.clone(),
            later(kind::WITHDRAW, 101, &withdrawn),
            swipe(103, 2, 1_200, 6),
        ],
    );
    let approved = of(&lines, "decisions").iter().filter(|line| line.get("held_minor") == "1200").count();
    assert_eq!(approved, 6);
    let alerts = of(&lines, "alerts");
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].get("sentence"), "The same card paid 12.00 EUR at M017 twice within 40 s.");
    assert_eq!((alerts[0].offset, alerts[0].get("group_number")), (1, "1"));
}

#[test]
fn a_full_state_refuses_new_payments_and_frees_itself_by_the_least_clock() {
    let kept = 2 * 24 * 3600;
    let mut unit = unit_with(Policy { payments_max: 2, payment_kept_s: kept, ..Policy::default() });
    let (first, third) = (swipe(0, 1, 100, 1), swipe(2, 1, 300, 3));
    let lines = feed(
        &mut unit,
        0,
        &[
            tick(0, 7),
            first.clone(),
            swipe(1, 1, 200, 2),
            third.clone(),
            later(kind::SIGNATURE, 3, &first),
            later(kind::SIGNATURE, 3, &third),
            tick(kept + 100, 0),
            swipe(kept + 101, 1, 400, 4),
            tick(kept + 200, 7),
            swipe(kept + 201, 1, 400, 5),
            later(kind::CANCEL, kept + 202, &first),
        ],
    );
    assert_eq!(
        short(&lines),
        [
            "authorization authorized 00 approved 100 0",
            "authorization authorized 00 approved 200 0",
            "authorization declined 96 capacity_reached 0 0",
            "capture captured 00 approved -100 100",
            "capture  25 original_not_found 0 0",
            "reversal reversed 68 signature_timeout -200 0",
            "authorization declined 96 capacity_reached 0 0",
            "authorization authorized 00 approved 400 0",
            "reversal  25 original_not_found 0 0",
        ]
    );
    assert_eq!(unit.totals()[&Currency::EUR].captured_minor, 100, "what a forgotten payment captured stays counted");
    unit.save().unwrap();
}

#[test]
fn rows_that_make_no_sense_are_dead_letters_and_move_no_clock() {
    let mut unit = unit_with(Policy::default());
    let first = swipe(0, 1, 100, 1);
    let far = 1_000_000;
    let lines = feed(
        &mut unit,
        0,
        &[
            first.clone(),
            later(kind::CONTROL, far, &first),
            Row { payment_id: Some("12".into()), ..swipe(far, 1, 1, 2) },
            Row { origin: -1, ..swipe(far, 1, 1, 3) },
            Row { at_ms: -3_000_000_000_000, ..swipe(0, 1, 1, 4) },
            Row { findings: vec!["from_the_future"], ..swipe(1, 1, 1, 5) },
        ],
    );
    let letters: Vec<_> = of(&lines, "dead_letters").iter().map(|line| (line.offset, line.get("reason"))).collect();
    let reasons = ["unknown_kind", "unreadable_payment_id", "unknown_origin", "time_out_of_range"];
    assert_eq!(letters, (1..).zip(reasons).collect::<Vec<_>>());
    assert_eq!(
        short(&lines),
        ["authorization authorized 00 approved 100 0", "authorization declined 30 format_error 0 0"]
    );
}

#[test]
fn keys_are_not_its_business() {
    let key = ControlChange::Key { kind: "token_key".into(), id: "1".into(), check_value: "abcdef".into() };
    let control = Control { offset: Offset(0), received_at_us: 0, change: key };
    let error = AuthorizeUnit::new().control(&control, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, UnitError::NotLoadable { unit: "authorize", .. }), "{error}");
}

#[test]
fn a_restore_refuses_what_it_cannot_read_or_load() {
    let unit = unit_with(Policy::default());
    let saved = unit.save().unwrap();
    let restore = |bytes: &[u8]| AuthorizeUnit::new().restore(bytes, &Shelf::default()).unwrap_err();
    assert!(matches!(restore(&saved), UnitError::NotLoadable { .. }), "the bundle is not on the shelf");
    let with_more = [saved.as_slice(), &[0]].concat();
    let other_layout = [&[9], &saved[1..]].concat();
    for bytes in [&[], &saved[..saved.len() - 1], &with_more, &other_layout] {
        assert!(matches!(restore(bytes), UnitError::Snapshot { .. }));
    }
}
