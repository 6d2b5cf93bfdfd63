//! Every course of a run over a small log: records with gaps between their offsets, two outputs, a state that every
//! record changes, and a crash possible after every step. The rules under test decide; the model only obeys.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use schemas::Offset;

use crate::{Found, Ledger, Plan, SnapshotHead, plan};

/// Offsets of the log's records; what lies between them are commit markers of other producers.
const RECORDS: [i64; 4] = [0, 1, 3, 6];
/// Position after the last record.
const END: i64 = 7;
const OUTPUTS: [&str; 2] = ["even", "all"];

/// A row: offset of its record, and the state that the record met.
type Row = (i64, i64);

/// What survives a crash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Disk {
    rows: [Vec<Row>; 2],
    frontiers: [i64; 2],
    /// State by S.
    snapshots: BTreeMap<i64, i64>,
}

/// A process at work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Process {
    position: i64,
    state: i64,
    /// Rows that wait for their output's next commit.
    waiting: [Vec<Row>; 2],
    /// C as the process remembers it.
    frontiers: [i64; 2],
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    disk: Disk,
    process: Option<Process>,
}

/// Which rule the model disobeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Rows below C are written again.
    NoSuppression,
    /// A snapshot is written though an output lags behind it.
    NoPermit,
    /// A start reads on from the largest C.
    StartAtLargest,
}

/// The rows that an output must hold once everything below `frontier` is in it.
fn fold(output: usize, frontier: i64) -> Vec<Row> {
    let mut state = 0;
    let mut rows = Vec::new();
    for offset in RECORDS {
        if offset < frontier && has_row(output, offset) {
            rows.push((offset, state));
        }
        state = next_state(state, offset);
    }
    rows
}

/// The first output has rows of some records only.
fn has_row(output: usize, offset: i64) -> bool {
    output == 1 || offset % 2 == 0
}

fn next_state(state: i64, offset: i64) -> i64 {
    state * 10 + offset + 1
}

fn named(frontiers: [i64; 2]) -> BTreeMap<String, Offset> {
    OUTPUTS.into_iter().zip(frontiers).map(|(output, offset)| (output.to_string(), Offset(offset))).collect()
}

fn start(disk: &Disk, fault: Fault) -> Result<Process, String> {
    let logic = BTreeMap::from([("unit".to_string(), 1)]);
    let heads: Vec<SnapshotHead> = disk
        .snapshots
        .keys()
        .map(|at| SnapshotHead {
            at: Offset(*at),
            outputs: OUTPUTS.map(str::to_string).into(),
            partitions: 1,
            output_partitions: BTreeMap::new(),
            logic: logic.clone(),
        })
        .collect();
    let outputs = named(disk.frontiers);
    let found = Found {
        snapshots: &heads,
        outputs: &outputs,
        log_start: Offset(0),
        log_partitions: 1,
        output_partitions: &BTreeMap::new(),
        logic: &logic,
    };
    let plan = plan(&found).map_err(|refusal| refusal.to_string())?;
    let state = plan.snapshot.map_or(0, |at| disk.snapshots[&at.0]);
    let largest = disk.frontiers.into_iter().max().unwrap_or_default();
    let position = if fault == Fault::StartAtLargest { largest } else { plan.read_from.0 };
    Ok(Process { position, state, waiting: Default::default(), frontiers: disk.frontiers })
}

fn ledger_of(process: &Process) -> Ledger {
    Ledger::new(&Plan { snapshot: None, read_from: Offset(0) }, named(process.frontiers))
}

/// Every world that one step leads to.
fn steps(world: &World, fault: Fault) -> Result<Vec<World>, String> {
    let Some(process) = &world.process else {
        return Ok(vec![World { disk: world.disk.clone(), process: Some(start(&world.disk, fault)?) }]);
    };
    // A crash.
    let mut next = vec![World { disk: world.disk.clone(), process: None }];
    let ledger = ledger_of(process);
    if let Some(offset) = RECORDS.into_iter().find(|offset| *offset >= process.position) {
        let mut process = process.clone();
        for (output, name) in OUTPUTS.into_iter().enumerate() {
            let is_suppressed = fault != Fault::NoSuppression && ledger.suppress(name, &[offset]) == 1;
            if has_row(output, offset) && !is_suppressed {
                process.waiting[output].push((offset, process.state));
            }
        }
        process.state = next_state(process.state, offset);
        process.position = offset + 1;
        next.push(World { disk: world.disk.clone(), process: Some(process) });
    }
    for (output, name) in OUTPUTS.into_iter().enumerate() {
        if ledger.frontier(name).0 < process.position {
            let (mut disk, mut process, mut ledger) = (world.disk.clone(), process.clone(), ledger.clone());
            disk.rows[output].append(&mut process.waiting[output]);
            disk.frontiers[output] = process.position;
            ledger.committed(name, Offset(process.position)).map_err(|error| error.to_string())?;
            process.frontiers[output] = ledger.frontier(name).0;
            next.push(World { disk, process: Some(process) });
        }
    }
    if fault == Fault::NoPermit || ledger.permit(Offset(process.position)).is_ok() {
        let mut disk = world.disk.clone();
        disk.snapshots.insert(process.position, process.state);
        next.push(World { disk, process: Some(process.clone()) });
    }
    Ok(next)
}

/// Walks every world that can be reached; the number of them, or the first that breaks the promise.
fn explore(fault: Fault) -> Result<usize, String> {
    let first = World { disk: Disk::default(), process: None };
    let mut seen = BTreeSet::from([first.clone()]);
    let mut queue = VecDeque::from([first]);
    let mut finished = 0;
    while let Some(world) = queue.pop_front() {
        for (output, rows) in world.disk.rows.iter().enumerate() {
            let wanted = fold(output, world.disk.frontiers[output]);
            if *rows != wanted {
                return Err(format!("I-1: {} holds {rows:?}, not {wanted:?}", OUTPUTS[output]));
            }
        }
        finished += usize::from(world.disk.frontiers == [END; 2]);
        for next in steps(&world, fault)? {
            if seen.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
    assert!(finished > 0, "no course reaches the end of the log");
    Ok(seen.len())
}

#[test]
fn every_course_with_crashes_anywhere_gives_each_record_once_to_each_output() {
    let worlds = explore(Fault::None).unwrap();
    assert!(worlds > 500, "only {worlds} worlds: the model has lost its choices");
}

/// The walk must see what each rule prevents.
#[test]
fn disobeying_any_rule_is_seen() {
    assert!(explore(Fault::NoSuppression).unwrap_err().starts_with("I-1"));
    assert!(explore(Fault::NoPermit).is_err());
    assert!(explore(Fault::StartAtLargest).unwrap_err().starts_with("I-1"));
}
