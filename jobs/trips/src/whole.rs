//! A whole recorded track: the same operator as over a log, read to the end, or a published detector.

use crate::between::stops_and_trips;
use crate::device::{Device, Said};
use crate::profiles::Profile;
use crate::segment::{Event, StopEnded, TripEnded};
use crate::sighting::{Reason, Sighting};
use crate::track::Fix;

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
                if stop.revision > 1 {
                    self.stops.retain(|other| other.start_us != stop.start_us);
                }
                self.stops.push(stop);
            }
            Said::Ended(Event::Trip(trip)) => {
                if trip.revision > 1 {
                    self.trips.retain(|other| other.start_us != trip.start_us);
                }
                self.trips.push(*trip);
            }
        }
    }
}

/// How stops and trips are found in a whole track.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// By our own operator, which also cleans.
    Own,
    /// By a published detector of stops; trips are what lies between them.
    Published(Profile),
}

impl Method {
    /// Stops, trips and faults of one device's fixes in the order of their arrival.
    pub fn find(&self, fixes: impl IntoIterator<Item = Sighting>) -> Found {
        let profile = match self {
            Self::Own => return whole_track(fixes),
            Self::Published(profile) => profile,
        };
        let fix = |fix: Sighting| {
            let Sighting { time_us, place, accuracy_m, .. } = fix.sound();
            Fix { time_us, lat: place.lat, lon: place.lon, accuracy_m }
        };
        stops_and_trips(profile, fixes.into_iter().map(fix).collect())
    }
}

/// Stops, trips and faults of one device's fixes in the order of their arrival, by our own profile.
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
