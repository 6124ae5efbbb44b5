//! Reasons for which a request is refused.

use super::{MAX_BODY, WINDOW};

/// The reason for which a request is refused. No message shows a secret, or the signature that the
/// request should have had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A header that the layout needs is not there. HTTP answers with 401, as for all variants up
    /// to [`Refusal::Future`].
    #[error("the header `{0}` is missing")]
    MissingHeader(String),
    /// A header does not have the form that the layout says. The second text ends the sentence.
    #[error("the header `{0}` {1}")]
    MalformedHeader(String, &'static str),
    /// No signature of the request is one of the webhook's secrets over this body.
    #[error("the signature is wrong")]
    WrongSignature,
    /// The request was signed this number of seconds ago.
    #[error("the signature is {0} s old, over the limit of {WINDOW} s")]
    Stale(i64),
    /// The time of the signature is this number of seconds ahead.
    #[error("the time of the signature is {0} s in the future, over the limit of {WINDOW} s")]
    Future(i64),
    /// The body of a verified request cannot be read. HTTP answers with 400.
    #[error("the body {0}")]
    Body(String),
    /// The body has this number of bytes. HTTP answers with 413.
    #[error("the body has {0} bytes, over the limit of {MAX_BODY}")]
    TooLarge(usize),
}
