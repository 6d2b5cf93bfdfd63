//! A member of the group with patience: what passes by itself is tried again.

use std::time::Duration;

use log::group::{GroupError, GroupLog, Remedy};

use super::Clock;
use crate::{RunnerError, TableError};

/// How often a call is made again whose error passes, before the member is made anew.
const RETRIES_MAX: u32 = 8;
/// First pause, doubled up to the longest: in all some six seconds, enough for a broker to move a leader.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Why a step of the driver ended early.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The member or its log.
    Group(GroupError),
    /// Another process has written under a lane's app id: its frontiers must be read again.
    Fenced(TableError),
    /// The end of the run.
    Runner(RunnerError),
}

impl From<GroupError> for Fault {
    fn from(error: GroupError) -> Self {
        Self::Group(error)
    }
}

impl From<TableError> for Fault {
    fn from(error: TableError) -> Self {
        if error.fenced { Self::Fenced(error) } else { Self::Runner(error.into()) }
    }
}

impl From<RunnerError> for Fault {
    fn from(error: RunnerError) -> Self {
        Self::Runner(error)
    }
}

impl From<frontier::Refusal> for Fault {
    fn from(error: frontier::Refusal) -> Self {
        Self::Runner(error.into())
    }
}

impl From<frontier::FrontierError> for Fault {
    fn from(error: frontier::FrontierError) -> Self {
        Self::Runner(error.into())
    }
}

/// The pause before the attempt after so many failures.
pub(crate) fn pause(first: Duration, longest: Duration, failures: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(longest)
}

/// A member of the group.
pub(crate) struct Member<'a> {
    log: Box<dyn GroupLog>,
    clock: &'a dyn Clock,
}

impl<'a> Member<'a> {
    pub(crate) fn new(log: Box<dyn GroupLog>, clock: &'a dyn Clock) -> Self {
        Self { log, clock }
    }

    /// Makes a call, again and again while its error passes by itself. One that does not pass in time asks for a new
    /// member.
    pub(crate) fn call<T>(
        &mut self,
        mut call: impl FnMut(&mut dyn GroupLog) -> Result<T, GroupError>,
    ) -> Result<T, GroupError> {
        let mut failures = 0;
        loop {
            match call(self.log.as_mut()) {
                Err(error) if error.remedy == Remedy::Retry => {
                    failures += 1;
                    if failures > RETRIES_MAX {
                        return Err(GroupError { remedy: Remedy::Rebuild, ..error });
                    }
                    self.clock.sleep(pause(PAUSE, PAUSE_MAX, failures));
                }
                result => return result,
            }
        }
    }

    pub(crate) fn log(&self) -> &dyn GroupLog {
        self.log.as_ref()
    }
}
