//! What the segmenter says: trips and stops as they end, and as they stand when a device falls silent.

use serde::{Deserialize, Serialize};

use super::{Segmenter, Trip};
use crate::metric::{Place, geodesic_m};
use crate::sighting::Sighting;
use crate::way::Sums;

/// Why a trip ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Close {
    /// The vehicle was parked.
    Stop,
    /// No fix came for longer than a gap.
    Gap,
    /// The taxi became hired or free.
    Hired,
    /// The track went on somewhere else.
    Jump,
    /// The track was read to its end.
    End,
}

impl Close {
    /// Code in tables.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Gap => "gap",
            Self::Hired => "hired",
            Self::Jump => "jump",
            Self::End => "end",
        }
    }
}

/// A time without fixes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Microseconds.
    pub lasted_us: i64,
    /// Straight line over it, metres.
    pub way_m: f64,
}

impl Gap {
    pub(super) fn between(last: &Sighting, next: &Sighting) -> Self {
        Self { lasted_us: next.time_us - last.time_us, way_m: geodesic_m(last.place, next.place) }
    }
}

/// What the segmenter says.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A trip, or its next revision.
    Trip(Box<TripEnded>),
    /// A stop, or its next revision.
    Stop(StopEnded),
}

/// A trip from its first to its last fix. Lengths are metres, times microseconds UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct TripEnded {
    /// 1, or one more than the row about this trip before.
    pub revision: u32,
    /// Time of the first fix: with the device the identity of the trip.
    pub start_us: i64,
    /// Time of the last fix.
    pub end_us: i64,
    /// Where the first fix lies.
    pub start: Place,
    /// Where the last fix lies.
    pub end: Place,
    /// Sum over the legs, and the bound of its error.
    pub path_m: (f64, f64),
    /// The same without movement inside stops.
    pub distance_m: (f64, f64),
    /// Straight line from first to last fix.
    pub line_m: f64,
    /// The gap before the trip.
    pub gap: Option<Gap>,
    /// Gaps inside a hired ride together.
    pub inner_gap: Option<Gap>,
    /// Time in stops.
    pub idle_us: i64,
    /// Number of stops that ended within the trip.
    pub stops: u32,
    /// Number of kept fixes.
    pub fixes: u32,
    /// Largest speed: as the device stated, else over at least 5 s.
    pub speed_mps_max: f64,
    /// Why it ended.
    pub close: Close,
    /// Whether the vehicle was hired, where the device knows.
    pub hired: Option<bool>,
    /// The path, simplified.
    pub line: Vec<Place>,
}

/// A stop from its first to its last fix.
#[derive(Debug, Clone, PartialEq)]
pub struct StopEnded {
    /// 1, or one more than the row about this stop before.
    pub revision: u32,
    /// Time of the first fix: with the device the identity of the stop. Microseconds UTC.
    pub start_us: i64,
    /// Time of the last fix, microseconds UTC.
    pub end_us: i64,
    /// Mean of its fixes.
    pub place: Place,
    /// Number of kept fixes.
    pub fixes: u32,
    /// Start of the trip in which or at whose end it lies, microseconds UTC.
    pub trip_us: Option<i64>,
    /// Whether the vehicle was hired when it began, where the device knows.
    pub hired: Option<bool>,
}

impl Segmenter {
    /// The open trip as it stands with the last fix.
    pub(super) fn write_trip(&mut self, close: Close, say: &mut impl FnMut(Event)) {
        let (Some(trip), Some(last)) = (self.trip, self.last) else { return };
        let mut sums = self.sums;
        if let Some(stop) = self.stop.filter(|stop| stop.is_stop()) {
            sums.idle_us += (stop.last_us() - stop.idle_from_us).max(0);
        }
        self.write_trip_until(&trip, (last.time_us, last.place), &sums, close, say);
    }

    /// The trip up to this time and place. One that never left its beginning is none, unless it was hired or said before.
    pub(super) fn write_trip_until(
        &mut self,
        trip: &Trip,
        (end_us, end): (i64, Place),
        sums: &Sums,
        close: Close,
        say: &mut impl FnMut(Event),
    ) {
        let counts = sums.has_departed || trip.hired == Some(true);
        if trip.revision == 0 && !(counts && end_us > trip.start_us) {
            return;
        }
        let revision = trip.revision + 1;
        if let Some(trip) = &mut self.trip {
            trip.revision = revision;
        }
        let distance = sums.path.without(sums.inside);
        let inner_gap = Gap { lasted_us: sums.gap_us, way_m: sums.gap_m };
        say(Event::Trip(Box::new(TripEnded {
            revision,
            start_us: trip.start_us,
            end_us,
            start: trip.start,
            end,
            path_m: (sums.path.length_m, sums.path.error_m()),
            distance_m: (distance.length_m, distance.error_m()),
            line_m: geodesic_m(trip.start, end),
            gap: trip.gap,
            inner_gap: (sums.gap_us > 0).then_some(inner_gap),
            idle_us: sums.idle_us,
            stops: sums.stops,
            fixes: sums.fixes,
            speed_mps_max: sums.speed_mps_max,
            close,
            hired: trip.hired,
            line: self.line.until(sums.points, end),
        })));
    }

    /// The stop as it stands, unless it was written so before. A point is none.
    pub(super) fn write_stop(&mut self, say: &mut impl FnMut(Event)) {
        let Some(stop) = &mut self.stop else { return };
        if !stop.is_stop() || stop.fixes_written == stop.fixes {
            return;
        }
        stop.revision += 1;
        stop.fixes_written = stop.fixes;
        say(Event::Stop(StopEnded {
            revision: stop.revision,
            start_us: stop.first_us,
            end_us: stop.last_us(),
            place: stop.place(),
            fixes: stop.fixes,
            trip_us: stop.trip_us,
            hired: stop.hired,
        }));
    }
}
