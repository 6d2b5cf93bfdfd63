//! One device: its fixes from arrival to stops and trips.

use serde::{Deserialize, Serialize};

use crate::clean::{Cleaner, GAP_US, Step};
use crate::reorder::{Arrival, LATENESS_US, Reorder};
use crate::segment::{Close, Event, Segmenter};
use crate::sighting::{Reason, Sighting};
use crate::units::SECOND_US;

/// Silence is noticed so much after it could be: what arrives this late still finds its trip open.
pub const GRACE_US: i64 = 60 * SECOND_US;

/// What a device's fixes say.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A fix was left out.
    Fault(Sighting, Reason),
    /// A stop or trip has ended, or was revised.
    Ended(Event),
}

/// The state of one device.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Device {
    reorder: Reorder,
    cleaner: Cleaner,
    segmenter: Segmenter,
}

impl Device {
    /// Takes a fix as it arrives.
    pub(crate) fn arrive(&mut self, fix: Sighting, say: &mut impl FnMut(Said)) {
        match self.reorder.arrive(fix.sound(), self.cleaner.kept_us()) {
            Arrival::LeftOut(reason) => say(Said::Fault(fix, reason)),
            Arrival::Waits => {
                while let Some(fix) = self.reorder.release() {
                    self.judge(fix, say);
                }
            }
        }
    }

    fn judge(&mut self, fix: Sighting, say: &mut impl FnMut(Said)) {
        let Self { cleaner, segmenter, .. } = self;
        cleaner.judge(fix, &mut |step| take(segmenter, step, say));
    }

    /// Nothing came for so long that nothing that matters can still be on its way: decides about what waits and writes
    /// what is open.
    pub(crate) fn fall_silent(&mut self, say: &mut impl FnMut(Said)) {
        self.settle(say);
        self.segmenter.fall_silent(&mut |event| say(Said::Ended(event)));
    }

    /// The end of the track: what is open is written for good.
    pub(crate) fn end(&mut self, say: &mut impl FnMut(Said)) {
        self.settle(say);
        self.segmenter.end(Close::End, &mut |event| say(Said::Ended(event)));
    }

    /// Decides about every fix that waits.
    fn settle(&mut self, say: &mut impl FnMut(Said)) {
        while let Some(fix) = self.reorder.flush() {
            self.judge(fix, say);
        }
        let Self { cleaner, segmenter, .. } = self;
        cleaner.settle(&mut |step| take(segmenter, step, say));
    }

    /// When the log's clock says that the device is silent; never where the log has no clock.
    pub(crate) fn silent_at_us(&self) -> Option<i64> {
        let (newest_us, arrived_us) = (self.reorder.newest_us()?, self.reorder.arrived_us()?);
        Some((newest_us + GAP_US + LATENESS_US).max(arrived_us) + GRACE_US)
    }

    /// When the log last heard of it.
    pub(crate) fn arrived_us(&self) -> Option<i64> {
        self.reorder.arrived_us()
    }

    pub(crate) fn segmenter(&self) -> &Segmenter {
        &self.segmenter
    }
}

fn take(segmenter: &mut Segmenter, step: Step, say: &mut impl FnMut(Said)) {
    match step {
        Step::Kept(fix, way_m) => segmenter.take(&fix, way_m, &mut |event| say(Said::Ended(event))),
        Step::Restart => segmenter.jump(&mut |event| say(Said::Ended(event))),
        Step::Fault(fix, reason) => say(Said::Fault(fix, reason)),
    }
}
