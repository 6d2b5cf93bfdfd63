//! Cleaning: which fixes of a device, in the order of their times, belong to its track.
//!
//! A fix is judged by its implied speed from the last kept one. Three in a row that are refused and agree with each other
//! start the track anew at the first of them; until three agree at the start of a track, none is kept. A fix waits for
//! its follower, which may show that it was a jump there and back. Silence settles what waits, as the silence timer does,
//! so that it makes no difference who finds it. It refuses to drop anything without a reason.

use serde::{Deserialize, Serialize};

use crate::metric::{Plane, leg_m};
use crate::sighting::{Reason, Sighting};
use crate::units::{MINUTE_US, seconds};

/// More time than this without a fix is a gap.
pub const GAP_US: i64 = 10 * MINUTE_US;
/// Nothing on wheels is faster, metres a second (252 km/h).
pub const SPEED_MPS_MAX: f64 = 70.0;
/// Fixes that state a larger radius are left out, metres: more than a block of houses.
pub const ACCURACY_M_MAX: f64 = 100.0;
/// So near to latitude and longitude 0 no vehicle drives, degrees.
const ZERO_ISLAND_DEG: f64 = 0.001;
/// So many fixes must agree where a track starts.
const AGREEING: usize = 3;
/// A device that states at least this speed does not stay where it is, metres a second.
const MOVING_MPS: f64 = 3.0;
/// Shortest way out of a jump there and back, metres: more than several times the error of a usual fix.
const SPIKE_M_MIN: f64 = 100.0;
/// No vehicle changes its velocity by more over a whole leg, metres a second squared.
const ACCELERATION_MPS2_MAX: f64 = 5.0;
/// A jump there and back contradicts the speed that its fix states when it is faster than this times the speed plus the
/// margin, metres a second.
const STATED_SPEED_TIMES: f64 = 5.0;
const STATED_SPEED_MARGIN_MPS: f64 = 5.0;

/// What cleaning says, in the order of the fixes' times but for faults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Step {
    /// A fix of the track, with the way from the one before it, metres, where that is known already.
    Kept(Sighting, Option<f64>),
    Fault(Sighting, Reason),
    /// The track goes on somewhere else.
    Restart,
}

/// The track of one device as far as it was judged.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cleaner {
    /// The last fix that was handed on.
    kept: Option<Sighting>,
    /// The fix after it, kept unless its follower shows that it was a jump; with the way to it, metres.
    pending: Option<(Sighting, f64)>,
    /// Refused fixes that agree with each other, or those at the start of a track: fewer than [`AGREEING`].
    candidates: Vec<Sighting>,
    /// Largest time that was judged.
    judged_us: Option<i64>,
    /// Time of the last fix that was handed on or waits, for other fixes of the same time.
    last_us: Option<i64>,
}

impl Cleaner {
    /// Time of the last kept fix, that which waits for its follower included.
    pub(crate) fn kept_us(&self) -> i64 {
        self.head().map_or(i64::MIN, |head| head.time_us)
    }

    fn head(&self) -> Option<&Sighting> {
        self.pending.as_ref().map(|(fix, _)| fix).or(self.kept.as_ref())
    }

    /// Judges the next fix. Of several with one time the first is the one to keep.
    pub(crate) fn judge(&mut self, fix: Sighting, say: &mut impl FnMut(Step)) {
        if self.judged_us.is_some_and(|judged_us| fix.time_us - judged_us > GAP_US) {
            self.settle(say);
        }
        self.judged_us = self.judged_us.max(Some(fix.time_us));
        if let Some(reason) = self.fault(&fix) {
            return say(Step::Fault(fix, reason));
        }
        self.last_us = Some(fix.time_us);
        let Some(head) = self.head() else { return self.nominate(fix, say) };
        match plausible_leg_m(head, &fix) {
            Some(way_m) => self.go_on(fix, way_m, say),
            None => self.nominate(fix, say),
        }
    }

    /// What is wrong with a fix whatever the track.
    fn fault(&self, fix: &Sighting) -> Option<Reason> {
        let is_zero = fix.place.lat.abs() < ZERO_ISLAND_DEG && fix.place.lon.abs() < ZERO_ISLAND_DEG;
        if self.last_us == Some(fix.time_us) {
            return Some(Reason::SameTime);
        }
        if is_zero {
            return Some(Reason::ZeroIsland);
        }
        if fix.accuracy_m.is_some_and(|accuracy_m| accuracy_m > ACCURACY_M_MAX) {
            return Some(Reason::Accuracy);
        }
        let moves = fix.speed_mps.is_some_and(|speed_mps| speed_mps >= MOVING_MPS);
        let is_frozen = moves && self.head().is_some_and(|head| head.place == fix.place);
        is_frozen.then_some(Reason::Frozen)
    }

    fn go_on(&mut self, fix: Sighting, way_m: f64, say: &mut impl FnMut(Step)) {
        self.refuse_candidates(say);
        let Some((pending, out_m)) = self.pending else {
            self.pending = Some((fix, way_m));
            return;
        };
        if let Some(way_m) = self.kept.and_then(|kept| passes_over(&kept, (&pending, out_m), (&fix, way_m))) {
            say(Step::Fault(pending, Reason::Teleport));
            self.pending = Some((fix, way_m));
            return;
        }
        say(Step::Kept(pending, Some(out_m)));
        (self.kept, self.pending) = (Some(pending), Some((fix, way_m)));
    }

    /// A fix that does not belong to the track, if there is one.
    fn nominate(&mut self, fix: Sighting, say: &mut impl FnMut(Step)) {
        let agrees = |last: &Sighting| last.time_us < fix.time_us && plausible_leg_m(last, &fix).is_some();
        if self.candidates.last().is_some_and(|last| !agrees(last)) {
            self.refuse_candidates(say);
        }
        self.candidates.push(fix);
        if self.candidates.len() < AGREEING {
            return;
        }
        self.keep_pending(say);
        if self.kept.is_some() {
            say(Step::Restart);
        }
        self.keep_candidates(say);
    }

    fn keep_pending(&mut self, say: &mut impl FnMut(Step)) {
        if let Some((pending, out_m)) = self.pending.take() {
            say(Step::Kept(pending, Some(out_m)));
            self.kept = Some(pending);
        }
    }

    fn refuse_candidates(&mut self, say: &mut impl FnMut(Step)) {
        self.candidates.drain(..).for_each(|fix| say(Step::Fault(fix, Reason::Teleport)));
    }

    fn keep_candidates(&mut self, say: &mut impl FnMut(Step)) {
        self.kept = self.candidates.last().copied();
        self.candidates.drain(..).for_each(|fix| say(Step::Kept(fix, None)));
    }

    /// Decides about everything that waits: nothing more comes for a while.
    pub(crate) fn settle(&mut self, say: &mut impl FnMut(Step)) {
        self.keep_pending(say);
        match self.kept {
            Some(_) => self.refuse_candidates(say),
            None => self.keep_candidates(say),
        }
    }
}

/// The way from a fix to a later one, metres, where a vehicle can have made it.
fn plausible_leg_m(from: &Sighting, to: &Sighting) -> Option<f64> {
    let way_m = leg_m(from.place, to.place);
    let reach_m = SPEED_MPS_MAX * seconds(to.time_us - from.time_us) + from.error_m() + to.error_m();
    (way_m <= reach_m).then_some(way_m)
}

/// Whether a fix between two others is a jump there and back; then the way from the one to the other, metres.
fn passes_over(kept: &Sighting, jump: (&Sighting, f64), next: (&Sighting, f64)) -> Option<f64> {
    let ((jump, out_m), (next, back_m)) = (jump, next);
    if out_m < SPIKE_M_MIN || back_m < SPIKE_M_MIN {
        return None;
    }
    let way_m = plausible_leg_m(kept, next)?;
    let (out_s, back_s) = (seconds(jump.time_us - kept.time_us), seconds(next.time_us - jump.time_us));
    let plane = Plane::at(kept.place);
    let (there, then) = (plane.metres(jump.place), plane.metres(next.place));
    let back = then.minus(there);
    let change_mps = (back.east_m / back_s - there.east_m / out_s).hypot(back.north_m / back_s - there.north_m / out_s);
    let is_violent = change_mps > ACCELERATION_MPS2_MAX * (out_s + back_s) / 2.0;
    let comes_back = way_m < out_m.max(back_m) / 2.0;
    let contradicts_itself = comes_back
        && jump.speed_mps.is_some_and(|speed_mps| {
            (out_m / out_s).min(back_m / back_s) > STATED_SPEED_TIMES * speed_mps + STATED_SPEED_MARGIN_MPS
        });
    (is_violent || contradicts_itself).then_some(way_m)
}

#[cfg(test)]
mod tests;
