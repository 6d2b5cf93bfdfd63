//! The replay guard: which key counters of each device have been used. Counters move forward; gaps are normal, since
//! a cancelled swipe uses one up; a few may arrive out of order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dukpt::Ksn;

/// Counters below the highest one that may still arrive, each once: one device sends one swipe at a time, so that
/// more than a few are never on their way together.
pub(crate) const REORDER_COUNTERS: u32 = u64::BITS;
/// Most devices that one partition guards: about 50 megabytes.
pub(crate) const DEVICES_MAX: usize = 1_000_000;

/// Counters of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Guard {
    highest: u32,
    /// Bit n: the counter n below the highest was used.
    used: u64,
}

impl Guard {
    fn has_seen(self, counter: u32) -> bool {
        match self.highest.checked_sub(counter) {
            None => false,
            Some(below) if below < REORDER_COUNTERS => self.used >> below & 1 == 1,
            Some(_) => true,
        }
    }

    fn mark(&mut self, counter: u32) {
        if counter > self.highest {
            self.used = self.used.checked_shl(counter - self.highest).unwrap_or_default() | 1;
            self.highest = counter;
        } else if self.highest - counter < REORDER_COUNTERS {
            self.used |= 1 << (self.highest - counter);
        }
    }
}

/// Counters of every device, by its initial key serial number.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Guards {
    devices: BTreeMap<[u8; Ksn::LENGTH], Guard>,
}

/// There is no room for another device.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Guards {
    /// Whether the counter was used before, or lies so far below the highest one that nobody can tell any more.
    pub(crate) fn has_seen(&self, ksn: Ksn) -> bool {
        self.devices.get(&ksn.device().bytes()).is_some_and(|guard| guard.has_seen(ksn.counter()))
    }

    /// Notes that the counter was used.
    pub(crate) fn mark(&mut self, ksn: Ksn) -> Result<(), NoRoom> {
        self.mark_within(ksn, DEVICES_MAX)
    }

    fn mark_within(&mut self, ksn: Ksn, devices_max: usize) -> Result<(), NoRoom> {
        let device = ksn.device().bytes();
        if let Some(guard) = self.devices.get_mut(&device) {
            guard.mark(ksn.counter());
            return Ok(());
        }
        if self.devices.len() >= devices_max {
            return Err(NoRoom);
        }
        self.devices.insert(device, Guard { highest: ksn.counter(), used: 1 });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ksn(counter: u32) -> Ksn {
        Ksn::from_hex("62994901190000000000").unwrap().with_counter(counter)
    }

    #[test]
    fn a_full_guard_takes_no_other_device_but_goes_on_with_those_it_has() {
        let mut guards = Guards::default();
        let other = Ksn::from_hex("62994901190000200000").unwrap().with_counter(1);
        assert_eq!(guards.mark_within(ksn(1), 1), Ok(()));
        assert_eq!(guards.mark_within(other, 1), Err(NoRoom));
        assert_eq!(guards.mark_within(ksn(2), 1), Ok(()));
        assert!(guards.has_seen(ksn(2)) && !guards.has_seen(other));
    }

    proptest! {
        /// The oracle keeps every counter. Fails when a shift of the window loses one or the window is off by one.
        #[test]
        fn every_counter_passes_once_inside_the_window(steps in prop::collection::vec((0..90_u32, any::<bool>()), 1..200)) {
            let mut guards = Guards::default();
            let (mut seen, mut highest) = (BTreeSet::new(), 0);
            for (step, forward) in steps {
                let counter = if forward { highest + step } else { u32::saturating_sub(highest, step) };
                let is_old = highest.checked_sub(counter).is_some_and(|below| below >= 64) && !seen.is_empty();
                prop_assert_eq!(guards.has_seen(ksn(counter)), is_old || seen.contains(&counter));
                guards.mark(ksn(counter)).unwrap();
                if !is_old {
                    seen.insert(counter);
                }
                highest = counter.max(highest);
            }
        }
    }
}
