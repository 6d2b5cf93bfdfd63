//! Whatever happens to processes: topics hold exactly the fold of the input, tables exactly the fold of the topics.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use log::group::TopicPartition;
use log::{LogBatch, LogReader};
use schemas::tables::{SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TOPIC};
use schemas::{Offset, Partition};

use super::chaos::{COLLECTED, INPUT_PARTITIONS, OUTPUT_PARTITIONS, World, input};
use super::units::{INPUT, NoBundles, Teller, lines, place, source_names, table_lines};
use crate::group::fold_partition;
use crate::group::planted::{Bug, PLANTED};

/// Acts of one schedule.
const ACTS: u32 = 150;
/// Schedules of a plain test run; the variable asks for another number.
const SCHEDULES: u64 = 300;
const SCHEDULES_VARIABLE: &str = "TILL_SCHEDULES";
/// A planted mistake must be found within so many.
const SCHEDULES_TO_FIND_MAX: u64 = 1_000;

/// All that a topic's partition holds.
fn read_all(world: &World, at: TopicPartition) -> Vec<LogBatch> {
    let mut reader = world.broker.reader(at.topic, at.partition, Offset(0)).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = reader.poll(1_000).unwrap() {
        batches.push(batch);
    }
    batches
}

/// Lines of an output partition by the input partition that they came from.
fn by_input(topic: &str, rows: &RecordBatch) -> BTreeMap<i32, Vec<String>> {
    let mut lines_by_input: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    let lines = lines(rows);
    for (row, line) in lines.into_iter().enumerate() {
        let source = match topic {
            "labels" => {
                let label = rows.column_by_name("label").unwrap().as_string::<i32>().value(row).to_string();
                // Labels of control records do not say it; those are compared by the rest of the lines.
                label.strip_prefix('p').and_then(|rest| rest.split('@').next()?.parse().ok()).unwrap_or(-1)
            }
            _ => rows.column_by_name(SOURCE_PARTITION).unwrap().as_primitive::<Int32Type>().value(row),
        };
        lines_by_input.entry(source).or_default().push(line);
    }
    // Rows of several inputs mix in an order that no promise is made about.
    lines_by_input.entry(-1).or_default().sort();
    lines_by_input
}

/// Each topic holds the fold of each input partition.
fn check_topics(world: &World) -> Result<(), String> {
    let count = |topic: &str| if topic == INPUT { INPUT_PARTITIONS } else { OUTPUT_PARTITIONS };
    let mut expected: BTreeMap<(&str, Partition), BTreeMap<i32, Vec<String>>> = BTreeMap::new();
    for partition in 0..INPUT_PARTITIONS {
        let at = input(partition);
        let made = fold_partition(Teller::make(), at, read_all(world, at), &NoBundles, &count).unwrap();
        for ((topic, output), rows) in made {
            for (source, lines) in by_input(topic, &rows) {
                expected.entry((topic, output)).or_default().entry(source).or_default().extend(lines);
            }
        }
    }
    for topic in COLLECTED {
        for partition in 0..i32::from(OUTPUT_PARTITIONS) {
            let at = place(topic, partition);
            let mut found: BTreeMap<i32, Vec<String>> = BTreeMap::new();
            for batch in read_all(world, at) {
                for (source, lines) in by_input(topic, &batch.rows) {
                    found.entry(source).or_default().extend(lines);
                }
            }
            let mut wanted = expected.remove(&(topic, at.partition)).unwrap_or_default();
            for side in [&mut found, &mut wanted] {
                side.entry(-1).or_default().sort();
            }
            compare(&format!("{at}"), &found, &wanted)?;
        }
    }
    Ok(())
}

fn compare<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what}\n found {found:?}\nwanted {wanted:?}")) }
}

/// Each table holds each record of its topic once, with its place.
fn check_tables(world: &World) -> Result<(), String> {
    for topic in COLLECTED {
        let mut wanted = Vec::new();
        for partition in 0..i32::from(OUTPUT_PARTITIONS) {
            for batch in read_all(world, place(topic, partition)) {
                let places = batch.offsets.iter().map(|offset| format!("|{topic}|{partition}|{offset}"));
                // Dead letters bring along the place of the record that was refused.
                let places = places.map(|place| if topic == "dead_letters" { String::new() } else { place });
                wanted.extend(lines(&batch.rows).into_iter().zip(places).map(|(line, place)| line + &place));
            }
        }
        let mut found = table_lines(&world.lake, topic);
        found.sort();
        wanted.sort();
        compare(&format!("table {topic}"), &found, &wanted)?;
    }
    check_order(world)
}

/// Rows of one partition lie in a table in the order of their offsets.
fn check_order(world: &World) -> Result<(), String> {
    let lake = world.lake.borrow();
    let mut last: BTreeMap<(String, i32), i64> = BTreeMap::new();
    for rows in lake.get("labels").into_iter().flat_map(|stored| &stored.rows) {
        assert_eq!(rows.num_columns(), 6 + source_names().len());
        let column = |name| rows.column_by_name(name).unwrap();
        for row in 0..rows.num_rows() {
            let topic = column(SOURCE_TOPIC).as_string::<i32>().value(row).to_string();
            let partition = column(SOURCE_PARTITION).as_primitive::<Int32Type>().value(row);
            let offset = column(SOURCE_OFFSET).as_primitive::<Int64Type>().value(row);
            let before = last.insert((topic, partition), offset);
            if before.is_some_and(|before| before >= offset) {
                return Err(format!("labels of partition {partition}: offset {offset} after {before:?}"));
            }
        }
    }
    Ok(())
}

fn play(seed: u64) -> Result<(), String> {
    let world = World::new(seed);
    for _ in 0..8 {
        world.append();
    }
    for _ in 0..ACTS {
        world.act()?;
    }
    world.drain()?;
    check_topics(&world)?;
    check_tables(&world)
}

/// A schedule's verdict; a panic of the code under test is one too.
fn run_schedule(seed: u64) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| play(seed))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_string())).unwrap_or_default())
    })
}

/// Fails if any rule of the drivers is left out; the tests below do that on purpose. A failing seed fails alone:
/// `run_schedule(seed)`.
#[test]
fn schedules_lose_and_double_nothing() {
    let asked = std::env::var(SCHEDULES_VARIABLE).ok().and_then(|count| count.parse().ok());
    for seed in 0..asked.unwrap_or(SCHEDULES) {
        if let Err(failure) = run_schedule(seed) {
            panic!("schedule {seed}: {failure}");
        }
    }
    // A few that nobody has seen; the number in the message repeats one.
    let base = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    for seed in (0..20).map(|number| base.wrapping_add(number)) {
        if let Err(failure) = run_schedule(seed) {
            panic!("random schedule {seed}: {failure}");
        }
    }
}

/// Finds a planted mistake.
fn find(bug: Bug) {
    PLANTED.set(Some(bug));
    let found = (0..SCHEDULES_TO_FIND_MAX).find_map(|seed| run_schedule(seed).err().map(|failure| (seed, failure)));
    PLANTED.set(None);
    let (seed, failure) = found.unwrap_or_else(|| panic!("{bug:?} is not found in {SCHEDULES_TO_FIND_MAX} schedules"));
    eprintln!("{bug:?} found by schedule {seed}: {}", failure.lines().next().unwrap_or_default());
}

#[test]
fn a_replay_that_writes_again_is_found() {
    find(Bug::SuppressNothing);
}

#[test]
fn a_transaction_that_keeps_what_was_lost_is_found() {
    find(Bug::KeepLost);
}

#[test]
fn a_lake_that_starts_ahead_of_a_table_is_found() {
    find(Bug::StartAhead);
}
