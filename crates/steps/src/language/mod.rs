//! The language of steps: a task list of the Open Workflow Specification DSL
//! 1.0.3, with what stands around it (`use`, `input`, `output`, `timeout`).
//!
//! Steps travel as JSON, in the schedule's action and in each run, and are
//! read here: by the parser of definitions, which shows each [`Problem`] at its
//! line, and by a run. So what a definition may hold, a run can do.
//!
//! Always holds: all problems are found at once, each with the path of its
//! task; no key is passed over; reading takes time and memory in proportion to
//! the JSON. Expressions are compiled, so one that cannot be used is a problem too.

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
mod value;

pub use common::is_option;
pub use defaults::default_options;
pub use json_schema::JsonSchema;
pub use model::*;
pub use program::{normalise, parse, parse_duration};
pub use reader::{Problem, Target};
pub use shapes::{SHAPES, Shape};
pub use task::KINDS;
pub(crate) use value::describe;
pub use value::duration_of;

/// How deep task lists may nest, the outermost one included.
pub const DEPTH_LIMIT: usize = 16;
/// How many tasks a definition may have, nested ones included.
pub const TASKS_LIMIT: usize = 1000;
/// How many branches a `fork` may have.
pub const BRANCHES_LIMIT: usize = 100;

#[cfg(test)]
mod tests;
