//! Tests of the group drivers: small cases by hand, and schedules of members that die, pause and rebalance.

mod bench;
mod cases;
mod chaos;
mod lake;
mod rules;
mod simulation;
mod units;
mod writing;
