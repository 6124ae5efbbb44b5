//! The part of `RunDefinition` that knows Temporal.

#![expect(
    missing_docs,
    reason = "the macro makes items that cannot be documented"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the macro wants handlers to own their input"
)]

use std::time::Duration;

use serde_json::Value;
use temporalio_common::RetryPolicy;
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::ApplicationFailure;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    ActivityOptions, TimerOptions, TimerResult, WorkflowContext, WorkflowContextView,
    WorkflowResult, WorkflowTermination,
};

use super::language::{self, Flow, Kind, Length, Problem, Task, Template};
use super::{DefinitionRef, PinnedDefinition, RunInput};
use crate::contracts::CurrentDefinition;

/// The longest that one attempt at reading the registry takes.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// How often it is tried.
const READ_ATTEMPTS: u32 = 10;

/// The workflow that runs a definition's steps.
#[workflow]
#[derive(Debug)]
pub struct RunDefinition {
    input: Result<RunInput, String>,
}

#[workflow_methods]
impl RunDefinition {
    #[init]
    fn new(_ctx: &WorkflowContextView, input: RawValue) -> Self {
        Self {
            input: read(&input),
        }
    }

    /// The result is the output of the last task; without tasks, the input.
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<Value> {
        let ctx: &WorkflowContext<Self> = ctx;
        let input = ctx.state(|s| s.input.clone()).map_err(fail("input"))?;
        let definition = pin(ctx, input.definition).await?;
        let flow = language::parse(&definition.steps).map_err(|problems| {
            let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
            fail("definition")(format!("{}: {}", definition.id, all.join("; ")))
        })?;
        let steps = simple(&flow)
            .map_err(|what| fail("definition")(format!("{}: {what}", definition.id)))?;
        let mut data = input.input;
        for (index, (step, task)) in steps.iter().enumerate() {
            ctx.set_current_details(format!(
                "`{}` revision `{}`: task {} of {}, `{}`",
                definition.id,
                definition.revision,
                index + 1,
                steps.len(),
                step.name.replace('`', "'")
            ));
            match task {
                Simple::Set(value) => data = (*value).clone(),
                Simple::Wait(duration) => wait(ctx, &step.name, *duration).await?,
            }
        }
        ctx.set_current_details(format!(
            "`{}` revision `{}`: completed",
            definition.id, definition.revision
        ));
        Ok(data)
    }
}

/// What this workflow does by itself.
enum Simple<'f> {
    Set(&'f Value),
    Wait(Duration),
}

/// The tasks of a flow that has nothing but literal `set` and `wait`.
fn simple(flow: &Flow) -> Result<Vec<(&Task, Simple<'_>)>, String> {
    let around = flow.input != language::Input::default()
        || flow.output != language::Output::default()
        || flow.timeout.is_some();
    if around {
        return Err("`input`, `output` and `timeout` cannot be run yet".to_owned());
    }
    let tasks = flow.list(Flow::ROOT).iter();
    tasks
        .map(|task| {
            let bare = task.condition.is_none()
                && task.input == language::Input::default()
                && task.output == language::Output::default()
                && task.export == language::Output::default()
                && task.timeout.is_none()
                && task.then == language::Then::Continue;
            match &task.kind {
                Kind::Set(Template::Literal(value)) if bare => Ok((task, Simple::Set(value))),
                Kind::Wait(Length::Fixed(length)) if bare => Ok((task, Simple::Wait(*length))),
                _ => Err(format!(
                    "`{}` cannot be run yet; only `set` and `wait` without expressions can",
                    task.path.trim_start_matches('/')
                )),
            }
        })
        .collect()
}

async fn wait(
    ctx: &WorkflowContext<RunDefinition>,
    name: &str,
    duration: Duration,
) -> WorkflowResult<()> {
    if duration.is_zero() {
        return Ok(());
    }
    let options = TimerOptions::builder(duration)
        .summary(name.to_owned())
        .build();
    match ctx.timer(options).await {
        TimerResult::Fired => Ok(()),
        TimerResult::Cancelled => Err(WorkflowTermination::cancelled()),
    }
}

/// The definition itself; one that is only named is read once, so that history pins it.
async fn pin(
    ctx: &WorkflowContext<RunDefinition>,
    definition: DefinitionRef,
) -> WorkflowResult<PinnedDefinition> {
    let id = match definition {
        DefinitionRef::Pinned(pinned) => return Ok(pinned),
        DefinitionRef::Current(id) => id,
    };
    let options = ActivityOptions::with_start_to_close_timeout(READ_WITHIN)
        .retry_policy(
            RetryPolicy::builder()
                .maximum_attempts(READ_ATTEMPTS)
                .build(),
        )
        .summary(format!("pin {id}"))
        .build();
    Ok(ctx.execute_activity(CurrentDefinition, id, options).await?)
}

fn read(raw: &RawValue) -> Result<RunInput, String> {
    const SHAPE: &str = r#"the input must be {"definition": "ID", "input": …}"#;
    let payload = raw.payloads.first().ok_or(SHAPE)?;
    let value: Value =
        serde_json::from_slice(&payload.data).map_err(|error| format!("{SHAPE}: {error}"))?;
    let definition = value.get("definition").ok_or(SHAPE)?;
    let definition = match definition {
        Value::String(id) => DefinitionRef::Current(
            id.parse()
                .map_err(|error: crate::names::NameError| format!("definition: {error}"))?,
        ),
        pinned => DefinitionRef::Pinned(
            serde_json::from_value(pinned.clone())
                .map_err(|error| format!("definition: {error}"))?,
        ),
    };
    Ok(RunInput {
        definition,
        input: value.get("input").cloned().unwrap_or_default(),
    })
}

/// A failure that trying again does not mend.
fn fail(kind: &'static str) -> impl Fn(String) -> WorkflowTermination {
    move |message| {
        ApplicationFailure::builder(message)
            .type_name(kind.to_owned())
            .non_retryable(true)
            .build()
            .into()
    }
}

#[cfg(test)]
mod tests;
