//! The part of `RunDefinition` that knows Temporal.

#![expect(
    clippy::needless_pass_by_value,
    reason = "the macro wants handlers to own their input"
)]

mod completion_order;
mod continue_as_new;
mod failure;
mod history_limits;
mod inbox;
mod input;
mod temporal_effects;
mod trace_span;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use almanac_base::names::{MEMO_KEY, RUN_WORKFLOW};
use almanac_core::record::{
    DefinitionRef, EventOrigin, PinnedDefinition, RunInput, RunInputError, RunMemo,
};
use almanac_steps::language::{self, Flow};
use almanac_steps::machine::{About, Command, Fault, Machine, Standard, Status, shortened};
use jiff::Timestamp;
use serde_json::{Value, json};
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::ApplicationFailure;
use temporalio_common::{MemoValue, RetryPolicy};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    ActivityOptions, LocalActivityOptions, SyncWorkflowContext, WorkflowContext,
    WorkflowContextView, WorkflowResult, WorkflowTermination,
};

use crate::codec::{is_undecoded_signal, readable, require_decrypted, require_readable};
use crate::contracts::run::Event;
use crate::contracts::{CurrentDefinition, Pause};
use crate::run::place;
use continue_as_new::{continue_as_new, continued_input};
use history_limits::{ContinueAsNewDue, HistoryUse};
use inbox::Inbox;
use input::read_input;
use temporal_effects::TemporalEffects;
use trace_span::{link_to_cause, name_outcome};

/// Maximum duration of one attempt at reading the registry.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// Maximum number of attempts at reading the registry.
const READ_ATTEMPTS: u32 = 10;
/// Maximum duration of the local activity [`Pause`], which lets other workflows run.
const PAUSE_WITHIN: Duration = Duration::from_secs(10);
/// Maximum number of shown problems of steps.
const SHOWN_LIMIT: usize = 5;

/// The workflow that runs a definition's steps.
#[workflow]
#[derive(Debug)]
pub struct RunDefinition {
    input: Result<RunInput, RunInputError>,
    /// Value of `$workflow.id`: the same in each execution of a run that continues as new.
    run: String,
    queue: String,
    inbox: Inbox,
    /// Event that started the run.
    event: Option<EventOrigin>,
}

#[workflow_methods]
impl RunDefinition {
    #[init]
    fn new(ctx: &WorkflowContextView, input: RawValue) -> Self {
        require_decrypted(&input.payloads);
        let input = read_input(&input);
        Self {
            inbox: Inbox::after(input.as_ref().map_or(0, |input| input.dropped)),
            event: input.as_ref().ok().and_then(|input| input.event.clone()),
            input,
            run: format!("{}/{}", ctx.workflow_id(), ctx.first_execution_run_id()),
            queue: ctx.task_queue().to_owned(),
        }
    }

    /// Delivers an event to the steps that listen, one of `CloudEvents` as JSON. Any other
    /// input is ignored.
    #[signal(name = Event::NAME)]
    pub fn event(&mut self, ctx: &mut SyncWorkflowContext<Self>, input: RawValue) {
        let number = self.inbox.count();
        if is_undecoded_signal(ctx, number, &input.payloads) {
            self.inbox.ignore_undecoded();
        } else {
            self.inbox.hear(&input);
        }
    }

    /// Runs the steps. The result is the output of the last task, or the input if there are
    /// no tasks.
    #[run(name = RUN_WORKFLOW)]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<Value> {
        let ctx: &WorkflowContext<Self> = ctx;
        link_to_cause(ctx);
        let result = Self::run_steps(ctx).await;
        name_outcome(&result);
        result
    }
}

impl RunDefinition {
    async fn run_steps(ctx: &WorkflowContext<Self>) -> WorkflowResult<Value> {
        let input = ctx
            .state(|s| s.input.clone())
            .map_err(|error| refused(Standard::Validation)(error.to_string()))?;
        let definition = pin(ctx, input.definition).await?;
        let about = ctx.state(|s| About {
            id: s.run.clone(),
            source: source(&s.queue, &definition),
            runtime: json!({ "name": "almanac" }),
            chain: s.event.as_ref().map(|event| event.depth.saturating_add(1)),
        });
        let flow = Arc::new(flow(&definition)?);
        let run = about.id.clone();
        let machine = match input.position {
            Some(position) => Machine::resume(flow, about, *position).map_err(faulted)?,
            None => Machine::start(flow, about, input.input, now(ctx)),
        };
        interpret(ctx, &definition, machine, TemporalEffects::new(ctx, &run)).await
    }
}

/// Does what the machine asks for, until the machine has ended.
async fn interpret(
    ctx: &WorkflowContext<RunDefinition>,
    definition: &PinnedDefinition,
    mut machine: Machine,
    mut effects: TemporalEffects<'_>,
) -> WorkflowResult<Value> {
    let mut shown = String::new();
    let mut course = HistoryUse::default();
    loop {
        // Events come first: those received before a run continues as new must not be lost.
        inbox::deliver_events(ctx, &mut machine, &mut effects);
        let due = course.due(ctx, &effects, ctx.state(|s| s.inbox.waits()));
        match due {
            ContinueAsNewDue::No => machine.stay(),
            ContinueAsNewDue::WhenSafe => machine.leave(),
            ContinueAsNewDue::NoNewTasks => machine.hold(),
            ContinueAsNewDue::NoNewResults => machine.rest(),
        }
        let turn = machine.advance(now(ctx));
        course.did(turn.work);
        for command in turn.commands {
            match command {
                Command::Start {
                    id,
                    task,
                    effect,
                    options,
                    retried,
                } => effects.start(id, &task, effect, &options, retried),
                Command::Cancel { id } => effects.cancel(id),
            }
        }
        let place = place_of(&machine, &turn.status);
        show(ctx, definition, &place, &mut shown);
        let results = match turn.status {
            Status::Completed(output) => return Ok(output),
            Status::Faulted(fault) => return Err(faulted(fault)),
            // More events wait than the next execution would get. Steps may listen to them
            // soon.
            Status::Held
                if due < ContinueAsNewDue::NoNewTasks && ctx.state(|s| s.inbox.waits()) =>
            {
                course.postpone(ctx);
                machine.stay();
                continue;
            }
            Status::Held => {
                match continued_input(
                    ctx,
                    definition,
                    &mut machine,
                    due >= ContinueAsNewDue::NoNewTasks,
                ) {
                    Ok(input) => return Err(continue_as_new(ctx, input)),
                    Err(fault) if due >= ContinueAsNewDue::NoNewTasks => {
                        return Err(faulted(fault));
                    }
                    // The run may carry over less later, or end before it must continue as
                    // new.
                    Err(_) => {
                        course.postpone(ctx);
                        machine.stay();
                        continue;
                    }
                }
            }
            // Limits pass and calls are answered meanwhile.
            Status::Yielded => {
                pause(ctx).await?;
                course.yielded();
                effects.ready().await
            }
            Status::Waiting => {
                // Steps have taken events: there is room for events that still wait.
                if inbox::deliver_events(ctx, &mut machine, &mut effects) {
                    continue;
                }
                effects.results().await
            }
        };
        let Some(results) = results else {
            show(ctx, definition, &format!("canceled {place}"), &mut shown);
            return Err(WorkflowTermination::cancelled());
        };
        // An event that came together with the end of a limit came in time.
        inbox::deliver_events(ctx, &mut machine, &mut effects);
        for (id, result) in results {
            machine.answer(id, result);
        }
    }
}

/// Lets other workflows have their turn.
async fn pause(ctx: &WorkflowContext<RunDefinition>) -> WorkflowResult<()> {
    let options = LocalActivityOptions::builder()
        .start_to_close_timeout(PAUSE_WITHIN)
        .build();
    let paused = ctx.execute_local_activity(Pause, (), options).await;
    if ctx.cancellation_token().is_cancelled() {
        return Err(WorkflowTermination::cancelled());
    }
    Ok(paused?)
}

/// Describes the place of a run, for the Temporal UI.
fn place_of(machine: &Machine, status: &Status) -> String {
    match status {
        Status::Completed(_) => "completed".to_owned(),
        Status::Faulted(_) => "failed".to_owned(),
        _ => place::at(&machine.current()),
    }
}

/// Shows the place of the run in the Temporal UI.
fn show(
    ctx: &WorkflowContext<RunDefinition>,
    definition: &PinnedDefinition,
    place: &str,
    shown: &mut String,
) {
    let details = place::details(&definition.id, &definition.revision, place);
    let details = details + &ctx.state(|s| s.inbox.notes());
    if *shown != details {
        ctx.set_current_details(details.clone());
        *shown = details;
    }
}

/// The `source` of events that state none: the same for all runs of a definition.
fn source(queue: &str, definition: &PinnedDefinition) -> String {
    let project = queue.strip_prefix("almanac-").unwrap_or(queue);
    format!("almanac/{project}/{}", definition.id)
}

/// Parses the steps of a definition with the parser that the definitions themselves go
/// through.
fn flow(definition: &PinnedDefinition) -> WorkflowResult<Flow> {
    language::parse(&definition.steps).map_err(|problems| {
        let some: Vec<String> = problems
            .iter()
            .take(SHOWN_LIMIT)
            .map(|problem| shortened(&problem.to_string()))
            .collect();
        let more = problems.len() - some.len();
        let more = match more {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        refused(Standard::Configuration)(format!("{}: {}{more}", definition.id, some.join("; ")))
    })
}

/// The time of the workflow, which is the same in each replay.
fn now(ctx: &WorkflowContext<RunDefinition>) -> Timestamp {
    let time: Option<SystemTime> = ctx.workflow_time();
    time.and_then(|time| Timestamp::try_from(time).ok())
        .unwrap_or_default()
}

/// Ends a run with an error: the error's type becomes the failure's type, and the whole
/// error becomes the failure's details.
fn faulted(fault: Fault) -> WorkflowTermination {
    ApplicationFailure::builder(fault.to_string())
        .type_name(fault.kind.clone())
        .non_retryable(true)
        .details(fault)
        .build()
        .into()
}

/// Returns the definition itself. A definition that is only named is read once, so that the
/// history pins it.
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
    let pinned = ctx.execute_activity(CurrentDefinition, id, options).await;
    require_readable(&pinned);
    let pinned = pinned.map_err(|error| match &error {
        _ if ctx.cancellation_token().is_cancelled() => WorkflowTermination::cancelled(),
        error => faulted(failure::of_activity(error).0),
    })?;
    let memo = RunMemo {
        definition: pinned.id.clone(),
        revision: pinned.revision.clone(),
        event: None,
    };
    // Runs that a schedule starts get this memo from the schedule's action.
    ctx.upsert_memo([(MEMO_KEY, Some(MemoValue::new(readable(&memo))))])
        .map_err(|error| refused(Standard::Runtime)(error.to_string()))?;
    Ok(pinned)
}

/// Ends a run that cannot begin. The message becomes the error.
fn refused(standard: Standard) -> impl Fn(String) -> WorkflowTermination {
    move |message| faulted(standard.fault(shortened(&message)))
}

#[cfg(test)]
mod tests;
