//! The lake unit by hand: frontiers a table, places of dead letters, other processes' commits.

use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use frontier::Refusal;
use log::group::{GroupError, Remedy, TopicPartition};
use log::memory::{Broker, Call, Moment};
use schemas::topics::{self, timestamp};
use schemas::unit::{BundleSource, Control, ControlChange, Destination, Input, Output, OutputSpec, Unit, UnitError};
use schemas::{Offset, Partition};

use super::bench::{Bench, steps};
use super::units::{Lake, MemoryTables, NoBundles, letters, lines, place, table_lines, times};
use crate::group::collect::CollectWork;
use crate::group::driver::Driver;
use crate::group::{CollectSpec, destination, pass_through};
use crate::{RunnerError, TableError, Tables};

const APP: &str = "lake/dead_letters/1";

fn broker() -> Broker {
    let broker = Broker::default();
    broker.create_topic("dead_letters", topics::dead_letters_topic(), 2).unwrap();
    broker
}

/// Letters about records at these offsets of payments/4.
fn on_topic(offsets: &[i64]) -> RecordBatch {
    let counts = [("dead_letters", 1)].into();
    let route = destination("authorize", "dead_letters").unwrap();
    let rows = letters("authorize", offsets).rows;
    route.split(place("payments", 4), offsets, &rows, &counts).unwrap().remove(0).rows
}

fn with_lake<T>(bench: &Bench, tables: &mut dyn Tables, act: impl FnOnce(Driver<'_, CollectWork<'_>>) -> T) -> T {
    let mut make = |place: TopicPartition| pass_through(place.topic);
    let spec = CollectSpec { make: &mut make, tables, bundles: &NoBundles };
    bench.with(CollectWork::new(spec), "lake", &["dead_letters"], false, act)
}

fn silent(lake: &Lake) -> MemoryTables {
    MemoryTables::new(lake, Rc::new(|_| Ok(())))
}

/// Fails if a dead letter's place becomes its place on the topic of dead letters, or one without a place gets none.
#[test]
fn a_dead_letter_keeps_the_place_of_the_record_that_was_refused() {
    let bench = Bench::new(broker());
    bench.broker.append("dead_letters", Partition(1), on_topic(&[7, 3])).unwrap();
    let mut nowhere = on_topic(&[9]).columns().to_vec();
    for column in nowhere.iter_mut().skip(5) {
        *column = arrow::array::new_null_array(column.data_type(), 1);
    }
    let nowhere = RecordBatch::try_new(topics::dead_letters_topic(), nowhere).unwrap();
    bench.broker.append("dead_letters", Partition(1), nowhere).unwrap();
    let lake = Lake::default();
    let report = with_lake(&bench, &mut silent(&lake), |mut driver| {
        steps(&mut driver, 5);
        driver.finish().unwrap()
    });
    let line = |place: &str| format!("authorize|odd|state|||{place}");
    assert_eq!(
        table_lines(&lake, "dead_letters"),
        [line("payments|4|7"), line("payments|4|3"), line("dead_letters|1|2")],
        "in the order of the topic"
    );
    assert_eq!(report.rows_written["dead_letters"], 3);
    assert_eq!(lake.borrow()["dead_letters"].frontiers[APP], Offset(3));
    let schema = lake.borrow()["dead_letters"].rows[0].schema();
    assert_eq!(schema, schemas::tables::by_name("dead_letters").unwrap().schema);
}

/// Fails if every partition's rows make a commit of their own, or tables are committed although nothing was read.
#[test]
fn all_partitions_share_a_commit_and_silence_makes_none() {
    let bench = Bench::new(broker());
    for partition in [0, 1] {
        bench.broker.append("dead_letters", Partition(partition), on_topic(&[1, 2])).unwrap();
    }
    let lake = Lake::default();
    with_lake(&bench, &mut silent(&lake), |mut driver| {
        steps(&mut driver, 3);
        bench.clock.pass(1_000);
        steps(&mut driver, 1);
        assert_eq!(lake.borrow()["dead_letters"].commits, 1);
        for _ in 0..5 {
            bench.clock.pass(1_000);
            steps(&mut driver, 1);
        }
        assert_eq!(lake.borrow()["dead_letters"].commits, 1);
        driver.finish().unwrap();
    });
    let frontiers = lake.borrow()["dead_letters"].frontiers.clone();
    assert_eq!(frontiers.values().copied().collect::<Vec<_>>(), [Offset(2), Offset(2)]);
    assert_eq!(bench.broker.committed("lake", "dead_letters", Partition(1)), Some(Offset(2)));
}

/// Fails if a fenced commit ends the run, or its rows are written a second time.
#[test]
fn a_commit_that_another_process_made_is_read_from_the_table() {
    let bench = Bench::new(broker());
    bench.broker.append("dead_letters", Partition(1), on_topic(&[1, 2])).unwrap();
    let lake = Lake::default();
    let mut tables = silent(&lake);
    let mut other = silent(&lake);
    with_lake(&bench, &mut tables, |mut driver| {
        steps(&mut driver, 3);
        other.frontier("dead_letters", APP).unwrap();
        other.commit("dead_letters", &[], &[(APP.to_string(), Offset(1))]).unwrap();
        bench.clock.pass(1_000);
        steps(&mut driver, 6);
        let report = driver.finish().unwrap();
        assert_eq!(report.went_back, 1);
    });
    assert_eq!(table_lines(&lake, "dead_letters"), ["authorize|odd|state|||payments|4|2"]);
    assert_eq!(lake.borrow()["dead_letters"].frontiers[APP], Offset(2));
}

/// Fails if records that retention removed are passed over in silence.
#[test]
fn a_gap_in_the_topic_is_a_refusal() {
    let bench = Bench::new(broker());
    bench.broker.append("dead_letters", Partition(1), on_topic(&[1, 2, 3])).unwrap();
    bench.broker.trim("dead_letters", Partition(1), Offset(2));
    let lake = Lake::default();
    with_lake(&bench, &mut silent(&lake), |mut driver| {
        let error = driver.step().unwrap_err();
        assert!(error.is_refusal());
        let RunnerError::Refused(refusal) = error else { panic!("{error}") };
        assert_eq!(refusal, Refusal::RetentionPassed { needed: Offset(0), log_start: Offset(2) });
    });
}

/// Writes a table of the keys that control records named.
struct Keys;

impl Unit for Keys {
    fn name(&self) -> &'static str {
        "decode"
    }

    fn logic_version(&self) -> u32 {
        1
    }

    fn outputs(&self) -> Vec<OutputSpec> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("ingest_time", timestamp(), false),
        ]));
        vec![OutputSpec { name: "merchants", schema, destination: Destination::Table }]
    }

    fn process(&mut self, _input: &Input, _outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        panic!("every record of the topic is a control record")
    }

    fn control(&mut self, control: &Control, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        let ControlChange::Key { id, .. } = &control.change else { panic!("no bundles here") };
        let ids = Arc::new(StringArray::from(vec![id.as_str()]));
        let columns = vec![ids as _, times([Some(control.received_at_us)])];
        let rows = RecordBatch::try_new(self.outputs()[0].schema.clone(), columns).unwrap();
        outputs.push(Output { name: "merchants", offsets: vec![control.offset.0], rows });
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>, UnitError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _state: &[u8], _bundles: &dyn BundleSource) -> Result<(), UnitError> {
        Ok(())
    }
}

/// Fails if the control topic's records go to a unit of another name, or one that says nothing passes in silence.
#[test]
fn the_control_topic_reaches_the_unit_whose_name_it_bears() {
    let broker = Broker::default();
    broker.create_topic("control", topics::by_name("control").unwrap(), 1).unwrap();
    let text = |values: [Option<&str>; 3]| Arc::new(StringArray::from(values.to_vec())) as arrow::array::ArrayRef;
    let columns = vec![
        times([Some(11), Some(12), Some(13)]),
        text([Some("decode"), Some("authorize"), Some("decode")]),
        text([Some("token_key"), Some("token_key"), Some("nonsense")]),
        text([Some("v1"), Some("v2"), Some("v3")]),
        text([Some("00"), Some("00"), Some("00")]),
    ];
    let rows = RecordBatch::try_new(topics::by_name("control").unwrap(), columns).unwrap();
    broker.append("control", Partition(0), rows).unwrap();
    let (bench, lake) = (Bench::new(broker), Lake::default());
    let mut make = |_| Some(Box::new(Keys) as Box<dyn Unit>);
    let mut tables = silent(&lake);
    let spec = CollectSpec { make: &mut make, tables: &mut tables, bundles: &NoBundles };
    bench.with(CollectWork::new(spec), "lake", &["control"], false, |mut driver| {
        steps(&mut driver, 3);
        driver.finish().unwrap();
    });
    let merchants = table_lines(&lake, "merchants");
    assert_eq!(merchants.len(), 1);
    assert!(merchants[0].starts_with("v1|") && merchants[0].ends_with("|control|0|0"), "{merchants:?}");
    let letters = lake.borrow()["dead_letters"].rows.iter().flat_map(lines).collect::<Vec<_>>();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].starts_with("log|bad_control|") && letters[0].ends_with("|control|0|2"), "{letters:?}");
}

/// Tables that are fenced for ever.
struct Fenced;

impl Tables for Fenced {
    fn frontier(&mut self, _table: &str, _app_id: &str) -> Result<Option<Offset>, TableError> {
        Ok(None)
    }

    fn commit(&mut self, table: &str, _: &[RecordBatch], _: &[(String, Offset)]) -> Result<(), TableError> {
        Err(TableError { table: table.to_string(), reason: "fenced".to_string(), fenced: true })
    }

    fn refresh(&mut self) {}
}

/// Fails if failures are not counted, or counted although commits come in between.
#[test]
fn failure_after_failure_without_a_commit_ends_the_run() {
    let bench = Bench::new(broker());
    bench.broker.append("dead_letters", Partition(1), on_topic(&[1])).unwrap();
    let error = with_lake(&bench, &mut Fenced, |mut driver| {
        (0..10_000).find_map(|_| {
            bench.clock.pass(100);
            driver.step().err()
        })
    });
    assert!(matches!(error, Some(RunnerError::Stuck { failures: 13, .. })), "{error:?}");
}

/// Fails if what a lost partition had waiting is committed after all.
#[test]
fn rows_of_a_lost_partition_are_dropped() {
    let bench = Bench::new(broker());
    bench.broker.append("dead_letters", Partition(0), on_topic(&[1])).unwrap();
    let lake = Lake::default();
    with_lake(&bench, &mut silent(&lake), |mut driver| {
        steps(&mut driver, 2);
        bench.broker.expel("lake", "x");
        bench.join("lake", "y", &["dead_letters"]);
        bench.clock.pass(1_000);
        steps(&mut driver, 1);
        assert_eq!(table_lines(&lake, "dead_letters"), Vec::<String>::new());
    });
}

/// The memory member and the driver agree on how a call is retried.
#[test]
fn a_call_that_passes_by_itself_is_made_again() {
    let bench = Bench::new(broker());
    bench.broker.append("dead_letters", Partition(1), on_topic(&[1])).unwrap();
    let lake = Lake::default();
    let left = std::cell::Cell::new(3);
    bench.set_hook(move |moment| {
        if moment == Moment::Before(Call::Bounds) && left.replace(left.get().max(1) - 1) > 1 {
            let remedy = Remedy::Retry;
            return Err(GroupError { doing: "bounds".to_string(), reason: "loading".to_string(), remedy });
        }
        Ok(())
    });
    let report = with_lake(&bench, &mut silent(&lake), |mut driver| {
        steps(&mut driver, 3);
        driver.finish().unwrap()
    });
    assert_eq!((report.went_back, report.records), (0, 1));
    assert!(bench.clock.slept() > std::time::Duration::ZERO);
}
