//! Values computed by hand, literal definitions that are slow, and the published simulation, small and whole.

mod budget;
mod protocol;
mod search;
mod training;

use std::sync::Arc;

use arrow::array::{
    BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use simulator::handbook::{Handbook, HandbookPlan, schema};

use super::*;
use crate::features::tests::fields;
use crate::features::{FeatureSet, FeatureText, with_derived};
use crate::measures::DAY_US;
use crate::windows::{WindowSet, Windows};

/// A transaction: microseconds, customer, terminal, minor units, scenario, a feature.
type Row = (i64, &'static str, &'static str, i64, i32, f64);

fn batch(rows: &[Row]) -> RecordBatch {
    let column = |column: arrow::array::ArrayRef| column;
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.0)).with_timezone("UTC");
    RecordBatch::try_from_iter([
        ("paid_at", column(Arc::new(times))),
        ("card", column(Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))))),
        ("reader", column(Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))))),
        ("amount_minor", column(Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.3))))),
        ("fraud", column(Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.4 != 0)))))),
        ("kind", column(Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.4))))),
        ("hint", column(Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.5))))),
    ])
    .unwrap()
}

fn columns() -> Columns {
    let [time, customer, terminal, amount, label] =
        ["paid_at", "card", "reader", "amount_minor", "fraud"].map(str::to_string);
    let scenario = Some("kind".to_string());
    Columns { time, customer, terminal, amount, label, scenario, features: vec!["hint".to_string()] }
}

fn transactions(rows: &[Row]) -> Transactions {
    let mut reader = TransactionsReader::new(columns());
    reader.push(&batch(rows)).unwrap();
    reader.finish().unwrap()
}

/// Columns of the simulation with these features.
fn handbook_columns(features: &FeatureSet) -> Columns {
    let [time, customer, terminal, amount, label] =
        ["event_time", "customer_id", "terminal_id", "amount_minor", "fraud"].map(str::to_string);
    Columns {
        time,
        customer,
        terminal,
        amount,
        label,
        scenario: Some("scenario".to_string()),
        features: features.names(),
    }
}

/// The simulation with the features of a text.
fn simulated(plan: &HandbookPlan, text: &FeatureText<'_>) -> (Transactions, FeatureSet) {
    let features = FeatureSet::parse(text, &fields()).unwrap();
    let set = WindowSet {
        windows: features.windows.clone(),
        time: "event_time".to_string(),
        lateness_us: DAY_US,
        keys_max: 1_000_000,
        labels_follow: false,
    };
    let mut windows = Windows::new(set).unwrap();
    let mut reader = TransactionsReader::new(handbook_columns(&features));
    for batch in Handbook::generate(plan, &mut |_| {}).unwrap().batches() {
        let batch = batch.unwrap();
        let values = windows.process(&batch).unwrap();
        let fields = schema().fields().iter().chain(values.schema().fields()).cloned().collect::<Vec<_>>();
        let columns = batch.columns().iter().chain(values.columns()).cloned().collect();
        let rows = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).unwrap();
        reader.push(&with_derived(&rows, &features.derived).unwrap()).unwrap();
    }
    (reader.finish().unwrap(), features)
}
