//! Whose phone is beside a payment: that of whoever carries the reader, else that of the courier whom the payment names.

use arrow::array::{Array, RecordBatch};
use arrow::error::ArrowError;

use crate::assignments::Assignments;

/// Row of the assignment that says which phone is beside a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// By the reader.
    OfReader(usize),
    /// By the courier whom the payment names: nobody carries the reader.
    OfCourier(usize),
}

/// All assignments, by reader and by courier.
pub(crate) struct Carriers {
    by_reader: Assignments,
    pub(crate) by_courier: Assignments,
}

impl Carriers {
    /// Reads rows of table `couriers`.
    pub(crate) fn read(assignments: &[RecordBatch]) -> Result<Self, ArrowError> {
        Ok(Self {
            by_reader: Assignments::by("reader_id", assignments)?,
            by_courier: Assignments::by("courier_id", assignments)?,
        })
    }

    /// Whose phone is beside a payment at a moment; nobody's at a counter.
    pub(crate) fn find(&self, reader_id: Option<&str>, courier_id: Option<&str>, at_us: i64) -> Option<Carrier> {
        let of = |assignments: &Assignments, id: Option<&str>| {
            let row = assignments.find(id?, at_us)? as usize;
            assignments.device_id.is_valid(row).then_some(row)
        };
        let by_reader = of(&self.by_reader, reader_id).map(Carrier::OfReader);
        by_reader.or_else(|| of(&self.by_courier, courier_id).map(Carrier::OfCourier))
    }

    /// The assignment, and its row there.
    pub(crate) fn assignment(&self, carrier: Carrier) -> (&Assignments, usize) {
        match carrier {
            Carrier::OfReader(row) => (&self.by_reader, row),
            Carrier::OfCourier(row) => (&self.by_courier, row),
        }
    }

    /// The phone.
    pub(crate) fn device(&self, carrier: Carrier) -> &str {
        let (assignments, row) = self.assignment(carrier);
        assignments.device_id.value(row)
    }
}
