//! What can go wrong: with one frame, which becomes a finding of its payment, and with a key file or the unit's
//! wiring, which stops the program. Messages never hold card data, ciphertext or keys.

use schemas::reasons::Reason;
use schemas::unit::UnitError;

use crate::dukpt::CounterError;

/// Why a frame gives no card. The payment is declined and the next one goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The bytes are not a whole frame: swipe again.
    #[error("frame is damaged: {0}")]
    Damaged(&'static str),
    /// A whole frame, of a kind that this program does not open: set the reader up otherwise.
    #[error("frame is of a kind that is not supported: {0}")]
    Unsupported(&'static str),
    /// The frame holds no track 1 or 2 that could be read: swipe again.
    #[error("frame holds no readable track: {0}")]
    NoTrack(&'static str),
    /// No reader sends this key serial number.
    #[error(transparent)]
    IllegalCounter(#[from] CounterError),
    /// No key set has a prefix of the key serial number: add it to the key file.
    #[error("no key set in force for key serial number {0}")]
    UnknownKeySet(String),
    /// What comes out under the key is provably not a track: the key is another one than the reader's.
    #[error("frame does not open under key set {key_set}: {proof}")]
    CannotDecrypt {
        /// Key set that was tried.
        key_set: String,
        /// What shows it.
        proof: &'static str,
    },
    /// Two tellings of the same card differ: somebody changed the frame or the stripe.
    #[error("tracks disagree: {0}")]
    TracksDisagree(&'static str),
}

impl OpenError {
    /// The finding that this error becomes.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Damaged(_) => Reason::DamagedFrame,
            Self::Unsupported(_) | Self::CannotDecrypt { .. } => Reason::CannotDecrypt,
            Self::NoTrack(_) => Reason::NoTrack,
            Self::IllegalCounter(_) => Reason::IllegalCounter,
            Self::UnknownKeySet(_) => Reason::UnknownKeySet,
            Self::TracksDisagree(_) => Reason::TracksDisagree,
        }
    }
}

/// Why a key file cannot be used: correct the file and start again.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not the JSON that a key file is.
    #[error("key file is not readable at line {line}, column {column}: correct it there")]
    NotReadable {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A value that a key file may not have.
    #[error("{what} in the key file: {problem}")]
    Value {
        /// Which entry.
        what: String,
        /// What is wrong with it and what to do.
        problem: &'static str,
    },
    /// The key is another one than the file says, most often mistyped.
    #[error("{what} in the key file has check value {found}, not {stated} as stated: enter the key again")]
    CheckValue {
        /// Which entry.
        what: String,
        /// What the file states.
        stated: String,
        /// What the key has.
        found: String,
    },
}

/// Name under which the unit appears in app ids, snapshots, refusals and dead letters.
pub(crate) const UNIT: &str = "decode";

/// A bundle or key that is in force cannot be used here: publish a usable one, or provide it, and start again.
pub(crate) fn not_loadable(what: impl Into<String>, reason: impl Into<String>) -> UnitError {
    UnitError::NotLoadable { unit: UNIT, what: what.into(), reason: reason.into() }
}

/// Saved bytes are not a state of this unit: choose another snapshot.
pub(crate) fn unreadable_state(reason: impl Into<String>) -> UnitError {
    UnitError::Snapshot { unit: UNIT, reason: reason.into() }
}

/// The code that wires the unit, or the unit itself, is wrong: stop before anything is committed.
pub(crate) fn internal(reason: impl Into<String>) -> UnitError {
    UnitError::Internal { unit: UNIT, reason: reason.into() }
}
