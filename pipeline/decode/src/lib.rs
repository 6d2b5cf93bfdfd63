//! The merchant's side of a payment: opens readers' encrypted frames, replaces the card number by a keyed token,
//! guards each reader's key counter and the merchant's limits, and passes every swipe on with all findings.
//!
//! This is the only crate in which a card number exists in clear, and it is built to stay small enough to review. It
//! may depend on Arrow, on ciphers and hashes, and on `schemas`; it refuses files, network, clocks, randomness and
//! async, and nothing that leaves it (rows, saved state, errors, debug output) holds card data, ciphertext or keys.
//!
//! Read on in this order: [`dukpt`] derives keys, [`idtech`] takes frames apart, [`open_frame`] opens them into a
//! [`card::CardNumber`] under a [`keys::KeyRing`], and [`DecodeUnit`] folds records into rows.

mod bundle_rows;
pub mod card;
mod catalog;
mod checks;
mod columns;
mod days;
pub mod dukpt;
mod error;
mod guard;
pub mod idtech;
mod in_force;
pub mod keys;
mod keys_in_force;
mod memory;
mod open;
pub mod reveal;
mod rows;
mod state;
#[cfg(test)]
mod testing;
pub mod track;
mod unit;
mod windows;

pub use catalog::CatalogUnit;
pub use error::{KeyError, OpenError};
pub use open::{HolderName, OpenedFrame, open_frame};
pub use unit::DecodeUnit;
pub use windows::MerchantWindows;
