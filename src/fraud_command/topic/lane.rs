//! A partition that is being read: its records become rows with features, and its state is that of its windows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use fraud::windows::Windows;
use log::kafka::{Found, HandReader, TopicRecord};
use log::wire::{ForeignDecoder, RawRecords};
use log::{LogBatch, Reject};
use schemas::tables::with_source;
use schemas::{Offset, Partition, topics};

use super::input::Input;
use crate::failure::Failure;

/// Records of a batch.
const BATCH_ROWS: usize = 8_192;
/// Bytes of payloads of a batch; the record that passes it is the last.
const BATCH_BYTES: usize = 8 << 20;
/// A snapshot may be taken at multiples of this offset.
pub const SNAPSHOT_STEP: i64 = 1 << 18;
/// A snapshot is taken when a quarter of what is kept has come since the last one, so that saving costs a bounded
/// share of reading, however large the state.
const SNAPSHOT_SHARE: i64 = 4;
/// How long a batch that has begun waits for more, and how long an idle reader waits.
const MORE: Duration = Duration::from_millis(5);
const IDLE: Duration = Duration::from_millis(100);

/// What all partitions share.
pub struct Common {
    pub input: Input,
    pub topic: String,
    /// The one field that makes the windows' key.
    pub key: String,
    /// Columns of the table.
    pub table: SchemaRef,
    pub stop: AtomicBool,
    /// Whether reading stops where the partitions ended at the start.
    pub until_end: bool,
}

/// What became of the records of a partition between two offsets.
pub struct Portion {
    /// Place among the lanes.
    pub lane: usize,
    /// Everything below was read.
    pub next: Offset,
    pub rows: RecordBatch,
    pub letters: RecordBatch,
    /// The state after everything below `next`.
    pub state: Option<Vec<u8>>,
}

/// A partition.
pub struct Lane {
    number: usize,
    partition: Partition,
    next: Offset,
    /// Where it ended at the start.
    end: Offset,
    raw: RawRecords,
    keys: RawRecords,
    decoder: ForeignDecoder,
    windows: Windows,
    /// The next place of a snapshot, and where the last one was taken.
    cut: i64,
    saved_at: i64,
    is_done: bool,
}

impl Lane {
    /// A lane that goes on from an offset with the state there.
    pub fn new(
        number: usize,
        partition: Partition,
        next: Offset,
        end: Offset,
        windows: Windows,
        common: &Common,
    ) -> Result<Self, Failure> {
        Ok(Self {
            number,
            partition,
            next,
            end,
            raw: RawRecords::default(),
            keys: RawRecords::default(),
            decoder: common.input.decoder()?,
            windows,
            cut: cut_after(next.0),
            saved_at: next.0,
            is_done: common.until_end && next >= end,
        })
    }

    /// Where it goes on.
    pub fn start(&self) -> (Partition, Offset) {
        (self.partition, self.next)
    }

    fn is_full(&self) -> bool {
        self.raw.len() >= BATCH_ROWS || self.raw.bytes.len() >= BATCH_BYTES
    }

    /// Takes a record; gives what is complete before or with it.
    fn take(&mut self, record: &TopicRecord<'_>, common: &Common, out: &Out) -> Result<(), Failure> {
        if self.is_done || record.offset() < self.next.0 {
            return Ok(());
        }
        if common.until_end && record.offset() >= self.end.0 {
            self.is_done = true;
            return Ok(());
        }
        if record.offset() >= self.cut {
            let cut = self.cut;
            self.cut = cut_after(record.offset());
            self.next = Offset(cut);
            let is_due =
                (cut - self.saved_at) * SNAPSHOT_SHARE >= i64::try_from(self.windows.entries()).unwrap_or(i64::MAX);
            self.flush(is_due, common, out)?;
        }
        self.raw.push(record.offset(), record.appended_us(), record.payload());
        self.keys.push(record.offset(), record.appended_us(), record.key());
        self.next = Offset(record.offset() + 1);
        if self.is_full() { self.flush(false, common, out) } else { Ok(()) }
    }

    /// Hands out what was taken, and the state with it if it is asked for.
    fn flush(&mut self, with_state: bool, common: &Common, out: &Out) -> Result<(), Failure> {
        if self.raw.is_empty() && !with_state {
            return Ok(());
        }
        let mut batch = common.input.rows(self.decoder.decode(&self.raw)?)?;
        let foreign = self.foreign_key(&batch, common)?;
        if let Some(offset) = foreign {
            batch = before(batch, offset);
            self.next = Offset(offset);
        }
        let with_state = with_state && foreign.is_none();
        let LogBatch { rows, offsets, rejects, .. } = batch;
        let values = self.windows.process(&rows).map_err(Failure::failed)?;
        let columns = rows.columns().iter().chain(values.columns()).cloned().chain(self.source(&offsets, common));
        let rows = RecordBatch::try_new(common.table.clone(), columns.collect()).map_err(Failure::failed)?;
        let letters = self.letters(&rejects, common)?;
        // After the rows: the state is that behind them.
        let state = with_state.then(|| self.windows.save()).transpose().map_err(Failure::failed)?;
        if state.is_some() {
            self.saved_at = self.next.0;
        }
        self.raw.clear();
        self.keys.clear();
        let portion = Portion { lane: self.number, next: self.next, rows, letters, state };
        // Nobody listens any more where writing has failed, which ends the run.
        common.stop.fetch_or(out.send(Ok(portion)).is_err(), Ordering::Relaxed);
        foreign.map_or(Ok(()), |offset| Err(self.other_key(offset, common)))
    }

    /// The first record that its producer placed by something else than the windows' key: what belongs together would lie
    /// on several partitions.
    fn foreign_key(&self, batch: &LogBatch, common: &Common) -> Result<Option<i64>, Failure> {
        let column = batch.rows.column_by_name(&common.key);
        let column = column.ok_or_else(|| Failure::failed("the windows' key is no column"))?;
        let texts = column.as_string_opt::<i32>();
        let numbers = column.as_primitive_opt::<Int64Type>();
        let mut raw = 0;
        for (row, offset) in batch.offsets.iter().enumerate().filter(|(row, _)| column.is_valid(*row)) {
            while self.raw.offsets[raw] < *offset {
                raw += 1;
            }
            let key = self.keys.payload(raw);
            let is_same = match (texts, numbers) {
                (Some(texts), _) => texts.value(row).as_bytes() == key,
                (None, Some(numbers)) => {
                    std::str::from_utf8(key).is_ok_and(|key| key.parse() == Ok(numbers.value(row)))
                }
                (None, None) => false,
            };
            if !is_same {
                return Ok(Some(*offset));
            }
        }
        Ok(None)
    }

    fn other_key(&self, offset: i64, common: &Common) -> Failure {
        let Common { topic, key, .. } = common;
        Failure::refused(format!(
            "the record at {topic}/{} offset {offset} has another message key than its {key}: its windows may lie on \
             several partitions",
            self.partition
        ))
        .with_help(format!(
            "key the records by {key} (their message key must be its text) and write them to a topic of their own, or \
             define windows by what they are keyed by; the table holds all of this partition before that record"
        ))
    }

    /// The source columns.
    fn source(&self, offsets: &[i64], common: &Common) -> [ArrayRef; 3] {
        [
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&common.topic, offsets.len()))),
            Arc::new(Int32Array::from_value(self.partition.0, offsets.len())),
            Arc::new(Int64Array::from(offsets.to_vec())),
        ]
    }

    /// Rows of table `dead_letters`.
    fn letters(&self, rejects: &[Reject], common: &Common) -> Result<RecordBatch, Failure> {
        let offsets: Vec<i64> = rejects.iter().map(|reject| reject.offset.0).collect();
        let appended = offsets.iter().map(|offset| {
            let found = self.raw.offsets.binary_search(offset).ok();
            found.map(|index| self.raw.appended_us[index]).filter(|appended_us| *appended_us >= 0)
        });
        let appended: TimestampMicrosecondArray = appended.collect();
        let own: [ArrayRef; 5] = [
            Arc::new(StringArray::from_iter_values(rejects.iter().map(|_| "log"))),
            Arc::new(StringArray::from_iter_values(rejects.iter().map(|reject| reject.reason))),
            Arc::new(StringArray::from_iter_values(rejects.iter().map(|reject| &reject.detail))),
            arrow::array::new_null_array(&topics::timestamp(), rejects.len()),
            Arc::new(appended.with_timezone("UTC")),
        ];
        let columns = own.into_iter().chain(self.source(&offsets, common)).collect();
        RecordBatch::try_new(with_source(&topics::dead_letters()), columns).map_err(Failure::failed)
    }
}

/// What a batch holds of the records below an offset, both rows and rejects in order.
fn before(mut batch: LogBatch, offset: i64) -> LogBatch {
    let rows = batch.offsets.partition_point(|found| *found < offset);
    batch.offsets.truncate(rows);
    batch.rows = batch.rows.slice(0, rows);
    batch.rejects.retain(|reject| reject.offset.0 < offset);
    batch
}

fn cut_after(offset: i64) -> i64 {
    offset - offset.rem_euclid(SNAPSHOT_STEP) + SNAPSHOT_STEP
}

/// Whether values of this type can be compared with message keys.
pub fn can_be_key(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Int64)
}

/// Where portions go, in order of each lane.
pub type Out = SyncSender<Result<Portion, Failure>>;

/// Reads some lanes until they are done or the run stops; then hands out the rest with the states.
pub fn work(reader: &HandReader, lanes: &mut [Lane], common: &Common, out: &Out) -> Result<(), Failure> {
    while !common.stop.load(Ordering::Relaxed) && lanes.iter().any(|lane| !lane.is_done) {
        let has_begun = lanes.iter().any(|lane| !lane.raw.is_empty());
        match reader.poll(if has_begun { MORE } else { IDLE })? {
            Some(Found::Record(record)) => {
                let lane = lanes.iter_mut().find(|lane| lane.partition == record.partition());
                lane.map_or(Ok(()), |lane| lane.take(&record, common, out))?;
            }
            Some(Found::End(partition)) => {
                let ended = lanes.iter_mut().find(|lane| common.until_end && lane.partition == partition);
                ended.into_iter().for_each(|lane| lane.is_done = true);
            }
            None => lanes.iter_mut().try_for_each(|lane| lane.flush(false, common, out))?,
        }
    }
    for lane in lanes {
        let is_new = lane.next.0 > lane.saved_at;
        lane.flush(is_new, common, out)?;
    }
    Ok(())
}
