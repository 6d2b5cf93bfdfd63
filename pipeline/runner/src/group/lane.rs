//! One input partition of a unit with topics as outputs: its state, its frontiers, its snapshots.

use std::collections::BTreeMap;
use std::time::Duration;

use frontier::{Found, Ledger};
use log::group::TopicPartition;
use log::{LogBatch, LogIdentity};
use schemas::Offset;
use schemas::unit::{BundleSource, Unit};

use super::fold::{Fold, Step};
use super::member::{Fault, Member};
use super::planted::{Bug, is_planted};
use super::route::Counts;
use crate::drive::{logic_of, restore};
use crate::{RunnerError, Snapshot, SnapshotLabel, Snapshots, Writing, find_start};

/// The one output of a lane as its frontier sees it: all topics commit together, with the group's offset.
const GROUP: &str = "group";

/// State and frontiers of one partition.
pub(crate) struct Lane {
    fold: Fold,
    place: TopicPartition,
    partitions: u16,
    output_partitions: BTreeMap<String, u32>,
    ledger: Ledger,
    store: Box<dyn Snapshots>,
    /// Next offset to read.
    position: Offset,
    /// S of the newest snapshot.
    snapshot_at: Option<Offset>,
    /// The snapshot that is being written, a newer one.
    underway: Option<Underway>,
}

/// A snapshot that is being written.
struct Underway {
    at: Offset,
    began: Duration,
    writing: Box<dyn Writing>,
}

/// A snapshot that was written.
pub(crate) struct Written {
    /// Its S.
    pub(crate) at: Offset,
    /// When it was begun.
    pub(crate) began: Duration,
    /// Its size.
    pub(crate) bytes: u64,
}

/// What every lane of a unit shares.
pub(crate) struct Common<'a> {
    pub(crate) bundles: &'a dyn BundleSource,
    /// Partitions of the input.
    pub(crate) partitions: u16,
    /// Partitions of the outputs.
    pub(crate) counts: Counts,
}

impl Lane {
    /// Plans the start of a partition and loads its state, or refuses.
    pub(crate) fn open(
        unit: Box<dyn Unit>,
        place: TopicPartition,
        store: Box<dyn Snapshots>,
        common: &Common<'_>,
        member: &mut Member<'_>,
    ) -> Result<Self, Fault> {
        let mut fold = Fold::new(unit, place, common.partitions);
        let output_partitions: BTreeMap<String, u32> =
            common.counts.iter().map(|(topic, count)| ((*topic).to_string(), u32::from(*count))).collect();
        let logic = logic_of(fold.chain());
        let mut ledger = None;
        // The offset is asked for after the labels were read: while this member does not know yet that it lost the
        // partition, another may commit and snapshot, and a snapshot ahead of an offset read earlier would look as if
        // that went back.
        let (plan, snapshot) = find_start(store.as_ref(), &mut |heads| -> Result<_, Fault> {
            let committed = member.call(|log| log.committed(place))?.unwrap_or_default();
            let bounds = member.call(|log| log.bounds(place))?;
            let frontiers = BTreeMap::from([(GROUP.to_string(), committed)]);
            let plan = frontier::plan(&Found {
                snapshots: heads,
                outputs: &frontiers,
                log_start: bounds.start,
                log_partitions: u32::from(common.partitions),
                output_partitions: &output_partitions,
                logic: &logic,
            })?;
            let planned = Ledger::new(&plan, frontiers);
            planned.check_end(bounds.end)?;
            ledger = Some(planned);
            Ok(plan)
        })?;
        if let Some(snapshot) = &snapshot {
            restore(fold.chain_mut(), snapshot, common.bundles)?;
        }
        // A snapshot of other logic is no proof of which logic writes the rows from here on.
        let label = snapshot.map(|snapshot| snapshot.label);
        let current = label.filter(|label| label.logic == logic && label.output_partitions == output_partitions);
        Ok(Self {
            fold,
            place,
            partitions: common.partitions,
            output_partitions,
            ledger: ledger.expect("a start that was found was planned"),
            store,
            position: plan.read_from,
            snapshot_at: current.map(|label| label.at),
            underway: None,
        })
    }

    pub(crate) fn position(&self) -> Offset {
        self.position
    }

    /// Whether its rows are not all committed, or not its position.
    pub(crate) fn lags(&self) -> bool {
        self.ledger.frontier(GROUP) < self.position
    }

    /// The next multiple of the step, if it comes before or at `next`: a place in the log, so that it does not depend on
    /// where batches end. It may fall into a gap.
    pub(crate) fn cut(&self, next: Offset, step: i64) -> Option<Offset> {
        let multiple = Offset(self.position.0 - self.position.0.rem_euclid(step) + step);
        (multiple <= next).then_some(multiple)
    }

    /// Folds records; everything below `next` has been read then.
    pub(crate) fn feed(&mut self, batch: LogBatch, next: Offset, common: &Common<'_>) -> Result<Step, RunnerError> {
        let frontier = if is_planted(Bug::SuppressNothing) { Offset(0) } else { self.ledger.frontier(GROUP) };
        let step = self.fold.feed(batch, common.bundles, &common.counts, frontier)?;
        self.position = self.position.max(next);
        Ok(step)
    }

    /// Notes that everything up to the position is committed.
    pub(crate) fn committed(&mut self) -> Result<(), Fault> {
        Ok(self.ledger.committed(GROUP, self.position)?)
    }

    /// Whether a snapshot of where the lane stands is there or being written.
    pub(crate) fn has_snapshot(&self) -> bool {
        let newest = self.underway.as_ref().map(|underway| underway.at).or(self.snapshot_at);
        newest == Some(self.position)
    }

    /// Whether a snapshot is being written.
    pub(crate) fn is_writing(&self) -> bool {
        self.underway.is_some()
    }

    /// Saves the state where the lane stands and begins to write it. The one before must be finished.
    pub(crate) fn begin_snapshot(&mut self, now: Duration) -> Result<(), RunnerError> {
        let permit = self.ledger.permit(self.position)?;
        let mut states = Vec::new();
        for unit in self.fold.chain().units() {
            states.push((unit.name().to_string(), unit.save()?));
        }
        let label = SnapshotLabel {
            at: self.position,
            outputs: vec![GROUP.to_string()],
            partitions: u32::from(self.partitions),
            logic: logic_of(self.fold.chain()),
            identity: LogIdentity::default(),
            output_partitions: self.output_partitions.clone(),
        };
        let writing = self.store.write(permit, Snapshot { label, states })?;
        self.underway = Some(Underway { at: self.position, began: now, writing });
        Ok(())
    }

    /// The snapshot that was being written, once it lies there; with `waits` that is now.
    pub(crate) fn finish_snapshot(&mut self, waits: bool) -> Result<Option<Written>, RunnerError> {
        let ended = self.underway.take_if(|underway| waits || underway.writing.is_done());
        let Some(Underway { at, began, writing }) = ended else { return Ok(None) };
        let bytes = writing.wait()?;
        self.snapshot_at = Some(at);
        Ok(Some(Written { at, began, bytes }))
    }

    /// Whether no snapshot says yet which logic writes the next rows.
    pub(crate) fn needs_first_snapshot(&self) -> bool {
        self.snapshot_at.is_none() && !self.is_replaying()
    }

    fn is_replaying(&self) -> bool {
        self.position < self.ledger.frontier(GROUP)
    }

    /// The partition.
    pub(crate) fn place(&self) -> TopicPartition {
        self.place
    }
}
