//! Definitions: the documents of YAML files, parsed and validated. The input is the text of a file.
//! The output is its definitions, and all errors of each document at their places.
//!
//! Always holds: parsing never panics, never does I/O, and takes time and memory in proportion to
//! the file. An error in one document does not affect other documents. A valid definition has its
//! defaults filled in, so writing a default changes nothing. Refusing two documents with the same
//! id is left to the registry.

mod after_use;
mod calendar;
mod day_calendar;
mod decode;
mod diagnostic;
mod document;
mod event_type;
mod event_use;
mod labels;
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
mod triggers;
mod webhook;
mod workflow;
mod yaml;

pub use after_use::{AfterUse, Cycles};
pub use diagnostic::{Diagnostic, Severity};
pub use event_use::EventUse;
pub use labels::Labels;
pub use model::*;
pub use parse::{Kind, ParseContext, Parsed, ParsedDocument, parse_file};
pub use plain::{YamlError, yaml_value};
pub use resolve::{CalendarUse, Calendars};
pub use schema::json_schema;

#[cfg(test)]
mod tests;
