//! What is in the lake: tables and views with their columns, comments and sizes, without scanning.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use deltalake::{DeltaTable, DeltaTableError};
use schemas::tables::TableSpec;
use schemas::topics::COMMENT;
use schemas::views::ViewSpec;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows that were appended.
    Table,
    /// A question asked again each time.
    View,
}

/// A column of a table or view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnListing {
    /// Name in SQL.
    pub name: String,
    /// Type as people say it in SQL.
    pub data_type: String,
    /// Whether it may be missing in a row.
    pub nullable: bool,
    /// What it means; empty for a computed column of a view.
    pub comment: String,
}

/// A table or view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableListing {
    /// Name in SQL.
    pub name: &'static str,
    /// What one row is.
    pub comment: &'static str,
    /// Table or view.
    pub kind: Kind,
    /// Version that the session reads; `None` for a view and for a table without any data yet.
    pub version: Option<u64>,
    /// Number of rows; `None` where only counting could tell.
    pub rows: Option<u64>,
    /// Size of the files, compressed.
    pub bytes: Option<u64>,
    /// Number of files.
    pub files: Option<u64>,
    /// Columns in their order.
    pub columns: Vec<ColumnListing>,
}

/// Listing of a table, `delta` being `None` before its first data.
pub(crate) fn table_listing(
    spec: &TableSpec,
    delta: Option<&DeltaTable>,
    schema: &Schema,
) -> Result<TableListing, DeltaTableError> {
    let (mut rows, mut bytes, mut files) = (Some(0), 0, 0);
    if let Some(delta) = delta {
        for file in delta.snapshot()?.log_data().iter() {
            rows = rows.zip(file.num_records()).map(|(sum, more)| sum + more as u64);
            bytes += u64::try_from(file.size()).unwrap_or_default();
            files += 1;
        }
    }
    Ok(TableListing {
        name: spec.name,
        comment: spec.comment,
        kind: Kind::Table,
        version: delta.and_then(DeltaTable::version),
        rows,
        bytes: Some(bytes),
        files: Some(files),
        columns: columns(schema, |name| comment(&spec.schema, name)),
    })
}

/// Listing of a view; its columns' comments are those of the tables that it reads.
pub(crate) fn view_listing(view: &ViewSpec, plan: &LogicalPlan, specs: &[TableSpec]) -> TableListing {
    let mut read = BTreeSet::new();
    // The closure never fails, so neither does the walk.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            read.insert(scan.table_name.table().to_string());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    let sources: Vec<&TableSpec> = specs.iter().filter(|spec| read.contains(spec.name)).collect();
    TableListing {
        name: view.name,
        comment: view.comment,
        kind: Kind::View,
        version: None,
        rows: None,
        bytes: None,
        files: None,
        columns: columns(plan.schema().as_arrow(), |name| {
            sources
                .iter()
                .map(|spec| comment(&spec.schema, name))
                .find(|comment| !comment.is_empty())
                .unwrap_or_default()
        }),
    }
}

fn columns(schema: &Schema, comment: impl Fn(&str) -> String) -> Vec<ColumnListing> {
    let listing = |field: &arrow::datatypes::FieldRef| ColumnListing {
        name: field.name().clone(),
        data_type: type_name(field.data_type()),
        nullable: field.is_nullable(),
        comment: comment(field.name()),
    };
    schema.fields().iter().map(listing).collect()
}

fn comment(schema: &Schema, column: &str) -> String {
    let field = schema.field_with_name(column).ok();
    field.and_then(|field| field.metadata().get(COMMENT)).cloned().unwrap_or_default()
}

fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "text".to_string(),
        DataType::Boolean => "boolean".to_string(),
        DataType::Int32 => "integer".to_string(),
        DataType::Int64 | DataType::UInt64 => "bigint".to_string(),
        DataType::Float64 => "double precision".to_string(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_string(),
        DataType::List(element) => format!("{}[]", type_name(element.data_type())),
        other => other.to_string(),
    }
}
