//! Random logs: steps that proptest draws, written out as rows and bundles.

use proptest::prelude::*;
use schemas::bundles::{CardAccount, CardList, ListedCard, Policy};
use schemas::topics::kind;
use schemas::unit::Unit;

use crate::AuthorizeUnit;
use crate::testing::{Line, Row, Shelf, account, bundle, control, feed, later, swipe, tick, token};

/// Transactions partitions that feed the log; each lags behind the one before by [`LAG_S`].
pub(super) const ORIGINS: i32 = 3;
const LAG_S: i64 = 500;
pub(super) const GRACE_S: i64 = 30;
pub(super) const UNANSWERED_S: i64 = 3_600;
pub(super) const DAY_MINOR_MAX: i64 = 900;
pub(super) const DAY_COUNT_MAX: u32 = 5;
const KEPT_S: i64 = 3 * 24 * 3600;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Swipe {
        card: u8,
        amount_minor: i64,
        other_merchant: bool,
        old_ksn: bool,
        finding: Option<&'static str>,
    },
    /// The n-th newest swipe again: as a retransmission, or with another amount.
    Again {
        swipe: usize,
        repeat: bool,
    },
    Later {
        kind: &'static str,
        swipe: usize,
        amount_minor: i64,
        label: Option<&'static str>,
        strange: bool,
    },
    Tick,
    Bundle(usize),
}

/// A step, seconds since the one before, and the origin.
pub(super) type Timed = (Step, i64, i32);

/// One thing that the unit gets.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Row(Row),
    Bundle(usize),
}

fn swipe_step() -> impl Strategy<Value = Step> {
    let finding = prop_oneof![8 => Just(None), 1 => Just(Some("replayed_counter")), 1 => Just(Some("duplicate_stan"))];
    let amount = prop::sample::select(vec![100, 100, 250, 400]);
    (1..=4_u8, amount, any::<bool>(), prop::bool::weighted(0.1), finding).prop_map(
        |(card, amount_minor, other_merchant, old_ksn, finding)| Step::Swipe {
            card,
            amount_minor,
            other_merchant,
            old_ksn,
            finding,
        },
    )
}

fn later_step() -> impl Strategy<Value = Step> {
    let kinds = prop_oneof![
        2 => Just(kind::ANSWERED),
        3 => Just(kind::SIGNATURE),
        1 => Just(kind::WITHDRAW),
        1 => Just(kind::CANCEL),
        2 => Just(kind::REFUND),
        1 => Just(kind::CHARGEBACK),
        1 => Just(kind::DISPOSITION),
    ];
    let label = prop::sample::select(vec![None, Some("fraud"), Some("legitimate"), Some("maybe")]);
    (kinds, 0..8_usize, 0..300_i64, label, prop::bool::weighted(0.05)).prop_map(
        |(kind, swipe, amount_minor, label, strange)| Step::Later { kind, swipe, amount_minor, label, strange },
    )
}

/// Up to eighty steps over seconds to weeks.
pub(super) fn steps() -> impl Strategy<Value = Vec<Timed>> {
    let step = prop_oneof![
        6 => swipe_step(),
        1 => (0..8_usize, any::<bool>()).prop_map(|(swipe, repeat)| Step::Again { swipe, repeat }),
        8 => later_step(),
        2 => Just(Step::Tick),
        1 => (0..BUNDLES).prop_map(Step::Bundle),
    ];
    let gap_s = prop::sample::select(vec![-3, 0, 1, 5, 20, 60, 119, 121, 160, 700, 4_000, 30_000, 90_000]);
    prop::collection::vec((step, gap_s, 0..ORIGINS), 1..80)
}

/// Number of bundles that the steps may bring into force; the first one starts every log.
const BUNDLES: usize = 3;

/// The bundles: all is well; card 2 is listed and card 3 closed; there is hardly any room.
fn shelf() -> Shelf {
    let policy = |payments_max| Policy {
        unanswered_s: UNANSWERED_S,
        timer_grace_s: GRACE_S,
        card_day_minor_max: DAY_MINOR_MAX,
        card_day_count_max: DAY_COUNT_MAX,
        answer_kept_s: 3_600,
        payment_kept_s: KEPT_S,
        payments_max,
        ..Policy::default()
    };
    let cards = || vec![account(1, 100_000), account(2, 600), account(3, 100_000)];
    let stolen = ListedCard { token: token(2).to_hex(), list: CardList::Stolen, until_us: None };
    let mut closed = cards();
    closed[2] = CardAccount { open: false, ..account(3, 7) };
    Shelf(vec![
        bundle(policy(1_000), cards(), vec![]),
        bundle(policy(1_000), closed, vec![stolen]),
        bundle(policy(4), cards(), vec![]),
    ])
}

/// The log: every origin ticks once before anything else, so that every clock is known.
pub(super) fn log(steps: &[Timed]) -> Vec<Item> {
    let mut items = vec![Item::Bundle(0)];
    items.extend((0..ORIGINS).map(|origin| Item::Row(tick(-LAG_S * i64::from(origin), origin))));
    let mut swipes: Vec<Row> = Vec::new();
    let mut now_s = 1;
    for (step, gap_s, origin) in steps {
        now_s += gap_s;
        // A record about a payment comes by the payment's own partition.
        let received_ms = |origin: i32| (now_s - LAG_S * i64::from(origin)) * 1_000;
        items.push(match step {
            Step::Bundle(number) => Item::Bundle(*number),
            Step::Tick => Item::Row(tick(received_ms(*origin) / 1_000, *origin)),
            Step::Swipe { .. } => {
                let row = Row { origin: *origin, at_ms: received_ms(*origin), ..new_swipe(step, &swipes) };
                swipes.push(row.clone());
                Item::Row(row)
            }
            Step::Again { swipe: number, repeat } => {
                let old = nth_newest(&swipes, *number);
                Item::Row(again(&old, received_ms(old.origin), *repeat))
            }
            Step::Later { kind, swipe: number, amount_minor, label, strange } => {
                let about = nth_newest(&swipes, *number);
                let mut row = Row { label: *label, ..later(kind, 0, &about) };
                row.at_ms = received_ms(about.origin);
                row.amount_minor = (*kind == kind::REFUND).then_some(*amount_minor);
                row.merchant = if *strange { "M999" } else { about.merchant };
                Item::Row(row)
            }
        });
    }
    items
}

/// A swipe of the log so far; before the first one, a swipe that the unit never got.
fn nth_newest(swipes: &[Row], number: usize) -> Row {
    swipes.iter().rev().nth(number).or(swipes.first()).cloned().unwrap_or_else(|| swipe(0, 9, 1, 999_999))
}

fn new_swipe(step: &Step, swipes: &[Row]) -> Row {
    let Step::Swipe { card, amount_minor, other_merchant, old_ksn, finding } = step else {
        unreachable!("only swipes are asked for");
    };
    let mut row = swipe(0, *card, *amount_minor, swipes.len() as i32);
    row.merchant = if *other_merchant { "M018" } else { "M017" };
    row.findings.extend(finding.iter());
    if *old_ksn {
        row.ksn = swipes.last().and_then(|old| old.ksn.clone()).or(row.ksn);
    }
    // Card 4 has no account, and every other time its frame does not open.
    row.card = row.card.filter(|card| *card < 4 || swipes.len().is_multiple_of(2));
    row
}

/// A swipe again. One with other content comes while its payment is kept.
fn again(old: &Row, received_ms: i64, repeat: bool) -> Row {
    let kept_ms = old.at_ms + KEPT_S * 1_000;
    if repeat || received_ms > kept_ms {
        return Row { repeat: true, at_ms: received_ms, ..old.clone() };
    }
    Row { amount_minor: Some(77), at_ms: received_ms, ..old.clone() }
}

/// Feeds the log, a new batch at each cut; where `restores` says so, the unit is saved and restored at the cut. Returns
/// the rows by output, in order, and the saved state.
pub(super) fn drive(items: &[Item], cuts: &[bool], restores: &[bool]) -> (Vec<Line>, Vec<u8>) {
    let shelf = shelf();
    let mut unit = AuthorizeUnit::new();
    let mut lines = Vec::new();
    let mut offset = 0;
    let mut waiting: Vec<Row> = Vec::new();
    for (place, item) in items.iter().enumerate() {
        let cut = cuts.get(place).copied().unwrap_or_default();
        if let Item::Row(row) = item {
            waiting.push(row.clone());
        }
        if cut || matches!(item, Item::Bundle(_)) || place + 1 == items.len() {
            lines.extend(feed(&mut unit, offset, &waiting));
            offset += waiting.len() as i64;
            waiting.clear();
        }
        if let Item::Bundle(number) = item {
            control(&mut unit, &shelf.0[*number]).unwrap();
        }
        if cut && restores.get(place).copied().unwrap_or_default() {
            let saved = unit.save().unwrap();
            let before = std::mem::take(&mut unit);
            unit.restore(&saved, &shelf).unwrap();
            assert!(unit.memory.has_indexes_of(&before.memory), "a restore made other indexes");
        }
    }
    lines.sort_by_key(|line| line.output);
    (lines, unit.save().unwrap())
}

/// The unit that was saved.
pub(super) fn unit_after(saved: &[u8]) -> AuthorizeUnit {
    let mut unit = AuthorizeUnit::new();
    unit.restore(saved, &shelf()).unwrap();
    unit
}
