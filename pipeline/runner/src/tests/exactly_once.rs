//! Whatever crashes, every table holds exactly the fold of the log.

use proptest::prelude::*;
use schemas::Offset;

use super::fakes::{Record, control, factor};
use super::world::{Crash, World, crashes};
use crate::Settings;

/// A small log with everything in it.
fn short_log() -> Vec<Record> {
    vec![
        Record::Value(3),
        factor("second", "5"),
        Record::Reject,
        Record::Value(-8),
        control(["first", "bundle", "", "no hash"]),
        Record::Value(11),
        Record::Value(0),
    ]
}

/// Runs through the crashes, then to the end, and checks after each.
fn survive(world: &mut World, runs: &[(Crash, Vec<usize>)]) {
    for (crash, batch_sizes) in runs {
        let result = world.run(*crash, batch_sizes);
        if let Ok(report) = result {
            assert!(report.ended_at == Offset(world.records.len() as i64) || matches!(crash, Crash::Stop(_)));
        }
        world.check();
    }
    world.run(Crash::Never, &[2]).unwrap();
    world.check_complete();
}

/// Fails if a frontier is stored apart from its rows, if suppression is off by one, or if a snapshot is written or
/// loaded ahead of a table (I-2).
#[test]
fn any_two_crashes_in_a_short_log_lose_and_double_nothing() {
    let kinds = crashes(20);
    for (index, first) in kinds.iter().enumerate() {
        for (second_index, second) in kinds.iter().enumerate() {
            // Every pair of kinds, with positions thinned out so that the pairs stay some hundreds.
            if (index + 3 * second_index) % 17 != 0 {
                continue;
            }
            let mut world = World::new(&short_log());
            survive(&mut world, &[(*first, vec![1]), (*second, vec![3, 1])]);
        }
    }
}

/// Fails like the one before; every position of one crash, with every batch size.
#[test]
fn any_crash_with_any_batch_size_loses_and_doubles_nothing() {
    for crash in crashes(26) {
        for batch_size in [1, 2, 3, 7] {
            let mut world = World::new(&short_log());
            survive(&mut world, &[(crash, vec![batch_size])]);
        }
    }
}

fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        8 => (-20..20_i64).prop_map(Record::Value),
        1 => Just(Record::Reject),
        1 => prop_oneof![Just(factor("first", "2")), Just(factor("second", "5")), Just(factor("first", "5"))],
        1 => Just(control(["second", "token_key", "v2", "abcdef"])),
        1 => prop_oneof![
            Just(control(["", "bundle", "", "00"])),
            Just(control(["trips", "bundle", "", "00"])),
            Just(control(["first", "", "id", "00"])),
            Just(control(["first", "token_key", "", "00"])),
            Just(control(["second", "other", "id", "00"])),
        ],
    ]
}

fn crash() -> impl Strategy<Value = Crash> {
    let at = 1..24_u32;
    prop_oneof![
        at.clone().prop_map(Crash::BeforeCommit),
        at.clone().prop_map(Crash::AfterCommit),
        at.clone().prop_map(Crash::Save),
        at.clone().prop_map(Crash::Poll),
        at.prop_map(Crash::Stop),
        Just(Crash::Never),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Fails like the ones before; any log, any crashes, any batch sizes, any commit and snapshot steps.
    #[test]
    fn any_crashes_lose_and_double_nothing(
        records in proptest::collection::vec(record(), 0..30),
        runs in proptest::collection::vec((crash(), proptest::collection::vec(1..9_usize, 1..4)), 0..5),
        steps in proptest::collection::vec((1..9_i64, 1..9_i64), 1..4),
    ) {
        let mut world = World::new(&records);
        for (index, (crash, batch_sizes)) in runs.iter().enumerate() {
            let (commit_rows, snapshot_rows) = steps[index % steps.len()];
            world.settings = Settings { batch_rows_max: 5, commit_rows, snapshot_rows };
            let _ = world.run(*crash, batch_sizes);
            world.check();
        }
        let report = world.run(Crash::Never, &[4]).unwrap();
        prop_assert_eq!(report.ended_at, Offset(records.len() as i64));
        if !records.is_empty() {
            world.check_complete();
        }
        let again = world.run(Crash::Never, &[4]).unwrap();
        prop_assert_eq!((again.started_at, again.rows_suppressed), (report.ended_at, 0));
        prop_assert!(again.rows_written.is_empty());
    }

    /// Fails if a unit is fed or a table is filled in an order that depends on where batches end.
    #[test]
    fn rows_do_not_depend_on_batch_borders(
        records in proptest::collection::vec(record(), 1..40),
        batch_sizes in proptest::collection::vec(1..12_usize, 1..6),
    ) {
        let mut world = World::new(&records);
        world.settings = Settings { batch_rows_max: 64, commit_rows: 16, snapshot_rows: 16 };
        world.run(Crash::Never, &batch_sizes).unwrap();
        world.check_complete();
    }
}

/// Fails if `commit` passes over tables without rows: the quiet table then stays at 0 and so does every later start.
#[test]
fn a_table_without_rows_does_not_hold_recovery_back() {
    let mut world = World::new(&(0..10).map(|value| Record::Value(value * 5 + 1)).collect::<Vec<_>>());
    world.settings.commit_rows = 4;
    world.run(Crash::Poll(4), &[3]).unwrap_err();
    assert_eq!(world.tables.rows.get("quiet"), None);
    world.run(Crash::Poll(2), &[1]).unwrap_err();
    let report = world.run(Crash::Never, &[64]).unwrap();
    assert_eq!((report.loaded_snapshot, report.started_at), (Some(Offset(4)), Offset(4)));
    assert_eq!(report.ended_at, Offset(10));
    world.check_complete();
}

/// Fails if a report counts suppressed rows as written, or loses the place of a start.
#[test]
fn a_report_says_what_was_replayed_and_what_was_written() {
    let records: Vec<Record> = (0..8).map(Record::Value).collect();
    let mut world = World::new(&records);
    world.settings = Settings { batch_rows_max: 64, commit_rows: 2, snapshot_rows: 8 };
    world.run(Crash::Poll(4), &[2]).unwrap_err();
    let rows_before: usize = world.tables.rows.values().map(Vec::len).sum();
    assert_eq!(world.tables.frontiers["first_rows"], Offset(6));
    let report = world.run(Crash::Never, &[3]).unwrap();
    assert_eq!((report.loaded_snapshot, report.started_at, report.ended_at), (Some(Offset(0)), Offset(0), Offset(8)));
    assert_eq!(report.rows_suppressed, rows_before as u64);
    let written: u64 = report.rows_written.values().sum();
    let rows_after: usize = world.tables.rows.values().map(Vec::len).sum();
    assert_eq!(written, (rows_after - rows_before) as u64);
    world.check_complete();
}
