//! The findings about one record: a set that lists itself by priority.

use schemas::reasons::Reason;
use serde::{Deserialize, Serialize};

/// Set of reasons, one bit for each place in [`Reason::ALL`]. Remembered swipes are saved with it, so a change of that
/// order needs another logic version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Findings(u64);

const _: () = assert!(Reason::ALL.len() <= u64::BITS as usize, "findings have one bit for each reason");

impl Findings {
    /// Adds one; adding it again changes nothing.
    pub(crate) fn insert(&mut self, reason: Reason) {
        self.0 |= 1 << reason as u64;
    }

    /// Adds one where the condition holds.
    pub(crate) fn insert_if(&mut self, condition: bool, reason: Reason) {
        if condition {
            self.insert(reason);
        }
    }

    /// Whether the reason was found.
    pub(crate) fn contains(self, reason: Reason) -> bool {
        self.0 & (1 << reason as u64) != 0
    }

    /// Every finding, highest priority first.
    pub(crate) fn iter(self) -> impl Iterator<Item = Reason> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let place = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Reason::ALL.get(place).copied()
        })
    }

    /// Whether one of them refuses the request.
    pub(crate) fn refuse(self) -> bool {
        self.iter().any(Reason::declines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_list_by_priority_and_only_declining_ones_refuse() {
        let mut findings = Findings::default();
        findings.insert(Reason::ChipFallback);
        assert!(!findings.refuse());
        for reason in [Reason::ExpiredCard, Reason::FormatError, Reason::FormatError] {
            findings.insert(reason);
        }
        findings.insert_if(false, Reason::NoTrack);
        assert!(findings.refuse() && findings.contains(Reason::ExpiredCard) && !findings.contains(Reason::NoTrack));
        let listed: Vec<Reason> = findings.iter().collect();
        assert_eq!(listed, [Reason::FormatError, Reason::ExpiredCard, Reason::ChipFallback]);
    }
}
