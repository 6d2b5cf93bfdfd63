//! `till fraud` and the transactions of the handbook.

mod courier_alerts;
mod features;
mod models;
mod parity;
mod replay;
mod rules;
mod shadow;
