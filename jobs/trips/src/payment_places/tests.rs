use arrow::array::{ArrayRef, Float64Array, Int64Array};
use proptest::prelude::*;

use super::*;
use crate::units::SECOND_US;

/// A degree of latitude, metres.
const DEGREE_M: f64 = 111_200.0;

fn text_column(values: Vec<Option<&str>>) -> ArrayRef {
    Arc::new(StringArray::from(values))
}

/// Seconds as times.
fn time_column(values: Vec<Option<i64>>) -> ArrayRef {
    let times: TimestampMicrosecondArray = values.into_iter().map(|second| second.map(|s| s * SECOND_US)).collect();
    Arc::new(times.with_timezone("UTC"))
}

fn number_column(values: Vec<i32>) -> ArrayRef {
    Arc::new(Int32Array::from(values))
}

fn degree_column(values: Vec<f64>) -> ArrayRef {
    Arc::new(Float64Array::from(values))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// Payments: identity, reader, courier whom it names, second.
fn payments(rows: &[(&str, Option<&str>, Option<&str>, i64)]) -> RecordBatch {
    let times = || time_column(rows.iter().map(|row| Some(row.3)).collect());
    batch(vec![
        ("payment_id", text_column(rows.iter().map(|row| Some(row.0)).collect())),
        ("merchant_id", text_column(vec![Some("m"); rows.len()])),
        ("reader_id", text_column(rows.iter().map(|row| row.1).collect())),
        ("courier_id", text_column(rows.iter().map(|row| row.2).collect())),
        ("event_time", times()),
        ("ingest_time", times()),
        ("source_topic", text_column(vec![Some("transactions"); rows.len()])),
        ("source_partition", number_column(vec![0; rows.len()])),
        ("source_offset", Arc::new(Int64Array::from_iter_values(0..rows.len() as i64))),
    ])
}

/// Two couriers: A carries reader ra and phone da, B reader rb and phone db; C has a phone and no reader.
fn assignments() -> RecordBatch {
    let people = [("A", Some("ra"), "da"), ("B", Some("rb"), "db"), ("C", None, "dc")];
    let same = |value: i64| time_column(vec![Some(value); people.len()]);
    batch(vec![
        ("courier_id", text_column(people.iter().map(|person| Some(person.0)).collect())),
        ("merchant_id", text_column(vec![Some("m"); people.len()])),
        ("reader_id", text_column(people.iter().map(|person| person.1).collect())),
        ("device_id", text_column(people.iter().map(|person| Some(person.2)).collect())),
        ("vehicle", text_column(vec![Some("bicycle"); people.len()])),
        ("valid_from", same(0)),
        ("valid_to", time_column(vec![None; people.len()])),
        ("event_time", same(0)),
        ("source_partition", number_column(vec![0; people.len()])),
        ("source_offset", Arc::new(Int64Array::from(vec![0; people.len()]))),
    ])
}

/// Stops: identity, revision, device, from, to, latitude.
fn stops(rows: &[(&str, i32, &str, i64, i64, f64)]) -> RecordBatch {
    batch(vec![
        ("stop_id", text_column(rows.iter().map(|row| Some(row.0)).collect())),
        ("revision", number_column(rows.iter().map(|row| row.1).collect())),
        ("device_id", text_column(rows.iter().map(|row| Some(row.2)).collect())),
        ("started_at", time_column(rows.iter().map(|row| Some(row.3)).collect())),
        ("ended_at", time_column(rows.iter().map(|row| Some(row.4)).collect())),
        ("lat", degree_column(rows.iter().map(|row| row.5).collect())),
        ("lon", degree_column(vec![0.0; rows.len()])),
        ("trip_id", text_column(vec![Some("t1"); rows.len()])),
    ])
}

/// Trips: identity, revision, device, from, to.
fn trips(rows: &[(&str, i32, &str, i64, i64)]) -> RecordBatch {
    batch(vec![
        ("trip_id", text_column(rows.iter().map(|row| Some(row.0)).collect())),
        ("revision", number_column(rows.iter().map(|row| row.1).collect())),
        ("device_id", text_column(rows.iter().map(|row| Some(row.2)).collect())),
        ("started_at", time_column(rows.iter().map(|row| Some(row.3)).collect())),
        ("ended_at", time_column(rows.iter().map(|row| Some(row.4)).collect())),
    ])
}

/// What phones do now: device, state, since, start of the open trip.
fn vehicles(rows: &[(&str, &str, i64, Option<i64>)]) -> RecordBatch {
    batch(vec![
        ("device_id", text_column(rows.iter().map(|row| Some(row.0)).collect())),
        ("state", text_column(rows.iter().map(|row| Some(row.1)).collect())),
        ("since", time_column(rows.iter().map(|row| Some(row.2)).collect())),
        ("trip_started_at", time_column(rows.iter().map(|row| row.3).collect())),
    ])
}

/// Fixes: device, second, latitude.
fn fixes(rows: &[(&str, i64, f64)]) -> RecordBatch {
    batch(vec![
        ("device_id", text_column(rows.iter().map(|row| Some(row.0)).collect())),
        ("event_time", time_column(rows.iter().map(|row| Some(row.1)).collect())),
        ("lat", degree_column(rows.iter().map(|row| row.2).collect())),
        ("lon", degree_column(vec![0.0; rows.len()])),
    ])
}

/// The town of these tests: phone da stands at 0° from 0 to 1,000 s, drives north until 2,000 s at 10 m/s, and stands
/// there until 3,000 s; all is silent now. Phone db stands 1 km east of nothing in particular.
struct Town {
    stops: RecordBatch,
    trips: RecordBatch,
    vehicles: RecordBatch,
    written: Vec<RecordBatch>,
}

fn latitude(metres: f64) -> f64 {
    metres / DEGREE_M
}

fn driven(second: i64) -> f64 {
    latitude(((second - 1_000) * 10) as f64)
}

impl Town {
    fn new() -> Self {
        Self {
            stops: stops(&[("s1", 1, "da", 0, 1_000, 0.0), ("s2", 1, "da", 2_000, 3_000, driven(2_000))]),
            trips: trips(&[("t1", 1, "da", 1_000, 2_000)]),
            vehicles: vehicles(&[("da", "silent", 3_000, None), ("db", "silent", 3_000, None)]),
            written: Vec::new(),
        }
    }

    fn places_with(&self, payments: &RecordBatch, fixes: &[RecordBatch]) -> RecordBatch {
        self.places_at(payments, fixes, 4_000)
    }

    fn places_at(&self, payments: &RecordBatch, fixes: &[RecordBatch], clock_s: i64) -> RecordBatch {
        let assignments = [assignments()];
        let mut work = PaymentPlaces::read(Inputs {
            payments: std::slice::from_ref(payments),
            assignments: &assignments,
            stops: std::slice::from_ref(&self.stops),
            trips: std::slice::from_ref(&self.trips),
            vehicles: std::slice::from_ref(&self.vehicles),
            written: &self.written,
            clock_us: Some(clock_s * SECOND_US),
        })
        .unwrap();
        fixes.iter().for_each(|batch| work.look(batch).unwrap());
        work.rows().unwrap()
    }

    fn places(&self, payments: &RecordBatch) -> RecordBatch {
        self.places_with(payments, &[fixes(&track())])
    }
}

/// Fixes of the drive every 50 s, and of db near the end of it.
fn track() -> Vec<(&'static str, i64, f64)> {
    let drive = (0..=20).map(|number| 1_000 + number * 50).map(|second| ("da", second, driven(second)));
    drive.chain([("db", 1_490, driven(1_500) + latitude(500.0)), ("db", 1_900, driven(1_905))]).collect()
}

fn texts_of(rows: &RecordBatch, name: &str) -> Vec<Option<String>> {
    texts(std::slice::from_ref(rows), name).unwrap().iter().map(|text| text.map(str::to_string)).collect()
}

fn kinds(rows: &RecordBatch) -> Vec<String> {
    texts_of(rows, "place").into_iter().map(Option::unwrap).collect()
}

fn numbers_of(rows: &RecordBatch, name: &str) -> Vec<Option<f64>> {
    let column = column(std::slice::from_ref(rows), name, &DataType::Float64).unwrap();
    column.as_primitive::<arrow::datatypes::Float64Type>().iter().collect()
}

#[track_caller]
fn assert_near(found: Option<f64>, expected: f64) {
    assert!(
        found.is_some_and(|found| (found - expected).abs() <= 0.005 * expected.abs().max(1.0)),
        "{found:?} {expected}"
    );
}

#[test]
fn what_covers_a_payment_says_where_it_was_paid() {
    let (reader, nobody) = (Some("ra"), None);
    let rows = Town::new().places(&payments(&[
        ("stand", reader, nobody, 500),
        ("leave", reader, nobody, 1_010),
        ("drive", reader, nobody, 1_525),
        ("near", reader, nobody, 1_990),
        ("arrived", reader, nobody, 2_400),
        ("later", reader, nobody, 3_500),
        ("counter", Some("of a café"), nobody, 500),
    ]));
    let ids: Vec<_> = texts_of(&rows, "payment_id").into_iter().flatten().collect();
    assert_eq!(ids, ["stand", "leave", "drive", "near", "arrived", "later"], "nothing about counters");
    let expected = ["at_stop", "after_departure", "under_way", "before_arrival", "at_stop", "no_position"];
    assert_eq!(kinds(&rows), expected);
    let stop = |place: usize| texts_of(&rows, "stop_id")[place].clone();
    assert_eq!(
        [0, 1, 2, 3, 4, 5].map(stop),
        [Some("s1"), Some("s1"), None, Some("s2"), Some("s2"), None].map(|id| id.map(str::to_string))
    );
    let since = numbers_of(&rows, "since_arrival_s");
    assert_eq!(since, [Some(500.0), Some(1_010.0), None, Some(-10.0), Some(400.0), None]);
    let from_stop = numbers_of(&rows, "stop_m");
    assert_near(from_stop[0], 0.0);
    assert_near(from_stop[1], 100.0 * 110_574.0 / DEGREE_M);
    assert_near(from_stop[3], 100.0 * 110_574.0 / DEGREE_M);
    // Half way between two fixes, 25 s from each.
    assert_near(numbers_of(&rows, "lat")[2], driven(1_525));
    assert_eq!(numbers_of(&rows, "fix_s")[2], Some(25.0));
    let trips = texts_of(&rows, "trip_id");
    assert_eq!(trips[5], None);
    assert!(trips[..5].iter().all(|trip| trip.as_deref() == Some("t1")), "{trips:?}");
    assert_eq!(texts_of(&rows, "courier_id")[0].as_deref(), Some("A"), "who carries the reader");
}

/// Fails if a payment is judged by a stop or trip that may still become another.
#[test]
fn a_payment_waits_until_its_stop_or_trip_is_final() {
    let asked = payments(&[("early", Some("ra"), None, 500), ("late", Some("ra"), None, 2_400)]);
    let judged = |now: (&'static str, &'static str, i64, Option<i64>), trips: RecordBatch| {
        let rows = Town { vehicles: vehicles(&[now]), trips, ..Town::new() }.places(&asked);
        texts_of(&rows, "payment_id").len()
    };
    let none = || trips(&[]);
    assert_eq!(judged(("da", "stopped", 2_000, None), none()), 1);
    assert_eq!(judged(("da", "stopped", 2_000, Some(400)), none()), 0, "the stop lies in an open trip");
    assert_eq!(judged(("da", "driving", 2_500, Some(2_500)), none()), 2);
    assert_eq!(judged(("da", "silent", 100, None), none()), 2);
    // Never heard of, and the log's clock stands at 4,000 s: it may be heard of within a day.
    assert_eq!(judged(("db", "silent", 100, None), none()), 0);
    assert_eq!(judged(("db", "silent", 100, None), trips(&[("t1", 1, "da", 1_000, 2_000)])), 1);
    // Nothing of it for longer than that: what has ended is all there is.
    let heard_of = Town { vehicles: vehicles(&[]), ..Town::new() };
    let rows = heard_of.places_at(&asked, &[fixes(&track())], 2_400 + 24 * 3_600 + 1);
    assert_eq!(rows.num_rows(), 2);
}

#[test]
fn a_payment_gets_another_row_when_its_stop_or_trip_is_revised() {
    let asked = payments(&[
        ("stand", Some("ra"), None, 500),
        ("drive", Some("ra"), None, 1_525),
        ("later", Some("ra"), None, 3_500),
    ]);
    let first = Town::new().places(&asked);
    let again = Town { written: vec![first.clone()], ..Town::new() };
    assert_eq!(again.places(&asked).num_rows(), 0);
    let revised = Town {
        trips: trips(&[("t1", 2, "da", 1_000, 2_000), ("t2", 1, "da", 3_400, 3_600)]),
        written: vec![first],
        ..Town::new()
    };
    let rows = revised.places(&asked);
    assert_eq!(texts_of(&rows, "payment_id"), [Some("drive".to_string()), Some("later".to_string())]);
    let revisions = column(std::slice::from_ref(&rows), "revision", &DataType::Int32).unwrap();
    assert_eq!(revisions.as_primitive::<Int32Type>().values(), &[2, 2]);
}

#[test]
fn whoever_pays_in_with_anothers_reader_should_be_near_it() {
    let rows = Town::new().places(&payments(&[
        ("own", Some("ra"), Some("A"), 1_500),
        ("far", Some("ra"), Some("B"), 1_501),
        ("near", Some("ra"), Some("B"), 1_905),
        ("unknown", Some("ra"), Some("nobody"), 1_906),
        ("by courier", Some("lent"), Some("B"), 1_907),
    ]));
    assert_eq!(kinds(&rows), ["under_way", "no_courier_near", "under_way", "no_courier_near", "elsewhere"]);
    let apart = numbers_of(&rows, "courier_m");
    assert!(apart[0].is_none() && apart[3].is_none() && apart[4].is_none(), "{apart:?}");
    assert!(apart[1].is_some_and(|metres| metres > 400.0) && apart[2].is_some_and(|metres| metres < 10.0), "{apart:?}");
    assert_eq!(texts_of(&rows, "device_id")[4].as_deref(), Some("db"));
}

proptest! {
    /// Fails if which fix tells a place depends on the order in which fixes are looked at.
    #[test]
    fn the_order_of_fixes_makes_no_difference(
        order in Just((0..23_usize).collect::<Vec<_>>()).prop_shuffle(), cut in 0..23_usize, second in 900..2_200_i64,
    ) {
        let asked = payments(&[("one", Some("ra"), None, second), ("other", Some("rb"), None, second)]);
        let expected = Town::new().places(&asked);
        let shuffled: Vec<_> = order.iter().map(|place| track()[*place]).collect();
        let halves = [fixes(&shuffled[..cut]), fixes(&shuffled[cut..])];
        prop_assert_eq!(Town::new().places_with(&asked, &halves), expected);
    }
}
