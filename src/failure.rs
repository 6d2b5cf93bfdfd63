//! How a command ends: exit codes that scripts can rely on, and errors that say what happened, where, and what to do.

use std::process::ExitCode;

/// How a command may end. The numbers are fixed from the first release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Refused, because going on could lose or double something.
    Refused = 3,
    /// Something was found that needs an operator.
    Findings = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{message}")]
pub struct Failure {
    exit: Exit,
    message: String,
    #[help]
    help: Option<String>,
}

impl Failure {
    /// Failed for this reason.
    pub fn failed(reason: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Failed, message: reason.to_string(), help: None }
    }

    /// Asked for wrongly.
    pub fn usage(reason: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Usage, ..Self::failed(reason) }
    }

    /// Refused, because going on could lose or double something.
    pub fn refused(reason: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Refused, ..Self::failed(reason) }
    }

    /// Something was found that needs an operator; what it is has been printed.
    pub fn findings(reason: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Findings, ..Self::failed(reason) }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, with the unit in which it happened.
    #[must_use]
    pub fn of_unit(mut self, unit: &str) -> Self {
        self.message = format!("{unit}: {}", self.message);
        self
    }

    /// Its exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl From<runner::RunnerError> for Failure {
    fn from(error: runner::RunnerError) -> Self {
        if error.is_refusal() { Self::refused(error) } else { Self::failed(error) }
    }
}

impl From<log::LogError> for Failure {
    fn from(error: log::LogError) -> Self {
        if error.is_refusal() { Self::refused(error) } else { Self::failed(error) }
    }
}

impl From<log::group::GroupError> for Failure {
    fn from(error: log::group::GroupError) -> Self {
        if error.is_refusal() { Self::refused(error) } else { Self::failed(error) }
    }
}

impl From<lake::LakeError> for Failure {
    fn from(error: lake::LakeError) -> Self {
        match error {
            lake::LakeError::Fenced { .. } | lake::LakeError::Occupied { .. } => Self::refused(error),
            lake::LakeError::Policy { .. } => Self::usage(error),
            _ => Self::failed(error),
        }
    }
}

impl From<lake::QueryError> for Failure {
    fn from(error: lake::QueryError) -> Self {
        match error {
            lake::QueryError::Failed { .. } => Self::failed(error),
            _ => Self::usage(error),
        }
    }
}

impl From<simulator::SimulatorError> for Failure {
    fn from(error: simulator::SimulatorError) -> Self {
        match error {
            simulator::SimulatorError::OtherPlan { .. } => Self::refused(error),
            simulator::SimulatorError::Plan { .. } => Self::usage(error),
            _ => Self::failed(error),
        }
    }
}
