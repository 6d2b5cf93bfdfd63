//! Fraud scoring: exact windows over payments, rules, a model, and alerts that explain themselves.
//!
//! It may depend on `schemas` and on Arrow. It refuses clocks, files, network and randomness: same log, same values,
//! whatever the batch borders.

pub mod expression;
pub mod fields;
pub mod lint;
pub mod lists;
pub mod rules;

mod names;
