//! Partitions that a group has left to nobody are found, and given out again.

use std::collections::BTreeSet;

use log::group::{Event, GroupLog, TopicPartition};
use log::kafka::{Admin, KafkaLog, Settings};
use schemas::Offset;

use super::{POLLS_MAX, SHARED_INPUT, SHARED_PARTITIONS, WAIT, assigned, bootstrap, instance, settings};

/// Turns of two members, a tenth of a second each, in which a gap must be found and mended: a minute. It takes two looks
/// ten seconds apart, and two rebalances of a third of a session each.
const MENDING_TURNS_MAX: usize = 600;
/// Turns in which nothing moves: longer than a rebalance.
const QUIET_TURNS: usize = 50;

/// A member with what it holds.
struct Holder {
    member: KafkaLog,
    held: BTreeSet<TopicPartition>,
}

impl Holder {
    fn connect(settings: &Settings, name: &str) -> Self {
        let member = KafkaLog::connect(&instance(settings, name), "nobody", &[SHARED_INPUT], false).unwrap();
        Self { member, held: BTreeSet::new() }
    }

    /// One event; starts and releases as it is told.
    fn turn(&mut self) {
        match self.member.next(100, WAIT / 4).unwrap() {
            Event::Assigned(new) => {
                let starts: Vec<_> = new.iter().map(|partition| (*partition, Offset(0))).collect();
                self.member.start(&starts).unwrap();
                self.held.extend(new);
            }
            Event::Revoked(gone) | Event::Lost(gone) => {
                self.member.release(&gone).unwrap();
                self.held.retain(|partition| !gone.contains(partition));
            }
            Event::Batch { .. } | Event::CaughtUp(_) | Event::Idle => {}
        }
    }
}

/// Numbers of partitions that each holds, after a turn of each. None is held by both.
fn turn(holders: &mut [Holder; 2]) -> [usize; 2] {
    holders.iter_mut().for_each(Holder::turn);
    let [first, second] = holders;
    assert!(first.held.is_disjoint(&second.held), "{:?} and {:?}", first.held, second.held);
    [first.held.len(), second.held.len()]
}

/// Two members are started again under their names while partitions are changing hands, before the first has given them
/// up: the brokers give each what that rebalance had for it, and no second round comes.
///
/// Fails without the mend: let `Caretaker::start` in pipeline/log/src/kafka/caretaker.rs start no thread, and half of the
/// partitions are nobody's for ever. Fails if the guest reads, stays, or comes again and again.
#[test]
fn a_partition_that_is_nobodys_is_given_out_again() {
    let Some(broker) = bootstrap("a_partition_that_is_nobodys_is_given_out_again") else { return };
    let settings = settings(broker, "left");
    let mut first = Holder::connect(&settings, "a");
    assert_eq!(assigned(&mut first.member).len(), usize::from(SHARED_PARTITIONS));
    let mut second = Holder::connect(&settings, "b");
    let asked_back = (0..POLLS_MAX).find_map(|_| {
        second.turn();
        if let Event::Revoked(gone) = first.member.next(10, WAIT).unwrap() { Some(gone) } else { None }
    });
    assert_eq!(asked_back.unwrap().len(), 2);
    drop((first, second));

    let mut holders = ["a", "b"].map(|name| Holder::connect(&settings, name));
    let mut numbers = [0, 0];
    for _ in 0..QUIET_TURNS {
        numbers = turn(&mut holders);
    }
    assert_eq!(numbers, [2, 0], "what the first was to give up is nobody's by now, or this test proves nothing");
    let mended = (0..MENDING_TURNS_MAX).find(|_| turn(&mut holders) == [2, 2]);
    assert!(mended.is_some(), "{:?}", holders.map(|holder| holder.held));
    for _ in 0..3 * QUIET_TURNS {
        assert_eq!(turn(&mut holders), [2, 2], "the group has come to rest");
    }
    for Holder { member, held } in &mut holders {
        let offsets: Vec<_> = held.iter().map(|partition| (*partition, Offset(0))).collect();
        member.commit(&offsets).unwrap();
    }
    let admin = Admin::connect(&settings).unwrap();
    let all: Vec<_> =
        (0..i32::from(SHARED_PARTITIONS)).map(|number| (SHARED_INPUT, schemas::Partition(number))).collect();
    assert_eq!(admin.committed("left-nobody", &all).unwrap(), vec![Some(Offset(0)); all.len()]);
}
