//! What operators ask of a system on brokers: topics and snapshots checked by `till doctor`, `till lag` before, while
//! and after its processes run.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::processes::{Site, stop_all};
use crate::support::{Ended, text, till};

const PARTITIONS: u16 = 3;
const TOWN: [&str; 6] = ["--seed", "3", "--merchants", "1", "--days", "1"];

fn lag(site: &Site, more: &[&str]) -> Ended {
    let lake = site.lake();
    site.till(&[&["lag", "--json", "--lake", text(&lake)], more].concat())
}

fn doctor(site: &Site, more: &[&str]) -> Ended {
    let (lake, state) = (site.lake(), site.state());
    site.till(&[&["doctor", "--json", "--lake", text(&lake), "--state", text(&state)], more].concat())
}

/// What was found, without what is about this machine's disk.
fn findings(ended: &Ended) -> Vec<Value> {
    let findings = ended.json()["findings"].as_array().unwrap().clone();
    findings.into_iter().filter(|finding| finding["check"] != "disk").collect()
}

/// A process that serves health and metrics; dropping it kills it.
struct Listening {
    child: Child,
    address: String,
}

impl Listening {
    fn start(site: &Site) -> Self {
        let (lake, state, keys) = (site.lake(), site.state(), site.input().join("keys"));
        let folders = ["run", "--lake", text(&lake), "--state", text(&state), "--keys", text(&keys)];
        let mut command = site.command(&folders);
        command.args(["--demo-keys", "--instance", "one", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address =
            lines.by_ref().find_map(|line| Some(line.split_once("http://")?.1.split('/').next()?.to_string()));
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.expect("it says where it listens") }
    }

    /// Status and body.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_string())
    }

    /// Waits until the process is ready; what it says then or at last.
    fn ready(&self) -> (u16, String) {
        let mut answer = self.get("/readyz");
        for _ in 0..600 {
            if answer.0 == 200 {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            answer = self.get("/readyz");
        }
        answer
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// Newest snapshot of each partition of decode's input by S, the least first.
fn snapshots_of_decode(site: &Site) -> Vec<(i64, PathBuf)> {
    let state = site.state();
    let shown = till(&["snapshot", "show", "--json", "--state", text(&state), "decode"]).with_exit(0).json();
    let mut newest: Vec<(i64, PathBuf)> = (0..PARTITIONS)
        .filter_map(|partition| {
            let of_partition = shown.as_array().unwrap().iter().filter(|one| one["partition"] == partition);
            let place = |one: &Value| (one["at"].as_i64().unwrap(), PathBuf::from(one["path"].as_str().unwrap()));
            of_partition.map(place).max()
        })
        .collect();
    newest.sort();
    newest
}

#[test]
fn operators_see_what_is_behind_and_what_is_wrong() {
    let Some(broker) = xtask::kafka::shared("operators_see_what_is_behind_and_what_is_wrong") else { return };
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(broker.bootstrap(), "operating", folder.path(), PARTITIONS);
    let found = findings(&doctor(&site, &[]).with_exit(4));
    assert!(found.iter().any(|one| one["subject"] == "pings" && one["problem"] == "is missing"), "{found:?}");

    site.create_topics();
    assert_eq!(findings(&doctor(&site, &["--demo-keys"])), [] as [Value; 0]);
    let kept = findings(&doctor(&site, &[]).with_exit(4));
    assert!(kept.iter().all(|one| one["check"] == "topics" && one["subject"] == "transactions"), "{kept:?}");
    let empty = lag(&site, &[]).with_exit(0).json();
    assert_eq!(
        empty.as_array().unwrap().len(),
        13 * usize::from(PARTITIONS) + 1,
        "thirteen readings and control's partition"
    );

    site.publish(&TOWN);
    let behind = lag(&site, &[]).with_exit(4).json();
    let of =
        |unit: &str| behind.as_array().unwrap().iter().filter(|one| one["unit"] == unit).cloned().collect::<Vec<_>>();
    assert!(of("decode").iter().all(|one| one["committed"].is_null() && one["caught_up"] == false), "{behind}");
    let mut processes = [site.start("one", None)];
    let caught_up = lag(&site, &["--wait", "120"]);
    assert_eq!(caught_up.code, Some(0), "{caught_up}\n{}", processes[0].said());
    assert_eq!(stop_all(&mut processes), [] as [String; 0]);
    let rested = lag(&site, &[]).with_exit(0).json();
    assert!(rested.as_array().unwrap().iter().all(|one| one["offsets_left"] == 0), "{rested}");
    let of_payments =
        rested.as_array().unwrap().iter().filter(|one| one["unit"] == "lake" && one["topic"] == "payments");
    assert!(of_payments.map(|one| one["committed"].as_i64().unwrap()).sum::<i64>() > 0, "{rested}");

    let mut listening = Listening::start(&site);
    let (status, body) = listening.ready();
    assert_eq!(status, 200, "{body}");
    assert_eq!(listening.get("/healthz").0, 200);
    let metrics = listening.get("/metrics").1;
    for unit in ["decode", "authorize", "trips"] {
        let line = format!("till_assigned_partitions{{unit=\"{unit}\"}} {PARTITIONS}");
        assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
        let ages = metrics.lines().filter(|line| line.starts_with("till_snapshot_age_seconds") && line.contains(unit));
        assert_eq!(ages.count(), usize::from(PARTITIONS), "{metrics}");
    }
    assert!(!metrics.contains("till_snapshot_age_seconds{unit=\"lake\""), "the lake takes no snapshots: {metrics}");
    Command::new("kill").args(["-TERM", &listening.child.id().to_string()]).status().unwrap();
    assert!(listening.child.wait().unwrap().success());

    assert_eq!(findings(&doctor(&site, &["--demo-keys"])), [] as [Value; 0]);
    // The state of another partition, which has come further than this one's group.
    let snapshots = snapshots_of_decode(&site);
    let ((least, behind), (most, ahead)) = (&snapshots[0], &snapshots[snapshots.len() - 1]);
    assert!(least < most, "{snapshots:?}");
    fs::copy(ahead, behind.with_file_name(ahead.file_name().unwrap())).unwrap();
    let [finding] = findings(&doctor(&site, &["--demo-keys"]).with_exit(4)).try_into().unwrap();
    assert!(finding["check"] == "snapshots" && finding["problem"].as_str().unwrap().contains("group"), "{finding}");
}
