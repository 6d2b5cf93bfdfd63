//! Phones that swipe in real time while a unit is down, or faster than the units can follow: nobody gets an answer that
//! their phone does not know of, nothing is lost, and memory stays bounded.
//!
//! `TILL_OUTAGE_SECONDS=600` and `TILL_OVERLOAD_SECONDS=60` make of the short tests the long ones.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::faults::number;
use super::processes::{Process, Site, stop_all};
use crate::support::{query, text, till};

const PARTITIONS: u16 = 3;
/// Time before the outage and after it in which phones swipe, seconds.
const AROUND_S: u64 = 8;
/// An outage that phones notice: they send again after 10 s and give up after 30.
const OUTAGE_S: u64 = 36;
const OUTAGE_RATE: u64 = 5;
const OVERLOAD_S: u64 = 8;
/// Swipes a second, several times what one core decodes, decides and answers with all else that it has to do.
const OVERLOAD_RATE: u64 = 6_000;
/// A process may have this much in RAM, whatever waits: twice what was seen after an hour of overload.
const RESIDENT_BYTES_MAX: u64 = 700_000_000;
const CATCH_UP_S: u32 = 300;
/// Swipes of a merchant on the town's one day; a little fewer than there are.
const SWIPES_PER_MERCHANT: u64 = 90;

/// A system whose units run each in a process of its own, and a town that nobody has published.
fn site(brokers: &str, name: &str, folder: &tempfile::TempDir, swipes: u64) -> Site {
    let site = Site::new(brokers, name, folder.path(), PARTITIONS);
    site.create_topics();
    let merchants = (swipes / SWIPES_PER_MERCHANT + 1).to_string();
    till(&["simulate", "--seed", "8", "--merchants", &merchants, "--days", "1", "--out", text(&site.input())])
        .with_exit(0);
    site
}

/// Phones that swipe at this rate for this time; they print what they saw, and how each swipe ended.
fn phones(site: &Site, rate: u64, seconds: u64) -> Child {
    let (input, state) = (site.input(), site.state());
    let mut command = site.command(&["simulate", "--live", "--json", "--out", text(&input), "--state", text(&state)]);
    command.args(["--rate", &rate.to_string(), "--seconds", &seconds.to_string()]);
    command.args(["--phones", text(&site.folder.join("phones"))]);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// What the phones saw, once they are done.
fn seen(phones: Child) -> Value {
    let output = phones.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["phones"].clone()
}

/// How each swipe ended for its phone, by reader and STAN.
fn ends(site: &Site) -> BTreeMap<(String, i64), String> {
    let text = fs::read_to_string(site.folder.join("phones")).unwrap();
    let end = |line: &str| {
        let end: Value = serde_json::from_str(line).unwrap();
        let name = |field: &str| end[field].as_str().unwrap().to_string();
        ((name("reader_id"), end["stan"].as_i64().unwrap()), name("end"))
    };
    text.lines().map(end).collect()
}

#[track_caller]
fn assert_caught_up(site: &Site, processes: &[Process]) {
    let lag = site.wait_until_caught_up(CATCH_UP_S);
    assert_eq!(lag.code, Some(0), "{lag}\n{}", processes.iter().map(Process::said).collect::<String>());
}

/// Fails if a swipe that was signed in time is taken back while decode catches up, as it would be by timers that run on
/// while answers wait; or if one that its phone gave up stays approved.
#[test]
fn an_outage_of_decode_betrays_no_phone() {
    let Some(broker) = xtask::kafka::shared("an_outage_of_decode_betrays_no_phone") else { return };
    let folder = tempfile::tempdir().unwrap();
    let outage_s = number("TILL_OUTAGE_SECONDS").unwrap_or(OUTAGE_S);
    let swiping_s = outage_s + 2 * AROUND_S;
    let site = site(broker.bootstrap(), "outage", &folder, OUTAGE_RATE * swiping_s);
    let mut processes: Vec<Process> = ["decode", "authorize", "trips", "lake"].map(|unit| site.start_unit(unit)).into();
    let phones = phones(&site, OUTAGE_RATE, swiping_s);
    std::thread::sleep(Duration::from_secs(AROUND_S));
    processes.remove(0).kill();
    std::thread::sleep(Duration::from_secs(outage_s));
    processes.push(site.start_unit("decode"));
    let seen = seen(phones);
    assert_caught_up(&site, &processes);
    assert_eq!(stop_all(&mut processes), [] as [String; 0]);

    let rows = query(
        &site.lake(),
        "SELECT p.reader_id, p.stan, c.state FROM payments p JOIN payments_current c ON c.payment_id = p.payment_id \
         WHERE p.kind = 'swipe' AND NOT p.repeat",
    );
    let mut found: BTreeMap<(String, String), usize> = BTreeMap::new();
    let ends = ends(&site);
    for row in &rows {
        let key = (row["reader_id"].as_str().unwrap().to_string(), row["stan"].as_i64().unwrap());
        let state = row["state"].as_str().unwrap().to_string();
        *found.entry((ends[&key].clone(), state)).or_default() += 1;
    }
    println!("{seen}\n{found:?}");
    let count = |end: &str, states: &[&str]| -> usize {
        found
            .iter()
            .filter(|((of, state), _)| of == end && states.contains(&state.as_str()))
            .map(|(_, count)| count)
            .sum()
    };
    assert_eq!(rows.len() as u64, OUTAGE_RATE * swiping_s, "each swipe is a payment");
    assert!(count("signed", &["captured"]) > 0 && seen["given_up"].as_u64().unwrap() > 0, "{seen} {found:?}");
    assert_eq!(count("signed", &["reversed", "declined", "authorized"]), 0, "{found:?}");
    assert_eq!(count("given_up", &["authorized", "captured"]), 0, "{found:?}");
}

/// Fails if what waits is held in memory, or is lost.
#[test]
fn an_overload_costs_time_and_nothing_else() {
    let Some(broker) = xtask::kafka::shared("an_overload_costs_time_and_nothing_else") else { return };
    let folder = tempfile::tempdir().unwrap();
    let swiping_s = number("TILL_OVERLOAD_SECONDS").unwrap_or(OVERLOAD_S);
    let site = site(broker.bootstrap(), "overload", &folder, OVERLOAD_RATE * swiping_s);
    let mut processes: Vec<Process> = ["decode", "authorize", "trips", "lake"].map(|unit| site.start_unit(unit)).into();
    let phones = phones(&site, OVERLOAD_RATE, swiping_s);
    let mut resident_max = 0;
    for _ in 0..swiping_s {
        std::thread::sleep(Duration::from_secs(1));
        resident_max = processes.iter().map(Process::resident_bytes).chain([resident_max]).max().unwrap();
    }
    let lag = site.till(&["lag", "--json", "--lake", text(&site.lake())]).json();
    let left: i64 = lag.as_array().unwrap().iter().filter_map(|one| one["offsets_left"].as_i64()).sum();
    let seen = seen(phones);
    assert_caught_up(&site, &processes);
    resident_max = processes.iter().map(Process::resident_bytes).chain([resident_max]).max().unwrap();
    assert_eq!(stop_all(&mut processes), [] as [String; 0]);
    println!("{seen}; {left} records waited, at most {} MB in RAM", resident_max / 1_000_000);
    let count = |filter: &str| {
        let rows = query(&site.lake(), &format!("SELECT count(*) AS rows FROM payments WHERE kind = 'swipe'{filter}"));
        rows[0]["rows"].as_u64().unwrap()
    };
    assert!(left > 0, "nothing waited: {lag}");
    assert!(resident_max < RESIDENT_BYTES_MAX, "{resident_max}");
    let sent = |field: &str| seen[field].as_u64().unwrap();
    assert_eq!(count(" AND NOT repeat"), sent("swipes"));
    assert_eq!(count(" AND repeat"), sent("retries"));
}
