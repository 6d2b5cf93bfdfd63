//! What a test by hand needs around a driver: a broker, a clock that it moves, calls that it lets fail, notes of what the
//! driver told.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use log::group::{GroupError, GroupLog, Remedy, TopicPartition};
use log::memory::{Broker, Membership, MemoryMember, Moment};
use log::{LogBatch, LogReader};
use schemas::unit::Unit;
use schemas::{Offset, Partition, topics};

use super::units::{
    Disk, INPUT, MemorySnapshots, NoBundles, OutsideHook, Record, Teller, input_schema, lines, place, rows, value,
};
use crate::group::driver::{Driver, Work};
use crate::group::unit::UnitWork;
use crate::group::{Clock, GroupReport, GroupSettings, GroupSurroundings, Observer, UnitSpec, fold_partition};
use crate::{RunnerError, Snapshots};

#[derive(Default)]
pub(super) struct TestClock {
    now: Cell<Duration>,
    slept: Cell<Duration>,
}

impl TestClock {
    pub(super) fn pass(&self, milliseconds: u64) {
        self.now.set(self.now.get() + Duration::from_millis(milliseconds));
    }

    pub(super) fn slept(&self) -> Duration {
        self.slept.get()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        self.now.get()
    }

    fn sleep(&self, pause: Duration) {
        self.slept.set(self.slept.get() + pause);
        self.now.set(self.now.get() + pause);
    }
}

type HookCell = Rc<RefCell<Box<dyn FnMut(Moment) -> Result<(), GroupError>>>>;

/// What a driver told, as text.
struct Notes<'a>(&'a RefCell<Vec<String>>);

impl Observer for Notes<'_> {
    fn committed(&mut self, rows: u64, _took: Duration) {
        self.0.borrow_mut().push(format!("committed {rows}"));
    }

    fn snapshot(&mut self, partition: TopicPartition, at: Offset, _bytes: u64, _took: Duration) {
        self.0.borrow_mut().push(format!("snapshot {partition} {at}"));
    }

    fn caught_up(&mut self, all: bool) {
        self.0.borrow_mut().push(format!("caught up {all}"));
    }

    fn rebuilt(&mut self, reason: &str) {
        self.0.borrow_mut().push(format!("rebuilt {reason}"));
    }

    fn left_out(&mut self, _output: &'static str, reason: &str, count: u64) {
        self.0.borrow_mut().push(format!("{count} {reason}"));
    }
}

/// What outlives a driver in a test.
pub(super) struct Bench {
    pub(super) broker: Broker,
    pub(super) clock: TestClock,
    pub(super) settings: GroupSettings,
    pub(super) disk: Disk,
    pub(super) hook: HookCell,
    /// What happens around the writing of a snapshot, and whether it takes until somebody waits for it.
    pub(super) outside: OutsideHook,
    pub(super) writes_slowly: Rc<Cell<bool>>,
    pub(super) notes: RefCell<Vec<String>>,
}

impl Bench {
    pub(super) fn new(broker: Broker) -> Self {
        Self {
            broker,
            clock: TestClock::default(),
            settings: GroupSettings {
                batch_rows_max: 100,
                commit_rows: 1_000,
                commit_interval: Duration::from_millis(100),
                commit_early: None,
                snapshot_rows: 1_000,
                snapshot_interval: Duration::from_secs(1_000_000),
                wait: Duration::from_millis(1),
            },
            disk: Disk::default(),
            hook: Rc::new(RefCell::new(Box::new(|_| Ok(())))),
            outside: Rc::new(|_| Ok(())),
            writes_slowly: Rc::default(),
            notes: RefCell::default(),
        }
    }

    pub(super) fn store(&self, partition: Partition) -> MemorySnapshots {
        let (disk, hook, writes_slowly) = (self.disk.clone(), self.outside.clone(), self.writes_slowly.clone());
        MemorySnapshots { disk, partition, hook, is_done: Rc::new(move || !writes_slowly.get()) }
    }

    pub(super) fn set_hook(&self, hook: impl FnMut(Moment) -> Result<(), GroupError> + 'static) {
        *self.hook.borrow_mut() = Box::new(hook);
    }

    /// Fails the calls of this kind at this moment, so often.
    pub(super) fn fail(&self, at: Moment, remedy: Remedy, mut times: u32) {
        self.set_hook(move |moment| {
            if moment != at || times == 0 {
                return Ok(());
            }
            times -= 1;
            Err(GroupError { doing: "test".to_string(), reason: format!("{remedy:?}"), remedy })
        });
    }

    pub(super) fn join(&self, group: &str, instance: &str, topics: &[&'static str]) -> MemoryMember {
        let (group, instance, topics) = (group.to_string(), instance.to_string(), topics.to_vec());
        let who = Membership { group, instance, topics, outputs: false, expelled: Remedy::Abort };
        MemoryMember::connect(&self.broker, who, Box::new(|_| Ok(()))).unwrap()
    }

    /// A driver of the instance x.
    pub(super) fn with<W: Work, T>(
        &self,
        work: W,
        group: &str,
        topics: &[&'static str],
        outputs: bool,
        act: impl FnOnce(Driver<'_, W>) -> T,
    ) -> T {
        self.with_named("x", work, group, topics, outputs, act)
    }

    fn with_named<W: Work, T>(
        &self,
        instance: &str,
        work: W,
        group: &str,
        topics: &[&'static str],
        outputs: bool,
        act: impl FnOnce(Driver<'_, W>) -> T,
    ) -> T {
        let (group, instance, topics) = (group.to_string(), instance.to_string(), topics.to_vec());
        let who = Membership { group, instance, topics, outputs, expelled: Remedy::Abort };
        let mut connect = || -> Result<Box<dyn GroupLog>, GroupError> {
            let hook = self.hook.clone();
            let hook = Box::new(move |moment| (hook.borrow_mut())(moment));
            Ok(Box::new(MemoryMember::connect(&self.broker, who.clone(), hook)?))
        };
        let stop = AtomicBool::new(false);
        let mut observer = Notes(&self.notes);
        act(Driver::new(
            work,
            GroupSurroundings {
                connect: &mut connect,
                settings: &self.settings,
                clock: &self.clock,
                stop: &stop,
                observer: &mut observer,
            },
        ))
    }

    pub(super) fn unit<T>(&self, instance: &str, act: impl FnOnce(Driver<'_, UnitWork<'_>>) -> T) -> T {
        self.unit_of(instance, &Teller::make, act)
    }

    pub(super) fn unit_of<T>(
        &self,
        instance: &str,
        make: &dyn Fn() -> Box<dyn Unit>,
        act: impl FnOnce(Driver<'_, UnitWork<'_>>) -> T,
    ) -> T {
        let snapshots = |partition| -> Result<Box<dyn Snapshots>, RunnerError> { Ok(Box::new(self.store(partition))) };
        let spec = UnitSpec { topic: INPUT, make, snapshots: &snapshots, bundles: &NoBundles };
        let work = UnitWork::new(spec, self.settings.snapshot_rows);
        self.with_named(instance, work, "authorize", &[INPUT], true, act)
    }

    pub(super) fn read(&self, at: TopicPartition) -> Vec<LogBatch> {
        let mut reader = self.broker.reader(at.topic, at.partition, Offset(0)).unwrap();
        std::iter::from_fn(|| reader.poll(1_000).unwrap()).collect()
    }

    /// The output topics hold the fold of one input partition, the only one with records.
    pub(super) fn check(&self, partition: i32) {
        let at = place(INPUT, partition);
        let made = fold_partition(Teller::make(), at, self.read(at), &NoBundles, &|_| 2).unwrap();
        for topic in ["labels", "dead_letters"] {
            for output in [0, 1] {
                let found: Vec<String> =
                    self.read(place(topic, output)).iter().flat_map(|batch| lines(&batch.rows)).collect();
                let expected = made.get(&(topic, Partition(output))).map(lines).unwrap_or_default();
                assert_eq!(found, expected, "{topic}/{output}");
            }
        }
    }

    pub(super) fn committed(&self, partition: i32) -> Option<i64> {
        self.broker.committed("authorize", INPUT, Partition(partition)).map(|offset| offset.0)
    }

    pub(super) fn snapshots(&self, partition: i32) -> Vec<i64> {
        self.disk.borrow().get(&partition).map(|stored| stored.keys().copied().collect()).unwrap_or_default()
    }
}

/// Makes so many steps that none of them ends the run.
pub(super) fn steps<W: Work>(driver: &mut Driver<'_, W>, count: u32) {
    for _ in 0..count {
        driver.step().unwrap();
    }
}

pub(super) fn broker() -> Broker {
    let broker = Broker::default();
    broker.create_topic(INPUT, input_schema(), 2).unwrap();
    for topic in ["labels", "dead_letters"] {
        broker.create_topic(topic, topics::by_name(topic).unwrap(), 2).unwrap();
    }
    broker
}

pub(super) fn values(count: i64) -> Vec<Record> {
    (0..count).map(value).collect()
}

pub(super) fn bench(count: i64) -> Bench {
    let bench = Bench::new(broker());
    bench.broker.append(INPUT, Partition(1), rows(&values(count))).unwrap();
    bench
}

pub(super) fn run(bench: &Bench) -> GroupReport {
    bench.unit("x", |mut driver| {
        steps(&mut driver, 12);
        driver.finish().unwrap()
    })
}
