//! Events in flight, by time and then by the order in which they were scheduled.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::SimulatorError;

/// Most events in flight at once: a day's payments of ten thousand merchants with what follows them on later days.
pub const IN_FLIGHT_MAX: usize = 4_000_000;

/// A queue of events.
pub(crate) struct Queue<E> {
    order: BinaryHeap<Reverse<(i64, u64)>>,
    events: BTreeMap<u64, E>,
    scheduled: u64,
    in_flight_max: usize,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self { order: BinaryHeap::new(), events: BTreeMap::new(), scheduled: 0, in_flight_max: 0 }
    }

    /// Adds an event.
    pub(crate) fn schedule(&mut self, at_us: i64, event: E) -> Result<(), SimulatorError> {
        if self.events.len() >= IN_FLIGHT_MAX {
            return Err(SimulatorError::TooManyInFlight { max: IN_FLIGHT_MAX });
        }
        self.order.push(Reverse((at_us, self.scheduled)));
        self.events.insert(self.scheduled, event);
        self.scheduled += 1;
        self.in_flight_max = self.in_flight_max.max(self.events.len());
        Ok(())
    }

    /// Takes the next event before this moment.
    pub(crate) fn next_before(&mut self, until_us: i64) -> Option<(i64, E)> {
        let Reverse((at_us, number)) = *self.order.peek()?;
        if at_us >= until_us {
            return None;
        }
        self.order.pop();
        self.events.remove(&number).map(|event| (at_us, event))
    }

    /// Most events that were in flight at once.
    pub(crate) fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_as_scheduled() {
        let mut queue = Queue::new();
        for (at_us, name) in [(5, "c"), (3, "a"), (5, "d"), (3, "b"), (9, "e")] {
            queue.schedule(at_us, name).unwrap();
        }
        let mut seen = String::new();
        while let Some((_, name)) = queue.next_before(9) {
            seen.push_str(name);
        }
        assert_eq!((seen.as_str(), queue.in_flight_max()), ("abcd", 5));
        assert_eq!(queue.next_before(10), Some((9, "e")));
    }
}
