//! Job shadow-decisions: what rules and models in shadow say about the payments that they have no row of. It only reads what
//! units wrote, so that no decision can know of it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use fraud::live::Definitions;
use lake::Session;
use schemas::bundles::RulesBundle;
use schemas::ids::ContentHash;
use schemas::judgement::{Judgement, Outcome};
use schemas::tables::{self, SOURCE_OFFSET, SOURCE_PARTITION};
use schemas::topics::text_lists;
use schemas::unit::BundleSource;

use super::{Site, Work};
use crate::failure::Failure;
use crate::past;
use crate::rules_command::shadow::{self, Shadow};
use crate::wiring::StateBundles;

/// Most rows of a commit; what is behind them waits for the next one.
const ROWS_MAX: usize = 500_000;

/// The rows that the table lacks.
pub(super) fn compute(site: &Site<'_>, session: &Session) -> Result<Work, Failure> {
    let (mut batches, mut room) = (Vec::new(), ROWS_MAX);
    for shadow in shadow::all(site.state)? {
        let rows = of_shadow(site, session, &shadow, room)?;
        room -= rows.iter().map(RecordBatch::num_rows).sum::<usize>();
        batches.extend(rows);
    }
    Ok(Work { batches, goes_on: room == 0, ..Work::default() })
}

fn of_shadow(site: &Site<'_>, session: &Session, shadow: &Shadow, room: usize) -> Result<Vec<RecordBatch>, Failure> {
    let hash = shadow.hash;
    let content = StateBundles::new(site.state).checked(hash).map_err(Failure::failed)?;
    let bundle: RulesBundle = serde_json::from_slice(&content).map_err(Failure::failed)?;
    let definitions = Definitions::read(&bundle).map_err(Failure::failed)?;
    let written = written(site, session, hash)?;
    let read = written
        .iter()
        .map(|(partition, offset)| format!("NOT (source_partition = {partition} AND source_offset <= {offset})"));
    let is_new = ["true".to_string()].into_iter().chain(read).collect::<Vec<_>>().join(" AND ");
    let first = format!("SELECT min(event_time) FROM payments WHERE {is_new}");
    let Some(first_us) = site.times(session, &first)?.into_iter().next() else { return Ok(Vec::new()) };
    let since_us = first_us.saturating_sub(definitions.reach_us());
    let mut rows = Vec::new();
    let mut left = room;
    let walk = past::judged(session, &bundle, since_us, |payments, judgements| {
        let made = made(hash, payments, &judgements, &written)?;
        let made = made.slice(0, made.num_rows().min(left));
        left -= made.num_rows();
        rows.push(made);
        Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    site.runtime.block_on(walk)?;
    rows.retain(|rows| rows.num_rows() > 0);
    Ok(rows)
}

/// The newest payment of each partition that has a row. Rows are written in the order of the partition's log, so that those
/// behind it have none.
fn written(site: &Site<'_>, session: &Session, hash: ContentHash) -> Result<BTreeMap<i32, i64>, Failure> {
    let sql = format!(
        "SELECT arrow_cast(source_partition, 'Int32'), max(source_offset) FROM shadow_decisions \
         WHERE shadow_bundle = '{}' GROUP BY source_partition",
        hash.to_hex()
    );
    let mut written = BTreeMap::new();
    for batch in site.query(session, &sql)? {
        let partitions = batch.column(0).as_primitive::<Int32Type>().values().iter().copied();
        written.extend(partitions.zip(batch.column(1).as_primitive::<Int64Type>().values().iter().copied()));
    }
    Ok(written)
}

/// The table's rows for payments that are new and judged.
fn made(
    hash: ContentHash,
    payments: &RecordBatch,
    judgements: &[Option<Judgement>],
    written: &BTreeMap<i32, i64>,
) -> Result<RecordBatch, Failure> {
    let partitions = cast(&payments[SOURCE_PARTITION], &DataType::Int32).map_err(Failure::failed)?;
    let partitions = partitions.as_primitive::<Int32Type>();
    let offsets = payments[SOURCE_OFFSET].as_primitive::<Int64Type>();
    let is_new = |row: usize| written.get(&partitions.value(row)).is_none_or(|newest| offsets.value(row) > *newest);
    let is_made = |row: &usize| is_new(*row) && judgements[*row].is_some();
    let places: Vec<usize> = (0..payments.num_rows()).filter(is_made).collect();
    let said: Vec<&Judgement> = places.iter().filter_map(|row| judgements[*row].as_ref()).collect();
    let taken: UInt32Array = places.iter().map(|row| *row as u32).collect();
    let payments = take_record_batch(payments, &taken).map_err(Failure::failed)?;
    let schema = tables::by_name("shadow_decisions").expect("the tables of jobs are among all tables").schema;
    let columns = schema.fields().iter().map(|field| {
        let column: ArrayRef = match field.name().as_str() {
            "shadow_bundle" => Arc::new(StringArray::from(vec![hash.to_hex(); said.len()])),
            "outcome" => Arc::new(said.iter().map(|said| Some(outcome(said))).collect::<StringArray>()),
            "score" => Arc::new(said.iter().map(|said| said.score).collect::<Float64Array>()),
            "features" => texts(said.iter().map(|said| &said.features)),
            "fired_rules" => texts(said.iter().map(|said| &said.fired)),
            "contributions" => texts(said.iter().map(|said| &said.contributions)),
            name => payments[name].clone(),
        };
        cast(&column, field.data_type()).map_err(Failure::failed)
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema.clone(), columns).map_err(Failure::failed)
}

fn outcome(said: &Judgement) -> &'static str {
    match said.outcome {
        Some(Outcome::Block) => "block",
        Some(Outcome::Review) => "review",
        None => "nothing",
    }
}

fn texts<'a>(lists: impl Iterator<Item = &'a Vec<String>>) -> ArrayRef {
    let mut builder = text_lists();
    for list in lists {
        list.iter().for_each(|text| builder.values().append_value(text));
        builder.append(true);
    }
    Arc::new(builder.finish())
}
