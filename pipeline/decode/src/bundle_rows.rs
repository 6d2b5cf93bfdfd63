//! The tables that a bundle fills when it comes into force: merchants, readers, couriers.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use schemas::bundles::{Assignment, Merchant, Reader};
use schemas::tables;
use schemas::unit::{Control, Output, UnitError};

use crate::in_force::InForce;
use crate::rows::output;

pub(crate) const MERCHANTS: &str = "merchants";
pub(crate) const READERS: &str = "readers";
pub(crate) const COURIERS: &str = "couriers";

fn texts<'a, T>(rows: &'a [T], text: impl Fn(&'a T) -> &'a str) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.iter().map(text)))
}

fn optional_texts<'a, T>(rows: &'a [T], text: impl Fn(&'a T) -> Option<&'a str>) -> ArrayRef {
    Arc::new(rows.iter().map(text).collect::<StringArray>())
}

fn flags<T>(rows: &[T], flag: impl Fn(&T) -> bool) -> ArrayRef {
    Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(flag(row)))))
}

fn times<T>(rows: &[T], time_us: impl Fn(&T) -> Option<i64>) -> ArrayRef {
    Arc::new(rows.iter().map(time_us).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// Appends the rows of a bundle that a control record brings into force.
pub(crate) fn write(in_force: &InForce, control: &Control, outputs: &mut Vec<Output>) -> Result<(), UnitError> {
    let bundle = &in_force.bundle;
    let mut table = |name, schema: SchemaRef, mut columns: Vec<ArrayRef>| {
        let length = columns[0].len();
        if length == 0 {
            return Ok(());
        }
        let received_at: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from_value(control.received_at_us, length).with_timezone("UTC"));
        columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&in_force.hash_text, length))));
        columns.extend([received_at.clone(), received_at]);
        outputs.push(output(name, schema, columns, vec![control.offset.0; length])?);
        Ok(())
    };
    table(MERCHANTS, tables::merchant_rows(), merchants(&bundle.merchants))?;
    table(READERS, tables::reader_rows(), readers(&bundle.readers))?;
    table(COURIERS, tables::courier_rows(), couriers(&bundle.assignments))
}

/// The first columns of [`tables::merchant_rows`].
fn merchants(rows: &[Merchant]) -> Vec<ArrayRef> {
    vec![
        texts(rows, |merchant| &merchant.id),
        texts(rows, |merchant| &merchant.name),
        texts(rows, |merchant| &merchant.trade),
        texts(rows, |merchant| &merchant.mcc),
        texts(rows, |merchant| &merchant.zone),
        texts(rows, |merchant| merchant.currency.code()),
        flags(rows, |merchant| merchant.active),
    ]
}

/// The first columns of [`tables::reader_rows`].
fn readers(rows: &[Reader]) -> Vec<ArrayRef> {
    vec![
        texts(rows, |reader| &reader.id),
        texts(rows, |reader| &reader.merchant_id),
        texts(rows, |reader| &reader.key_set),
        flags(rows, |reader| reader.active),
    ]
}

/// The first columns of [`tables::courier_rows`].
fn couriers(rows: &[Assignment]) -> Vec<ArrayRef> {
    vec![
        texts(rows, |assignment| &assignment.courier_id),
        texts(rows, |assignment| &assignment.merchant_id),
        optional_texts(rows, |assignment| assignment.reader_id.as_deref()),
        optional_texts(rows, |assignment| assignment.device_id.as_deref()),
        texts(rows, |assignment| &assignment.vehicle),
        times(rows, |assignment| Some(assignment.valid_from_us)),
        times(rows, |assignment| assignment.valid_to_us),
    ]
}
