//! The payments of a lake in the order of their log, with everything that rules and models may read as of each of them: what
//! was seen then, by whatever windows are asked for now.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, take_arrays};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use fraud::live::{CardSide, MerchantSide};
use lake::{Session, moment};
use schemas::bundles::RulesBundle;
use schemas::ids::ContentHash;
use schemas::judgement::Judgement;
use schemas::topics;

use crate::failure::Failure;

/// What is known of a payment besides what rules may read.
pub struct Beside {
    /// Joins in SQL, behind `payments p`.
    pub joins: String,
    /// Expressions in SQL, each with the name of its column and its type.
    pub columns: Vec<(&'static str, &'static str, DataType)>,
}

/// Hands over the payments that are judged, batch by batch: the fields of these rules, their model's score, and behind them
/// what stands beside.
pub async fn each(
    session: &Session,
    rules: &RulesBundle,
    beside: &Beside,
    mut take: impl FnMut(&RecordBatch) -> Result<(), Failure>,
) -> Result<(), Failure> {
    walk(session, rules, beside, None, |rows, payments, card| {
        let Some((fields, places)) = card.fields_of(payments).map_err(Failure::failed)? else { return Ok(()) };
        let others: Vec<ArrayRef> = beside.columns.iter().map(|(_, name, _)| rows[*name].clone()).collect();
        let others = take_arrays(&others, &places, None).map_err(Failure::failed)?;
        take(&with_others(&fields, &beside.columns, &others)?)
    })
    .await
}

/// Hands over payments, batch by batch, with what these rules say about each, and what stands beside. Payments before
/// `since_us` are left out: whoever names it has looked how far back the windows reach.
pub async fn judged(
    session: &Session,
    rules: &RulesBundle,
    beside: &Beside,
    since_us: i64,
    mut take: impl FnMut(&RecordBatch, Vec<Option<Judgement>>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    walk(session, rules, beside, Some(since_us), |rows, payments, card| {
        take(rows, card.judge(payments).map_err(Failure::failed)?)
    })
    .await
}

/// Hands over the payments by partition with the card's side that has seen those before. On a lake that brokers' topics
/// filled, windows of the merchant's side are those that travelled with the payments; new ones are missing.
async fn walk(
    session: &Session,
    rules: &RulesBundle,
    beside: &Beside,
    since_us: Option<i64>,
    mut take: impl FnMut(&RecordBatch, &RecordBatch, &mut CardSide) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let content = serde_json::to_vec(rules).map_err(Failure::failed)?;
    let of_payments = topics::payments().fields().iter().map(|field| format!("p.{}", field.name())).collect::<Vec<_>>();
    let of_others = beside.columns.iter().map(|(sql, name, _)| format!("{sql} AS {name}"));
    let place = "p.source_partition AS place_partition".to_string();
    let columns: Vec<String> = of_payments.into_iter().chain(of_others).chain([place]).collect();
    let since = since_us.map_or_else(String::new, |since_us| format!("WHERE p.event_time >= {}", moment(since_us)));
    let sql = format!(
        "SELECT {} FROM payments p {} {since} ORDER BY p.source_partition, p.source_offset",
        columns.join(", "),
        beside.joins
    );
    let is_embedded = is_embedded(session).await?;
    let mut sides: Option<(i32, MerchantSide, CardSide)> = None;
    session
        .each::<Failure>(&sql, |batch| {
            for (partition, rows) in by_partition(batch)? {
                let (_, merchant, card) = match &mut sides {
                    Some(sides) if sides.0 == partition => sides,
                    _ => sides.insert(new_sides(partition, &content)?),
                };
                take(&rows, &payments_of(&rows, is_embedded.then_some(merchant))?, card)?;
            }
            Ok(())
        })
        .await
}

/// Whether the payments lie in the order in which decode read them.
async fn is_embedded(session: &Session) -> Result<bool, Failure> {
    let others = session.collect("SELECT 1 FROM payments WHERE source_topic <> 'transactions' LIMIT 1").await?;
    Ok(others.iter().all(|batch| batch.num_rows() == 0))
}

fn new_sides(partition: i32, content: &[u8]) -> Result<(i32, MerchantSide, CardSide), Failure> {
    let (mut merchant, mut card) = (MerchantSide::default(), CardSide::default());
    let hash = ContentHash::of(content);
    merchant.accept(hash, content, 0).map_err(Failure::failed)?;
    card.accept(hash, content, 0).map_err(Failure::failed)?;
    Ok((partition, merchant, card))
}

/// Rows of a batch, which are in the order of partitions, by partition.
fn by_partition(batch: &RecordBatch) -> Result<Vec<(i32, RecordBatch)>, Failure> {
    let partitions = cast(&batch["place_partition"], &DataType::Int32).map_err(Failure::failed)?;
    let partitions = partitions.as_primitive::<Int32Type>().values().to_vec();
    let mut start = 0;
    let parts = partitions.chunk_by(|one, other| one == other).map(|part| {
        let rows = batch.slice(start, part.len());
        start += part.len();
        (part[0], rows)
    });
    Ok(parts.collect())
}

/// The payments' own columns, with the windows of the merchant's side computed anew where that can be.
fn payments_of(rows: &RecordBatch, merchant: Option<&mut MerchantSide>) -> Result<RecordBatch, Failure> {
    let schema = topics::payments();
    let columns = schema.fields().iter().zip(rows.columns());
    let columns = columns.map(|(field, column)| cast(column, field.data_type()));
    let mut columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>().map_err(Failure::failed)?;
    if let Some(merchant) = merchant {
        let payments = RecordBatch::try_new(schema.clone(), columns.clone()).map_err(Failure::failed)?;
        columns[schema.index_of("windows").map_err(Failure::failed)?] =
            merchant.values(&payments).map_err(Failure::failed)?;
    }
    RecordBatch::try_new(schema, columns).map_err(Failure::failed)
}

fn with_others(
    fields: &RecordBatch,
    named: &[(&'static str, &'static str, DataType)],
    others: &[ArrayRef],
) -> Result<RecordBatch, Failure> {
    let mut all: Vec<Arc<Field>> = fields.schema().fields().iter().cloned().collect();
    let mut columns = fields.columns().to_vec();
    for ((_, name, data_type), column) in named.iter().zip(others) {
        columns.push(cast(column, data_type).map_err(Failure::failed)?);
        all.push(Arc::new(Field::new(*name, data_type.clone(), true)));
    }
    RecordBatch::try_new(Arc::new(Schema::new(all)), columns).map_err(Failure::failed)
}
