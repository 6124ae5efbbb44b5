//! Errors of a command whose message has more than one line: a hint, a command to copy,
//! findings.
//!
//! Each line is escaped when it is printed, so the lines are kept apart. In a single text,
//! Almanac's own line breaks could not be told from those in a name or message from outside.

use std::fmt;

use almanac_base::text;
use almanac_core::definition::Diagnostic;
use serde::Serialize;

use crate::console::Page;

/// A message, with the lines below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    message: String,
    below: Vec<String>,
}

impl Failure {
    /// A failure without lines below its message.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            below: Vec::new(),
        }
    }

    /// The failure that lists the findings of files; `None` if there are none.
    pub(crate) fn of_findings(findings: &[Diagnostic]) -> Option<Self> {
        let mut lines = findings.iter().flat_map(Diagnostic::lines);
        Some(Self {
            message: lines.next()?,
            below: lines.collect(),
        })
    }

    /// The failure for people: `prefix` and the message on a line, the others below.
    pub(crate) fn page(&self, prefix: &str) -> Page {
        page_of(&format!("{prefix}{}", self.message), &self.below)
    }

    /// Adds a hint about what to do.
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.below.push(text::hint_line(hint));
        self
    }

    /// Adds a line below the message.
    pub(crate) fn line(mut self, line: impl fmt::Display) -> Self {
        self.below.push(format!("  {line}"));
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.below.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

impl std::error::Error for Failure {}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl Serialize for Failure {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An error with its causes, and the lines below it. Many of the SDK's errors contain their
/// cause's text; it is not repeated.
fn parts(error: &anyhow::Error) -> (String, &[String]) {
    let mut message = String::new();
    let mut below: &[String] = &[];
    for cause in error.chain() {
        let text = match cause.downcast_ref::<Failure>() {
            Some(failure) => {
                below = &failure.below;
                failure.message.clone()
            }
            None => cause.to_string(),
        };
        if message.is_empty() {
            message = text;
        } else if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
    }
    (message, below)
}

/// An error with its causes, on one line.
pub(crate) fn causes(error: &anyhow::Error) -> String {
    parts(error).0
}

/// An error for people: `prefix` and its causes on a line, and the lines below it.
pub(crate) fn page(prefix: &str, error: &anyhow::Error) -> Page {
    let (message, below) = parts(error);
    page_of(&format!("{prefix}{message}"), below)
}

fn page_of(message: &str, below: &[String]) -> Page {
    let mut page = Page::default();
    page.signed(message);
    for line in below {
        page.line(line);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_stated_once() {
        let error = anyhow::anyhow!("not found")
            .context("describe x: not found")
            .context("worker `run`");
        assert_eq!(causes(&error), "worker `run`: describe x: not found");
    }

    #[test]
    fn the_lines_below_are_its_own_and_no_others() {
        let error = anyhow::Error::from(Failure::new("no `a\n  hint: forged`").hint("look\nup"));
        assert_eq!(
            page("error: ", &error.context("show")).to_string(),
            "error: show: no `a\\n  hint: forged`\n  hint: look\\nup\n"
        );
    }
}
