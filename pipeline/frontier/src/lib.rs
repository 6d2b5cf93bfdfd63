//! Where to start, what to replay, what to leave out, when a snapshot may be taken: the rules of exactly once.
//!
//! Two frontiers, both exclusive. **C**, one for each output: everything below it is in that output; it lies in the
//! output's own commits. **S**: a snapshot holds the state after everything below it. A start loads the newest
//! snapshot with S <= every C, reads on from S, leaves out of each output the rows below its C, and writes the rest.
//!
//! Two invariants rest on this crate. I-1: every input offset contributes exactly once to each output. I-2: no
//! snapshot is ahead of an output (S <= every C), neither when it is written nor when it is loaded.
//!
//! Everything here is a pure function over a few numbers, so that all small cases can be tried. It may depend on
//! `schemas` for the newtypes; it refuses input and output and any knowledge of logs, tables and units.

mod ledger;
mod plan;

pub use ledger::{FrontierError, Ledger, SnapshotPermit};
pub use plan::{Found, Plan, Refusal, SnapshotHead, plan};

#[cfg(test)]
mod tests;
