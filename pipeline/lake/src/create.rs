//! Opening a table, creating it, and adding the columns that it lacks.

use std::path::Path;

use arrow::datatypes::{DataType, Schema};
use deltalake::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake::kernel::transaction::{CommitProperties, TransactionError};
use deltalake::kernel::{StructField, StructType};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use schemas::tables::TableSpec;
use url::Url;

use crate::commit::{Conflict, conflict};
use crate::maintain::KEEP_VERSIONS_S_MAX;
use crate::{LakeError, disk};

/// A checkpoint is written each time the version passes a multiple of this many commits: what opening a table replays
/// at most, and what appends slow down by in between (0.4 ms a commit).
pub(crate) const CHECKPOINT_COMMITS: u64 = 100;

/// Attempts to create a table or add its columns while others do the same.
const ATTEMPTS_MAX: u32 = 5;

/// Opens the table in this folder; creates it if it is missing; adds the spec's columns that it lacks.
pub(crate) async fn open_or_create(folder: &Path, spec: &TableSpec) -> Result<DeltaTable, LakeError> {
    let names = disk::file_names(spec.name, folder)?;
    let foreign = names.iter().any(|name| !name.starts_with('.'));
    // Vacuum would delete whatever else lies here.
    if foreign && !disk::log_folder(folder).is_dir() {
        return Err(LakeError::Occupied { table: spec.name.to_string(), folder: folder.to_path_buf() });
    }
    std::fs::create_dir_all(folder).map_err(|cause| LakeError::io(spec.name, "make the folder", folder, cause))?;
    if !exists(folder) {
        create(folder, spec).await?;
    }
    for _ in 0..ATTEMPTS_MAX {
        let delta = load(folder, spec.name, None).await?;
        let missing = missing_fields(&stored_schema(&delta, spec.name)?, spec)?;
        if missing.is_empty() {
            return Ok(delta);
        }
        match delta.add_columns().with_fields(missing).with_commit_properties(properties()).await {
            Ok(delta) => {
                if let Some(version) = delta.version() {
                    disk::sync_commit(spec.name, folder, version)?;
                }
                return Ok(delta);
            }
            // Another process adds columns too: look what is missing then.
            Err(error) if conflict(&error) != Conflict::Unclear => {}
            Err(error) => return Err(LakeError::delta(spec.name, "add columns", error)),
        }
    }
    Err(LakeError::Busy { table: spec.name.to_string(), attempts: ATTEMPTS_MAX })
}

/// Whether the folder holds a Delta table.
pub(crate) fn exists(folder: &Path) -> bool {
    disk::file_names("", &disk::log_folder(folder))
        .is_ok_and(|names| names.iter().any(|name| name.ends_with(".json") || name.ends_with(".checkpoint.parquet")))
}

/// Loads a table at a version, or at its newest one.
pub(crate) async fn load(folder: &Path, table: &str, version: Option<u64>) -> Result<DeltaTable, LakeError> {
    let failed = |error| LakeError::delta(table, "open", error);
    let mut builder = DeltaTableBuilder::from_url(address(folder)).map_err(failed)?;
    if let Some(version) = version {
        builder = builder.with_version(version);
    }
    builder.load().await.map_err(failed)
}

/// Schema of a table as Arrow types, in the form that the Parquet writer takes.
pub(crate) fn stored_schema(delta: &DeltaTable, table: &str) -> Result<Schema, LakeError> {
    let failed = |error| LakeError::delta(table, "read the schema", error);
    let schema = delta.snapshot().map_err(failed)?.schema();
    schema.as_ref().try_into_arrow().map_err(|cause| failed(DeltaTableError::from(cause)))
}

fn address(folder: &Path) -> Url {
    Url::from_directory_path(folder).expect("the lake's folder was made absolute when it was opened")
}

fn properties() -> CommitProperties {
    CommitProperties::default().with_create_checkpoint(false).with_cleanup_expired_logs(Some(false))
}

async fn create(folder: &Path, spec: &TableSpec) -> Result<(), LakeError> {
    let failed = |error| LakeError::delta(spec.name, "create", error);
    let columns: StructType =
        spec.schema.as_ref().try_into_kernel().map_err(|cause| failed(DeltaTableError::from(cause)))?;
    let kept = format!("interval {KEEP_VERSIONS_S_MAX} seconds");
    let created = CreateBuilder::new()
        .with_location(address(folder))
        .with_table_name(spec.name)
        .with_comment(spec.comment)
        .with_columns(columns.fields().cloned())
        .with_configuration([
            ("delta.appendOnly", Some("true".to_string())),
            ("delta.checkpointInterval", Some(CHECKPOINT_COMMITS.to_string())),
            // Maintenance removes old versions, by its own policy within these bounds; nobody does it in passing.
            ("delta.enableExpiredLogCleanup", Some("false".to_string())),
            ("delta.logRetentionDuration", Some(kept.clone())),
            ("delta.deletedFileRetentionDuration", Some(kept)),
            ("delta.dataSkippingStatsColumns", Some(columns_with_statistics(&spec.schema))),
        ])
        .with_save_mode(SaveMode::Ignore)
        // With retries two creators would both write a version, with two table ids.
        .with_commit_properties(properties().with_max_retries(0))
        .await;
    match created {
        Ok(_) => disk::sync_commit(spec.name, folder, 0),
        Err(DeltaTableError::Transaction { source: TransactionError::MaxCommitAttempts(_) }) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Columns whose minimum and maximum go into the log: those that questions filter by. Long texts would only make the
/// log long.
fn columns_with_statistics(schema: &Schema) -> String {
    let filtered = schema.fields().iter().filter(|field| match field.data_type() {
        DataType::Utf8 => field.name().ends_with("_id") || field.name() == "token",
        data_type => data_type.is_primitive(),
    });
    filtered.map(|field| field.name().as_str()).collect::<Vec<_>>().join(",")
}

/// Columns of the spec that the stored table lacks; an error where the two cannot be brought together.
pub(crate) fn missing_fields(stored: &Schema, spec: &TableSpec) -> Result<Vec<StructField>, LakeError> {
    let incompatible = |column: &str, problem: String| LakeError::Incompatible {
        table: spec.name.to_string(),
        column: column.to_string(),
        problem,
    };
    let mut missing = Vec::new();
    for wanted in spec.schema.fields() {
        let Ok(found) = stored.field_with_name(wanted.name()) else {
            if !wanted.is_nullable() {
                return Err(incompatible(wanted.name(), "is missing and would be required".to_string()));
            }
            let field: StructField = wanted
                .as_ref()
                .try_into_kernel()
                .map_err(|cause| LakeError::delta(spec.name, "add columns", DeltaTableError::from(cause)))?;
            missing.push(field);
            continue;
        };
        if !found.data_type().equals_datatype(wanted.data_type()) {
            let problem = format!("is stored as {}, not as {}", found.data_type(), wanted.data_type());
            return Err(incompatible(wanted.name(), problem));
        }
        if wanted.is_nullable() && !found.is_nullable() {
            return Err(incompatible(wanted.name(), "is stored as required, and may be missing now".to_string()));
        }
    }
    let unknown =
        stored.fields().iter().find(|field| !field.is_nullable() && spec.schema.field_with_name(field.name()).is_err());
    match unknown {
        Some(field) => Err(incompatible(field.name(), "is required by the table and unknown here".to_string())),
        None => Ok(missing),
    }
}
