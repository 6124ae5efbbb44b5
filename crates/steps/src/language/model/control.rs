//! Tasks that decide what is done next.

use super::{Expression, Length, Template, Then};

/// A case of a `switch`.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Without it, the case is taken where no other matches, wherever it stands.
    pub when: Option<Expression>,
    /// Where to go on.
    pub then: Then,
}

/// `for`.
#[derive(Debug, Clone, PartialEq)]
pub struct For {
    /// The variable of the item.
    pub each: String,
    /// The variable of the index.
    pub at: String,
    /// The items.
    pub items: Template,
    /// Tried before each item: the loop ends when it is not true.
    pub condition: Option<Expression>,
}

/// `catch`.
#[derive(Debug, Clone, PartialEq)]
pub struct Catch {
    /// `errors.with`: properties that the error must have.
    pub with: ErrorFilter,
    /// The variable of the error.
    pub variable: String,
    /// The error is caught only when this is true.
    pub when: Option<Expression>,
    /// The error is not caught when this is true.
    pub except_when: Option<Expression>,
    /// Whether and when the `try` is done again.
    pub retry: Option<Retry>,
    /// Whether there is a list at `/catch/do` of the task.
    pub handles: bool,
    /// Where to go on after an error was caught; the task's own `then` without it.
    pub then: Option<Then>,
}

/// Properties that an error must have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorFilter {
    /// The type's URI.
    pub kind: Option<String>,
    /// The status.
    pub status: Option<u16>,
    /// The place.
    pub instance: Option<String>,
    /// The title.
    pub title: Option<String>,
    /// The detail.
    pub detail: Option<String>,
}

/// A retry policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Whether it is one of `use.retries`, where the error is `$error` whatever a
    /// `catch` calls it.
    pub shared: bool,
    /// Tried again only when this is true.
    pub when: Option<Expression>,
    /// Not tried again when this is true.
    pub except_when: Option<Expression>,
    /// The wait before the first retry.
    pub delay: Length,
    /// How the wait grows.
    pub backoff: Backoff,
    /// How often it is tried again.
    pub attempts: Option<u32>,
    /// The limit of each attempt.
    pub attempt_duration: Option<Length>,
    /// The limit of all attempts and waits together.
    pub duration: Option<Length>,
    /// What is added to each wait, between these two.
    pub jitter: Option<(Length, Length)>,
}

/// How the wait before a retry grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backoff {
    /// Not at all.
    #[default]
    Constant,
    /// By the delay each time.
    Linear,
    /// Twofold each time.
    Exponential,
}

/// An error as `raise` or `use.errors` defines it.
#[derive(Debug, Clone, PartialEq)]
pub struct RaisedError {
    /// The type's URI.
    pub kind: Template,
    /// The status.
    pub status: u16,
    /// A summary.
    pub title: Option<Template>,
    /// What happened.
    pub detail: Option<Template>,
    /// The place; the task's own without it.
    pub instance: Option<Template>,
}
