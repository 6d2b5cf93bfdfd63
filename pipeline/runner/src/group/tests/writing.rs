//! Snapshots that are written while their lane goes on: nobody waits for them but who must.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use log::group::Remedy;
use log::memory::{Call, Moment};
use schemas::Partition;

use super::bench::{Bench, bench, run, steps, values};
use super::units::{INPUT, Outside, rows};
use crate::RunnerError;
use crate::group::driver::Driver;
use crate::group::unit::UnitWork;

/// Turns within which what a test waits for must come.
const TURNS_MAX: u32 = 20;

/// A bench with a snapshot at each fourth offset.
fn cutting(count: i64) -> Bench {
    let mut bench = bench(count);
    bench.settings.snapshot_rows = 4;
    bench
}

fn append(bench: &Bench, partition: i32, count: i64) {
    bench.broker.append(INPUT, Partition(partition), rows(&values(count))).unwrap();
}

/// Goes on until it has come to this, a good while after whatever waits for a commit.
fn until(bench: &Bench, driver: &mut Driver<'_, UnitWork<'_>>, is_there: impl Fn(&Bench) -> bool) {
    for _ in 0..TURNS_MAX {
        if is_there(bench) {
            return;
        }
        bench.clock.pass(200);
        steps(driver, 1);
    }
    panic!("it does not come: {:?}", bench.notes);
}

/// Starts, with the first snapshots there; from then on they are written slowly. Goes on until one at 4 is begun.
fn begin_slow(bench: &Bench, driver: &mut Driver<'_, UnitWork<'_>>) {
    until(bench, driver, |bench| bench.snapshots(1) == [0]);
    bench.writes_slowly.set(true);
    until(bench, driver, |bench| bench.committed(1) >= Some(4));
}

/// Fails if a lane waits for the snapshot that it has begun, or forgets to look whether it is there.
#[test]
fn a_lane_goes_on_while_its_snapshot_is_written() {
    let bench = cutting(5);
    let is_told = |bench: &Bench| bench.notes.borrow().contains(&"snapshot payments/1 4".to_string());
    bench.unit("x", |mut driver| {
        begin_slow(&bench, &mut driver);
        append(&bench, 1, 2);
        until(&bench, &mut driver, |bench| bench.committed(1) == Some(7));
        assert_eq!((bench.snapshots(1), is_told(&bench)), (vec![0], false), "it is being written");
        bench.writes_slowly.set(false);
        steps(&mut driver, 1);
        assert_eq!((bench.snapshots(1), is_told(&bench)), (vec![0, 4], true));
    });
}

/// Fails if rows are committed before a snapshot says which logic writes them.
#[test]
fn the_first_snapshot_is_waited_for() {
    let bench = cutting(5);
    bench.writes_slowly.set(true);
    bench.unit("x", |mut driver| {
        until(&bench, &mut driver, |bench| bench.snapshots(1) == [0]);
        assert_eq!(bench.committed(1), None);
    });
}

/// Fails if two snapshots are written at a time: the saved bytes of all would lie in memory together.
#[test]
fn the_next_snapshot_begins_when_the_one_before_is_written() {
    let bench = cutting(5);
    bench.unit("x", |mut driver| {
        begin_slow(&bench, &mut driver);
        append(&bench, 0, 4);
        until(&bench, &mut driver, |bench| bench.committed(0) == Some(4));
        assert_eq!((bench.snapshots(1), bench.snapshots(0)), (vec![0, 4], vec![0]));
        append(&bench, 1, 3);
        until(&bench, &mut driver, |bench| bench.committed(1) == Some(8));
        assert_eq!((bench.snapshots(1), bench.snapshots(0)), (vec![0, 4], vec![0, 4]));
    });
}

/// Fails if lanes that are due by time are waited for, or one that had to wait is forgotten.
#[test]
fn snapshots_by_time_come_one_after_the_other() {
    let mut bench = bench(3);
    append(&bench, 0, 2);
    bench.settings.snapshot_interval = Duration::from_secs(60);
    bench.unit("x", |mut driver| {
        until(&bench, &mut driver, |bench| (bench.committed(0), bench.committed(1)) == (Some(2), Some(3)));
        bench.writes_slowly.set(true);
        bench.clock.pass(60_000);
        steps(&mut driver, 5);
        assert_eq!((bench.snapshots(0), bench.snapshots(1)), (vec![0], vec![0]));
        bench.writes_slowly.set(false);
        steps(&mut driver, 1);
        assert_eq!((bench.snapshots(0), bench.snapshots(1)), (vec![0, 2], vec![0, 3]));
    });
}

/// Fails if a graceful stop does not wait: the next start would replay.
#[test]
fn a_stop_waits_for_what_is_being_written() {
    let bench = cutting(6);
    let report = bench.unit("x", |mut driver| {
        begin_slow(&bench, &mut driver);
        driver.finish().unwrap()
    });
    assert_eq!((report.records, bench.committed(1), bench.snapshots(1)), (6, Some(6), vec![4, 6]));
}

/// Fails if a partition is released before its snapshot lies there: whoever gets it would replay.
#[test]
fn a_partition_goes_only_when_its_snapshot_is_written() {
    let bench = cutting(6);
    let at_release = Rc::new(RefCell::new(None));
    let (seen, disk) = (at_release.clone(), bench.disk.clone());
    bench.set_hook(move |moment| {
        if moment == Moment::Before(Call::Release) {
            *seen.borrow_mut() = Some(disk.borrow()[&1].keys().copied().collect::<Vec<i64>>());
        }
        Ok(())
    });
    bench.unit("x", |mut driver| {
        begin_slow(&bench, &mut driver);
        driver.finish().unwrap();
    });
    assert_eq!(at_release.take(), Some(vec![4, 6]));
}

/// Fails if going back opens a partition whose snapshot this process still writes: it would not find it.
#[test]
fn going_back_waits_for_what_is_being_written() {
    let bench = cutting(5);
    bench.unit("x", |mut driver| {
        begin_slow(&bench, &mut driver);
        append(&bench, 1, 2);
        bench.fail(Moment::Before(Call::Commit), Remedy::Abort, 1);
        until(&bench, &mut driver, |bench| bench.committed(1) == Some(7));
        assert_eq!(bench.snapshots(1), [0, 4]);
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
        begin_slow(&bench, &mut driver);
        fails.set(true);
        bench.writes_slowly.set(false);
        let error = driver.step().unwrap_err();
        let RunnerError::Snapshot { reason, .. } = &error else { panic!("{error}") };
        assert_eq!(reason, "the disk is full");
    });
    assert_eq!((bench.committed(1), bench.snapshots(1)), (Some(4), vec![0]));
    fails.set(false);
    assert!(run(&bench).rows_suppressed > 0, "it starts from the snapshot before");
    bench.check(1);
}

/// Fails if a start needs the snapshot that was being written when its process died.
#[test]
fn a_process_that_dies_while_it_writes_leaves_the_snapshot_before() {
    let bench = cutting(6);
    bench.unit("x", |mut driver| begin_slow(&bench, &mut driver));
    assert_eq!((bench.committed(1), bench.snapshots(1)), (Some(4), vec![0]));
    bench.writes_slowly.set(false);
    let report = run(&bench);
    assert_eq!(report.records, 6);
    assert!(report.rows_suppressed > 0);
    assert_eq!(bench.snapshots(1), [4, 6]);
    bench.check(1);
}
