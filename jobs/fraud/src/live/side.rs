//! What both sides keep: how far time has come, the bundle in force and its windows.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::max;
use arrow::datatypes::TimestampMicrosecondType;
use schemas::ids::ContentHash;
use serde::{Deserialize, Serialize};

use super::LiveError;
use super::rows::{Judged, column};
use crate::windows::{WindowSet, Windows};

/// Gives the bytes of a bundle by its hash, or says why not.
pub type Content<'a> = &'a dyn Fn(ContentHash) -> Result<Vec<u8>, String>;

/// Windows over the payments rows of a partition, from the moment at which a bundle came into force.
#[derive(Default)]
pub(super) struct Side {
    /// The largest time of all rows, also of those before any bundle.
    newest_us: Option<i64>,
    /// Whether rows were read before any was noted.
    is_late: bool,
    in_force: Option<(ContentHash, Windows)>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    newest_us: Option<i64>,
    is_late: bool,
    in_force: Option<(ContentHash, Vec<u8>)>,
}

impl Side {
    pub(super) fn bundle(&self) -> Option<ContentHash> {
        self.in_force.as_ref().map(|(hash, _)| *hash)
    }

    /// Brings windows into force. Those that are there go on; before the first ones rows may have passed unseen.
    pub(super) fn accept(&mut self, hash: ContentHash, set: WindowSet, at_us: i64) -> Result<(), LiveError> {
        // Checked before anything is taken away.
        set.check()?;
        let windows = match self.in_force.take() {
            Some((_, before)) => before.succeeded(set)?,
            None => {
                let mut windows = Windows::new(set)?;
                let unseen_us = self.newest_us.or(self.is_late.then_some(at_us));
                unseen_us.into_iter().for_each(|unseen_us| windows.begin_after(unseen_us));
                windows
            }
        };
        self.in_force = Some((hash, windows));
        Ok(())
    }

    /// The rows that are judged, and values of the windows for them; nothing where no bundle is in force.
    pub(super) fn process(&mut self, rows: &RecordBatch) -> Result<Option<(Judged, RecordBatch)>, LiveError> {
        let times = column(rows, "event_time")?.as_primitive_opt::<TimestampMicrosecondType>();
        self.newest_us = self.newest_us.max(max(times.ok_or(LiveError::Column("event_time"))?));
        let Some((_, windows)) = &mut self.in_force else { return Ok(None) };
        let judged = Judged::of(rows, windows.reads_labels())?;
        let values = windows.process_labelled(&judged.payments, &judged.labels)?;
        Ok(Some((judged, values)))
    }

    pub(super) fn save(&self) -> Result<Vec<u8>, LiveError> {
        let windows = self.in_force.as_ref().map(|(hash, windows)| Ok::<_, LiveError>((*hash, windows.save()?)));
        let saved = Saved { newest_us: self.newest_us, is_late: self.is_late, in_force: windows.transpose()? };
        postcard::to_stdvec(&saved).map_err(|error| LiveError::Saved(error.to_string()))
    }

    /// `set` gives the windows of a bundle.
    pub(super) fn restore(
        bytes: Option<&[u8]>,
        set: impl FnOnce(ContentHash) -> Result<WindowSet, LiveError>,
    ) -> Result<Self, LiveError> {
        let Some(bytes) = bytes else { return Ok(Self { is_late: true, ..Self::default() }) };
        let saved: Saved = postcard::from_bytes(bytes).map_err(|error| LiveError::Saved(error.to_string()))?;
        let in_force =
            saved.in_force.map(|(hash, bytes)| Ok::<_, LiveError>((hash, Windows::restore(set(hash)?, &bytes)?)));
        Ok(Self { newest_us: saved.newest_us, is_late: saved.is_late, in_force: in_force.transpose()? })
    }
}
