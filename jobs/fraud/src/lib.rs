//! Fraud scoring: exact windows over payments, rules, a model, and alerts that explain themselves.
//!
//! It may depend on `schemas` and on Arrow. It refuses clocks, files, network and randomness: same log, same values,
//! whatever the batch borders.

pub mod measures;
pub mod model;
pub mod windows;
