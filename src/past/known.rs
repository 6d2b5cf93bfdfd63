//! What is known since of the payments of a lake: whether they were refused, and what was said of them. It is read once and
//! looked up as payments go by, since a join would hold the payments.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use lake::{Session, moment};
use schemas::ids::PaymentId;

use super::PAYMENT;
use crate::failure::Failure;

/// Payments that were refused when they were first asked for.
const REFUSED: &str = "SELECT DISTINCT payment_id FROM decisions r \
    WHERE kind = 'authorization' AND NOT repeat AND response_code <> '00' AND payment_id IS NOT NULL \
    AND NOT EXISTS (SELECT 1 FROM decisions a WHERE a.payment_id = r.payment_id AND a.kind = 'authorization' \
        AND NOT a.repeat AND a.response_code = '00')";

/// What is known of payments. Only looked up.
pub struct Known {
    frauds: HashMap<PaymentId, bool>,
    refused: HashSet<PaymentId>,
}

impl Known {
    /// What is known; of labels those that were read up to a moment, where one is given.
    pub async fn read(session: &Session, until_us: Option<i64>) -> Result<Self, Failure> {
        let mut known = Self { frauds: HashMap::new(), refused: HashSet::new() };
        let until = until_us.map_or_else(String::new, |us| format!(" WHERE known_at <= {}", moment(us)));
        // The last word counts.
        let labels = format!(
            "SELECT payment_id, label = 'fraud' FROM labels{until} ORDER BY known_at, source_partition, source_offset"
        );
        session
            .each::<Failure>(&labels, |batch| {
                let is_fraud = batch.column(1).as_boolean();
                let ids = ids(batch.column(0))?.into_iter().zip(is_fraud);
                known.frauds.extend(ids.filter_map(|(id, is_fraud)| Some((id?, is_fraud?))));
                Ok(())
            })
            .await?;
        session
            .each::<Failure>(REFUSED, |batch| {
                known.refused.extend(ids(batch.column(0))?.into_iter().flatten());
                Ok(())
            })
            .await?;
        Ok(known)
    }

    /// Whether each payment is said to be fraud, null where nothing is said, and whether it was refused.
    pub fn of(&self, payments: &RecordBatch) -> Result<[ArrayRef; 2], Failure> {
        let ids = ids(&payments[PAYMENT])?;
        let frauds: BooleanArray = ids.iter().map(|id| self.frauds.get(id.as_ref()?).copied()).collect();
        // A swipe without an identity is always refused.
        let is_refused = |id: &Option<PaymentId>| Some(id.is_none_or(|id| self.refused.contains(&id)));
        let refused: BooleanArray = ids.iter().map(is_refused).collect();
        Ok([Arc::new(frauds), Arc::new(refused)])
    }
}

fn ids(column: &ArrayRef) -> Result<Vec<Option<PaymentId>>, Failure> {
    let texts = cast(column, &DataType::Utf8).map_err(Failure::failed)?;
    Ok(texts.as_string::<i32>().iter().map(|id| PaymentId::from_hex(id?)).collect())
}
