//! Which topic a unit's output goes to in a Kafka run, and which partition of it each row goes to.
//!
//! A row goes where the state for its key lives. What the lake makes by itself from a topic that it reads (payments,
//! merchants, readers, couriers, pings) is not sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array, new_null_array,
};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use log::group::TopicPartition;
use schemas::topics::kind;
use schemas::{Partition, placement, topics};

use crate::RunnerError;
use crate::buffer::misfit;
use crate::chain::DEAD_LETTERS;

/// How a row finds its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placing {
    /// By the route in the payment id; a tick goes to every partition. A row without payment id goes by the partition
    /// that it came from.
    Payment,
    /// By the hash of the first of these columns that has a value, else by the partition that it came from.
    Key(&'static [&'static str]),
    /// By the partition that it came from, and with the place of its record in the source columns.
    Source,
}

/// Where an output's rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The topic.
    pub topic: &'static str,
    /// Which of its partitions.
    pub placing: Placing,
}

/// To where the device's fixes lie.
const DEVICE: Placing = Placing::Key(&["device_id"]);

/// Where an output of a unit goes; `None`: nowhere.
pub fn destination(unit: &str, output: &str) -> Option<Route> {
    let (topic, placing) = match (unit, output) {
        ("trips", "trips") => ("trips", DEVICE),
        ("trips", "stops") => ("stops", DEVICE),
        ("trips", "ping_faults") => ("ping_faults", DEVICE),
        ("trips", "vehicles") => ("vehicles", DEVICE),
        // One writer a topic: the lake reads pings itself and writes their dead letters.
        ("trips", _) => return None,
        (_, DEAD_LETTERS) => (DEAD_LETTERS, Placing::Source),
        ("decode", "to_authorize") => ("payments", Placing::Payment),
        ("authorize", "decisions") => ("decisions", Placing::Key(&["merchant_id"])),
        ("authorize", "alerts") => ("alerts", Placing::Key(&["token", "payment_id"])),
        ("authorize", "labels") => ("labels", Placing::Key(&["payment_id"])),
        _ => return None,
    };
    Some(Route { topic, placing })
}

/// Rows for one partition of one topic, in the topic's schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Routed {
    /// Topic.
    pub topic: &'static str,
    /// Partition.
    pub partition: Partition,
    /// Rows in order.
    pub rows: RecordBatch,
}

/// Numbers of partitions by topic.
pub(crate) type Counts = BTreeMap<&'static str, u16>;

impl Route {
    /// Rows of one input partition by output partition, in their order within each.
    pub(crate) fn split(
        self,
        source: TopicPartition,
        offsets: &[i64],
        rows: &RecordBatch,
        counts: &Counts,
    ) -> Result<Vec<Routed>, RunnerError> {
        let failed = |error: ArrowError| misfit(self.topic, error);
        let count = counts.get(self.topic).copied().unwrap_or(1).max(1);
        let rows = self.conform(source, offsets, rows).map_err(failed)?;
        let mut places: BTreeMap<Partition, Vec<u32>> = BTreeMap::new();
        let place = self.placer(&rows, source, count);
        for (row, number) in (0..rows.num_rows()).zip(0_u32..) {
            match place(row) {
                Some(partition) => places.entry(partition).or_default().push(number),
                None => {
                    (0..i32::from(count)).for_each(|every| places.entry(Partition(every)).or_default().push(number))
                }
            }
        }
        let pick = |(partition, places): (Partition, Vec<u32>)| {
            let is_all = places.len() == rows.num_rows();
            let rows = if is_all { rows.clone() } else { take_record_batch(&rows, &UInt32Array::from(places))? };
            Ok(Routed { topic: self.topic, partition, rows })
        };
        places.into_iter().map(pick).collect::<Result<_, ArrowError>>().map_err(failed)
    }

    /// The rows in the topic's schema: columns that the unit does not know are null, or the place of the record.
    fn conform(self, source: TopicPartition, offsets: &[i64], rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let schema = topics::by_name(self.topic).unwrap_or_else(|| rows.schema());
        let mut columns = rows.columns().to_vec();
        if self.placing == Placing::Source {
            let topic = StringArray::from_iter_values(offsets.iter().map(|_| source.topic));
            let partition = Int32Array::from_value(source.partition.0, offsets.len());
            let place: [ArrayRef; 3] =
                [Arc::new(topic), Arc::new(partition), Arc::new(Int64Array::from(offsets.to_vec()))];
            columns.extend(place);
        }
        let missing = schema.fields().iter().skip(columns.len());
        columns.extend(missing.map(|field| new_null_array(field.data_type(), rows.num_rows())));
        RecordBatch::try_new(schema, columns)
    }

    /// Tells for each row its partition; `None`: every partition.
    fn placer<'a>(
        self,
        rows: &'a RecordBatch,
        source: TopicPartition,
        count: u16,
    ) -> impl Fn(usize) -> Option<Partition> + 'a {
        let kinds = texts(rows, "kind");
        let names: &[&str] = match self.placing {
            Placing::Payment => &["payment_id"],
            Placing::Key(columns) => columns,
            Placing::Source => &[],
        };
        let keys: Vec<_> = names.iter().map(|name| texts(rows, name)).collect();
        let by_source = Partition(source.partition.0.rem_euclid(i32::from(count)));
        move |row| {
            let key = keys.iter().find_map(|column| text(*column, row));
            let home = match self.placing {
                Placing::Payment if text(kinds, row) == Some(kind::TICK) => return None,
                Placing::Payment => key.and_then(|id| placement::of_payment(id, count)),
                Placing::Key(_) => key.map(|key| placement::of_key(key.as_bytes(), count)),
                Placing::Source => None,
            };
            Some(home.unwrap_or(by_source))
        }
    }
}

/// A text column, where the rows have it.
pub(crate) fn texts<'a>(rows: &'a RecordBatch, column: &str) -> Option<&'a StringArray> {
    rows.column_by_name(column)?.as_string_opt()
}

/// Its value in a row.
pub(crate) fn text(column: Option<&StringArray>, row: usize) -> Option<&str> {
    column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
}
