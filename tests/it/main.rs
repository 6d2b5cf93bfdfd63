//! Integration tests: the real binary, driven as its users drive it, in temporary folders. They may read what the
//! crates publish (table names, the simulator's truth, a reader's firmware); they refuse services (but for a Kafka
//! broker and a schema registry of their own, in `kafka`), network and fakes.
#![cfg(test)]

mod broken;
mod card_data;
mod cli;
mod crashes;
mod demo;
mod durations;
mod fraud;
mod kafka;
mod operations;
mod payment_places;
mod python;
mod recorded;
mod repository;
// How the binary plugs scoring into its units: an audit folds with the same.
#[path = "../../src/scoring.rs"]
mod scoring;
mod support;
mod trips_command;
mod trips_golden;
