//! Definitions: what a document says, parsed and validated.

mod diagnostic;
mod model;

pub use diagnostic::{Diagnostic, Severity};
pub use model::*;
