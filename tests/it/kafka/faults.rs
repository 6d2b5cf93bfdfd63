//! Exactly once on a real broker, whatever happens: schedules of faults from seeds, each a small system that is
//! audited after the last fault.
//!
//! Processes die at named points and at random moments, are paused past their session and wake up as zombies, come, go
//! and are started again in another number, while records are published and the broker is stopped and started.
//!
//! `TILL_SCHEDULES=N` plays N schedules, `TILL_SCHEDULE_SEED=S` starts at seed S, and `TILL_SCHEDULE_RECORD=FILE` notes
//! each verdict in a file; a later run leaves out the seeds that were found well. A failed schedule keeps its folders and its broker's data.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use xtask::kafka::{Broker, Options};

use super::audit::{Held, Records, doubled};
use super::processes::{Process, Site, stop_all};
use super::town::{PLAN, town};

/// Schedules of a run that says nothing else: some two minutes.
const SCHEDULES: u64 = 8;
/// Schedules that one broker sees: each leaves topics behind.
const SCHEDULES_PER_BROKER: u32 = 20;
/// One schedule in so many stops its broker too.
const BROKER_STOPS_APART: u64 = 4;
/// Silence after which a process loses its partitions, milliseconds.
const SESSION_MS: u64 = 2_000;
/// Longest time until a system without faults has caught up, seconds.
const CATCH_UP_S: u32 = 90;
const PROCESSES_MAX: usize = 4;
/// Verdict on a schedule without findings.
const WELL: &str = "exactly once";
/// Signal of a process that ends itself at its fault.
const SIGABRT: i32 = 6;
/// What a process says that ends because a call of the Kafka client hangs, as some do after a broker has come back.
const HUNG: &str = "the Kafka client did not come back";
/// Where a process may die, with how often it may pass there before.
const POINTS: [(&str, u32); 9] = [
    ("before-commit", 12),
    ("after-commit", 12),
    ("before-snapshot", 6),
    ("snapshot-rename", 6),
    ("in-rebalance", 4),
    ("before-release", 2),
    ("lake-between-tables", 8),
    ("lake-after-upload", 8),
    ("lake-after-commit", 8),
];
/// Short times and small steps, so that much happens in a schedule.
const CONFIGURATION: [(&str, &str); 7] = [
    ("TILL_KAFKA_SESSION_MS", "2000"),
    ("TILL_KAFKA_TRANSACTION_MS", "5000"),
    ("TILL_KAFKA_CALL_MS", "10000"),
    ("TILL_KAFKA_COMMIT_MS", "20"),
    ("TILL_KAFKA_LAKE_COMMIT_MS", "250"),
    ("TILL_KAFKA_SNAPSHOT_MS", "400"),
    ("TILL_RUN_BATCH_ROWS_MAX", "64"),
];

/// One thing that is done to a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// A process is killed.
    Kill,
    /// A process is paused past its session, and wakes up as a zombie.
    Zombie,
    /// A process comes.
    Add,
    /// A process goes as it should.
    Remove,
    /// All are killed, and others of another number start.
    Restart,
    /// The broker stops and starts.
    BrokerStop,
    /// Nothing, for a while.
    Rest,
}

/// A system under a schedule.
struct Run<'a> {
    site: &'a Site,
    broker: &'a mut Broker,
    moments: ChaCha8Rng,
    processes: Vec<Process>,
    /// Fault of each process by its instance.
    faults: BTreeMap<String, &'static str>,
    started: u32,
    /// What happened, for whoever looks for the cause.
    story: Vec<String>,
    /// Processes that ended without being asked to.
    findings: Vec<String>,
    deaths: BTreeMap<&'static str, u32>,
    has_stopped_broker: bool,
}

impl Run<'_> {
    fn sleep(&mut self, most_ms: u64) {
        let pause_ms = self.moments.random_range(20..=most_ms);
        std::thread::sleep(Duration::from_millis(pause_ms));
    }

    fn tell(&mut self, what: String) {
        self.story.push(what);
    }

    /// Starts a process under the first free name, half of them with a fault.
    fn start(&mut self, with_faults: bool) {
        let names = (0..).map(|number| format!("p{number}"));
        let is_free = |name: &String| self.processes.iter().all(|process| process.instance != *name);
        let name = names.into_iter().find(is_free).unwrap();
        let fault = (with_faults && self.moments.random_bool(0.5)).then(|| {
            let (point, times) = *POINTS.choose(&mut self.moments).unwrap();
            (point, format!("{point}:{}", self.moments.random_range(1..=times)))
        });
        self.tell(format!("start {name} {fault:?}"));
        self.processes.push(self.site.start(&name, fault.as_ref().map(|(_, text)| text.as_str())));
        self.started += 1;
        match fault {
            Some((point, _)) => self.faults.insert(name, point),
            None => self.faults.remove(&name),
        };
    }

    /// Buries processes that died at their fault; any other that ended by itself is a finding.
    fn bury(&mut self) {
        let mut alive = Vec::new();
        for mut process in std::mem::take(&mut self.processes) {
            let Some(status) = process.ended() else {
                alive.push(process);
                continue;
            };
            let fault = self.faults.remove(&process.instance);
            let is_hung = self.has_stopped_broker && status.code() == Some(1) && process.printed().contains(HUNG);
            match fault.filter(|_| status.signal() == Some(SIGABRT)).or(is_hung.then_some("hung")) {
                Some(point) => {
                    *self.deaths.entry(point).or_default() += 1;
                    self.story.push(format!("{} died {point}", process.instance));
                }
                None => self.findings.push(format!("{} ended with {status}: {}", process.instance, process.said())),
            }
        }
        self.processes = alive;
    }

    fn pick(&mut self) -> Option<Process> {
        let count = self.processes.len();
        (count > 0).then(|| self.processes.swap_remove(self.moments.random_range(0..count)))
    }

    fn act(&mut self, action: Action) {
        self.tell(format!("{action:?}"));
        match action {
            Action::Kill => self.pick().into_iter().for_each(Process::kill),
            Action::Zombie => {
                let Some(process) = self.pick() else { return };
                process.pause();
                let asleep_ms = SESSION_MS + self.moments.random_range(300..=2_500);
                std::thread::sleep(Duration::from_millis(asleep_ms));
                process.resume();
                self.processes.push(process);
            }
            Action::Add if self.processes.len() < PROCESSES_MAX => self.start(true),
            Action::Remove if self.processes.len() > 1 => {
                if let Some(mut process) = self.pick() {
                    process.interrupt();
                    // It may die at its fault on the way out.
                    let is_due = self.faults.contains_key(&process.instance);
                    self.findings.extend(process.stopped().err().filter(|_| !is_due));
                }
            }
            Action::Restart => {
                std::mem::take(&mut self.processes).into_iter().for_each(Process::kill);
                let count = self.moments.random_range(1..=PROCESSES_MAX);
                (0..count).for_each(|_| self.start(true));
            }
            Action::BrokerStop => {
                self.has_stopped_broker = true;
                if self.moments.random_bool(0.5) { self.broker.stop() } else { self.broker.kill() }.unwrap();
                self.sleep(2_000);
                self.broker.restart().unwrap();
            }
            Action::Add | Action::Remove | Action::Rest => {}
        }
    }

    /// Publishes portion by portion with faults in between, then lets all faults end.
    fn play(&mut self, portions: usize, actions: &[Action]) {
        let count = self.moments.random_range(2..=PROCESSES_MAX);
        for portion in 0..portions {
            town().write_portion(self.site, portion, portions);
            self.site.publish(&PLAN);
            self.tell(format!("portion {portion}"));
            if portion == 0 {
                (0..count).for_each(|_| self.start(true));
            }
            for _ in 0..self.moments.random_range(1..=3) {
                self.sleep(1_800);
                let action = *actions.choose(&mut self.moments).unwrap();
                self.act(action);
                self.bury();
                while self.processes.is_empty() || self.moments.random_bool(0.3) && self.processes.len() < PROCESSES_MAX
                {
                    self.start(true);
                }
            }
        }
    }

    /// Processes without faults read to the end, stop, and what they leave is audited.
    fn settle(&mut self) -> Option<Held> {
        // Those with a fault that has not come make room; they die without warning once more.
        let (armed, sound): (Vec<_>, Vec<_>) = std::mem::take(&mut self.processes)
            .into_iter()
            .partition(|process| self.faults.contains_key(&process.instance));
        armed.into_iter().for_each(Process::kill);
        self.processes = sound;
        let count = self.moments.random_range(1..=3);
        while self.processes.len() < count {
            self.start(false);
        }
        let mut lag = self.site.wait_until_caught_up(CATCH_UP_S);
        self.bury();
        if lag.code != Some(0) && self.processes.len() < count {
            // Somebody starts others for those that ended because the client hung, as docs/operating.md tells operators.
            self.tell("others for those that hung".to_string());
            while self.processes.len() < count {
                self.start(false);
            }
            lag = self.site.wait_until_caught_up(CATCH_UP_S);
            self.bury();
        }
        if lag.code != Some(0) {
            let said = self.processes.iter().map(Process::said).collect::<String>();
            self.findings.push(format!("it does not catch up: {lag}\n{said}"));
            return None;
        }
        let failures = stop_all(&mut self.processes);
        self.processes.clear();
        self.findings.extend(failures);
        Some(Held::read(self.site))
    }
}

/// What became of a schedule.
struct Verdict {
    findings: Vec<String>,
    story: Vec<String>,
    deaths: BTreeMap<&'static str, u32>,
    processes: u32,
    rows: usize,
}

fn play(seed: u64, broker: &mut Broker, folder: &TempDir) -> Verdict {
    let mut moments = ChaCha8Rng::seed_from_u64(seed);
    let partitions = moments.random_range(3..=6);
    let bootstrap = broker.bootstrap().to_string();
    // Snapshots at small multiples, so that schedules cross many.
    let snapshot_rows = moments.random_range(20..=200).to_string();
    let site = Site::new(&bootstrap, &format!("schedule-{seed}"), folder.path(), partitions)
        .with(&CONFIGURATION)
        .with(&[("TILL_RUN_SNAPSHOT_ROWS", &snapshot_rows)]);
    town().settle(&site);
    site.create_topics();
    let mut actions =
        vec![Action::Kill, Action::Kill, Action::Zombie, Action::Add, Action::Remove, Action::Restart, Action::Rest];
    if seed.is_multiple_of(BROKER_STOPS_APART) {
        actions.extend([Action::BrokerStop; 3]);
    }
    let portions = moments.random_range(2..=3);
    let mut run = Run {
        site: &site,
        broker,
        moments,
        processes: Vec::new(),
        faults: BTreeMap::new(),
        started: 0,
        story: vec![format!("{partitions} partitions, snapshots every {snapshot_rows} offsets, {portions} portions")],
        findings: Vec::new(),
        deaths: BTreeMap::new(),
        has_stopped_broker: false,
    };
    run.play(portions, &actions);
    let held = run.settle();
    let Run { mut findings, story, deaths, started, .. } = run;
    findings.extend(held.as_ref().map(|held| held.findings(&site)).unwrap_or_default());
    let rows = held.map_or(0, |held| held.tables.values().map(arrow::array::RecordBatch::num_rows).sum());
    Verdict { findings, story, deaths, processes: started, rows }
}

/// The number that an environment variable holds, if it is set.
pub fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// Brokers for schedules, each for some of them.
struct Brokers {
    folder: TempDir,
    broker: Broker,
    uses: u32,
}

impl Brokers {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("till-schedules-").tempdir().unwrap();
        let options = Options { folder: Some(folder.path().to_path_buf()), ..Options::default() };
        let broker = Broker::start(&options).unwrap_or_else(|error| panic!("{error}"));
        Self { folder, broker, uses: 0 }
    }
}

/// Seeds that an earlier run has played and found well, as it noted them.
fn recorded(record: Option<&str>) -> BTreeSet<u64> {
    let text = record.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    let well = text.lines().filter(|line| line.contains(WELL));
    well.filter_map(|line| line.strip_prefix("seed ")?.split(':').next()?.parse().ok()).collect()
}

fn note(record: Option<&str>, line: &str) {
    println!("{line}");
    if let Some(path) = record {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

/// Fails if I-1 is broken, in either place: let `Fold::feed` in pipeline/runner/src/group/fold.rs take no notice of its
/// frontier (`suppressed = 0`), and rows of a replay are sent again; or `Ledger::suppress` in
/// pipeline/frontier/src/ledger.rs return 0, and the lake doubles what a table had when its process died between tables.
#[test]
fn schedules_of_faults_lose_and_double_nothing() {
    if !xtask::kafka::can_start("schedules_of_faults_lose_and_double_nothing") {
        return;
    }
    let first = number("TILL_SCHEDULE_SEED").unwrap_or(1);
    let asked = number("TILL_SCHEDULES");
    let record = std::env::var("TILL_SCHEDULE_RECORD").ok();
    let record = record.as_deref();
    let played = recorded(record);
    let mut brokers: Option<Brokers> = None;
    let mut failed = Vec::new();
    let mut deaths: BTreeMap<&'static str, u32> = BTreeMap::new();
    let seeds: Vec<u64> = {
        let count = usize::try_from(asked.unwrap_or(SCHEDULES)).unwrap_or(usize::MAX);
        (first..).take(count).filter(|seed| !played.contains(seed)).collect()
    };
    for seed in &seeds {
        let mut on =
            brokers.take().filter(|brokers| brokers.uses < SCHEDULES_PER_BROKER).unwrap_or_else(Brokers::start);
        on.uses += 1;
        let folder = tempfile::Builder::new().prefix(&format!("till-schedule-{seed}-")).tempdir().unwrap();
        let started = Instant::now();
        let verdict = play(*seed, &mut on.broker, &folder);
        let took = started.elapsed().as_secs_f64();
        verdict.deaths.iter().for_each(|(point, count)| *deaths.entry(point).or_default() += count);
        let dead: u32 = verdict.deaths.values().sum();
        let outcome = if verdict.findings.is_empty() { WELL } else { "FAILED" };
        let Verdict { processes, rows, .. } = verdict;
        note(
            record,
            &format!("seed {seed}: {outcome}; {processes} processes, {dead} died at faults, {rows} rows, {took:.1} s"),
        );
        if verdict.findings.is_empty() {
            brokers = Some(on);
            continue;
        }
        // The broker is stopped in order and its data stay; the next schedule gets another one.
        on.broker.stop().unwrap();
        let (site, data) = (folder.keep(), on.folder.keep());
        println!("{}", verdict.findings.join("\n"));
        failed.push(format!(
            "seed {seed}: {}\nstory: {}\nlake, state and what its processes said: {}\ntopics (schedule-{seed}.*): \
             cargo xtask kafka up --dir {}\nagain: TILL_SCHEDULE_SEED={seed} TILL_SCHEDULES=1",
            verdict.findings.join("\n"),
            verdict.story.join("; "),
            site.display(),
            data.display()
        ));
    }
    println!("deaths by point: {deaths:?}");
    assert!(failed.is_empty(), "{} of {} schedules failed\n{}", failed.len(), seeds.len(), failed.join("\n\n"));
    assert!(seeds.len() < 5 || !deaths.is_empty(), "no process died at its fault");
}

/// The audit passes a good system, and fails one with a row lost, doubled, moved or changed, in a topic or a table.
#[test]
fn an_audit_sees_what_is_planted() {
    let Some(broker) = xtask::kafka::shared("an_audit_sees_what_is_planted") else { return };
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(broker.bootstrap(), "planted", folder.path(), 3).with(&CONFIGURATION);
    town().settle(&site);
    site.create_topics();
    town().write_portion(&site, 0, 1);
    site.publish(&PLAN);
    let mut process = site.start("only", None);
    let lag = site.wait_until_caught_up(CATCH_UP_S);
    assert_eq!(lag.code, Some(0), "{lag}\n{}", process.said());
    process.interrupt();
    assert_eq!(process.stopped(), Ok(()));
    let held = Held::read(&site);
    assert_eq!(held.findings(&site), [] as [String; 0]);
    for table in ["payments", "decisions", "pings", "dead_letters", "merchants", "readers"] {
        assert!(held.tables[table].num_rows() > 0, "{table} is empty, so the audit proves nothing about it");
    }

    for topic in ["payments", "decisions", "dead_letters"] {
        plant(&site, &held, topic, "doubled", &|records| {
            let last = records.iter().rposition(|batch| batch.rows.num_rows() > 0).unwrap();
            records[last] = doubled(&records[last]);
        });
        plant(&site, &held, topic, "missing", &|records| {
            let last = records.iter().rposition(|batch| batch.rows.num_rows() > 0).unwrap();
            let batch = &mut records[last];
            batch.rows = batch.rows.slice(0, batch.rows.num_rows() - 1);
            batch.offsets.pop();
            batch.appended_us.pop();
        });
    }
    plant(&site, &held, "decisions", "out of order", &|records| {
        let order: Vec<usize> = (0..records.iter().map(|batch| batch.rows.num_rows()).sum()).rev().collect();
        let batch = joined(records);
        let order: arrow::array::UInt64Array = order.iter().map(|row| Some(*row as u64)).collect();
        let rows = arrow::compute::take_record_batch(&batch.rows, &order).unwrap();
        *records = vec![log::LogBatch { rows, ..batch }];
    });
    for table in ["payments", "decisions", "pings", "dead_letters", "merchants"] {
        for (what, is_lost) in [("missing", true), ("doubled", false)] {
            let mut planted = Held { topics: held.topics.clone(), tables: held.tables.clone() };
            let rows = &held.tables[table];
            let changed = match is_lost {
                true => rows.slice(1, rows.num_rows() - 1),
                false => arrow::compute::concat_batches(&rows.schema(), [rows, &rows.slice(0, 1)]).unwrap(),
            };
            planted.tables.insert(table, changed);
            let findings = planted.findings(&site);
            let [finding] = &findings[..] else { panic!("{table} {what}: {findings:?}") };
            assert!(
                finding.starts_with(&format!("table {table}")) && finding.contains(&format!("1 {what}")),
                "{finding}"
            );
        }
    }
}

/// Changes the fullest partition of a topic and asserts that the audit says so.
fn plant(site: &Site, held: &Held, topic: &'static str, what: &str, change: &dyn Fn(&mut Records)) {
    let mut planted = Held { topics: held.topics.clone(), tables: held.tables.clone() };
    let rows = |records: &Records| records.iter().map(|batch| batch.rows.num_rows()).sum::<usize>();
    let (place, records) = planted
        .topics
        .iter_mut()
        .filter(|(place, _)| place.topic == topic)
        .max_by_key(|(_, records)| rows(records))
        .unwrap();
    let place = *place;
    change(records);
    let findings = planted.findings(site);
    let is_told = |finding: &String| finding.starts_with(&place.to_string()) && finding.contains(what);
    assert!(findings.iter().any(is_told), "{place} with a row {what}: {findings:?}");
}

/// All records of a partition as one batch.
fn joined(records: &Records) -> log::LogBatch {
    let schema = records[0].rows.schema();
    log::LogBatch {
        rows: arrow::compute::concat_batches(&schema, records.iter().map(|batch| &batch.rows)).unwrap(),
        offsets: records.iter().flat_map(|batch| batch.offsets.iter().copied()).collect(),
        rejects: Vec::new(),
        appended_us: records.iter().flat_map(|batch| batch.appended_us.iter().copied()).collect(),
    }
}
