//! Every refusal by example, and every course of a small run by enumeration.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::Offset;

use crate::{Found, FrontierError, Ledger, Plan, Refusal, SnapshotHead, plan};

mod model;

fn outputs(frontiers: &[(&str, i64)]) -> BTreeMap<String, Offset> {
    frontiers.iter().map(|(output, offset)| ((*output).to_string(), Offset(*offset))).collect()
}

fn logic(version: u32) -> BTreeMap<String, u32> {
    BTreeMap::from([("decode".to_string(), version)])
}

fn snapshot(at: i64) -> SnapshotHead {
    let outputs = ["payments", "letters"].map(str::to_string).into();
    SnapshotHead { at: Offset(at), outputs, partitions: 1, output_partitions: BTreeMap::new(), logic: logic(1) }
}

fn plan_with(
    snapshots: &[SnapshotHead],
    frontiers: &[(&str, i64)],
    log_start: i64,
    version: u32,
) -> Result<Plan, Refusal> {
    plan(&Found {
        snapshots,
        outputs: &outputs(frontiers),
        log_start: Offset(log_start),
        log_partitions: 1,
        output_partitions: &BTreeMap::new(),
        logic: &logic(version),
    })
}

fn start(at: i64) -> Plan {
    Plan { snapshot: Some(Offset(at)), read_from: Offset(at) }
}

const AT_START: Plan = Plan { snapshot: None, read_from: Offset(0) };

#[test]
fn a_start_takes_the_newest_snapshot_that_no_output_lags_behind() {
    assert_eq!(plan_with(&[], &[("payments", 0), ("letters", 0)], 0, 1), Ok(AT_START));
    let both = [snapshot(10), snapshot(20)];
    assert_eq!(plan_with(&both, &[("payments", 20), ("letters", 25)], 0, 1), Ok(start(20)));
    assert_eq!(plan_with(&both, &[("payments", 20), ("letters", 20), ("added", 0)], 0, 1), Ok(AT_START));
    assert_eq!(plan_with(&both, &[("payments", 20), ("letters", 20), ("added", 12)], 0, 1), Ok(start(10)));
}

#[test]
fn an_output_that_lost_what_it_had_is_a_refusal() {
    let went_back = |at, found| Refusal::WentBack { output: "payments".into(), at: Offset(at), found: Offset(found) };
    assert_eq!(plan_with(&[snapshot(10)], &[("payments", 9), ("letters", 10)], 0, 1), Err(went_back(10, 9)));
    assert_eq!(plan_with(&[snapshot(10)], &[("letters", 10)], 0, 1), Err(went_back(10, 0)));
}

#[test]
fn records_that_are_gone_are_a_refusal_only_if_they_are_needed() {
    let tables = [("payments", 30), ("letters", 20)];
    assert_eq!(plan_with(&[snapshot(20)], &tables, 20, 1), Ok(start(20)));
    let passed = |needed| Refusal::RetentionPassed { needed: Offset(needed), log_start: Offset(21) };
    assert_eq!(plan_with(&[snapshot(20)], &tables, 21, 1), Err(passed(20)));
    assert_eq!(plan_with(&[], &tables, 21, 1), Err(passed(0)));
}

#[test]
fn other_logic_starts_only_where_nothing_is_to_be_replayed() {
    assert_eq!(plan_with(&[snapshot(20)], &[("payments", 20), ("letters", 20)], 0, 2), Ok(start(20)));
    let refusal = plan_with(&[snapshot(20)], &[("payments", 21), ("letters", 20)], 0, 2);
    assert_eq!(
        refusal,
        Err(Refusal::LogicChanged {
            unit: "decode".into(),
            at: Offset(20),
            snapshot: 1,
            program: 2,
            output_at: Offset(21)
        })
    );
    // A snapshot at 0 names the logic of the first rows before any other snapshot does.
    assert!(plan_with(&[snapshot(0)], &[("payments", 1), ("letters", 0)], 0, 2).is_err());
}

#[test]
fn another_partition_count_is_a_refusal() {
    let of_two = SnapshotHead { partitions: 2, ..snapshot(5) };
    let refusal = plan_with(&[of_two], &[("payments", 5), ("letters", 5)], 0, 1);
    assert_eq!(
        refusal,
        Err(Refusal::PartitionCount { topic: "the input".into(), at: Offset(5), expected: 2, found: 1 })
    );
}

/// Fails if the counts of the outputs are not compared, or a topic that one side does not know counts as changed.
#[test]
fn another_partition_count_of_an_output_topic_is_a_refusal_that_names_it() {
    let counts = |count| BTreeMap::from([("payments".to_string(), count)]);
    let made_with = [SnapshotHead { output_partitions: counts(12), ..snapshot(5) }];
    let start_with = |output_partitions: &BTreeMap<String, u32>| {
        let outputs = outputs(&[("payments", 5), ("letters", 5)]);
        let (log_start, logic) = (Offset(0), logic(1));
        plan(&Found {
            snapshots: &made_with,
            outputs: &outputs,
            log_start,
            log_partitions: 1,
            output_partitions,
            logic: &logic,
        })
    };
    let refusal = Refusal::PartitionCount { topic: "topic payments".into(), at: Offset(5), expected: 12, found: 24 };
    assert_eq!(start_with(&counts(24)), Err(refusal));
    assert_eq!(start_with(&counts(12)), Ok(start(5)));
    assert_eq!(start_with(&BTreeMap::new()), Ok(start(5)), "it writes there no longer");
}

#[test]
fn a_ledger_refuses_what_would_break_an_invariant() {
    let mut ledger = Ledger::new(&start(5), outputs(&[("payments", 5), ("letters", 7)]));
    assert_eq!(ledger.suppress("letters", &[5, 6, 6, 7, 9]), 3);
    assert_eq!(ledger.suppress("payments", &[5, 6]), 0);
    let ahead = FrontierError::SnapshotAhead { output: "payments".into(), frontier: Offset(5), at: Offset(6) };
    assert_eq!(ledger.permit(Offset(6)).unwrap_err(), ahead);
    ledger.committed("payments", Offset(7)).unwrap();
    assert_eq!(ledger.permit(Offset(7)).unwrap().at(), Offset(7));
    let back = FrontierError::Backwards { output: "payments".into(), from: Offset(7), to: Offset(6) };
    assert_eq!(ledger.committed("payments", Offset(6)), Err(back));
    let unknown = FrontierError::UnknownOutput { output: "fares".into() };
    assert_eq!(ledger.committed("fares", Offset(9)), Err(unknown));
    assert_eq!(ledger.check_end(Offset(7)), Ok(()));
    let cut = Refusal::LogCut { output: "letters".into(), frontier: Offset(7), end: Offset(6) };
    assert_eq!(ledger.check_end(Offset(6)), Err(cut));
}

#[test]
#[should_panic(expected = "I-2")]
fn a_ledger_of_a_plan_that_is_ahead_of_an_output_stops_the_program() {
    Ledger::new(&start(5), outputs(&[("payments", 4)]));
}

proptest! {
    /// A plan that exists never starts ahead of an output, never before the log, and never behind a better snapshot.
    /// Dropping the filter on `least` in `plan` must make this fail.
    #[test]
    fn a_plan_is_safe_and_the_best(
        at in prop::collection::btree_set(0_i64..40, 0..4),
        frontiers in prop::collection::vec(0_i64..40, 1..4),
        log_start in 0_i64..20,
    ) {
        // Snapshots that remember no output are those of outputs added since.
        let snapshots: Vec<SnapshotHead> =
            at.iter().map(|at| SnapshotHead { outputs: Default::default(), ..snapshot(*at) }).collect();
        let names = ["a", "b", "c"];
        let outputs = outputs(&names.into_iter().zip(frontiers.iter().copied()).collect::<Vec<_>>());
        let least = *frontiers.iter().min().unwrap();
        let best = at.iter().copied().filter(|at| *at <= least).max();
        let found = Found {
            snapshots: &snapshots,
            outputs: &outputs,
            log_start: Offset(log_start),
            log_partitions: 1,
            output_partitions: &BTreeMap::new(),
            logic: &logic(1),
        };
        match plan(&found) {
            Ok(plan) => {
                prop_assert_eq!(plan.snapshot, best.map(Offset));
                prop_assert!(plan.read_from.0 <= least && plan.read_from.0 >= log_start);
            }
            Err(refusal) => {
                let needed = Offset(best.unwrap_or(0));
                prop_assert_eq!(refusal, Refusal::RetentionPassed { needed, log_start: Offset(log_start) });
                prop_assert!(needed.0 < log_start);
            }
        }
    }
}
