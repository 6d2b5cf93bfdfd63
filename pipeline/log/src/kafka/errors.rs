//! What the caller can do about an error of librdkafka.
//!
//! Whoever cannot be sure that the brokers did nothing gets [`Remedy::Rebuild`]: a new producer with the same
//! transactional id settles what the old one left.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::LogError;
use crate::group::{GroupError, Remedy};

/// What an error says about itself; flags are those of librdkafka's transactional producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Symptoms {
    code: Option<Code>,
    is_fatal: bool,
    is_retriable: bool,
    requires_abort: bool,
}

/// What the caller can do about the error.
pub(super) fn remedy(error: &KafkaError) -> Remedy {
    let symptoms = match error {
        KafkaError::Transaction(error) => Symptoms {
            code: Some(error.code()),
            is_fatal: error.is_fatal(),
            is_retriable: error.is_retriable(),
            requires_abort: error.txn_requires_abort(),
        },
        KafkaError::MessageConsumptionFatal(code) => {
            Symptoms { code: Some(*code), is_fatal: true, ..Symptoms::default() }
        }
        KafkaError::AdminOp(code) => Symptoms { code: Some(*code), ..Symptoms::default() },
        KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::AdminOpCreation(_) => {
            return Remedy::Stop;
        }
        other => Symptoms { code: other.rdkafka_error_code(), ..Symptoms::default() },
    };
    judge(symptoms)
}

fn judge(symptoms: Symptoms) -> Remedy {
    let by_code = symptoms.code.map(of_code);
    // What an operator must put right stays wrong for a new member too, even where librdkafka calls it fatal.
    if let Some(remedy) = by_code.filter(|remedy| remedy.is_final()) {
        return remedy;
    }
    if symptoms.is_fatal || by_code == Some(Remedy::Rebuild) {
        return Remedy::Rebuild;
    }
    if symptoms.requires_abort {
        return Remedy::Abort;
    }
    if symptoms.is_retriable {
        return Remedy::Retry;
    }
    by_code.unwrap_or(Remedy::Rebuild)
}

/// What an error's code alone says. A code that is not known here asks for a new member, which is always sound.
pub(super) fn of_code(code: Code) -> Remedy {
    match code {
        Code::IllegalGeneration
        | Code::RebalanceInProgress
        | Code::AssignmentLost
        | Code::State
        | Code::MessageTimedOut
        | Code::PurgeQueue
        | Code::PurgeInflight => Remedy::Abort,
        // Records are gone, or the log is another one.
        Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::LogTruncation => Remedy::Refuse,
        _ if is_an_operators(code) => Remedy::Stop,
        _ if passes(code) => Remedy::Retry,
        _ => Remedy::Rebuild,
    }
}

/// Whether only an operator can put it right: access, names, settings.
fn is_an_operators(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::DelegationTokenAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::UnacceptableCredential
            | Code::SSL
            | Code::InvalidTopic
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::UnsupportedForMessageFormat
            | Code::UnsupportedCompressionType
            | Code::UnsupportedAssignor
            | Code::NotImplemented
            | Code::InconsistentGroupProtocol
            | Code::InvalidGroupId
            | Code::InvalidSessionTimeout
            | Code::InvalidTransactionTimeout
            | Code::InvalidRequiredAcks
            | Code::InvalidConfig
            | Code::InvalidArgument
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidRecord
            | Code::PolicyViolation
            | Code::GroupMaxSizeReached
            | Code::UnreleasedInstanceId
    )
}

/// Whether it passes: brokers that are away, busy or changing places.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::Retry
            | Code::QueueFull
            // A broker that has just started says so before it has heard of its topics.
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicId
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotController
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::ConcurrentTransactions
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::FetchSessionIdNotFound
            | Code::InvalidFetchSessionEpoch
            | Code::UnstableOffsetCommit
            | Code::ThrottlingQuotaExceeded
            | Code::NodeUpdate
            | Code::PollExceeded
    )
}

/// The error of a call, with what to do where only an operator can help.
pub(super) fn failed(doing: impl Into<String>, error: &KafkaError) -> GroupError {
    let advice = symptom_code(error).map(advice).unwrap_or_default();
    GroupError { doing: doing.into(), reason: format!("{error}{advice}"), remedy: remedy(error) }
}

/// An error that this side of the connection found.
pub(super) fn found(doing: impl Into<String>, reason: impl Into<String>, remedy: Remedy) -> GroupError {
    GroupError { doing: doing.into(), reason: reason.into(), remedy }
}

pub(super) fn symptom_code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

fn advice(code: Code) -> &'static str {
    match code {
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::DelegationTokenAuthorizationFailed => "; give this user access to it in the brokers' access lists",
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::UnacceptableCredential => {
            "; check the user, password and mechanism among the kafka properties (sasl.*)"
        }
        Code::SSL => "; check the certificates among the kafka properties (ssl.*)",
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId => {
            "; create the topic, or check its name"
        }
        Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::LogTruncation => {
            "; the log no longer holds this offset (its retention has passed) or never did (the topic was made anew): \
             restore the log, or accept the gap by name"
        }
        Code::FencedInstanceId | Code::UnreleasedInstanceId => {
            "; where another process runs this unit under the same instance name, give each a name of its own"
        }
        Code::InconsistentGroupProtocol => {
            "; the group has members of another kind: stop them, or use another prefix of group names"
        }
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => "; raise max.message.bytes of the topic",
        Code::InvalidTransactionTimeout => {
            "; the transaction timeout is above the brokers' transaction.max.timeout.ms: lower it"
        }
        Code::InvalidSessionTimeout => {
            "; the session timeout is outside the brokers' group.min.session.timeout.ms to group.max.session.timeout.ms"
        }
        _ => "",
    }
}

impl From<LogError> for GroupError {
    fn from(error: LogError) -> Self {
        let remedy = if error.is_refusal() { Remedy::Refuse } else { Remedy::Stop };
        Self { doing: "converting between rows and records".to_string(), reason: error.to_string(), remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(code: Code) -> Symptoms {
        Symptoms { code: Some(code), ..Symptoms::default() }
    }

    #[test]
    fn each_class_has_its_remedy() {
        let classes = [
            (Code::CoordinatorLoadInProgress, Remedy::Retry),
            (Code::BrokerTransportFailure, Remedy::Retry),
            (Code::OperationTimedOut, Remedy::Retry),
            (Code::UnstableOffsetCommit, Remedy::Retry),
            (Code::IllegalGeneration, Remedy::Abort),
            (Code::RebalanceInProgress, Remedy::Abort),
            (Code::MessageTimedOut, Remedy::Abort),
            (Code::Fenced, Remedy::Rebuild),
            (Code::ProducerFenced, Remedy::Rebuild),
            (Code::InvalidProducerEpoch, Remedy::Rebuild),
            (Code::InvalidProducerIdMapping, Remedy::Rebuild),
            (Code::UnknownMemberId, Remedy::Rebuild),
            (Code::Fatal, Remedy::Rebuild),
            (Code::TopicAuthorizationFailed, Remedy::Stop),
            (Code::Authentication, Remedy::Stop),
            (Code::SaslAuthenticationFailed, Remedy::Stop),
            (Code::UnknownTopicOrPartition, Remedy::Retry),
            (Code::OffsetOutOfRange, Remedy::Refuse),
            (Code::AutoOffsetReset, Remedy::Refuse),
            (Code::UnsupportedVersion, Remedy::Stop),
            // It may be an earlier member of this very process that is still closing.
            (Code::FencedInstanceId, Remedy::Rebuild),
        ];
        for (code, expected) in classes {
            assert_eq!(judge(transaction(code)), expected, "{code:?}");
        }
    }

    #[test]
    fn flags_decide_where_the_code_leaves_it_open() {
        let timed_out = transaction(Code::OperationTimedOut);
        assert_eq!(judge(Symptoms { is_retriable: true, ..timed_out }), Remedy::Retry);
        assert_eq!(judge(Symptoms { requires_abort: true, ..timed_out }), Remedy::Abort);
        assert_eq!(judge(Symptoms { is_fatal: true, requires_abort: true, ..timed_out }), Remedy::Rebuild);
        assert_eq!(judge(Symptoms { requires_abort: true, ..transaction(Code::IllegalGeneration) }), Remedy::Abort);
        assert_eq!(judge(Symptoms { is_fatal: true, ..transaction(Code::Fenced) }), Remedy::Rebuild);
    }

    /// Fails when flags are looked at before the codes for which only an operator can help: the runner would make new
    /// members for ever.
    #[test]
    fn no_flag_hides_that_an_operator_is_needed() {
        let denied = transaction(Code::TransactionalIdAuthorizationFailed);
        assert_eq!(judge(Symptoms { is_fatal: true, ..denied }), Remedy::Stop);
        let denied = transaction(Code::TopicAuthorizationFailed);
        assert_eq!(judge(Symptoms { requires_abort: true, ..denied }), Remedy::Stop);
    }

    #[test]
    fn an_unknown_error_asks_for_a_new_member() {
        assert_eq!(judge(Symptoms::default()), Remedy::Rebuild);
        assert_eq!(remedy(&KafkaError::Canceled), Remedy::Rebuild);
        assert_eq!(remedy(&KafkaError::ClientCreation("no such property".to_string())), Remedy::Stop);
    }

    #[test]
    fn what_only_an_operator_can_mend_says_how() {
        let error = failed("reading payments/3", &KafkaError::MessageConsumption(Code::AutoOffsetReset));
        assert_eq!(error.remedy, Remedy::Refuse);
        assert!(error.reason.contains("accept the gap by name"), "{}", error.reason);
    }
}
