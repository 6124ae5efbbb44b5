//! Events of `emit` that no stream stores: they start runs in the activity of the step.

use std::sync::Arc;

use almanac_core::record::{DeliveryState, DeliveryVia, delivery_text};
use almanac_core::routing::Maker;
use almanac_events::CloudEvent;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use super::{Arrival, EventRouter};
use crate::schedules::Schedules;
use crate::steps::{EmitCall, EventReceiver, StepError};

/// Starts the runs of emitted events.
#[derive(Debug)]
pub struct EmittedEvents {
    router: Arc<EventRouter>,
    schedules: Schedules,
}

impl EmittedEvents {
    /// Starts runs by `router`, with requests of `schedules`.
    pub fn new(router: Arc<EventRouter>, schedules: Schedules) -> Self {
        Self { router, schedules }
    }

    async fn start(&self, event: Value, call: EmitCall) -> Result<(), StepError> {
        if !self.router.is_ready() {
            let why = "the folders of definitions have not been read completely yet";
            return Err(StepError::passing(why.to_owned()));
        }
        let event = CloudEvent::from_json(event)
            .map_err(|error| StepError::configuration(format!("the event: {error}")))?;
        let event = Arc::new(event.into_json());
        let arrival = Arrival {
            delivery: delivery_text(&call.delivery),
            at: Timestamp::now(),
            via: DeliveryVia::Emit,
            made_by: Maker::Other,
            by: delivery_text(&call.by),
            attempt: call.attempt,
        };
        let delivery = self.router.deliver(&self.schedules, &event, arrival).await;
        // A trigger that refuses the event is no error of the run that emits the event: the run
        // does not know who takes it. The delivery and a warning in the log have the reason.
        if delivery.state == DeliveryState::Waiting {
            let reason = delivery.reason.unwrap_or_default();
            return Err(StepError::passing(format!(
                "the runs of the event could not be started: {reason}"
            )));
        }
        Ok(())
    }
}

impl EventReceiver for EmittedEvents {
    fn receive(&self, event: Value, call: EmitCall) -> BoxFuture<'_, Result<(), StepError>> {
        self.start(event, call).boxed()
    }
}
