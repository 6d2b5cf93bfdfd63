//! Values computed by hand, and literal definitions that are slow.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::cards::LabelledPayment;
use super::*;

const NAN: f64 = f64::NAN;

fn bools(text: &str) -> Vec<bool> {
    text.chars().map(|letter| letter == '1').collect()
}

fn payment<Customer>(day: i64, customer: Customer, is_fraud: bool) -> LabelledPayment<Customer> {
    LabelledPayment { time_us: day * DAY_US, customer, is_fraud }
}

/// The first two are the examples of scikit-learn's manual.
#[test]
fn area_and_average_precision_by_hand() {
    let (scores, labels) = ([0.1, 0.4, 0.35, 0.8], bools("0011"));
    assert_eq!(auc_roc(&scores, &labels), Ok(Some(0.75)));
    // 1 / 2 * 1 + 1 / 2 * 2 / 3.
    assert_eq!(average_precision(&scores, &labels), Ok(Some((1.0 + 2.0 / 3.0) / 2.0)));
    // All equal: half of the pairs, and the share of frauds.
    assert_eq!(auc_roc(&[1.0; 5], &bools("10100")), Ok(Some(0.5)));
    assert_eq!(average_precision(&[1.0; 5], &bools("10100")), Ok(Some(0.4)));
    // Fraud 3, fraud and genuine 2, genuine 1, fraud 0: of 6 pairs are 2 + 1.5 + 0 won.
    let (scores, labels) = ([3.0, 2.0, 2.0, 1.0, -0.0], bools("11001"));
    assert_eq!(auc_roc(&scores, &labels), Ok(Some(3.5 / 6.0)));
    assert_eq!(average_precision(&scores, &labels), Ok(Some((1.0 + 2.0 / 3.0 + 3.0 / 5.0) / 3.0)));
    // Zero is zero, and infinity has a place.
    assert_eq!(auc_roc(&[0.0, -0.0], &bools("10")), Ok(Some(0.5)));
    assert_eq!(auc_roc(&[f64::INFINITY, f64::NEG_INFINITY], &bools("10")), Ok(Some(1.0)));
}

#[test]
fn without_frauds_or_without_genuine_payments_there_is_no_area() {
    for (labels, precision) in [("", None), ("00", None), ("11", Some(1.0))] {
        let (labels, scores) = (bools(labels), vec![0.5; labels.len()]);
        assert_eq!(auc_roc(&scores, &labels), Ok(None));
        assert_eq!(average_precision(&scores, &labels), Ok(precision));
    }
    assert_eq!(recall_at_false_positive_rate(&[1.0], &[false], 0.5), Ok(None));
    assert_eq!(recall_by_scenario(&[1.0], &[0], 0.5), Ok(BTreeMap::new()));
}

#[test]
fn what_is_no_number_is_refused_by_every_measure() {
    let (scores, labels) = ([0.5, NAN], bools("10"));
    let refused = MeasureError::NotANumber { row: 1 };
    assert_eq!(auc_roc(&scores, &labels), Err(refused));
    assert_eq!(average_precision(&scores, &labels), Err(refused));
    assert_eq!(recall_at_false_positive_rate(&scores, &labels, 0.01), Err(refused));
    assert_eq!(recall_by_scenario(&scores, &[1, 0], 0.01), Err(refused));
    assert_eq!(card_precision_top_k(&[payment(0, 1, true), payment(0, 2, true)], &scores, 1), Err(refused));
    let lengths = MeasureError::Lengths { scores: 2, labels: 1 };
    assert_eq!(auc_roc(&scores, &labels[..1]), Err(lengths));
    assert_eq!(card_precision_top_k(&[payment(0, 1, true)], &scores, 1), Err(lengths));
    for found in [-0.1, 1.1] {
        let rate = MeasureError::Rate { found };
        assert_eq!(recall_at_false_positive_rate(&[0.5], &[true], found), Err(rate));
    }
    assert!(recall_at_false_positive_rate(&[0.5], &[true], NAN).is_err());
    assert_eq!(card_precision_top_k(&[payment(0, 1, true)], &[0.5], 0), Err(MeasureError::NoCards));
    assert_eq!(card_precision_ceiling(&[payment(0, 1, true)], 0), Err(MeasureError::NoCards));
}

/// Fails where a group of equal scores is cut, or a rate that is met exactly counts as passed.
#[test]
fn recall_at_a_rate_of_false_positives_by_hand() {
    let (scores, scenarios) = ([9.0, 8.0, 8.0, 7.0, 7.0, 6.0, 5.0, 4.0], [1, 0, 2, 2, 0, 0, 0, 1]);
    let labels: Vec<bool> = scenarios.iter().map(|scenario| *scenario != 0).collect();
    let at = |rate_max| recall_at_false_positive_rate(&scores, &labels, rate_max).unwrap().unwrap();
    let point = |threshold, recall, false_positive_rate| OperatingPoint {
        threshold: Some(threshold),
        recall,
        false_positive_rate,
    };
    assert_eq!(at(0.0), point(9.0, 0.25, 0.0));
    assert_eq!(at(0.24), point(9.0, 0.25, 0.0));
    assert_eq!(at(0.25), point(8.0, 0.5, 0.25));
    assert_eq!(at(0.5), point(7.0, 0.75, 0.5));
    assert_eq!(at(1.0), point(4.0, 1.0, 1.0));
    let by_scenario = |rate_max| recall_by_scenario(&scores, &scenarios, rate_max).unwrap();
    assert_eq!(by_scenario(0.25), BTreeMap::from([(1, 0.5), (2, 0.5)]));
    assert_eq!(by_scenario(0.5), BTreeMap::from([(1, 0.5), (2, 1.0)]));
    // Even the highest score would alert too often.
    let none = OperatingPoint { threshold: None, recall: 0.0, false_positive_rate: 0.0 };
    assert_eq!(recall_at_false_positive_rate(&[1.0, 1.0], &bools("10"), 0.5), Ok(Some(none)));
    assert_eq!(recall_by_scenario(&[1.0, 1.0], &[1, 0], 0.5), Ok(BTreeMap::from([(1, 0.0)])));
}

#[test]
fn card_precision_by_hand() {
    let payments = [
        // Day 0: "a" has a fraud, though another payment has the high score; "b" is genuine, "c" defrauded.
        (payment(0, "a", true), 0.1),
        (payment(0, "a", false), 0.9),
        (payment(0, "b", false), 0.8),
        (payment(0, "c", true), 0.7),
        // Day 1: "a" is blocked; "b" and "c" are equal, and "b" comes first.
        (payment(1, "c", true), 0.5),
        (payment(1, "a", true), 0.9),
        (payment(1, "b", false), 0.5),
        (payment(1, "d", false), 0.6),
        // Day 3: one card only.
        (payment(3, "c", true), 0.2),
    ];
    let (payments, scores): (Vec<_>, Vec<_>) = payments.into_iter().unzip();
    let found = card_precision_top_k(&payments, &scores, 2).unwrap().unwrap();
    let day = |day, found, defrauded| DayOfCards { day, found, defrauded };
    assert_eq!(found.days, [day(0, 1, 2), day(1, 0, 1), day(3, 1, 1)]);
    assert_eq!(found.mean, 2.0 / 6.0);
    assert_eq!(card_precision_ceiling(&payments, 2), Ok(Some(2.0 / 6.0)));
    assert_eq!(card_precision_ceiling(&payments, 1), Ok(Some(2.0 / 3.0)));
    assert_eq!(card_precision_top_k::<u32>(&[], &[], 2), Ok(None));
    assert_eq!(card_precision_ceiling::<u32>(&[], 2), Ok(None));
}

/// Fails where the sign of a zero decides which card is looked at.
#[test]
fn cards_of_equal_scores_come_by_customer() {
    let payments = [payment(0, 2, true), payment(0, 1, false)];
    for scores in [[0.0, -0.0], [-0.0, 0.0], [0.5, 0.5]] {
        assert_eq!(card_precision_top_k(&payments, &scores, 1).unwrap().unwrap().mean, 0.0, "{scores:?}");
    }
}

fn ceiling(days_of_cards: &[&[i64]], k: usize) -> f64 {
    let cards = days_of_cards.iter().enumerate();
    let payments = cards.flat_map(|(card, days)| days.iter().map(move |day| payment(*day, card, true)));
    card_precision_ceiling(&payments.collect::<Vec<_>>(), k).unwrap().unwrap()
}

/// Fails where an oracle looks at the first card, or at the one that ends first, without a thought for later days; and
/// where a card that moved to another day is still counted on its first.
#[test]
fn the_ceiling_looks_ahead() {
    assert_eq!(ceiling(&[&[0, 3], &[0, 1], &[3]], 1), 1.0);
    assert_eq!(ceiling(&[&[0, 1], &[0, 2], &[0]], 1), 1.0);
    assert_eq!(ceiling(&[&[0, 1], &[1, 2], &[0], &[1]], 1), 1.0);
    assert_eq!(ceiling(&[&[0, 1, 2], &[0], &[0]], 1), 2.0 / 3.0);
    assert_eq!(ceiling(&[&[0, 1, 2], &[0], &[0], &[0]], 2), 3.0 / 6.0);
}

#[test]
fn folds_are_the_published_spans() {
    let found = Days::default().folds(LATEST_TRAINING_START_US, FOLDS);
    // Midnights of 15, 22 and 29 August and 5 September 2018.
    let [training, delay, test, end] =
        [1_534_291_200, 1_534_896_000, 1_535_500_800, 1_536_105_600].map(|s| s * 1_000_000);
    assert_eq!(found[0], Fold { training: training..delay, delay: delay..test, test: test..end });
    for (number, fold) in (0..).zip(&found) {
        assert_eq!(*fold, Days::default().starting_at(LATEST_TRAINING_START_US - number * 7 * DAY_US));
    }
    assert_eq!(found.len(), 4);
}

/// Fails where a day that has not ended is tested, or one that has is not.
#[test]
fn the_latest_fold_ends_by_a_moment() {
    for (end_us, start_day) in [(21 * DAY_US, 0), (22 * DAY_US - 1, 0), (22 * DAY_US, 1), (-1, -22)] {
        let fold = Days::default().ending_by(end_us);
        assert_eq!(fold, Days::default().starting_at(start_day * DAY_US));
        assert!(fold.test.end <= end_us && end_us < fold.test.end + DAY_US);
    }
}

/// Fails where a label is known earlier or later than after the delay, or frauds before the training count.
#[test]
fn cards_known_as_defrauded_are_not_tested() {
    let fold = Days::default().starting_at(100 * DAY_US);
    let at = |day: i64, seconds: i64, customer, is_fraud| LabelledPayment {
        time_us: day * DAY_US + seconds * 1_000_000,
        customer,
        is_fraud,
    };
    let payments = [
        at(121, 0, "after", false),
        at(120, 86_399, "last second", false),
        at(99, 86_399, "before", true),
        at(114, 0, "before", false),
        at(100, 0, "training", true),
        at(114, 0, "training", false),
        // The fraud of day 107 is known on the morning of day 115.
        at(107, 86_399, "delay", true),
        at(114, 86_399, "delay", true),
        at(115, 0, "delay", false),
        // A fraud on the midnight after is known a day later.
        at(108, 0, "midnight", true),
        at(115, 0, "midnight", false),
        at(116, 0, "midnight", false),
        at(113, 86_399, "before the test", false),
    ];
    assert_eq!(test_rows(&fold, &payments), [1, 3, 7, 10]);
}

/// Few different scores, so that many are equal.
fn scored() -> impl Strategy<Value = Vec<(f64, i32)>> {
    prop::collection::vec(((-3_i32..4).prop_map(|score| f64::from(score) / 2.0), 0..4_i32), 1..40)
}

fn cards() -> impl Strategy<Value = Vec<(i64, u8, bool, f64)>> {
    let score = (0_u32..4).prop_map(f64::from);
    prop::collection::vec((0..4_i64, 0..6_u8, any::<bool>(), score), 0..24)
}

/// Looks at one card after the other, each time the best of those that are left.
fn literal_card_precision(rows: &[(i64, u8, bool, f64)], k: usize) -> Option<f64> {
    let days: BTreeSet<i64> = rows.iter().map(|row| row.0).collect();
    let mut blocked = BTreeSet::new();
    let mut shares = Vec::new();
    for day in &days {
        let mut seen = BTreeSet::new();
        let mut found = BTreeSet::new();
        for _ in 0..k {
            let mut best: Option<(f64, u8)> = None;
            for (_, card, _, score) in rows.iter().filter(|row| row.0 == *day) {
                let is_better = best.is_none_or(|(high, first)| *score > high || (*score == high && *card < first));
                if !blocked.contains(card) && !seen.contains(card) && is_better {
                    best = Some((*score, *card));
                }
            }
            let Some((_, card)) = best else { break };
            seen.insert(card);
            if rows.iter().any(|row| row.0 == *day && row.1 == card && row.2) {
                found.insert(card);
            }
        }
        shares.push(found.len() as f64 / k as f64);
        blocked.extend(found);
    }
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// Tries every day of every card.
fn literal_most_found(days_of_cards: &[BTreeSet<i64>], k: usize, used: &mut BTreeMap<i64, usize>) -> usize {
    let Some((days, others)) = days_of_cards.split_first() else { return 0 };
    let mut most = literal_most_found(others, k, used);
    for day in days {
        if used.get(day).copied().unwrap_or_default() < k {
            *used.entry(*day).or_default() += 1;
            most = most.max(1 + literal_most_found(others, k, used));
            *used.entry(*day).or_default() -= 1;
        }
    }
    most
}

fn is_near(found: Option<f64>, wanted: Option<f64>) -> bool {
    found.is_some() == wanted.is_some() && found.zip(wanted).is_none_or(|(one, other)| (one - other).abs() < 1e-12)
}

proptest! {
    // All of them take a tenth of a second; rare ties and full days are seen.
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn measures_of_ranking_are_their_literal_definitions(rows in scored(), rate_max in 0.0..1.0_f64) {
        let (scores, scenarios): (Vec<f64>, Vec<i32>) = rows.iter().copied().unzip();
        let labels: Vec<bool> = scenarios.iter().map(|scenario| *scenario != 0).collect();
        let of = |is_fraud: bool| rows.iter().filter(move |row| (row.1 != 0) == is_fraud).map(|row| row.0);
        let (frauds, genuine) = (of(true).count() as f64, of(false).count() as f64);

        let won = of(true).flat_map(|fraud| of(false).map(move |other| match fraud - other {
            ahead if ahead > 0.0 => 1.0,
            ahead if ahead < 0.0 => 0.0,
            _ => 0.5,
        }));
        let area = (frauds * genuine > 0.0).then(|| won.sum::<f64>() / (frauds * genuine));
        prop_assert!(is_near(auc_roc(&scores, &labels).unwrap(), area));

        let from = |is_fraud: bool, threshold: f64| of(is_fraud).filter(|score| *score >= threshold).count() as f64;
        let precision = |threshold| from(true, threshold) / (from(true, threshold) + from(false, threshold));
        let average = (frauds > 0.0).then(|| of(true).map(precision).sum::<f64>() / frauds);
        prop_assert!(is_near(average_precision(&scores, &labels).unwrap(), average));

        let point = recall_at_false_positive_rate(&scores, &labels, rate_max).unwrap();
        let is_allowed = |threshold: &f64| genuine == 0.0 || from(false, *threshold) / genuine <= rate_max;
        let recalls = scores.iter().copied().filter(is_allowed).map(|threshold| from(true, threshold) / frauds);
        let best = (frauds > 0.0).then(|| recalls.fold(0.0, f64::max));
        prop_assert!(is_near(point.map(|point| point.recall), best));

        let by_scenario = recall_by_scenario(&scores, &scenarios, rate_max).unwrap();
        let counts = by_scenario.iter().map(|(scenario, recall)| {
            recall * scenarios.iter().filter(|other| *other == scenario).count() as f64
        });
        prop_assert!(is_near(Some(counts.sum::<f64>()), best.or(Some(0.0)).map(|best| best * frauds)));
    }

    /// Fails where an answer depends on the order of rows.
    #[test]
    fn rows_may_lie_in_any_order(rows in scored(), cards in cards(), by in 0..40_usize) {
        let turned = |rows: &[(f64, i32)]| {
            let (scores, labels): (Vec<f64>, Vec<bool>) = rows.iter().map(|row| (row.0, row.1 != 0)).unzip();
            (auc_roc(&scores, &labels), average_precision(&scores, &labels),
                recall_at_false_positive_rate(&scores, &labels, 0.3))
        };
        let before = turned(&rows);
        let mut rows = rows;
        let middle = by % rows.len();
        rows.rotate_left(middle);
        prop_assert_eq!(before, turned(&rows));
        let precision = |rows: &[(i64, u8, bool, f64)]| {
            let payments: Vec<_> = rows.iter().map(|row| payment(row.0, row.1, row.2)).collect();
            let scores: Vec<f64> = rows.iter().map(|row| row.3).collect();
            card_precision_top_k(&payments, &scores, 2)
        };
        let before = precision(&cards);
        let mut cards = cards;
        cards.reverse();
        prop_assert_eq!(before, precision(&cards));
    }

    #[test]
    fn card_precision_is_its_literal_definition(rows in cards(), k in 1..4_usize) {
        let payments: Vec<_> = rows.iter().map(|row| payment(row.0, row.1, row.2)).collect();
        let scores: Vec<f64> = rows.iter().map(|row| row.3).collect();
        let found = card_precision_top_k(&payments, &scores, k).unwrap().map(|found| found.mean);
        prop_assert!(is_near(found, literal_card_precision(&rows, k)));

        let ceiling = card_precision_ceiling(&payments, k).unwrap();
        let mut days_of_cards: BTreeMap<u8, BTreeSet<i64>> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.2) {
            days_of_cards.entry(row.1).or_default().insert(row.0);
        }
        let days_of_cards: Vec<BTreeSet<i64>> = days_of_cards.into_values().collect();
        let days: BTreeSet<i64> = rows.iter().map(|row| row.0).collect();
        let most = literal_most_found(&days_of_cards, k, &mut BTreeMap::new()) as f64 / (days.len() * k) as f64;
        prop_assert!(is_near(ceiling, ceiling.map(|_| most)));
        prop_assert!(found.is_none() || found <= ceiling);

        // Where every defrauded card has a place, perfect scores reach the ceiling.
        let perfect: Vec<f64> = rows.iter().map(|row| f64::from(u8::from(row.2))).collect();
        let roomy = card_precision_top_k(&payments, &perfect, 6).unwrap().map(|found| found.mean);
        prop_assert!(is_near(roomy, card_precision_ceiling(&payments, 6).unwrap()));
    }

    /// Cards of few days each, so that who gets which day matters.
    #[test]
    fn the_ceiling_is_the_best_of_all_choices(
        cards in prop::collection::vec(prop::collection::btree_set(0..5_i64, 1..4), 1..7), k in 1..3_usize
    ) {
        let days = cards.iter().flatten().collect::<BTreeSet<_>>().len();
        let most = literal_most_found(&cards, k, &mut BTreeMap::new()) as f64 / (days * k) as f64;
        let slices: Vec<Vec<i64>> = cards.iter().map(|days| days.iter().copied().collect()).collect();
        prop_assert_eq!(ceiling(&slices.iter().map(Vec::as_slice).collect::<Vec<_>>(), k), most);
    }

    /// By days, as the handbook's text says it.
    #[test]
    fn rows_of_a_test_are_their_literal_definition(
        rows in prop::collection::vec((95..125_i64, prop_oneof![Just(0), 0..86_400_i64], 0..8_u8, prop::bool::weighted(0.2)), 0..60)
    ) {
        let fold = Days::default().starting_at(100 * DAY_US);
        let payments: Vec<_> = rows.iter().map(|(day, second, customer, is_fraud)| LabelledPayment {
            time_us: day * DAY_US + second * 1_000_000, customer: *customer, is_fraud: *is_fraud,
        }).collect();
        let is_tested = |row: &usize| {
            let (day, _, customer, _) = rows[*row];
            let known = rows.iter().any(|other| other.2 == customer && other.3 && 100 <= other.0 && other.0 < day - 7);
            (114..121).contains(&day) && !known
        };
        let wanted: Vec<usize> = (0..rows.len()).filter(is_tested).collect();
        prop_assert_eq!(test_rows(&fold, &payments), wanted);
    }
}
