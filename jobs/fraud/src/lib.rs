//! Fraud scoring: exact windows over payments, rules, a model, and alerts that explain themselves.
//!
//! What a rule or a window may speak of are [`fields`]; conditions over them are an [`expression`], [`rules`] are named
//! conditions with an outcome, [`lists`] the texts that they ask for, and [`lint`] says what is odd about them. [`windows`]
//! are values of a payment that follow from those before it; with what follows from its own row they are [`features`]. A
//! [`model`] makes a score of features, [`measures`] say how good scores are, a [`backtest`] what rules would have said
//! about past payments and [`quality`] what those in force are worth; [`evaluate`] trains and judges models on a file of
//! transactions. [`live`] puts them together for payments as they come, and [`alert_groups`] what alerted.
//!
//! It may depend on `schemas`, on Arrow, on hashes, on `hashbrown` for the keys of windows, on `jiff` for times in lists,
//! on `strsim` for names, on `geo` for distances, on `forust-ml` for growing trees, on Polars for the frames of
//! [`evaluate`] and on `serde_json` for what it says about a model. It refuses clocks, files, network and randomness: same
//! log, same values, whatever the batch borders.

pub mod alert_groups;
pub mod backtest;
pub mod evaluate;
pub mod expression;
pub mod features;
pub mod fields;
pub mod lint;
pub mod lists;
pub mod live;
pub mod measures;
pub mod model;
pub mod quality;
pub mod rules;
pub mod windows;

mod counts;
mod names;
mod table;
