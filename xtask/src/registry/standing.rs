//! A registry that stays: `cargo xtask registry up`, `status` and `down`. What it knew is gone when it is stopped.

use std::path::{Path, PathBuf};

use super::{ServiceError, keep_compatible, prepare, program, url};
use crate::service::maven;
use crate::service::standing::Kind;

pub use crate::service::Standing;

/// Port unless another one is asked for: that of Confluent's registry.
pub const PORT: u16 = 8081;

pub(super) const KIND: Kind = Kind { name: "a registry", word: "registry", log: super::LOG };

/// The registry that stands now, and what clients take for its address.
///
/// # Errors
///
/// If there is no cache folder.
pub fn status() -> Result<Option<(Standing, String)>, ServiceError> {
    Ok(KIND.status(&maven::cache()?).map(with_url))
}

/// Starts a registry that stays after this process, and waits until it answers. `folder` is for its settings and log, by
/// default a folder in the cache.
///
/// # Errors
///
/// If one stands already, the port is taken, or the registry does not start.
pub fn up(port: u16, folder: Option<PathBuf>) -> Result<(Standing, String), ServiceError> {
    up_in(&maven::cache()?, port, folder)
}

pub(super) fn up_in(cache: &Path, port: u16, folder: Option<PathBuf>) -> Result<(Standing, String), ServiceError> {
    let standing = KIND.up(cache, folder, |folder| prepare(Some(port), folder, &program()?))?;
    keep_compatible(&standing.address)?;
    Ok(with_url(standing))
}

/// Stops the standing registry and waits for its end. The answer is the registry that was stopped, if one stood.
///
/// # Errors
///
/// If it still runs after a minute.
pub fn down() -> Result<Option<Standing>, ServiceError> {
    KIND.down(&maven::cache()?)
}

fn with_url(standing: Standing) -> (Standing, String) {
    let url = url(&standing.address);
    (standing, url)
}
