//! Continue-as-new: the next execution of the same run.

use almanac_base::names::MEMO_KEY;
use almanac_base::size::PAYLOAD_LIMIT;
use almanac_core::record::{DefinitionRef, PinnedDefinition, RunInput};
use almanac_steps::machine::{Fault, Machine, Standard};
use serde_json::Value;
use temporalio_common::MemoValues;
use temporalio_common::data_converters::RawValue;
use temporalio_workflow::{ContinueAsNewOptions, WorkflowContext, WorkflowTermination};

use super::RunDefinition;
use crate::codec::readable;

/// Returns the input of the next execution of the same run.
///
/// If the run `must` continue as new, waiting events are given up, the newest first, until
/// the input is small enough. The run fails only if that does not suffice.
pub(super) fn continued_input(
    ctx: &WorkflowContext<RunDefinition>,
    definition: &PinnedDefinition,
    machine: &mut Machine,
    must: bool,
) -> Result<RawValue, Fault> {
    if must {
        ctx.state_mut(|s| s.inbox.give_up());
    }
    loop {
        let position = machine.position().cloned();
        let input = RunInput {
            definition: DefinitionRef::Pinned(definition.clone()),
            input: Value::Null,
            event: ctx.state(|s| s.event.clone()),
            position: position.map(Box::new),
            dropped: ctx.state(|s| s.inbox.dropped()),
        };
        let input = RawValue::from_value(&input, ctx.payload_converter());
        let bytes = input.payloads.iter().map(|payload| payload.data.len());
        let bytes: usize = bytes.sum();
        if bytes <= PAYLOAD_LIMIT {
            return Ok(input);
        }
        let dropped_events = if must {
            machine.give_up(bytes - PAYLOAD_LIMIT)
        } else {
            0
        };
        if dropped_events == 0 {
            let detail = format!(
                "the run must continue as new because its history is long, and its data of \
                 {bytes} bytes is over the limit of {PAYLOAD_LIMIT}"
            );
            return Err(Standard::Runtime.fault(detail));
        }
        ctx.state_mut(|s| s.inbox.lost(dropped_events));
    }
}

/// Continues as new: ends this execution, and starts the next one of the same run.
pub(super) fn continue_as_new(
    ctx: &WorkflowContext<RunDefinition>,
    input: RawValue,
) -> WorkflowTermination {
    let options = ContinueAsNewOptions::builder()
        .maybe_memo(memo_to_keep(ctx))
        .build();
    match ctx.continue_as_new(input, options) {
        Ok(never) => match never {},
        Err(termination) => termination,
    }
}

/// Returns the whole memo of the run. Otherwise the server would keep only the memo that
/// the run began with, without what the run wrote since.
fn memo_to_keep(ctx: &WorkflowContext<RunDefinition>) -> Option<MemoValues> {
    let memo = ctx.memo();
    if memo.is_empty() {
        return None;
    }
    let mut kept = MemoValues::new();
    let mut keys: Vec<&str> = memo.keys().collect();
    keys.sort_unstable();
    for key in keys {
        if let Ok(Some(value)) = memo.get::<Value>(key) {
            if key == MEMO_KEY {
                kept.insert(key, readable(&value));
            } else {
                kept.insert(key, value);
            }
        }
    }
    Some(kept)
}
