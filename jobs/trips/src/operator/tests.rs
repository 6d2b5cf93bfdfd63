//! The promises about order of arrival, copies and restarts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::metric::{Offset, Place, Plane};
use crate::segment::{StopEnded, TripEnded};
use crate::units::{MINUTE_US, SECOND_US};

const START_US: i64 = 1_772_409_600 * SECOND_US;
/// Longest way from a device to the log in these tests: below the lateness.
const DELAY_S_MAX: u32 = 50;

/// A part of a device's day.
#[derive(Debug, Clone)]
enum Part {
    /// Drive so many fixes, 10 s and so many metres apart, in this direction of eight.
    Drive(u8, f64, u8),
    /// Stand for so many fixes, 30 s apart.
    Stand(u8),
    /// No fix for so many seconds and over so many metres.
    Silence(u16, f64),
    /// A fix that is wrong in this way.
    Wrong(u8),
    /// Hired or free from here on.
    Hired(bool),
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        4 => (1..30_u8, 5.0..200.0_f64, 0..8_u8).prop_map(|(fixes, step_m, way)| Part::Drive(fixes, step_m, way)),
        3 => (1..25_u8).prop_map(Part::Stand),
        1 => (60..3_000_u16, 0.0..5_000.0_f64).prop_map(|(lasts_s, way_m)| Part::Silence(lasts_s, way_m)),
        2 => (0..7_u8).prop_map(Part::Wrong),
        1 => any::<bool>().prop_map(Part::Hired),
    ]
}

/// The fixes of a device in the order in which they were taken.
fn day(device: usize, parts: &[Part]) -> Vec<Sighting> {
    let plane = Plane::at(Place { lat: 53.0 + device as f64, lon: -6.0 });
    let (mut second, mut at, mut hired, mut fixes) = (device as i64, Offset::default(), None, Vec::new());
    let mut fix = |second: i64, at: Offset, hired: Option<bool>| {
        // Some noise that depends on the time alone.
        let noise = |step: i64| ((second * step) % 13) as f64 - 6.0;
        let seen = Offset { east_m: at.east_m + noise(7), north_m: at.north_m + noise(11) };
        fixes.push(Sighting {
            time_us: START_US + second * SECOND_US,
            place: plane.place(seen),
            accuracy_m: (second % 3 != 0).then_some(5.0),
            speed_mps: None,
            hired,
            received_us: None,
        });
        let last = fixes.len() - 1;
        fixes[last]
    };
    let mut wrong = Vec::new();
    for part in parts {
        match part {
            Part::Drive(count, step_m, way) => {
                for _ in 0..*count {
                    let turn = f64::from(*way) * std::f64::consts::FRAC_PI_4;
                    (at.east_m, at.north_m) = (at.east_m + step_m * turn.cos(), at.north_m + step_m * turn.sin());
                    second += 10;
                    fix(second, at, hired);
                }
            }
            Part::Stand(count) => (0..*count).for_each(|_| {
                second += 30;
                fix(second, at, hired);
            }),
            Part::Silence(lasts_s, way_m) => {
                second += i64::from(*lasts_s);
                at.east_m += way_m;
                fix(second, at, hired);
            }
            Part::Wrong(kind) => {
                second += 5;
                let right = fix(second, at, hired);
                let far = plane.place(Offset { east_m: at.east_m + 90_000.0, north_m: at.north_m });
                wrong.push(match kind {
                    0 => Sighting { place: far, time_us: right.time_us + SECOND_US, ..right },
                    1 => Sighting { accuracy_m: Some(500.0), time_us: right.time_us + SECOND_US, ..right },
                    2 => Sighting { place: Place { lat: 0.0, lon: 0.0 }, ..right },
                    3 => Sighting { accuracy_m: Some(2.0), ..right },
                    4 => Sighting { place: far, ..right },
                    5 => Sighting { time_us: right.time_us + 2 * DAY_US, ..right },
                    _ => Sighting { speed_mps: Some(9.0), time_us: right.time_us + SECOND_US, ..right },
                });
            }
            Part::Hired(flag) => hired = Some(*flag),
        }
    }
    fixes.extend(wrong);
    fixes
}

/// A record: a fix of a device, or a tick.
type Record = (i64, Option<(usize, Sighting)>);

/// Records in an order of arrival. Every fix takes as long as its next number says; where that is odd a copy follows.
fn arrivals(days: &[Vec<Sighting>], delays: &[u32], copies: bool, tick_s: Option<i64>) -> Vec<Record> {
    let mut delays = delays.iter().cycle();
    let mut records: Vec<Record> = Vec::new();
    for (device, fixes) in days.iter().enumerate() {
        for fix in fixes {
            // The future is judged by the arrival, which must not depend on the order.
            let is_future = fix.time_us > START_US + DAY_US;
            let taken_us = if is_future { fix.time_us - 2 * DAY_US } else { fix.time_us };
            let mut send = |delay: u32| {
                let received_us = taken_us + i64::from(delay % DELAY_S_MAX) * SECOND_US + i64::from(delay % 997);
                records.push((received_us, Some((device, Sighting { received_us: Some(received_us), ..*fix }))));
            };
            let delay = *delays.next().unwrap();
            send(delay);
            if copies && delay % 2 == 1 {
                send(*delays.next().unwrap());
            }
        }
    }
    let end_us = records.iter().map(|(us, _)| *us).max().unwrap_or(START_US);
    if let Some(tick_s) = tick_s {
        let ticks = (START_US..end_us).step_by(usize::try_from(tick_s * SECOND_US).unwrap());
        records.extend(ticks.map(|received_us| (received_us, None)));
    }
    records.sort_by_key(|(received_us, _)| *received_us);
    records.push((end_us + 60 * MINUTE_US, None));
    records
}

type Said = (usize, String, Row);

fn feed(operator: &mut Operator, records: &[Record], first: usize, said: &mut Vec<Said>) {
    for (number, (received_us, record)) in records.iter().enumerate() {
        let mut say = |id: &str, row| said.push((first + number, id.to_string(), row));
        match record {
            Some((device, fix)) => operator.take(&format!("device-{device}"), *fix, &mut say),
            None => operator.pass(*received_us, &mut say),
        }
    }
}

fn run(records: &[Record]) -> Vec<Said> {
    let mut said = Vec::new();
    feed(&mut Operator::default(), records, 0, &mut said);
    said
}

/// Newest revisions of stops and trips, the faults but for copies, and the number of copies.
#[derive(Debug, PartialEq)]
struct Current {
    trips: BTreeMap<(String, i64), TripEnded>,
    stops: BTreeMap<(String, i64), StopEnded>,
    faults: Vec<String>,
    copies: usize,
}

fn current(said: &[Said]) -> Current {
    let mut current = Current { trips: BTreeMap::new(), stops: BTreeMap::new(), faults: Vec::new(), copies: 0 };
    for (_, id, row) in said {
        match row {
            Row::Ended(Event::Trip(trip)) => {
                let before = current.trips.insert((id.clone(), trip.start_us), (**trip).clone());
                assert_eq!(trip.revision, before.map_or(0, |before| before.revision) + 1);
            }
            Row::Ended(Event::Stop(stop)) => {
                let before = current.stops.insert((id.clone(), stop.start_us), stop.clone());
                assert_eq!(stop.revision, before.map_or(0, |before| before.revision) + 1);
            }
            Row::Fault(_, Reason::Duplicate) => current.copies += 1,
            Row::Fault(fix, reason) => {
                current.faults.push(format!("{id} {} {:?} {}", fix.time_us, fix.place, reason.code()));
            }
            Row::Vehicle(_) => {}
        }
    }
    current.faults.sort();
    current
}

fn days() -> impl Strategy<Value = Vec<Vec<Sighting>>> {
    prop::collection::vec(prop::collection::vec(part(), 1..25), 1..4)
        .prop_map(|days| days.iter().enumerate().map(|(device, parts)| day(device, parts)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Fails when a decision depends on the order of arrival inside the lateness, on copies, or on who notices a silence.
    #[test]
    fn any_order_inside_the_lateness_gives_the_same_trips_stops_and_faults(
        days in days(), one in prop::collection::vec(any::<u32>(), 1..80), other in prop::collection::vec(any::<u32>(), 1..80),
    ) {
        let (first, second) = (arrivals(&days, &one, false, None), arrivals(&days, &other, true, Some(45)));
        let fixes = |records: &[Record]| records.iter().filter(|(_, record)| record.is_some()).count();
        let (plain, copied) = (current(&run(&first)), current(&run(&second)));
        prop_assert!(!plain.faults.iter().any(|fault| fault.ends_with(" late")), "{:?}", plain.faults);
        prop_assert_eq!(copied.copies - plain.copies, fixes(&second) - fixes(&first));
        prop_assert_eq!(Current { copies: plain.copies, ..copied }, plain);
    }

    /// Fails when anything that decides is not saved, or saved state depends on more than the records.
    #[test]
    fn a_restart_from_any_snapshot_gives_the_same_rows(
        days in days(), delays in prop::collection::vec(any::<u32>(), 1..80), cut in any::<prop::sample::Index>(),
        ticks in prop::option::of(10..200_i64),
    ) {
        let records = arrivals(&days, &delays, true, ticks);
        let cut = cut.index(records.len());
        let (mut whole, mut said) = (Operator::default(), Vec::new());
        feed(&mut whole, &records, 0, &mut said);
        let (mut before, mut parts) = (Operator::default(), Vec::new());
        feed(&mut before, &records[..cut], 0, &mut parts);
        let mut after = Operator::restore(&before.save().unwrap()).unwrap();
        feed(&mut after, &records[cut..], cut, &mut parts);
        prop_assert_eq!(parts, said);
        prop_assert_eq!(after.save().unwrap(), whole.save().unwrap());
    }
}

fn received(second: i64, arrival: i64, east_m: f64) -> Sighting {
    let place = Plane::at(Place { lat: 53.0, lon: -6.0 }).place(Offset { east_m, north_m: 0.0 });
    let (time_us, received_us) = (START_US + second * SECOND_US, Some(START_US + arrival * SECOND_US));
    Sighting { time_us, place, accuracy_m: None, speed_mps: None, hired: None, received_us }
}

fn trips(said: &[Said]) -> Vec<(i64, i64, u32)> {
    let second = |us: i64| (us - START_US) / SECOND_US;
    let trip = |(_, _, row): &Said| match row {
        Row::Ended(Event::Trip(trip)) => Some((second(trip.start_us), second(trip.end_us), trip.revision)),
        _ => None,
    };
    said.iter().filter_map(trip).collect()
}

/// Fails when an upload is late because its device was silent, or makes a trip of its own.
#[test]
fn a_silent_device_has_its_trip_closed_and_its_upload_revises_it() {
    let device = |second: i64, arrival: i64| {
        (START_US + arrival * SECOND_US, Some((0, received(second, arrival, second as f64 * 12.0))))
    };
    let mut records: Vec<Record> = (0..=300).step_by(10).map(|second| device(second, second + 1)).collect();
    records.push((START_US + 1_021 * SECOND_US, None));
    let closed = run(&records);
    assert_eq!(trips(&closed), [(0, 300, 1)]);
    let silent = closed
        .iter()
        .any(|(_, _, row)| matches!(row, Row::Vehicle(seen) if seen.doing == crate::segment::Doing::Silent));
    assert!(silent);
    // The buffer of half an hour comes in any order.
    records.extend((310..=2_000).step_by(10).map(|second| device((second * 7) % 1_700 / 10 * 10 + 310, 2_003)));
    records.push((START_US + 3_000 * SECOND_US, None));
    let revised = run(&records);
    assert_eq!(trips(&revised), [(0, 300, 1), (0, 2_000, 2)]);
    assert!(!revised.iter().any(|(_, _, row)| matches!(row, Row::Fault(_, reason) if *reason != Reason::Duplicate)));
}

/// Fails when a device's entry stays after it was forgotten, or an old entry forgets a device that came back.
#[test]
fn devices_are_forgotten_after_a_week_and_those_that_came_back_are_not() {
    let mut operator = Operator::default();
    let mut none = |_: &str, _: Row| {};
    let day_s = DAY_US / SECOND_US;
    operator.take("a", received(0, 0, 0.0), &mut none);
    operator.take("b", received(0, 0, 0.0), &mut none);
    operator.take("a", received(3 * day_s, 3 * day_s, 0.0), &mut none);
    operator.pass(START_US + 8 * DAY_US, &mut none);
    assert_eq!(operator.devices(), 1);
    operator.pass(START_US + 11 * DAY_US, &mut none);
    operator.pass(START_US + 11 * DAY_US + 1, &mut none);
    assert_eq!((operator.devices(), operator.due.len()), (0, 0));
}

/// Without a clock the number of devices is bounded all the same.
#[test]
fn devices_are_bounded() {
    let mut operator = Operator::default();
    for number in 0..DEVICES_MAX + 100 {
        let fix = Sighting { received_us: None, ..received(0, 0, 0.0) };
        operator.take(&format!("device-{number}"), fix, &mut |_, _| {});
    }
    assert!(operator.devices() <= DEVICES_MAX, "{}", operator.devices());
    assert!(!operator.by_id.contains_key("device-0") && operator.by_id.contains_key("device-16000"));
}
