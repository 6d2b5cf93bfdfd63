//! Mistakes that a test plants into the drivers, to see that the simulation finds them. Outside tests there are none.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A replay writes rows that the outputs have already.
    SuppressNothing,
    /// What was sent for lost partitions stays in the transaction.
    KeepLost,
    /// The lake starts behind rows that one of its tables lacks.
    StartAhead,
}

#[cfg(test)]
thread_local! {
    pub(crate) static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Whether this mistake is to be made.
#[cfg(test)]
pub(crate) fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this mistake is to be made: never.
#[cfg(not(test))]
pub(crate) fn is_planted(_bug: Bug) -> bool {
    false
}
