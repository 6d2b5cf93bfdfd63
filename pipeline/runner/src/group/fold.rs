//! From a batch of one input partition to the rows that the outputs get: the code path of a run and of an audit.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use log::LogBatch;
use log::group::TopicPartition;
use schemas::unit::{BundleSource, Unit};
use schemas::{Offset, Partition};

use super::records::{AppendTimes, set_misplaced_aside};
use super::route::{Counts, Routed, destination, text, texts};
use crate::chain::{Chain, DEAD_LETTERS, Sink};
use crate::{RunnerError, buffer};
use buffer::{Gathered, check_offsets, misfit};

/// Rows by output as a chain makes them.
#[derive(Default)]
struct Outputs(BTreeMap<&'static str, Gathered>);

impl Sink for Outputs {
    fn push(&mut self, output: &'static str, offsets: &[i64], rows: &RecordBatch) -> Result<(), RunnerError> {
        check_offsets(output, offsets, rows)?;
        self.0.entry(output).or_default().push(offsets, rows.clone());
        Ok(())
    }

    fn forward(&mut self, output: &'static str, offsets: &[i64], rows: &RecordBatch) -> Result<(), RunnerError> {
        self.push(output, offsets, rows)
    }
}

/// Outputs whose rows say why a record was not used.
const LEFT_OUT: [&str; 2] = [DEAD_LETTERS, "ping_faults"];

/// Number of records that were not used, by output and reason.
pub(crate) type LeftOut = BTreeMap<(&'static str, String), u64>;

/// What a batch makes.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// Rows to send, in this order.
    pub(crate) rows: Vec<Routed>,
    /// Rows that the outputs have already.
    pub(crate) suppressed: u64,
    /// Records that were not used, sent or not.
    pub(crate) left_out: LeftOut,
}

/// One unit over one input partition.
pub(crate) struct Fold {
    chain: Chain,
    place: TopicPartition,
    /// Partitions of the input.
    partitions: u16,
}

impl Fold {
    pub(crate) fn new(unit: Box<dyn Unit>, place: TopicPartition, partitions: u16) -> Self {
        Self { chain: Chain::new(place.topic, place.partition, vec![unit]), place, partitions }
    }

    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    pub(crate) fn chain_mut(&mut self) -> &mut Chain {
        &mut self.chain
    }

    pub(crate) fn name(&self) -> &'static str {
        self.chain.units()[0].name()
    }

    /// Folds a batch. I-1: rows below the frontier are in the outputs already and are left out.
    pub(crate) fn feed(
        &mut self,
        batch: LogBatch,
        bundles: &dyn BundleSource,
        counts: &Counts,
        frontier: Offset,
    ) -> Result<Step, RunnerError> {
        let times = AppendTimes::of(&batch);
        let batch = set_misplaced_aside(self.place, self.partitions, batch)?;
        let mut outputs = Outputs::default();
        self.chain.feed(&batch, bundles, &mut outputs)?;
        let mut step = Step::default();
        for (output, gathered) in outputs.0 {
            let Some((offsets, rows)) = gathered.take().map_err(|error| misfit(output, error))? else { continue };
            let suppressed = offsets.partition_point(|offset| *offset < frontier.0);
            step.suppressed += suppressed as u64;
            let (offsets, rows) = (&offsets[suppressed..], rows.slice(suppressed, offsets.len() - suppressed));
            if offsets.is_empty() {
                continue;
            }
            if LEFT_OUT.contains(&output) {
                count_left_out(output, &rows, &mut step.left_out);
            }
            if let Some(route) = destination(self.name(), output) {
                let rows = times.stamp(output, offsets, rows)?;
                step.rows.extend(route.split(self.place, offsets, &rows, counts)?);
            }
        }
        Ok(step)
    }
}

pub(crate) fn count_left_out(output: &'static str, rows: &RecordBatch, left_out: &mut LeftOut) {
    let reasons = texts(rows, "reason");
    for row in 0..rows.num_rows() {
        *left_out.entry((output, text(reasons, row).unwrap_or_default().to_string())).or_default() += 1;
    }
}

/// Topics that a unit writes to.
pub(crate) fn topics_of(unit: &dyn Unit) -> Vec<&'static str> {
    let outputs = unit.outputs().into_iter().map(|output| output.name).chain([DEAD_LETTERS]);
    let mut topics: Vec<_> = outputs.filter_map(|output| Some(destination(unit.name(), output)?.topic)).collect();
    topics.sort();
    topics.dedup();
    topics
}

/// Rows by output topic and partition.
pub type Folded = BTreeMap<(&'static str, Partition), RecordBatch>;

/// Everything that a unit makes of one input partition from its first record on, exactly as [`super::run_unit`] sends
/// it, in order, by topic and partition. `partition_count` says how many partitions a topic has.
pub fn fold_partition(
    unit: Box<dyn Unit>,
    place: TopicPartition,
    batches: impl IntoIterator<Item = LogBatch>,
    bundles: &dyn BundleSource,
    partition_count: &dyn Fn(&str) -> u16,
) -> Result<Folded, RunnerError> {
    let counts: Counts = topics_of(unit.as_ref()).into_iter().map(|topic| (topic, partition_count(topic))).collect();
    let mut fold = Fold::new(unit, place, partition_count(place.topic));
    let mut made: BTreeMap<(&'static str, Partition), Vec<RecordBatch>> = BTreeMap::new();
    for batch in batches {
        for Routed { topic, partition, rows } in fold.feed(batch, bundles, &counts, Offset(0))?.rows {
            made.entry((topic, partition)).or_default().push(rows);
        }
    }
    let join = |((topic, partition), rows): ((&'static str, Partition), Vec<RecordBatch>)| {
        let rows = concat_batches(&rows[0].schema(), &rows).map_err(|error| misfit(topic, error))?;
        Ok(((topic, partition), rows))
    };
    made.into_iter().map(join).collect()
}
