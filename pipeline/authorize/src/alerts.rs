//! Alerts: which findings alert, what they say to people, and which of them belong together.

use std::collections::{BTreeMap, BTreeSet};

use schemas::ids::{CardToken, card_group_id, hash_of_parts};
use schemas::money::{Currency, Money};
use schemas::reasons::Reason;
use serde::{Deserialize, Serialize};

use crate::columns::{Kind, Record};
use crate::in_force::{DAY_US, SECOND_US};
use crate::payment::short_hash;

/// Findings that alert.
pub(crate) const ALERTING: [Reason; 9] = [
    Reason::DuplicateStan,
    Reason::ReaderOfOtherMerchant,
    Reason::ReplayedCounter,
    Reason::KsnSeenOnCard,
    Reason::LostCard,
    Reason::StolenCard,
    Reason::LooksDuplicate,
    Reason::RiskBlocked,
    Reason::RiskReview,
];

/// The bit by which a payment remembers that it has written this alert. There are eight: the rules say one thing of two.
pub(crate) fn bit(place: usize) -> u8 {
    1 << place.min(u8::BITS as usize - 1)
}

const _: () = assert!(ALERTING.len() <= u8::BITS as usize + 1, "a payment remembers its alerts in one byte");

/// An alert joins its group at most so long after the previous one: half an hour, microseconds.
const QUIET_US_MAX: i64 = 30 * 60 * SECOND_US;
/// A group takes alerts for at most so long: a day, microseconds.
const GROUP_US_MAX: i64 = DAY_US;
/// Largest number of groups in state; the quietest is closed when it is reached.
pub(crate) const GROUPS_MAX: usize = 65_536;

/// Whom alerts are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Subject {
    /// The card.
    Card(CardToken),
    /// The reader (hash of its identifier) of a frame that did not open.
    Reader(u64),
}

impl Subject {
    /// Of a swipe.
    pub(crate) fn of(record: &Record<'_>) -> Self {
        match record.token {
            Some(token) => Self::Card(token),
            None => Self::Reader(short_hash(&[b"reader", record.reader_id.unwrap_or_default().as_bytes()])),
        }
    }
}

/// Alerts of one subject that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Its identity: hash of the subject and of the payment that opened it.
    pub(crate) id: [u8; 16],
    /// Number of alerts in it.
    pub(crate) number: i32,
    first_us: i64,
    last_us: i64,
}

impl Group {
    fn takes(&self, at_us: i64) -> bool {
        (self.first_us - QUIET_US_MAX..=self.last_us + QUIET_US_MAX).contains(&at_us)
            && at_us <= self.first_us + GROUP_US_MAX
    }
}

/// Groups that may still take alerts.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Groups {
    open: BTreeMap<Subject, Group>,
    #[serde(skip)]
    by_last: BTreeSet<(i64, Subject)>,
}

impl Groups {
    /// The group that an alert at this time joins or opens, the alert counted. `payment` names the payment.
    pub(crate) fn join(&mut self, subject: Subject, at_us: i64, payment: &[u8]) -> Group {
        let earlier = self.open.remove(&subject);
        if let Some(group) = earlier {
            self.by_last.remove(&(group.last_us, subject));
        }
        let group = match earlier.filter(|group| group.takes(at_us)) {
            Some(group) => Group { number: group.number.saturating_add(1), last_us: group.last_us.max(at_us), ..group },
            None => {
                let id = match subject {
                    Subject::Card(token) => card_group_id(token, payment),
                    Subject::Reader(reader) => hash_of_parts(&[b"reader", &reader.to_be_bytes(), payment]),
                };
                Group { id, number: 1, first_us: at_us, last_us: at_us }
            }
        };
        self.open.insert(subject, group);
        self.by_last.insert((group.last_us, subject));
        while self.open.len() > GROUPS_MAX {
            self.close_quietest();
        }
        group
    }

    /// Closes groups that take no alert from this time on.
    pub(crate) fn forget(&mut self, least_us: i64) {
        while self.by_last.first().is_some_and(|(last_us, _)| last_us + QUIET_US_MAX < least_us) {
            self.close_quietest();
        }
    }

    fn close_quietest(&mut self) {
        if let Some((_, subject)) = self.by_last.pop_first() {
            self.open.remove(&subject);
        }
    }

    /// Rebuilds the order after a restore.
    pub(crate) fn rebuild(&mut self) {
        self.by_last = self.open.iter().map(|(subject, group)| (group.last_us, *subject)).collect();
    }
}

/// How far apart two swipes are, for people: whole seconds, rounded up, at least one.
fn seconds(apart_us: i64) -> i64 {
    (apart_us.abs() + SECOND_US - 1).div_euclid(SECOND_US).max(1)
}

/// One sentence with the values that matter. `apart_us` is the distance to the earlier swipe that the finding is about.
pub(crate) fn sentence(reason: Reason, record: &Record<'_>, apart_us: i64) -> String {
    let merchant = record.merchant_id.unwrap_or("an unnamed merchant");
    let reader = record.reader_id.unwrap_or("without a name");
    let amount = match (record.amount_minor, record.currency.and_then(Currency::from_code)) {
        (Some(minor), Some(currency)) => Money { minor, currency }.to_string(),
        _ => "an unreadable amount".into(),
    };
    let within = seconds(apart_us);
    match reason {
        Reason::DuplicateStan => match record.stan {
            Some(stan) => format!("Reader {reader} at {merchant} used trace number {stan:06} again, now for {amount}."),
            None => format!("Reader {reader} at {merchant} sent the same swipe again, now for {amount}."),
        },
        Reason::ReaderOfOtherMerchant => {
            format!("Reader {reader} belongs to another merchant but was used at {merchant} for {amount}.")
        }
        Reason::ReplayedCounter => {
            format!("Reader {reader} at {merchant} sent a key counter that was used before, for {amount}.")
        }
        Reason::KsnSeenOnCard => format!(
            "The same encrypted swipe of a card came again through reader {reader} at {merchant} for {amount}, {within} s from the other."
        ),
        Reason::LostCard => format!("A card reported lost was swiped at {merchant} for {amount}."),
        Reason::StolenCard => format!("A card reported stolen was swiped at {merchant} for {amount}."),
        Reason::LooksDuplicate => format!("The same card paid {amount} at {merchant} twice within {within} s."),
        Reason::RiskBlocked | Reason::RiskReview => {
            let seen = record.judgement.map_or("The rules found something", |judgement| judgement.sentence.as_str());
            match record.kind {
                Kind::Refund => format!("{seen}; now {amount} are given back by {merchant}."),
                _ => format!("{seen}; now {amount} at {merchant}."),
            }
        }
        other => other.sentence().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: Subject = Subject::Card(CardToken([1; 16]));
    const MINUTE_US: i64 = 60 * SECOND_US;

    #[test]
    fn a_group_takes_alerts_for_half_an_hour_after_the_last_and_a_day_in_all() {
        let mut groups = Groups::default();
        let first = groups.join(CARD, 0, b"p0");
        assert_eq!(first.number, 1);
        let at_the_edge = groups.join(CARD, 30 * MINUTE_US, b"p1");
        assert_eq!((at_the_edge.id, at_the_edge.number), (first.id, 2));
        let too_late = groups.join(CARD, 60 * MINUTE_US + 1, b"p2");
        assert_ne!(too_late.id, first.id);
        assert_eq!(too_late.number, 1);
        let other_card = groups.join(Subject::Card(CardToken([2; 16])), 60 * MINUTE_US, b"p3");
        assert_eq!(other_card.number, 1);
    }

    /// Fails when the day counts from the last alert: a steady stream would then never close its group.
    #[test]
    fn a_steady_stream_of_alerts_opens_a_new_group_after_a_day() {
        let mut groups = Groups::default();
        let ids: BTreeSet<[u8; 16]> =
            (0..100).map(|quarter| groups.join(CARD, quarter * 15 * MINUTE_US, &[quarter as u8]).id).collect();
        assert_eq!(ids.len(), 2);
    }

    #[test]
    fn groups_are_bounded_and_the_quietest_closes_first() {
        let mut groups = Groups::default();
        for reader in 0..=GROUPS_MAX as u64 {
            groups.join(Subject::Reader(reader), reader as i64, b"p");
        }
        assert_eq!(groups.open.len(), GROUPS_MAX);
        assert_eq!(groups.join(Subject::Reader(1), 1, b"p").number, 2);
        assert_eq!(groups.join(Subject::Reader(0), 0, b"p").number, 1);
        groups.forget(i64::MAX);
        assert!(groups.open.is_empty() && groups.by_last.is_empty());
    }

    #[test]
    fn seconds_round_up() {
        assert_eq!([0, 1, SECOND_US, SECOND_US + 1, -40 * SECOND_US].map(seconds), [1, 1, 1, 2, 40]);
    }
}
