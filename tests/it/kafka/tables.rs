//! The audit's second half: every table of the lake holds the rows of its topics with their places, each once. What
//! the rows must be is said here in other words than the lake unit's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Field, SchemaRef, TimestampMicrosecondType};
use decode::DecodeUnit;
use log::LogBatch;
use schemas::ids::ContentHash;
use schemas::tables::{SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TOPIC};
use schemas::topics::kind;
use schemas::unit::{BundleSource, Control, ControlChange, Input, Output, Unit};
use schemas::{Offset, Partition};
use trips::FixesUnit;

use super::audit::{CONTROL, Held, Row, StateBundles, compare, lines, repeated, texts, without_kinds};
use super::processes::Site;

/// Rows of every table.
pub type Tables = BTreeMap<&'static str, RecordBatch>;

/// Tables whose rows are those of the topic of the same name.
const OF_TOPICS: [&str; 8] = ["payments", "decisions", "alerts", "labels", "ping_faults", "stops", "trips", "vehicles"];
/// What is compared of dead letters, whose times are checked on their topic.
const LETTER_COLUMNS: [&str; 6] = ["unit", "reason", "detail", SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET];
const DEAD_LETTERS: &str = "dead_letters";

/// Reads every table of a lake.
pub fn read(lake: &Path) -> Tables {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let session = lake::open_session(lake).await.unwrap();
        let mut tables = Tables::new();
        for spec in schemas::tables::all() {
            let batches = session.collect(&format!("SELECT * FROM {}", spec.name)).await.unwrap();
            let batches: Vec<RecordBatch> = batches.iter().map(|batch| conformed(batch, &spec.schema)).collect();
            tables.insert(spec.name, concat_batches(&spec.schema, &batches).unwrap());
        }
        tables
    })
}

/// Rows in the table's own types: a query's texts are views of the file.
fn conformed(rows: &RecordBatch, schema: &SchemaRef) -> RecordBatch {
    let column = |field: &Arc<Field>| cast(rows.column_by_name(field.name()).unwrap(), field.data_type()).unwrap();
    RecordBatch::try_new(schema.clone(), schema.fields().iter().map(column).collect()).unwrap()
}

/// What is wrong with the tables.
pub fn findings(held: &Held, site: &Site) -> Vec<String> {
    let expected = Expected::of(held, site);
    let specs = schemas::tables::all().into_iter();
    let compared = specs.filter_map(|spec| {
        let columns: Vec<String> = match spec.name {
            DEAD_LETTERS => LETTER_COLUMNS.iter().map(ToString::to_string).collect(),
            _ => spec.schema.fields().iter().map(|field| field.name().clone()).collect(),
        };
        let rows = |batches: &[RecordBatch]| -> Vec<Row> {
            batches.iter().flat_map(|batch| rows_of(spec.name, &picked(batch, &columns))).collect()
        };
        let expected = rows(expected.tables.get(spec.name).map_or(&[], Vec::as_slice));
        let found = rows(std::slice::from_ref(&held.tables[spec.name]));
        compare(&format!("table {}", spec.name), &expected, &found, false)
    });
    compared.collect()
}

fn rows_of(table: &str, rows: &RecordBatch) -> Vec<Row> {
    let texts = lines(rows).into_iter();
    texts.map(|text| Row { text, place: format!("table {table}") }).collect()
}

/// These columns in this order.
pub fn picked(rows: &RecordBatch, columns: &[String]) -> RecordBatch {
    let indices: Vec<usize> = columns.iter().map(|name| rows.schema().index_of(name).unwrap()).collect();
    rows.project(&indices).unwrap()
}

/// What the tables must hold.
#[derive(Default)]
struct Expected {
    tables: BTreeMap<&'static str, Vec<RecordBatch>>,
}

impl Expected {
    fn of(held: &Held, site: &Site) -> Self {
        let mut expected = Self::default();
        for topic in OF_TOPICS {
            for (partition, batch) in batches(held, topic) {
                let (rows, offsets) = without_kinds(&batch.rows, &batch.offsets, &[kind::TICK, kind::CONTROL]);
                expected.push(topic, with_places(&rows, topic, partition, &offsets));
            }
        }
        for (_, batch) in batches(held, DEAD_LETTERS) {
            expected.push(DEAD_LETTERS, batch.rows.clone());
        }
        for (partition, batch) in batches(held, "pings") {
            expected.pings(partition, batch);
            expected.rejects("pings", partition, batch);
        }
        let bundles = StateBundles(site.state());
        for (partition, batch) in batches(held, CONTROL) {
            expected.control(partition, batch, &bundles);
            expected.rejects(CONTROL, partition, batch);
        }
        expected
    }

    fn push(&mut self, table: &'static str, rows: RecordBatch) {
        self.tables.entry(table).or_default().push(rows);
    }

    /// Fixes, and dead letters of what is none.
    fn pings(&mut self, partition: Partition, batch: &LogBatch) {
        let (rows, offsets) = without_kinds(&batch.rows, &batch.offsets, &[kind::CONTROL]);
        let mut outputs = Vec::new();
        FixesUnit::default().process(&Input { topic: "pings", partition, offsets, rows }, &mut outputs).unwrap();
        self.outputs("pings", partition, batch, outputs);
    }

    /// What bundles for decode say about merchants, readers and couriers.
    fn control(&mut self, partition: Partition, batch: &LogBatch, bundles: &dyn BundleSource) {
        let column = |name| texts(&batch.rows, name).unwrap();
        let times = batch.rows.column_by_name("received_at").unwrap().as_primitive::<TimestampMicrosecondType>();
        for (row, offset) in batch.offsets.iter().enumerate() {
            if column("control_unit").value(row) != "decode" || column("control_type").value(row) != "bundle" {
                continue;
            }
            let hash = ContentHash::from_hex(column("control_hash").value(row)).unwrap();
            let change = ControlChange::Bundle { hash, content: bundles.bundle(hash).unwrap() };
            let control = Control { offset: Offset(*offset), received_at_us: times.value(row), change };
            let mut outputs = Vec::new();
            let mut unit = DecodeUnit::new(decode::keys::KeyRing::published());
            unit.control(&control, &mut outputs).unwrap();
            self.outputs(CONTROL, partition, batch, outputs);
        }
    }

    /// Rows that a unit made of a batch: their ingest time is that of their record.
    fn outputs(&mut self, topic: &str, partition: Partition, batch: &LogBatch, outputs: Vec<Output>) {
        for Output { name, offsets, rows } in outputs {
            let appended = |offset: &i64| batch.appended_us[batch.offsets.binary_search(offset).unwrap()];
            let times: TimestampMicrosecondArray = offsets.iter().map(appended).map(Some).collect();
            let index = rows.schema().index_of("ingest_time").unwrap();
            let mut columns = rows.columns().to_vec();
            columns[index] = Arc::new(times.with_timezone("UTC"));
            let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
            self.push(name, with_places(&rows, topic, partition, &offsets));
        }
    }

    /// Dead letters of records that do not parse.
    fn rejects(&mut self, topic: &str, partition: Partition, batch: &LogBatch) {
        if batch.rejects.is_empty() {
            return;
        }
        let schema = schemas::topics::dead_letters();
        let count = batch.rejects.len();
        let text = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
        let mut columns = vec![
            text(vec!["log"; count]),
            text(batch.rejects.iter().map(|reject| reject.reason).collect()),
            text(batch.rejects.iter().map(|reject| reject.detail.as_str()).collect()),
        ];
        columns.extend(schema.fields().iter().skip(3).map(|field| new_null_array(field.data_type(), count)));
        let offsets: Vec<i64> = batch.rejects.iter().map(|reject| reject.offset.0).collect();
        let rows = RecordBatch::try_new(schema, columns).unwrap();
        self.push(DEAD_LETTERS, with_places(&rows, topic, partition, &offsets));
    }
}

fn batches<'a>(held: &'a Held, topic: &'static str) -> impl Iterator<Item = (Partition, &'a LogBatch)> {
    held.partitions(topic).flat_map(|(partition, records)| records.iter().map(move |batch| (partition, batch)))
}

/// Rows with the place of each.
pub fn with_places(rows: &RecordBatch, topic: &str, partition: Partition, offsets: &[i64]) -> RecordBatch {
    let topic: ArrayRef = Arc::new(StringArray::from_iter_values(offsets.iter().map(|_| topic)));
    let places = [
        (SOURCE_TOPIC, topic),
        (SOURCE_PARTITION, repeated(partition.0, offsets.len())),
        (SOURCE_OFFSET, Arc::new(Int64Array::from(offsets.to_vec()))),
    ];
    let columns = rows.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let columns = columns.into_iter().zip(rows.columns().iter().cloned());
    let columns = columns.chain(places.map(|(name, column)| (name.to_string(), column)));
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}
