//! The card's side of a payment: checks, state machine, signature timers, embedded issuer, decisions and alerts.
//!
//! [`AuthorizeUnit`] folds the payments log into one answer for each swipe and one row for each later step. It may
//! depend on `schemas`, on Arrow and on hash functions. It refuses clocks, files, network and randomness, and it never
//! meets a card number: cards are tokens here. Same log, same rows: whatever the batch borders, and across a
//! save and restore at any offset.
//!
//! Reading order: [`machine`] (what may happen to a payment), `ledger` (the embedded issuer's accounts), `memory` (what
//! is remembered and for how long), `checks` (findings about a swipe), `swipe` and `later` (a record's effect), `unit`.

mod alerts;
mod answer;
mod checks;
mod columns;
mod error;
mod in_force;
mod later;
mod ledger;
pub mod machine;
mod memory;
mod payment;
mod rows;
mod scorer;
mod swipe;
#[cfg(test)]
mod testing;
mod unit;

pub use error::Error;
pub use ledger::Totals;
pub use scorer::Scorer;
pub use unit::AuthorizeUnit;
