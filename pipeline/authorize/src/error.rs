//! What stops this unit. A record never does: it becomes a decision or a dead letter.

use schemas::unit::UnitError;

/// Name under which the unit appears in app ids, snapshots, refusals and dead letters.
pub(crate) const UNIT: &str = "authorize";

/// Why authorize cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input is not in the payments schema: a wiring error. Stop.
    #[error(
        "column {column} of the payments rows is missing or of another type; hand over rows in the payments schema"
    )]
    Column {
        /// Name of the column.
        column: &'static str,
    },
    /// The rows do not fit the output's schema: an error of the code. Stop.
    #[error("rows of output {output} do not fit their schema: {reason}")]
    Rows {
        /// Name of the output.
        output: &'static str,
        /// What Arrow says.
        reason: String,
    },
    /// A named invariant does not hold. Stop before anything is committed.
    #[error("invariant \"{name}\" does not hold: {found}; stop and restore the last snapshot")]
    Invariant {
        /// Name of the invariant.
        name: &'static str,
        /// What was found, without card data.
        found: String,
    },
    /// The scorer refuses rows or its state: an error of the code or of its wiring. Stop.
    #[error("the scorer fails: {reason}")]
    Scorer {
        /// What it says.
        reason: String,
    },
    /// A bundle or key that is in force cannot be used here. Stop and publish a usable one.
    #[error("{what} cannot be used: {reason}")]
    NotLoadable {
        /// The bundle or key.
        what: String,
        /// Why, and where in it.
        reason: String,
    },
    /// Saved bytes are not a state of this unit. Stop and choose another snapshot.
    #[error("the saved state does not read: {reason}")]
    Snapshot {
        /// Why.
        reason: String,
    },
}

impl From<Error> for UnitError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotLoadable { what, reason } => Self::NotLoadable { unit: UNIT, what, reason },
            Error::Snapshot { reason } => Self::Snapshot { unit: UNIT, reason },
            other => Self::Internal { unit: UNIT, reason: other.to_string() },
        }
    }
}
