//! The work of the lake unit: many topics into tables whose commits hold the frontiers.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use frontier::{Ledger, Plan, Refusal};
use log::LogBatch;
use log::group::{Remedy, TopicPartition};
use schemas::Offset;
use schemas::unit::{BundleSource, Unit};

use super::GroupReport;
use super::driver::{Context, Work};
use super::fold::{LeftOut, count_left_out};
use super::member::{Fault, Member};
use super::pass::LAKE;
use super::planted::{Bug, is_planted};
use super::records::{self, AppendTimes, set_misplaced_aside};
use crate::buffer::TableBuffers;
use crate::chain::{Chain, Controls, DEAD_LETTERS, Sink};
use crate::{RunnerError, TableError, Tables};

/// What the lake unit reads and writes.
pub struct CollectSpec<'a> {
    /// Makes the unit of a partition, which must keep no state: it is never saved. [`super::pass_through`] makes those
    /// whose rows are the topic's. Control records on topic `control` are handed to the unit whose name they bear, and
    /// to no other.
    pub make: &'a mut dyn FnMut(TopicPartition) -> Option<Box<dyn Unit>>,
    /// Where the rows go.
    pub tables: &'a mut dyn Tables,
    /// Bundles that control records name.
    pub bundles: &'a dyn BundleSource,
}

/// How a topic is read.
#[derive(Debug, Clone, Copy)]
struct Rule {
    controls: Controls,
    /// Whether the lake writes the dead letters of the topic: each topic has one writer of them.
    writes_letters: bool,
    /// Whether the unit makes rows of its own, whose ingest time is that of the record.
    stamps: bool,
}

fn rule(topic: &str) -> Rule {
    match topic {
        "control" => Rule { controls: Controls::All, writes_letters: true, stamps: true },
        "pings" => Rule { controls: Controls::Check, writes_letters: true, stamps: true },
        // Authorize writes them.
        "payments" => Rule { controls: Controls::PassOn, writes_letters: false, stamps: false },
        _ => Rule { controls: Controls::PassOn, writes_letters: true, stamps: false },
    }
}

/// One partition of one topic.
struct Lane {
    chain: Chain,
    rule: Rule,
    partitions: u16,
    app_id: String,
    tables: Vec<&'static str>,
    buffers: TableBuffers,
    position: Offset,
}

/// Adds to the buffers what of a chain's rows the lake writes.
struct LaneSink<'a> {
    topic: &'static str,
    buffers: &'a mut TableBuffers,
    tables: &'a [&'static str],
    times: AppendTimes,
    left_out: LeftOut,
}

impl Sink for LaneSink<'_> {
    fn push(&mut self, output: &'static str, offsets: &[i64], rows: &RecordBatch) -> Result<(), RunnerError> {
        if !self.tables.contains(&output) {
            return Ok(());
        }
        // Those on the topic were counted by whoever sent them.
        if output == DEAD_LETTERS && self.topic != DEAD_LETTERS {
            count_left_out(output, rows, &mut self.left_out);
        }
        let rows = self.times.stamp(output, offsets, rows.clone())?;
        self.buffers.push(output, offsets, &rows)
    }
}

impl Lane {
    fn feed(&mut self, batch: LogBatch, next: Offset, bundles: &dyn BundleSource) -> Result<LeftOut, Fault> {
        let place = TopicPartition { topic: self.chain.topic(), partition: self.chain.partition() };
        let times = if self.rule.stamps { AppendTimes::of(&batch) } else { AppendTimes::default() };
        let batch = set_misplaced_aside(place, self.partitions, batch)?;
        let Self { chain, buffers, tables, .. } = self;
        let mut sink = LaneSink { topic: place.topic, buffers, tables, times, left_out: LeftOut::new() };
        chain.feed(&batch, bundles, &mut sink)?;
        let left_out = sink.left_out;
        self.position = self.position.max(next);
        Ok(left_out)
    }
}

/// Lanes of the lake unit, whose rows of one table go into one commit.
pub(crate) struct CollectWork<'a> {
    spec: CollectSpec<'a>,
    lanes: BTreeMap<TopicPartition, Lane>,
    waiting: u64,
    /// Whether frontiers that the tables remember may be another process's by now.
    is_stale: bool,
    written: BTreeMap<&'static str, u64>,
    suppressed: u64,
}

impl<'a> CollectWork<'a> {
    pub(crate) fn new(spec: CollectSpec<'a>) -> Self {
        Self { spec, lanes: BTreeMap::new(), waiting: 0, is_stale: true, written: BTreeMap::new(), suppressed: 0 }
    }

    /// Forgets what tables remember of partitions that came or went, and makes sure that nobody else has written for
    /// those that stayed.
    fn refresh(&mut self) -> Result<(), Fault> {
        self.spec.tables.refresh();
        for lane in self.lanes.values_mut() {
            for table in &lane.tables {
                let found = self.spec.tables.frontier(table, &lane.app_id)?.unwrap_or_default();
                let expected = lane.buffers.ledger().frontier(table);
                if found != expected {
                    let app_id = &lane.app_id;
                    let reason =
                        format!("{app_id} stands at offset {found} and not at {expected}: another process wrote");
                    return Err(Fault::Fenced(TableError { table: (*table).to_string(), reason, fenced: true }));
                }
            }
        }
        self.is_stale = false;
        Ok(())
    }

    fn open_lane(&mut self, place: TopicPartition, member: &mut Member<'_>) -> Result<Lane, Fault> {
        let unit = (self.spec.make)(place).ok_or_else(|| RunnerError::Rows {
            output: place.topic.to_string(),
            reason: "the lake has no table for this topic; leave it out of its topics".to_string(),
        })?;
        let rule = rule(place.topic);
        let chain = Chain::new(place.topic, place.partition, vec![unit]).with_controls(rule.controls);
        let written = chain.tables().into_keys().filter(|table| rule.writes_letters || *table != DEAD_LETTERS);
        let tables: Vec<&'static str> = written.collect();
        let app_id = format!("{LAKE}/{}/{}", place.topic, place.partition);
        let mut frontiers = BTreeMap::new();
        for table in &tables {
            let found = self.spec.tables.frontier(table, &app_id)?.unwrap_or_default();
            frontiers.insert((*table).to_string(), found);
        }
        let least = frontiers.values().min().copied().unwrap_or_default();
        let ahead = frontiers.values().max().copied().unwrap_or_default();
        let position = if is_planted(Bug::StartAhead) { ahead } else { least };
        let bounds = member.call(|log| log.bounds(place))?;
        if least < bounds.start {
            return Err(Refusal::RetentionPassed { needed: least, log_start: bounds.start }.into());
        }
        let ledger = Ledger::new(&Plan { snapshot: None, read_from: least }, frontiers);
        ledger.check_end(bounds.end)?;
        let topic = place.topic;
        let partitions = member.call(|log| log.partition_count(topic))?;
        let buffers = TableBuffers::new(place.topic, place.partition, ledger);
        Ok(Lane { chain, rule, partitions, app_id, tables, buffers, position })
    }

    /// Commits every lane that lags in a table.
    fn commit_table(&mut self, table: &'static str) -> Result<(), Fault> {
        let (mut rows, mut frontiers) = (Vec::new(), Vec::new());
        for lane in self.lanes.values_mut().filter(|lane| lane.tables.contains(&table)) {
            if lane.buffers.ledger().frontier(table) < lane.position {
                rows.extend(lane.buffers.take(table)?);
                frontiers.push((lane.app_id.clone(), lane.position));
            }
        }
        if frontiers.is_empty() {
            return Ok(());
        }
        self.spec.tables.commit(table, &rows, &frontiers)?;
        for lane in self.lanes.values_mut().filter(|lane| lane.tables.contains(&table)) {
            if lane.buffers.ledger().frontier(table) < lane.position {
                lane.buffers.ledger().committed(table, lane.position)?;
            }
        }
        let count = rows.iter().map(|rows| rows.num_rows() as u64).sum::<u64>();
        if count > 0 {
            *self.written.entry(table).or_default() += count;
        }
        Ok(())
    }
}

impl Work for CollectWork<'_> {
    fn open(
        &mut self,
        member: &mut Member<'_>,
        partitions: &[TopicPartition],
        _context: &mut Context<'_>,
    ) -> Result<Vec<(TopicPartition, Offset)>, Fault> {
        self.refresh()?;
        let mut opened = Vec::new();
        for place in partitions {
            opened.push((*place, self.open_lane(*place, member)?));
        }
        let starts = opened.iter().map(|(place, lane)| (*place, lane.position)).collect();
        self.lanes.extend(opened);
        Ok(starts)
    }

    fn cut(&self, _partition: TopicPartition, _next: Offset) -> Option<Offset> {
        None
    }

    fn feed(
        &mut self,
        _member: &mut Member<'_>,
        partition: TopicPartition,
        batch: LogBatch,
        next: Offset,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        let Some(lane) = self.lanes.get_mut(&partition) else { return Ok(()) };
        let records = records::count(&batch);
        context.report.records += records;
        context.observer.read(LAKE, partition, records);
        let before = lane.buffers.rows_suppressed();
        let left_out = lane.feed(batch, next, self.spec.bundles)?;
        self.suppressed += lane.buffers.rows_suppressed() - before;
        context.report.rows_suppressed = self.suppressed;
        left_out.iter().for_each(|((output, reason), count)| context.observer.left_out(output, reason, *count));
        self.waiting += records;
        Ok(())
    }

    /// All tables, one after the other, and then the group's offsets, which nothing but displays reads. Without records
    /// since the last commit no table is touched.
    fn commit(&mut self, member: &mut Member<'_>, report: &mut GroupReport) -> Result<u64, Fault> {
        if self.waiting == 0 {
            return Ok(0);
        }
        if self.is_stale {
            self.refresh()?;
        }
        let before: u64 = self.written.values().sum();
        let tables: BTreeSet<&'static str> = self.lanes.values().flat_map(|lane| lane.tables.iter().copied()).collect();
        for table in tables {
            self.commit_table(table)?;
        }
        self.waiting = 0;
        report.rows_written = self.written.clone();
        let offsets: Vec<_> = self.lanes.iter().map(|(place, lane)| (*place, lane.position)).collect();
        match member.call(|log| log.commit(&offsets)) {
            // The group is rebalancing; the tables know how far they are.
            Err(error) if error.remedy == Remedy::Abort => {
                tracing::debug!(%error, "offsets for displays not committed")
            }
            result => result?,
        }
        Ok(self.written.values().sum::<u64>() - before)
    }

    fn snapshot(&mut self, _partition: TopicPartition, _context: &mut Context<'_>) -> Result<(), Fault> {
        Ok(())
    }

    fn tend(&mut self, _waits: bool, _context: &mut Context<'_>) -> Result<(), RunnerError> {
        Ok(())
    }

    fn is_writing(&self) -> bool {
        false
    }

    fn close(&mut self, partitions: &BTreeSet<TopicPartition>, _context: &mut Context<'_>) -> Result<(), RunnerError> {
        self.lanes.retain(|place, _| !partitions.contains(place));
        self.is_stale = true;
        if self.lanes.is_empty() {
            self.waiting = 0;
        }
        Ok(())
    }

    fn waiting(&self) -> u64 {
        self.waiting
    }

    fn position(&self, partition: TopicPartition) -> Option<Offset> {
        self.lanes.get(&partition).map(|lane| lane.position)
    }
}
