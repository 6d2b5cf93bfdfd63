//! A unit's driver by hand: where it starts, when it commits, what it leaves behind, where it goes on after a failure.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use frontier::Refusal;
use log::group::{GroupError, GroupLog, Remedy, TopicPartition};
use log::memory::{Broker, Call, Membership, MemoryMember, Moment};
use schemas::unit::Unit;
use schemas::{Offset, Partition, topics};

use super::bench::{Bench, bench, broker, run, steps, values};
use super::units::{INPUT, NoBundles, Teller, input_schema, place, rows};
use crate::group::{GroupSurroundings, Observer, UnitSpec, run_unit};
use crate::{RunnerError, Snapshots};

/// Fails if a snapshot is taken where a batch happens to end, or holds anything of the batches before it.
#[test]
fn snapshots_lie_at_multiples_whatever_the_batches() {
    let mut seen = Vec::new();
    for batch_rows_max in [1, 2, 3, 100] {
        let mut bench = Bench::new(broker());
        let feeder = bench.broker.producer("feeder").unwrap();
        for _ in 0..5 {
            // Two records and a marker: every third offset is a gap, as 8 is.
            feeder.begin().unwrap();
            feeder.send(INPUT, Partition(1), rows(&values(2))).unwrap();
            feeder.commit().unwrap();
        }
        bench.settings.batch_rows_max = batch_rows_max;
        bench.settings.snapshot_rows = 4;
        bench.unit("x", |mut driver| {
            steps(&mut driver, 30);
            assert_eq!(bench.snapshots(1), [8, 12]);
            seen.push(bench.disk.borrow()[&1].clone());
            let report = driver.finish().unwrap();
            assert_eq!(report.positions[&place(INPUT, 1)], Offset(14));
        });
        assert_eq!(bench.snapshots(1), [12, 14]);
        bench.check(1);
    }
    assert!(seen.iter().all(|bytes| *bytes == seen[0]));
}

/// Fails if a record waits longer than the interval, or each batch is a transaction of its own.
#[test]
fn a_commit_comes_when_a_record_has_waited_or_too_many_wait() {
    let mut bench = bench(3);
    bench.settings.commit_rows = 600;
    bench.unit("x", |mut driver| {
        steps(&mut driver, 3);
        assert_eq!(bench.committed(1), None);
        bench.clock.pass(99);
        steps(&mut driver, 1);
        assert_eq!(bench.committed(1), None);
        bench.clock.pass(1);
        steps(&mut driver, 1);
        assert_eq!(bench.committed(1), Some(3));
        let commits = || bench.notes.borrow().iter().filter(|note| note.starts_with("committed")).count();
        assert_eq!(commits(), 1);
        bench.broker.append(INPUT, Partition(1), rows(&values(700))).unwrap();
        steps(&mut driver, 6);
        assert_eq!((bench.committed(1), commits()), (Some(603), 2));
        steps(&mut driver, 2);
        bench.clock.pass(100);
        steps(&mut driver, 2);
    });
    bench.check(1);
}

/// Fails if a record that comes after a pause waits for the interval, or commits come closer than the gap.
#[test]
fn where_nothing_is_left_to_read_a_commit_comes_early() {
    let mut bench = bench(3);
    bench.settings.commit_early = Some(Duration::from_millis(20));
    bench.unit("x", |mut driver| {
        steps(&mut driver, 8);
        assert_eq!(bench.committed(1), Some(3), "at once");
        bench.broker.append(INPUT, Partition(1), rows(&values(2))).unwrap();
        steps(&mut driver, 8);
        assert_eq!(bench.committed(1), Some(3), "a commit has just been made");
        bench.clock.pass(20);
        steps(&mut driver, 2);
        assert_eq!(bench.committed(1), Some(5));
    });
    bench.check(1);
}

/// Fails if a partition with few records waits for a multiple of the step until its first snapshot: retention could pass
/// the snapshot before it.
#[test]
fn a_slow_partition_gets_snapshots_by_time() {
    let mut bench = bench(3);
    bench.settings.snapshot_interval = Duration::from_secs(60);
    bench.unit("x", |mut driver| {
        steps(&mut driver, 10);
        let before = bench.snapshots(1);
        bench.clock.pass(60_000);
        steps(&mut driver, 2);
        assert_eq!((before, bench.snapshots(1)), (vec![0], vec![0, 3]));
        bench.clock.pass(60_000);
        steps(&mut driver, 2);
        assert_eq!(bench.snapshots(1), [0, 3]);
    });
    bench.check(1);
}

/// Fails if a stop leaves records uncommitted or no snapshot, or the next start does not load it.
#[test]
fn a_stopped_unit_leaves_nothing_to_replay() {
    let bench = bench(7);
    let report = run(&bench);
    assert_eq!((report.records, report.went_back), (7, 0));
    assert_eq!((bench.committed(1), bench.snapshots(1)), (Some(7), vec![0, 7]));
    bench.broker.append(INPUT, Partition(1), rows(&values(3))).unwrap();
    let again = run(&bench);
    assert_eq!((again.records, again.rows_suppressed), (3, 0));
    bench.check(1);
}

/// Fails if a replay writes again what the topics have, or folds nothing while it suppresses.
#[test]
fn what_was_committed_before_a_crash_is_not_written_again() {
    let mut bench = bench(9);
    bench.settings.commit_rows = 4;
    bench.settings.batch_rows_max = 3;
    bench.unit("x", |mut driver| steps(&mut driver, 6));
    assert_eq!((bench.committed(1), bench.snapshots(1)), (Some(6), vec![0]), "it died after a commit");
    let report = run(&bench);
    assert!(report.rows_suppressed > 0);
    assert_eq!(report.records, 9);
    bench.check(1);
}

/// Fails if a revoked partition is released before its records are committed and its state is left behind.
#[test]
fn a_revoked_partition_needs_no_replay() {
    for writes_slowly in [false, true] {
        revoke(writes_slowly);
    }
}

fn revoke(writes_slowly: bool) {
    let bench = bench(5);
    bench.unit("x", |mut driver| {
        steps(&mut driver, 3);
        bench.writes_slowly.set(writes_slowly);
        assert_eq!(bench.committed(1), None);
        bench.unit("y", |mut other| {
            // The member that comes takes one of the two.
            steps(&mut other, 1);
            steps(&mut driver, 2);
            steps(&mut other, 3);
            let (gone, kept) = (driver.finish().unwrap(), other.finish().unwrap());
            assert_eq!((gone.positions.len(), kept.positions.len()), (1, 1));
            assert_eq!((kept.rows_suppressed, kept.went_back), (0, 0));
        });
    });
    assert_eq!((bench.committed(1), bench.snapshots(1)), (Some(5), vec![0, 5]));
    bench.check(1);
}

/// Fails if what was sent for a lost partition is committed with the rest, or what was kept is not read again.
#[test]
fn a_lost_partition_takes_its_rows_along() {
    let bench = bench(5);
    bench.unit("x", |mut driver| {
        steps(&mut driver, 3);
        bench.broker.expel("authorize", "x");
        steps(&mut driver, 8);
        bench.clock.pass(1_000);
        steps(&mut driver, 3);
        let report = driver.finish().unwrap();
        assert_eq!((report.records, report.rows_suppressed), (10, 0), "read twice, written once");
    });
    assert_eq!(bench.committed(1), Some(5));
    bench.check(1);
}

/// Fails if a remedy is not followed: rows would be doubled, lost, or the run would end.
#[test]
fn each_remedy_is_followed() {
    let moments = [Moment::Before(Call::Commit), Moment::InsideCommit, Moment::After(Call::Commit)];
    for moment in moments {
        for remedy in [Remedy::Abort, Remedy::Rebuild] {
            if moment == Moment::After(Call::Commit) && remedy == Remedy::Abort {
                continue;
            }
            let bench = bench(5);
            bench.fail(moment, remedy, 2);
            let report = bench.unit("x", |mut driver| {
                for _ in 0..12 {
                    bench.clock.pass(100);
                    steps(&mut driver, 1);
                }
                driver.finish().unwrap()
            });
            let rebuilt = bench.notes.borrow().iter().filter(|note| note.starts_with("rebuilt")).count();
            assert_eq!(rebuilt > 0, remedy == Remedy::Rebuild, "{moment:?} {remedy:?}");
            assert!(report.went_back > 0);
            assert_eq!(bench.committed(1), Some(5));
            bench.check(1);
        }
    }
    let bench = bench(5);
    bench.fail(Moment::Before(Call::Commit), Remedy::Stop, 1);
    let error = bench.unit("x", |mut driver| {
        steps(&mut driver, 3);
        bench.clock.pass(100);
        driver.step().unwrap_err()
    });
    assert!(matches!(&error, RunnerError::Group(error) if error.reason == "Stop"), "{error}");
}

/// Fails if the patience with errors that pass has no end, or what comes after it is not a new member.
#[test]
fn an_error_that_does_not_pass_ends_the_run_by_name() {
    let bench = bench(5);
    bench.fail(Moment::Before(Call::Committed), Remedy::Retry, u32::MAX);
    let error = bench.unit("x", |mut driver| (0..1_000).find_map(|_| driver.step().err())).unwrap();
    let RunnerError::Stuck { failures: 13, last } = &error else { panic!("{error}") };
    assert_eq!(last, "test: Retry");
    assert!(bench.clock.slept() < Duration::from_secs(300), "{:?}", bench.clock.slept());
}

/// Fails if it is told before the last rows are visible, or not taken back when more records come.
#[test]
fn caught_up_is_told_once_everything_is_committed() {
    let bench = bench(2);
    let told = || -> Vec<String> {
        bench
            .notes
            .borrow()
            .iter()
            .filter(|note| note.starts_with("caught") || note.starts_with("comm"))
            .cloned()
            .collect()
    };
    bench.unit("x", |mut driver| {
        steps(&mut driver, 6);
        assert!(told().is_empty());
        bench.clock.pass(100);
        steps(&mut driver, 2);
        assert_eq!(told().last().unwrap(), "caught up true");
        bench.broker.append(INPUT, Partition(0), rows(&values(1))).unwrap();
        steps(&mut driver, 2);
        assert_eq!(told().last().unwrap(), "caught up false");
    });
}

fn refusal(bench: &Bench, make: &dyn Fn() -> Box<dyn Unit>) -> Refusal {
    let error = bench.unit_of("x", make, |mut driver| driver.step().unwrap_err());
    assert!(error.is_refusal(), "{error}");
    let RunnerError::Refused(refusal) = error else { panic!("{error}") };
    refusal
}

/// Fails if a snapshot does not remember the counts of the outputs, or a start does not compare them.
#[test]
fn another_count_of_an_output_topic_is_refused_by_name() {
    let bench = bench(5);
    run(&bench);
    let other = Broker::default();
    other.create_topic(INPUT, input_schema(), 2).unwrap();
    other.create_topic("dead_letters", topics::by_name("dead_letters").unwrap(), 2).unwrap();
    other.create_topic("labels", topics::by_name("labels").unwrap(), 3).unwrap();
    other.append(INPUT, Partition(1), rows(&values(5))).unwrap();
    let producer = other.producer("offsets").unwrap();
    producer.begin().unwrap();
    producer.send_offset("authorize", INPUT, Partition(1), Offset(5)).unwrap();
    producer.commit().unwrap();
    let bench = Bench { broker: other, ..bench };
    let (topic, at) = ("topic labels".to_string(), Offset(0));
    assert_eq!(refusal(&bench, &Teller::make), Refusal::PartitionCount { topic, at, expected: 2, found: 3 });
}

/// Fails if other logic replays rows that it did not write, or after a stop does not say at once that it writes now.
#[test]
fn other_logic_starts_only_after_a_graceful_stop() {
    let mut bench = bench(9);
    (bench.settings.commit_rows, bench.settings.batch_rows_max) = (4, 3);
    bench.unit("x", |mut driver| steps(&mut driver, 6));
    let changed = refusal(&bench, &|| Teller::of_version(2));
    assert!(matches!(changed, Refusal::LogicChanged { at: Offset(0), snapshot: 1, program: 2, .. }), "{changed}");
    run(&bench);
    bench.disk.borrow_mut().get_mut(&1).unwrap().retain(|at, _| *at == 9);
    let before = bench.disk.borrow()[&1][&9].clone();
    bench.disk.borrow_mut().insert(0, BTreeMap::new());
    bench.disk.borrow_mut().insert(1, BTreeMap::from([(9, before)]));
    bench.broker.append(INPUT, Partition(1), rows(&values(4))).unwrap();
    bench.unit_of("x", &|| Teller::of_version(2), |mut driver| steps(&mut driver, 1));
    let kept = crate::StoredSnapshot::from_bytes(bench.disk.borrow()[&1][&9].clone()).unwrap();
    assert_eq!(kept.label.logic["authorize"], 2);
}

/// Fails if a start passes over records that are gone, or over offsets that were forgotten.
#[test]
fn a_start_without_its_records_or_its_offset_is_refused() {
    let bench = bench(5);
    bench.broker.trim(INPUT, Partition(1), Offset(2));
    let gone = Refusal::RetentionPassed { needed: Offset(0), log_start: Offset(2) };
    assert_eq!(refusal(&bench, &Teller::make), gone);

    let bench = super::bench::bench(5);
    run(&bench);
    let forgetful = broker();
    forgetful.append(INPUT, Partition(1), rows(&values(5))).unwrap();
    let bench = Bench { broker: forgetful, ..bench };
    let forgotten = Refusal::WentBack { output: "group".to_string(), at: Offset(5), found: Offset(0) };
    assert_eq!(refusal(&bench, &Teller::make), forgotten);
}

/// Fails if `run_unit` does not stop when it is told, or forgets to finish.
#[test]
fn a_run_stops_when_it_is_told() {
    let bench = bench(5);
    let stop = AtomicBool::new(false);
    let mut connect = || -> Result<Box<dyn GroupLog>, GroupError> {
        let topics = vec![INPUT];
        let (group, instance) = ("authorize".to_string(), "x".to_string());
        let who = Membership { group, instance, topics, outputs: true, expelled: Remedy::Abort };
        Ok(Box::new(MemoryMember::connect(&bench.broker, who, Box::new(|_| Ok(())))?))
    };
    struct StopAfterRead<'a>(&'a AtomicBool);
    impl Observer for StopAfterRead<'_> {
        fn read(&mut self, unit: &'static str, _: TopicPartition, records: u64) {
            assert_eq!((unit, records), ("authorize", 5));
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let snapshots = |partition| -> Result<Box<dyn Snapshots>, RunnerError> { Ok(Box::new(bench.store(partition))) };
    let report = run_unit(
        UnitSpec { topic: INPUT, make: &Teller::make, snapshots: &snapshots, bundles: &NoBundles },
        GroupSurroundings {
            connect: &mut connect,
            settings: &bench.settings,
            clock: &bench.clock,
            stop: &stop,
            observer: &mut StopAfterRead(&stop),
        },
    )
    .unwrap();
    assert_eq!((report.records, bench.committed(1), bench.snapshots(1)), (5, Some(5), vec![0, 5]));
    let visible: u64 = report.rows_written.values().sum();
    let written = ["labels", "dead_letters"].into_iter().flat_map(|topic| [place(topic, 0), place(topic, 1)]);
    let found: usize = written.flat_map(|at| bench.read(at)).map(|batch| batch.offsets.len()).sum();
    assert_eq!(visible, found as u64);
    bench.check(1);
}
