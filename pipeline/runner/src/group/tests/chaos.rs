//! Processes on one broker that die, pause and rebalance at moments drawn from a seed, one at a time and in virtual
//! time: while one is inside a call, others may run.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use log::group::{GroupError, GroupLog, Remedy};
use log::memory::{Broker, Call, Membership, MemoryMember, Moment};
use schemas::{Partition, topics};

use super::units::{
    Disk, INPUT, IsDone, Lake, MemorySnapshots, MemoryTables, NoBundles, Outside, OutsideHook, Record, Teller, control,
    input_schema, place, routed, rows, value,
};
use crate::RunnerError;
use crate::group::collect::CollectWork;
use crate::group::driver::Driver;
use crate::group::unit::UnitWork;
use crate::group::{Clock, CollectSpec, GroupSettings, GroupSurroundings, Observer, UnitSpec, pass_through};

pub(super) const INPUT_PARTITIONS: u16 = 3;
pub(super) const OUTPUT_PARTITIONS: u16 = 2;
/// Topics that the lake reads.
pub(super) const COLLECTED: [&str; 2] = ["dead_letters", "labels"];
/// How deep processes run inside the calls of others.
const DEPTH_MAX: u32 = 2;

/// SplitMix64.
#[derive(Debug)]
pub(super) struct Random(Cell<u64>);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    pub(super) fn below(&self, bound: u64) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15));
        let mut bits = self.0.get();
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % bound
    }

    fn one_in(&self, count: u64) -> bool {
        self.below(count) == 0
    }
}

enum Running {
    Unit(Driver<'static, UnitWork<'static>>),
    Lake(Driver<'static, CollectWork<'static>>),
}

/// A place for a process: of which unit, under which name.
struct Slot {
    group: &'static str,
    instance: &'static str,
    running: RefCell<Option<Running>>,
    /// Whether it was told to die in the call at hand.
    killed: Cell<bool>,
    caught_up: Cell<bool>,
}

/// Everything of a schedule.
pub(super) struct World {
    pub(super) broker: Broker,
    pub(super) disk: Disk,
    pub(super) lake: Lake,
    random: Random,
    now: Cell<Duration>,
    slots: Vec<Slot>,
    depth: Cell<u32>,
    /// Whether anything goes wrong at all.
    faults: Cell<bool>,
    this: Weak<World>,
}

/// Lives as long as the test: processes borrow what they run with.
fn kept<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

/// A process's way back to its world, which it does not keep alive.
struct Handle(Weak<World>, usize);

impl Handle {
    fn world(&self) -> Rc<World> {
        self.0.upgrade().expect("the test holds the world while its processes run")
    }
}

impl Observer for Handle {
    fn caught_up(&mut self, all: bool) {
        self.world().slots[self.1].caught_up.set(all);
    }
}

impl Clock for Handle {
    fn now(&self) -> Duration {
        self.world().now.get()
    }

    fn sleep(&self, pause: Duration) {
        let world = self.world();
        world.now.set(world.now.get() + pause);
        world.let_others_run();
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Rc<World> {
        let broker = Broker::default();
        broker.create_topic(INPUT, input_schema(), INPUT_PARTITIONS).unwrap();
        for topic in COLLECTED {
            broker.create_topic(topic, topics::by_name(topic).unwrap(), OUTPUT_PARTITIONS).unwrap();
        }
        let slot = |(group, instance)| Slot {
            group,
            instance,
            running: RefCell::new(None),
            killed: Cell::new(false),
            caught_up: Cell::new(false),
        };
        // The last of each unit bears the name of the first: a supervisor may start a second one by mistake.
        let names = [
            ("authorize", "a"),
            ("authorize", "b"),
            ("authorize", "c"),
            ("authorize", "a"),
            ("lake", "a"),
            ("lake", "b"),
            ("lake", "a"),
        ];
        Rc::new_cyclic(|this| World {
            broker,
            disk: Disk::default(),
            lake: Lake::default(),
            random: Random::new(seed),
            now: Cell::new(Duration::ZERO),
            slots: names.into_iter().map(slot).collect(),
            depth: Cell::new(0),
            faults: Cell::new(true),
            this: this.clone(),
        })
    }

    fn handle(&self, slot: usize) -> Handle {
        Handle(self.this.clone(), slot)
    }

    /// Others run while a call of one is under way.
    fn let_others_run(&self) {
        if !self.faults.get() || self.depth.get() >= DEPTH_MAX {
            return;
        }
        self.depth.set(self.depth.get() + 1);
        for _ in 0..self.random.below(6) {
            self.step(self.random.below(self.slots.len() as u64) as usize).unwrap_or_else(|error| panic!("{error}"));
        }
        self.depth.set(self.depth.get() - 1);
    }

    fn dies(&self, slot: usize) -> bool {
        let dies = self.random.one_in(150);
        self.slots[slot].killed.set(self.slots[slot].killed.get() || dies);
        dies
    }

    /// What happens at a moment of a member's call.
    fn moment(&self, slot: usize, moment: Moment) -> Result<(), GroupError> {
        if moment == Moment::Before(Call::Next) {
            self.now.set(self.now.get() + Duration::from_millis(1));
        }
        if !self.faults.get() {
            return Ok(());
        }
        let error =
            |remedy| Err(GroupError { doing: format!("{moment:?}"), reason: "as the seed says".to_string(), remedy });
        if self.dies(slot) {
            return error(Remedy::Stop);
        }
        if self.random.one_in(60) {
            // It is paused, perhaps for longer than its session.
            if self.random.one_in(2) {
                self.broker.expel(self.slots[slot].group, self.slots[slot].instance);
            }
            self.let_others_run();
        }
        if self.random.one_in(40) {
            let is_sent = matches!(moment, Moment::After(Call::Send | Call::Commit) | Moment::InsideCommit);
            return match self.random.below(if is_sent { 2 } else { 4 }) {
                0 if moment != Moment::After(Call::Commit) => error(Remedy::Abort),
                0 | 1 => error(Remedy::Rebuild),
                _ => error(Remedy::Retry),
            };
        }
        Ok(())
    }

    fn outside(&self, slot: usize) -> OutsideHook {
        let handle = self.handle(slot);
        Rc::new(move |moment: Outside| {
            let world = handle.world();
            if world.faults.get() && (world.dies(slot) || world.random.one_in(80) && world.dies(slot)) {
                return Err(format!("died {moment:?}"));
            }
            if world.faults.get() && world.random.one_in(15) {
                if world.random.one_in(2) {
                    world.broker.expel(world.slots[slot].group, world.slots[slot].instance);
                }
                world.let_others_run();
            }
            Ok(())
        })
    }

    /// Starts a process.
    fn start(&self, index: usize) {
        let slot = &self.slots[index];
        slot.killed.set(false);
        slot.caught_up.set(false);
        let is_unit = slot.group == "authorize";
        let who = Membership {
            group: slot.group.to_string(),
            instance: slot.instance.to_string(),
            topics: if is_unit { vec![INPUT] } else { COLLECTED.to_vec() },
            outputs: is_unit,
            expelled: if self.random.one_in(2) { Remedy::Abort } else { Remedy::Rebuild },
        };
        let (handle, this) = (self.handle(index), self.this.clone());
        let connect = move || -> Result<Box<dyn GroupLog>, GroupError> {
            let member = Handle(this.clone(), index);
            let hook = Box::new(move |moment| member.world().moment(index, moment));
            Ok(Box::new(MemoryMember::connect(&handle.world().broker, who.clone(), hook)?))
        };
        let settings = GroupSettings {
            snapshot_interval: Duration::from_secs(30 + self.random.below(60)),
            batch_rows_max: 1 + self.random.below(6) as usize,
            commit_rows: 1 + self.random.below(9),
            commit_interval: Duration::from_millis(1 + self.random.below(6)),
            commit_early: self.random.one_in(2).then(|| Duration::from_millis(self.random.below(4))),
            snapshot_rows: SNAPSHOT_ROWS,
            wait: Duration::from_millis(1),
        };
        let surroundings = GroupSurroundings {
            connect: kept(connect),
            settings: kept(settings),
            clock: kept(self.handle(index)),
            stop: kept(AtomicBool::new(false)),
            observer: kept(self.handle(index)),
        };
        let running = if is_unit {
            Running::Unit(Driver::new(UnitWork::new(self.unit_spec(index), SNAPSHOT_ROWS), surroundings))
        } else {
            let tables = kept(MemoryTables::new(&self.lake, self.outside(index)));
            let make = kept(|place: log::group::TopicPartition| pass_through(place.topic));
            Running::Lake(Driver::new(
                CollectWork::new(CollectSpec { make, tables, bundles: &NoBundles }),
                surroundings,
            ))
        };
        *slot.running.borrow_mut() = Some(running);
    }

    fn unit_spec(&self, index: usize) -> UnitSpec<'static> {
        let (disk, hook, this) = (self.disk.clone(), self.outside(index), self.this.clone());
        let is_done: IsDone = Rc::new(move || Handle(this.clone(), index).world().random.one_in(4));
        let snapshots = move |partition: Partition| -> Result<Box<dyn crate::Snapshots>, RunnerError> {
            let (disk, hook, is_done) = (disk.clone(), hook.clone(), is_done.clone());
            Ok(Box::new(MemorySnapshots { disk, partition, hook, is_done }))
        };
        UnitSpec { topic: INPUT, make: &Teller::make, snapshots: kept(snapshots), bundles: &NoBundles }
    }

    /// One step of a process, if it runs and is not inside a call.
    fn step(&self, index: usize) -> Result<(), String> {
        let slot = &self.slots[index];
        let Ok(mut running) = slot.running.try_borrow_mut() else { return Ok(()) };
        let result = match running.as_mut() {
            Some(Running::Unit(driver)) => driver.step(),
            Some(Running::Lake(driver)) => driver.step(),
            None => return Ok(()),
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) => {
                *running = None;
                let is_expected = slot.killed.get() || self.faults.get() && matches!(error, RunnerError::Stuck { .. });
                if is_expected { Ok(()) } else { Err(format!("{} {}: {error}", slot.group, slot.instance)) }
            }
        }
    }

    /// A process is told to stop.
    fn finish(&self, index: usize) -> Result<(), String> {
        let slot = &self.slots[index];
        let Ok(mut running) = slot.running.try_borrow_mut() else { return Ok(()) };
        let result = match running.take() {
            Some(Running::Unit(driver)) => driver.finish(),
            Some(Running::Lake(driver)) => driver.finish(),
            None => return Ok(()),
        };
        match result {
            Err(error) if !slot.killed.get() => Err(format!("{} {} stopping: {error}", slot.group, slot.instance)),
            _ => Ok(()),
        }
    }

    pub(super) fn append(&self) {
        let partition = self.random.below(u64::from(INPUT_PARTITIONS));
        let record = |_| -> Record {
            match self.random.below(12) {
                0 => routed(self.random.below(6) as u16),
                1 => control("authorize", "token_key"),
                2 => control("decode", "token_key"),
                _ => value(self.random.below(50) as i64),
            }
        };
        let records: Vec<Record> = (0..1 + self.random.below(5)).map(record).collect();
        let partition = Partition(partition as i32);
        if self.random.one_in(4) {
            // Whoever feeds the log may abort, and its markers leave gaps.
            let feeder = self.broker.producer("feeder").unwrap();
            feeder.begin().unwrap();
            feeder.send(INPUT, partition, rows(&records)).unwrap();
            let aborts = self.random.one_in(2);
            if aborts { feeder.abort() } else { feeder.commit() }.unwrap();
        } else {
            self.broker.append(INPUT, partition, rows(&records)).unwrap();
        }
    }

    /// One thing that happens.
    pub(super) fn act(&self) -> Result<(), String> {
        let index = self.random.below(self.slots.len() as u64) as usize;
        let slot = &self.slots[index];
        match self.random.below(40) {
            0 | 1 => self.append(),
            2 => self.broker.expel(slot.group, slot.instance),
            3 if self.random.one_in(4) => self.broker.time_out_transactions().map_err(|error| error.to_string())?,
            4 => *slot.running.borrow_mut() = None,
            5 => self.finish(index)?,
            6..=12 if slot.running.borrow().is_none() => {
                let is_double = index == 3 || index == 6;
                if !is_double || self.random.one_in(4) {
                    self.start(index);
                }
            }
            _ => self.step(index)?,
        }
        Ok(())
    }

    /// No more faults: one process of each unit reads to the end.
    pub(super) fn drain(&self) -> Result<(), String> {
        self.faults.set(false);
        for slot in &self.slots {
            *slot.running.borrow_mut() = None;
            self.broker.expel(slot.group, slot.instance);
        }
        self.broker.time_out_transactions().map_err(|error| error.to_string())?;
        for index in [0, 4] {
            self.start(index);
            let mut steps = 0;
            while !self.slots[index].caught_up.get() {
                self.step(index)?;
                steps += 1;
                if steps > 20_000 {
                    return Err(format!("{} does not catch up", self.slots[index].group));
                }
            }
            self.finish(index)?;
        }
        Ok(())
    }
}

pub(super) const SNAPSHOT_ROWS: i64 = 5;

/// A place of the input.
pub(super) fn input(partition: u16) -> log::group::TopicPartition {
    place(INPUT, i32::from(partition))
}
