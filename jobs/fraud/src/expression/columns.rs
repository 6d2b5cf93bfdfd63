//! Columns of a record batch as an expression reads them: each field that is used, found by name and brought to the one
//! form of its type, once a batch.
//!
//! It may depend on Arrow. It refuses columns whose values would have to be guessed at: texts are not parsed, numbers
//! not rounded, times are microseconds.

use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;

use crate::expression::rows::Row;
use crate::expression::vectors::{Truth, Vector};
use crate::fields::{Field, FieldType};

/// Why a batch cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A field has no column.
    #[error("there is no column {0}")]
    NoColumn(String),
    /// A column has another type than its field.
    #[error("column {name} should be {expected}, and is of type {found}")]
    ColumnType {
        /// Its name.
        name: String,
        /// What its field says.
        expected: FieldType,
        /// Its type in the batch.
        found: DataType,
    },
    /// Arrow could not convert a column.
    #[error("column {name}: {source}")]
    Arrow {
        /// Its name.
        name: String,
        /// What Arrow says.
        source: ArrowError,
    },
}

/// A column in the form of its field's type.
#[derive(Debug)]
enum Column {
    /// Times too, in microseconds.
    Integers(Vector<i64>),
    Numbers(Vector<f64>),
    Texts(StringArray),
    Booleans(Truth),
}

/// Columns of one batch, ready for any number of expressions.
#[derive(Debug)]
pub struct Columns {
    rows: usize,
    /// By the index of the field; those that are not used are not there.
    columns: Vec<Option<Column>>,
}

impl Columns {
    /// The columns of these fields.
    ///
    /// # Errors
    /// Fails where a field has no column, or one whose type is not the field's. An integer may have fewer bits or no
    /// sign (what needs more than 63 bits is missing), a number may have 32 bits, a text may be in a dictionary.
    pub fn bind<'a>(batch: &RecordBatch, fields: impl IntoIterator<Item = &'a Field>) -> Result<Self, EvaluateError> {
        let mut columns: Vec<Option<Column>> = Vec::new();
        for field in fields {
            if columns.len() <= field.index() {
                columns.resize_with(field.index() + 1, || None);
            }
            if columns[field.index()].is_none() {
                columns[field.index()] = Some(column(batch, field)?);
            }
        }
        Ok(Self { rows: batch.num_rows(), columns })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// One of the rows, from 0. In a row beyond the last everything is missing.
    pub fn row(&self, row: usize) -> ColumnsRow<'_> {
        ColumnsRow { columns: self, row }
    }

    fn column(&self, field: &Field) -> Option<&Column> {
        self.columns.get(field.index())?.as_ref()
    }

    /// What was not bound is missing: an evaluator binds what it reads.
    pub(crate) fn integers(&self, field: &Field) -> Vector<i64> {
        match self.column(field) {
            Some(Column::Integers(values)) => values.clone(),
            _ => Vector::Constant(None),
        }
    }

    pub(crate) fn numbers(&self, field: &Field) -> Vector<f64> {
        match self.column(field) {
            Some(Column::Numbers(values)) => values.clone(),
            _ => Vector::Constant(None),
        }
    }

    pub(crate) fn texts(&self, field: &Field) -> Option<&StringArray> {
        match self.column(field) {
            Some(Column::Texts(values)) => Some(values),
            _ => None,
        }
    }

    pub(crate) fn booleans(&self, field: &Field) -> Truth {
        match self.column(field) {
            Some(Column::Booleans(truth)) => truth.clone(),
            _ => Truth::missing(self.rows),
        }
    }
}

fn column(batch: &RecordBatch, field: &Field) -> Result<Column, EvaluateError> {
    let name = || field.name().to_string();
    let found = batch.column_by_name(field.name()).ok_or_else(|| EvaluateError::NoColumn(name()))?;
    let (is_right, wanted) = match field.field_type() {
        FieldType::Integer => (found.data_type().is_integer(), DataType::Int64),
        FieldType::Number => (matches!(found.data_type(), DataType::Float32 | DataType::Float64), DataType::Float64),
        FieldType::Text => (is_text(found.data_type()), DataType::Utf8),
        FieldType::Boolean => (*found.data_type() == DataType::Boolean, DataType::Boolean),
        FieldType::Time => {
            let is_time = matches!(found.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _));
            (is_time, found.data_type().clone())
        }
    };
    if *found.data_type() == DataType::Null {
        return Ok(missing_column(field.field_type(), batch.num_rows()));
    }
    if !is_right {
        let found = found.data_type().clone();
        return Err(EvaluateError::ColumnType { name: name(), expected: field.field_type(), found });
    }
    let values = cast(found, &wanted).map_err(|source| EvaluateError::Arrow { name: name(), source })?;
    Ok(match field.field_type() {
        FieldType::Integer => Column::Integers(vector(values.as_primitive::<Int64Type>())),
        FieldType::Time => Column::Integers(vector(values.as_primitive::<TimestampMicrosecondType>())),
        FieldType::Number => Column::Numbers(vector(values.as_primitive::<Float64Type>()).finite()),
        FieldType::Text => Column::Texts(values.as_string::<i32>().clone()),
        FieldType::Boolean => {
            let values = values.as_boolean();
            Column::Booleans(Truth::of(values.values().clone(), values.nulls().cloned()))
        }
    })
}

fn missing_column(field_type: FieldType, rows: usize) -> Column {
    match field_type {
        FieldType::Integer | FieldType::Time => Column::Integers(Vector::Constant(None)),
        FieldType::Number => Column::Numbers(Vector::Constant(None)),
        FieldType::Text => Column::Texts(StringArray::new_null(rows)),
        FieldType::Boolean => Column::Booleans(Truth::missing(rows)),
    }
}

fn vector<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>) -> Vector<T::Native> {
    let present: Option<NullBuffer> = values.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
    Vector::Rows { values: values.values().clone(), present }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// One row of [`Columns`].
#[derive(Debug, Clone, Copy)]
pub struct ColumnsRow<'a> {
    columns: &'a Columns,
    row: usize,
}

impl Row for ColumnsRow<'_> {
    fn integer(&self, field: &Field) -> Option<i64> {
        self.columns.integers(field).value(self.row)
    }

    fn number(&self, field: &Field) -> Option<f64> {
        self.columns.numbers(field).value(self.row)
    }

    fn text(&self, field: &Field) -> Option<&str> {
        let texts = self.columns.texts(field)?;
        (self.row < texts.len() && texts.is_valid(self.row)).then(|| texts.value(self.row))
    }

    fn boolean(&self, field: &Field) -> Option<bool> {
        self.columns.booleans(field).value(self.row)
    }

    fn time_us(&self, field: &Field) -> Option<i64> {
        self.columns.integers(field).value(self.row)
    }
}
