//! The frontiers of a run under way.

use std::collections::BTreeMap;

use schemas::Offset;

use crate::{Plan, Refusal};

/// A mistake of the program that drives a unit. It must stop before it commits or snapshots anything more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrontierError {
    /// I-2 would break.
    #[error("a snapshot at offset {at} would be ahead of {output}, which stands at offset {frontier}")]
    SnapshotAhead {
        /// The output that lags.
        output: String,
        /// Its C.
        frontier: Offset,
        /// S of the snapshot.
        at: Offset,
    },
    /// A commit moved an output's frontier back.
    #[error("the frontier of {output} went back from offset {from} to offset {to}")]
    Backwards {
        /// The output.
        output: String,
        /// Where it stood.
        from: Offset,
        /// Where the commit put it.
        to: Offset,
    },
    /// A commit to an output that the run does not have.
    #[error("{output} is not an output of this run")]
    UnknownOutput {
        /// The output.
        output: String,
    },
}

/// C of every output while a run goes on.
#[derive(Debug, Clone)]
pub struct Ledger {
    frontiers: BTreeMap<String, Offset>,
}

/// Proof that every output has reached S, without which no snapshot may be written.
#[derive(Debug)]
pub struct SnapshotPermit {
    at: Offset,
}

impl SnapshotPermit {
    /// The one S that it is for.
    pub fn at(&self) -> Offset {
        self.at
    }
}

impl Ledger {
    /// The ledger of a run that starts by this plan.
    pub fn new(plan: &Plan, frontiers: BTreeMap<String, Offset>) -> Self {
        let ahead = frontiers.iter().find(|(_, frontier)| **frontier < plan.read_from);
        assert!(ahead.is_none(), "I-2: the start at offset {} is ahead of {ahead:?}", plan.read_from);
        Self { frontiers }
    }

    /// C of an output; 0 for one that is not of this run.
    pub fn frontier(&self, output: &str) -> Offset {
        self.frontiers.get(output).copied().unwrap_or_default()
    }

    /// How many of the rows, whose offsets never decrease, the output has already (I-1): the first so many are to be
    /// left out.
    pub fn suppress(&self, output: &str, offsets: &[i64]) -> usize {
        let frontier = self.frontier(output);
        offsets.partition_point(|offset| *offset < frontier.0)
    }

    /// Notes that an output has committed everything below `next`.
    pub fn committed(&mut self, output: &str, next: Offset) -> Result<(), FrontierError> {
        let output_name = || output.to_string();
        let Some(frontier) = self.frontiers.get_mut(output) else {
            return Err(FrontierError::UnknownOutput { output: output_name() });
        };
        if next < *frontier {
            return Err(FrontierError::Backwards { output: output_name(), from: *frontier, to: next });
        }
        *frontier = next;
        Ok(())
    }

    /// Allows a snapshot at S, if every output has reached it (I-2).
    pub fn permit(&self, at: Offset) -> Result<SnapshotPermit, FrontierError> {
        match self.frontiers.iter().find(|(_, frontier)| **frontier < at) {
            Some((output, frontier)) => {
                Err(FrontierError::SnapshotAhead { output: output.clone(), frontier: *frontier, at })
            }
            None => Ok(SnapshotPermit { at }),
        }
    }

    /// Refuses a log that ends before what an output has read of it.
    pub fn check_end(&self, end: Offset) -> Result<(), Refusal> {
        match self.frontiers.iter().find(|(_, frontier)| **frontier > end) {
            Some((output, frontier)) => Err(Refusal::LogCut { output: output.clone(), frontier: *frontier, end }),
            None => Ok(()),
        }
    }
}
