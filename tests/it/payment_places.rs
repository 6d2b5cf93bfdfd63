//! `till job payment-places`: payments lie where the truth says that they were paid, wait until their stop is final, and
//! get another row when it is revised.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{SEED, assert_same_rows, one_day, query, text, till, two_days};

/// Positions of a degree apart, metres, by latitude and longitude around the town.
fn metres(found: &Value, truth: &Value) -> f64 {
    let degrees = |name: &str| found[name].as_f64().unwrap() - truth[name].as_f64().unwrap();
    let shrink = truth["lat"].as_f64().unwrap().to_radians().cos();
    (degrees("lat") * 111_200.0).hypot(degrees("lon") * 111_320.0 * shrink)
}

fn job(lake: &Path) -> u64 {
    let ended = till(&["job", "payment-places", "--json", "--lake", text(lake)]).with_exit(0);
    ended.json()[0]["rows"].as_u64().unwrap()
}

/// Every row of the table, sorted.
fn places(lake: &Path) -> Vec<String> {
    let mut rows: Vec<String> = query(lake, "SELECT * FROM payment_places").iter().map(Value::to_string).collect();
    rows.sort_unstable();
    rows
}

/// What the view says but for numbers of rows, sorted.
fn newest(lake: &Path) -> Vec<String> {
    let rows = query(lake, "SELECT * FROM payment_places_current").into_iter().map(|mut row| {
        row.as_object_mut().unwrap().remove("revision");
        row.to_string()
    });
    let mut rows: Vec<String> = rows.collect();
    rows.sort_unstable();
    rows
}

#[test]
fn payments_lie_where_they_were_paid() {
    let demo = two_days();
    let truth = demo.truth("payments.ndjson");
    let truth: BTreeMap<&str, &Value> = truth
        .iter()
        .filter(|line| !line["device_id"].is_null() && line["meant"] == "ordinary")
        .map(|line| (line["payment_id"].as_str().unwrap(), line))
        .collect();
    let found = query(&demo.lake(), "SELECT * FROM payment_places_current");
    assert!(found.len() > 100, "{}", found.len());
    let mut errors = Vec::new();
    for row in &found {
        let Some(line) = truth.get(row["payment_id"].as_str().unwrap()) else { continue };
        for name in ["device_id", "courier_id", "reader_id"] {
            assert_eq!(row[name], line[name], "{row}");
        }
        if !row["lat"].is_null() {
            errors.push(metres(row, line));
        }
    }
    errors.sort_by(f64::total_cmp);
    let near = errors.iter().filter(|error_m| **error_m <= 40.0).count();
    assert!(near * 100 >= errors.len() * 95, "{near} of {} within 40 m", errors.len());
    assert!(errors[errors.len() / 2] <= 10.0, "median {} m", errors[errors.len() / 2]);
    // Only those wait whose phone still stood or drove when the log ended.
    assert!(errors.len() * 100 >= truth.len() * 90, "{} of {}", errors.len(), truth.len());
}

#[test]
fn a_place_agrees_with_the_stop_and_trip_that_it_names() {
    let lake = two_days().lake();
    let wrong = "SELECT count(*) AS wrong FROM payment_places_current p \
        LEFT JOIN stops_current s ON s.stop_id = p.stop_id AND s.revision = p.stop_revision \
        LEFT JOIN trips_current t ON t.trip_id = p.trip_id AND t.revision = p.trip_revision \
        WHERE (p.place = 'at_stop' AND NOT coalesce(p.paid_at BETWEEN s.started_at AND s.ended_at, false)) \
           OR (p.place = 'before_arrival' AND NOT coalesce(s.started_at > p.paid_at AND p.stop_m <= 200, false)) \
           OR (p.place = 'after_departure' AND NOT coalesce(s.ended_at < p.paid_at AND p.stop_m <= 200, false)) \
           OR (p.place = 'under_way' AND NOT coalesce(p.paid_at BETWEEN t.started_at AND t.ended_at, false)) \
           OR (p.place = 'no_position') <> (p.lat IS NULL)";
    assert_eq!(query(&lake, wrong)[0]["wrong"], 0);
    // A stop that covers a payment of its phone is said, whatever else is.
    let missed = "SELECT count(*) AS missed FROM payment_places_current p \
        JOIN stops_current s ON s.device_id = p.device_id AND p.paid_at BETWEEN s.started_at AND s.ended_at \
        WHERE p.place NOT IN ('at_stop', 'no_courier_near')";
    assert_eq!(query(&lake, missed)[0]["missed"], 0);
    let sums = "SELECT CAST(sum(payments) AS BIGINT) AS payments, CAST(sum(at_stop + before_arrival + after_departure \
        + under_way + elsewhere + no_position + no_courier_near) AS BIGINT) AS places FROM paid_where_by_courier";
    let (sums, rows) = (query(&lake, sums), query(&lake, "SELECT * FROM payment_places_current"));
    assert_eq!((&sums[0]["payments"], &sums[0]["places"]), (&Value::from(rows.len()), &Value::from(rows.len())));
}

/// Fails if a payment is judged before its stop is final and not again, or twice without a reason: the second day is read
/// after the places of the first were computed.
#[test]
fn a_second_run_adds_what_has_become_known() {
    let copy = one_day().copy();
    let lake = copy.path().join("lake");
    let before = places(&lake);
    assert!(!before.is_empty());
    assert_eq!(job(&lake), 0);
    assert_same_rows(&places(&lake), &before, "the second run");

    fs::remove_dir_all(lake.join("payment_places")).unwrap();
    assert_eq!(job(&lake), before.len() as u64);
    assert_same_rows(&places(&lake), &before, "a run on a lake without places");

    let again = ["demo", "--dir", text(copy.path()), "--seed", SEED, "--merchants", "5", "--days", "2"];
    till(&again).with_exit(0);
    assert_same_rows(&newest(&lake), &newest(&two_days().lake()), "a run of the job after each day");
}
