//! How far a job has read a table, by the places in the log that its rows came from: a partition of a topic and an offset
//! below which everything was looked at. The places are committed with the job's own rows.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use lake::{Session, Table};
use schemas::Offset;

use super::Site;
use crate::failure::Failure;

/// Offsets of a partition that one commit takes: what they say of couriers fits into memory many times.
const OFFSETS_MAX: i64 = 1_000_000;
/// Without rows a commit only saves reading the same again: not for fewer offsets than this.
const SAVED_OFFSETS_MIN: i64 = 10_000;

/// A partition of a topic, and what is looked at now.
struct SourcePartition {
    topic: String,
    partition: i32,
    app_id: String,
    from: i64,
    /// Exclusive.
    until: i64,
}

/// How far a table has been read, and what is new in it.
pub(super) struct SourcePlaces {
    partitions: Vec<SourcePartition>,
    is_cut: bool,
}

impl SourcePlaces {
    /// Asks how far the job has read the table `of`. `partitions` is SQL that gives its topics and partitions.
    pub(super) fn read(
        site: &Site<'_>,
        session: &Session,
        job: &mut Table,
        of: &str,
        partitions: &str,
    ) -> Result<Self, Failure> {
        let mut places = Self { partitions: Vec::new(), is_cut: false };
        for (topic, partition, _) in triples(&site.query(session, partitions)?)? {
            let app_id = format!("job/{}/{of}/{topic}/{partition}", job.name());
            let from = job.frontier(&app_id)?.unwrap_or_default().0;
            places.partitions.push(SourcePartition { topic, partition, app_id, from, until: i64::MAX });
        }
        let newest = format!(
            "SELECT source_topic, source_partition, max(source_offset) FROM {of} WHERE {} \
             GROUP BY source_topic, source_partition",
            places.new_rows()
        );
        let newest = triples(&site.query(session, &newest)?)?;
        for place in &mut places.partitions {
            let is_its =
                |(topic, partition, _): &&(String, i32, i64)| (topic, *partition) == (&place.topic, place.partition);
            let end = newest.iter().find(is_its).map_or(place.from, |(_, _, offset)| offset + 1);
            place.until = end.min(place.from.saturating_add(OFFSETS_MAX));
            places.is_cut |= end > place.until;
        }
        Ok(places)
    }

    /// SQL that holds of rows to look at now.
    pub(super) fn new_rows(&self) -> String {
        // Files have no statistics of topics, and a table nearly always has one.
        let is_one = self.partitions.windows(2).all(|pair| pair[0].topic == pair[1].topic);
        let term = |place: &SourcePartition| {
            let SourcePartition { topic, partition, from, until, .. } = place;
            let of_topic = if is_one { String::new() } else { format!(" AND source_topic = '{topic}'") };
            format!(
                "(source_partition = {partition} AND source_offset >= {from} \
                 AND source_offset < {until}{of_topic})"
            )
        };
        let terms: Vec<String> = self.partitions.iter().filter(|place| place.from < place.until).map(term).collect();
        if terms.is_empty() { "false".to_string() } else { format!("({})", terms.join(" OR ")) }
    }

    /// Whether there is more than one commit takes.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Whether it is worth a commit that it has been read so far.
    pub(super) fn is_worth_saving(&self, frontiers: &[(String, Offset)]) -> bool {
        let read = self.partitions.iter().zip(frontiers).map(|(place, (_, offset))| offset.0 - place.from);
        read.sum::<i64>() >= SAVED_OFFSETS_MIN
    }

    /// How far it is read afterwards; rows at these places are looked at again.
    pub(super) fn frontiers(&self, waiting: &[(String, i32, i64)]) -> Vec<(String, Offset)> {
        let frontier = |place: &SourcePartition| {
            let is_its =
                |(topic, partition, _): &&(String, i32, i64)| (topic, *partition) == (&place.topic, place.partition);
            let first = waiting.iter().filter(is_its).map(|(_, _, offset)| *offset).min();
            (place.app_id.clone(), Offset(first.map_or(place.until, |offset| offset.clamp(place.from, place.until))))
        };
        self.partitions.iter().map(frontier).collect()
    }
}

/// Topic, partition and offset of rows; offset 0 where there is no such column.
fn triples(batches: &[RecordBatch]) -> Result<Vec<(String, i32, i64)>, Failure> {
    let mut found = Vec::new();
    for batch in batches {
        let as_type = |column: usize, data_type| cast(batch.column(column), data_type).map_err(Failure::failed);
        let (topics, partitions) = (as_type(0, &DataType::Utf8)?, as_type(1, &DataType::Int32)?);
        let offsets = (batch.num_columns() > 2).then(|| as_type(2, &DataType::Int64)).transpose()?;
        for row in 0..batch.num_rows() {
            let offset = offsets.as_ref().map_or(0, |offsets| offsets.as_primitive::<Int64Type>().value(row));
            let topic = topics.as_string::<i32>().value(row).to_string();
            found.push((topic, partitions.as_primitive::<Int32Type>().value(row), offset));
        }
    }
    found.sort_unstable();
    Ok(found)
}
