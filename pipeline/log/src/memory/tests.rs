use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use proptest::prelude::*;

use super::*;

const FIRST: Partition = Partition(0);
const SECOND: Partition = Partition(1);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("number", DataType::Int64, false)]))
}

fn rows(numbers: &[i64]) -> RecordBatch {
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(numbers.to_vec()))]).unwrap()
}

fn broker() -> Broker {
    let broker = Broker::default();
    broker.create_topic("payments", schema(), 2).unwrap();
    broker
}

/// Offsets and numbers that a new reader sees, and where it stands then.
fn read(broker: &Broker, partition: Partition, rows_max: usize) -> (Vec<(i64, i64)>, i64) {
    let mut reader = broker.reader("payments", partition, Offset(0)).unwrap();
    let mut seen = Vec::new();
    let mut position = 0;
    while let Some(batch) = reader.poll(rows_max).unwrap() {
        let numbers = batch.rows.column(0).as_primitive::<Int64Type>().values();
        seen.extend(batch.offsets.iter().copied().zip(numbers.iter().copied()));
        let consumed = usize::try_from(reader.position().0 - position).unwrap();
        assert!((1..=rows_max).contains(&consumed));
        position = reader.position().0;
    }
    (seen, position)
}

#[test]
fn markers_and_aborted_rows_leave_gaps() {
    let broker = broker();
    let producer = broker.producer("decode-0").unwrap();
    producer.begin().unwrap();
    assert_eq!(producer.send("payments", FIRST, rows(&[1, 2])).unwrap(), Offset(0));
    producer.commit().unwrap();
    producer.begin().unwrap();
    assert_eq!(producer.send("payments", FIRST, rows(&[3])).unwrap(), Offset(3));
    producer.abort().unwrap();
    assert_eq!(broker.append("payments", FIRST, rows(&[4])).unwrap(), Offset(5));
    for rows_max in [1, 2, 100] {
        assert_eq!(read(&broker, FIRST, rows_max), (vec![(0, 1), (1, 2), (5, 4)], 6));
    }
    assert_eq!(read(&broker, SECOND, 100), (vec![], 0), "a partition that the transaction did not write has no marker");
}

#[test]
fn readers_stop_at_the_first_open_transaction() {
    let broker = broker();
    let (slow, fast) = (broker.producer("slow").unwrap(), broker.producer("fast").unwrap());
    broker.append("payments", FIRST, rows(&[1])).unwrap();
    slow.begin().unwrap();
    slow.send("payments", FIRST, rows(&[2])).unwrap();
    fast.begin().unwrap();
    fast.send("payments", FIRST, rows(&[3])).unwrap();
    fast.commit().unwrap();
    let mut reader = broker.reader("payments", FIRST, Offset(0)).unwrap();
    assert_eq!(reader.poll(100).unwrap().unwrap().offsets, [0]);
    assert!(reader.poll(100).unwrap().is_none());
    slow.commit().unwrap();
    assert_eq!(reader.poll(100).unwrap().unwrap().offsets, [1, 2]);
    assert_eq!(reader.position(), Offset(5));
}

#[test]
fn rows_of_all_partitions_and_input_offsets_become_visible_together_or_not_at_all() {
    let broker = broker();
    let producer = broker.producer("decode-0").unwrap();
    for (commits, next) in [(false, 5), (true, 7)] {
        producer.begin().unwrap();
        producer.send("payments", FIRST, rows(&[1])).unwrap();
        producer.send("payments", SECOND, rows(&[2])).unwrap();
        producer.send_offset("decode", "transactions", FIRST, Offset(next)).unwrap();
        assert_eq!(broker.committed("decode", "transactions", FIRST), None);
        if commits { producer.commit() } else { producer.abort() }.unwrap();
    }
    assert_eq!(broker.committed("decode", "transactions", FIRST), Some(Offset(7)));
    assert_eq!(read(&broker, FIRST, 100), (vec![(2, 1)], 4));
    assert_eq!(read(&broker, SECOND, 100), (vec![(2, 2)], 4));
}

/// Fails if a taken-over transaction stays open (readers would stop there for ever) or if the old producer can still
/// commit what its successor has not seen.
#[test]
fn a_second_producer_fences_the_first_and_aborts_its_transaction() {
    let broker = broker();
    let old = broker.producer("decode-0").unwrap();
    old.begin().unwrap();
    old.send("payments", FIRST, rows(&[1])).unwrap();
    let new = broker.producer("decode-0").unwrap();
    let fenced = MemoryError::Fenced("decode-0".to_string());
    assert_eq!(old.commit(), Err(fenced.clone()));
    assert_eq!(old.send("payments", FIRST, rows(&[1])), Err(fenced.clone()));
    assert_eq!(old.begin(), Err(fenced));
    new.begin().unwrap();
    new.send("payments", FIRST, rows(&[2])).unwrap();
    new.commit().unwrap();
    assert_eq!(read(&broker, FIRST, 100).0, [(2, 2)]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let broker = broker();
    assert!(matches!(broker.create_topic("payments", schema(), 2), Err(MemoryError::TopicExists(_))));
    let beyond = broker.append("payments", Partition(2), rows(&[1]));
    assert!(matches!(beyond, Err(MemoryError::NoPartition(_, Partition(2)))));
    assert!(matches!(broker.reader("trips", FIRST, Offset(0)), Err(MemoryError::NoPartition(..))));
    let other = RecordBatch::new_empty(schemas::topics::pings());
    assert!(matches!(broker.append("payments", FIRST, other), Err(MemoryError::WrongSchema(_))));
    let producer = broker.producer("decode-0").unwrap();
    assert!(matches!(producer.commit(), Err(MemoryError::Transaction { call: "commit", .. })));
    producer.begin().unwrap();
    assert!(matches!(producer.begin(), Err(MemoryError::Transaction { call: "begin", .. })));
}

/// A step of one of two producers.
#[derive(Debug, Clone)]
enum Step {
    Send(usize, i32),
    Commit(usize),
    Abort(usize),
    Restart(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_usize, 0..2).prop_map(|(producer, partition)| Step::Send(producer, partition)),
        2 => (0..2_usize).prop_map(Step::Commit),
        1 => (0..2_usize).prop_map(Step::Abort),
        1 => (0..2_usize).prop_map(Step::Restart),
    ]
}

proptest! {
    /// Exactly the rows of committed transactions are read, in the order in which they were sent, whatever the polls.
    #[test]
    fn readers_see_what_was_committed(steps in prop::collection::vec(any_step(), 0..60), rows_max in 1..5_usize) {
        let broker = broker();
        let mut producers = ["one", "two"].map(|id| broker.producer(id).unwrap());
        let mut pending: [Vec<(Partition, i64)>; 2] = Default::default();
        let mut committed = Vec::new();
        producers.iter().for_each(|producer| producer.begin().unwrap());
        for (step, number) in steps.into_iter().chain([Step::Restart(0), Step::Restart(1)]).zip(0..) {
            let producer = match step {
                Step::Send(producer, partition) => {
                    producers[producer].send("payments", Partition(partition), rows(&[number])).unwrap();
                    pending[producer].push((Partition(partition), number));
                    continue;
                }
                Step::Commit(producer) => {
                    producers[producer].commit().unwrap();
                    committed.append(&mut pending[producer]);
                    producer
                }
                Step::Abort(producer) => {
                    producers[producer].abort().unwrap();
                    producer
                }
                Step::Restart(producer) => {
                    producers[producer] = broker.producer(["one", "two"][producer]).unwrap();
                    producer
                }
            };
            pending[producer].clear();
            producers[producer].begin().unwrap();
        }
        for partition in [FIRST, SECOND] {
            let mut expected: Vec<i64> = committed.iter().filter(|row| row.0 == partition).map(|row| row.1).collect();
            expected.sort_unstable();
            let (seen, _) = read(&broker, partition, rows_max);
            prop_assert_eq!(seen.into_iter().map(|row| row.1).collect::<Vec<_>>(), expected);
        }
    }
}
