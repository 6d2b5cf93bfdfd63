//! What a lane does to a batch before its unit sees it and to rows after: cut it at an offset, set misplaced records
//! aside, put the log's own time into the rows.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use log::group::TopicPartition;
use log::{LogBatch, Reject};
use schemas::topics::kind;
use schemas::{Offset, placement};

use super::route::{text, texts};
use crate::RunnerError;
use crate::buffer::misfit;

/// Column with the log's own timestamp.
const INGEST_TIME: &str = "ingest_time";
/// Reason of a record whose key belongs on another partition.
const WRONG_PARTITION: &str = "wrong_partition";

/// The records below an offset, and those from it on.
pub(crate) fn cut(batch: LogBatch, at: Offset) -> (LogBatch, LogBatch) {
    let rows = batch.offsets.partition_point(|offset| *offset < at.0);
    let rejects = batch.rejects.partition_point(|reject| reject.offset < at);
    let mut front = batch;
    let later_offsets = front.offsets.split_off(rows);
    let appended_us = front.appended_us.split_off(rows.min(front.appended_us.len()));
    let back = LogBatch {
        rows: front.rows.slice(rows, later_offsets.len()),
        offsets: later_offsets,
        rejects: front.rejects.split_off(rejects),
        appended_us,
    };
    front.rows = front.rows.slice(0, rows);
    (front, back)
}

/// Number of records.
pub(crate) fn count(batch: &LogBatch) -> u64 {
    (batch.offsets.len() + batch.rejects.len()) as u64
}

/// Whether each record lies on the partition of its key, or may lie anywhere; `None` for a topic without such a rule.
fn at_home(place: TopicPartition, partitions: u16, rows: &RecordBatch) -> Option<Vec<bool>> {
    let key = match place.topic {
        "transactions" => "merchant_id",
        "pings" => "device_id",
        "payments" => "payment_id",
        _ => return None,
    };
    let (kinds, keys) = (texts(rows, "kind"), texts(rows, key));
    let home = |row| match (text(kinds, row), text(keys, row)?) {
        (Some(kind::TICK | kind::CONTROL), _) => None,
        (_, id) if key == "payment_id" => placement::of_payment(id, partitions),
        (_, key) => Some(placement::of_key(key.as_bytes(), partitions)),
    };
    Some((0..rows.num_rows()).map(|row| home(row).is_none_or(|home| home == place.partition)).collect())
}

/// Records on a partition that is not their key's become rejects: the state for them lives elsewhere. Ticks and control
/// records lie on every partition.
pub(crate) fn set_misplaced_aside(
    place: TopicPartition,
    partitions: u16,
    batch: LogBatch,
) -> Result<LogBatch, RunnerError> {
    let Some(kept) = at_home(place, partitions, &batch.rows) else { return Ok(batch) };
    if kept.iter().all(|kept| *kept) {
        return Ok(batch);
    }
    let LogBatch { rows, offsets, mut rejects, appended_us } = batch;
    let (mut kept_offsets, mut kept_times) = (Vec::new(), Vec::new());
    for (row, offset) in offsets.iter().enumerate() {
        if kept[row] {
            kept_offsets.push(*offset);
            kept_times.extend(appended_us.get(row));
        } else {
            let detail =
                "its key belongs on another partition of the topic; its producer must place it by the topic's \
                          rule and count"
                    .to_string();
            rejects.push(Reject { offset: Offset(*offset), reason: WRONG_PARTITION, detail });
        }
    }
    rejects.sort_by_key(|reject| reject.offset);
    let rows = filter_record_batch(&rows, &BooleanArray::from(kept)).map_err(|error| misfit(place.topic, error))?;
    Ok(LogBatch { rows, offsets: kept_offsets, rejects, appended_us: kept_times })
}

/// When the log took each record of a batch.
#[derive(Debug, Default)]
pub(crate) struct AppendTimes {
    offsets: Vec<i64>,
    appended_us: Vec<i64>,
}

impl AppendTimes {
    /// Those of a batch; none where its log does not say.
    pub(crate) fn of(batch: &LogBatch) -> Self {
        if batch.appended_us.is_empty() {
            return Self::default();
        }
        Self { offsets: batch.offsets.clone(), appended_us: batch.appended_us.clone() }
    }

    fn at(&self, offset: i64) -> Option<i64> {
        let appended_us = self.appended_us[self.offsets.binary_search(&offset).ok()?];
        // Negative: the broker did not say.
        (appended_us >= 0).then_some(appended_us)
    }

    /// Rows whose ingest time is the append time of the record that caused them, where there is such a column and time.
    pub(crate) fn stamp(&self, output: &str, offsets: &[i64], rows: RecordBatch) -> Result<RecordBatch, RunnerError> {
        let schema = rows.schema();
        let (false, Ok(index)) = (self.offsets.is_empty(), schema.index_of(INGEST_TIME)) else { return Ok(rows) };
        let before = rows.column(index).as_primitive_opt::<TimestampMicrosecondType>();
        let before = before.ok_or_else(|| misfit(output, "its ingest_time is no time"))?;
        let time = |(row, offset): (usize, &i64)| self.at(*offset).or(before.is_valid(row).then(|| before.value(row)));
        let times: TimestampMicrosecondArray = offsets.iter().enumerate().map(time).collect();
        let mut columns = rows.columns().to_vec();
        columns[index] = Arc::new(times.with_timezone("UTC"));
        RecordBatch::try_new(schema, columns).map_err(|error| misfit(output, error))
    }
}
