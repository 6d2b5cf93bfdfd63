//! Apache Kafka on this machine: one broker that is its own controller, on free loopback ports, from the artifacts that
//! Apache publishes for Maven. Nothing is faked, so transactions, fencing and rebalances are what they are elsewhere.
//!
//! A [`Broker`] belongs to the process that started it: a small shell holds it, and ends it when that process is gone,
//! however it went. What [`standing`] starts stays until it is stopped.

mod broker;
mod certificates;
mod install;
mod launch;
mod options;
pub mod standing;

#[cfg(test)]
mod tests;

use std::sync::{Mutex, OnceLock};

use crate::service;

pub use crate::service::ServiceError;
pub use broker::Broker;
pub use install::available;
pub use options::{Options, Security};

/// A broker for all tests of a process. It cannot be stopped or paused, since others use it: tests that do so start a
/// [`Broker`] of their own. Tests keep apart by the names of their topics, groups and transactional ids.
pub struct SharedBroker {
    bootstrap: String,
    /// Held only; what a keeper hears cannot be shared by threads.
    _broker: Mutex<Broker>,
}

impl SharedBroker {
    /// Where clients connect: `127.0.0.1:PORT`, in plaintext.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

/// The broker that the tests of this process share, started at the first call; it ends with the process. Where it
/// cannot be had the answer is `None`, after a line on standard error that the test runner does not hold back.
///
/// # Panics
///
/// Where it cannot be had and `TILL_REQUIRE_KAFKA` is `1`; and where all is there and the broker does not start.
pub fn shared(test_name: &str) -> Option<&'static SharedBroker> {
    static SHARED: OnceLock<SharedBroker> = OnceLock::new();
    can_start(test_name).then(|| SHARED.get_or_init(shared_broker))
}

/// Whether a test can have a [`Broker`] of its own. If not, the test should end: a line on standard error says that it
/// was skipped and what it misses.
///
/// # Panics
///
/// If not, and `TILL_REQUIRE_KAFKA` is `1`.
pub fn can_start(test_name: &str) -> bool {
    static READY: OnceLock<Result<(), String>> = OnceLock::new();
    service::can_start(test_name, "Kafka", &READY, install::libraries)
}

fn shared_broker() -> SharedBroker {
    let broker = Broker::start(&Options::default()).unwrap_or_else(|error| panic!("{error}"));
    SharedBroker { bootstrap: broker.bootstrap().to_string(), _broker: Mutex::new(broker) }
}
