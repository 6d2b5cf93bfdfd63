//! GPS fixes of couriers' and taxis' phones. [`TripsUnit`] keeps every fix that parses, as it came; what cannot be a
//! fix becomes a dead letter with its reason.
//!
//! Beside it stand the published stop detectors ([`profiles`]) and the rule that compares stops with the truth
//! ([`matching`]), which take whole tracks.
//!
//! It may depend on `schemas`, on Arrow and on the geometry of `geo`. It refuses clocks, files, network and randomness:
//! same log, same rows, whatever the batch borders. What is unlikely (a jump, the point 0/0, a time in the future) is
//! still a fix here.

pub mod matching;
pub mod profiles;
pub mod track;

mod fix;
mod unit;

pub use unit::TripsUnit;
