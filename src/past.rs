//! The payments of a lake in the order of their log, with everything that rules and models may read as of each of them: what
//! was seen then, by whatever windows are asked for now.

mod known;

use std::ops::{ControlFlow, Range};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use fraud::live::{COLUMNS, CardSide, MerchantSide, WINDOWS};
use lake::{Session, moment};
use schemas::bundles::RulesBundle;
use schemas::ids::ContentHash;
use schemas::judgement::Judgement;
use schemas::tables::{SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TOPIC};
use schemas::topics;
use tokio::runtime::Handle;

use crate::failure::Failure;

pub use known::Known;

/// Records of which windows, rules or labels speak.
const JUDGED: &str = "'swipe', 'refund', 'chargeback', 'disposition'";
/// Columns that nothing is judged by, for whoever writes rows about payments.
const OF_ROWS: [&str; 4] = ["ingest_time", SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET];
/// Offsets that are read, sorted and judged at once.
const OFFSETS_AT_ONCE: usize = 1 << 18;
/// Batches that wait to be judged: as many as a stretch has, so that the next one is read meanwhile.
const BATCHES_AHEAD: usize = 16;
/// Identity of the payment, behind the fields of rules.
pub const PAYMENT: &str = "quoted_payment";

/// Hands over the payments that are judged, batch by batch: the fields of these rules, their model's score, and behind them
/// the payment's identity as [`PAYMENT`].
pub async fn each(
    session: &Session,
    rules: &RulesBundle,
    mut take: impl FnMut(&RecordBatch) -> Result<(), Failure>,
) -> Result<(), Failure> {
    walk(session, rules, None, |rows, payments, card| {
        let fields = card.fields_of(payments).map_err(Failure::failed)?;
        let Some((fields, places)) = fields else { return Ok(ControlFlow::Continue(())) };
        let ids = cast(&rows["payment_id"], &DataType::Utf8).map_err(Failure::failed)?;
        let ids = arrow::compute::take(&ids, &places, None).map_err(Failure::failed)?;
        take(&with(&fields, [(PAYMENT, ids)])?)?;
        Ok(ControlFlow::Continue(()))
    })
    .await
}

/// Hands over payments, batch by batch, with what these rules say about each. The columns are those that are looked
/// at, the row's place in the log and its time there.
/// Payments before `since_us` are left out: whoever names it has looked how far back the windows reach. It ends soon after
/// somebody breaks it off.
pub async fn judged(
    session: &Session,
    rules: &RulesBundle,
    since_us: i64,
    mut take: impl FnMut(&RecordBatch, Vec<Option<Judgement>>) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    walk(session, rules, Some(since_us), |rows, payments, card| {
        take(rows, card.judge(payments).map_err(Failure::failed)?)
    })
    .await
}

/// Columns behind those of a batch.
pub fn with<const N: usize>(batch: &RecordBatch, more: [(&str, ArrayRef); N]) -> Result<RecordBatch, Failure> {
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    for (name, column) in more {
        fields.push(Arc::new(Field::new(name, column.data_type().clone(), true)));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(Failure::failed)
}

/// Hands over the payments by partition with the card's side that has seen those before. One thread reads and sees with the
/// merchant's side what another one judges. What is held at once is a stretch of offsets, and few batches. On a lake that
/// brokers' topics filled, windows of the merchant's side are those that travelled with the payments; new ones are missing.
async fn walk(
    session: &Session,
    rules: &RulesBundle,
    since_us: Option<i64>,
    mut take: impl FnMut(&RecordBatch, &RecordBatch, &mut CardSide) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let content = serde_json::to_vec(rules).map_err(Failure::failed)?;
    let since = since_us.map_or_else(String::new, |since_us| format!(" AND event_time >= {}", moment(since_us)));
    let (sender, receiver) = mpsc::sync_channel(BATCHES_AHEAD);
    let runtime = Handle::current();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| runtime.block_on(read(session, &content, &since, sender)));
        let judged = judge(&content, receiver, &mut take);
        let read = reader.join().unwrap_or_else(|panic| resume_unwind(panic));
        judged.and(read)
    })
}

/// Judges the payments until there are no more or somebody breaks it off.
fn judge(
    content: &[u8],
    payments: Receiver<Read>,
    take: &mut impl FnMut(&RecordBatch, &RecordBatch, &mut CardSide) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let mut side: Option<(i32, CardSide)> = None;
    for Read { partition, rows, payments } in payments {
        let (_, card) = match &mut side {
            Some(side) if side.0 == partition => side,
            _ => {
                let mut card = CardSide::default();
                card.accept(ContentHash::of(content), content, 0).map_err(Failure::failed)?;
                side.insert((partition, card))
            }
        };
        if take(&rows, &payments, card)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Rows of table payments, and the same as decode would hand them over under these rules.
struct Read {
    partition: i32,
    rows: RecordBatch,
    payments: RecordBatch,
}

/// Reads the payments in the order of their log until nobody takes them any more.
async fn read(session: &Session, content: &[u8], since: &str, to: SyncSender<Read>) -> Result<(), Failure> {
    let is_embedded = is_embedded(session).await?;
    let columns: Vec<&str> = columns_read(is_embedded).chain(OF_ROWS).collect();
    let columns = columns.join(", ");
    for (partition, offsets) in partitions(session, since).await? {
        let mut merchant = MerchantSide::default();
        merchant.accept(ContentHash::of(content), content, 0).map_err(Failure::failed)?;
        for start in offsets.step_by(OFFSETS_AT_ONCE) {
            let end = start.saturating_add(OFFSETS_AT_ONCE as i64);
            let sql = format!(
                "SELECT {columns} FROM payments WHERE source_partition = {partition} AND source_offset >= {start} \
                 AND source_offset < {end} AND kind IN ({JUDGED}){since} ORDER BY source_offset"
            );
            let mut is_wanted = true;
            session
                .each::<Failure>(&sql, |rows| {
                    if is_wanted {
                        let payments = payments_of(rows, is_embedded.then_some(&mut merchant))?;
                        is_wanted = to.send(Read { partition, rows: rows.clone(), payments }).is_ok();
                    }
                    Ok(())
                })
                .await?;
            if !is_wanted {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The partitions of the payments in their order, and the offsets between which theirs lie.
async fn partitions(session: &Session, since: &str) -> Result<Vec<(i32, Range<i64>)>, Failure> {
    let sql = format!(
        "SELECT arrow_cast(source_partition, 'Int32'), min(source_offset), max(source_offset) FROM payments \
         WHERE kind IN ({JUDGED}){since} GROUP BY source_partition ORDER BY source_partition"
    );
    let mut found = Vec::new();
    for batch in session.collect(&sql).await? {
        let offset = |column: usize, row| batch.column(column).as_primitive::<Int64Type>().value(row);
        let partitions = batch.column(0).as_primitive::<Int32Type>();
        found.extend((0..batch.num_rows()).map(|row| {
            let last = offset(2, row);
            (partitions.value(row), offset(1, row)..last.saturating_add(1))
        }));
    }
    Ok(found)
}

/// Whether the payments lie in the order in which decode read them.
async fn is_embedded(session: &Session) -> Result<bool, Failure> {
    let others = session.collect("SELECT 1 FROM payments WHERE source_topic <> 'transactions' LIMIT 1").await?;
    Ok(others.iter().all(|batch| batch.num_rows() == 0))
}

/// What decode would hand over: the windows of the merchant's side are computed anew where that can be.
fn payments_of(rows: &RecordBatch, merchant: Option<&mut MerchantSide>) -> Result<RecordBatch, Failure> {
    let schema = topics::payments();
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for name in columns_read(merchant.is_some()) {
        let field = schema.field_with_name(name).map_err(Failure::failed)?;
        columns.push(cast(&rows[name], field.data_type()).map_err(Failure::failed)?);
        fields.push(field.clone());
    }
    let payments = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(Failure::failed)?;
    match merchant {
        Some(merchant) => with(&payments, [(WINDOWS, merchant.values(&payments).map_err(Failure::failed)?)]),
        None => Ok(payments),
    }
}

/// Columns of table payments from which it is made.
fn columns_read(are_windows_made: bool) -> impl Iterator<Item = &'static str> {
    COLUMNS.into_iter().filter(move |name| !are_windows_made || *name != WINDOWS)
}
