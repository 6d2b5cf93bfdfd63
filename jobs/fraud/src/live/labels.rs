//! What is said of payments, as windows read it from the payments rows.
//!
//! Every chargeback and disposition that decode lets through says something, whether or not authorize finds its payment or
//! may charge it back: no answer enters a window. A chargeback without a label says fraud.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use schemas::ids::PaymentId;
use schemas::topics::kind;
use schemas::topics::label::{FRAUD, LEGITIMATE};

use super::LiveError;
use super::rows::{column, refused};
use crate::windows::{LABEL, Label, PAYMENT_ID};

/// The columns that windows of labels read beside the payment's: nothing is said of it yet, and who it is.
pub(super) fn columns(rows: &RecordBatch, places: &UInt32Array) -> Result<[(&'static str, ArrayRef); 3], LiveError> {
    let ids = texts(rows, "payment_id")?;
    let ids: Vec<Option<[i64; 2]>> = places.values().iter().map(|place| identity(ids, *place as usize)).collect();
    let part = |part: usize| Arc::new(ids.iter().map(|id| id.map(|id| id[part])).collect::<Int64Array>()) as ArrayRef;
    let nothing = Arc::new(BooleanArray::from(vec![false; places.len()]));
    Ok([(LABEL, nothing), (PAYMENT_ID[0], part(0)), (PAYMENT_ID[1], part(1))])
}

/// What is said between the payments at these places.
pub(super) fn between(rows: &RecordBatch, places: &UInt32Array) -> Result<Vec<Label>, LiveError> {
    let [kinds, ids, labels] = [texts(rows, "kind")?, texts(rows, "payment_id")?, texts(rows, "label")?];
    let are_refused = refused(rows)?;
    let are_refused = are_refused.as_boolean();
    let said = (0..rows.num_rows()).filter(|row| !are_refused.value(*row)).filter_map(|row| {
        let is_fraud = match (kinds.value(row), labels.is_valid(row).then(|| labels.value(row))) {
            (kind::CHARGEBACK, None) => true,
            (kind::CHARGEBACK | kind::DISPOSITION, Some(FRAUD)) => true,
            (kind::CHARGEBACK | kind::DISPOSITION, Some(LEGITIMATE)) => false,
            _ => return None,
        };
        let [first, rest] = identity(ids, row)?;
        let before = places.values().partition_point(|place| (*place as usize) < row);
        Some(Label { before, payment: Label::payment(first, rest), is_fraud })
    });
    Ok(said.collect())
}

fn texts<'a>(rows: &'a RecordBatch, name: &'static str) -> Result<&'a StringArray, LiveError> {
    column(rows, name)?.as_string_opt::<i32>().ok_or(LiveError::Column(name))
}

/// A payment's identity in two numbers.
fn identity(ids: &StringArray, row: usize) -> Option<[i64; 2]> {
    let id = PaymentId::from_hex(ids.is_valid(row).then(|| ids.value(row))?)?.0;
    let number = |bytes: &[u8]| bytes.iter().fold(0_i64, |number, byte| (number << 8) | i64::from(*byte));
    let (first, rest) = id.split_at(size_of::<i64>());
    Some([number(first), number(rest)])
}
