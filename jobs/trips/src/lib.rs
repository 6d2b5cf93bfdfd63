//! GPS fixes of couriers' and taxis' phones. [`TripsUnit`] keeps every fix that parses, as it came; what cannot be a
//! fix becomes a dead letter with its reason.
//!
//! It may depend on `schemas` and on Arrow. It refuses clocks, files, network and randomness: same log, same rows,
//! whatever the batch borders. What is unlikely (a jump, the point 0/0, a time in the future) is still a fix here.

mod fix;
mod unit;

pub use unit::TripsUnit;
