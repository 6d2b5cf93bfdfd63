//! Starts that would lose or double something are refused, by the table, unit or file concerned.

use std::sync::Arc;

use frontier::Refusal;
use schemas::Offset;

use super::fakes::Record;
use super::world::{Crash, World};
use crate::RunnerError;

fn world() -> World {
    World::new(&(0..10).map(Record::Value).collect::<Vec<_>>())
}

fn refusal(world: &mut World) -> Refusal {
    let error = world.run(Crash::Never, &[1]).unwrap_err();
    assert!(error.is_refusal(), "{error}");
    let RunnerError::Refused(refusal) = error else { panic!("{error}") };
    refusal
}

/// Fails if the logic of a snapshot is not compared, or the first snapshot is written only at the first step.
#[test]
fn another_logic_version_starts_only_where_nothing_is_replayed() {
    for died_at in [4, 8] {
        let mut world = world();
        world.run(Crash::Poll(died_at), &[1]).unwrap_err();
        world.logic = 2;
        let Refusal::LogicChanged { snapshot: 1, program: 2, .. } = refusal(&mut world) else {
            panic!("another refusal")
        };
        world.logic = 1;
        world.run(Crash::Stop(2), &[2]).unwrap();
        world.run(Crash::Never, &[2]).unwrap();
        world.check_complete();
        world.logic = 2;
        let report = world.run(Crash::Never, &[2]).unwrap();
        assert_eq!(report.loaded_snapshot, Some(Offset(10)), "after a stop the newer program starts");
    }
}

/// Fails if a snapshot does not remember which tables had reached it.
#[test]
fn a_table_that_went_back_is_refused_by_name() {
    let mut world = world();
    world.run(Crash::Never, &[1]).unwrap();
    world.tables.frontiers.insert("first_rows".to_string(), Offset(9));
    let Refusal::WentBack { output, at: Offset(10), found: Offset(9) } = refusal(&mut world) else {
        panic!("another refusal")
    };
    assert_eq!(output, "first_rows");
    world.tables.frontiers.remove("first_rows");
    assert!(matches!(refusal(&mut world), Refusal::WentBack { found: Offset(0), .. }));
}

/// Fails if the end of the log is not compared with what the tables have read.
#[test]
fn a_log_that_ends_before_a_table_is_refused() {
    let mut world = world();
    world.run(Crash::Poll(8), &[1]).unwrap_err();
    world.records = Arc::new(world.records[..5].to_vec());
    let refused = refusal(&mut world);
    assert!(matches!(refused, Refusal::LogCut { end: Offset(5), frontier: Offset(6), .. }), "{refused}");
}

/// Fails if `is_refusal` does not tell a fenced table from one that failed.
#[test]
fn a_fenced_table_is_a_refusal_and_a_failed_one_is_not() {
    for fenced in [true, false] {
        let mut world = world();
        world.tables.fenced = fenced;
        let error = world.run(Crash::BeforeCommit(1), &[1]).unwrap_err();
        assert!(matches!(error, RunnerError::Table(_)));
        assert_eq!(error.is_refusal(), fenced);
    }
}

/// Fails if an error of the log keeps its own verdict to itself.
#[test]
fn a_changed_log_is_a_refusal() {
    let error = world().run(Crash::Poll(2), &[1]).unwrap_err();
    assert!(matches!(error, RunnerError::Log(_)) && error.is_refusal(), "{error}");
}
