use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int64Type};
use proptest::prelude::*;

use super::*;
use crate::expression::Expression;
use crate::fields::{FieldType, Fields};
use crate::lists::Lists;

mod labelled;

/// A payment of these tests; times in seconds.
#[derive(Debug, Clone)]
struct Payment {
    at: i64,
    card: Option<&'static str>,
    merchant: i64,
    amount: Option<i64>,
    fraud: bool,
    city: Option<&'static str>,
}

const SECOND_US: i64 = 1_000_000;

fn batch(payments: &[Payment]) -> RecordBatch {
    let times: TimestampMicrosecondArray = payments.iter().map(|payment| Some(payment.at * SECOND_US)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("event_time", Arc::new(times.with_timezone("UTC")) as _, true),
        ("card", Arc::new(payments.iter().map(|payment| payment.card).collect::<StringArray>()) as _, true),
        (
            "merchant",
            Arc::new(payments.iter().map(|payment| Some(payment.merchant)).collect::<Int64Array>()) as _,
            true,
        ),
        ("amount", Arc::new(payments.iter().map(|payment| payment.amount).collect::<Int64Array>()) as _, true),
        ("fraud", Arc::new(payments.iter().map(|payment| Some(payment.fraud)).collect::<BooleanArray>()) as _, true),
        ("city", Arc::new(payments.iter().map(|payment| payment.city).collect::<StringArray>()) as _, true),
    ])
    .unwrap()
}

fn window(name: &str, function: Function, key: &[&str], length: i64, delay: i64, includes_current: bool) -> Definition {
    Definition {
        name: name.to_string(),
        function,
        key: key.iter().map(|part| (*part).to_string()).collect(),
        filter: None,
        length_us: length * SECOND_US,
        delay_us: delay * SECOND_US,
        includes_current,
    }
}

fn set_of(windows: Vec<Definition>, lateness: i64, keys_max: usize) -> WindowSet {
    let (time, lateness_us) = ("event_time".to_string(), lateness * SECOND_US);
    WindowSet { windows, time, lateness_us, keys_max, labels_follow: false }
}

/// Every function, over one field and two, with and without delay and the payment itself.
fn set(lateness: i64) -> WindowSet {
    let mut windows = Vec::new();
    let field = || "amount".to_string();
    let functions = || {
        [
            Function::Count,
            Function::Sum(field()),
            Function::Mean(field()),
            Function::Stddev(field()),
            Function::Min(field()),
            Function::Max(field()),
            Function::Last(field()),
            Function::Previous(field()),
            Function::Distinct("city".to_string()),
            Function::Distinct("merchant".to_string()),
            Function::SinceFirst,
            Function::SinceLast,
        ]
    };
    for (number, function) in functions().into_iter().enumerate() {
        windows.push(window(&format!("card_{number}"), function.clone(), &["card"], 20, 0, false));
        windows.push(window(&format!("with_{number}"), function.clone(), &["card"], 35, 0, true));
        windows.push(window(&format!("delayed_{number}"), function.clone(), &["merchant"], 25, 10, false));
        windows.push(window(&format!("pair_{number}"), function, &["card", "merchant"], 60, 0, false));
    }
    windows.push(window("risk", Function::Mean("fraud".to_string()), &["merchant"], 30, 7, false));
    set_of(windows, lateness, 1_000)
}

/// What the definition says, word by word: a list of the payments in the window.
fn plain(payments: &[Payment], place: usize, window: &Definition) -> Option<Value> {
    let payment = &payments[place];
    let same = |other: &Payment| {
        window.key.iter().all(|part| match part.as_str() {
            "card" => other.card == payment.card,
            _ => other.merchant == payment.merchant,
        })
    };
    if window.key.iter().any(|part| part == "card") && payment.card.is_none() {
        return None;
    }
    let end = payment.at * SECOND_US - window.delay_us;
    let read = place + usize::from(window.includes_current);
    let mut inside: Vec<&Payment> = payments[..read]
        .iter()
        .filter(|other| same(other))
        .filter(|other| match window.filter.as_ref().map(ToString::to_string).as_deref() {
            None => true,
            Some("fraud") => other.fraud,
            Some("not fraud") => !other.fraud,
            Some(other) => panic!("{other} is no condition of these tests"),
        })
        .filter(|other| other.at * SECOND_US > end - window.length_us && other.at * SECOND_US <= end)
        .collect();
    inside.sort_by_key(|other| other.at);
    let is_label = window.function.field() == Some(LABEL);
    let amount = |other: &&Payment| if is_label { Some(i64::from(other.fraud)) } else { other.amount };
    let amounts = || inside.iter().filter_map(amount);
    let (count, sum) = (amounts().count() as f64, amounts().sum::<i64>());
    let integer = |value: Option<i64>| value.map(Value::Integer);
    match &window.function {
        Function::Count => integer(Some(inside.len() as i64)),
        Function::Sum(_) => integer(Some(sum)),
        Function::Mean(_) => (count > 0.0).then(|| Value::Number(sum as f64 / count)),
        Function::Stddev(_) => (count > 0.0).then(|| {
            let squares: i64 = amounts().map(|amount| amount * amount).sum();
            Value::Number(((amounts().count() as i64 * squares - sum * sum) as f64).sqrt() / count)
        }),
        Function::Min(_) => integer(amounts().min()),
        Function::Max(_) => integer(amounts().max()),
        Function::Last(_) => integer(inside.last().and_then(amount)),
        Function::Previous(_) => integer(inside.iter().rev().nth(1).and_then(amount)),
        Function::Distinct(field) if field == "city" => {
            integer(Some(inside.iter().filter_map(|other| other.city).collect::<HashSet<_>>().len() as i64))
        }
        Function::Distinct(_) if is_label => integer(Some(amounts().collect::<HashSet<_>>().len() as i64)),
        Function::Distinct(_) => {
            integer(Some(inside.iter().map(|other| other.merchant).collect::<HashSet<_>>().len() as i64))
        }
        Function::SinceFirst => integer(inside.first().map(|other| (payment.at - other.at) * SECOND_US)),
        Function::SinceLast => integer(inside.last().map(|other| (payment.at - other.at) * SECOND_US)),
    }
}

fn value_at(values: &RecordBatch, name: &str, row: usize) -> Option<Value> {
    let column = values.column_by_name(name).unwrap();
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Float64 => Value::Number(column.as_primitive::<Float64Type>().value(row)),
        _ => Value::Integer(column.as_primitive::<Int64Type>().value(row)),
    })
}

fn payment() -> impl Strategy<Value = Payment> {
    let card = prop::option::weighted(0.9, prop::sample::select(&["a", "b", "c"][..]));
    let city = prop::option::weighted(0.8, prop::sample::select(&["x", "y", "z", "w"][..]));
    let amount = prop::option::weighted(0.9, -500..500_i64);
    (0..8_i64, card, 0..3_i64, amount, any::<bool>(), city)
        .prop_map(|(at, card, merchant, amount, fraud, city)| Payment { at, card, merchant, amount, fraud, city })
}

/// Payments with times that go on, each up to so many seconds late.
fn log(late_max: i64) -> impl Strategy<Value = Vec<Payment>> {
    let late = prop::collection::vec((payment(), prop_oneof![3 => Just(0), 1 => 0..=late_max]), 1..250);
    late.prop_map(|steps| {
        let mut now = 100;
        let payments = steps.into_iter().map(|(payment, late)| {
            now += payment.at / 2;
            Payment { at: now - late, ..payment }
        });
        payments.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Fails if a window holds one payment too many or too few, in order or late; or if that depends on where batches end
    /// or on restarts.
    #[test]
    fn windows_are_what_the_definition_says(
        payments in log(30), cuts in prop::collection::vec((0..250_usize, any::<bool>()), 0..6),
    ) {
        let rows = batch(&payments);
        let mut whole = Windows::new(set(30)).unwrap();
        let values = whole.process(&rows).unwrap();
        for (place, window) in set(30).windows.iter().flat_map(|window| (0..payments.len()).map(move |place| (place, window))) {
            prop_assert_eq!(
                value_at(&values, &window.name, place), plain(&payments, place, window), "{} of row {}", window.name, place
            );
        }
        let mut cuts: Vec<_> = cuts.into_iter().map(|(cut, restarts)| (cut.min(payments.len()), restarts)).collect();
        cuts.push((payments.len(), true));
        cuts.sort_unstable();
        let (mut windows, mut from, mut parts) = (Windows::new(set(30)).unwrap(), 0, Vec::new());
        for (cut, restarts) in cuts {
            parts.push(windows.process(&rows.slice(from, cut - from)).unwrap());
            from = cut;
            if restarts {
                windows = Windows::restore(set(30), &windows.save().unwrap()).unwrap();
            }
        }
        prop_assert_eq!(concat_batches(&values.schema(), &parts).unwrap(), values);
        prop_assert_eq!(windows.save().unwrap(), whole.save().unwrap());
    }

    /// Fails if damaged bytes are taken for a state in which a place lies beyond the entries.
    #[test]
    fn damaged_bytes_are_refused_or_make_a_state(payments in log(5), at in any::<prop::sample::Index>(), bits in 1..=255_u8) {
        let mut windows = Windows::new(set(30)).unwrap();
        windows.process(&batch(&payments)).unwrap();
        let mut bytes = windows.save().unwrap();
        let place = at.index(bytes.len());
        bytes[place] ^= bits;
        if let Ok(mut windows) = Windows::restore(set(30), &bytes) {
            windows.process(&batch(&payments)).unwrap();
        }
    }
}

fn simple(at: i64, card: &'static str) -> Payment {
    Payment { at, card: Some(card), merchant: 1, amount: Some(5), fraud: false, city: None }
}

fn counts(windows: &mut Windows, payments: &[Payment]) -> Vec<Option<i64>> {
    windows.process(&batch(payments)).unwrap().column(0).as_primitive::<Int64Type>().iter().collect()
}

fn count_set(lateness: i64, keys_max: usize) -> WindowSet {
    let windows = vec![window("count", Function::Count, &["card"], 20, 0, false)];
    set_of(windows, lateness, keys_max)
}

#[test]
fn what_comes_too_late_gets_no_values_and_counts_for_others() {
    let mut windows = Windows::new(count_set(10, 100)).unwrap();
    let payments = [simple(100, "a"), simple(90, "a"), simple(89, "a"), simple(101, "a")];
    assert_eq!(counts(&mut windows, &payments), [Some(0), Some(0), None, Some(3)]);
}

#[test]
fn beyond_its_keys_a_set_says_nothing_rather_than_too_little() {
    let mut windows = Windows::new(count_set(0, 2)).unwrap();
    let payments = [simple(1, "a"), simple(2, "b"), simple(3, "c"), simple(4, "a"), simple(5, "c")];
    assert_eq!(counts(&mut windows, &payments), [Some(0), Some(0), None, Some(1), None]);
    // Once old keys are gone there is room, and what is not known of the new ones lies before their windows.
    let idle: Vec<Payment> = (0..70_000).map(|_| simple(1_000, "a")).collect();
    counts(&mut windows, &idle);
    assert_eq!(counts(&mut windows, &[simple(1_001, "c"), simple(1_002, "c")]), [Some(0), Some(1)]);
}

#[test]
fn what_has_left_every_window_is_forgotten() {
    let mut windows = Windows::new(count_set(0, 10)).unwrap();
    let payments: Vec<Payment> = (0..10_000).map(|second| simple(second, "a")).collect();
    let values = counts(&mut windows, &payments);
    assert_eq!(values[9_999], Some(19));
    assert!(windows.entries() <= 100, "{}", windows.entries());
}

/// A million payments of one key within a window are the most that is kept.
#[test]
fn a_capped_key_is_missing_until_its_window_is_whole_again() {
    let mut windows = Windows::new(count_set(0, 10)).unwrap();
    let most = super::entries::ENTRIES_MAX;
    let many: Vec<Payment> = (0..most + 2).map(|number| simple((number / (most / 4)) as i64, "a")).collect();
    let values = counts(&mut windows, &many);
    assert_eq!((values[most - 1], values[most], values[most + 1]), (Some(most as i64 - 1), Some(most as i64), None));
    assert_eq!(counts(&mut windows, &[simple(19, "a"), simple(20, "a"), simple(50, "a")])[..2], [None, Some(786_435)]);
}

#[test]
fn definitions_and_columns_that_do_not_fit_are_named() {
    let wrong = |change: &dyn Fn(&mut WindowSet)| {
        let mut set = count_set(0, 10);
        change(&mut set);
        Windows::new(set).err().unwrap().to_string()
    };
    assert!(wrong(&|set| set.windows.push(set.windows[0].clone())).contains("same name"));
    assert!(wrong(&|set| set.windows[0].key.clear()).contains("no key"));
    assert!(wrong(&|set| set.windows[0].length_us = 0).contains("positive"));
    assert!(wrong(&|set| set.windows[0].delay_us = REACH_US_MAX).contains("731 days"));
    assert!(
        wrong(&|set| (set.windows[0].delay_us, set.windows[0].includes_current) = (1, true)).contains("cannot include")
    );
    let rows = batch(&[simple(1, "a")]);
    let refused = |function: Function, rows: &RecordBatch| {
        let mut set = count_set(0, 10);
        set.windows[0].function = function;
        Windows::new(set).unwrap().process(rows).unwrap_err().to_string()
    };
    assert!(refused(Function::Sum("amounts".to_string()), &rows).contains("amounts: it is not there"));
    assert!(refused(Function::Sum("city".to_string()), &rows).contains("texts"));
    let numbers = RecordBatch::try_from_iter([
        ("event_time", Arc::new(Int64Array::from(vec![1])) as _),
        ("card", Arc::new(StringArray::from(vec!["a"])) as _),
        ("amount", Arc::new(Float64Array::from(vec![1.5])) as _),
    ])
    .unwrap();
    assert!(refused(Function::Sum("amount".to_string()), &numbers).contains("Float64"));
}

#[test]
fn values_too_large_to_add_up_are_none() {
    let mut set = count_set(0, 10);
    set.windows[0].function = Function::Sum("amount".to_string());
    let mut windows = Windows::new(set).unwrap();
    let large = Payment { amount: Some(i64::MAX), ..simple(1, "a") };
    assert_eq!(counts(&mut windows, &[large, simple(2, "a"), simple(3, "a")]), [Some(0), Some(0), Some(5)]);
}
