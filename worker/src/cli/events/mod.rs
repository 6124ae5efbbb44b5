//! `almanac events`: lists, shows, replays and sends events through the HTTP API of a worker.

mod client;
mod text;

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use almanac_base::percent::encode;
use almanac_core::record::{Delivery, DeliveryState, EventKey};
use almanac_events::{CloudEvent, read_json};
use anyhow::Context as _;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::client::{Answer, WorkerClient};
use crate::args::{EventArgs, EventsArgs, EventsCmd, SendEventArgs, WorkerTarget};
use crate::backoff::random;
use crate::failure::Failure;

/// Maximum size of the data of an event, in bytes. A worker accepts less.
const DATA_LIMIT: usize = 1024 * 1024;

pub(super) async fn run(args: EventsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        EventsCmd::List(args) => list(&args.target, args.state, args.limit).await,
        EventsCmd::Dead(args) => list(&args.target, Some(DeliveryState::Dead), args.limit).await,
        EventsCmd::Show(args) => show(&args).await,
        EventsCmd::Replay(args) => replay(&args).await,
        EventsCmd::Send(args) => send(args).await,
    }
}

/// A page of `GET /api/v1/events`.
#[derive(Debug, Deserialize)]
struct DeliveryPage {
    deliveries: Vec<Value>,
    total: u64,
    next_page_token: Option<String>,
}

async fn list(
    target: &WorkerTarget,
    state: Option<DeliveryState>,
    limit: u16,
) -> anyhow::Result<ExitCode> {
    let client = WorkerClient::new(target)?;
    let (mut found, mut token) = (Vec::new(), None::<String>);
    let total = loop {
        let left = usize::from(limit) - found.len();
        let state = state.map(|state| format!("&state={}", state.as_str()));
        let after = token.map(|token| format!("&page_token={}", encode(&token)));
        let (state, after) = (state.unwrap_or_default(), after.unwrap_or_default());
        let path = format!("/api/v1/events?limit={left}{state}{after}");
        let page: DeliveryPage = read(client.get(&path).await?)?;
        found.extend(page.deliveries.into_iter().take(left));
        token = page.next_page_token;
        if token.is_none() || found.len() >= usize::from(limit) {
            break page.total;
        }
    };
    let deliveries: Vec<Delivery> = read(Value::Array(found.clone()))?;
    super::print(target.format, &found, |_| {
        text::list(&deliveries, total, state, Timestamp::now())
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn show(args: &EventArgs) -> anyhow::Result<ExitCode> {
    let client = WorkerClient::new(&args.target)?;
    let found = client.get(&path_of(&args.delivery)).await?;
    let delivery: Delivery = read(found.clone())?;
    super::print(args.target.format, &found, |found| {
        let event = found.get("event_json").filter(|event| !event.is_null());
        text::show(&delivery, event, Timestamp::now())
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn replay(args: &EventArgs) -> anyhow::Result<ExitCode> {
    let client = WorkerClient::new(&args.target)?;
    let path = format!("{}/replay", path_of(&args.delivery));
    let answer = client.post(&path, None).await?;
    finish(&args.target, None, answer)
}

async fn send(args: SendEventArgs) -> anyhow::Result<ExitCode> {
    let client = WorkerClient::new(&args.target)?;
    let id = args
        .id
        .unwrap_or_else(|| format!("{:016x}{:016x}", random(), random()));
    let time = args.time.unwrap_or_else(Timestamp::now);
    let mut event = Map::new();
    let mut set = |name: &str, value: Value| event.insert(name.to_owned(), value);
    set("specversion", "1.0".into());
    set("id", id.into());
    set("source", args.source.into());
    set("type", args.kind.into());
    set("time", time.to_string().into());
    if let Some(subject) = args.subject {
        set("subject", subject.into());
    }
    if let Some(given) = args.data {
        set("datacontenttype", "application/json".into());
        set("data", data(&given)?);
    }
    let event = CloudEvent::from_json(Value::Object(event)).context("not an event")?;
    let key = EventKey::of(event.as_json());
    let answer = client.post("/events", Some(event.as_json().to_string()));
    finish(&args.target, Some(&key), answer.await?)
}

/// Prints what followed from an event, and returns the exit code. `sent` is the event, if the
/// command made it.
fn finish(
    target: &WorkerTarget,
    sent: Option<&EventKey>,
    answer: Answer,
) -> anyhow::Result<ExitCode> {
    let (deliveries, problem) = match answer {
        Answer::Done(body) => {
            let deliveries = body.and_then(|mut body| body.get_mut("deliveries").map(Value::take));
            (deliveries.unwrap_or_else(|| json!([])), None)
        }
        Answer::Problem { detail, deliveries } => (deliveries, Some(detail)),
    };
    let known: Vec<Delivery> = match &deliveries {
        Value::Null => Vec::new(),
        all => read(all.clone())?,
    };
    let data = match sent {
        Some(sent) => json!({ "event": sent, "deliveries": deliveries }),
        None => json!({ "deliveries": deliveries }),
    };
    super::print(target.format, &data, |_| {
        text::outcome(sent, &known, problem.is_none())
    })?;
    match problem {
        None => Ok(ExitCode::SUCCESS),
        Some(detail) => Err(Failure::new(detail).into()),
    }
}

fn path_of(delivery: &str) -> String {
    format!("/api/v1/events/{}", encode(delivery))
}

fn read<T: for<'de> Deserialize<'de>>(value: Value) -> anyhow::Result<T> {
    serde_json::from_value(value).context("the worker's answer cannot be read")
}

/// The data of an event, from the value of the flag.
fn data(given: &str) -> anyhow::Result<Value> {
    let text = match given.strip_prefix('@') {
        Some(file) => {
            read_within(Path::new(file), DATA_LIMIT).with_context(|| format!("--data @{file}"))?
        }
        None if given == "-" => {
            read_all(std::io::stdin(), DATA_LIMIT).context("--data -: standard input")?
        }
        None => given.to_owned(),
    };
    read_json(text.as_bytes()).map_err(|why| {
        let failure = Failure::new(format!("--data {why}"));
        let hint = r#"quote JSON for the shell: --data '{"amount": 5}' or --data '"text"'"#;
        failure.hint(hint).into()
    })
}

/// The text of a file of at most `limit` bytes.
fn read_within(file: &Path, limit: usize) -> anyhow::Result<String> {
    read_all(std::fs::File::open(file)?, limit)
}

fn read_all(from: impl std::io::Read, limit: usize) -> anyhow::Result<String> {
    let mut text = String::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    from.take(most.saturating_add(1))
        .read_to_string(&mut text)?;
    if text.len() > limit {
        anyhow::bail!("larger than {limit} bytes");
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
