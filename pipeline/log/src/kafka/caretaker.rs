//! Takes care that no partition of a group is left to nobody.
//!
//! A group hands a partition over in two rounds: its holder is told to give it up, and gives it up; then it joins again
//! and the group gives the partition to another. Members with names (`group.instance.id`) that are killed and started
//! again in between, all within a session, get from the brokers what the first round had for their names, without a
//! second: what was just changing hands belongs to nobody, and nobody has a reason to join again.
//!
//! So every member looks at its group now and then, from a thread of its own. Where the group is stable, a partition is
//! nobody's, and nothing of that changes between looks, one member sends a [guest](super::guest) into the group, at whose
//! coming and going all share out anew. Which of them does so is agreed without words: the first by their ids, and each
//! further one a look later, should those before it not be able to. More than one guest do no harm.
//!
//! It never touches a group in any other state, holds up nobody, and is silent where the brokers are away. The client asks
//! each broker for the group, so that nothing is seen while one of them does not answer.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::guest;
use super::membership::{Membership, Place};
use super::observer::Observer;
use super::settings::Settings;

/// Between two looks: longer than a member takes from a revocation to its next join, which commits and saves its state.
const LOOK: Duration = Duration::from_secs(10);
/// Looks without an answer lengthen the pause up to so many times.
const LOOK_FACTOR_MAX: u32 = 30;
/// Looks in a row that must be alike before the first member acts.
const ALIKE: usize = 2;
/// Looks between a try and the next one, doubled with each up to the longest: half a minute, an hour.
const REST: u32 = 3;
const REST_MAX: u32 = 360;
/// Partitions that a line names.
const NAMED: usize = 8;
/// How long the end of a member waits for its guest to leave: a little longer than that may take.
const LEAVE: Duration = Duration::from_secs(6);

/// Looks at the group of one member until it is dropped.
pub(super) struct Caretaker {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct State {
    is_over: bool,
    has_guest: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn goes_on(&self) -> bool {
        !self.lock().is_over
    }

    /// Waits; whether it goes on after that.
    fn waits(&self, pause: Duration) -> bool {
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, pause, |state| !state.is_over);
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_over
    }

    /// Notes that a guest is in the group, or no longer; whether it goes on.
    fn note_guest(&self, has_guest: bool) -> bool {
        let mut state = self.lock();
        state.has_guest = has_guest && !state.is_over;
        self.changed.notify_all();
        !state.is_over
    }
}

impl Caretaker {
    /// Looks at the group of a unit whose topics have these partitions.
    pub(super) fn start(
        settings: &Settings,
        unit: &'static str,
        observer: Arc<Observer>,
        partitions: BTreeSet<Place>,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let charge = Charge { settings: settings.clone(), unit, observer, partitions };
        let watched = Arc::clone(&shared);
        // Nobody waits for it but for its guest: it ends with its next look.
        std::thread::spawn(move || charge.look_after(&watched));
        Self { shared }
    }

    /// Ends it, after its guest has left if there is one.
    pub(super) fn stop(&self) {
        let mut state = self.shared.lock();
        state.is_over = true;
        self.shared.changed.notify_all();
        drop(self.shared.changed.wait_timeout_while(state, LEAVE, |state| state.has_guest));
    }
}

impl Drop for Caretaker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What is looked after, and how.
struct Charge {
    settings: Settings,
    unit: &'static str,
    observer: Arc<Observer>,
    partitions: BTreeSet<Place>,
}

impl Charge {
    fn look_after(&self, shared: &Shared) {
        let group = self.settings.group(self.unit);
        let instance_id = self.settings.instance_id(self.unit);
        let mut looks = Looks::default();
        let mut failures = 0;
        while shared.waits(LOOK * (1 + failures).min(LOOK_FACTOR_MAX)) {
            let found = self.observer.membership(&group);
            failures = if found.is_err() { failures.saturating_add(1) } else { 0 };
            let found = found.unwrap_or_else(|error| {
                tracing::debug!(target: "till::kafka", %error, "the group was not looked at");
                None
            });
            if let Some(gap) = looks.look(found, &self.partitions, &instance_id) {
                self.send_guest(&group, &gap, shared);
            }
        }
    }

    fn send_guest(&self, group: &str, gap: &Gap, shared: &Shared) {
        let Gap { unowned, tries, rest } = gap;
        let named: Vec<String> =
            unowned.iter().take(NAMED).map(|(topic, partition)| format!("{topic}/{partition}")).collect();
        let (count, named) = (unowned.len(), named.join(" "));
        match tries {
            1 => tracing::warn!(
                target: "till::kafka", group, count, named,
                "partitions belong to no member of the group, which shares them out anew"
            ),
            _ => tracing::warn!(
                target: "till::kafka", group, count, named, tries, next_s = rest.as_secs(),
                "partitions belong to no member of the group, which was made to share them out before"
            ),
        }
        if !shared.note_guest(true) {
            return;
        }
        let topics: BTreeSet<&str> = self.partitions.iter().map(|(topic, _)| topic.as_str()).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let shared_out = guest::visit(&self.settings, self.unit, &topics, || shared.goes_on());
        shared.note_guest(false);
        match shared_out {
            Ok(true) => tracing::debug!(target: "till::kafka", group, "the group has shared out anew"),
            Ok(false) => tracing::debug!(target: "till::kafka", group, "the guest left before the group shared out"),
            Err(error) => tracing::warn!(target: "till::kafka", %error, "the group cannot be made to share out anew"),
        }
    }
}

/// Partitions that are nobody's, and for whom it is time to act.
#[derive(Debug, PartialEq, Eq)]
struct Gap {
    unowned: Vec<Place>,
    /// Tries since nobody's partitions were seen first, with this one.
    tries: u32,
    /// Time to the next one, at the least.
    rest: Duration,
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Looks {
    last: Option<Membership>,
    /// Looks in a row that were like the last one.
    alike: usize,
    tries: u32,
    /// Looks until it may act again.
    rest: u32,
}

impl Looks {
    /// Takes note of a look (`None`: the group is in no state to be judged), and says whether this member is to act.
    fn look(&mut self, found: Option<Membership>, partitions: &BTreeSet<Place>, instance_id: &str) -> Option<Gap> {
        let rests = self.rest > 0;
        self.rest = self.rest.saturating_sub(1);
        let Some(found) = found else {
            self.last = None;
            return None;
        };
        let unowned = found.unowned(partitions);
        if unowned.is_empty() {
            *self = Self::default();
            return None;
        }
        let is_alike = self.last.as_ref() == Some(&found);
        self.alike = if is_alike { self.alike + 1 } else { 1 };
        let is_due = found.rank(instance_id).is_some_and(|rank| self.alike >= ALIKE + rank);
        self.last = Some(found);
        if rests || !is_due {
            return None;
        }
        self.last = None;
        self.rest = REST.saturating_mul(1 << self.tries.min(REST_MAX.ilog2())).min(REST_MAX);
        self.tries = self.tries.saturating_add(1);
        Some(Gap { unowned: unowned.into_iter().cloned().collect(), tries: self.tries, rest: LOOK * self.rest })
    }
}

#[cfg(test)]
mod tests {
    use super::super::membership::tests::{assignment, id, place};
    use super::*;

    /// A group of two, whose members hold these partitions of pings.
    fn found(a: &[i32], b: &[i32]) -> Option<Membership> {
        let (first, second) = (assignment(&[("pings", a)], None), assignment(&[("pings", b)], None));
        let (a, b) = (id("trips-a"), id("trips-b"));
        Some(Membership::of([(a.as_str(), first.as_slice()), (b.as_str(), second.as_slice())]).unwrap())
    }

    /// Tries of a member over some looks.
    fn tries(instance_id: &str, looks: impl IntoIterator<Item = Option<Membership>>) -> Vec<u32> {
        let partitions = (0..4).map(|partition| place("pings", partition)).collect();
        let mut seen = Looks::default();
        let tries = looks.into_iter().map(|look| seen.look(look, &partitions, instance_id));
        tries.map(|gap| gap.map_or(0, |gap| gap.tries)).collect()
    }

    #[test]
    fn a_group_that_holds_everything_is_left_alone() {
        assert_eq!(tries("trips-a", vec![found(&[0, 1, 2], &[3]); 50]), [0; 50]);
    }

    /// Fails if a group is touched that is in another state, or that is just moving on by itself.
    #[test]
    fn only_what_lasts_is_mended() {
        let gap = || found(&[0, 1], &[]);
        assert_eq!(tries("trips-a", [gap(), None, gap(), None, None, gap()]), [0; 6]);
        assert_eq!(tries("trips-a", [gap(), found(&[0], &[1]), gap(), found(&[0, 1], &[2])]), [0; 4]);
        assert_eq!(tries("trips-a", [gap(), gap(), gap()]), [0, 1, 0]);
        assert_eq!(tries("trips-a", [gap(), None, gap(), gap()]), [0, 0, 0, 1]);
    }

    /// Fails if all act at once, if nobody does where the first cannot, or if one acts that is no member.
    #[test]
    fn each_member_waits_for_those_before_it() {
        let looks = || vec![found(&[0, 1], &[]); 4];
        assert_eq!(tries("trips-a", looks()), [0, 1, 0, 0]);
        assert_eq!(tries("trips-b", looks()), [0, 0, 1, 0]);
        assert_eq!(tries("trips-c", looks()), [0; 4]);
    }

    /// Fails if it tries on and on, or counts what was mended in between.
    #[test]
    fn tries_that_do_not_help_become_rare() {
        let at = |looks: Vec<u32>| -> Vec<usize> {
            looks.iter().enumerate().filter(|(_, tries)| **tries > 0).map(|(look, _)| look).collect()
        };
        let lasting = at(tries("trips-a", vec![found(&[0, 1], &[]); 5_000]));
        let pauses: Vec<usize> = lasting.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(lasting[0], 1);
        assert_eq!(pauses[..8], [4, 7, 13, 25, 49, 97, 193, 361]);
        assert!(pauses[8..].iter().all(|pause| *pause == 361), "{pauses:?}");
        let gap = || found(&[0, 1], &[]);
        let mended = [gap(), gap(), found(&[0, 1], &[2, 3]), gap(), gap()];
        assert_eq!(tries("trips-a", mended), [0, 1, 0, 0, 1]);
    }

    /// Fails if the end of a member waits for the next look.
    #[test]
    fn a_caretaker_ends_at_once() {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        let waits = std::thread::spawn(move || watched.waits(Duration::from_secs(60)));
        Caretaker { shared: Arc::clone(&shared) }.stop();
        assert!(!waits.join().unwrap());
        assert!(!shared.note_guest(true) && !shared.lock().has_guest, "no guest comes after the end");
    }
}
