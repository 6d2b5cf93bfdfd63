//! The whole system on a real broker: a published town, three processes that share its partitions, tables that hold
//! what one process makes of the same files.
//!
//! Between partitions Kafka's order differs from that of a file, so decisions are compared card by card, where the
//! records of the card, the timers that fired on it and the rules in force followed one another in the same order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int32Type, Int64Type};
use log::group::TopicPartition;
use schemas::reasons::Reason;
use schemas::tables::{SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TOPIC};
use schemas::topics::kind;
use schemas::unit::{BundleSource, Control, Input, Output, OutputSpec, Unit, UnitError};
use serde_json::Value;

use super::audit::{Held, fold, lines, texts, unit_of, without_kinds};
use super::processes::{Process, Site, stop_all};
use super::tables::{self, Tables, picked};
use crate::support::{text, till};

const PARTITIONS: u16 = 12;
/// Processes that share the partitions.
const INSTANCES: [&str; 3] = ["a", "b", "c"];
/// Longest time until they have read everything, seconds.
const CATCH_UP_S: u32 = 120;
/// What says where and when a row was written, and not what happened.
const OF_THE_WAY: [&str; 5] = [SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET, "origin_partition", "ingest_time"];
const TOWN: [&str; 6] = ["--seed", "7", "--merchants", "5", "--days", "1"];

#[test]
fn three_processes_make_what_one_makes_of_files() {
    let Some(broker) = xtask::kafka::shared("three_processes_make_what_one_makes_of_files") else { return };
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(broker.bootstrap(), "system", folder.path(), PARTITIONS);
    site.create_topics();
    site.publish(&TOWN);
    let mut processes: Vec<Process> = INSTANCES.iter().map(|instance| site.start(instance, None)).collect();
    let lag = site.wait_until_caught_up(CATCH_UP_S);
    let said = || processes.iter().map(Process::said).collect::<String>();
    assert_eq!(lag.code, Some(0), "{lag}\n{}", said());
    assert_eq!(stop_all(&mut processes), [] as [String; 0]);

    let held = Held::read(&site);
    assert_eq!(held.findings(&site), [] as [String; 0]);
    assert_shared(&site);
    let files = folder.path().join("files");
    till(&["run", "--input", text(&site.input()), "--lake", text(&files), "--keys", text(&site.input().join("keys"))])
        .with_exit(0);
    let embedded = tables::read(&files);
    assert_same_tables(&held.tables, &embedded);
    assert_same_letters(&held.tables, &embedded);
    assert_same_decisions(&site, &held, &embedded);
}

/// Each process has left snapshots of the partitions that it had: the work was shared.
fn assert_shared(site: &Site) {
    let started = |instance: &&str| {
        let logs = fs::read_dir(site.folder.join("processes")).unwrap().map(|entry| entry.unwrap().path());
        logs.filter(|path| path.to_string_lossy().contains(&format!("-{instance}."))).count()
    };
    assert_eq!(INSTANCES.iter().map(started).collect::<Vec<_>>(), [1, 1, 1]);
}

/// Rows as texts, without what only says which way they took.
pub fn contents(rows: &RecordBatch) -> Vec<String> {
    let names = rows.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let kept: Vec<String> = names.into_iter().filter(|name| !OF_THE_WAY.contains(&name.as_str())).collect();
    lines(&picked(rows, &kept))
}

/// Sorted rows that are in the first and not in the second, each as often as it is there too often.
fn surplus(of: &[String], over: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    of.iter().for_each(|row| *counts.entry(row).or_default() += 1);
    over.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
    counts.into_iter().filter(|(_, count)| *count > 0).map(|(row, count)| format!("{count} of {row}")).collect()
}

#[track_caller]
pub fn assert_same_rows(what: &str, found: &[String], expected: &[String]) {
    let (extra, missing) = (surplus(found, expected), surplus(expected, found));
    assert!(
        extra.is_empty() && missing.is_empty(),
        "{what}: {} rows where {} are expected; {} extra, {} missing\nextra:\n{}\nmissing:\n{}",
        found.len(),
        expected.len(),
        extra.len(),
        missing.len(),
        extra.iter().take(3).cloned().collect::<Vec<_>>().join("\n"),
        missing.iter().take(3).cloned().collect::<Vec<_>>().join("\n")
    );
}

/// Payments, pings and what bundles say do not depend on the order between keys.
fn assert_same_tables(found: &Tables, embedded: &Tables) {
    for table in ["payments", "pings", "merchants", "readers", "couriers"] {
        let (found, expected) = (contents(&found[table]), contents(&embedded[table]));
        assert!(!expected.is_empty(), "{table}");
        assert_same_rows(table, &found, &expected);
        println!("{table}: {} rows on the broker as in files", found.len());
    }
    for (table, id) in [("trips", "trip_id"), ("stops", "stop_id")] {
        let (found, expected) = (newest(&found[table], id), newest(&embedded[table], id));
        assert!(!expected.is_empty(), "{table}");
        assert_same_rows(&format!("{table}_current"), &found, &expected);
        println!("{table}_current: {} rows on the broker as in files", found.len());
    }
    assert_same_rows("ping_faults", &contents(&found["ping_faults"]), &contents(&embedded["ping_faults"]));
}

/// Newest revisions, as texts without their number: whether silence or the next fix closes a trip is a matter of clocks,
/// which differ between partitions, and not what the row says.
fn newest(rows: &RecordBatch, id: &str) -> Vec<String> {
    let (ids, revisions) =
        (texts(rows, id).unwrap(), rows.column_by_name("revision").unwrap().as_primitive::<Int32Type>());
    let mut newest: BTreeMap<&str, usize> = BTreeMap::new();
    for row in 0..rows.num_rows() {
        let kept = newest.entry(ids.value(row)).or_insert(row);
        if revisions.value(row) > revisions.value(*kept) {
            *kept = row;
        }
    }
    let schema = rows.schema();
    let names = schema.fields().iter().map(|field| field.name().clone());
    let columns: Vec<String> = names.filter(|name| name != "revision").collect();
    let texts = contents(&picked(rows, &columns));
    newest.values().map(|row| texts[*row].clone()).collect()
}

/// Reason and unit of each dead letter. Records that do not parse are not published.
fn assert_same_letters(found: &Tables, embedded: &Tables) {
    let letters = |rows: &RecordBatch| -> Vec<String> {
        let (units, reasons) = (texts(rows, "unit").unwrap(), texts(rows, "reason").unwrap());
        let topics = texts(rows, SOURCE_TOPIC).unwrap();
        let of_row = |row: usize| {
            // What authorize refuses came from transactions in the end.
            let topic = if topics.value(row) == "payments" { "transactions" } else { topics.value(row) };
            (units.value(row) != "log").then(|| format!("{} {} {topic}", units.value(row), reasons.value(row)))
        };
        (0..rows.num_rows()).filter_map(of_row).collect()
    };
    assert_same_rows("dead letters", &letters(&found["dead_letters"]), &letters(&embedded["dead_letters"]));
}

/// Something that happened to a card.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// Rules came into force.
    Rules(String),
    /// A payment's timer fired.
    Timer(String),
    /// A record arrived.
    Record(String),
}

/// What happened to each card in its order, and what was decided about it in that order. A card is named by its token;
/// payments whose card is not known stand for themselves.
#[derive(Default)]
struct Histories {
    happenings: BTreeMap<String, Vec<Happening>>,
    decisions: BTreeMap<String, Vec<String>>,
}

impl Histories {
    /// From rows with the offsets of the records that caused them, and the offsets at which rules came into force.
    fn of(payments: (&RecordBatch, &[i64]), decisions: (&RecordBatch, &[i64]), rules: &[(i64, String)]) -> Self {
        let owners = owners(payments.0);
        let mut happenings: BTreeMap<String, Vec<(i64, Happening)>> = BTreeMap::new();
        let mut histories = Self::default();
        for (_, owner, offset, content) in owned(&owners, payments) {
            happenings.entry(owner).or_default().push((offset, Happening::Record(content)));
        }
        let mut decided: BTreeMap<String, Vec<(i64, usize, String)>> = BTreeMap::new();
        let reasons = texts(decisions.0, "reason").unwrap();
        let ids = texts(decisions.0, "payment_id").unwrap();
        for (row, owner, offset, content) in owned(&owners, decisions) {
            if reasons.value(row) == Reason::SignatureTimeout.name() {
                let fired = Happening::Timer(ids.value(row).to_string());
                happenings.entry(owner.clone()).or_default().push((offset, fired));
            }
            decided.entry(owner).or_default().push((offset, row, content));
        }
        for (owner, mut events) in happenings {
            events.extend(rules.iter().map(|(offset, hash)| (*offset, Happening::Rules(hash.clone()))));
            // At one offset timers fire before the record is looked at: the order of the variants.
            events.sort();
            histories.happenings.insert(owner, events.into_iter().map(|(_, event)| event).collect());
        }
        for (owner, mut rows) in decided {
            rows.sort_by_key(|(offset, row, _)| (*offset, *row));
            histories.decisions.insert(owner, rows.into_iter().map(|(_, _, content)| content).collect());
        }
        histories
    }

    fn merge(&mut self, other: Self) {
        for (owner, events) in other.happenings {
            assert!(self.happenings.insert(owner, events).is_none(), "a card is on two partitions");
        }
        self.decisions.extend(other.decisions);
    }
}

/// The card of each payment.
fn owners(payments: &RecordBatch) -> BTreeMap<String, String> {
    let (ids, tokens) = (texts(payments, "payment_id").unwrap(), texts(payments, "token").unwrap());
    let known = (0..payments.num_rows()).filter(|row| ids.is_valid(*row) && tokens.is_valid(*row));
    known.map(|row| (ids.value(row).to_string(), tokens.value(row).to_string())).collect()
}

/// Each row that is about a payment: its number, card, offset and content.
fn owned(
    owners: &BTreeMap<String, String>,
    (rows, offsets): (&RecordBatch, &[i64]),
) -> Vec<(usize, String, i64, String)> {
    let ids = texts(rows, "payment_id").unwrap();
    let contents = contents(rows).into_iter().enumerate().filter(|(row, _)| ids.is_valid(*row));
    let owner = |row: usize| owners.get(ids.value(row)).map_or(ids.value(row), String::as_str).to_string();
    contents.map(|(row, content)| (row, owner(row), offsets[row], content)).collect()
}

fn assert_same_decisions(site: &Site, held: &Held, embedded: &Tables) {
    let expected = embedded_histories(site, embedded);
    let found = broker_histories(site, held);
    let about_payments = held.tables["decisions"].column_by_name("payment_id").unwrap();
    let about_payments = about_payments.len() - about_payments.null_count();
    assert_eq!(found.decisions.values().map(Vec::len).sum::<usize>(), about_payments);
    let cards: BTreeSet<&String> = expected.happenings.keys().collect();
    assert_eq!(cards, found.happenings.keys().collect());
    let comparable: Vec<&&String> =
        cards.iter().filter(|card| expected.happenings[**card] == found.happenings[**card]).collect();
    for card in &comparable {
        assert_eq!(found.decisions.get(**card), expected.decisions.get(**card), "card {card}");
    }
    println!(
        "decisions: {} of {} cards had the same history, and got the same decisions",
        comparable.len(),
        cards.len()
    );
    assert!(comparable.len() * 2 > cards.len(), "only {} of {} cards are comparable", comparable.len(), cards.len());
}

/// Histories of a run over files: a row's source is the record that caused it.
fn embedded_histories(site: &Site, embedded: &Tables) -> Histories {
    let offsets = |table: &str| -> Vec<i64> {
        embedded[table].column_by_name(SOURCE_OFFSET).unwrap().as_primitive::<Int64Type>().values().to_vec()
    };
    let mut rules = Vec::new();
    let file = fs::read_to_string(site.input().join("transactions/2026-03-02.ndjson")).unwrap();
    for (offset, line) in (0..).zip(file.lines()) {
        // Some lines of a town are damaged on purpose.
        let record: Value = serde_json::from_str(line).unwrap_or_default();
        rules.extend(rule(offset, record["control_unit"].as_str(), record["control_hash"].as_str()));
    }
    let (payments, decisions) = (offsets("payments"), offsets("decisions"));
    Histories::of((&embedded["payments"], &payments), (&embedded["decisions"], &decisions), &rules)
}

fn rule(offset: i64, unit: Option<&str>, hash: Option<&str>) -> Option<(i64, String)> {
    unit.filter(|unit| *unit == "authorize").map(|_| (offset, hash.unwrap_or_default().to_string()))
}

/// Histories on a broker: those of each payments partition, folded once more by a unit that is listened to.
fn broker_histories(site: &Site, held: &Held) -> Histories {
    let mut histories = Histories::default();
    let payment_columns: Vec<usize> = (0..schemas::topics::payments().fields().len()).collect();
    for (partition, records) in held.partitions("payments") {
        let made = Arc::new(Mutex::new(Vec::new()));
        let unit = Listened { unit: unit_of("authorize", site), made: made.clone() };
        fold(site, Box::new(unit), TopicPartition { topic: "payments", partition }, records);
        let (mut rows, mut offsets, mut rules) = (Vec::new(), Vec::new(), Vec::new());
        for batch in records {
            let (kept, at) = without_kinds(&batch.rows, &batch.offsets, &[kind::TICK, kind::CONTROL]);
            rows.push(kept.project(&payment_columns).unwrap());
            offsets.extend(at);
            let (units, hashes) =
                (texts(&batch.rows, "control_unit").unwrap(), texts(&batch.rows, "control_hash").unwrap());
            let named = batch.offsets.iter().zip(units).zip(hashes);
            rules.extend(named.filter_map(|((offset, unit), hash)| rule(*offset, unit, hash)));
        }
        let made = made.lock().unwrap();
        let decided: Vec<&Output> = made.iter().filter(|output| output.name == "decisions").collect();
        let decided_at: Vec<i64> = decided.iter().flat_map(|output| output.offsets.iter().copied()).collect();
        let payments = concat_batches(&schemas::topics::payments(), &rows).unwrap();
        let decisions = decided.iter().map(|output| &output.rows);
        let decisions = concat_batches(&schemas::topics::decisions(), decisions).unwrap();
        histories.merge(Histories::of((&payments, &offsets), (&decisions, &decided_at), &rules));
    }
    histories
}

/// A unit whose outputs are kept with the offsets of the records that caused them.
struct Listened {
    unit: Box<dyn Unit>,
    made: Arc<Mutex<Vec<Output>>>,
}

impl Unit for Listened {
    fn name(&self) -> &'static str {
        self.unit.name()
    }

    fn logic_version(&self) -> u32 {
        self.unit.logic_version()
    }

    fn outputs(&self) -> Vec<OutputSpec> {
        self.unit.outputs()
    }

    fn process(&mut self, input: &Input, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        let before = outputs.len();
        self.unit.process(input, outputs)?;
        self.made.lock().unwrap().extend_from_slice(&outputs[before..]);
        Ok(())
    }

    fn control(&mut self, control: &Control, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
        self.unit.control(control, outputs)
    }

    fn save(&self) -> Result<Vec<u8>, UnitError> {
        self.unit.save()
    }

    fn restore(&mut self, state: &[u8], bundles: &dyn BundleSource) -> Result<(), UnitError> {
        self.unit.restore(state, bundles)
    }
}
