//! What working on tillstream needs besides cargo: a real Kafka broker for tests (`kafka::Broker`, `kafka::shared`) and
//! for people (`cargo xtask kafka up`), and a real schema registry in the same way (`registry`).
//!
//! No crate of the product depends on this one; only tests do. It needs Linux, and Java and Maven for both. It refuses to
//! be a way to run them for anything that matters: one node, on loopback, without replicas, schemas in memory alone.

pub mod kafka;
pub mod registry;
pub mod service;
