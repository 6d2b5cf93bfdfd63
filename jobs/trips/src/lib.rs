//! GPS fixes of couriers' and taxis' phones, and the stops and trips that they make. [`TripsUnit`] keeps every fix that
//! parses, as it came; what cannot be a fix becomes a dead letter with its reason. Its [`Operator`] cleans each device's
//! track and cuts it into stops and trips; what it left out is a fault, with its reason too.
//!
//! Beside them stand the published stop detectors ([`profiles`]) and the rule that compares stops with the truth
//! ([`matching`]), which take whole tracks; and what shows people their own: recordings of many devices ([`recording`]),
//! the durations of trips ([`histogram`]) and a drawing ([`picture`]).
//!
//! From the trips of a lake [`durations`] computes how long they took against what was to be expected, by [`zones`], and
//! [`payment_places`] where payments were paid; from its pings [`courier_alerts`] which swipes were far from their courier's
//! phone.
//!
//! It may depend on `schemas`, on Arrow, on `geo`, `rstar` and `jiff`. It refuses clocks, files, network and randomness: same log, same
//! rows, whatever the batch borders.

pub mod courier_alerts;
pub mod durations;
pub mod histogram;
pub mod journeys;
pub mod matching;
pub mod payment_places;
pub mod picture;
pub mod profiles;
pub mod recording;
pub mod zones;

mod assignments;
mod between;
mod carriers;
mod clean;
mod columns;
mod device;
mod fix;
mod heading;
mod line;
mod metric;
mod operator;
mod profile;
mod reorder;
mod rows;
mod segment;
mod sighting;
mod standing;
pub mod track;
mod unit;
mod units;
mod vehicle;
mod way;
mod whole;
pub mod words;

pub use metric::{Place, geodesic_m, leg_m};
pub use operator::{Operator, Row};
pub use rows::{stop_rows, trip_rows, with_points};
pub use segment::{Close, Doing, Event, Gap, StopEnded, TripEnded};
pub use sighting::{Reason, Sighting};
pub use unit::{FixesUnit, TripsUnit};
pub use vehicle::VehicleSeen;
pub use whole::{Found, Method, whole_track};
