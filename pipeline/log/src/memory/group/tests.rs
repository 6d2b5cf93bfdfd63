//! The group's rules by small cases.

use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::datatypes::{DataType, Field, Schema};

use super::*;

const TOPIC: &str = "payments";

fn rows(count: i64) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("number", DataType::Int64, false)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(0..count))]).unwrap()
}

fn broker() -> Broker {
    let broker = Broker::default();
    for topic in [TOPIC, "decisions"] {
        broker.create_topic(topic, rows(0).schema(), 2).unwrap();
    }
    broker
}

fn join(broker: &Broker, instance: &str) -> MemoryMember {
    let (group, instance) = ("authorize".to_string(), instance.to_string());
    let who = Membership { group, instance, topics: vec![TOPIC], outputs: true, expelled: Remedy::Abort };
    MemoryMember::connect(broker, who, Box::new(|_| Ok(()))).unwrap()
}

fn next(member: &mut MemoryMember) -> Event {
    member.next(10, Duration::ZERO).unwrap()
}

fn place(partition: i32) -> TopicPartition {
    TopicPartition { topic: TOPIC, partition: Partition(partition) }
}

#[test]
fn partitions_move_one_by_one_and_wait_for_their_release() {
    let broker = broker();
    let (mut first, both) = (join(&broker, "a"), vec![place(0), place(1)]);
    assert_eq!(next(&mut first), Event::Assigned(both.clone()));
    let mut second = join(&broker, "b");
    assert_eq!(next(&mut second), Event::Idle, "the first has not released it");
    assert_eq!(next(&mut first), Event::Revoked(vec![place(1)]));
    assert_eq!(next(&mut second), Event::Idle);
    first.release(&[place(1)]).unwrap();
    assert_eq!(next(&mut second), Event::Assigned(vec![place(1)]));
    assert_eq!(next(&mut first), Event::Idle, "it keeps the other without a word");
    broker.expel("authorize", "b");
    assert_eq!(next(&mut first), Event::Assigned(vec![place(1)]));
    assert_eq!(next(&mut second), Event::Lost(vec![place(1)]));
}

#[test]
fn a_batch_ends_at_its_last_record_and_the_end_is_told_once() {
    let broker = broker();
    let feeder = broker.producer("feeder").unwrap();
    feeder.begin().unwrap();
    feeder.send(TOPIC, Partition(0), rows(3)).unwrap();
    feeder.commit().unwrap();
    let mut member = join(&broker, "a");
    assert_eq!(next(&mut member), Event::Assigned(vec![place(0), place(1)]));
    assert_eq!(next(&mut member), Event::Idle, "nothing is read before the start");
    member.start(&[(place(0), Offset(1))]).unwrap();
    let Event::Batch { partition, batch, next: end } = next(&mut member) else { panic!("a batch") };
    assert_eq!((partition, batch.offsets, end), (place(0), vec![1, 2], Offset(3)));
    assert_eq!(next(&mut member), Event::Idle, "the marker is no record");
    assert_eq!(next(&mut member), Event::CaughtUp(place(0)));
    assert_eq!(next(&mut member), Event::Idle);
    member.start(&[(place(0), Offset(2))]).unwrap();
    assert!(matches!(next(&mut member), Event::Batch { next: Offset(3), .. }));
    assert_eq!(member.start(&[(place(0), Offset(5))]).unwrap_err().remedy, Remedy::Stop);
}

fn visible(broker: &Broker) -> usize {
    let mut reader = broker.reader("decisions", Partition(0), Offset(0)).unwrap();
    std::iter::from_fn(|| reader.poll(100).unwrap()).map(|batch| batch.offsets.len()).sum()
}

/// Fails if a commit is not fenced by the generation, or by membership.
#[test]
fn a_member_that_lost_its_place_commits_nothing() {
    let broker = broker();
    broker.append(TOPIC, Partition(0), rows(3)).unwrap();
    let mut zombie = join(&broker, "a");
    next(&mut zombie);
    zombie.send("decisions", Partition(0), &rows(2)).unwrap();
    broker.expel("authorize", "a");
    assert_eq!(zombie.commit(&[(place(0), Offset(3))]).unwrap_err().remedy, Remedy::Abort);
    zombie.abort().unwrap();
    assert_eq!((visible(&broker), zombie.committed(place(0)).unwrap()), (0, None));

    assert!(matches!(next(&mut zombie), Event::Lost(_)));
    zombie.release(&[place(0), place(1)]).unwrap();
    assert!(matches!(next(&mut zombie), Event::Assigned(_)), "it has joined again");
    zombie.send("decisions", Partition(0), &rows(2)).unwrap();
    let _other = join(&broker, "b");
    assert_eq!(zombie.commit(&[(place(0), Offset(3))]).unwrap_err().remedy, Remedy::Abort, "another generation");
    zombie.abort().unwrap();
    assert_eq!(next(&mut zombie), Event::Revoked(vec![place(1)]));
    zombie.send("decisions", Partition(0), &rows(2)).unwrap();
    zombie.commit(&[(place(0), Offset(3))]).unwrap();
    assert_eq!((visible(&broker), zombie.committed(place(0)).unwrap()), (2, Some(Offset(3))));
}

/// Fails if a name's new holder does not fence the old one, or the group notices the change.
#[test]
fn a_static_name_is_taken_over_without_a_rebalance() {
    let broker = broker();
    let mut old = join(&broker, "a");
    next(&mut old);
    old.send("decisions", Partition(0), &rows(2)).unwrap();
    let mut new = join(&broker, "a");
    assert_eq!(next(&mut new), Event::Assigned(vec![place(0), place(1)]));
    assert_eq!(old.next(1, Duration::ZERO).unwrap_err().remedy, Remedy::Rebuild);
    assert_eq!(old.commit(&[]).unwrap_err().remedy, Remedy::Rebuild);
    assert_eq!(visible(&broker), 0);
}

/// Fails if offsets are told that an open transaction may still change, or a timed-out one stays open.
#[test]
fn offsets_in_an_open_transaction_are_waited_for() {
    let broker = broker();
    let (group, instance) = ("authorize".to_string(), "a".to_string());
    let who = Membership { group, instance, topics: vec![TOPIC], outputs: true, expelled: Remedy::Abort };
    let inside = |moment| match moment {
        Moment::InsideCommit => Err(failed("commit", "the answer is late", Remedy::Rebuild)),
        _ => Ok(()),
    };
    let mut slow = MemoryMember::connect(&broker, who, Box::new(inside)).unwrap();
    next(&mut slow);
    slow.send("decisions", Partition(0), &rows(2)).unwrap();
    assert!(slow.commit(&[(place(0), Offset(1))]).is_err());
    assert_eq!(slow.committed(place(0)).unwrap_err().remedy, Remedy::Retry);
    broker.time_out_transactions().unwrap();
    assert_eq!(slow.committed(place(0)), Ok(None));
    assert_eq!(slow.abort().unwrap_err().remedy, Remedy::Rebuild);
    assert_eq!(visible(&broker), 0);
}
