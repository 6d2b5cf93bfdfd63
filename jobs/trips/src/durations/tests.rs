use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int32Type};
use proptest::prelude::*;

use super::*;

const MINUTE_US: i64 = 60 * SECOND_US;
/// A Monday at 00:00 UTC.
const MONDAY_US: i64 = 1_772_409_600 * SECOND_US;

/// A trip of a test: from the west zone to the east one unless it says otherwise.
#[derive(Debug, Clone, PartialEq)]
struct Trip {
    id: String,
    revision: i32,
    device: &'static str,
    /// Minutes after [`MONDAY_US`].
    start_min: i64,
    minutes: i64,
    from_lon: f64,
    to_lon: f64,
    path_m: f64,
    straight_m: Option<f64>,
    stops: i32,
    hired: Option<bool>,
    close: &'static str,
    is_written: bool,
}

fn trip(id: &str, start_min: i64, minutes: i64) -> Trip {
    Trip {
        id: id.to_string(),
        revision: 1,
        device: "d1",
        start_min,
        minutes,
        from_lon: 0.5,
        to_lon: 1.5,
        path_m: 1_200.0,
        straight_m: Some(1_000.0),
        stops: 0,
        hired: None,
        close: "stop",
        is_written: false,
    }
}

fn times_of(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn trips(trips: &[Trip]) -> RecordBatch {
    let all = || trips.iter();
    let text = |value: fn(&Trip) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(all().map(value))) };
    let number = |value: fn(&Trip) -> f64| -> ArrayRef { Arc::new(Float64Array::from_iter_values(all().map(value))) };
    let end = |trip: &Trip| Some(MONDAY_US + (trip.start_min + trip.minutes) * MINUTE_US);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("trip_id", text(|trip| trip.id.clone())),
        ("revision", Arc::new(all().map(|trip| Some(trip.revision)).collect::<Int32Array>())),
        ("device_id", text(|trip| trip.device.to_string())),
        ("started_at", times_of(all().map(|trip| Some(MONDAY_US + trip.start_min * MINUTE_US)))),
        ("ended_at", times_of(all().map(end))),
        ("start_lat", number(|_| 0.5)),
        ("start_lon", number(|trip| trip.from_lon)),
        ("end_lat", number(|_| 0.5)),
        ("end_lon", number(|trip| trip.to_lon)),
        ("path_m", number(|trip| trip.path_m)),
        ("distance_m", number(|trip| trip.path_m)),
        ("straight_m", Arc::new(all().map(|trip| trip.straight_m).collect::<Float64Array>())),
        ("idle_s", Arc::new(all().map(|_| Some(30)).collect::<Int64Array>())),
        ("stops", Arc::new(all().map(|trip| Some(trip.stops)).collect::<Int32Array>())),
        ("fixes", Arc::new(all().map(|_| Some(20)).collect::<Int32Array>())),
        ("close_reason", text(|trip| trip.close.to_string())),
        ("hired", Arc::new(all().map(|trip| trip.hired).collect::<BooleanArray>())),
        ("event_time", times_of(all().map(end))),
        ("ingest_time", times_of(all().map(|_| None))),
        ("source_topic", text(|_| "pings".to_string())),
        ("source_partition", Arc::new(all().map(|_| Some(0)).collect::<Int32Array>())),
        ("source_offset", Arc::new((0..).take(trips.len()).map(Some).collect::<Int64Array>())),
        ("is_written", Arc::new(all().map(|trip| Some(trip.is_written)).collect::<BooleanArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// Two zones side by side.
fn zones() -> Zones {
    let feature = |name: &str, west: f64| {
        let east = west + 1.0;
        format!(
            r#"{{"type":"Feature","properties":{{"name":"{name}"}},"geometry":{{"type":"Polygon",
            "coordinates":[[[{west},0],[{east},0],[{east},1],[{west},1],[{west},0]]]}}}}"#
        )
    };
    let features = [feature("west", 0.0), feature("east", 1.0)].join(",");
    Zones::from_geojson(&format!(r#"{{"type":"FeatureCollection","features":[{features}]}}"#), "UTC").unwrap()
}

fn durations_of(inputs: &Inputs<'_>) -> RecordBatch {
    trip_durations(inputs, &zones()).unwrap()
}

fn of_trips(list: &[Trip]) -> RecordBatch {
    durations_of(&Inputs { trips: &[trips(list)], ..Inputs::default() })
}

fn numbers(rows: &RecordBatch, name: &str) -> Vec<Option<f64>> {
    rows.column_by_name(name).unwrap().as_primitive::<Float64Type>().iter().collect()
}

fn counts(rows: &RecordBatch, name: &str) -> Vec<Option<i32>> {
    rows.column_by_name(name).unwrap().as_primitive::<Int32Type>().iter().collect()
}

fn text(rows: &RecordBatch, name: &str, id: &str) -> Option<String> {
    let ids = rows.column_by_name("trip_id").unwrap().as_string::<i32>();
    let row = ids.iter().position(|found| found == Some(id)).unwrap();
    let column = rows.column_by_name(name).unwrap().as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_string())
}

#[test]
fn nothing_gives_nothing() {
    assert_eq!(durations_of(&Inputs::default()).num_rows(), 0);
    assert_eq!(of_trips(&[]).num_rows(), 0);
}

/// Fails if a baseline knows of trips that had not ended, or of those of another month.
#[test]
fn only_earlier_trips_say_what_was_to_be_expected() {
    let list = [
        trip("first", 0, 10),
        // It starts when the first one ends, and does not know it yet.
        trip("second", 10, 20),
        trip("third", 31, 30),
        trip("late", 10 + 28 * 24 * 60, 40),
        trip("too late", 31 + 28 * 24 * 60, 50),
    ];
    let rows = of_trips(&list);
    // Of one trip of 10 minutes over 1000 m group and model say the same; of 10 and 20 the median is 15, the model's
    // speed that of the middle between 1000 / 600 and 1000 / 1200.
    let model_s = 1_000.0 / f64::midpoint(1_000.0 / 600.0, 1_000.0 / 1_200.0);
    let expected_s = 900.0 * (2.0 / 12.0) + model_s * (10.0 / 12.0);
    let found = numbers(&rows, "expected_s");
    assert_eq!(found[..2], [None, None]);
    assert!((found[2].unwrap() - expected_s).abs() < 1e-9, "{found:?} {expected_s}");
    assert_eq!(counts(&rows, "expected_from"), [None, None, Some(2), Some(3), Some(1)]);
    assert_eq!(numbers(&rows, "deviation_s")[2].unwrap(), 1_800.0 - found[2].unwrap());
    assert_eq!(numbers(&rows, "duration_s"), [600.0, 1_200.0, 1_800.0, 2_400.0, 3_000.0].map(Some));
    assert_eq!(numbers(&rows, "moving_s")[0], Some(570.0));
}

#[test]
fn an_hour_with_enough_trips_speaks_for_itself() {
    let mut list: Vec<Trip> = (0..30).map(|n| trip(&format!("day {n}"), n * 24 * 60 / 2 + 12 * 60, 30)).collect();
    for week in 0..4 {
        let monday = |minute: i64| trip(&format!("week {week} {minute}"), week * 7 * 24 * 60 + 6 * 60 + minute, 10);
        list.extend([0, 1, 2].map(monday));
    }
    let last = trip("last", 3 * 7 * 24 * 60 + 6 * 60 + 30, 10);
    list.push(last);
    let rows = of_trips(&list);
    let ids = rows.column_by_name("trip_id").unwrap().as_string::<i32>();
    let row = ids.iter().position(|id| id == Some("last")).unwrap();
    assert_eq!(counts(&rows, "hour_of_week")[row], Some(6));
    assert_eq!(counts(&rows, "expected_from")[row], Some(12));
}

#[test]
fn written_trips_count_and_get_no_row() {
    let rows = of_trips(&[Trip { is_written: true, ..trip("first", 0, 10) }, trip("second", 20, 10)]);
    assert_eq!(rows.num_rows(), 1);
    assert_eq!(counts(&rows, "expected_from"), [Some(1)]);
}

#[test]
fn a_larger_revision_replaces_the_others() {
    let longer = Trip { revision: 2, minutes: 15, ..trip("first", 0, 10) };
    let second = trip("second", 20, 10);
    let rows = of_trips(&[longer.clone(), trip("first", 0, 10), second.clone()]);
    assert_eq!(rows.num_rows(), 2);
    assert_eq!(counts(&rows, "revision"), [Some(2), Some(1)]);
    assert_eq!(numbers(&rows, "expected_s"), numbers(&of_trips(&[longer, second]), "expected_s"));
}

fn assignment(device: &str, courier: &str, from_min: i64, to_min: Option<i64>, bundle_min: i64) -> RecordBatch {
    let at = |minute: i64| Some(MONDAY_US + minute * MINUTE_US);
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("device_id", text(device)),
        ("courier_id", text(courier)),
        ("merchant_id", text("m")),
        ("vehicle", text("car")),
        ("valid_from", times_of([at(from_min)].into_iter())),
        ("valid_to", times_of([to_min.and_then(at)].into_iter())),
        ("event_time", times_of([at(bundle_min)].into_iter())),
        ("source_partition", Arc::new(Int32Array::from(vec![0]))),
        ("source_offset", Arc::new(Int64Array::from(vec![bundle_min]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// Fails if an older bundle still speaks after a newer one came into force.
#[test]
fn the_bundle_in_force_says_whose_device_it_was() {
    let assignments = [
        assignment("d1", "ann", 0, Some(100), 50),
        assignment("d1", "bob", 100, None, 50),
        assignment("d2", "eve", 0, None, 50),
        assignment("d1", "cid", 0, None, 200),
    ];
    let list = [
        trip("before any bundle", 10, 5),
        trip("at the change", 100, 5),
        trip("under the next bundle", 210, 5),
        Trip { device: "d2", ..trip("dropped by it", 220, 5) },
        Trip { device: "d2", ..trip("before it", 190, 5) },
        Trip { device: "d3", ..trip("never named", 190, 5) },
    ];
    let rows = durations_of(&Inputs { trips: &[trips(&list)], assignments: &assignments, ..Inputs::default() });
    let courier = |id: &str| text(&rows, "courier_id", id);
    assert_eq!(courier("before any bundle").as_deref(), Some("ann"));
    assert_eq!(courier("at the change").as_deref(), Some("bob"));
    assert_eq!(courier("under the next bundle").as_deref(), Some("cid"));
    assert_eq!(courier("dropped by it"), None);
    assert_eq!(courier("before it").as_deref(), Some("eve"));
    assert_eq!(courier("never named"), None);
}

/// Fails if who walks is compared with who drives.
#[test]
fn only_trips_with_such_a_vehicle_are_compared() {
    let by_car = assignment("d1", "ann", 0, None, 0);
    let column = by_car.schema().index_of("vehicle").unwrap();
    let mut columns = assignment("d2", "bob", 0, None, 0).columns().to_vec();
    columns[column] = Arc::new(StringArray::from(vec!["foot"]));
    let on_foot = RecordBatch::try_new(by_car.schema(), columns).unwrap();
    let list = [
        trip("car", 0, 10),
        Trip { device: "d2", ..trip("foot", 0, 40) },
        Trip { device: "d3", ..trip("unknown", 0, 20) },
        trip("second car", 100, 10),
        Trip { device: "d2", ..trip("second foot", 100, 10) },
        Trip { device: "d3", ..trip("second unknown", 100, 10) },
    ];
    let assignments = [by_car, on_foot];
    let rows = durations_of(&Inputs { trips: &[trips(&list)], assignments: &assignments, ..Inputs::default() });
    let found = numbers(&rows, "expected_s");
    let near = |row: usize, expected_s: f64| (found[row].unwrap() - expected_s).abs() < 1e-9;
    assert!(near(3, 600.0) && near(4, 2_400.0) && near(5, 1_200.0), "{found:?}");
}

fn promise(device: &str, at_min: i64, from_min: Option<i64>) -> RecordBatch {
    let at = |minute: i64| Some(MONDAY_US + minute * MINUTE_US);
    let device: ArrayRef = Arc::new(StringArray::from(vec![device]));
    let columns = [
        ("device_id", device),
        ("promised_at", times_of([at(at_min)].into_iter())),
        ("from_at", times_of([from_min.and_then(at)].into_iter())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

#[test]
fn a_promise_is_about_the_trip_that_ends_nearest() {
    let list = [trip("a", 0, 10), trip("b", 20, 10), trip("c", 60, 10), Trip { device: "d2", ..trip("other", 25, 5) }];
    let on_time = |promises: &[RecordBatch]| -> Vec<Option<bool>> {
        let rows = durations_of(&Inputs { trips: &[trips(&list)], promises, ..Inputs::default() });
        let ids = rows.column_by_name("trip_id").unwrap().as_string::<i32>().clone();
        let on_time = rows.column_by_name("on_time").unwrap().as_boolean().clone();
        let of = |id: &str| {
            let row = ids.iter().position(|found| found == Some(id)).unwrap();
            on_time.is_valid(row).then(|| on_time.value(row))
        };
        ["a", "b", "c", "other"].map(of).to_vec()
    };
    assert_eq!(on_time(&[]), [None; 4]);
    assert_eq!(on_time(&[promise("d1", 29, None)]), [None, Some(false), None, None]);
    assert_eq!(on_time(&[promise("d1", 30, None)]), [None, Some(true), None, None]);
    // As near to the first as to the second.
    assert_eq!(on_time(&[promise("d1", 20, None)]), [Some(true), None, None, None]);
    assert_eq!(on_time(&[promise("d1", 20, Some(20))]), [None, Some(false), None, None]);
    assert_eq!(on_time(&[promise("d1", 31, None), promise("d1", 28, None)]), [None, Some(false), None, None]);
    assert_eq!(on_time(&[promise("d1", 70 + 121, None)]), [None; 4]);
    assert_eq!(on_time(&[promise("nobody", 30, None)]), [None; 4]);
}

fn mark(mark: Mark, device: &str, minutes: &[i64]) -> RecordBatch {
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; minutes.len()])) };
    let columns = [
        ("device_id", text(device)),
        ("event_time", times_of(minutes.iter().map(|minute| Some(MONDAY_US + minute * MINUTE_US)))),
        ("kind", text(mark.name())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn codes(rows: &RecordBatch, id: &str) -> Vec<String> {
    let ids = rows.column_by_name("trip_id").unwrap().as_string::<i32>();
    let row = ids.iter().position(|found| found == Some(id)).unwrap();
    let codes = rows.column_by_name("anomalies").unwrap().as_list::<i32>().value(row);
    codes.as_string::<i32>().iter().map(|code| code.unwrap().to_string()).collect()
}

#[test]
fn strange_trips_say_their_numbers() {
    let mut list: Vec<Trip> = (0..20).map(|n| trip(&format!("usual {n:02}"), n * 30, 10)).collect();
    list.extend([
        Trip { path_m: 2_400.0, ..trip("long way", 700, 10) },
        Trip { path_m: 2_400.0, stops: 2, ..trip("round", 720, 10) },
        Trip { path_m: 2_400.0, stops: 2, hired: Some(true), ..trip("fare", 740, 10) },
        Trip { path_m: 2_400.0, hired: Some(false), ..trip("free", 750, 10) },
        // Far between two near zones: the straight line explains it.
        Trip { path_m: 2_400.0, straight_m: Some(2_000.0), ..trip("far", 760, 10) },
        Trip { path_m: 2_400.0, straight_m: Some(299.0), ..trip("near", 780, 10) },
        Trip { close: "jump", ..trip("jumps", 800, 10) },
        trip("jumped", 820, 10),
        Trip { path_m: 1_900.0, from_lon: 5.0, ..trip("elsewhere", 840, 10) },
        Trip { device: "d2", ..trip("spoofed", 860, 20) },
    ]);
    let marks = [
        mark(Mark::Teleport, "d1", &[30, 31, 32]),
        mark(Mark::Teleport, "d1", &[60, 61, 61, 71]),
        mark(Mark::Copied, "d2", &[860, 861, 862, 863, 864]),
        mark(Mark::Smooth, "d2", &[865, 866, 867, 868, 869, 870, 871, 872, 873, 880]),
    ];
    let rows = durations_of(&Inputs { trips: &[trips(&list)], marks: &marks, ..Inputs::default() });
    for (id, expected) in [
        ("long way", &["detour"][..]),
        ("round", &[]),
        ("fare", &["detour"]),
        ("free", &[]),
        ("far", &[]),
        ("near", &[]),
        ("jumps", &["teleport"]),
        ("jumped", &["teleport"]),
        ("elsewhere", &["detour"]),
        ("usual 01", &["teleport"]),
        ("usual 02", &[]),
        ("spoofed", &["copied", "smooth"]),
    ] {
        assert_eq!(codes(&rows, id), expected, "{id}");
        assert_eq!(text(&rows, "anomaly_reason", id).is_some(), !expected.is_empty(), "{id}");
    }
    let reason = |id: &str| text(&rows, "anomaly_reason", id).unwrap();
    assert_eq!(
        reason("long way"),
        "The path of 2400 m is 2.0 times the median of 20 earlier trips from west to east (1200 m) and 2.4 times the \
         straight line of 1000 m."
    );
    assert_eq!(reason("elsewhere"), "The path of 1900 m is 1.9 times the straight line of 1000 m.");
    assert_eq!(reason("usual 01"), "3 fixes during the trip were left out as teleports.");
}

#[test]
fn an_unknown_mark_and_a_missing_column_are_errors() {
    let marks = trips(&[trip("a", 0, 1)]);
    assert!(trip_durations(&Inputs { marks: &[marks], ..Inputs::default() }, &zones()).is_err());
    let promises = [promise("d1", 0, None)];
    assert!(trip_durations(&Inputs { trips: &promises, ..Inputs::default() }, &zones()).is_err());
}

fn any_trip() -> impl Strategy<Value = Trip> {
    let shape = (0..12_u8, 1..3_i32, 0..40_i64, 1..90_i64, 0..3_u8, 0..3_u8);
    (shape, 100..3_000_i32, prop::option::of(100..2_000_i32), any::<bool>()).prop_map(
        |((id, revision, slot, minutes, from, to), path, straight, is_written)| Trip {
            revision,
            device: ["d1", "d2"][usize::from(id % 2)],
            from_lon: f64::from(from) + 0.5,
            to_lon: f64::from(to) + 0.5,
            path_m: f64::from(path),
            straight_m: straight.map(f64::from),
            is_written,
            ..trip(&format!("trip {id}"), slot * 24 * 60 / 3, minutes)
        },
    )
}

proptest! {
    /// Fails if a hash map's order, the order of batches or of rows reaches a row, or if an old revision does.
    #[test]
    fn order_does_not_matter_and_revisions_replace(
        list in prop::collection::vec(any_trip(), 1..60), seed in any::<u64>(), parts in 1..5_usize,
    ) {
        let mut newest: Vec<Trip> = Vec::new();
        for trip in &list {
            // The first of a trip's rows with one revision: a table has each once.
            if !newest.iter().any(|other| (&other.id, other.revision) == (&trip.id, trip.revision)) {
                newest.push(trip.clone());
            }
        }
        let rows = newest.clone();
        newest.retain(|trip| !rows.iter().any(|other| other.id == trip.id && other.revision > trip.revision));
        let mut shuffled = rows;
        shuffled.sort_by_key(|trip| (trip.path_m as u64 ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(trip.revision as u32));
        let batches: Vec<RecordBatch> = shuffled.chunks(shuffled.len().div_ceil(parts)).map(trips).collect();
        let found = durations_of(&Inputs { trips: &batches, ..Inputs::default() });
        let expected = of_trips(&newest);
        // Offsets are positions in the test's own list.
        let without = |rows: &RecordBatch| rows.project(&(0..rows.num_columns() - 1).collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(without(&found), without(&expected));
        let whole = concat_batches(&batches[0].schema(), &batches).unwrap();
        prop_assert_eq!(durations_of(&Inputs { trips: &[whole], ..Inputs::default() }), found);
    }
}

/// `cargo test --release -p till-trips --lib a_million_trips -- --ignored --nocapture` prints how long they take.
#[test]
#[ignore = "it measures, and asserts nothing about time"]
fn a_million_trips() {
    const TRIPS: i64 = 1_000_000;
    const DAYS: i64 = 60;
    let mut bits = 1_u64;
    let mut next = |below: u64| {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (bits >> 33) % below
    };
    let list: Vec<Trip> = (0..TRIPS)
        .map(|number| {
            let (from, to) = (next(20), next(20));
            let straight_m = 500.0 + next(8_000) as f64;
            Trip {
                device: ["d1", "d2", "d3", "d4"][next(4) as usize],
                from_lon: from as f64 + 0.5,
                to_lon: to as f64 + 0.5,
                path_m: straight_m * (1.0 + next(100) as f64 / 100.0),
                straight_m: Some(straight_m),
                ..trip(&format!("{number:032x}"), next((DAYS * 24 * 60) as u64) as i64, 1 + next(60) as i64)
            }
        })
        .collect();
    let batch = trips(&list);
    let feature = |west: u32| {
        let east = west + 1;
        format!(
            r#"{{"type":"Feature","properties":{{"name":"z{west}","zone":"Europe/Dublin"}},"geometry":{{"type":"Polygon",
            "coordinates":[[[{west},0],[{east},0],[{east},1],[{west},1],[{west},0]]]}}}}"#
        )
    };
    let features: Vec<String> = (0..20).map(feature).collect();
    let text = format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, features.join(","));
    let zones = Zones::from_geojson(&text, "UTC").unwrap();
    let started = std::time::Instant::now();
    let rows = trip_durations(&Inputs { trips: &[batch], ..Inputs::default() }, &zones).unwrap();
    println!("{} rows in {:.2} s", rows.num_rows(), started.elapsed().as_secs_f64());
}
