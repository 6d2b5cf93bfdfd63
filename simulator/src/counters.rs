//! Key counters and trace numbers of readers and of their copies, and which counters of a reader a pipeline has seen.

use std::collections::{BTreeMap, BTreeSet};

use decode::dukpt::{Ksn, next_counter};
use rand::RngExt;

use crate::streams::Stream;
use crate::{SimulatorError, World};

/// One swipe of so many is preceded by cancelled ones, which use up counters.
const CANCELLED_SWIPE_EVERY: u32 = 30;
/// First digits of every reader's key serial number, those of the published ID TECH readers.
const KSN_PREFIX: [u8; 4] = [0x62, 0x99, 0x49, 0x01];
/// A counter so far below the highest one that was seen counts as seen: decode remembers each of the others.
const COUNTERS_REMEMBERED: u32 = 64;
/// Trace numbers that there are.
const STANS: i32 = 1_000_000;
/// How far the trace numbers of a copy's phone are ahead of the reader's, and how much more each day: nobody uses so
/// many in a day.
const COPY_STANS_AHEAD: i32 = STANS / 2;
const COPY_STANS_AHEAD_DAILY: i32 = 20;

/// What a reader and its phone send next.
#[derive(Clone, Copy)]
struct Counters {
    key: u32,
    stan: i32,
}

/// Counters of one device that were seen.
#[derive(Clone, Default)]
struct Seen {
    highest: u32,
    /// At most [`COUNTERS_REMEMBERED`] up to the highest.
    recent: BTreeSet<u32>,
}

impl Seen {
    /// Whether the counter was seen before, or nobody can tell any more; from now on it was.
    fn see(&mut self, counter: u32) -> bool {
        let was_seen = counter + COUNTERS_REMEMBERED <= self.highest || !self.recent.insert(counter);
        self.highest = self.highest.max(counter);
        self.recent = self.recent.split_off(&(self.highest + 1).saturating_sub(COUNTERS_REMEMBERED));
        was_seen
    }
}

/// Every reader, by number, and copies of some.
pub(crate) struct Readers<'world> {
    world: &'world World,
    own: Vec<Counters>,
    /// Those of the day.
    copies: BTreeMap<usize, Counters>,
    seen: Vec<Seen>,
}

impl<'world> Readers<'world> {
    /// Readers that were never used.
    pub(crate) fn new(world: &'world World) -> Self {
        let readers = &world.business.readers;
        let own = readers.iter().map(|reader| Counters { key: 0, stan: reader.stan_first }).collect();
        Self { world, own, copies: BTreeMap::new(), seen: vec![Seen::default(); readers.len()] }
    }

    /// In the night before this day somebody copies these readers with their keys, as their counters stand. Older copies
    /// are given up.
    pub(crate) fn copy(&mut self, day: u32, readers: impl Iterator<Item = usize>) {
        let ahead = COPY_STANS_AHEAD + COPY_STANS_AHEAD_DAILY * day as i32;
        let copy = |reader: usize| {
            let Counters { key, stan } = self.own[reader];
            (reader, Counters { key, stan: (stan + ahead) % STANS })
        };
        self.copies = readers.map(copy).collect();
    }

    /// Next key serial number and STAN of a reader or of its copy. Cancelled swipes leave gaps in the counter.
    pub(crate) fn count_on(
        &mut self,
        stream: &mut Stream,
        reader: usize,
        is_copy: bool,
    ) -> Result<(Ksn, i32), SimulatorError> {
        let counters = match self.copies.get_mut(&reader) {
            Some(copy) if is_copy => copy,
            _ => &mut self.own[reader],
        };
        let cancelled = if stream.random_ratio(1, CANCELLED_SWIPE_EVERY) { stream.random_range(1..=3) } else { 0 };
        for _ in 0..=cancelled {
            counters.key = next_counter(counters.key).ok_or_else(|| SimulatorError::ReaderWornOut {
                reader_id: self.world.business.readers[reader].id.clone(),
            })?;
        }
        let stan = counters.stan;
        counters.stan = (stan + 1) % STANS;
        // 27 bits of device and 21 of counter follow the prefix.
        let device = ((reader as u64 + 1) << 21).to_be_bytes();
        let mut bytes = [0; Ksn::LENGTH];
        bytes[..4].copy_from_slice(&KSN_PREFIX);
        bytes[4..].copy_from_slice(&device[2..]);
        Ok((Ksn::new(bytes).with_counter(counters.key), stan))
    }

    /// Whether a pipeline has seen this reader's counter before its swipe arrived. From now on it has.
    pub(crate) fn see(&mut self, reader: usize, ksn: Ksn) -> bool {
        self.seen[reader].see(ksn.counter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams;

    #[test]
    fn a_counter_is_seen_once_and_those_far_below_the_highest_always() {
        let mut seen = Seen::default();
        assert_eq!([1, 2, 2, 5, 4, 4].map(|counter| seen.see(counter)), [false, false, true, false, false, true]);
        assert!(!seen.see(67));
        assert_eq!([3, 4, 6].map(|counter| seen.see(counter)), [true, true, false]);
        assert!(seen.recent.len() <= COUNTERS_REMEMBERED as usize);
    }

    /// Fails when a copy goes on where the reader stands at its swipe, moves the reader's counter, or uses its trace numbers.
    #[test]
    fn a_copy_counts_apart_from_its_reader() {
        let world = World::new(3, 1);
        let mut readers = Readers::new(&world);
        let mut stream = streams::stream(3, "test", 0, 0);
        let mut next = |readers: &mut Readers<'_>, is_copy| readers.count_on(&mut stream, 0, is_copy).unwrap();
        let first = next(&mut readers, false);
        readers.copy(1, [0].into_iter());
        let genuine: Vec<(Ksn, i32)> = (0..20).map(|_| next(&mut readers, false)).collect();
        let copied: Vec<(Ksn, i32)> = (0..20).map(|_| next(&mut readers, true)).collect();
        assert!(copied[0].0 > first.0 && copied[0].0.counter() < genuine[10].0.counter());
        assert!(next(&mut readers, false).0 > genuine[19].0);
        let stans: BTreeSet<i32> = genuine.iter().chain(&copied).map(|(_, stan)| *stan).collect();
        assert_eq!(stans.len(), 40);
    }
}
