//! Rows of a query as JSON objects, for commands that show few of them.

use arrow::array::RecordBatch;
use arrow::json::ArrayWriter;
use lake::Session;
use serde_json::Value;

use crate::failure::Failure;

/// The rows of a query.
pub async fn rows(session: &Session, sql: &str) -> Result<Vec<Value>, Failure> {
    documents(&session.collect(sql).await?)
}

fn documents(batches: &[RecordBatch]) -> Result<Vec<Value>, Failure> {
    let mut writer = ArrayWriter::new(Vec::new());
    for batch in batches {
        writer.write(batch).map_err(Failure::failed)?;
    }
    writer.finish().map_err(Failure::failed)?;
    let text = writer.into_inner();
    if text.is_empty() { Ok(Vec::new()) } else { serde_json::from_slice(&text).map_err(Failure::failed) }
}

/// A text of a row; empty where it is missing.
pub fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_default()
}

/// A literal of SQL.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
