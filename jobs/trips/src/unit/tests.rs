use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, new_null_array};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use proptest::prelude::*;
use schemas::Partition;

use super::*;

const TIME_US: i64 = 1_772_409_600_000_000;

/// A row of the pings topic.
#[derive(Debug, Clone)]
struct Ping {
    kind: Option<&'static str>,
    device: Option<String>,
    time_us: Option<i64>,
    lat: Option<f64>,
    lon: Option<f64>,
    hired: Option<bool>,
    received_us: Option<i64>,
}

fn ping() -> Ping {
    Ping {
        kind: None,
        device: Some("bus304".to_string()),
        time_us: Some(TIME_US),
        lat: Some(52.629151),
        lon: Some(-8.661746),
        hired: None,
        received_us: None,
    }
}

fn input(first_offset: i64, pings: &[Ping]) -> Input {
    let times = |value: fn(&Ping) -> Option<i64>| -> ArrayRef {
        Arc::new(pings.iter().map(value).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let numbers =
        |value: fn(&Ping) -> Option<f64>| -> ArrayRef { Arc::new(pings.iter().map(value).collect::<Float64Array>()) };
    let schema = topics::pings();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "kind" => Arc::new(pings.iter().map(|ping| ping.kind).collect::<StringArray>()) as ArrayRef,
        "device_id" => Arc::new(pings.iter().map(|ping| ping.device.as_deref()).collect::<StringArray>()),
        "time" => times(|ping| ping.time_us),
        "lat" => numbers(|ping| ping.lat),
        "lon" => numbers(|ping| ping.lon),
        "accuracy_m" => numbers(|_| Some(4.5)),
        "hired" => Arc::new(pings.iter().map(|ping| ping.hired).collect::<BooleanArray>()),
        "received_at" => times(|ping| ping.received_us),
        _ => new_null_array(field.data_type(), pings.len()),
    });
    let rows = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();
    let offsets = (first_offset..).take(pings.len()).collect();
    Input { topic: "pings", partition: Partition(0), offsets, rows }
}

fn run(inputs: &[Input]) -> Vec<Output> {
    let mut unit = TripsUnit::new();
    let mut outputs = Vec::new();
    for input in inputs {
        unit.process(input, &mut outputs).unwrap();
    }
    outputs
}

fn letters(outputs: &[Output]) -> Vec<(i64, String)> {
    let of_letters = outputs.iter().filter(|output| output.name == DEAD_LETTERS);
    let reasons = |output: &Output| {
        let reasons = output.rows.column_by_name("reason").unwrap().as_string::<i32>().clone();
        output
            .offsets
            .iter()
            .copied()
            .enumerate()
            .map(move |(row, offset)| (offset, reasons.value(row).to_string()))
            .collect::<Vec<_>>()
    };
    of_letters.flat_map(reasons).collect()
}

#[test]
fn a_fix_is_kept_as_it_came() {
    let outputs = run(&[input(7, &[Ping { kind: Some("ping"), received_us: Some(TIME_US + 5), ..ping() }, ping()])]);
    let [pings, faults] = outputs.as_slice() else { panic!("pings, and a copy") };
    assert_eq!((pings.name, pings.offsets.as_slice()), ("pings", [7, 8].as_slice()));
    assert_eq!((faults.name, faults.offsets.as_slice()), (PING_FAULTS, [8].as_slice()));
    assert_eq!(pings.rows.schema(), tables::ping_rows());
    let value = |name: &str| pings.rows.column_by_name(name).unwrap().as_primitive::<Float64Type>().value(0);
    assert_eq!((value("lat"), value("lon"), value("accuracy_m")), (52.629151, -8.661746, 4.5));
    let ingest = pings.rows.column_by_name("ingest_time").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert!(ingest.value(0) == TIME_US + 5 && ingest.is_null(1));
}

/// Dropping any arm of `judge` makes one of these fixes.
#[test]
fn what_cannot_be_a_fix_is_a_dead_letter_and_its_neighbours_stay() {
    let bad = [
        (Ping { kind: Some("loyalty"), ..ping() }, "unknown_kind"),
        (Ping { device: None, ..ping() }, "device_missing"),
        (Ping { device: Some(String::new()), ..ping() }, "device_missing"),
        (Ping { device: Some("d".repeat(65)), ..ping() }, "device_too_long"),
        (Ping { time_us: None, ..ping() }, "time_missing"),
        (Ping { time_us: Some(-1), ..ping() }, "time_out_of_range"),
        (Ping { time_us: Some(i64::MAX), ..ping() }, "time_out_of_range"),
        (Ping { received_us: Some(i64::MIN), ..ping() }, "received_at_out_of_range"),
        (Ping { kind: Some("tick"), received_us: Some(i64::MAX), ..ping() }, "received_at_out_of_range"),
        (Ping { lat: None, ..ping() }, "position_missing"),
        (Ping { lon: None, ..ping() }, "position_missing"),
        (Ping { lat: Some(999.0), ..ping() }, "latitude_out_of_range"),
        (Ping { lat: Some(f64::NAN), ..ping() }, "latitude_out_of_range"),
        (Ping { lon: Some(-180.1), ..ping() }, "longitude_out_of_range"),
        (Ping { lon: Some(f64::INFINITY), ..ping() }, "longitude_out_of_range"),
    ];
    for (bad, reason) in bad {
        let outputs = run(&[input(0, &[ping(), bad.clone(), ping()])]);
        assert_eq!(letters(&outputs), [(1, reason.to_string())], "{bad:?}");
        assert_eq!(outputs[0].offsets, [0, 2], "{bad:?}");
    }
}

#[test]
fn unlikely_is_not_impossible_and_a_tick_is_no_fix() {
    let null_island = Ping { lat: Some(0.0), lon: Some(0.0), ..ping() };
    let pole = Ping { lat: Some(90.0), lon: Some(-180.0), ..ping() };
    let tick = Ping { kind: Some("tick"), device: None, time_us: None, lat: None, lon: None, ..ping() };
    let timed = Ping { received_us: Some(TIME_US), ..tick.clone() };
    let outputs = run(&[input(0, &[tick, null_island, pole, timed])]);
    let written: Vec<(&str, &[i64])> = outputs.iter().map(|output| (output.name, &*output.offsets)).collect();
    assert_eq!(written, [(PINGS, &[1, 2][..]), (PING_TICKS, &[3][..])]);
}

struct NoBundles;

impl BundleSource for NoBundles {
    fn bundle(&self, _: schemas::ids::ContentHash) -> Result<Vec<u8>, String> {
        Err("there are none".to_string())
    }
}

#[test]
fn control_records_and_foreign_snapshots_are_refused() {
    let change = ControlChange::Key { kind: "token_key".into(), id: "1".into(), check_value: "000000".into() };
    let control = Control { offset: schemas::Offset(0), received_at_us: 0, change };
    assert!(TripsUnit::new().control(&control, &mut Vec::new()).unwrap_err().to_string().contains("token_key 1"));
    let state = TripsUnit::new().save().unwrap();
    assert!(TripsUnit::new().restore(&state, &NoBundles).is_ok());
    assert!(TripsUnit::new().restore(&[state, vec![0]].concat(), &NoBundles).is_err());
    assert!(TripsUnit::new().restore(&[], &NoBundles).is_err());
    assert!(FixesUnit::default().restore(&[], &NoBundles).is_ok());
    assert!(FixesUnit::default().restore(&[1], &NoBundles).is_err());
}

/// A courier's morning: he waits, drives, waits, and falls silent, which a tick shows.
fn morning() -> Vec<Ping> {
    let at = |second: i64, north_m: f64| {
        let time_us = TIME_US + second * 1_000_000;
        let lat = Some(52.0 + north_m / 111_000.0);
        Ping { time_us: Some(time_us), received_us: Some(time_us + 1_000_000), lat, ..ping() }
    };
    let waits = (0..20).map(|step| at(step * 30, 0.0));
    let drives = (0..60).map(|step| at(600 + step * 10, step as f64 * 100.0));
    let waits_again = (0..20).map(|step| at(1_200 + step * 30, 6_000.0));
    let later = TIME_US + 3_600_000_000;
    let tick = Ping { kind: Some("tick"), device: None, time_us: None, lat: None, received_us: Some(later), ..ping() };
    waits.chain(drives).chain(waits_again).chain([tick]).collect()
}

/// Rows of an output with what caused them.
fn rows_of(outputs: &[Output], name: &str) -> Vec<(i64, RecordBatch)> {
    let of_name = outputs.iter().filter(|output| output.name == name);
    let each = |output: &Output| {
        let rows = output.rows.clone();
        output.offsets.clone().into_iter().enumerate().map(move |(row, offset)| (offset, rows.slice(row, 1)))
    };
    of_name.flat_map(each).collect()
}

fn outputs_of(unit: &TripsUnit) -> Vec<&'static str> {
    unit.outputs().iter().map(|output| output.name).collect()
}

#[test]
fn a_morning_becomes_stops_a_trip_and_a_silent_vehicle() {
    let pings = morning();
    let tick = pings.len() as i64 - 1;
    let outputs = run(&[input(0, &pings)]);
    let text =
        |rows: &RecordBatch, name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().value(0).to_string();
    let number =
        |rows: &RecordBatch, name: &str| rows.column_by_name(name).unwrap().as_primitive::<Float64Type>().value(0);

    let [(at, trip)] = rows_of(&outputs, TRIPS).try_into().unwrap();
    assert!(at > 80 && at < tick, "the trip ends where it is seen that he stays: {at}");
    assert_eq!((text(&trip, "device_id").as_str(), text(&trip, "close_reason").as_str()), ("bus304", "stop"));
    assert!((number(&trip, "distance_m") - 6_000.0).abs() < 30.0, "{trip:?}");
    let wkb = trip.column_by_name("path").unwrap().as_binary::<i32>().value(0).to_vec();
    assert_eq!(wkb[..5], [1, 2, 0, 0, 0]);
    let points = u32::from_le_bytes(wkb[5..9].try_into().unwrap()) as usize;
    assert_eq!(wkb.len(), 9 + 16 * points);
    let first = f64::from_le_bytes(wkb[9..17].try_into().unwrap());
    assert!((first + 8.661746).abs() < 1e-6, "longitude comes first: {first}");

    let stops = rows_of(&outputs, STOPS);
    assert_eq!(stops.len(), 2);
    assert_eq!(stops[1].0, tick, "he is still there when he falls silent");
    assert_eq!(text(&stops[1].1, "trip_id"), text(&trip, "trip_id"));
    let vehicles = rows_of(&outputs, VEHICLES);
    let states: Vec<String> = vehicles.iter().map(|(_, seen)| text(seen, "state")).collect();
    let mut changes = states.clone();
    changes.dedup();
    assert_eq!(changes, ["stopped", "driving", "stopped", "silent"]);
    assert_eq!(vehicles.last().unwrap().0, tick);
    assert!(rows_of(&outputs, PING_FAULTS).is_empty());
}

/// What the lake reads by itself is what an embedded run writes.
#[test]
fn fixes_and_letters_are_the_same_without_devices() {
    let mut pings = morning();
    pings.insert(7, Ping { lat: None, ..ping() });
    let input = input(0, &pings);
    let whole = run(std::slice::from_ref(&input));
    let mut alone = Vec::new();
    FixesUnit::default().process(&input, &mut alone).unwrap();
    for name in [PINGS, PING_TICKS, DEAD_LETTERS] {
        assert!(!rows_of(&alone, name).is_empty());
        assert_eq!(rows_of(&alone, name), rows_of(&whole, name));
    }
    let names: Vec<&str> = FixesUnit::default().outputs().iter().map(|output| output.name).collect();
    assert_eq!(names, [PINGS, PING_TICKS, DEAD_LETTERS]);
}

proptest! {
    /// I-3: rows depend neither on where batches end nor on where a run was stopped and went on from its snapshot.
    #[test]
    fn neither_batch_borders_nor_restarts_matter(cuts in prop::collection::btree_set(1_usize..101, 0..5), restarts in any::<bool>()) {
        let pings = morning();
        let whole = run(&[input(0, &pings)]);
        let mut unit = TripsUnit::new();
        let (mut parts, mut start) = (Vec::new(), 0);
        for end in cuts.into_iter().chain([pings.len()]) {
            unit.process(&input(start as i64, &pings[start..end]), &mut parts).unwrap();
            start = end;
            if restarts {
                let state = unit.save().unwrap();
                unit = TripsUnit::new();
                unit.restore(&state, &NoBundles).unwrap();
                prop_assert_eq!(&unit.save().unwrap(), &state);
            }
        }
        for name in outputs_of(&unit) {
            prop_assert_eq!(rows_of(&parts, name), rows_of(&whole, name));
        }
    }

    #[test]
    fn batch_borders_do_not_matter(kinds in prop::collection::vec(0_u8..4, 1..40), cut in 0_usize..40) {
        let pings: Vec<Ping> = kinds.iter().map(|kind| match kind {
            0 => Ping { lat: None, ..ping() },
            1 => Ping { kind: Some("tick"), ..ping() },
            _ => ping(),
        }).collect();
        let cut = cut.min(pings.len());
        let whole = run(&[input(0, &pings)]);
        let parts = run(&[input(0, &pings[..cut]), input(cut as i64, &pings[cut..])]);
        for name in [PINGS, DEAD_LETTERS] {
            let all = |outputs: &[Output]| -> Vec<i64> {
                outputs.iter().filter(|output| output.name == name).flat_map(|output| output.offsets.clone()).collect()
            };
            prop_assert_eq!(all(&whole), all(&parts));
        }
        prop_assert_eq!(letters(&whole), letters(&parts));
    }
}
