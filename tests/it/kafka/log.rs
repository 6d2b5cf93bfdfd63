//! The members, producers and questions of `log::kafka` against a real broker. Each test has a group of its own and,
//! of the topics that they share, partitions of its own.

mod members;
mod nobody;
mod outages;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::DataType;
use log::LogBatch;
use log::group::{Event, GroupError, GroupLog, Remedy, TopicPartition};
use log::kafka::{Admin, Feeder, KafkaLog, Settings};
use schemas::{Offset, Partition};

/// Input of most tests: each takes one partition.
const INPUT: &str = "pings";
/// Input of the tests about rebalances, which need a topic alone.
const SHARED_INPUT: &str = "trips";
const OUTPUT: &str = "labels";
const PARTITIONS: u16 = 16;
const SHARED_PARTITIONS: u16 = 4;
const WAIT: Duration = Duration::from_millis(200);
/// Polls after which a test gives up: 30 s at [`WAIT`].
const POLLS_MAX: usize = 150;
const FLUSH: Duration = Duration::from_secs(10);

/// Address of the broker with the topics of these tests.
fn bootstrap(test: &str) -> Option<&'static str> {
    static MADE: OnceLock<()> = OnceLock::new();
    let address = xtask::kafka::shared(test)?.bootstrap();
    MADE.get_or_init(|| make_topics(address));
    Some(address)
}

fn make_topics(bootstrap: &str) {
    let admin = Admin::connect(&settings(bootstrap, "topics")).unwrap();
    let configs = [("message.timestamp.type", "LogAppendTime"), ("retention.ms", "-1")];
    for (topic, count) in [(INPUT, PARTITIONS), (OUTPUT, PARTITIONS), (SHARED_INPUT, SHARED_PARTITIONS)] {
        admin.create_topic(topic, count, 1, &configs).unwrap();
    }
}

fn settings(bootstrap: &str, group: &str) -> Settings {
    Settings {
        brokers: bootstrap.to_string(),
        prefix: group.to_string(),
        topic_prefix: "log-tests.".to_string(),
        session_timeout: Duration::from_secs(6),
        ..Settings::default()
    }
}

fn instance(settings: &Settings, name: &str) -> Settings {
    Settings { instance: name.to_string(), ..settings.clone() }
}

fn place(topic: &'static str, partition: i32) -> TopicPartition {
    TopicPartition { topic, partition: Partition(partition) }
}

/// Appends records `first..first + count` to a partition.
fn feed(settings: &Settings, at: TopicPartition, first: usize, count: usize) {
    let feeder = Feeder::connect(settings).unwrap();
    for number in first..first + count {
        let payload =
            format!(r#"{{"device_id":"d{number}","lat":1.5,"lon":2.5,"time":"2026-01-01T00:00:00.000000Z"}}"#);
        feeder.send(at.topic, at.partition, Some(b"key"), payload.as_bytes()).unwrap();
    }
    feeder.flush(FLUSH).unwrap();
}

/// Rows of the output topic: these numbers as payment ids.
fn rows(numbers: std::ops::Range<usize>) -> RecordBatch {
    let schema = schemas::topics::labels();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.data_type() {
            DataType::Utf8 => {
                Arc::new(StringArray::from_iter_values(numbers.clone().map(|number| format!("p{number}"))))
            }
            _ => Arc::new(TimestampMicrosecondArray::from(vec![0; numbers.len()]).with_timezone("UTC")),
        }
    });
    let columns = columns.collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

fn offsets(batch: &LogBatch) -> Vec<i64> {
    let mut all = batch.offsets.clone();
    all.extend(batch.rejects.iter().map(|reject| reject.offset.0));
    all.sort_unstable();
    all
}

/// Polls until partitions come.
fn assigned(member: &mut KafkaLog) -> Vec<TopicPartition> {
    for _ in 0..POLLS_MAX {
        match member.next(100, WAIT).unwrap() {
            Event::Assigned(partitions) => return partitions,
            Event::Idle => {}
            other => panic!("{other:?} before an assignment"),
        }
    }
    panic!("no assignment came");
}

/// Reads to the end of the partition; offsets in the order in which they came.
fn read(member: &mut KafkaLog, at: TopicPartition) -> Vec<i64> {
    let mut seen = Vec::new();
    for _ in 0..POLLS_MAX {
        match member.next(100, WAIT).unwrap() {
            Event::Batch { partition, batch, next } => {
                assert_eq!(partition, at);
                seen.extend(offsets(&batch));
                assert_eq!(seen.last().map(|last| last + 1), Some(next.0));
            }
            Event::CaughtUp(partition) => {
                assert_eq!(partition, at);
                return seen;
            }
            Event::Idle => {}
            other => panic!("{other:?} while reading"),
        }
    }
    panic!("the end of {at} did not come; read {seen:?}");
}

/// A member without outputs that reads one partition from an offset on.
fn reader(settings: &Settings, at: TopicPartition, from: i64) -> KafkaLog {
    let mut member = KafkaLog::connect(settings, "reader", &[at.topic], false).unwrap();
    assigned(&mut member);
    member.start(&[(at, Offset(from))]).unwrap();
    member
}

/// A member that may write and reads one partition from its start.
fn writer(settings: &Settings, at: TopicPartition) -> KafkaLog {
    let mut member = KafkaLog::connect(settings, "writer", &[at.topic], true).unwrap();
    assigned(&mut member);
    member.start(&[(at, Offset(0))]).unwrap();
    member
}

fn remedy<T: std::fmt::Debug>(result: Result<T, GroupError>) -> Remedy {
    result.unwrap_err().remedy
}

#[test]
fn reading_goes_on_where_the_group_committed() {
    let Some(broker) = bootstrap("reading_goes_on_where_the_group_committed") else { return };
    let settings = settings(broker, "commit");
    let at = place(INPUT, 0);
    feed(&settings, at, 0, 250);
    let mut member = reader(&settings, at, 0);
    assert_eq!(member.committed(at).unwrap(), None);
    assert_eq!(member.partition_count(INPUT).unwrap(), PARTITIONS);
    assert_eq!(read(&mut member, at), (0..250).collect::<Vec<_>>());
    member.commit(&[(at, Offset(200))]).unwrap();
    assert_eq!(member.committed(at).unwrap(), Some(Offset(200)));
    drop(member);

    let mut member = KafkaLog::connect(&settings, "reader", &[INPUT], false).unwrap();
    assert_eq!(assigned(&mut member).len(), usize::from(PARTITIONS));
    let from = member.committed(at).unwrap().unwrap();
    member.start(&[(at, from)]).unwrap();
    assert_eq!(read(&mut member, at), (200..250).collect::<Vec<_>>());
    let bounds = member.bounds(at).unwrap();
    assert_eq!((bounds.start, bounds.end), (Offset(0), Offset(250)));
    let admin = Admin::connect(&settings).unwrap();
    let asked = [(INPUT, at.partition), (INPUT, Partition(1))];
    assert_eq!(admin.committed("commit-reader", &asked).unwrap(), vec![Some(Offset(200)), None]);
}

/// Rows carry the broker's time, and a record is decoded from its payload.
#[test]
fn a_batch_holds_rows_and_rejects_with_the_brokers_time() {
    let Some(broker) = bootstrap("a_batch_holds_rows_and_rejects_with_the_brokers_time") else { return };
    let settings = settings(broker, "batch");
    let at = place(INPUT, 1);
    feed(&settings, at, 7, 1);
    let feeder = Feeder::connect(&settings).unwrap();
    feeder.send(INPUT, at.partition, None, b"no record").unwrap();
    feeder.send(INPUT, at.partition, None, b"").unwrap();
    feeder.flush(FLUSH).unwrap();
    let mut member = reader(&settings, at, 0);
    let mut events = Vec::new();
    while !matches!(events.last(), Some(Event::CaughtUp(_))) {
        assert!(events.len() < POLLS_MAX);
        events.push(member.next(100, WAIT).unwrap());
    }
    let mut batches = Vec::new();
    for event in events {
        if let Event::Batch { batch, .. } = event {
            batches.push(batch);
        }
    }
    let rejected: usize = batches.iter().map(|batch| batch.rejects.len()).sum();
    let with_rows = batches.iter().find(|batch| batch.rows.num_rows() > 0).unwrap();
    let devices = with_rows.rows.column_by_name("device_id").unwrap().as_string::<i32>();
    assert_eq!((devices.value(0), rejected), ("d7", 2));
    assert!(with_rows.appended_us[0] > 1_700_000_000_000_000, "{:?}", with_rows.appended_us);
}

/// Fails when the consumer reads uncommitted records, or when the end of a partition were told by offsets: the last
/// ones are an aborted transaction's and markers.
#[test]
fn aborted_rows_stay_hidden_and_the_end_is_told_behind_them() {
    let Some(broker) = bootstrap("aborted_rows_stay_hidden_and_the_end_is_told_behind_them") else { return };
    let settings = settings(broker, "abort");
    let (input, output) = (place(INPUT, 2), place(OUTPUT, 2));
    feed(&settings, input, 0, 3);
    let mut member = writer(&settings, input);
    read(&mut member, input);
    member.send(OUTPUT, output.partition, &rows(0..10)).unwrap();
    member.commit(&[(input, Offset(2))]).unwrap();
    assert_eq!(member.committed(input).unwrap(), Some(Offset(2)));
    member.send(OUTPUT, output.partition, &rows(10..20)).unwrap();
    // Long enough that the records are on the broker before they are dropped.
    std::thread::sleep(WAIT);
    member.abort().unwrap();
    member.abort().unwrap();
    member.commit(&[(input, Offset(3))]).unwrap();
    assert_eq!(member.committed(input).unwrap(), Some(Offset(3)));

    let admin = Admin::connect(&settings).unwrap();
    let end = admin.bounds(OUTPUT, output.partition).unwrap().end;
    assert!(end > Offset(20), "{end}");
    assert!(admin.has_records_after(OUTPUT, output.partition, Offset(9)).unwrap());
    assert!(!admin.has_records_after(OUTPUT, output.partition, Offset(10)).unwrap());
    let mut other = reader(&settings, output, 0);
    assert_eq!(read(&mut other, output), (0..10).collect::<Vec<_>>());
}

/// Fails when `bounds` asks for the end of all records instead of that of the committed ones.
#[test]
fn an_open_transaction_is_not_seen() {
    let Some(broker) = bootstrap("an_open_transaction_is_not_seen") else { return };
    let settings = settings(broker, "open");
    let (input, output) = (place(INPUT, 3), place(OUTPUT, 3));
    let mut member = writer(&settings, input);
    member.send(OUTPUT, output.partition, &rows(0..5)).unwrap();
    std::thread::sleep(WAIT);
    let admin = Admin::connect(&settings).unwrap();
    assert_eq!(admin.bounds(OUTPUT, output.partition).unwrap().end, Offset(0));
    assert!(!admin.has_records_after(OUTPUT, output.partition, Offset(0)).unwrap());
    member.commit(&[]).unwrap();
    assert!(admin.has_records_after(OUTPUT, output.partition, Offset(0)).unwrap());
}

/// Fails when a started partition is not sought but only relabelled: records that were fetched ahead come first.
#[test]
fn starting_again_drops_what_was_fetched_ahead() {
    let Some(broker) = bootstrap("starting_again_drops_what_was_fetched_ahead") else { return };
    let settings = settings(broker, "again");
    let at = place(INPUT, 4);
    feed(&settings, at, 0, 1_000);
    let mut member = reader(&settings, at, 999);
    // At once, while the client is still setting the partition up.
    member.start(&[(at, Offset(0))]).unwrap();
    let first = loop {
        if let Event::Batch { next, .. } = member.next(10, WAIT).unwrap() {
            break next;
        }
    };
    assert_eq!(first, Offset(10));
    // By the first statistics the client holds the rest.
    let behind = (0..POLLS_MAX).find_map(|_| {
        std::thread::sleep(WAIT);
        let Event::Batch { next, .. } = member.next(1, WAIT).unwrap() else { return None };
        let (partition, lag) = member.lag().first().copied()?;
        Some((partition, lag + next.0))
    });
    assert_eq!(behind, Some((at, 1_000)));
    for from in [3, 990, 0, 500] {
        member.start(&[(at, Offset(from))]).unwrap();
        assert_eq!(read(&mut member, at), (from..1_000).collect::<Vec<_>>());
    }
    member.release(&[at]).unwrap();
    assert!(matches!(member.next(10, WAIT), Ok(Event::Idle)));
    member.start(&[(at, Offset(998))]).unwrap();
    member.start(&[(at, Offset(997))]).unwrap();
    assert_eq!(read(&mut member, at), vec![997, 998, 999]);
}

/// Fails when an offset outside of the log resets to another one: records would be lost or doubled in silence.
#[test]
fn an_offset_that_the_log_does_not_hold_stops() {
    let Some(broker) = bootstrap("an_offset_that_the_log_does_not_hold_stops") else { return };
    let settings = settings(broker, "range");
    let at = place(INPUT, 5);
    feed(&settings, at, 0, 5);
    let mut member = reader(&settings, at, 1_000);
    let error = (0..POLLS_MAX).find_map(|_| member.next(10, WAIT).err()).unwrap();
    assert_eq!(error.remedy, Remedy::Refuse);
    assert!(error.to_string().contains("pings/5"), "{error}");
}

#[test]
fn brokers_that_cannot_be_reached_are_told_soon() {
    let settings = Settings { brokers: "127.0.0.1:1".to_string(), ..Settings::default() };
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(KafkaLog::connect(&settings, "reader", &[INPUT], true).err()).ok());
    let error = told.recv_timeout(Duration::from_secs(12)).unwrap().unwrap();
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn a_topic_that_is_not_there_stops() {
    let Some(broker) = bootstrap("a_topic_that_is_not_there_stops") else { return };
    let error = KafkaLog::connect(&settings(broker, "missing"), "reader", &["fares"], false).err().unwrap();
    assert_eq!(error.remedy, Remedy::Stop);
    assert!(error.to_string().contains("topic fares"), "{error}");
}

#[test]
fn topics_are_made_once_and_described() {
    let Some(broker) = bootstrap("topics_are_made_once_and_described") else { return };
    let admin = Admin::connect(&settings(broker, "admin")).unwrap();
    let configs = [("retention.ms", "600000"), ("message.timestamp.type", "LogAppendTime")];
    assert!(admin.create_topic("decisions", 3, 1, &configs).unwrap());
    assert!(!admin.create_topic("decisions", 5, 1, &[]).unwrap());
    assert_eq!(admin.topics().unwrap()["decisions"].partitions, 3);
    assert!(!admin.topics().unwrap().keys().any(|name| name.starts_with("__")));
    let found = admin.describe_configs("decisions").unwrap();
    assert_eq!(found.get("retention.ms").map(String::as_str), Some("600000"));
    assert_eq!(remedy(admin.create_topic("no spaces", 1, 1, &[])), Remedy::Stop);
}
