//! Windows that read labels, against their definition: the newest label read before the payment that reads the window.

use arrow::array::ArrayRef;

use super::*;

/// Windows with conditions on labels and values of them, by both keys, and others beside them.
fn labelled_set() -> WindowSet {
    let fields = Fields::new([(LABEL, FieldType::Boolean)]).unwrap();
    let amount = || "amount".to_string();
    let label = || LABEL.to_string();
    let functions = [
        (Function::Sum(label()), None),
        (Function::Mean(label()), None),
        (Function::Stddev(label()), None),
        (Function::Max(label()), None),
        (Function::Distinct(label()), None),
        (Function::Last(label()), None),
        (Function::Count, Some("fraud")),
        (Function::Sum(amount()), Some("fraud")),
        (Function::Distinct("city".to_string()), Some("fraud")),
        (Function::Last(amount()), Some("fraud")),
        (Function::Previous(amount()), Some("not fraud")),
        (Function::Distinct("city".to_string()), Some("not fraud")),
        (Function::Stddev(amount()), Some("not fraud")),
        (Function::Min(amount()), Some("not fraud")),
        (Function::SinceFirst, Some("fraud")),
        (Function::Count, None),
        (Function::Sum(amount()), None),
    ];
    let mut windows = Vec::new();
    for (number, (function, filter)) in functions.into_iter().enumerate() {
        let filter = filter.map(|text| Expression::parse(text, &fields, &Lists::default()).unwrap());
        for (name, key, length, delay, includes_current) in [
            ("card", &["card"][..], 20, 0, false),
            ("with", &["card"][..], 35, 0, true),
            ("delayed", &["merchant"][..], 25, 10, false),
            ("pair", &["card", "merchant"][..], 60, 0, false),
        ] {
            let window = window(&format!("{name}_{number}"), function.clone(), key, length, delay, includes_current);
            windows.push(Definition { filter: filter.clone(), ..window });
        }
    }
    WindowSet { labels_follow: true, ..set_of(windows, 30, 1_000) }
}

/// Payments of which nothing is said yet; their identity is their place in the log, which starts here.
fn unlabelled(payments: &[Payment], start: usize) -> RecordBatch {
    let payments: Vec<Payment> = payments.iter().map(|payment| Payment { fraud: false, ..payment.clone() }).collect();
    let rows = batch(&payments);
    let rest: ArrayRef = Arc::new((0..payments.len()).map(|row| Some((start + row) as i64)).collect::<Int64Array>());
    let first: ArrayRef = Arc::new(Int64Array::from(vec![-7; payments.len()]));
    let schema = rows.schema();
    let named = schema.fields().iter().map(|field| field.name().as_str()).zip(rows.columns().iter().cloned());
    let columns = named.chain([(PAYMENT_ID[0], first), (PAYMENT_ID[1], rest)]);
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

/// What is said before a payment is read: place of that payment, of the payment that it is about, and the label.
type Said = (usize, usize, bool);

/// Labels for payments from a place to another.
fn between(said: &[Said], from: usize, to: usize, is_last: bool) -> Vec<Label> {
    let here = said.iter().filter(|(before, ..)| *before >= from && (*before < to || is_last));
    here.map(|(before, payment, is_fraud)| Label {
        before: before - from,
        payment: Label::payment(-7, *payment as i64),
        is_fraud: *is_fraud,
    })
    .collect()
}

/// Values by the definition: for each payment the log before it is labelled by what was said before.
fn expected(payments: &[Payment], said: &[Said], place: usize, window: &Definition) -> Option<Value> {
    let mut seen: Vec<Payment> = payments.iter().map(|payment| Payment { fraud: false, ..payment.clone() }).collect();
    for (_, about, is_fraud) in said.iter().filter(|(before, about, _)| *before <= place && about < before) {
        seen[*about].fraud = *is_fraud;
    }
    plain(&seen, place, window)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Fails if a label is not read, read too early, forgets the one before, moves its payment among others of its time or
    /// leaves a count behind; or if that depends on where batches end, on restarts or on the same windows published again.
    #[test]
    fn labels_are_read_from_where_they_stand(
        payments in log(30),
        said in prop::collection::vec((0..251_usize, 0..250_usize, any::<bool>()), 0..120),
        cuts in prop::collection::vec((0..250_usize, 0..3_u8), 0..6),
    ) {
        let length = payments.len();
        let mut said: Vec<Said> =
            said.into_iter().map(|(before, about, is_fraud)| (before.min(length), about.min(length - 1), is_fraud)).collect();
        said.sort_by_key(|(before, ..)| *before);
        let set = labelled_set();
        let mut whole = Windows::new(set.clone()).unwrap();
        let values = whole.process_labelled(&unlabelled(&payments, 0), &between(&said, 0, length, true)).unwrap();
        for (place, window) in set.windows.iter().flat_map(|window| (0..length).map(move |place| (place, window))) {
            prop_assert_eq!(
                value_at(&values, &window.name, place), expected(&payments, &said, place, window),
                "{} of row {}", window.name, place
            );
        }
        let mut cuts: Vec<(usize, u8)> = cuts.into_iter().map(|(cut, what)| (cut.min(length), what)).collect();
        cuts.push((length, 1));
        cuts.sort_unstable();
        let (mut windows, mut from, mut parts) = (Windows::new(set.clone()).unwrap(), 0, Vec::new());
        for (number, (cut, what)) in cuts.iter().enumerate() {
            let is_last = number + 1 == cuts.len();
            let labels = between(&said, from, *cut, is_last);
            parts.push(windows.process_labelled(&unlabelled(&payments[from..*cut], from), &labels).unwrap());
            from = *cut;
            windows = match what {
                0 => windows,
                1 => Windows::restore(set.clone(), &windows.save().unwrap()).unwrap(),
                _ => windows.succeeded(set.clone()).unwrap(),
            };
        }
        prop_assert_eq!(concat_batches(&values.schema(), &parts).unwrap(), values);
        prop_assert_eq!(windows.save().unwrap(), whole.save().unwrap());
    }
}

/// Fails if windows without labels lose what they kept, or get wider entries, because others read labels.
#[test]
fn windows_beside_labels_go_on_and_cost_the_same() {
    let plain = window("count", Function::Count, &["card"], 20, 0, false);
    let risk = window("risk", Function::Sum(LABEL.to_string()), &["card"], 20, 0, false);
    let set = |windows: &[Definition]| WindowSet { labels_follow: true, ..set_of(windows.to_vec(), 0, 10) };
    let mut windows = Windows::new(set(std::slice::from_ref(&plain))).unwrap();
    assert!(!windows.reads_labels());
    assert_eq!(counts(&mut windows, &[simple(1, "a")]), [Some(0)]);
    let mut windows = windows.succeeded(set(&[plain, risk])).unwrap();
    let values = windows.process(&unlabelled(&[simple(2, "a")], 1)).unwrap();
    assert_eq!([value_at(&values, "count", 0), value_at(&values, "risk", 0)], [Some(Value::Integer(1)), None]);
    let columns: Vec<usize> = windows.groups.iter().map(|group| group.columns()).collect();
    assert_eq!(columns, [0, 4]);
}

/// Fails if what was said of a payment is kept for longer than any window could hold it.
#[test]
fn payments_that_left_every_window_are_not_looked_for() {
    let mut risk = window("risk", Function::Count, &["card"], 20, 0, false);
    risk.filter =
        Expression::parse("fraud", &Fields::new([(LABEL, FieldType::Boolean)]).unwrap(), &Lists::default()).ok();
    let mut windows = Windows::new(WindowSet { labels_follow: true, ..set_of(vec![risk], 0, 10) }).unwrap();
    let payments: Vec<Payment> = (0..70_000).map(|second| simple(second, "a")).collect();
    windows.process(&unlabelled(&payments, 0)).unwrap();
    assert!(windows.entries() < 100, "{}", windows.entries());
    assert!(windows.keys[0].known.len() < 70_000 - 65_000, "{}", windows.keys[0].known.len());
    let labels = [(0, 69_995, true), (0, 3, true)];
    let values = windows.process_labelled(&unlabelled(&[simple(70_000, "a")], 70_000), &between(&labels, 0, 1, true));
    assert_eq!(value_at(&values.unwrap(), "risk", 0), Some(Value::Integer(1)));
}
