//! What each merchant took on its civil day, for the limits by day.
//!
//! A swipe counts if decode itself did not refuse it; retransmissions and swipes that were refused do not, and what is
//! reversed or declined later on the card's side still does, since nobody tells decode. A day never goes back: a late
//! record counts into the day at hand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::in_force::InForce;

/// A civil day as a number that reads YYYYMMDD: later days are larger.
pub(crate) type CivilDay = i32;

/// What a merchant took on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Taken {
    day: CivilDay,
    /// Sum, minor units of the merchant's currency.
    pub(crate) minor: i64,
    /// Number of payments.
    pub(crate) count: u32,
}

/// The day at hand of each merchant that took something. There are at most as many as the bundle has merchants.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Days {
    merchants: BTreeMap<Box<str>, Taken>,
}

impl Days {
    /// What the merchant took on this day, or on the day at hand if that is a later one.
    pub(crate) fn taken(&self, merchant_id: &str, day: CivilDay) -> Taken {
        let known = self.merchants.get(merchant_id).filter(|taken| taken.day >= day);
        known.copied().unwrap_or(Taken { day, ..Taken::default() })
    }

    /// Adds a payment.
    pub(crate) fn add(&mut self, merchant_id: &str, day: CivilDay, minor: i64) {
        let before = self.taken(merchant_id, day);
        let after =
            Taken { minor: before.minor.saturating_add(minor), count: before.count.saturating_add(1), day: before.day };
        match self.merchants.get_mut(merchant_id) {
            Some(taken) => *taken = after,
            None => drop(self.merchants.insert(merchant_id.into(), after)),
        }
    }

    /// Forgets merchants that a new bundle does not name; one that comes back starts its day anew.
    pub(crate) fn keep_merchants_of(&mut self, in_force: &InForce) {
        self.merchants.retain(|merchant_id, _| in_force.merchant(merchant_id).is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when a late record opens its own day again: the day at hand would be lost.
    #[test]
    fn a_day_never_goes_back() {
        let mut days = Days::default();
        days.add("M1", 20_270_101, 100);
        days.add("M1", 20_270_102, 20);
        days.add("M1", 20_270_101, 3);
        let taken = |day| (days.taken("M1", day).minor, days.taken("M1", day).count);
        assert_eq!((taken(20_270_101), taken(20_270_102), taken(20_270_103)), ((23, 2), (23, 2), (0, 0)));
        assert_eq!(days.taken("M2", 20_270_102).count, 0);
    }
}
