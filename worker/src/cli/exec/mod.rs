//! `almanac exec`: runs steps on this machine, without a server.
//!
//! The interpreter and the code of the calls are the same as on a worker. Each task is reported
//! on standard error, and the output is printed.

mod events;
mod local_effects;
mod run_log;

use std::process::ExitCode;
use std::sync::Arc;

use almanac_activities::steps::Steps;
use almanac_base::json_text::JsonText;
use almanac_core::definition::{Definition, Program};
use almanac_steps::language::{self, Call, Flow, Kind, Problem, Process, Run};
use almanac_steps::machine::{About, Command, Delivery, Fault, Machine, Standard, Status};
use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde_json::{Value, json};

use self::events::Events;
use self::local_effects::LocalEffects;
use self::run_log::{Message, RunLog};
use super::validate::read_definitions;
use crate::args::ExecArgs;
use crate::console::{self, Page};
use crate::failure::Failure;
use crate::process::Signals;

pub(super) async fn run(args: &ExecArgs) -> anyhow::Result<ExitCode> {
    let (definition, flow, input) = chosen(args)?;
    let source = format!("almanac/exec/{}", definition.id);
    let mut signals = Signals::take().context("take over the signals")?;
    let steps = Arc::new(args.steps.open()?);
    let mut events = Events::open(args.events.as_deref())?;
    let began = Timestamp::now();
    let log = RunLog::new(began);
    let mut effects = LocalEffects::new(Arc::clone(&steps), definition.id.clone(), log);
    let about = About {
        id: format!("exec/{}", began.as_millisecond()),
        source,
        runtime: json!({ "name": "almanac" }),
        chain: None,
    };
    let machine = Machine::start(Arc::new(flow), about, input, began).logged();
    let run = interpret(machine, &mut effects, &mut events, log);
    let mut ended = tokio::select! {
        ended = run => Ok(show(ended)),
        signal = signals.next() => Err(signal),
    };
    if ended.is_ok() {
        tokio::select! {
            () = rest(&mut effects, &steps, log) => {}
            signal = signals.next() => ended = Err(signal),
        }
    }
    if ended.is_err() {
        let end = async {
            effects.stop().await;
            steps.end_unawaited().await;
        };
        // A second signal ends the process without waiting for the rest.
        tokio::select! {
            () = end => {}
            _ = signals.next() => {}
        }
    }
    steps.kill_commands();
    ended.map_err(|signal| anyhow::anyhow!("ended by {signal}"))?
}

/// Prints the result of a run.
fn show(ended: Result<Value, Fault>) -> anyhow::Result<ExitCode> {
    match ended {
        Ok(output) => super::print_json(&output),
        Err(fault) => {
            let mut page = Page::default();
            page.signed(format!("error: {fault}"));
            console::eprint_page(&page);
            super::print_json(&fault)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Cancels the effects that are still running, and waits for the commands that no step waited
/// for. On a worker such commands would continue.
async fn rest(effects: &mut LocalEffects, steps: &Steps, log: RunLog) {
    effects.stop().await;
    let commands = steps.unawaited();
    if commands > 0 {
        log.print(&Message::Awaits(commands));
        steps.unawaited_end().await;
    }
}

/// The steps to run, and their input.
fn chosen(args: &ExecArgs) -> anyhow::Result<(Definition, Flow, Value)> {
    let file = args.file.display();
    let (mut all, errors) = read_definitions(&args.file)?;
    all.retain(|definition| matches!(definition.program, Program::Steps(_)));
    let ids = listed(&all);
    if let Some(id) = &args.id {
        all.retain(|definition| definition.id == *id);
    }
    // The documents are independent: this one is valid, whatever is wrong with the others.
    if args.id.is_none() || all.is_empty() {
        Failure::of_findings(&errors).map_or(Ok(()), Err)?;
    }
    let definition = match (all.len(), all.pop()) {
        (1, Some(one)) => one,
        (0, _) if ids.is_empty() => bail!("{file} has no definition with steps"),
        (0, _) => bail!("no such definition with steps in {file}; there are: {ids}"),
        _ => bail!("{file} has several definitions with steps: choose one with `--id`: {ids}"),
    };
    let flow =
        flow(&definition).with_context(|| format!("read the steps of `{}`", definition.id))?;
    let refused = outside(&flow);
    if !refused.is_empty() {
        bail!(
            "`almanac exec` has no server to call activities or to run workflows: {}",
            refused.join(", ")
        );
    }
    let scheduled = definition.schedule.as_ref();
    let scheduled = scheduled.and_then(|of| of.input.as_ref().map(JsonText::value));
    let input = args.input.clone().or(scheduled).unwrap_or_default();
    Ok((definition, flow, input))
}

fn listed(definitions: &[Definition]) -> String {
    let ids: Vec<&str> = definitions.iter().map(|one| one.id.as_str()).collect();
    ids.join(", ")
}

fn flow(definition: &Definition) -> anyhow::Result<Flow> {
    let Program::Steps(steps) = &definition.program else {
        bail!("the definition has no steps");
    };
    language::parse(&steps.value()).map_err(|problems| {
        let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
        anyhow::anyhow!("{}", all.join("\n"))
    })
}

/// The places of tasks that need a server.
fn outside(flow: &Flow) -> Vec<String> {
    let tasks = flow.lists.values().flat_map(|list| list.iter());
    let outside = tasks.filter(|task| {
        matches!(
            task.kind,
            Kind::Call(Call::Activity(_))
                | Kind::Run(Run {
                    process: Process::Workflow { .. },
                    ..
                })
        )
    });
    outside
        .map(|task| format!("`{}`", task.path.trim_start_matches('/')))
        .collect()
}

/// Does the machine's effects until the run has ended.
async fn interpret(
    mut machine: Machine,
    effects: &mut LocalEffects,
    events: &mut Events,
    log: RunLog,
) -> Result<Value, Fault> {
    loop {
        let turn = machine.advance(Timestamp::now());
        for entry in &turn.log {
            log.print(&Message::Entry(entry));
        }
        for command in turn.commands {
            match command {
                Command::Start {
                    id,
                    effect,
                    options,
                    ..
                } => {
                    effects.start(id, effect, &options);
                }
                Command::Cancel { id } => effects.cancel(id),
            }
        }
        match turn.status {
            Status::Completed(output) => return Ok(output),
            Status::Faulted(fault) => return Err(fault),
            // Other tasks run meanwhile: time limits pass, and calls end.
            Status::Yielded => {
                tokio::task::yield_now().await;
                while let Some((id, result)) = effects.ready() {
                    machine.complete(id, result);
                }
            }
            // An event is delivered as soon as a task listens.
            Status::Waiting | Status::Held => {
                if machine.listens()
                    && let Some(event) = events.next()
                {
                    deliver(&mut machine, event, log);
                } else {
                    match effects.next().await {
                        Some((id, result)) => machine.complete(id, result),
                        None => return Err(no_more_events(&machine)),
                    }
                }
            }
        }
    }
}

/// Delivers an event to the run, and prints what became of the event.
fn deliver(machine: &mut Machine, event: Value, log: RunLog) {
    log.print(&Message::Receives(&event));
    match machine.deliver(event) {
        Delivery::Taken => {}
        Delivery::Unheard => log.print(&Message::Drops("no step listens for its type")),
        Delivery::Full(_) => log.print(&Message::Drops("too many events wait")),
    }
}

/// The error of a run that waits for an event while no effect is running and no more events
/// come.
fn no_more_events(machine: &Machine) -> Fault {
    let detail =
        "the run waits for an event, and no more come; hint: --events FILE gives the run events";
    let fault = Standard::Runtime.fault(detail);
    Fault {
        instance: machine.current().first().map(|path| (*path).to_owned()),
        ..fault
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::args::StepArgs;

    /// The flags alone.
    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        steps: StepArgs,
    }

    async fn exec(
        text: &str,
        input: Value,
        flags: &[&str],
    ) -> anyhow::Result<Result<Value, Fault>> {
        let folder = tempfile::tempdir()?;
        let file: PathBuf = folder.path().join("steps.yaml");
        std::fs::write(&file, text)?;
        let steps = Flags::try_parse_from([&["exec"], flags].concat())?.steps;
        let opened = Arc::new(steps.open()?);
        let (definition, flow, input) = chosen(&ExecArgs {
            file,
            input: Some(input),
            id: None,
            events: None,
            steps,
        })?;
        let began = Timestamp::now();
        let log = RunLog::new(began);
        let mut effects = LocalEffects::new(opened, definition.id, log);
        let about = About {
            id: "x".to_owned(),
            source: "/x".to_owned(),
            runtime: Value::Null,
            chain: None,
        };
        let machine = Machine::start(Arc::new(flow), about, input, began);
        let ended = interpret(machine, &mut effects, &mut Events::default(), log).await;
        effects.stop().await;
        Ok(ended)
    }

    #[tokio::test]
    async fn steps_run_without_a_server() {
        let steps = "do:\n  - rest: { wait: { milliseconds: 5 } }\n  - add: { set: { n: '${ .n + 1 }' } }\n";
        let output = exec(steps, json!({ "n": 1 }), &[]).await.unwrap();
        assert_eq!(output, Ok(json!({ "n": 2 })));
        let fails = "do:\n  - add: { set: { n: '${ .n + 1 }' } }\n";
        let fault = exec(fails, json!({ "n": {} }), &[])
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(fault.instance.as_deref(), Some("/do/0/add"));
    }

    #[tokio::test]
    async fn what_needs_a_server_is_refused_before_it_begins() {
        let steps = "do:\n  - rest: { do: [{ ask: { call: activity, with: { name: A, task_queue: q } } }] }\n";
        let error = exec(steps, Value::Null, &[]).await.unwrap_err().to_string();
        assert!(error.contains("`do/0/rest/do/0/ask`"), "{error}");
        let wrong = exec("do: [broken", Value::Null, &[]).await.unwrap_err();
        assert!(wrong.to_string().contains("steps.yaml:1"), "{wrong}");
    }

    #[test]
    fn the_definition_is_chosen_by_its_id_with_the_input_of_its_schedule() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("several.yaml");
        let set = |text: &str| format!("do: [{{ a: {{ set: {text} }} }}]\n");
        let (good, bad) = (set("{ x: 1 }"), set("{ x: \"${ .a + }\" }"));
        let text = format!(
            "id: one\nschedule: {{ every: 1h, input: {{ n: 5 }} }}\n{good}---\nid: two\n{good}"
        );
        let choose = |id: Option<&str>, input: Option<Value>| {
            let chosen = chosen(&ExecArgs {
                file: file.clone(),
                input,
                id: id.map(|id| id.parse().unwrap()),
                events: None,
                steps: StepArgs::default(),
            });
            chosen.map(|(definition, _, input)| (definition.id.to_string(), input))
        };
        std::fs::write(&file, &text).unwrap();
        let scheduled = choose(Some("one"), None).unwrap();
        assert_eq!(scheduled, ("one".to_owned(), json!({ "n": 5 })));
        let chosen = choose(Some("one"), Some(Value::Null)).unwrap();
        assert_eq!(chosen.1, Value::Null);
        let error = choose(None, None).unwrap_err().to_string();
        assert!(error.ends_with("`--id`: one, two"), "{error}");
        let error = choose(Some("three"), None).unwrap_err().to_string();
        assert!(error.ends_with("there are: one, two"), "{error}");
        // One that is broken takes no other with it.
        std::fs::write(&file, format!("{text}---\nid: three\n{bad}")).unwrap();
        assert_eq!(choose(Some("two"), None).unwrap().0, "two");
        for id in [None, Some("three")] {
            let error = choose(id, None).unwrap_err().to_string();
            assert!(error.contains("several.yaml:9:"), "{error}");
        }
    }

    /// A server that answers once.
    async fn service() -> anyhow::Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n{\"n\":3}";
            stream.write_all(answer).await
        });
        Ok(address)
    }

    #[tokio::test]
    async fn services_are_called_and_commands_run_as_the_flags_allow() {
        let address = service().await.unwrap();
        let steps = format!(
            "do:\n  - ask: {{ call: http, with: {{ method: get, endpoint: 'http://{address}/n' }} }}\n  - say: {{ run: {{ shell: {{ command: echo, arguments: ['${{ \"\\(.n)\" }}'] }} }} }}\n"
        );
        let refused = exec(&steps, Value::Null, &[]).await.unwrap().unwrap_err();
        assert_eq!(refused.instance.as_deref(), Some("/do/0/ask"), "{refused}");
        let flags = ["--http-allow", &address, "--shell-allow", "echo=/bin/echo"];
        let output = exec(&steps, Value::Null, &flags).await.unwrap();
        assert_eq!(output, Ok(json!("3\n")));
    }

    /// The timeout of the loop passes, and another branch of a race wins.
    #[tokio::test]
    async fn a_loop_without_an_end_does_not_stop_timers() {
        let again = "{ do: [{ again: { set: { x: 1 }, then: again } }] }";
        let limited = format!("timeout: {{ after: PT0.2S }}\ndo:\n  - spin: {again}\n");
        let fault = exec(&limited, Value::Null, &[]).await.unwrap().unwrap_err();
        assert!(fault.kind.ends_with("/errors/timeout"), "{fault}");
        let race = format!(
            "do:\n  - race:\n      fork:\n        compete: true\n        branches:\n          - spin: {again}\n          - rest: {{ wait: {{ milliseconds: 50 }} }}\n"
        );
        let ended = exec(&race, json!({ "n": 1 }), &[]).await.unwrap();
        assert_eq!(ended, Ok(json!({ "n": 1 })));
    }

    /// The losing branch of a race ends, and so do its processes.
    #[tokio::test]
    async fn the_command_of_a_losing_branch_is_killed() {
        let steps = "
do:
  - race:
      fork:
        compete: true
        branches:
          - slow: { run: { shell: { command: sleep, arguments: ['600'] } } }
          - fast: { wait: { milliseconds: 50 } }
";
        let flags = ["--shell-allow", "sleep=/bin/sleep"];
        let began = std::time::Instant::now();
        let ended = exec(steps, json!({ "n": 1 }), &flags).await.unwrap();
        assert_eq!(ended, Ok(json!({ "n": 1 })));
        assert!(began.elapsed() < std::time::Duration::from_mins(1));
    }
}
