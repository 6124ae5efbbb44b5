//! The five steps by hand: a Rust workflow as one writes it with the SDK, and
//! the activities that both sides call.

#![expect(clippy::unused_async, reason = "the macro wants async functions")]

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions, Url};
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::runtime::PollerBehavior;
use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use temporalio_workflow::{ActivityOptions, WorkflowContext, WorkflowResult};

/// Number of polls of each kind that wait at the server: as many as Almanac's.
const POLLS: usize = 5;

/// The same in Almanac's language.
pub(super) const STEPS: &str = r"
do:
  - total: { set: { total: '${ .price * .count }', id: '${ .id }' } }
  - charge: { call: activity, with: { name: charge, task_queue: QUEUE, arguments: ['${ { id, amount: .total } }'] } }
  - size:
      switch:
        - large: { when: .amount > 100, then: review }
        - small: { then: ship }
  - review: { set: { id: '${ .id }', amount: '${ .amount }', reviewed: true } }
  - ship: { call: activity, with: { name: ship, task_queue: QUEUE, arguments: ['${ . }'] } }
";

/// An order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    id: u32,
    price: u32,
    count: u32,
}

/// The input of both.
pub(super) fn order(number: usize) -> Value {
    let number = u32::try_from(number).unwrap_or_default();
    json!({ "id": number, "price": 10 + number % 20, "count": 8 })
}

/// Both answer at once.
#[derive(Debug)]
pub(crate) struct Shop;

#[activities]
impl Shop {
    #[activity(name = "charge")]
    pub(crate) async fn charge(
        _ctx: ActivityContext,
        order: Value,
    ) -> Result<Value, ActivityError> {
        Ok(order)
    }

    #[activity(name = "ship")]
    pub(crate) async fn ship(_ctx: ActivityContext, order: Value) -> Result<Value, ActivityError> {
        Ok(order)
    }
}

/// The workflow.
#[workflow]
#[derive(Debug)]
pub(crate) struct ByHand {
    order: Order,
}

#[workflow_methods]
impl ByHand {
    #[init]
    fn new(_ctx: &temporalio_workflow::WorkflowContextView, order: Order) -> Self {
        Self { order }
    }

    #[run]
    pub(crate) async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<Value> {
        let order = ctx.state(|s| s.order.clone());
        let queue = activities(ctx.task_queue());
        let options = || {
            ActivityOptions::with_start_to_close_timeout(Duration::from_mins(5))
                .task_queue(queue.clone())
                .build()
        };
        let total = order.price * order.count;
        let asked = json!({ "id": order.id, "amount": total });
        let charged = ctx.execute_activity(Shop::charge, asked, options()).await?;
        let shipped = if charged["amount"].as_u64() > Some(100) {
            json!({ "id": charged["id"], "amount": charged["amount"], "reviewed": true })
        } else {
            charged
        };
        Ok(ctx.execute_activity(Shop::ship, shipped, options()).await?)
    }
}

/// The queue of the activities: not that of the workflow, as with Almanac, whose
/// steps call other workers. The SDK would start its own worker's at once.
pub(super) fn activities(queue: &str) -> String {
    format!("{queue}-activities")
}

/// A worker of the workflow and the activities, on a thread of this process.
pub(super) struct HandWritten {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HandWritten {
    pub(super) fn start(address: &str, queue: &str) -> anyhow::Result<Self> {
        let (address, queue) = (address.to_owned(), queue.to_owned());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let ended = runtime
                .map_err(anyhow::Error::from)
                .and_then(|runtime| runtime.block_on(serve(&address, &queue, stopped, &ready)));
            if let Err(error) = ended {
                eprintln!("the hand-written worker ended: {error:#}");
            }
        });
        is_ready.recv().context("the worker did not start")?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for HandWritten {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn serve(
    address: &str,
    queue: &str,
    stopped: tokio::sync::oneshot::Receiver<()>,
    ready: &mpsc::Sender<()>,
) -> anyhow::Result<()> {
    let runtime = Runtime::from_current_tokio(temporalio_sdk::runtime::RuntimeOptions::default())?;
    let target = Url::parse(&format!("http://{address}"))?;
    let connection = Connection::connect(ConnectionOptions::new(target).build()).await?;
    let client = Client::new(connection, ClientOptions::new("default").build())?;
    let workflows = WorkerOptions::new(queue)
        .register_workflow::<ByHand>()?
        .workflow_task_poller_behavior(PollerBehavior::SimpleMaximum(POLLS))
        .build();
    let shop = WorkerOptions::new(activities(queue))
        .register_activities(Shop)
        .activity_task_poller_behavior(PollerBehavior::SimpleMaximum(POLLS))
        .build();
    let mut workflows = Worker::new(&runtime, client.clone(), workflows)?;
    let mut shop = Worker::new(&runtime, client, shop)?;
    let shutdowns = [workflows.shutdown_handle(), shop.shutdown_handle()];
    ready.send(())?;
    let stopping = async {
        drop(stopped.await);
        for shutdown in &shutdowns {
            shutdown();
        }
    };
    let (workflows, shop, ()) = tokio::join!(workflows.run(), shop.run(), stopping);
    workflows?;
    Ok(shop?)
}
