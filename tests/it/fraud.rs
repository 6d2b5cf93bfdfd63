//! `till fraud` and the transactions of the handbook.

mod features;
mod parity;
mod replay;
mod rules;
