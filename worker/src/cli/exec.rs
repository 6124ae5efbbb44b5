//! `almanac exec`: a run of steps here, without a server, by the interpreter
//! that runs them on Temporal. Each task is told on standard error, and the
//! output is printed.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use almanac_workflows::definition::{Definition, Program};
use almanac_workflows::run::language::{self, Flow, Kind, Problem};
use almanac_workflows::run::machine::{
    About, Command, Effect, EffectId, Entry, Fault, Machine, Standard, Status,
};
use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::validate::definitions_of;
use crate::args::ExecArgs;

pub(super) async fn run(args: &ExecArgs) -> anyhow::Result<ExitCode> {
    let flow = chosen(args)?;
    let began = Timestamp::now();
    let about = About {
        id: format!("exec/{}", began.as_millisecond()),
        source: "/exec".to_owned(),
        runtime: json!({ "name": "almanac" }),
    };
    let machine = Machine::start(Arc::new(flow), about, args.input.clone(), began);
    match interpret(machine, |entry| tell(began, entry)).await {
        Ok(output) => super::print_json(&output),
        Err(fault) => {
            eprintln!("{fault}");
            super::print_json(&fault)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The steps to run.
fn chosen(args: &ExecArgs) -> anyhow::Result<Flow> {
    let file = args.file.display();
    let mut all = definitions_of(&args.file)?;
    if let Some(id) = &args.id {
        all.retain(|definition| definition.id == *id);
    }
    all.retain(|definition| matches!(definition.program, Program::Steps(_)));
    let definition = match all.as_slice() {
        [one] => one,
        [] => bail!("no such definition with steps in {file}"),
        several => {
            let ids: Vec<String> = several.iter().map(|one| one.id.to_string()).collect();
            bail!(
                "{file} has several definitions with steps: choose one with `--id`: {}",
                ids.join(", ")
            )
        }
    };
    let flow =
        flow(definition).with_context(|| format!("read the steps of `{}`", definition.id))?;
    let refused = outside(&flow);
    if !refused.is_empty() {
        bail!(
            "`almanac exec` cannot run what reaches outside yet: {}",
            refused.join(", ")
        );
    }
    Ok(flow)
}

fn flow(definition: &Definition) -> anyhow::Result<Flow> {
    let Program::Steps(steps) = &definition.program else {
        bail!("it has none");
    };
    language::parse(steps).map_err(|problems| {
        let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
        anyhow::anyhow!("{}", all.join("\n"))
    })
}

/// The places of tasks that need more than time.
fn outside(flow: &Flow) -> Vec<String> {
    let tasks = flow.lists.values().flat_map(|list| list.iter());
    let outside = tasks.filter(|task| {
        matches!(
            task.kind,
            Kind::Call(_) | Kind::Run(_) | Kind::Emit(_) | Kind::Listen(_)
        )
    });
    outside
        .map(|task| format!("`{}`", task.path.trim_start_matches('/')))
        .collect()
}

/// Does what the machine says until it has ended.
async fn interpret(mut machine: Machine, tell: impl Fn(&Entry)) -> Result<Value, Fault> {
    let mut timers: BTreeMap<EffectId, Timestamp> = BTreeMap::new();
    loop {
        let turn = machine.advance(Timestamp::now());
        turn.log.iter().for_each(&tell);
        for command in turn.commands {
            match command {
                Command::Start {
                    id,
                    effect: Effect::Timer { duration },
                    ..
                } => {
                    let end = Timestamp::now().saturating_add(duration);
                    timers.insert(id, end.unwrap_or(Timestamp::MAX));
                }
                // Refused before.
                Command::Start { id, .. } => {
                    let fault = Standard::Configuration.fault("cannot be run here yet");
                    machine.complete(id, Err(fault));
                }
                Command::Cancel { id } => {
                    timers.remove(&id);
                }
            }
        }
        match turn.status {
            Status::Completed(output) => return Ok(output),
            Status::Faulted(fault) => return Err(fault),
            Status::Yielded => tokio::task::yield_now().await,
            Status::Waiting | Status::Held => {
                let next = timers.iter().min_by_key(|(id, end)| (**end, **id));
                if let Some((id, end)) = next.map(|(id, end)| (*id, *end)) {
                    let rest = end.duration_since(Timestamp::now());
                    tokio::time::sleep(rest.try_into().unwrap_or_default()).await;
                    timers.remove(&id);
                    machine.complete(id, Ok(Value::Null));
                }
            }
        }
    }
}

/// One line for what was done.
fn tell(began: Timestamp, entry: &Entry) {
    let seconds = Timestamp::now().duration_since(began).as_secs_f64();
    eprintln!("{seconds:8.3}s  {}", line(entry));
}

fn line(entry: &Entry) -> String {
    let place = |task: &str| task.trim_start_matches('/').to_owned();
    match entry {
        Entry::Began { task } => format!("begins     {}", place(task)),
        Entry::Skipped { task } => format!("skips      {}", place(task)),
        Entry::Completed { task } => format!("completes  {}", place(task)),
        Entry::Faulted { task, fault } => format!("fails      {}: {fault}", place(task)),
        Entry::Retrying {
            task,
            attempt,
            delay,
        } => format!(
            "retries    {}: retry {attempt} after {delay:?}",
            place(task)
        ),
        Entry::Caught { task } => format!("catches    {}", place(task)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(text: &str, input: Value) -> anyhow::Result<Result<Value, Fault>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("steps.yaml");
        std::fs::write(&file, text)?;
        let id = None;
        let flow = chosen(&ExecArgs {
            file,
            input: input.clone(),
            id,
        })?;
        let about = About {
            id: "x".to_owned(),
            source: "/x".to_owned(),
            runtime: Value::Null,
        };
        let machine = Machine::start(Arc::new(flow), about, input, Timestamp::now());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        Ok(runtime.block_on(interpret(machine, |_| ())))
    }

    #[test]
    fn steps_run_without_a_server() {
        let steps = "do:\n  - rest: { wait: { milliseconds: 5 } }\n  - add: { set: { n: '${ .n + 1 }' } }\n";
        let output = exec(steps, json!({ "n": 1 })).unwrap();
        assert_eq!(output, Ok(json!({ "n": 2 })));
        let fails = "do:\n  - add: { set: { n: '${ .n + 1 }' } }\n";
        let fault = exec(fails, json!({ "n": {} })).unwrap().unwrap_err();
        assert_eq!(fault.instance.as_deref(), Some("/do/0/add"));
    }

    #[test]
    fn what_reaches_outside_is_refused_before_it_begins() {
        let steps = "do:\n  - rest: { do: [{ ask: { call: http, with: { method: get, endpoint: 'https://x.org' } } }] }\n";
        let error = exec(steps, Value::Null).unwrap_err().to_string();
        assert!(error.contains("`do/0/rest/do/0/ask`"), "{error}");
        let wrong = exec("do: [broken", Value::Null).unwrap_err().to_string();
        assert!(wrong.contains("steps.yaml:1"), "{wrong}");
    }
}
