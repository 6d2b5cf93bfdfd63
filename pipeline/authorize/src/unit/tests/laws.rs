//! What holds for any log.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::money::Currency;
use schemas::topics::kind;

use super::steps::{DAY_COUNT_MAX, DAY_MINOR_MAX, GRACE_S, Item, ORIGINS, UNANSWERED_S, drive, log, steps, unit_after};
use crate::testing::{Line, Row, of};

const DAY_MS: i64 = 24 * 3_600_000;

fn rows_of(items: &[Item]) -> Vec<&Row> {
    items.iter().filter_map(|item| if let Item::Row(row) = item { Some(row) } else { None }).collect()
}

fn is_timer(line: &Line) -> bool {
    line.get("reason") == "signature_timeout" && line.get("kind") == "reversal"
}

fn is_new_swipe(line: &Line) -> bool {
    line.get("kind") == "authorization" && line.get("repeat") == "false"
}

fn has(line: &Line, finding: &str) -> bool {
    line.get("findings").trim_matches(['[', ']']).split(", ").any(|found| found == finding)
}

/// What the rows say that each payment holds and captured must never be negative and must fit its state.
fn sums_by_payment(decisions: &[&Line]) -> Result<BTreeMap<String, (i64, i64)>, TestCaseError> {
    let mut payments: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for line in decisions {
        let (held, captured) = (line.number("held_minor"), line.number("captured_minor"));
        let sums = payments.entry(line.get("payment_id").to_string()).or_default();
        *sums = (sums.0 + held, sums.1 + captured);
        prop_assert!(sums.0 >= 0 && sums.1 >= 0, "{line:?}");
        prop_assert!(line.get("repeat") == "false" || (held, captured) == (0, 0), "{line:?}");
        let state = line.get("state");
        if !state.is_empty() {
            prop_assert_eq!(sums.0 > 0, state == "authorized", "{:?}", line);
            prop_assert_eq!(sums.1 > 0, ["captured", "refunded_partly"].contains(&state), "{:?}", line);
        }
    }
    Ok(payments)
}

/// Timers as the rows' own words imply them: deadline (milliseconds) and payment, with the origin.
type Timers = BTreeMap<(i64, String), usize>;

fn due(open: &mut Timers, origin: usize, clock_ms: i64) -> Vec<(i64, String)> {
    let is_due =
        |(deadline_ms, _): &(i64, String), of: &usize| *of == origin && deadline_ms + GRACE_S * 1_000 <= clock_ms;
    let due = open.iter().filter(|(key, of)| is_due(key, of)).map(|(key, _)| key.clone()).collect();
    open.retain(|key, of| !is_due(key, of));
    due
}

/// What a row that is no timer does to the timers.
fn follow(open: &mut Timers, line: &Line, row: &Row) {
    let id = line.get("payment_id").to_string();
    let held = line.number("held_minor");
    let sets_deadline =
        row.kind == kind::ANSWERED && line.get("kind") == "acknowledgement" && !has(line, "other_merchant");
    if held > 0 {
        open.insert((row.at_ms + UNANSWERED_S * 1_000, id), row.origin as usize);
    } else if held < 0 {
        open.retain(|(_, other), _| *other != id);
    } else if sets_deadline && line.get("state") == "authorized" {
        open.retain(|(_, other), _| *other != id);
        open.insert((line.time_ms("signature_deadline").unwrap(), id), row.origin as usize);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Fails when a row or the state depends on where a batch ends, or when an index is not rebuilt by a restore.
    #[test]
    fn no_row_depends_on_batch_borders_or_restores(
        steps in steps(),
        cuts in prop::collection::vec(any::<bool>(), 90),
        restores in prop::collection::vec(any::<bool>(), 90),
    ) {
        let items = log(&steps);
        let whole = drive(&items, &[], &[]);
        prop_assert_eq!(&whole, &drive(&items, &cuts, &restores));
        prop_assert_eq!(&whole, &drive(&items, &[true; 90], &[]));
    }

    /// Fails when any row states another change than the ledger booked.
    #[test]
    fn money_in_is_money_out(steps in steps()) {
        let (lines, saved) = drive(&log(&steps), &[], &[]);
        let payments = sums_by_payment(&of(&lines, "decisions"))?;
        let sums = payments.values().fold((0, 0), |sum, payment| (sum.0 + payment.0, sum.1 + payment.1));
        let total = unit_after(&saved).totals()[&Currency::EUR];
        prop_assert_eq!(sums, (total.held_minor, total.captured_minor));
        prop_assert_eq!(total.opening_minor, 200_600);
        prop_assert_eq!(total.opening_minor, total.held_minor + total.captured_minor + total.available_minor);
    }

    /// Fails when a record is answered twice or not at all.
    #[test]
    fn each_record_gets_one_row(steps in steps()) {
        let items = log(&steps);
        let (lines, _) = drive(&items, &[], &[]);
        for (offset, row) in rows_of(&items).into_iter().enumerate() {
            let count = |output: &str| {
                of(&lines, output).iter().filter(|line| line.offset == offset as i64 && !(output == "decisions" && is_timer(line))).count()
            };
            let written = (count("decisions"), count("labels"));
            prop_assert!(match row.kind {
                kind::TICK => written == (0, 0),
                kind::DISPOSITION => written.0 + written.1 == 1,
                kind::CHARGEBACK => written.0 == 1 && written.1 <= 1,
                _ => written == (1, 0),
            }, "{row:?} wrote {written:?}");
        }
    }

    /// Fails when a swipe that comes again is decided anew, or a repeat's answer is made anew from what holds now.
    #[test]
    fn a_swipe_is_decided_once_and_a_repeat_gets_its_bytes(steps in steps()) {
        let (lines, _) = drive(&log(&steps), &[], &[]);
        let mut answers: BTreeMap<&str, &str> = BTreeMap::new();
        for line in of(&lines, "decisions").into_iter().filter(|line| line.get("kind") == "authorization") {
            let (id, answer) = (line.get("payment_id"), line.get("answer"));
            if line.get("repeat") == "true" {
                prop_assert!(line.get("reason") == "original_not_found" || answers.get(id) == Some(&answer), "{line:?}");
            } else if answers.contains_key(id) {
                prop_assert_eq!(line.get("held_minor"), "0");
                prop_assert!(has(line, "duplicate_stan"), "{line:?}");
            } else if !has(line, "capacity_reached") {
                answers.insert(id, answer);
            }
        }
    }

    /// The oracle adds up approved rows anew for every swipe. Fails when a window is off by its edge or forgets.
    #[test]
    fn card_limits_are_exact(steps in steps()) {
        let (lines, _) = drive(&log(&steps), &[], &[]);
        let mut approved: Vec<(&str, i64, i64)> = Vec::new();
        let swipes = of(&lines, "decisions").into_iter().filter(|line| is_new_swipe(line) && !line.get("token").is_empty());
        for line in swipes {
            let (token, at_ms, amount) = (line.get("token"), line.time_ms("event_time").unwrap(), line.number("amount_minor"));
            let day: Vec<i64> = approved
                .iter()
                .filter(|(other, other_ms, _)| *other == token && (at_ms - DAY_MS < *other_ms) && *other_ms <= at_ms)
                .map(|(_, _, amount)| *amount)
                .collect();
            let is_over = day.iter().sum::<i64>() + amount > DAY_MINOR_MAX;
            prop_assert_eq!(has(line, "card_day_amount"), is_over, "{:?}", line);
            prop_assert_eq!(has(line, "card_day_count"), day.len() >= DAY_COUNT_MAX as usize, "{:?}", line);
            if line.get("reason") == "approved" {
                approved.push((token, at_ms, amount));
            }
        }
    }

    /// Fails when a timer is lost, fires early, fires by another origin's clock, or out of order.
    #[test]
    fn a_payment_is_reversed_exactly_when_its_deadline_has_passed(steps in steps()) {
        let items = log(&steps);
        let (lines, _) = drive(&items, &[], &[]);
        let decisions = of(&lines, "decisions");
        let mut clocks_ms = [i64::MIN; ORIGINS as usize];
        let mut open = Timers::new();
        let mut written = decisions.iter().peekable();
        for (offset, row) in rows_of(&items).into_iter().enumerate() {
            let origin = row.origin as usize;
            clocks_ms[origin] = clocks_ms[origin].max(row.at_ms);
            for (deadline_ms, id) in due(&mut open, origin, clocks_ms[origin]) {
                let line = written.next_if(|line| is_timer(line) && line.offset == offset as i64);
                let said = line.map(|line| (line.time_ms("event_time"), line.get("payment_id")));
                prop_assert_eq!(said, Some((Some(deadline_ms), id.as_str())));
            }
            while let Some(line) = written.next_if(|line| line.offset == offset as i64) {
                prop_assert!(!is_timer(line), "{line:?}");
                follow(&mut open, line, row);
            }
        }
        prop_assert!(written.next().is_none());
    }
}
