//! Failed requests: the facts that the server's status proves.
//!
//! Only the server's own error details prove that something does not exist. A
//! `NotFound` without them, for example from a proxy, says nothing about a
//! schedule or a namespace.

use std::error::Error as _;

use prost::Message as _;
use temporalio_common::protos::google::rpc::Status as RpcStatus;
use temporalio_common::protos::temporal::api::enums::v1::ResourceExhaustedCause;
use temporalio_common::protos::temporal::api::errordetails::v1::{
    NamespaceNotFoundFailure, ResourceExhaustedFailure,
};
use tonic::{Code, Status};

/// Types of the error details by which the server proves an absence.
const NO_NAMESPACE: &str = "temporal.api.errordetails.v1.NamespaceNotFoundFailure";
const NOT_FOUND: &str = "temporal.api.errordetails.v1.NotFoundFailure";
/// Type of the error details that say what is used up.
const EXHAUSTED: &str = "temporal.api.errordetails.v1.ResourceExhaustedFailure";

/// A request that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The schedule or workflow does not exist: the server's error details
    /// prove it.
    #[error("the schedule does not exist")]
    NotFound,
    /// The namespace does not exist: the server's error details prove it.
    #[error("namespace `{0}` does not exist")]
    NoNamespace(String),
    /// A schedule with this id exists already.
    #[error("a schedule with this id already exists")]
    AlreadyExists,
    /// The schedule changed since it was described.
    #[error("the schedule changed since it was described")]
    Stale,
    /// The server refuses the request in this form.
    #[error("refused by the server: {0}")]
    Refused(String),
    /// The server does not let this client make the request, or does not know it: the same request
    /// may succeed with other credentials, or at another address.
    #[error("refused by the server: {0}")]
    Denied(String),
    /// The server answered, and failed on this request; other requests may
    /// succeed. The state after a write is unknown.
    #[error("the server failed: {0}")]
    Failed(String),
    /// The server's answer lacks a part that every answer has.
    #[error("the server's answer cannot be read: {0}")]
    Undecodable(&'static str),
    /// A payload of the answer cannot be decrypted, so the schedule is not known as a whole.
    #[error("a payload cannot be read: {0}")]
    Encrypted(String),
    /// The server did not answer, or could not serve the request now. The state
    /// after a write is unknown.
    #[error("the server is not available: {0}")]
    Unavailable(String),
}

impl RequestError {
    /// The kind of the error, for traces.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NoNamespace(_) => "no_namespace",
            Self::AlreadyExists => "already_exists",
            Self::Stale => "stale",
            Self::Refused(_) => "refused",
            Self::Denied(_) => "denied",
            Self::Failed(_) => "failed",
            Self::Undecodable(_) => "undecodable",
            Self::Encrypted(_) => "encrypted",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// The error for `status`, in a request to `namespace`.
    pub fn of(status: &Status, namespace: &str) -> Self {
        let text = || format!("{:?}: {}", status.code(), status.message());
        match status.code() {
            Code::NotFound => match missing_namespace(status) {
                Some(name) if name.is_empty() => Self::NoNamespace(namespace.to_owned()),
                Some(name) => Self::NoNamespace(name),
                None if detail(status, NOT_FOUND).is_some() => Self::NotFound,
                None => Self::Denied(text()),
            },
            Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented => {
                Self::Denied(text())
            }
            Code::AlreadyExists => Self::AlreadyExists,
            Code::FailedPrecondition if status.message().contains("conflict token") => Self::Stale,
            _ if RetryBudget::of(status) == RetryBudget::None => Self::Refused(text()),
            Code::ResourceExhausted if Exhausted::of(status) == Exhausted::Workflow => {
                Self::Failed(text())
            }
            _ if is_unserved(status) => Self::Unavailable(text()),
            _ => Self::Failed(text()),
        }
    }

    /// Returns `true` if the error concerns only the requested schedule: the
    /// server works, and serves other requests.
    pub fn is_about_one(&self) -> bool {
        match self {
            Self::Refused(_)
            | Self::Denied(_)
            | Self::Failed(_)
            | Self::Undecodable(_)
            | Self::Encrypted(_)
            | Self::Stale => true,
            Self::NotFound | Self::NoNamespace(_) | Self::AlreadyExists | Self::Unavailable(_) => {
                false
            }
        }
    }

    /// Returns `true` if the server serves no request now, or none of the namespace.
    pub fn is_about_all(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::NoNamespace(_))
    }

    /// Returns `true` if the state after a write is unknown: the server may
    /// have done it.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Unavailable(_))
    }
}

/// The number of tries for a request, by the kind of its failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryBudget {
    /// No retry: the same request fails again.
    None,
    /// A few tries: the server failed on this very request, and seldom recovers
    /// from that.
    Few,
    /// Many tries: the server is away, is overloaded, or asks for another try.
    Many,
}

impl RetryBudget {
    pub(super) fn of(status: &Status) -> Self {
        match status.code() {
            Code::ResourceExhausted => match Exhausted::of(status) {
                Exhausted::Message => Self::None,
                Exhausted::Workflow | Exhausted::Server => Self::Many,
            },
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Aborted => {
                Self::Many
            }
            _ if status.source().is_some() => Self::Many,
            Code::Internal | Code::Unknown | Code::DataLoss => Self::Few,
            _ => Self::None,
        }
    }

    /// Maximum number of tries of the request, the first one included.
    pub(super) const fn tries(self) -> u32 {
        match self {
            Self::None => 1,
            Self::Few => 4,
            Self::Many => 6,
        }
    }
}

/// The limit that a status `ResourceExhausted` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exhausted {
    /// The starts or the updates of one workflow id.
    Workflow,
    /// The size of a message: the same message is too large again.
    Message,
    /// A limit of the server or of the namespace, for all requests.
    Server,
}

impl Exhausted {
    pub(super) fn of(status: &Status) -> Self {
        let Some(value) = detail(status, EXHAUSTED) else {
            // gRPC itself refuses what is too large, and has no details.
            let is_message = status.message().contains("larger than max");
            return if is_message {
                Self::Message
            } else {
                Self::Server
            };
        };
        let failure = ResourceExhaustedFailure::decode(value.as_slice()).unwrap_or_default();
        if failure.cause() == ResourceExhaustedCause::BusyWorkflow {
            Self::Workflow
        } else {
            Self::Server
        }
    }
}

/// The name of a namespace whose absence the server's error details prove.
pub fn missing_namespace(status: &Status) -> Option<String> {
    let value = detail(status, NO_NAMESPACE)?;
    let failure = NamespaceNotFoundFailure::decode(value.as_slice());
    Some(failure.unwrap_or_default().namespace)
}

/// Returns `true` if the server refused to write a schedule because it moves the schedule to the
/// V1 scheduler: `schedule has a pending migration to workflow`. Only the text tells
/// this apart from a lost answer.
pub(super) fn is_migrating(status: &Status) -> bool {
    status.code() == Code::Unavailable && status.message().contains("has a pending migration")
}

/// Returns `true` if the server did not serve the request, whatever the request
/// asked for. A status with a source comes from the client: the connection
/// failed.
fn is_unserved(status: &Status) -> bool {
    let codes = [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::DeadlineExceeded,
        Code::Cancelled,
    ];
    codes.contains(&status.code()) || status.source().is_some()
}

/// The value of the first error detail with this type.
fn detail(status: &Status, name: &str) -> Option<Vec<u8>> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let is_it = |url: &str| url.rsplit('/').next() == Some(name);
    let found = details.into_iter().find(|one| is_it(&one.type_url))?;
    Some(found.value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A status with one detail, as the server sends it.
    fn detailed(code: Code, name: &str, value: Vec<u8>) -> Status {
        let details = RpcStatus {
            code: code.into(),
            message: String::new(),
            details: vec![prost_types::Any {
                type_url: format!("type.googleapis.com/{name}"),
                value,
            }],
        };
        Status::with_details(code, "text", details.encode_to_vec().into())
    }

    fn of(status: &Status) -> RequestError {
        RequestError::of(status, "mine")
    }

    #[test]
    fn only_error_details_prove_that_something_does_not_exist() {
        let gone = detailed(Code::NotFound, NOT_FOUND, Vec::new());
        assert_eq!(of(&gone), RequestError::NotFound);
        let failure = NamespaceNotFoundFailure {
            namespace: "nope".to_owned(),
        };
        let nowhere = detailed(Code::NotFound, NO_NAMESPACE, failure.encode_to_vec());
        assert_eq!(of(&nowhere).to_string(), "namespace `nope` does not exist");
        // What the details hold is not needed for the proof.
        for value in [Vec::new(), vec![0xff; 3]] {
            let nowhere = detailed(Code::NotFound, NO_NAMESPACE, value);
            assert_eq!(of(&nowhere), RequestError::NoNamespace("mine".to_owned()));
        }
        for open in [
            Status::not_found("schedule not found"),
            detailed(Code::NotFound, "temporal.api.errordetails.v1.Other", vec![]),
            Status::with_details(Code::NotFound, "text", vec![0xff, 0xff].into()),
        ] {
            assert!(matches!(of(&open), RequestError::Denied(_)), "{open:?}");
            assert_eq!(missing_namespace(&open), None);
        }
    }

    #[test]
    fn what_is_used_up_says_which_requests_are_refused() {
        let exhausted = |cause: ResourceExhaustedCause| {
            let failure = ResourceExhaustedFailure {
                cause: cause.into(),
                ..ResourceExhaustedFailure::default()
            };
            detailed(Code::ResourceExhausted, EXHAUSTED, failure.encode_to_vec())
        };
        let busy = exhausted(ResourceExhaustedCause::BusyWorkflow);
        assert!(matches!(of(&busy), RequestError::Failed(_)));
        assert_eq!(RetryBudget::of(&busy), RetryBudget::Many);
        let all = exhausted(ResourceExhaustedCause::RpsLimit);
        assert!(of(&all).is_about_all());
        let large = "grpc: received message larger than max (4194400 vs. 4194304)";
        let large = Status::resource_exhausted(large);
        assert!(matches!(of(&large), RequestError::Refused(_)));
    }

    #[test]
    fn a_migration_of_the_schedule_is_not_an_outage_of_the_server() {
        let text = "schedule has a pending migration to workflow";
        assert!(is_migrating(&Status::unavailable(text)));
        assert!(!is_migrating(&Status::unavailable("connection reset")));
        assert!(!is_migrating(&Status::internal(text)));
    }

    #[test]
    fn only_other_credentials_or_another_address_help_against_a_denial() {
        for code in [
            Code::Unauthenticated,
            Code::PermissionDenied,
            Code::Unimplemented,
        ] {
            let error = of(&Status::new(code, "text"));
            assert!(matches!(error, RequestError::Denied(_)), "{code:?}");
        }
    }

    #[test]
    fn a_failure_belongs_to_one_request_or_to_the_server() {
        let one = [
            Code::Internal,
            Code::Unknown,
            Code::DataLoss,
            Code::Aborted,
            Code::InvalidArgument,
            Code::FailedPrecondition,
            Code::PermissionDenied,
            Code::OutOfRange,
            Code::Unimplemented,
            Code::NotFound,
        ];
        for code in one {
            assert!(of(&Status::new(code, "text")).is_about_one(), "{code:?}");
        }
        let all = [
            Code::Unavailable,
            Code::ResourceExhausted,
            Code::DeadlineExceeded,
            Code::Cancelled,
        ];
        for code in all {
            let error = of(&Status::new(code, "text"));
            assert!(matches!(error, RequestError::Unavailable(_)), "{code:?}");
        }
        // A connection that broke shows as whatever the client makes of it.
        for code in [Code::Unknown, Code::Internal] {
            let mut broken = Status::new(code, "h2 protocol error");
            broken.set_source(Arc::new(std::io::Error::other("reset")));
            let error = of(&broken);
            assert!(matches!(error, RequestError::Unavailable(_)), "{code:?}");
            assert_eq!(RetryBudget::of(&broken), RetryBudget::Many);
        }
    }
}
