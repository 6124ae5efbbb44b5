//! Definitions: the text of a file in; definitions, and all that is wrong with
//! each document at its place, out.
//!
//! Always holds: parsing never panics, never does I/O, and takes time and
//! memory in proportion to the file. Each document stands or falls alone. What
//! comes out valid has its defaults filled in, so writing a default changes
//! nothing. Two documents with one id are the registry's to refuse.

mod calendar;
mod day_calendar;
mod decode;
mod diagnostic;
mod document;
mod model;
mod other_formats;
mod ows;
mod parse;
mod plain;
mod resolve;
mod revision;
mod scalar;
mod schedule;
mod schema;
mod schema_calls;
mod schema_steps;
mod source;
mod steps;
mod workflow;
mod yaml;

pub use diagnostic::{Diagnostic, Severity};
pub use model::*;
pub use parse::{Kind, ParseContext, Parsed, ParsedDocument, parse_file};
pub use plain::yaml_value;
pub use resolve::{CalendarUse, Calendars};
pub use schema::json_schema;

#[cfg(test)]
mod tests;
