//! Values of a batch, window by window.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder, Float64Array, Int64Array};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::DataType;

use super::{Definition, Value};

/// The values of a window, missing until they are set.
pub(super) struct Column {
    data_type: DataType,
    /// Of numbers their bits.
    values: Vec<i64>,
    present: BooleanBufferBuilder,
}

impl Column {
    pub(super) fn of(window: &Definition, rows: usize) -> Self {
        let mut present = BooleanBufferBuilder::new(rows);
        present.append_n(rows, false);
        Self { data_type: window.function.data_type(), values: vec![0; rows], present }
    }

    #[inline]
    pub(super) fn set(&mut self, row: usize, value: Value) {
        self.values[row] = match value {
            Value::Integer(value) => value,
            Value::Number(value) => value.to_bits().cast_signed(),
        };
        self.present.set_bit(row, true);
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        let nulls = NullBuffer::new(self.present.finish());
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        let length = self.values.len();
        let values = Buffer::from_vec(self.values);
        match self.data_type {
            DataType::Float64 => Arc::new(Float64Array::new(ScalarBuffer::new(values, 0, length), nulls)),
            _ => Arc::new(Int64Array::new(ScalarBuffer::new(values, 0, length), nulls)),
        }
    }
}
