//! Random rows of what fired: against a plain search, over all orders and ways to cut them into batches.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const NAMES: [&str; 5] = ["large", "fast", "idle", "b_gone", "a_gone"];

/// What a payment is: card, hour, amount, refused, label.
type AnyPayment = (Option<u8>, Option<i64>, i64, bool, Option<bool>);

fn any_payments() -> impl Strategy<Value = Vec<AnyPayment>> {
    let hours = prop::option::weighted(0.9, prop_oneof![0..100i64, Just(i64::MIN / HOUR_US), Just(i64::MAX / HOUR_US)]);
    let payment =
        (prop::option::weighted(0.8, 0..3u8), hours, 0..100i64, any::<bool>(), prop::option::of(any::<bool>()));
    prop::collection::vec(payment, 1..12)
}

/// What the table says, found by looking at all pairs of rows.
fn plain(rows: &[(usize, usize)], payments: &[AnyPayment]) -> Vec<RuleQuality> {
    let fired = |rule: usize, payment: usize| rows.contains(&(rule, payment));
    let hits_of = |rule: usize| (0..payments.len()).filter(move |payment| fired(rule, *payment));
    let in_set = set().rules().len();
    let mut others: Vec<usize> = (in_set..NAMES.len()).filter(|rule| hits_of(*rule).next().is_some()).collect();
    others.sort_by_key(|rule| NAMES[*rule]);
    let order: Vec<usize> = (0..in_set).chain(others).collect();
    let of_rule = |rule: &usize| {
        let mut hits = Counts::default();
        hits_of(*rule).for_each(|payment| {
            let (_, _, amount_minor, is_refused, label) = payments[payment];
            hits.add_one(label, is_refused, amount_minor);
        });
        let is_repeat = |payment: &usize| {
            let (card, hour, ..) = payments[*payment];
            hits_of(*rule).any(|other| {
                let (other_card, other_hour, ..) = payments[other];
                let (Some(hour), Some(other_hour)) = (hour, other_hour) else { return false };
                let apart = hour.saturating_sub(other_hour);
                // Of those at the same moment one is the first.
                let is_before = apart > 0 || apart == 0 && other < *payment;
                other != *payment && card.is_some() && card == other_card && is_before && apart < 24
            })
        };
        let repeats = hits_of(*rule).filter(is_repeat).count() as u64;
        let mut fires_with: Option<FiresWith> = None;
        for other in order.iter().filter(|other| *other != rule) {
            let both = hits_of(*rule).filter(|payment| fired(*other, *payment)).count() as u64;
            if both > fires_with.as_ref().map_or(0, |most| most.both) {
                let share = both as f64 / hits.payments as f64;
                fires_with = Some(FiresWith { rule: NAMES[*other].into(), both, share });
            }
        }
        RuleQuality {
            rule: NAMES[*rule].into(),
            is_in_set: *rule < in_set,
            hits,
            precision: hits.precision(),
            false_positive_ratio: hits.false_positive_ratio(),
            repeats,
            repeat_ratio: crate::counts::share(repeats, hits.payments),
            fires_with,
        }
    };
    order.iter().map(of_rule).collect()
}

/// Rules that fired for payments, and the same in another order.
fn any_fired() -> impl Strategy<Value = [Vec<(usize, Index)>; 2]> {
    let fired = prop::collection::vec((0..NAMES.len(), any::<Index>()), 0..40);
    fired.prop_flat_map(|fired| [Just(fired.clone()).boxed(), Just(fired).prop_shuffle().boxed()])
}

proptest! {
    #[test]
    fn orders_do_not_matter_and_a_search_agrees(
        payments in any_payments(), [fired, shuffled] in any_fired(), cut in any::<Index>(),
    ) {
        let pairs = |fired: &[(usize, Index)]| -> Vec<(usize, usize)> {
            fired.iter().map(|(rule, payment)| (*rule, payment.index(payments.len()))).collect()
        };
        let ids: Vec<String> = (0..payments.len()).map(|payment| format!("pay_{payment}")).collect();
        let cards = ["tok_0", "tok_1", "tok_2"];
        let row = |(rule, payment): (usize, usize)| {
            let (card, hour, amount_minor, is_refused, _) = payments[payment];
            let card = card.map(|card| cards[usize::from(card)]);
            (NAMES[rule], ids[payment].as_str(), card, hour, amount_minor, is_refused)
        };
        let rows = |fired: &[(usize, Index)]| -> Vec<Row<'_>> { pairs(fired).into_iter().map(row).collect() };
        let labels = ids.iter().map(String::as_str).zip(payments.iter().map(|payment| payment.4));
        let labels = label_batch(&labels.collect::<Vec<_>>());
        let report = reported(&[fired_batch(&rows(&fired))], std::slice::from_ref(&labels));
        prop_assert_eq!(&report.rules, &plain(&pairs(&fired), &payments));

        let (first, second) = shuffled.split_at(cut.index(shuffled.len() + 1));
        let (earlier, later) = (labels.slice(0, 1), labels.slice(1, labels.num_rows() - 1));
        let batches = [fired_batch(&rows(first)), fired_batch(&rows(second))];
        prop_assert_eq!(report, reported(&batches, &[earlier, later]));
    }
}
