use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use proptest::prelude::*;

use super::*;

/// A degree of latitude, metres.
const DEGREE_M: f64 = 110_574.0;
/// Where everything lies along the equator: at latitude and longitude 0 no fix counts.
const EAST_M: f64 = 1_000_000.0;

/// A row of the pings: device, second of the fix, second of its arrival, metres north.
type Ping = (&'static str, i64, i64, f64);
/// A swipe: number, reader, second, metres north.
type Swipe = (u32, &'static str, i64, f64);

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn texts_of(values: impl IntoIterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

fn times_of(seconds: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    let times: TimestampMicrosecondArray =
        seconds.into_iter().map(|second| second.map(|second| second * SECOND_US)).collect();
    Arc::new(times.with_timezone("UTC"))
}

fn degrees(metres: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(metres.into_iter().map(|metres| Some(metres / DEGREE_M)).collect::<Float64Array>())
}

fn payment_id(number: u32) -> String {
    format!("{number:028x}")
}

fn swipes(rows: &[Swipe]) -> RecordBatch {
    let count = rows.len();
    batch(vec![
        ("payment_id", texts_of(rows.iter().map(|row| Some(payment_id(row.0))))),
        ("token", texts_of(vec![Some("ab".repeat(16)); count])),
        ("merchant_id", texts_of(vec![Some("M-1".to_string()); count])),
        ("reader_id", texts_of(rows.iter().map(|row| Some(row.1.to_string())))),
        ("courier_id", texts_of(vec![None; count])),
        ("amount_minor", Arc::new(Int64Array::from(vec![4_500; count]))),
        ("currency", texts_of(vec![Some("EUR".to_string()); count])),
        ("lat", degrees(rows.iter().map(|row| row.3))),
        ("lon", degrees(vec![EAST_M; count])),
        ("event_time", times_of(rows.iter().map(|row| Some(row.2)))),
        ("ingest_time", times_of(rows.iter().map(|row| Some(row.2)))),
        ("source_topic", texts_of(vec![Some("transactions".to_string()); count])),
        ("source_partition", Arc::new(Int32Array::from(vec![0; count]))),
        ("source_offset", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| i64::from(row.0))))),
    ])
}

/// Pings as rows with their places from 0 on.
fn pings(rows: &[Ping]) -> RecordBatch {
    let none = || Arc::new(Float64Array::from(vec![None; rows.len()])) as ArrayRef;
    batch(vec![
        ("device_id", texts_of(rows.iter().map(|row| Some(row.0.to_string())))),
        ("event_time", times_of(rows.iter().map(|row| Some(row.1)))),
        ("ingest_time", times_of(rows.iter().map(|row| Some(row.2)))),
        ("lat", degrees(rows.iter().map(|row| row.3))),
        ("lon", degrees(vec![EAST_M; rows.len()])),
        ("accuracy_m", none()),
        ("speed_mps", none()),
        ("source_partition", Arc::new(Int32Array::from(vec![0; rows.len()]))),
        ("source_offset", Arc::new(Int64Array::from_iter_values(0..rows.len() as i64))),
    ])
}

/// Courier A carries reader ra and phone da, B reader rb and phone db.
fn assignments() -> RecordBatch {
    let column = |values: [&str; 2]| texts_of(values.map(|value| Some(value.to_string())));
    batch(vec![
        ("courier_id", column(["A", "B"])),
        ("merchant_id", column(["M-1", "M-1"])),
        ("reader_id", column(["ra", "rb"])),
        ("device_id", column(["da", "db"])),
        ("vehicle", column(["bicycle", "car"])),
        ("valid_from", times_of([Some(0); 2])),
        ("valid_to", times_of([None; 2])),
        ("event_time", times_of([Some(0); 2])),
        ("source_partition", Arc::new(Int32Array::from(vec![0; 2]))),
        ("source_offset", Arc::new(Int64Array::from(vec![0; 2]))),
    ])
}

/// A table while runs add to it, and how far swipes and pings have been read.
#[derive(Default)]
struct Table {
    rows: Vec<RecordBatch>,
    waiting_from: i64,
    pings_from: usize,
}

impl Table {
    fn column(&self, name: &str) -> Vec<String> {
        texts(&self.rows, name).unwrap().iter().map(|text| text.unwrap_or_default().to_string()).collect()
    }

    fn count(&self) -> usize {
        self.rows.iter().map(RecordBatch::num_rows).sum()
    }

    /// What the job does when the log has these rows.
    fn run(&mut self, swiped: &[Swipe], pinged: &[Ping]) {
        let alerted: BTreeSet<String> = self.column("payment_id").into_iter().collect();
        let new: Vec<Swipe> = swiped
            .iter()
            .filter(|row| i64::from(row.0) >= self.waiting_from && !alerted.contains(&payment_id(row.0)))
            .copied()
            .collect();
        let withdrawn: BTreeSet<String> = self
            .column("payment_id")
            .into_iter()
            .zip(self.column("state"))
            .filter(|(_, state)| state == "withdrawn")
            .map(|(id, _)| id)
            .collect();
        let is_touched = |row: &&Swipe| {
            let phone = if row.1 == "ra" { "da" } else { "db" };
            alerted.contains(&payment_id(row.0))
                && !withdrawn.contains(&payment_id(row.0))
                && pinged[self.pings_from..]
                    .iter()
                    .any(|ping| ping.0 == phone && (row.2 - 600..=row.2 + 90).contains(&ping.1))
        };
        let raised: Vec<Swipe> = swiped.iter().filter(is_touched).copied().collect();
        let clocks: BTreeMap<i32, i64> =
            pinged.iter().map(|ping| ping.2 * SECOND_US).max().map(|us| (0, us)).into_iter().collect();
        let (new, raised, assignments) = ([swipes(&new)], [swipes(&raised)], [assignments()]);
        let mut work = CourierAlerts::read(Inputs {
            swipes: &new,
            raised: &raised,
            assignments: &assignments,
            clocks: &clocks,
            far_m: FAR_M,
        })
        .unwrap();
        work.look(&pings(pinged)).unwrap();
        let (rows, waiting) = work.finish(self.count() as i64 + 1).unwrap();
        self.rows.push(rows);
        let end = swiped.iter().map(|row| i64::from(row.0) + 1).max().unwrap_or_default();
        self.waiting_from = waiting.iter().map(|place| place.2).min().unwrap_or(end);
        self.pings_from = pinged.len();
    }

    /// Rows but for the order in which they were added.
    fn shown(&self) -> Vec<String> {
        let rows = arrow::compute::concat_batches(&self.rows[0].schema(), &self.rows).unwrap();
        let columns: Vec<usize> =
            (0..rows.num_columns()).filter(|at| rows.schema().field(*at).name() != "sequence").collect();
        let rows = rows.project(&columns).unwrap();
        let row = |row: usize| rows.columns().iter().map(|column| format!("{:?};", column.slice(row, 1))).collect();
        let mut shown: Vec<String> = (0..rows.num_rows()).map(row).collect();
        shown.sort_unstable();
        shown
    }
}

/// Fixes of a phone every 20 s, each arriving a second later, up to a second.
fn still(device: &'static str, until: i64, metres: f64) -> Vec<Ping> {
    (0..=until / 20).map(|number| (device, number * 20, number * 20 + 1, metres)).collect()
}

fn once(swiped: &[Swipe], pinged: &[Ping]) -> Table {
    let mut table = Table::default();
    table.run(swiped, pinged);
    table
}

#[test]
fn a_far_swipe_says_how_far_and_how_old_the_fix_is() {
    let table = once(&[(1, "ra", 1_012, 8_400.0), (2, "ra", 1_012, 1_990.0)], &still("da", 1_100, 0.0));
    assert_eq!(
        table.column("sentence"),
        ["A swipe 8.4 km from where the phone of courier A was 12 s before: 45.00 EUR on reader ra at M-1."]
    );
    assert_eq!(table.column("state"), ["raised"]);
}

/// Fails if a swipe is judged with less than what is known 30 s after it, or with more.
#[test]
fn a_swipe_waits_for_the_clock_of_the_pings_and_counts_what_was_known_30_s_after_it() {
    let mut fixes = still("da", 1_000, 0.0);
    // Where he truly was, known at the last moment that counts.
    fixes.push(("da", 1_010, 1_042, 8_000.0));
    let swipe = [(1, "ra", 1_012, 8_400.0)];
    let mut waits = Table::default();
    let up_to = |second: i64| [fixes.clone(), vec![("db", second, second, 0.0)]].concat();
    waits.run(&swipe, &up_to(1_047));
    assert_eq!((waits.count(), waits.waiting_from), (0, 1));
    // 8 km in 10 s is a jump: the fix before the swipe does not pass cleaning.
    waits.run(&swipe, &up_to(1_048));
    assert_eq!((waits.count(), waits.waiting_from), (0, 2));
    fixes.last_mut().unwrap().2 = 1_043;
    let late = once(&swipe, &[fixes.clone(), vec![("db", 1_100, 1_100, 0.0)]].concat());
    assert_eq!(late.column("state"), ["raised", "withdrawn"]);
    assert_eq!(
        late.column("sentence")[1],
        "Withdrawn: what the phone of courier A sent later leaves no position at the swipe."
    );
}

#[test]
fn a_fix_older_than_two_minutes_is_no_position() {
    let clock = ("db", 2_000, 2_000, 0.0);
    let fixes = [still("da", 1_000, 0.0), vec![clock]].concat();
    assert_eq!(once(&[(1, "ra", 1_120, 9_000.0)], &fixes).count(), 1);
    assert_eq!(once(&[(1, "ra", 1_121, 9_000.0)], &fixes).count(), 0);
    assert_eq!(once(&[(1, "rb", 1_120, 9_000.0)], &fixes).count(), 0, "a phone that was not heard of");
    assert_eq!(once(&[(1, "rc", 1_000, 9_000.0)], &fixes).count(), 0, "a reader that nobody carries");
}

#[test]
fn what_a_phone_had_buffered_takes_an_alert_back_once() {
    let mut fixes = still("da", 1_000, 0.0);
    let ride = (1..=5).map(|number| ("da", 1_000 + number * 10, 1_500, f64::from(number as i32) * 600.0));
    fixes.extend(ride);
    fixes.push(("da", 1_600, 1_601, 0.0));
    let swipe = [(1, "ra", 1_055, 3_000.0)];
    let mut table = Table::default();
    table.run(&swipe, &[&fixes[..51], &[("db", 1_200, 1_200, 0.0)]].concat());
    assert_eq!(table.column("state"), ["raised"]);
    let all = [&fixes[..51], &[("db", 1_200, 1_200, 0.0)], &fixes[51..]].concat();
    table.run(&swipe, &all);
    assert_eq!(table.column("state"), ["raised", "withdrawn"]);
    assert!(
        table.column("sentence")[1].starts_with("Withdrawn: by what the phone of courier A sent later it was 1.8 km"),
        "{:?}",
        table.column("sentence")
    );
    table.run(&swipe, &[&all[..], &[("da", 1_056, 1_700, 0.0)]].concat());
    assert_eq!(table.count(), 2);
    assert_eq!(once(&swipe, &all).shown(), table.shown());
}

/// Fixes with their arrivals, and swipes.
fn logs() -> impl Strategy<Value = (Vec<Ping>, Vec<Swipe>, Vec<usize>)> {
    let ping = (prop_oneof![Just("da"), Just("db")], 0..1_000_i64, 0..60_i64, 0..5_000_i64, prop::bool::weighted(0.1));
    let fix = |(device, received, buffered, metres, is_late): (&'static str, i64, i64, i64, bool)| {
        let buffered = if is_late { buffered * 8 } else { buffered };
        (device, received - buffered, received, metres as f64)
    };
    let pings = prop::collection::vec(ping.prop_map(fix), 1..60).prop_map(|mut pings| {
        pings.sort_by_key(|ping| ping.2);
        pings
    });
    let swipe = (prop_oneof![Just("ra"), Just("rb")], 0..1_000_i64, 0..6_000_i64);
    let swipes = prop::collection::vec(swipe, 1..8).prop_map(|mut swipes| {
        swipes.sort_by_key(|swipe| swipe.1);
        swipes
            .into_iter()
            .zip(0..)
            .map(|((reader, second, metres), number)| (number, reader, second, metres as f64))
            .collect()
    });
    (pings, swipes, prop::collection::vec(0..60_usize, 0..6))
}

proptest! {
    /// Fails if anything is judged by what a run happens to know.
    #[test]
    fn rows_are_the_same_over_any_split((pings, swipes, mut cuts) in logs()) {
        cuts.sort_unstable();
        let mut split = Table::default();
        for cut in cuts.into_iter().map(|cut| cut.min(pings.len())).chain([pings.len()]) {
            let clock = pings[..cut].last().map_or(0, |ping| ping.2);
            let seen = swipes.partition_point(|swipe| swipe.2 <= clock);
            split.run(&swipes[..seen], &pings[..cut]);
        }
        split.run(&swipes, &pings);
        prop_assert_eq!(split.shown(), once(&swipes, &pings).shown());
    }
}
