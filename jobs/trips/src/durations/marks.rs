//! Strange fixes by device and time, and how many of them fall into a trip.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use crate::columns::{texts, times};

/// What is strange about a fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Cleaning left it out as a teleport.
    Teleport,
    /// Another device was at exactly this position at exactly this time.
    Copied,
    /// It goes on exactly like the two before it, with the same accuracy: a receiver has noise.
    Smooth,
}

impl Mark {
    /// Every mark.
    pub const ALL: [Self; 3] = [Self::Teleport, Self::Copied, Self::Smooth];

    /// Its name in the column `kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Teleport => "teleport",
            Self::Copied => "copied",
            Self::Smooth => "smooth",
        }
    }
}

/// Times of the marks of each device, each once, in order.
pub(super) struct Marks(HashMap<String, [Vec<i64>; Mark::ALL.len()]>);

impl Marks {
    pub(super) fn read(batches: &[RecordBatch]) -> Result<Self, ArrowError> {
        let (devices, kinds) = (texts(batches, "device_id")?, texts(batches, "kind")?);
        let at = times(batches, "event_time")?;
        let mut marks: HashMap<String, [Vec<i64>; Mark::ALL.len()]> = HashMap::new();
        for row in 0..at.len() {
            let Some(mark) = Mark::ALL.into_iter().find(|mark| mark.name() == kinds.value(row)) else {
                return Err(ArrowError::InvalidArgumentError(format!("there is no mark {:?}", kinds.value(row))));
            };
            let device = devices.value(row);
            if !marks.contains_key(device) {
                marks.insert(device.to_string(), Default::default());
            }
            if let Some(lists) = marks.get_mut(device) {
                lists[mark as usize].push(at.value(row));
            }
        }
        for times in marks.values_mut().flatten() {
            times.sort_unstable();
            times.dedup();
        }
        Ok(Self(marks))
    }

    /// How many of a device's fixes from one time to another, both included, have this mark.
    pub(super) fn count(&self, mark: Mark, device_id: &str, from_us: i64, to_us: i64) -> usize {
        let times = self.0.get(device_id).map_or(&[][..], |lists| &lists[mark as usize]);
        times.partition_point(|at_us| *at_us <= to_us) - times.partition_point(|at_us| *at_us < from_us)
    }
}
