//! `till fraud` and the transactions of the handbook.

mod courier_alerts;
mod features;
mod parity;
mod replay;
mod rules;
