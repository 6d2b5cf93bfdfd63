//! What working on tillstream needs besides cargo: a real Kafka broker for tests (`kafka::Broker`, `kafka::shared`) and
//! for people (`cargo xtask kafka up`).
//!
//! No crate of the product depends on this one; only tests do. It needs Linux, and Java and Maven for the broker. It
//! refuses to be a way to run Kafka for anything that matters: one node, on loopback, without replicas.

pub mod kafka;
