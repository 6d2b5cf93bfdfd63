//! Our own profile over a whole recorded track: the same operator as over a log, read to the end.

use crate::device::{Device, Said};
use crate::segment::{Event, StopEnded, TripEnded};
use crate::sighting::{Reason, Sighting};

/// What a track holds. Of each stop and trip the last revision is there.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Found {
    /// Stops in order of their ends.
    pub stops: Vec<StopEnded>,
    /// Trips in order of their ends.
    pub trips: Vec<TripEnded>,
    /// Fixes that were left out, with the reason.
    pub faults: Vec<(Sighting, Reason)>,
}

impl Found {
    fn note(&mut self, said: Said) {
        match said {
            Said::Fault(fix, reason) => self.faults.push((fix, reason)),
            Said::Ended(Event::Stop(stop)) => {
                self.stops.retain(|other| other.start_us != stop.start_us);
                self.stops.push(stop);
            }
            Said::Ended(Event::Trip(trip)) => {
                self.trips.retain(|other| other.start_us != trip.start_us);
                self.trips.push(*trip);
            }
        }
    }
}

/// Stops, trips and faults of one device's fixes in the order of their arrival.
pub fn whole_track(fixes: impl IntoIterator<Item = Sighting>) -> Found {
    let (mut device, mut found) = (Device::default(), Found::default());
    for fix in fixes {
        device.arrive(fix, &mut |said| found.note(said));
    }
    device.end(&mut |said| found.note(said));
    found
}

#[cfg(test)]
mod tests;
