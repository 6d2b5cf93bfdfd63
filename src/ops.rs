//! What a running process tells the outside: metrics for Prometheus, whether it lives, and whether it has caught up.
//!
//! Units report here what they do ([`UnitMetrics`]); [`serve()`] answers over HTTP. Nothing that is decided depends on
//! any of it. The names of the metrics are fixed from the first release, their labels have a bounded set of values,
//! and neither holds anything of a record's content.

mod delay;
mod metrics;
mod serve;
mod unit;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::clock;
use metrics::Metrics;

pub use delay::MeasuredLog;
pub use serve::serve;
pub use unit::UnitMetrics;

/// What is known about the units of this process, shared between them and whoever asks.
pub struct Ops {
    metrics: Metrics,
    units: Mutex<BTreeMap<&'static str, UnitState>>,
}

/// Where a unit of this process stands.
#[derive(Debug, Default)]
struct UnitState {
    assigned: usize,
    /// Whether every partition that is assigned now has been at its end at least once since it came.
    has_caught_up: bool,
    ended: Option<String>,
}

/// A unit that keeps the process from being alive or ready, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The unit.
    pub unit: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl Ops {
    /// For a process that runs these units.
    pub fn new(units: &[&'static str]) -> Arc<Self> {
        Self::with_clock(units, clock::now_us)
    }

    /// The same with another clock for ages; it gives microseconds since the epoch.
    fn with_clock(units: &[&'static str], clock: fn() -> i64) -> Arc<Self> {
        let states = units.iter().map(|unit| (*unit, UnitState::default())).collect();
        Arc::new(Self { metrics: Metrics::new(clock), units: Mutex::new(states) })
    }

    /// Where a unit of this process reports what it does.
    pub fn unit(self: &Arc<Self>, unit: &'static str) -> UnitMetrics {
        UnitMetrics::new(self.clone(), unit)
    }

    /// Notes that a unit has ended, for whatever reason.
    pub fn ended(&self, unit: &'static str, reason: &str) {
        self.update(unit, |state| state.ended = Some(reason.to_string()));
    }

    /// Units that have ended. A process with one of them no longer does its whole work and should be started anew.
    pub fn ended_units(&self) -> Vec<Trouble> {
        let ended = |(unit, state): (&&'static str, &UnitState)| {
            state.ended.as_ref().map(|reason| Trouble { unit, reason: reason.clone() })
        };
        self.states().iter().filter_map(ended).collect()
    }

    /// Units that are not ready. One is when it has at least one partition and has read and committed every one of them
    /// to its end at least once since it came; later lag is the business of metrics. A unit without a partition does no
    /// work, so it does not count as ready.
    pub fn unready_units(&self) -> Vec<Trouble> {
        let trouble = |(unit, state): (&&'static str, &UnitState)| {
            let reason = match (&state.ended, state.assigned) {
                (Some(reason), _) => format!("it has ended: {reason}"),
                (None, 0) => "it has been assigned no partition".to_string(),
                (None, _) if state.has_caught_up => return None,
                (None, assigned) => format!("not all of its {assigned} partitions have been read to their end"),
            };
            Some(Trouble { unit, reason })
        };
        self.states().iter().filter_map(trouble).collect()
    }

    /// The metrics in the Prometheus text format (version 0.0.4).
    pub fn text(&self) -> String {
        self.metrics.text()
    }

    fn update(&self, unit: &'static str, change: impl FnOnce(&mut UnitState)) {
        change(self.states().entry(unit).or_default());
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<&'static str, UnitState>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
