//! Where payments were paid: one row a payment of the table `payment_places`.
//!
//! A payment is taken beside a phone that sends its position: the phone of whoever carries the reader by the assignments
//! in force, else that of the courier whom the payment names. What covers the payment on that phone's track says where it
//! was paid: a stop, or a trip, and then the fixes around it. A stop that begins soon after a payment under way, and near
//! it, means that it was paid before arrival; one that ended shortly before, that it was paid on leaving. Whoever takes
//! payments with another's reader should be near it: if his own phone is not, that is said instead.
//!
//! A payment is judged when what covers it is final: when its phone's open stop or trip began after it, or the phone has
//! fallen silent. A phone that uploads later what it had buffered revises stops and trips, and a payment whose stop or
//! trip is another, or has another revision, gets a further row.
//!
//! It may depend on Arrow, `schemas`, assignments and metres of this crate. It refuses clocks, files and the lake.

mod rows;
mod sightings;
mod timeline;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int32Type};
use arrow::error::ArrowError;

use crate::carriers::{Carrier, Carriers};
use crate::columns::{column, ordered, texts, times};
use crate::metric::geodesic_m;
use crate::units::{DAY_US, MINUTE_US, seconds};
use sightings::{Sighted, Sightings};
use timeline::{Places, Span, Timeline};

/// How far back stops and trips may still be revised, microseconds: what a phone buffers may be a day old, and a stop
/// or trip a week long. Payments before that keep their row.
pub const REVISED_US: i64 = 8 * DAY_US;
/// Longest time between a payment and a fix that tells its place, microseconds.
pub const FIX_US_MAX: i64 = 2 * MINUTE_US;
/// Longest time between a payment under way and a stop that it is said to be before or after, microseconds.
pub const ARRIVAL_US_MAX: i64 = 5 * MINUTE_US;
/// Farthest that two positions count as near, metres.
pub const NEAR_M: f64 = 200.0;
/// Time after a payment in which a phone of which nothing is known may still be heard of, microseconds.
const UNHEARD_US: i64 = DAY_US;

/// What is known, each as batches in any order. Columns are found by name; texts and times may be of any Arrow type that
/// casts to the table's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// Swipes of table `payments`, each payment once.
    pub payments: &'a [RecordBatch],
    /// Rows of table `couriers`.
    pub assignments: &'a [RecordBatch],
    /// The newest revisions of stops and of trips.
    pub stops: &'a [RecordBatch],
    /// See `stops`.
    pub trips: &'a [RecordBatch],
    /// The newest row of each device in table `vehicles`.
    pub vehicles: &'a [RecordBatch],
    /// The newest rows of table `payment_places`.
    pub written: &'a [RecordBatch],
    /// The largest time in the log of pings, microseconds UTC; none in recordings.
    pub clock_us: Option<i64>,
}

/// How a payment's place is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceKind {
    /// During a stop.
    AtStop,
    /// Under way, near the place of a stop that begins within five minutes.
    BeforeArrival,
    /// Under way, near the place of a stop that ended within five minutes.
    AfterDeparture,
    /// During a trip.
    UnderWay,
    /// Neither during a stop nor a trip, with a fix that tells where.
    Elsewhere,
    /// No fix tells where.
    NoPosition,
    /// Another than the named courier carries the reader, and the courier's own phone is elsewhere or unknown.
    NoCourierNear,
}

impl PlaceKind {
    /// Its name in the column `place`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AtStop => "at_stop",
            Self::BeforeArrival => "before_arrival",
            Self::AfterDeparture => "after_departure",
            Self::UnderWay => "under_way",
            Self::Elsewhere => "elsewhere",
            Self::NoPosition => "no_position",
            Self::NoCourierNear => "no_courier_near",
        }
    }
}

/// The courier whom a payment names, where another one carries the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OtherCourier {
    device_id: Option<String>,
}

/// The stop and trip by which a payment is judged; a row is written anew when they change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Basis {
    stop: Option<Span>,
    /// Whether the stop covers the payment.
    is_at_stop: bool,
    trip: Option<Span>,
}

/// A payment that gets a row, and what of it is known without fixes.
struct Judged {
    /// Its row among the payments.
    payment: usize,
    revision: i32,
    carrier: Carrier,
    basis: Basis,
    other_courier: Option<OtherCourier>,
}

/// What a row says about the place.
struct Said {
    kind: PlaceKind,
    sighted: Option<Sighted>,
    stop_m: Option<f64>,
    since_arrival_s: Option<f64>,
    courier_m: Option<f64>,
}

/// The work of one run: which payments get a row, and the fixes that it still needs.
pub struct PaymentPlaces<'a> {
    inputs: Inputs<'a>,
    payment_id: StringArray,
    reader_id: StringArray,
    courier_id: StringArray,
    at: TimestampMicrosecondArray,
    assigned: Carriers,
    stops: Timeline,
    stop_places: Places,
    trips: Timeline,
    judged: Vec<Judged>,
    sightings: Sightings,
}

impl<'a> PaymentPlaces<'a> {
    /// Finds the payments that get a row.
    ///
    /// # Errors
    /// Fails where a column is missing or has another type.
    pub fn read(inputs: Inputs<'a>) -> Result<Self, ArrowError> {
        let mut work = Self {
            payment_id: texts(inputs.payments, "payment_id")?,
            reader_id: texts(inputs.payments, "reader_id")?,
            courier_id: texts(inputs.payments, "courier_id")?,
            at: times(inputs.payments, "event_time")?,
            assigned: Carriers::read(inputs.assignments)?,
            stops: Timeline::read("stop_id", inputs.stops)?,
            stop_places: Places::read(inputs.stops)?,
            trips: Timeline::read("trip_id", inputs.trips)?,
            judged: Vec::new(),
            sightings: Sightings::default(),
            inputs,
        };
        work.judged = work.judge(&Settled::read(&inputs, &work.trips)?, &Written::read(inputs.written)?)?;
        let moments = work.judged.iter().flat_map(|judged| {
            let own = (!judged.basis.is_at_stop).then(|| work.assigned.device(judged.carrier));
            let other = judged.other_courier.as_ref().and_then(|other| other.device_id.as_deref());
            own.into_iter().chain(other).map(|device_id| (device_id, work.at.value(judged.payment)))
        });
        work.sightings = Sightings::of(moments);
        Ok(work)
    }

    /// Times from whose surroundings fixes are needed, [`FIX_US_MAX`] to either side: microseconds UTC, in order.
    pub fn moments(&self) -> Vec<i64> {
        let mut moments: Vec<i64> = self.sightings.moments().collect();
        moments.sort_unstable();
        moments
    }

    /// Shows fixes that cleaning has kept, in any order: columns `device_id`, `event_time`, `lat` and `lon`.
    ///
    /// # Errors
    /// Fails where a column is missing or has another type.
    pub fn look(&mut self, fixes: &RecordBatch) -> Result<(), ArrowError> {
        self.sightings.look(fixes, FIX_US_MAX)
    }

    /// The rows, ordered by payment's time and identity.
    ///
    /// # Errors
    /// Fails where a column is missing or has another type.
    pub fn rows(&self) -> Result<RecordBatch, ArrowError> {
        rows::batch(self)
    }

    fn judge(&self, settled: &Settled, written: &Written) -> Result<Vec<Judged>, ArrowError> {
        let mut judged = Vec::new();
        let order = ordered(vec![Arc::new(self.at.clone()), Arc::new(self.payment_id.clone())])?;
        for payment in order.values().iter().map(|row| *row as usize) {
            let at_us = self.at.value(payment);
            let (reader, courier) = (present(&self.reader_id, payment), present(&self.courier_id, payment));
            let Some(carrier) = self.assigned.find(reader, courier, at_us) else { continue };
            let device_id = self.assigned.device(carrier);
            if !settled.is_settled(device_id, at_us) {
                continue;
            }
            let basis = self.basis(device_id, at_us);
            let revision = match written.0.get(self.payment_id.value(payment)) {
                None => 1,
                Some((_, by)) if *by == self.names(basis) => continue,
                Some((revision, _)) => revision + 1,
            };
            let other_courier = self.other_courier(payment, carrier);
            judged.push(Judged { payment, revision, carrier, basis, other_courier });
        }
        Ok(judged)
    }

    fn other_courier(&self, payment: usize, carrier: Carrier) -> Option<OtherCourier> {
        let (assignments, row) = self.assigned.assignment(carrier);
        let named = present(&self.courier_id, payment).filter(|named| *named != assignments.courier_id.value(row))?;
        let own = self.assigned.by_courier.find(named, self.at.value(payment));
        let device_id = own.and_then(|own| present(&self.assigned.by_courier.device_id, own as usize));
        (device_id != Some(self.assigned.device(carrier)))
            .then(|| OtherCourier { device_id: device_id.map(str::to_string) })
    }

    /// What covers a moment on a phone's track, and the stop beside it.
    fn basis(&self, device_id: &str, at_us: i64) -> Basis {
        let trip = self.trips.covering(device_id, at_us);
        if let Some(stop) = self.stops.covering(device_id, at_us) {
            return Basis { stop: Some(stop), is_at_stop: true, trip };
        }
        let (before, after) = self.stops.around(device_id, at_us);
        let arrival = after.filter(|stop| stop.start_us - at_us <= ARRIVAL_US_MAX);
        let stop = arrival.or_else(|| before.filter(|stop| at_us - stop.end_us <= ARRIVAL_US_MAX));
        Basis { stop, is_at_stop: false, trip }
    }

    fn names(&self, basis: Basis) -> Names {
        let name = |timeline: &Timeline, span: Span| {
            (timeline.id.value(span.row).to_string(), timeline.revision.value(span.row))
        };
        [basis.stop.map(|stop| name(&self.stops, stop)), basis.trip.map(|trip| name(&self.trips, trip))]
    }

    fn said(&self, judged: &Judged) -> Said {
        let (device_id, at_us) = (self.assigned.device(judged.carrier), self.at.value(judged.payment));
        let Basis { stop, is_at_stop, trip } = judged.basis;
        let stop_place = stop.map(|stop| self.stop_places.get(stop.row));
        let sighted = match stop_place.filter(|_| is_at_stop) {
            Some(place) => Some(Sighted { place, fix_s: None }),
            None => self.sightings.find(device_id, at_us),
        };
        let to = |place| sighted.map(|sighted| geodesic_m(sighted.place, place));
        let stop_m = stop_place.and_then(to);
        let other = judged.other_courier.as_ref();
        let own_phone = other.and_then(|other| self.sightings.find(other.device_id.as_deref()?, at_us));
        let courier_m = own_phone.and_then(|own| to(own.place));
        let is_near = |metres: Option<f64>| metres.is_some_and(|metres| metres <= NEAR_M);
        let kind = match stop {
            _ if sighted.is_none() => PlaceKind::NoPosition,
            _ if other.is_some() && !is_near(courier_m) => PlaceKind::NoCourierNear,
            Some(_) if is_at_stop => PlaceKind::AtStop,
            Some(stop) if is_near(stop_m) && stop.start_us > at_us => PlaceKind::BeforeArrival,
            Some(_) if is_near(stop_m) => PlaceKind::AfterDeparture,
            _ if trip.is_some() => PlaceKind::UnderWay,
            _ => PlaceKind::Elsewhere,
        };
        let since_arrival_s = stop.map(|stop| seconds(at_us - stop.start_us));
        Said { kind, sighted, stop_m, since_arrival_s, courier_m }
    }
}

/// Identity and revision of a stop and of a trip.
type Names = [Option<(String, i32)>; 2];

/// By what the newest row about each payment was judged, and its number.
struct Written(HashMap<String, (i32, Names)>);

impl Written {
    fn read(batches: &[RecordBatch]) -> Result<Self, ArrowError> {
        let number =
            |name| Ok::<_, ArrowError>(column(batches, name, &DataType::Int32)?.as_primitive::<Int32Type>().clone());
        let (payments, revisions) = (texts(batches, "payment_id")?, number("revision")?);
        let named = |id, revision| Ok::<_, ArrowError>((texts(batches, id)?, number(revision)?));
        let (stop, trip) = (named("stop_id", "stop_revision")?, named("trip_id", "trip_revision")?);
        // A trip without a revision is only the one at whose end the stop lies.
        let name = |(ids, revisions): &(StringArray, Int32Array), row: usize| {
            (ids.is_valid(row) && revisions.is_valid(row)).then(|| (ids.value(row).to_string(), revisions.value(row)))
        };
        let rows = (0..payments.len())
            .map(|row| (payments.value(row).to_string(), (revisions.value(row), [name(&stop, row), name(&trip, row)])));
        Ok(Self(rows.collect()))
    }
}

/// Until when the stops and trips of each device are final, microseconds UTC, exclusive.
struct Settled {
    until_us: HashMap<String, i64>,
    /// The same of devices of which nothing is known.
    unheard_us: Option<i64>,
}

impl Settled {
    fn read(inputs: &Inputs<'_>, trips: &Timeline) -> Result<Self, ArrowError> {
        let vehicles = inputs.vehicles;
        let (devices, states) = (texts(vehicles, "device_id")?, texts(vehicles, "state")?);
        let (since, trip_started) = (times(vehicles, "since")?, times(vehicles, "trip_started_at")?);
        let until = |row: usize| match states.value(row) {
            "silent" => i64::MAX,
            // A stop may lie in a trip that is still open.
            _ if trip_started.is_valid(row) => since.value(row).min(trip_started.value(row)),
            _ => since.value(row),
        };
        let ends = trips.ends();
        let unheard_us = inputs.clock_us.map(|clock_us| clock_us.saturating_sub(UNHEARD_US));
        // Phones of which nothing is known now.
        let unheard = |end_us: i64| unheard_us.map_or(end_us, |unheard_us| unheard_us.max(end_us));
        let mut until_us: HashMap<String, i64> =
            ends.iter().map(|(device_id, end_us)| (device_id.clone(), unheard(*end_us))).collect();
        for row in 0..devices.len() {
            let device_id = devices.value(row);
            let settled_us = ends.get(device_id).map_or(until(row), |end_us| until(row).max(*end_us));
            until_us.insert(device_id.to_string(), settled_us);
        }
        Ok(Self { until_us, unheard_us })
    }

    fn is_settled(&self, device_id: &str, at_us: i64) -> bool {
        self.until_us.get(device_id).copied().or(self.unheard_us).is_some_and(|until_us| at_us < until_us)
    }
}

fn present(texts: &StringArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

#[cfg(test)]
mod tests;
