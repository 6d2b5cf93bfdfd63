//! Rows of a topic, gathered value by value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, ListBuilder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::DataType;

use crate::convert::Column;

/// One column that grows. Integers outside the column's range, and numbers that are none, are unfit as in every format.
pub(super) struct Values {
    builder: Builder,
    rows: usize,
    bad: Vec<usize>,
}

enum Builder {
    Boolean(BooleanBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Time(TimestampMicrosecondBuilder),
    Texts(ListBuilder<StringBuilder>),
}

const FITS: &str = "a schema whose values do not fit their columns was refused when it came into force";

impl Values {
    /// An empty column of a type that topics have.
    pub(super) fn new(data_type: &DataType) -> Self {
        let builder = match data_type {
            DataType::Boolean => Builder::Boolean(BooleanBuilder::new()),
            DataType::Int32 => Builder::Int32(Int32Builder::new()),
            DataType::Int64 => Builder::Int64(Int64Builder::new()),
            DataType::Float64 => Builder::Float64(Float64Builder::new()),
            DataType::Utf8 => Builder::Text(StringBuilder::new()),
            DataType::Binary => Builder::Bytes(BinaryBuilder::new()),
            DataType::Timestamp(..) => {
                Builder::Time(TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()))
            }
            DataType::List(item) => Builder::Texts(ListBuilder::new(StringBuilder::new()).with_field(item.clone())),
            other => unreachable!("no topic has a column of type {other}"),
        };
        Self { builder, rows: 0, bad: Vec::new() }
    }

    /// Everything gathered; the column is empty afterwards.
    pub(super) fn finish(&mut self) -> Column {
        let array: ArrayRef = match &mut self.builder {
            Builder::Boolean(builder) => Arc::new(builder.finish()),
            Builder::Int32(builder) => Arc::new(builder.finish()),
            Builder::Int64(builder) => Arc::new(builder.finish()),
            Builder::Float64(builder) => Arc::new(builder.finish()),
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::Bytes(builder) => Arc::new(builder.finish()),
            Builder::Time(builder) => Arc::new(builder.finish()),
            Builder::Texts(builder) => Arc::new(builder.finish()),
        };
        self.rows = 0;
        Column { array, bad: std::mem::take(&mut self.bad) }
    }

    /// Text of the last row; empty where it has none.
    pub(super) fn last_text(&self) -> &[u8] {
        match &self.builder {
            Builder::Text(builder) => match builder.offsets_slice() {
                [.., start, end] => {
                    let place = |offset: i32| usize::try_from(offset).expect("offsets of texts are not negative");
                    &builder.values_slice()[place(*start)..place(*end)]
                }
                _ => b"",
            },
            _ => b"",
        }
    }

    pub(super) fn null(&mut self) {
        match &mut self.builder {
            Builder::Boolean(builder) => builder.append_null(),
            Builder::Int32(builder) => builder.append_null(),
            Builder::Int64(builder) => builder.append_null(),
            Builder::Float64(builder) => builder.append_null(),
            Builder::Text(builder) => builder.append_null(),
            Builder::Bytes(builder) => builder.append_null(),
            Builder::Time(builder) => builder.append_null(),
            Builder::Texts(builder) => builder.append_null(),
        }
        self.rows += 1;
    }

    fn unfit(&mut self) {
        self.bad.push(self.rows);
        self.null();
    }

    pub(super) fn boolean(&mut self, value: bool) {
        let Builder::Boolean(builder) = &mut self.builder else { unreachable!("{FITS}") };
        builder.append_value(value);
        self.rows += 1;
    }

    pub(super) fn integer(&mut self, value: i64) {
        match &mut self.builder {
            Builder::Int32(builder) => match i32::try_from(value) {
                Ok(value) => builder.append_value(value),
                Err(_) => return self.unfit(),
            },
            Builder::Int64(builder) => builder.append_value(value),
            Builder::Float64(builder) => builder.append_value(value as f64),
            _ => unreachable!("{FITS}"),
        }
        self.rows += 1;
    }

    pub(super) fn number(&mut self, value: f64) {
        let Builder::Float64(builder) = &mut self.builder else { unreachable!("{FITS}") };
        if !value.is_finite() {
            return self.unfit();
        }
        builder.append_value(value);
        self.rows += 1;
    }

    pub(super) fn time(&mut self, microseconds: Option<i64>) {
        let Builder::Time(builder) = &mut self.builder else { unreachable!("{FITS}") };
        let Some(microseconds) = microseconds else { return self.unfit() };
        builder.append_value(microseconds);
        self.rows += 1;
    }

    pub(super) fn text(&mut self, value: &str) {
        let Builder::Text(builder) = &mut self.builder else { unreachable!("{FITS}") };
        builder.append_value(value);
        self.rows += 1;
    }

    pub(super) fn bytes(&mut self, value: &[u8]) {
        let Builder::Bytes(builder) = &mut self.builder else { unreachable!("{FITS}") };
        builder.append_value(value);
        self.rows += 1;
    }

    pub(super) fn texts(&mut self, items: &[&str]) {
        let Builder::Texts(builder) = &mut self.builder else { unreachable!("{FITS}") };
        for item in items {
            builder.values().append_value(item);
        }
        builder.append(true);
        self.rows += 1;
    }
}
