//! The work of a unit whose outputs are topics.

use std::collections::{BTreeMap, BTreeSet};

use log::LogBatch;
use log::group::TopicPartition;
use schemas::unit::{BundleSource, Unit};
use schemas::{Offset, Partition};

use super::driver::{Context, Work};
use super::fold::topics_of;
use super::lane::{Common, Lane, Written};
use super::member::{Fault, Member};
use super::{GroupReport, records};
use crate::{RunnerError, Snapshots};

/// Opens the snapshots of a partition.
pub type OpenSnapshots<'a> = dyn Fn(Partition) -> Result<Box<dyn Snapshots>, RunnerError> + 'a;

/// A unit and what it needs.
pub struct UnitSpec<'a> {
    /// Topic that it reads.
    pub topic: &'static str,
    /// Makes the unit of a partition, which has read nothing.
    pub make: &'a dyn Fn() -> Box<dyn Unit>,
    /// Opens the snapshots of a partition; members that may take over from each other must share them.
    pub snapshots: &'a OpenSnapshots<'a>,
    /// Bundles that control records name.
    pub bundles: &'a dyn BundleSource,
}

/// Lanes of one unit that share a transaction.
pub(crate) struct UnitWork<'a> {
    spec: UnitSpec<'a>,
    name: &'static str,
    outputs: Vec<&'static str>,
    snapshot_rows: i64,
    common: Common<'a>,
    lanes: BTreeMap<TopicPartition, Lane>,
    /// Records since the last commit, and rows sent by topic.
    waiting: u64,
    sent: BTreeMap<&'static str, u64>,
}

impl<'a> UnitWork<'a> {
    pub(crate) fn new(spec: UnitSpec<'a>, snapshot_rows: i64) -> Self {
        let unit = (spec.make)();
        let common = Common { bundles: spec.bundles, partitions: 1, counts: BTreeMap::new() };
        Self {
            name: unit.name(),
            outputs: topics_of(unit.as_ref()),
            spec,
            snapshot_rows: snapshot_rows.max(1),
            common,
            lanes: BTreeMap::new(),
            waiting: 0,
            sent: BTreeMap::new(),
        }
    }

    fn learn_counts(&mut self, member: &mut Member<'_>) -> Result<(), Fault> {
        let topic = self.spec.topic;
        self.common.partitions = member.call(|log| log.partition_count(topic))?;
        for topic in &self.outputs {
            let count = member.call(|log| log.partition_count(topic))?;
            self.common.counts.insert(topic, count);
        }
        Ok(())
    }
}

impl Work for UnitWork<'_> {
    fn open(
        &mut self,
        member: &mut Member<'_>,
        partitions: &[TopicPartition],
        context: &mut Context<'_>,
    ) -> Result<Vec<(TopicPartition, Offset)>, Fault> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        self.learn_counts(member)?;
        let mut opened = Vec::new();
        for place in partitions {
            let store = (self.spec.snapshots)(place.partition)?;
            opened.push(Lane::open((self.spec.make)(), *place, store, &self.common, member)?);
        }
        let starts = opened.iter().map(|lane| (lane.place(), lane.position())).collect();
        self.lanes.extend(opened.into_iter().map(|lane| (lane.place(), lane)));
        for place in partitions {
            if self.lanes.get(place).is_some_and(Lane::needs_first_snapshot) {
                self.snapshot(*place, context)?;
            }
        }
        // They say which logic writes the rows from here on: no row comes before.
        self.tend(true, context)?;
        Ok(starts)
    }

    fn cut(&self, partition: TopicPartition, next: Offset) -> Option<Offset> {
        self.lanes.get(&partition)?.cut(next, self.snapshot_rows)
    }

    fn feed(
        &mut self,
        member: &mut Member<'_>,
        partition: TopicPartition,
        batch: LogBatch,
        next: Offset,
        context: &mut Context<'_>,
    ) -> Result<(), Fault> {
        let Some(lane) = self.lanes.get_mut(&partition) else { return Ok(()) };
        let records = records::count(&batch);
        context.report.records += records;
        context.observer.read(self.name, partition, records);
        let step = lane.feed(batch, next, &self.common)?;
        context.report.rows_suppressed += step.suppressed;
        step.left_out.iter().for_each(|((output, reason), count)| context.observer.left_out(output, reason, *count));
        for routed in &step.rows {
            member.call(|log| log.send(routed.topic, routed.partition, &routed.rows))?;
            *self.sent.entry(routed.topic).or_default() += routed.rows.num_rows() as u64;
        }
        // What a replay reads is committed already.
        if lane.lags() {
            self.waiting += records;
        }
        Ok(())
    }

    fn commit(&mut self, member: &mut Member<'_>, report: &mut GroupReport) -> Result<u64, Fault> {
        let lagging = self.lanes.values_mut().filter(|lane| lane.lags());
        let offsets: Vec<_> = lagging.map(|lane| (lane.place(), lane.position())).collect();
        if offsets.is_empty() {
            return Ok(0);
        }
        member.call(|log| log.commit(&offsets))?;
        for (place, _) in &offsets {
            self.lanes.get_mut(place).expect("it is one of the lanes above").committed()?;
        }
        self.waiting = 0;
        let sent = std::mem::take(&mut self.sent);
        for (topic, rows) in &sent {
            *report.rows_written.entry(topic).or_default() += rows;
        }
        Ok(sent.values().sum())
    }

    fn snapshot(&mut self, partition: TopicPartition, context: &mut Context<'_>) -> Result<(), Fault> {
        if self.lanes.get(&partition).is_none_or(Lane::has_snapshot) {
            return Ok(());
        }
        // One at a time: the saved states of all lanes at once need not fit into memory.
        self.tend(true, context)?;
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.begin_snapshot(context.clock.now())?;
        }
        Ok(self.tend(false, context)?)
    }

    fn tend(&mut self, waits: bool, context: &mut Context<'_>) -> Result<(), RunnerError> {
        for (partition, lane) in &mut self.lanes {
            if let Some(Written { at, began, bytes }) = lane.finish_snapshot(waits)? {
                let took = context.clock.now().saturating_sub(began);
                context.observer.snapshot(*partition, at, bytes, took);
            }
        }
        Ok(())
    }

    fn is_writing(&self) -> bool {
        self.lanes.values().any(Lane::is_writing)
    }

    fn close(&mut self, partitions: &BTreeSet<TopicPartition>, context: &mut Context<'_>) -> Result<(), RunnerError> {
        // Whoever opens the partition next, perhaps this process, shall not find it half written.
        self.tend(true, context)?;
        self.lanes.retain(|place, _| !partitions.contains(place));
        if self.lanes.is_empty() {
            self.waiting = 0;
            self.sent.clear();
        }
        Ok(())
    }

    fn waiting(&self) -> u64 {
        self.waiting
    }

    fn position(&self, partition: TopicPartition) -> Option<Offset> {
        self.lanes.get(&partition).map(Lane::position)
    }
}
