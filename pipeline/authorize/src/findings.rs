//! The findings about one record: a set that lists itself by priority.

use schemas::reasons::Reason;
use serde::{Deserialize, Serialize};

/// Set of reasons, one bit for each place in [`Reason::ALL`]. It is saved with the state, so a change of that order
/// needs another logic version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Findings(u64);

const _: () = assert!(Reason::ALL.len() <= u64::BITS as usize, "findings have one bit for each reason");

impl Findings {
    /// A set of one.
    pub(crate) fn only(reason: Reason) -> Self {
        Self(1 << reason as u64)
    }

    /// Adds one; adding it again changes nothing.
    pub(crate) fn insert(&mut self, reason: Reason) {
        self.0 |= Self::only(reason).0;
    }

    /// Whether the reason was found.
    pub(crate) fn contains(self, reason: Reason) -> bool {
        self.0 & Self::only(reason).0 != 0
    }

    /// Every finding, highest priority first.
    pub(crate) fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::ALL.into_iter().filter(move |reason| self.contains(*reason))
    }

    /// The finding that refuses the request: the declining one with the highest priority.
    pub(crate) fn refusal(self) -> Option<Reason> {
        self.iter().find(|reason| reason.declines())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_list_by_priority_and_only_declining_ones_refuse() {
        let mut findings = Findings::only(Reason::ChipFallback);
        assert_eq!(findings.refusal(), None);
        for reason in [Reason::InsufficientFunds, Reason::StolenCard, Reason::StolenCard] {
            findings.insert(reason);
        }
        let listed: Vec<Reason> = findings.iter().collect();
        assert_eq!(listed, [Reason::StolenCard, Reason::InsufficientFunds, Reason::ChipFallback]);
        assert_eq!(findings.refusal(), Some(Reason::StolenCard));
    }
}
