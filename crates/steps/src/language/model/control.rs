//! Tasks that decide which task runs next, and errors.

use super::{Expression, Length, Template, Then};

/// A case of a `switch`.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    pub name: String,
    /// The condition. A case without a condition is the default: it applies if no other case
    /// matches, wherever the case stands in the list.
    pub when: Option<Expression>,
    /// The flow directive of the case.
    pub then: Then,
}

/// The settings of a `for` task.
#[derive(Debug, Clone, PartialEq)]
pub struct For {
    /// The variable that holds the item.
    pub each: String,
    /// The variable that holds the index.
    pub at: String,
    pub items: Template,
    /// The condition (`while`), evaluated before each item. The loop ends if the condition is not
    /// true.
    pub condition: Option<Expression>,
}

/// The settings of a `catch`.
#[derive(Debug, Clone, PartialEq)]
pub struct Catch {
    /// `errors.with`: properties that an error must have to be caught.
    pub with: ErrorFilter,
    /// The variable that holds the error.
    pub variable: String,
    /// The error is caught only when this is true.
    pub when: Option<Expression>,
    /// The error is not caught when this is true.
    pub except_when: Option<Expression>,
    /// The policy for retries of the `try`. `None` for no retries.
    pub retry: Option<Retry>,
    /// `true` if there is a list at `/catch/do` of the task.
    pub handles: bool,
    /// The flow directive after a caught error. `None` if the `then` of the task applies.
    pub then: Option<Then>,
}

/// Properties that an error must have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorFilter {
    /// The URI of the error's type.
    pub kind: Option<String>,
    pub status: Option<u16>,
    /// The place of the error, usually the JSON pointer of a task.
    pub instance: Option<String>,
    pub title: Option<String>,
    pub detail: Option<String>,
}

/// A retry policy of a `catch`.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// `true` for a policy of `use.retries`. Such a policy names the error `$error`, even if the
    /// `catch` uses another name.
    pub shared: bool,
    /// The condition for another attempt. No attempt follows unless it is true.
    pub when: Option<Expression>,
    /// The exception for another attempt. No attempt follows if it is true.
    pub except_when: Option<Expression>,
    /// The wait before the first retry.
    pub delay: Length,
    /// The growth of the wait with each retry.
    pub backoff: Backoff,
    /// Maximum number of retries. `None` for no limit.
    pub attempts: Option<u32>,
    /// Maximum duration of each attempt.
    pub attempt_duration: Option<Length>,
    /// Maximum duration of all attempts and waits together.
    pub duration: Option<Length>,
    /// The range of the random duration that is added to each wait: from, to.
    pub jitter: Option<(Length, Length)>,
}

/// The growth of the wait before a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backoff {
    /// The wait stays the same.
    #[default]
    Constant,
    /// The wait grows by the delay with each retry.
    Linear,
    /// The wait doubles with each retry.
    Exponential,
}

/// An error as `raise` or `use.errors` defines it.
#[derive(Debug, Clone, PartialEq)]
pub struct RaisedError {
    /// The URI of the error's type.
    pub kind: Template,
    pub status: u16,
    /// A short summary of the error.
    pub title: Option<Template>,
    /// A description of this occurrence of the error.
    pub detail: Option<Template>,
    /// The place of the error. `None` for the path of the task that raises it.
    pub instance: Option<Template>,
}
