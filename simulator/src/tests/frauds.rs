//! What files say about frauds.

use super::content::*;
use super::*;

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

/// Metres between a payment's true place and a position.
fn off_m(payment: &Value, lat: f64, lon: f64) -> f64 {
    // Degrees at the town's latitude; see `metres_become_degrees`.
    let degrees = |name: &str, other: f64| payment[name].as_f64().unwrap() - other;
    (degrees("lat", lat) * 111_290.0).hypot(degrees("lon", lon) * 66_330.0)
}

/// Payments of the truth by their identity.
fn by_id(payments: &[Value]) -> BTreeMap<&str, &Value> {
    payments.iter().filter_map(|payment| Some((payment["payment_id"].as_str()?, payment))).collect()
}

#[test]
fn each_fraud_is_a_line_of_what_its_payments_say() {
    let town = Written::new(7, 3, 5);
    let (payments, frauds) = (town.truth("payments.ndjson"), town.truth("frauds.ndjson"));
    let by_id = by_id(&payments);
    let mut listed = BTreeSet::new();
    for fraud in &frauds {
        let texts = |name: &str| fraud[name].as_array().unwrap().iter().map(text).collect::<Vec<_>>();
        let parts: Vec<&Value> = texts("payment_ids").iter().map(|id| by_id[id.as_str()]).collect();
        assert!(parts.iter().all(|part| part["scenario"] == fraud["scenario"]), "{fraud}");
        assert!(parts.iter().all(|part| listed.insert(text(&part["payment_id"]))), "{fraud}");
        let tokens: BTreeSet<String> = parts.iter().map(|part| text(&part["token"])).collect();
        assert_eq!(texts("tokens").into_iter().collect::<BTreeSet<_>>(), tokens);
        for name in ["merchant_id", "reader_id"] {
            let values: BTreeSet<String> = parts.iter().map(|part| text(&part[name])).collect();
            assert_eq!(fraud[name].as_str(), values.first().filter(|_| values.len() == 1).map(String::as_str));
        }
        let is_refund = fraud["scenario"] == "refund_abuse";
        let times = parts.iter().map(|part| match is_refund {
            true => text(&part["later"].as_array().unwrap().last().unwrap()["received_at"]),
            false => text(&part["received_at"]),
        });
        let times: BTreeSet<String> = times.collect();
        assert_eq!((fraud["started_at"].as_str(), fraud["ended_at"].as_str()), {
            (times.first().map(String::as_str), times.last().map(String::as_str))
        });
    }
    let parts = payments.iter().filter(|payment| !payment["scenario"].is_null());
    assert_eq!(parts.map(|part| text(&part["payment_id"])).collect::<BTreeSet<_>>(), listed);
    // Seven each day, and one business fails.
    assert_eq!(frauds.len(), 3 * 7 + 1);
}

/// Fails when holders who notice nothing get money back, or others too early or never.
#[test]
fn most_holders_notice_and_get_their_money_back_within_ten_days() {
    let town = Written::new(7, 2, 40);
    let mut noticed: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for payment in town.truth("payments.ndjson").iter().filter(|payment| payment["meant"] == "fraud") {
        let later = payment["later"].as_array().unwrap();
        let back = later.iter().find(|later| later["kind"] == "chargeback");
        noticed.entry(text(&payment["scenario"])).or_default()[usize::from(back.is_some())] += 1;
        assert_eq!(payment["expected_state"] == "charged_back", back.is_some());
        let Some(back) = back else { continue };
        assert_eq!((&back["label"], &back["amount_minor"]), (&"fraud".into(), &payment["amount_minor"]));
        let days = (instant(&back["received_at"]) - instant(&payment["received_at"])).as_secs_f64() / 86_400.0;
        assert!((1.0..10.01).contains(&days), "{days}");
    }
    for (scenario, [unnoticed, noticed]) in noticed {
        match scenario.as_str() {
            "cloned_reader" | "cloned_reader_other_merchant" => assert_eq!(noticed, 0, "{scenario}"),
            "card_testing" | "bust_out" => {
                let share = unnoticed as f64 / (unnoticed + noticed) as f64;
                assert!((0.08..0.35).contains(&share), "{scenario} {share}");
            }
            _ => assert!(noticed > 0, "{scenario}"),
        }
    }
}

#[test]
fn payments_given_back_are_refunded_in_full() {
    let town = Written::new(7, 2, 5);
    let mut given_back = 0;
    for payment in town.truth("payments.ndjson").iter().filter(|payment| payment["scenario"] == "refund_abuse") {
        let last = payment["later"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["kind"], &last["amount_minor"]), (&"refund".into(), &payment["amount_minor"]));
        assert_eq!((&payment["expected_state"], &payment["meant"]), (&"refunded".into(), &"ordinary".into()));
        given_back += 1;
    }
    assert!(given_back >= 16, "{given_back}");
}

/// Fails when a phone sends where it should be instead of where it is.
#[test]
fn swipes_say_where_their_phone_is() {
    let town = Written::new(7, 1, 5);
    let (mut placed, mut unplaced) = (0, 0);
    for (payment, record) in payments_with_records(&town) {
        match (record["lat"].as_f64(), record["lon"].as_f64()) {
            (Some(lat), Some(lon)) => {
                assert!(off_m(&payment, lat, lon) < 30.0, "{payment}");
                placed += 1;
            }
            (None, None) => unplaced += 1,
            half => panic!("half a position: {half:?}"),
        }
    }
    assert!((1..40).contains(&unplaced) && placed > 400, "{placed} {unplaced}");
    assert!(town.records().iter().all(|record| record["kind"] == "swipe" || record["lat"].is_null()));
}

/// Fails when the courier's pings are too few to show it, or the reader is where he is.
#[test]
fn a_far_reader_is_kilometres_from_the_last_ping_of_its_courier() {
    let town = Written::new(7, 2, 5);
    let payments = town.truth("payments.ndjson");
    let frauds: Vec<&Value> = payments.iter().filter(|payment| payment["scenario"] == "far_reader").collect();
    assert!(frauds.len() >= 2, "{}", frauds.len());
    for day in ["2026-03-02", "2026-03-03"] {
        let mut fixes: BTreeMap<String, BTreeMap<i64, (f64, f64)>> = BTreeMap::new();
        for rows in pings(&town, day) {
            let numbers = |name: &str| rows.column_by_name(name).unwrap().as_primitive::<Float64Type>().clone();
            let (lat, lon) = (numbers("lat"), numbers("lon"));
            let devices = rows.column_by_name("device_id").unwrap().as_string::<i32>();
            let times = rows.column_by_name("time").unwrap().as_primitive::<TimestampMicrosecondType>();
            for row in (0..rows.num_rows()).filter(|row| times.is_valid(*row) && lat.is_valid(*row)) {
                let fix = (lat.value(row), lon.value(row));
                fixes.entry(devices.value(row).to_string()).or_default().insert(times.value(row), fix);
            }
        }
        for fraud in frauds.iter().filter(|fraud| text(&fraud["received_at"]).starts_with(day)) {
            let at_us = instant(&fraud["received_at"]).as_microsecond();
            let (fixed_us, (lat, lon)) =
                fixes[fraud["device_id"].as_str().unwrap()].range(..at_us).next_back().unwrap();
            assert!(at_us - fixed_us < 120_000_000, "{fraud}");
            assert!((1_950.0..8_050.0).contains(&off_m(fraud, *lat, *lon)), "{fraud}");
        }
    }
}

/// Fails when a fraud is refused for a limit that the truth does not know.
#[test]
fn nobody_reaches_a_limit() {
    const DAY_US: i64 = 24 * 3_600_000_000;
    let policy = schemas::bundles::Policy::default();
    let town = Written::new(7, 3, 40);
    let mut of_card: BTreeMap<String, Vec<(i64, i64)>> = BTreeMap::new();
    let mut of_merchant: BTreeMap<(String, String), i64> = BTreeMap::new();
    for payment in town.truth("payments.ndjson") {
        let (at_us, minor) = (instant(&payment["received_at"]).as_microsecond(), number(&payment["amount_minor"]));
        assert!(minor <= merchants::PAYMENT_MINOR_MAX);
        of_card.entry(text(&payment["token"])).or_default().push((at_us, minor));
        let day = text(&payment["received_at"])[..10].to_string();
        *of_merchant.entry((text(&payment["merchant_id"]), day)).or_default() += minor.max(0);
    }
    assert!(of_merchant.values().all(|minor| *minor < merchants::DAY_MINOR_MAX));
    for payments in of_card.values() {
        for (at_us, _) in payments {
            let day = payments.iter().filter(|(other_us, _)| (at_us - DAY_US + 1..=*at_us).contains(other_us));
            let (count, minor) = day.fold((0, 0), |(count, sum), (_, minor)| (count + 1, sum + minor));
            assert!(count < policy.card_day_count_max && minor < policy.card_day_minor_max);
        }
    }
}
