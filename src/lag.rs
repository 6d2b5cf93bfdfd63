//! `till lag`: how far each unit is behind its input, and whether it has caught up.
//!
//! Caught up means that no readable record lies at or after the committed offset, which only reading can tell: offsets
//! have gaps where transactions ended, so a difference of offsets is no number of records; and that no transaction is
//! open there, behind which more may come to light. Units are asked in the order
//! of the flow: what a unit that has caught up has written is there when the next one is asked, so one pass over all of
//! them says whether everything has come to rest.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use clap::Args;
use comfy_table::CellAlignment;
use lake::Lake;
use log::group::TopicPartition;
use log::kafka::{Admin, Settings};
use schemas::{Offset, Partition};
use serde::Serialize;

use crate::config::{BrokerFlags, Config, LakeFlags, StateFlags};
use crate::failure::Failure;
use crate::kafka::UNIT_INPUTS;
use crate::wiring::{existing_lake, start_runtime};
use crate::{clock, kafka, output};

/// The lake's topics in the order of the flow, each with the tables whose frontiers say how far it has come.
const LAKE_TABLES: [(&str, &[&str]); 11] = [
    ("control", &["merchants", "readers", "couriers", "dead_letters"]),
    ("pings", &["pings", "ping_ticks", "dead_letters"]),
    ("payments", &["payments"]),
    ("decisions", &["decisions", "dead_letters"]),
    ("alerts", &["alerts", "dead_letters"]),
    ("labels", &["labels", "dead_letters"]),
    ("ping_faults", &["ping_faults", "dead_letters"]),
    ("stops", &["stops", "dead_letters"]),
    ("trips", &["trips", "dead_letters"]),
    ("vehicles", &["vehicles", "dead_letters"]),
    ("dead_letters", &["dead_letters"]),
];
const LAKE: &str = "lake";
/// Between two passes while waiting.
const PAUSE: Duration = Duration::from_millis(500);
const MICROSECONDS_A_SECOND: i64 = 1_000_000;

/// Show how far each unit is behind its input; exit code 4 while one of them is.
#[derive(Args)]
#[command(
    after_help = "Records left are counted in offsets, of which some hold no record: caught up is what was read \
    to the end, whatever they say."
)]
pub struct LagArgs {
    /// Wait up to so many seconds until every unit has caught up.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u32>,
    /// Show every partition, not one line for all of a topic.
    #[arg(long)]
    partitions: bool,
    /// One JSON document, with every partition.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    brokers: BrokerFlags,
    #[command(flatten)]
    lake: LakeFlags,
}

/// Where a unit stands in one partition of its input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Standing {
    unit: &'static str,
    topic: &'static str,
    partition: Partition,
    /// Next offset to read; `None` where nothing was ever committed.
    committed: Option<Offset>,
    /// End of what readers of committed records may see.
    end: Offset,
    /// Offsets between the two, at most so many records.
    offsets_left: i64,
    caught_up: bool,
}

/// Runs the command.
pub fn run(args: &LagArgs) -> Result<(), Failure> {
    let config = Config::resolve_with(&args.lake, &StateFlags::default(), &args.brokers)?;
    let settings = kafka::settings(&config, "lag")?;
    let admin = Admin::connect(&settings)?;
    let runtime = start_runtime()?;
    let lake = existing_lake(&config, &runtime)?;
    let give_up_us = clock::now_us() + i64::from(args.wait.unwrap_or_default()) * MICROSECONDS_A_SECOND;
    let standings = loop {
        // While it waits brokers may be away for a moment.
        let standings = match (pass(&settings, &admin, lake.as_ref()), clock::now_us() >= give_up_us) {
            (Err(_), false) => Vec::new(),
            (standings, _) => standings?,
        };
        let is_over = !standings.is_empty() && standings.iter().all(|standing| standing.caught_up);
        if is_over || clock::now_us() >= give_up_us {
            break standings;
        }
        thread::sleep(PAUSE);
    };
    if args.json {
        output::print_json(&standings)?;
    } else if args.partitions {
        print_partitions(&standings)?;
    } else {
        print_topics(&standings)?;
    }
    match standings.iter().filter(|standing| !standing.caught_up).count() {
        0 => Ok(()),
        behind => Err(Failure::findings(format!("{behind} of {} partitions are behind", standings.len()))
            .with_help("they catch up while their unit runs; --wait waits for it")),
    }
}

/// Asks every unit once, in the order of the flow.
fn pass(settings: &Settings, admin: &Admin, lake: Option<&Lake>) -> Result<Vec<Standing>, Failure> {
    let counts = admin.topics()?;
    let partitions = |topic: &'static str| {
        let count = counts.get(topic).map_or(0, |counts| counts.partitions);
        (0..i32::from(count)).map(move |number| TopicPartition { topic, partition: Partition(number) })
    };
    let mut standings = Vec::new();
    for (unit, topic) in UNIT_INPUTS {
        let partitions: Vec<TopicPartition> = partitions(topic).collect();
        let places: Vec<_> = partitions.iter().map(|of| (of.topic, of.partition)).collect();
        let committed = admin.committed(&settings.group(unit), &places)?;
        for (partition, committed) in partitions.into_iter().zip(committed) {
            standings.push(standing(admin, unit, partition, committed)?);
        }
    }
    for (topic, tables) in LAKE_TABLES {
        let partitions: Vec<TopicPartition> = partitions(topic).collect();
        let frontiers = lake.map_or_else(|| Ok(BTreeMap::new()), |lake| least(lake, tables, &partitions))?;
        for partition in partitions {
            standings.push(standing(admin, LAKE, partition, frontiers.get(&partition).copied())?);
        }
    }
    Ok(standings)
}

fn standing(
    admin: &Admin,
    unit: &'static str,
    of: TopicPartition,
    committed: Option<Offset>,
) -> Result<Standing, Failure> {
    let TopicPartition { topic, partition } = of;
    // First: what an open transaction hides comes to light when it ends.
    let is_open = admin.has_open_transaction(topic, partition)?;
    let bounds = admin.bounds(topic, partition)?;
    let from = committed.unwrap_or_default().max(bounds.start);
    // Below the end there may be nothing but ends of transactions.
    let is_at_end = from >= bounds.end || !admin.has_records_after(topic, partition, from)?;
    let caught_up = is_at_end && !is_open;
    let offsets_left = if caught_up { 0 } else { bounds.end.0 - from.0 };
    Ok(Standing { unit, topic, partition, committed, end: bounds.end, offsets_left, caught_up })
}

/// Where the lake stands in each partition of a topic: the least frontier of the tables that it fills from it. A
/// partition that one of them never heard of is left out.
fn least(
    lake: &Lake,
    tables: &[&str],
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, Offset>, Failure> {
    let app_id = |partition: &TopicPartition| format!("{LAKE}/{partition}");
    let app_ids: Vec<String> = partitions.iter().map(app_id).collect();
    let mut frontiers: BTreeMap<TopicPartition, Offset> =
        partitions.iter().map(|partition| (*partition, Offset(i64::MAX))).collect();
    for table in tables {
        let spec = schemas::tables::by_name(table).expect("the lake's tables are among those of the schemas");
        let found = lake.inspect(&spec, &app_ids)?.map(|table| table.frontiers).unwrap_or_default();
        frontiers.retain(|partition, least| match found.get(&app_id(partition)) {
            Some(frontier) => {
                *least = (*least).min(*frontier);
                true
            }
            None => false,
        });
    }
    Ok(frontiers)
}

fn print_topics(standings: &[Standing]) -> Result<(), Failure> {
    let mut table = output::table(["unit", "topic", "partitions", "left", ""]);
    let same = |left: &Standing, right: &Standing| (left.unit, left.topic) == (right.unit, right.topic);
    for of_topic in standings.chunk_by(same) {
        let left: i64 = of_topic.iter().map(|standing| standing.offsets_left).sum();
        let state = match of_topic.iter().filter(|standing| !standing.caught_up).count() {
            0 => "caught up".to_string(),
            behind => format!("{behind} behind"),
        };
        let Standing { unit, topic, .. } = &of_topic[0];
        table.add_row([unit, topic, of_topic.len().to_string().as_str(), &left.to_string(), &state]);
    }
    for column in [2, 3] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    output::print(&table.to_string())
}

fn print_partitions(standings: &[Standing]) -> Result<(), Failure> {
    let mut table = output::table(["unit", "topic", "partition", "committed", "end", "left", ""]);
    for standing in standings {
        let committed = standing.committed.map_or_else(|| "never".to_string(), |offset| offset.to_string());
        let (left, end) = (standing.offsets_left.to_string(), standing.end.to_string());
        let state = if standing.caught_up { "caught up" } else { "behind" };
        table.add_row([standing.unit, standing.topic, &standing.partition.to_string(), &committed, &end, &left, state]);
    }
    for column in [2, 3, 4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    output::print(&table.to_string())
}

#[cfg(test)]
mod tests {
    use runner::group::pass_through;
    use schemas::unit::{Destination, Unit};

    use super::*;

    /// Fails if a unit of the lake writes a table whose frontier is not looked at.
    #[test]
    fn every_table_that_the_lake_fills_is_looked_at() {
        for (topic, tables) in LAKE_TABLES {
            let unit: Box<dyn Unit> = match topic {
                "pings" => Box::new(trips::FixesUnit::default()),
                "control" => Box::new(decode::CatalogUnit::default()),
                topic => pass_through(topic).expect("the lake has a unit for each of its topics"),
            };
            let outputs = unit.outputs().into_iter().filter(|output| output.destination == Destination::Table);
            let mut written: Vec<&str> = outputs.map(|output| output.name).collect();
            // Authorize reads payments too and writes its dead letters.
            if topic != "payments" {
                written.push("dead_letters");
            }
            written.sort_unstable();
            written.dedup();
            let mut looked_at = tables.to_vec();
            looked_at.sort_unstable();
            assert_eq!(looked_at, written, "{topic}");
        }
    }
}
