//! What holds for any log.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use schemas::topics::kind;
use schemas::unit::Unit;

use crate::DecodeUnit;
use crate::idtech::tests::resealed;
use crate::testing::{
    AMEX, Card, Line, Row, Shelf, VISA, bundle, enforce, feed, frame_under, ksn, of, publish, record, ring, swipe,
    to_json, unit_with_keys, withdraw,
};

#[derive(Debug, Clone)]
enum Step {
    Swipe {
        card: usize,
        stan: i32,
        counter: u32,
        amount: i64,
        merchant: usize,
        broken: bool,
    },
    /// The n-th newest swipe again.
    Again(usize),
    Withdraw(usize),
    Signature {
        known: bool,
    },
    Tick,
    Nonsense,
    Bundle(usize),
    TokenKey(&'static str),
}

/// One thing that the unit gets.
#[derive(Debug, Clone)]
enum Item {
    Row(Box<Row>),
    Bundle(usize),
    TokenKey(&'static str),
}

const CARDS: [Card; 3] = [VISA, AMEX, Card { number: "4012345678909", name: None, expiry: "2701", service: "120" }];

fn steps() -> impl Strategy<Value = Vec<(Step, i64)>> {
    let amount = prop::sample::select(vec![-1, 100, 100, 900, 5_000]);
    let swipe = (0..CARDS.len(), 0..6_i32, 1..80_u32, amount, 0..3_usize, prop::bool::weighted(0.1)).prop_map(
        |(card, stan, counter, amount, merchant, broken)| Step::Swipe { card, stan, counter, amount, merchant, broken },
    );
    let step = prop_oneof![
        8 => swipe,
        4 => (0..6_usize).prop_map(Step::Again),
        2 => (0..6_usize).prop_map(Step::Withdraw),
        1 => any::<bool>().prop_map(|known| Step::Signature { known }),
        2 => Just(Step::Tick),
        1 => Just(Step::Nonsense),
        1 => (0..BUNDLES).prop_map(Step::Bundle),
        1 => prop::sample::select(vec!["1", "2"]).prop_map(Step::TokenKey),
    ];
    let gap_s = prop::sample::select(vec![-40, -3, 0, 1, 5, 60, 4_000, 30_000, 86_400, 86_431, 2_000_000]);
    prop::collection::vec((step, gap_s), 1..60)
}

const BUNDLES: usize = 3;

/// The bundles: all is well; hardly any room in a day; R1 has changed hands.
fn shelf() -> Shelf {
    let (mut strict, mut moved) = (bundle(), bundle());
    (strict.merchants[0].day_minor_max, strict.merchants[0].day_count_max) = (1_500, 3);
    strict.decline_unknown_name = false;
    (moved.readers[0].merchant_id, moved.readers[0].counter_min) = ("M2".into(), 40);
    Shelf([bundle(), strict, moved].iter().map(to_json).collect())
}

fn log(steps: &[(Step, i64)]) -> Vec<Item> {
    let mut items = vec![Item::Bundle(0)];
    let mut swipes: Vec<Row> = Vec::new();
    let mut now_s = 100;
    for (step, gap_s) in steps {
        now_s += gap_s;
        let nth = |number: &usize| swipes.iter().rev().nth(*number).cloned().unwrap_or_else(|| swipe(0, 99, 99));
        let row = match step {
            Step::Bundle(number) => {
                items.push(Item::Bundle(*number));
                continue;
            }
            Step::TokenKey(version) => {
                items.push(Item::TokenKey(version));
                continue;
            }
            Step::Swipe { card, stan, counter, amount, merchant, broken } => {
                let mut frame = frame_under(ksn(1, *counter), &CARDS[*card]);
                if *broken {
                    frame = resealed(&frame, |card_data| card_data[8] ^= 1);
                }
                let merchant = Some(["M1", "M1", "M2"][*merchant].to_string());
                let row = swipe(now_s, *stan, *counter);
                let row = Row { merchant, amount: Some(*amount), frame: Some(frame), ..row };
                swipes.push(row.clone());
                row
            }
            Step::Again(number) => nth(number).at(now_s),
            Step::Withdraw(number) => withdraw(now_s, &nth(number)),
            Step::Signature { known } => {
                Row { payment_id: known.then(|| "ab".repeat(14)), ..record(kind::SIGNATURE, now_s) }
            }
            Step::Tick => record(kind::TICK, now_s),
            Step::Nonsense => record("loyalty", now_s),
        };
        items.push(Item::Row(Box::new(row)));
    }
    items
}

/// Feeds the log, a new batch at each cut; where `restores` says so, the unit is saved and restored at the cut. Gives
/// the rows by output, in order, and the saved state.
fn drive(items: &[Item], cuts: &[bool], restores: &[bool]) -> (Vec<Line>, Vec<u8>) {
    let shelf = shelf();
    let (mut unit, mut lines, mut offset) = (unit_with_keys(), Vec::new(), 0);
    let mut waiting: Vec<Row> = Vec::new();
    for (place, item) in items.iter().enumerate() {
        let cut = cuts.get(place).copied().unwrap_or_default();
        if let Item::Row(row) = item {
            waiting.push(row.as_ref().clone());
        }
        if cut || !matches!(item, Item::Row(_)) || place + 1 == items.len() {
            lines.extend(feed(&mut unit, offset, &waiting));
            offset += waiting.len() as i64;
            waiting.clear();
        }
        match item {
            Item::Row(_) => {}
            Item::Bundle(number) => lines.extend(publish(&mut unit, offset, &shelf.0[*number]).unwrap()),
            Item::TokenKey(version) => enforce(&mut unit, "token_key", version).unwrap(),
        }
        if cut && restores.get(place).copied().unwrap_or_default() {
            let saved = unit.save().unwrap();
            unit = DecodeUnit::new(ring());
            unit.restore(&saved, &shelf).unwrap();
            assert_eq!(unit.save().unwrap(), saved);
        }
    }
    lines.sort_by_key(|line| line.output);
    (lines, unit.save().unwrap())
}

/// First swipes and repeats of them.
fn swipes(lines: &[Line]) -> impl Iterator<Item = &Line> {
    of(lines, "payments").into_iter().filter(|line| line.get("kind") == kind::SWIPE)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Fails when a row or the state depends on where a batch ends, or when an index is not rebuilt by a restore.
    #[test]
    fn no_row_depends_on_batch_borders_or_restores(
        steps in steps(),
        cuts in prop::collection::vec(any::<bool>(), 70),
        restores in prop::collection::vec(any::<bool>(), 70),
    ) {
        let items = log(&steps);
        let whole = drive(&items, &[], &[]);
        prop_assert_eq!(&whole, &drive(&items, &cuts, &restores));
        prop_assert_eq!(&whole, &drive(&items, &[true; 70], &[true; 70]));
    }

    /// Fails when a record is lost, answered twice, or goes to the wrong output.
    #[test]
    fn each_record_gets_one_row(steps in steps()) {
        let items = log(&steps);
        let (lines, _) = drive(&items, &[], &[]);
        let rows = items.iter().filter_map(|item| if let Item::Row(row) = item { Some(row) } else { None });
        for (offset, row) in rows.enumerate() {
            let count = |output: &str| of(&lines, output).iter().filter(|line| line.offset == offset as i64).count();
            let written = (count("payments"), count("to_authorize"), count("dead_letters"));
            prop_assert!(match row.kind.as_str() {
                kind::TICK => written == (0, 1, 0),
                "loyalty" => written == (0, 0, 1),
                kind::SIGNATURE if row.payment_id.is_none() => written == (0, 0, 1),
                _ => written == (1, 1, 0),
            }, "{row:?} wrote {written:?}");
        }
    }

    /// Fails when a repeat says anything else than its first row.
    #[test]
    fn a_repeat_says_what_its_first_row_said(steps in steps()) {
        let (lines, _) = drive(&log(&steps), &[], &[]);
        let mut firsts: BTreeSet<BTreeMap<String, String>> = BTreeSet::new();
        for line in swipes(&lines) {
            if line.get("repeat") == "true" {
                prop_assert!(firsts.contains(&line.timeless()), "{line:?}");
            } else {
                firsts.insert(line.timeless());
            }
        }
    }

    /// Fails when a counter that opened for its own merchant passes a second time.
    #[test]
    fn no_counter_passes_twice(steps in steps()) {
        let (lines, _) = drive(&log(&steps), &[], &[]);
        let mut passed = BTreeSet::new();
        for line in swipes(&lines).filter(|line| line.get("repeat") == "false" && line.findings().is_empty()) {
            prop_assert!(passed.insert(line.get("ksn")), "{line:?}");
        }
    }

    /// Fails when a clear track, a card number, a name or a frame gets into the state, a row or what debug shows.
    #[test]
    fn nothing_that_leaves_the_unit_holds_card_data(steps in steps()) {
        let items = log(&steps);
        let (lines, saved) = drive(&items, &[], &[]);
        let mut unit = DecodeUnit::new(ring());
        unit.restore(&saved, &shelf()).unwrap();
        let shown = format!("{lines:?} {unit:?}");
        for card in &CARDS {
            let tracks = card.tracks().into_iter().flatten();
            for secret in tracks.chain([card.number.to_string()]).chain(card.name.map(str::to_string)) {
                prop_assert!(!contains(&saved, secret.as_bytes()) && !shown.contains(&secret), "{secret}");
            }
        }
        for frame in items.iter().filter_map(|item| if let Item::Row(row) = item { row.frame.as_ref() } else { None }) {
            // Pieces of ciphertext and hashes of clear tracks: everything that is not masked.
            for piece in frame.chunks_exact(8).filter(|piece| !piece.contains(&b'*')) {
                prop_assert!(!contains(&saved, piece));
                prop_assert!(!shown.contains(&hex::encode(piece)) && !shown.contains(&hex::encode_upper(piece)));
            }
        }
    }
}

/// The scan above finds what it looks for: a remembered KSN is in the state.
#[test]
fn the_scan_sees_what_is_there() {
    let row = swipe(0, 1, 1);
    let (lines, saved) = drive(&[Item::Bundle(0), Item::Row(Box::new(row))], &[], &[]);
    assert!(contains(&saved, &ksn(1, 1).bytes()) && format!("{lines:?}").contains(&ksn(1, 1).to_hex()));
}
