//! The one place that builds a DataFusion session over a lake, for reading only.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Schema, TimestampMicrosecondType};
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::common::{Column, DataFusionError, ScalarValue, SchemaError};
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, context::SQLOptions};
use datafusion::logical_expr::lit;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use deltalake::{DeltaTable, DeltaTableError};
use futures::StreamExt;
use futures::future::try_join_all;
use schemas::tables::{self, TableSpec};
use schemas::views::{self, ViewSpec};

use crate::create::{exists, load, stored_schema};
use crate::functions;
use crate::listing::{TableListing, table_listing, view_listing};
use crate::{LakeError, QueryError};

/// Memory that the queries of one session may hold together; beyond it they spill to temporary files or fail.
const QUERY_MEMORY_BYTES_MAX: usize = 2 * 1024 * 1024 * 1024;

/// How often all versions are read until two readings agree. Commits are seconds apart and a reading takes
/// milliseconds.
const READINGS_MAX: u32 = 10;

/// SQL over the tables and views of a lake as they stood at one moment.
///
/// Each table is read at the version that it had at that moment; a writer that commits to several tables one after
/// the other may have been between two of them.
pub struct Session {
    context: SessionContext,
    listings: Vec<TableListing>,
}

/// Opens a session over the lake in this folder: every table, an empty one where nothing was written yet, and every
/// view.
pub async fn open_session(folder: &Path) -> Result<Session, LakeError> {
    let folder = folder.canonicalize().map_err(|cause| LakeError::io("the lake", "open", folder, cause))?;
    let specs = tables::all();
    let handles = load_together(&folder, &specs).await?;
    let context = new_context()?;
    let mut listings = Vec::new();
    for spec in &specs {
        let delta = handles.get(spec.name);
        let provider = table_provider(&context, spec, delta).await.map_err(|error| unbuilt(spec.name, error))?;
        let schema = provider.schema();
        context.register_table(spec.name, provider).map_err(|error| unbuilt(spec.name, error))?;
        let listed = table_listing(spec, delta, &schema);
        listings.push(listed.map_err(|error| LakeError::delta(spec.name, "list the files", error))?);
    }
    for view in &views::ALL {
        let sql = view_sql(view, &handles)?;
        let plan = context.state().create_logical_plan(&sql).await.map_err(|error| unbuilt(view.name, error))?;
        listings.push(view_listing(view, &plan, &specs));
        let provider = Arc::new(ViewTable::new(plan, Some(sql)));
        context.register_table(view.name, provider).map_err(|error| unbuilt(view.name, error))?;
    }
    Ok(Session { context, listings })
}

impl Session {
    /// Plans a statement that reads.
    pub async fn plan(&self, sql: &str) -> Result<DataFrame, QueryError> {
        let state = self.context.state();
        let plan = state.create_logical_plan(sql).await.map_err(|error| self.explain(&error))?;
        let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        reading.verify_plan(&plan).map_err(|error| {
            let text = error.strip_backtrace();
            let what = text.trim_start_matches("Error during planning: ");
            QueryError::Refused { what: what.replace(" not supported: ", " ") }
        })?;
        Ok(DataFrame::new(state, plan))
    }

    /// Runs a statement that reads. The stream knows its schema; its errors are failures of the query.
    pub async fn query(&self, sql: &str) -> Result<SendableRecordBatchStream, QueryError> {
        let frame = self.plan(sql).await?;
        frame.execute_stream().await.map_err(|error| self.explain(&error))
    }

    /// Runs a statement that reads, and holds the whole answer in memory.
    pub async fn collect(&self, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
        let frame = self.plan(sql).await?;
        frame.collect().await.map_err(|error| self.explain(&error))
    }

    /// Runs a statement that reads, and hands its answer over batch by batch, until one is refused.
    pub async fn each<E: From<QueryError>>(
        &self,
        sql: &str,
        mut take: impl FnMut(&RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut stream = self.query(sql).await?;
        while let Some(batch) = stream.next().await {
            take(&batch.map_err(|error| self.explain(&error))?)?;
        }
        Ok(())
    }

    /// Every table, then every view.
    pub fn tables(&self) -> &[TableListing] {
        &self.listings
    }

    fn explain(&self, error: &DataFusionError) -> QueryError {
        let root = error.find_root();
        let text = root.strip_backtrace();
        match root {
            DataFusionError::SchemaError(schema_error, _) => match schema_error.as_ref() {
                SchemaError::FieldNotFound { field, valid_fields } => {
                    let names = valid_fields.iter().map(|column| column.name());
                    let problem = format!("no column {}", field.flat_name());
                    QueryError::UnknownName { problem, nearest: nearest(field.name(), names) }
                }
                _ => QueryError::Invalid { problem: text },
            },
            DataFusionError::Plan(message) => match missing_table(message) {
                Some(name) => {
                    let names = self.listings.iter().map(|listing| listing.name);
                    QueryError::UnknownName { problem: format!("no table {name}"), nearest: nearest(name, names) }
                }
                None => QueryError::Invalid { problem: message.clone() },
            },
            DataFusionError::SQL(_, _) | DataFusionError::NotImplemented(_) => QueryError::Invalid { problem: text },
            _ => QueryError::Failed { problem: text },
        }
    }
}

/// Loads every table that exists, all at the versions that they had at one moment.
async fn load_together(folder: &Path, specs: &[TableSpec]) -> Result<BTreeMap<&'static str, DeltaTable>, LakeError> {
    let found = specs.iter().filter(|spec| exists(&folder.join(spec.name)));
    let loads = found.map(|spec| async move {
        let delta = load(&folder.join(spec.name), spec.name, None).await?;
        Ok::<_, LakeError>((spec.name, delta))
    });
    let mut handles: BTreeMap<&'static str, DeltaTable> = try_join_all(loads).await?.into_iter().collect();
    // All were read before the first is read again: if nothing moved, they stood so together in between.
    for _ in 0..READINGS_MAX {
        let mut moved = false;
        for (table, delta) in &mut handles {
            let before = delta.version();
            delta.update_state().await.map_err(|error| LakeError::delta(table, "read the log", error))?;
            moved |= delta.version() != before;
        }
        if !moved {
            return Ok(handles);
        }
    }
    Err(LakeError::Busy { table: "every table".to_string(), attempts: READINGS_MAX })
}

fn new_context() -> Result<SessionContext, LakeError> {
    let mut config = SessionConfig::new().with_information_schema(true);
    config.options_mut().execution.time_zone = Some("UTC".to_string());
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(QUERY_MEMORY_BYTES_MAX, 1.0).build_arc();
    let context = SessionContext::new_with_config_rt(config, runtime.map_err(|error| unbuilt("the lake", error))?);
    functions::all().into_iter().for_each(|function| context.register_udf(function));
    Ok(context)
}

/// What SQL reads under the table's name: the stored rows, with columns that an older table lacks as nulls.
async fn table_provider(
    context: &SessionContext,
    spec: &TableSpec,
    delta: Option<&DeltaTable>,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let Some(delta) = delta else {
        return Ok(Arc::new(EmptyTable::new(spec.schema.clone())));
    };
    let provider = delta.table_provider().await.map_err(|error| DataFusionError::External(Box::new(error)))?;
    let stored: Schema = stored_schema(delta, spec.name).map_err(|error| DataFusionError::External(Box::new(error)))?;
    let missing = spec.schema.fields().iter().filter(|field| stored.field_with_name(field.name()).is_err());
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return Ok(provider);
    }
    let mut frame = context.read_table(provider)?;
    for field in missing {
        frame = frame.with_column(field.name(), lit(ScalarValue::try_from(field.data_type())?))?;
    }
    Ok(frame.into_view())
}

/// The SQL of a view, with its present as a constant.
fn view_sql(view: &ViewSpec, handles: &BTreeMap<&'static str, DeltaTable>) -> Result<String, LakeError> {
    let Some(table) = view.clock_of else { return Ok(view.sql.to_string()) };
    let clock_us = match handles.get(table) {
        Some(delta) => newest_us(delta).map_err(|error| LakeError::delta(table, "read the statistics", error))?,
        None => 0,
    };
    Ok(view.sql.replace(views::CLOCK, &moment(clock_us)))
}

/// A time in SQL: microseconds UTC as a timestamp.
pub fn moment(at_us: i64) -> String {
    format!("arrow_cast({at_us}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// Largest ingest time in a table by the statistics of its files, microseconds UTC; of recordings, which have none, the
/// largest event time; 0 of nothing.
fn newest_us(delta: &DeltaTable) -> Result<i64, DeltaTableError> {
    let files = delta.snapshot()?.log_data();
    let newest = |column: &str| {
        let by_file = files.max_values(&Column::from_name(column))?;
        arrow::compute::max(by_file.as_primitive_opt::<TimestampMicrosecondType>()?)
    };
    Ok(newest("ingest_time").or_else(|| newest("event_time")).unwrap_or_default())
}

fn unbuilt(name: &str, error: DataFusionError) -> LakeError {
    LakeError::Session { name: name.to_string(), problem: error.strip_backtrace() }
}

/// The table's name in DataFusion's message about a missing table.
fn missing_table(message: &str) -> Option<&str> {
    let qualified = message.strip_prefix("table '")?.split_once("' not found")?.0;
    qualified.rsplit('.').next()
}

/// The candidate that differs in the fewest letters, if at most a third of the name differs.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let name = name.to_lowercase();
    let distance_max = (name.chars().count() / 3).max(1);
    let distances = candidates.map(|candidate| (levenshtein(&name, &candidate.to_lowercase()), candidate));
    distances.filter(|(distance, _)| *distance <= distance_max).min().map(|(_, candidate)| candidate.to_string())
}
