//! Looking at a table without touching it: whether its files are there, and how far each source has come.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use schemas::Offset;
use schemas::tables::TableSpec;

use crate::create::{exists, load, missing_fields, stored_schema};
use crate::{Lake, LakeError};

/// What is found of a table in its newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The newest version.
    pub version: u64,
    /// Parquet files of that version.
    pub files: usize,
    /// Those that are missing or have another size than the log says, each with what is wrong.
    pub damaged: Vec<String>,
    /// The next offset that the table lacks, of each app id asked for that ever committed here.
    pub frontiers: BTreeMap<String, Offset>,
}

impl Lake {
    /// Looks at a table without creating or changing anything: reads its log, and the sizes of its files. `None` when
    /// the table does not exist.
    pub fn inspect(&self, spec: &TableSpec, app_ids: &[String]) -> Result<Option<Inspection>, LakeError> {
        let folder = self.folder().join(spec.name);
        self.runtime.block_on(inspect(&folder, spec, app_ids))
    }
}

async fn inspect(folder: &Path, spec: &TableSpec, app_ids: &[String]) -> Result<Option<Inspection>, LakeError> {
    if !exists(folder) {
        return Ok(None);
    }
    let failed = |error| LakeError::delta(spec.name, "read the log", error);
    let delta = load(folder, spec.name, None).await?;
    // What is missing is added by the next run; what does not fit is an error.
    missing_fields(&stored_schema(&delta, spec.name)?, spec)?;
    let state = delta.snapshot().map_err(failed)?;
    let (mut files, mut damaged) = (0, Vec::new());
    for file in state.log_data().iter() {
        files += 1;
        let path = folder.join(file.path().as_ref());
        let said = u64::try_from(file.size()).unwrap_or_default();
        match std::fs::metadata(&path) {
            Ok(found) if found.len() == said => {}
            Ok(found) => damaged.push(format!("{} has {} bytes instead of {said}", path.display(), found.len())),
            Err(cause) if cause.kind() == ErrorKind::NotFound => damaged.push(format!("{} is gone", path.display())),
            Err(cause) => return Err(LakeError::io(spec.name, "look at", &path, cause)),
        }
    }
    damaged.sort();
    let mut frontiers = BTreeMap::new();
    for app_id in app_ids {
        let stored = state.transaction_version(delta.log_store().as_ref(), app_id).await.map_err(failed)?;
        if let Some(offset) = stored {
            frontiers.insert(app_id.clone(), Offset(offset));
        }
    }
    Ok(Some(Inspection { version: delta.version().unwrap_or_default(), files, damaged, frontiers }))
}
