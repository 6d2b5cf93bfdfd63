//! Job shadow-decisions: what rules and models in shadow say about the payments that they have no row of. It only reads what
//! units wrote, so that no decision can know of it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::DataType;
use fraud::live::Definitions;
use lake::Session;
use schemas::bundles::RulesBundle;
use schemas::ids::ContentHash;
use schemas::judgement::{Judgement, Outcome};
use schemas::tables;
use schemas::topics::text_lists;
use schemas::unit::BundleSource;

use super::Site;
use crate::failure::Failure;
use crate::past::{self, Beside};
use crate::rules_command::shadow::{self, Shadow};
use crate::wiring::StateBundles;

/// Most rows of a commit; what is behind them waits for the next one.
const ROWS_MAX: usize = 500_000;
/// Whether a payment has no row yet.
const IS_NEW: &str = "is_new";

/// The rows that the table lacks.
pub(super) fn compute(site: &Site<'_>, session: &Session) -> Result<Vec<RecordBatch>, Failure> {
    let mut rows = Vec::new();
    for shadow in shadow::all(site.state)? {
        let room = ROWS_MAX - rows.iter().map(RecordBatch::num_rows).sum::<usize>();
        rows.extend(of_shadow(site, session, &shadow, room)?);
    }
    Ok(rows)
}

fn of_shadow(site: &Site<'_>, session: &Session, shadow: &Shadow, room: usize) -> Result<Vec<RecordBatch>, Failure> {
    let hash = shadow.hash;
    let content = StateBundles::new(site.state).checked(hash).map_err(Failure::failed)?;
    let bundle: RulesBundle = serde_json::from_slice(&content).map_err(Failure::failed)?;
    let definitions = Definitions::read(&bundle).map_err(Failure::failed)?;
    let beside = newer_than_rows(hash);
    let first = format!("SELECT min(p.event_time) FROM payments p {} WHERE {}", beside.joins, beside.columns[0].0);
    let Some(first_us) = site.times(session, &first)?.into_iter().next() else { return Ok(Vec::new()) };
    let since_us = first_us.saturating_sub(definitions.reach_us());
    let mut rows = Vec::new();
    let mut left = room;
    let walk = past::judged(session, &bundle, &beside, since_us, |payments, judgements| {
        let made = made(hash, payments, &judgements)?;
        let made = made.slice(0, made.num_rows().min(left));
        left -= made.num_rows();
        rows.push(made);
        Ok(())
    });
    site.runtime.block_on(walk)?;
    rows.retain(|rows| rows.num_rows() > 0);
    Ok(rows)
}

/// Rows of a partition are written in the order of its log, so that those behind the last one have none.
fn newer_than_rows(hash: ContentHash) -> Beside {
    Beside {
        joins: format!(
            "LEFT JOIN (SELECT source_partition AS partition, max(source_offset) AS written_to FROM shadow_decisions \
                WHERE shadow_bundle = '{}' GROUP BY 1) w ON w.partition = p.source_partition",
            hash.to_hex()
        ),
        columns: vec![
            ("(w.written_to IS NULL OR p.source_offset > w.written_to)", IS_NEW, DataType::Boolean),
            ("p.source_topic", "source_topic", DataType::Utf8),
            ("p.source_partition", "source_partition", DataType::Int32),
            ("p.source_offset", "source_offset", DataType::Int64),
        ],
    }
}

/// The table's rows for payments that are new and judged.
fn made(hash: ContentHash, payments: &RecordBatch, judgements: &[Option<Judgement>]) -> Result<RecordBatch, Failure> {
    let is_new = payments[IS_NEW].as_boolean();
    let is_made = |row: &usize| is_new.value(*row) && judgements[*row].is_some();
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
