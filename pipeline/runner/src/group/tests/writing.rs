//! Snapshots that are written while their lane goes on: nobody waits for them but who must.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use log::group::Remedy;
use log::memory::{Call, Moment};
use schemas::Partition;

use super::bench::{Bench, bench, steps, values};
use super::units::{INPUT, Outside, rows};
use crate::RunnerError;

/// So long that only who waits sees the end of it.
const FOR_EVER: u32 = u32::MAX;

/// A bench with a snapshot at each fourth offset. Its first snapshots, at 0, are there before the first record.
fn cutting(count: i64) -> Bench {
    let mut bench = bench(count);
    bench.settings.snapshot_rows = 4;
    bench
}

fn append(bench: &Bench, count: i64) {
    bench.broker.append(INPUT, Partition(1), rows(&values(count))).unwrap();
}

/// Fails if a lane waits for the snapshot that it has begun, or forgets to look whether it is there.
#[test]
fn a_lane_goes_on_while_its_snapshot_is_written() {
    let bench = cutting(5);
    bench.unit("x", |mut driver| {
        steps(&mut driver, 1);
        assert_eq!(bench.snapshots(1), [0], "the first one says which logic writes, and is waited for");
        bench.looks.set(5);
        steps(&mut driver, 1);
        append(&bench, 2);
        bench.clock.pass(200);
        steps(&mut driver, 2);
        assert_eq!((bench.committed(1), bench.snapshots(1)), (Some(7), vec![0]), "4 is being written");
        assert!(!bench.notes.borrow().contains(&"snapshot payments/1 4".to_string()));
        steps(&mut driver, 3);
        assert_eq!(bench.snapshots(1), [0, 4]);
        assert!(bench.notes.borrow().contains(&"snapshot payments/1 4".to_string()), "{:?}", bench.notes);
    });
}

/// Fails if two snapshots are written at a time: the saved bytes of all would lie in memory together.
#[test]
fn the_next_snapshot_begins_when_the_one_before_is_written() {
    let bench = cutting(0);
    bench.unit("x", |mut driver| {
        steps(&mut driver, 1);
        bench.looks.set(FOR_EVER);
        append(&bench, 9);
        steps(&mut driver, 1);
        assert_eq!(bench.snapshots(1), [0, 4], "8 has made 4 be waited for");
        bench.broker.append(INPUT, Partition(0), rows(&values(4))).unwrap();
        steps(&mut driver, 2);
        assert_eq!((bench.snapshots(1), bench.snapshots(0)), (vec![4, 8], vec![0]));
    });
}

/// Fails if lanes that are due by time are waited for, or one that was skipped is forgotten.
#[test]
fn snapshots_by_time_come_one_after_the_other() {
    let mut bench = bench(3);
    bench.broker.append(INPUT, Partition(0), rows(&values(2))).unwrap();
    bench.settings.snapshot_interval = Duration::from_millis(500);
    bench.unit("x", |mut driver| {
        steps(&mut driver, 4);
        bench.looks.set(3);
        bench.clock.pass(500);
        steps(&mut driver, 1);
        assert_eq!((bench.snapshots(0), bench.snapshots(1)), (vec![0], vec![0]));
        bench.clock.pass(100);
        steps(&mut driver, 4);
        assert_eq!((bench.snapshots(0), bench.snapshots(1)), (vec![0, 2], vec![0]));
        steps(&mut driver, 4);
        assert_eq!((bench.snapshots(0), bench.snapshots(1)), (vec![0, 2], vec![0, 3]));
    });
}

/// Fails if a graceful stop does not wait: the next start would replay.
#[test]
fn a_stop_waits_for_what_is_being_written() {
    let bench = cutting(6);
    let report = bench.unit("x", |mut driver| {
        steps(&mut driver, 1);
        bench.looks.set(FOR_EVER);
        steps(&mut driver, 1);
        driver.finish().unwrap()
    });
    assert_eq!((report.records, bench.committed(1), bench.snapshots(1)), (6, Some(6), vec![4, 6]));
}

/// Fails if a partition is released before its snapshot lies there: whoever gets it would replay.
#[test]
fn a_partition_goes_only_when_its_snapshot_is_written() {
    let bench = cutting(6);
    let at_release = Rc::new(RefCell::new(Vec::new()));
    let (seen, disk) = (at_release.clone(), bench.disk.clone());
    bench.set_hook(move |moment| {
        if moment == Moment::Before(Call::Release) {
            seen.borrow_mut().push(disk.borrow()[&1].keys().copied().collect::<Vec<i64>>());
        }
        Ok(())
    });
    bench.unit("x", |mut driver| {
        steps(&mut driver, 2);
        bench.looks.set(FOR_EVER);
        append(&bench, 1);
        bench.clock.pass(200);
        steps(&mut driver, 1);
        let _second = bench.join("authorize", "y", &[INPUT]);
        steps(&mut driver, 3);
    });
    assert_eq!(at_release.borrow().first(), Some(&vec![4, 7]));
}

/// Fails if going back opens a partition whose snapshot this process still writes: it would not find it.
#[test]
fn going_back_waits_for_what_is_being_written() {
    let bench = cutting(5);
    bench.unit("x", |mut driver| {
        steps(&mut driver, 1);
        bench.looks.set(FOR_EVER);
        steps(&mut driver, 1);
        append(&bench, 2);
        bench.fail(Moment::Before(Call::Commit), Remedy::Abort, 1);
        bench.clock.pass(200);
        steps(&mut driver, 2);
        assert_eq!(bench.snapshots(1), [0, 4]);
        steps(&mut driver, 4);
        let report = driver.finish().unwrap();
        assert_eq!((report.went_back, report.rows_suppressed), (1, 0));
    });
    bench.check(1);
}

/// Fails if nobody hears that a snapshot could not be written.
#[test]
fn a_write_that_fails_ends_the_run_at_the_next_turn() {
    let mut bench = cutting(5);
    let fails = Rc::new(Cell::new(false));
    let failing = fails.clone();
    bench.outside = Rc::new(move |moment| match moment {
        Outside::BeforeRename if failing.get() => Err("the disk is full".to_string()),
        _ => Ok(()),
    });
    bench.unit("x", |mut driver| {
        steps(&mut driver, 1);
        bench.looks.set(1);
        fails.set(true);
        steps(&mut driver, 1);
        let error = driver.step().unwrap_err();
        let RunnerError::Snapshot { reason, .. } = &error else { panic!("{error}") };
        assert_eq!(reason, "the disk is full");
    });
    assert_eq!((bench.committed(1), bench.snapshots(1)), (Some(4), vec![0]));
    fails.set(false);
    let report = super::bench::run(&bench);
    assert!(report.rows_suppressed > 0, "it starts from the snapshot before");
    bench.check(1);
}

/// Fails if a start needs the snapshot that was being written when its process died.
#[test]
fn a_process_that_dies_while_it_writes_leaves_the_snapshot_before() {
    let bench = cutting(6);
    bench.unit("x", |mut driver| {
        steps(&mut driver, 1);
        bench.looks.set(FOR_EVER);
        steps(&mut driver, 1);
    });
    assert_eq!((bench.committed(1), bench.snapshots(1)), (Some(4), vec![0]));
    bench.looks.set(0);
    let report = super::bench::run(&bench);
    assert_eq!(report.records, 6);
    assert!(report.rows_suppressed > 0);
    assert_eq!(bench.snapshots(1), [4, 6]);
    bench.check(1);
}
