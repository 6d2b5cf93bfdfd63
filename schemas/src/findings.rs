//! The findings about one record: a set of reasons that lists itself by priority.

use serde::{Deserialize, Serialize};

use crate::reasons::Reason;

/// Set of reasons, one bit for the number of each. Units save it with their state, so a change of the numbers
/// needs another logic version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Findings(u64);

const _: () = assert!(Reason::ALL.len() <= u64::BITS as usize, "findings have one bit for each reason");

impl Findings {
    /// A set of one.
    pub fn only(reason: Reason) -> Self {
        Self(1 << reason as u64)
    }

    /// Adds one; adding it again changes nothing.
    pub fn insert(&mut self, reason: Reason) {
        self.0 |= Self::only(reason).0;
    }

    /// Adds one where the condition holds.
    pub fn insert_if(&mut self, condition: bool, reason: Reason) {
        if condition {
            self.insert(reason);
        }
    }

    /// Whether the reason was found.
    pub fn contains(self, reason: Reason) -> bool {
        self.0 & Self::only(reason).0 != 0
    }

    /// Every finding, highest priority first.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        Reason::ALL.into_iter().filter(move |reason| self.contains(*reason))
    }

    /// The finding that refuses the request: the declining one with the highest priority.
    pub fn refusal(self) -> Option<Reason> {
        self.iter().find(|reason| reason.declines())
    }
}

impl FromIterator<Reason> for Findings {
    fn from_iter<I: IntoIterator<Item = Reason>>(reasons: I) -> Self {
        let mut findings = Self::default();
        reasons.into_iter().for_each(|reason| findings.insert(reason));
        findings
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
        findings.insert_if(false, Reason::NoTrack);
        assert!(findings.contains(Reason::StolenCard) && !findings.contains(Reason::NoTrack));
        let listed: Vec<Reason> = findings.iter().collect();
        assert_eq!(listed, [Reason::StolenCard, Reason::InsufficientFunds, Reason::ChipFallback]);
        assert_eq!(findings.refusal(), Some(Reason::StolenCard));
    }
}
