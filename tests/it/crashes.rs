//! Exactly once, whatever happens: processes killed at random moments and batches of random sizes leave the tables that
//! an undisturbed run leaves, row for row.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::recorded::write_recordings;
use crate::support::{Ended, all_rows, assert_same_rows, command, one_day, rows_of, text};

/// Kills that must hit a live process. `TILL_KILLS` sets another number.
const KILLS: u32 = 50;
/// Seed of the moments. `TILL_KILL_SEED` sets another one.
const SEED: u64 = 1;
/// Most kills on one lake before it may finish: early ones leave much to replay, late ones hit the maintenance.
const KILLS_PER_LAKE_MAX: u32 = 10;
/// Longest time between the start of a process and its kill, milliseconds: some five lives reach the end.
const LIFE_MS_MAX: u64 = 1_300;
/// The signal that no process can catch.
const SIGKILL: i32 = 9;
/// Records between two commits: a day then has some thirty of transactions and seventy of pings.
const COMMIT_ROWS: &str = "300";
/// Records between two snapshots: several commits, so that a crash leaves something to replay.
const SNAPSHOT_ROWS: &str = "1200";

/// A run with many commits.
fn run(input: &Path, lake: &Path, more: &[&str]) -> Command {
    let mut run = command(&[&["run", "--json", "--input", text(input), "--lake", text(lake)], more].concat());
    run.env("TILL_RUN_COMMIT_ROWS", COMMIT_ROWS).env("TILL_RUN_SNAPSHOT_ROWS", SNAPSHOT_ROWS);
    run.stdout(Stdio::piped()).stderr(Stdio::piped());
    run
}

/// What the logs of a run did, by topic.
fn logs(ended: &Ended) -> BTreeMap<String, Value> {
    let document = ended.json();
    let log = |log: &Value| (log["topic"].as_str().unwrap().to_string(), log.clone());
    document["logs"].as_array().unwrap().iter().map(log).collect()
}

/// Waits for a process that was sent a kill; nothing if the kill found it alive, else how it had ended.
fn end_of(child: Child) -> Option<Ended> {
    let output = child.wait_with_output().unwrap();
    let was_killed = output.status.signal() == Some(SIGKILL);
    (!was_killed).then(|| Ended::from(output).with_exit(0))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// One lake from nothing to its end, killed again and again: the kills, and the rows that the last start found written.
fn killed_run(lake: &Path, moments: &mut ChaCha8Rng, kills_max: u32) -> (u32, u64) {
    let mut kills = 0;
    loop {
        let mut child = run(&one_day().input(), lake, &[]).spawn().unwrap();
        if kills < kills_max {
            std::thread::sleep(Duration::from_millis(moments.random_range(1..=LIFE_MS_MAX)));
            child.kill().unwrap();
        }
        match end_of(child) {
            None => kills += 1,
            Some(ended) => {
                let suppressed = logs(&ended).values().map(|log| log["rows_suppressed"].as_u64().unwrap()).sum();
                return (kills, suppressed);
            }
        }
    }
}

/// Fails if `Ledger::suppress` in pipeline/frontier/src/ledger.rs returns 0: rows of a replay are then written again.
#[test]
fn killed_runs_leave_what_an_undisturbed_run_leaves() {
    let kills_wanted = number("TILL_KILLS").map_or(KILLS, |kills| u32::try_from(kills).unwrap());
    let seed = number("TILL_KILL_SEED").unwrap_or(SEED);
    println!("seed {seed}: TILL_KILL_SEED={seed} repeats these moments");
    let mut moments = ChaCha8Rng::seed_from_u64(seed);
    let (mut kills, mut lakes, mut suppressed) = (0, 0, 0);
    while kills < kills_wanted {
        let folder = tempfile::tempdir().unwrap();
        let kills_max = moments.random_range(1..=KILLS_PER_LAKE_MAX).min(kills_wanted - kills);
        let (more, replayed) = killed_run(folder.path(), &mut moments, kills_max);
        assert!(lakes < kills_wanted, "the process mostly ends before anybody can kill it: give it more to do");
        (kills, lakes, suppressed) = (kills + more, lakes + 1, suppressed + replayed);
        let which = format!("seed {seed}, lake {lakes}, {more} kills");
        assert_same_rows(&all_rows(folder.path()), &one_day().rows, &which);
    }
    println!("{kills} kills on {lakes} lakes; the last starts found {suppressed} of their rows in the tables");
    assert!(kills < 10 || suppressed > 0, "no kill fell between a commit and its snapshot, so nothing was replayed");
}

#[test]
fn no_row_depends_on_the_size_of_batches() {
    for seed in ["1", "2", "3"] {
        println!("batch sizes of seed {seed}");
        let folder = tempfile::tempdir().unwrap();
        let mut run = run(&one_day().input(), folder.path(), &["--batch-rows-seed", seed]);
        Ended::from(run.output().unwrap()).with_exit(0);
        assert_same_rows(&all_rows(folder.path()), &one_day().rows, &format!("batch sizes of seed {seed}"));
    }
}

/// Fails if the run ignores the signal, or leaves without committing what it has read.
#[test]
fn an_interrupted_run_stops_by_itself_and_the_next_one_goes_on() {
    let lake = tempfile::tempdir().unwrap();
    let child = run(&one_day().input(), lake.path(), &[]).spawn().unwrap();
    let started = Instant::now();
    while newest_snapshot(lake.path()).is_none() && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let stopped = end_of(child).expect("it is not killed, it ends");
    assert_eq!(stopped.json()["stopped"], true, "{stopped}");
    stopped.complains("the same command goes on from here");
    let ended = Ended::from(run(&one_day().input(), lake.path(), &[]).output().unwrap()).with_exit(0);
    for (topic, log) in logs(&stopped) {
        assert_eq!(logs(&ended)[&topic]["started_at"], log["ended_at"], "{topic}");
        assert_eq!(logs(&ended)[&topic]["rows_suppressed"], 0, "{topic}");
    }
    assert_same_rows(&all_rows(lake.path()), &one_day().rows, "after the stop");
}

/// The newest snapshot of the pings beyond the first row, if there is one.
fn newest_snapshot(lake: &Path) -> Option<u64> {
    let entries = fs::read_dir(lake.join("_state/snapshots/pings-0")).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let offsets = names.filter_map(|name| name.strip_suffix(".snapshot")?.parse().ok());
    offsets.filter(|offset| *offset > 0).max()
}

/// Fails if tables without new rows are not committed before a snapshot: the dead letters, of which there are none,
/// would then hold every start at the first row.
#[test]
fn a_run_without_dead_letters_starts_again_from_its_last_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let (input, lake) = (folder.path().join("input"), folder.path().join("lake"));
    write_recordings(&input);
    let run = || {
        let mut run = run(&input, &lake, &[]);
        run.env("TILL_RUN_COMMIT_ROWS", "20").env("TILL_RUN_SNAPSHOT_ROWS", "40");
        run
    };
    let mut child = run().spawn().unwrap();
    let started = Instant::now();
    while newest_snapshot(&lake).is_none() && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    assert!(end_of(child).is_none(), "the run ended before its first snapshot could be seen");
    let snapshot = newest_snapshot(&lake).unwrap();
    let ended = Ended::from(run().output().unwrap()).with_exit(0);
    let pings = &logs(&ended)["pings"];
    assert_eq!(pings["loaded_snapshot"], snapshot, "{pings}");
    assert_eq!(pings["started_at"], snapshot, "{pings}");
    let rows = all_rows(&lake);
    assert_eq!(rows_of(&rows, "pings"), 2_144 + 1_533);
    assert!(rows.windows(2).all(|pair| pair[0] != pair[1]));
}
