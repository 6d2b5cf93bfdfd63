//! One commit to a table's log, and what its failure means.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use deltalake::kernel::transaction::{
    CommitBuilder, CommitConflictError, CommitProperties, FinalizedCommit, TransactionError,
};
use deltalake::kernel::{Action, Transaction};
use deltalake::protocol::DeltaOperation;
use deltalake::{DeltaTable, DeltaTableError};

/// Key in a commit's information under which it is marked as ours.
const NONCE: &str = "tillCommit";

/// What a failed commit says about the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// Somebody committed under the same app id.
    SameApp,
    /// Schema or protocol are not those that the rows were encoded for.
    Changed,
    /// Too many other commits, or this handle is too far behind.
    Busy,
    /// Anything else: the commit may have landed.
    Unclear,
}

/// Tells failures of a commit apart.
pub(crate) fn conflict(error: &DeltaTableError) -> Conflict {
    match error {
        DeltaTableError::Transaction { source: TransactionError::CommitConflict(conflict) } => match conflict {
            CommitConflictError::ConcurrentTransaction => Conflict::SameApp,
            CommitConflictError::MetadataChanged | CommitConflictError::ProtocolChanged(_) => Conflict::Changed,
            CommitConflictError::ConcurrentAppend
            | CommitConflictError::ConcurrentDeleteRead
            | CommitConflictError::ConcurrentDeleteDelete => Conflict::Busy,
            _ => Conflict::Unclear,
        },
        DeltaTableError::Transaction { source: TransactionError::MaxCommitAttempts(_) }
        | DeltaTableError::InvalidVersion(_)
        | DeltaTableError::VersionAlreadyExists(_) => Conflict::Busy,
        _ => Conflict::Unclear,
    }
}

/// Marks whose a commit is. It is random, since two writers of one app id must differ, and decides nothing else.
pub(crate) struct Nonces {
    writer: u64,
    count: u64,
}

impl Nonces {
    /// Nonces of one handle.
    pub(crate) fn new() -> Nonces {
        // The standard library's hash keys come from the system's source of randomness.
        Nonces { writer: RandomState::new().build_hasher().finish(), count: 0 }
    }

    /// A nonce that no other commit has.
    pub(crate) fn next(&mut self) -> String {
        self.count += 1;
        format!("{}-{:016x}-{}", std::process::id(), self.writer, self.count)
    }
}

/// Commits actions and app transactions from the handle's snapshot. Checkpoints and log cleanup are left to others.
pub(crate) async fn commit(
    delta: &DeltaTable,
    actions: Vec<Action>,
    transactions: Vec<Transaction>,
    operation: DeltaOperation,
    nonce: &str,
) -> Result<FinalizedCommit, DeltaTableError> {
    let properties = CommitProperties::default()
        .with_metadata([(NONCE.to_string(), serde_json::Value::from(nonce))])
        .with_application_transactions(transactions)
        .with_create_checkpoint(false)
        .with_cleanup_expired_logs(Some(false));
    let state = delta.snapshot()?;
    CommitBuilder::from(properties).with_actions(actions).build(Some(state), delta.log_store(), operation).await
}

/// Version after the given one in which the commit with this nonce landed, if it did. The handle must have been loaded
/// since: where the log was cut meanwhile, a handle from before cannot find its newest version.
pub(crate) async fn landed(
    newest: &DeltaTable,
    nonce: &str,
    after_version: u64,
) -> Result<Option<u64>, DeltaTableError> {
    let log = newest.log_store();
    for version in after_version + 1..=newest.version().unwrap_or_default() {
        let Some(entry) = log.read_commit_entry(version).await? else { continue };
        if entry.windows(nonce.len()).any(|window| window == nonce.as_bytes()) {
            return Ok(Some(version));
        }
    }
    Ok(None)
}
