//! A broker that stays: `cargo xtask kafka up`, `status` and `down`.

use std::path::{Path, PathBuf};

use super::launch::prepare;
use super::options::Options;
use super::{ServiceError, install};
use crate::service::maven;
use crate::service::standing::Kind;

pub use crate::service::Standing;

/// Port for clients unless another one is asked for: Kafka's own.
pub const PORT: u16 = 9092;

pub(super) const KIND: Kind = Kind { name: "a broker", word: "kafka", log: super::launch::LOG };

/// The broker that stands now.
///
/// # Errors
///
/// If there is no cache folder.
pub fn status() -> Result<Option<Standing>, ServiceError> {
    Ok(KIND.status(&maven::cache()?))
}

/// Starts a broker that stays after this process, and waits until it answers. `folder` is where its data lies, by
/// default a folder in the cache; it stays when the broker is stopped and is used again.
///
/// # Errors
///
/// If one stands already, the port is taken, or the broker does not start.
pub fn up(port: u16, folder: Option<PathBuf>) -> Result<Standing, ServiceError> {
    up_in(&maven::cache()?, port, folder)
}

pub(super) fn up_in(cache: &Path, port: u16, folder: Option<PathBuf>) -> Result<Standing, ServiceError> {
    let options = Options { port: Some(port), ..Options::default() };
    KIND.up(cache, folder, |folder| prepare(&options, folder, &install::libraries()?))
}

/// Stops the standing broker and waits for its end. The answer is the broker that was stopped, if one stood.
///
/// # Errors
///
/// If it still runs after a minute.
pub fn down() -> Result<Option<Standing>, ServiceError> {
    KIND.down(&maven::cache()?)
}
