//! Almanac with a workflow and an activity of our own.

use std::process::ExitCode;
use std::time::Duration;

use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::{ActivityOptions, WorkflowContext, WorkflowResult};

/// The activities. They share this value, which may hold a client or a pool of connections.
struct Greetings {
    word: &'static str,
}

#[activities]
impl Greetings {
    /// Returns a greeting. A step calls it by this name: see definitions/welcome.yaml.
    #[activity(name = "greet")]
    async fn greet(
        self: std::sync::Arc<Self>,
        _: ActivityContext,
        name: String,
    ) -> Result<String, ActivityError> {
        Ok(format!("{}, {name}", self.word))
    }
}

/// A workflow that a schedule starts: see definitions/morning.yaml.
#[workflow]
#[derive(Default)]
struct Morning;

#[workflow_methods]
impl Morning {
    #[run(name = "Morning")]
    async fn run(ctx: &mut WorkflowContext<Self>, name: String) -> WorkflowResult<String> {
        let limit = ActivityOptions::start_to_close_timeout(Duration::from_secs(10));
        let greeting = ctx.execute_activity(Greetings::greet, name, limit).await?;
        Ok(format!("{greeting}. Good morning!"))
    }
}

fn main() -> ExitCode {
    almanac::builder()
        .register_activities(Greetings { word: "Hello" })
        .register_workflow::<Morning>()
        .main()
}
