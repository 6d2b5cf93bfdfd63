//! Standing: fixes that lie together, as a beginning stop or as an established one.

use serde::{Deserialize, Serialize};

use crate::metric::{Offset, Place, Plane};
use crate::profile::{CREEP_M, CREEP_US, STOP_US_MIN, enter_m, leave_m};
use crate::sighting::Sighting;
use crate::way::{Sums, Way};

/// Fixes around their mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cluster {
    plane: Plane,
    sum: Offset,
    pub(crate) fixes: u32,
    pub(crate) first_us: i64,
    pub(crate) last_us: i64,
    /// Place of the first fix.
    pub(crate) first_place: Place,
}

impl Cluster {
    pub(crate) fn at(fix: &Sighting) -> Self {
        Self::in_plane(fix, Plane::at(fix.place))
    }

    fn in_plane(fix: &Sighting, plane: Plane) -> Self {
        let place = fix.place;
        let (first_us, last_us) = (fix.time_us, fix.time_us);
        Self { plane, sum: Offset::default(), fixes: 1, first_us, last_us, first_place: place }
    }

    fn mean(&self) -> Offset {
        let share = 1.0 / f64::from(self.fixes);
        Offset { east_m: self.sum.east_m * share, north_m: self.sum.north_m * share }
    }

    pub(crate) fn place(&self) -> Place {
        self.plane.place(self.mean())
    }

    /// From the mean to a place, metres.
    pub(crate) fn distance_m(&self, place: Place) -> f64 {
        self.plane.metres(place).minus(self.mean()).length_m()
    }

    pub(crate) fn plane(&self) -> &Plane {
        &self.plane
    }

    /// A step in the plane of this cluster.
    pub(crate) fn step(&self, from: Place, to: Place) -> Offset {
        self.plane.metres(to).minus(self.plane.metres(from))
    }

    pub(crate) fn add(&mut self, fix: &Sighting) {
        let offset = self.plane.metres(fix.place);
        self.sum = Offset { east_m: self.sum.east_m + offset.east_m, north_m: self.sum.north_m + offset.north_m };
        self.fixes = self.fixes.saturating_add(1);
        self.last_us = fix.time_us;
    }

    pub(crate) fn lasted_us(&self) -> i64 {
        self.last_us - self.first_us
    }
}

/// The newest fixes as far as they lie together: what may become a stop.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dwell {
    pub(crate) cluster: Cluster,
    /// Movement between its fixes.
    pub(crate) inside: Way,
    /// The sums at its first fix.
    pub(crate) at_first: Sums,
}

impl Dwell {
    pub(crate) fn at(fix: &Sighting, at_first: Sums) -> Self {
        Self { cluster: Cluster::at(fix), inside: Way::default(), at_first }
    }

    /// Takes the next fix, or begins anew with it.
    pub(crate) fn take(&mut self, fix: &Sighting, leg: Way, sums: &Sums) {
        if self.cluster.distance_m(fix.place) <= enter_m(fix) {
            self.cluster.add(fix);
            self.inside.add(leg);
        } else {
            let cluster = Cluster::in_plane(fix, self.cluster.plane.moved(fix.place));
            *self = Self { cluster, inside: Way::default(), at_first: *sums };
        }
    }

    pub(crate) fn is_stop(&self) -> bool {
        self.cluster.lasted_us() >= STOP_US_MIN
    }
}

/// The vehicle is tentatively away from its stop.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Away {
    /// The way since the stop's last fix.
    pub(crate) way: Way,
    /// Fixes in a row that are far enough to say that it left.
    pub(crate) far_fixes: u32,
    /// Largest speed since.
    pub(crate) speed_mps_max: f64,
}

/// A stop, or the place from which a trip will begin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stop {
    /// When it began and where its first fix lies.
    pub(crate) first_us: i64,
    pub(crate) first_place: Place,
    /// Its fixes since it was last moved along a queue.
    pub(crate) cluster: Cluster,
    pub(crate) fixes: u32,
    /// Place of the last fix.
    pub(crate) last_place: Place,
    /// The trip's sums when it began, and at its last fix.
    pub(crate) at_first: Sums,
    pub(crate) at_last: Sums,
    /// From when on its time counts for the trip at hand.
    pub(crate) idle_from_us: i64,
    /// Beginning of the trip in which it lies.
    pub(crate) trip_us: Option<i64>,
    pub(crate) hired: Option<bool>,
    /// Rows written about it, and its fixes when the last one was.
    pub(crate) revision: u32,
    pub(crate) fixes_written: u32,
    pub(crate) away: Option<Away>,
}

impl Stop {
    pub(crate) fn of(dwell: &Dwell, last_place: Place, trip_us: Option<i64>, hired: Option<bool>) -> Self {
        let cluster = dwell.cluster;
        Self {
            first_us: cluster.first_us,
            first_place: cluster.first_place,
            cluster,
            fixes: cluster.fixes,
            last_place,
            at_first: dwell.at_first,
            at_last: dwell.at_first,
            idle_from_us: cluster.first_us,
            trip_us,
            hired,
            revision: 0,
            fixes_written: 0,
            away: None,
        }
    }

    /// A place without a standing yet.
    pub(crate) fn point(fix: &Sighting, hired: Option<bool>) -> Self {
        Self::of(&Dwell::at(fix, Sums::default()), fix.place, None, hired)
    }

    pub(crate) fn last_us(&self) -> i64 {
        self.cluster.last_us
    }

    pub(crate) fn lasted_us(&self) -> i64 {
        self.last_us() - self.first_us
    }

    /// Whether it is more than a point.
    pub(crate) fn is_stop(&self) -> bool {
        self.lasted_us() >= STOP_US_MIN
    }

    pub(crate) fn place(&self) -> Place {
        self.cluster.place()
    }

    pub(crate) fn distance_m(&self, place: Place) -> f64 {
        self.cluster.distance_m(place)
    }

    pub(crate) fn holds(&self, fix: &Sighting) -> bool {
        self.distance_m(fix.place) <= leave_m(fix)
    }

    pub(crate) fn add(&mut self, fix: &Sighting) {
        self.cluster.add(fix);
        self.fixes = self.fixes.saturating_add(1);
        self.last_place = fix.place;
        self.away = None;
    }

    /// Whether another standing is the next one of a queue.
    pub(crate) fn creeps_to(&self, other: &Cluster) -> bool {
        other.first_us - self.last_us() <= CREEP_US && self.distance_m(other.place()) <= CREEP_M
    }

    /// Moves on to the next standing of a queue.
    pub(crate) fn creep(&mut self, other: &Cluster, last_place: Place) {
        self.cluster = *other;
        self.fixes = self.fixes.saturating_add(other.fixes);
        self.last_place = last_place;
        self.away = None;
    }
}
