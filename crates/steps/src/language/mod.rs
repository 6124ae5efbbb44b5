//! The language of steps: a task list of the Open Workflow Specification DSL 1.0.3, with the
//! blocks around it (`use`, `input`, `output`, `timeout`).
//!
//! Steps travel as JSON, in the schedule's action and in each run. Both the parser of definitions
//! and a run read the steps with this module, so a run can do everything that a valid definition
//! contains. The parser shows each [`Problem`] at its line.
//!
//! Always holds: all problems are found in one pass, each with the path of its task. No key is
//! ignored. Reading takes time and memory in proportion to the JSON. Expressions are compiled, so
//! an expression that cannot be used is a problem too.

mod call;
mod common;
mod defaults;
mod event;
mod flow;
mod json_schema;
mod model;
mod process;
mod program;
mod reader;
mod reuse;
mod shapes;
mod task;
mod template;
mod trigger;
mod value;

pub use common::is_option;
pub use defaults::default_options;
pub use json_schema::{JsonSchema, SchemaViolation};
pub use model::*;
pub use program::{normalize, parse, parse_duration};
pub use reader::{Problem, Target};
pub use shapes::SHAPES;
pub use task::KINDS;
pub use trigger::{
    EVENT_TYPE_LIMIT, ReadTriggers, TRIGGERS_LIMIT, bad_event_type, parse_event_schema,
    parse_schedule_on, parse_triggers,
};
pub(crate) use value::describe;
pub use value::duration_of;

/// Maximum nesting depth of task lists, the outermost list included.
pub const DEPTH_LIMIT: usize = 16;
/// Maximum number of tasks in a definition, nested tasks included.
pub const TASKS_LIMIT: usize = 1000;
/// Maximum number of branches in a `fork`.
pub const BRANCHES_LIMIT: usize = 100;

#[cfg(test)]
mod tests;
