//! Tests on a real Kafka broker, which `xtask` starts on loopback: the log's member and producer, the whole system, and
//! the system under faults. Without Java and Maven they are skipped, which a line on standard error says;
//! `TILL_REQUIRE_KAFKA=1` makes that a failure.

mod audit;
mod faults;
mod features;
mod frames;
mod log;
mod operating;
mod pressure;
mod processes;
mod registry;
mod system;
mod tables;
mod town;
