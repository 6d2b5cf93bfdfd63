//! Fraud scoring: exact windows over payments, rules, a model, and alerts that explain themselves.
//!
//! What a rule or a window may speak of are [`fields`]; conditions over them are an [`expression`], [`rules`] are named
//! conditions with an outcome, [`lists`] the texts that they ask for, and [`lint`] says what is odd about them. [`windows`]
//! are the features of a payment that follow from those before it, a [`model`] makes a score of features, and [`measures`]
//! say how good scores are.
//!
//! It may depend on `schemas`, on Arrow, on hashes, on `jiff` for times in lists and on `strsim` for names. It refuses clocks, files, network and randomness: same log, same values,
//! whatever the batch borders.

pub mod expression;
pub mod fields;
pub mod lint;
pub mod lists;
pub mod measures;
pub mod model;
pub mod rules;
pub mod windows;

mod names;
