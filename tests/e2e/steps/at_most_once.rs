//! A call that must not be made twice is made once, also if the worker ends.

use almanac_tests::{Project, SOON, Scheduler, eventually, on_one_scheduler};
use serde_json::{Value, json};

use super::external_calls::worker;
use super::{failure, output, problem, start};
use crate::web::Web;

on_one_scheduler!(
    a_shutdown_repeats_no_call_that_must_be_made_once,
    a_short_limit_repeats_no_call_that_must_be_made_once,
    a_retry_of_the_definition_is_the_only_one,
);

const POST: &str = "
do:
  - guarded:
      try: [{ order: { call: http, with: { method: post, endpoint: 'http://WEB/slow' } } }]
      catch: { do: [{ say: { set: { said: '${ $error.detail }' } } }] }
";

const COMMAND: &str = "
do:
  - guarded:
      try: [{ deploy: { run: { shell: { command: sh, arguments: ['-c', 'echo x >> FILE; sleep 60'] } } } }]
      catch: { do: [{ say: { set: { said: '${ $error.detail }' } } }] }
";

const SHORT: &str = "
do:
  - guarded:
      try:
        - order:
            call: http
            with: { method: post, endpoint: 'http://WEB/slow' }
            metadata: { temporal: { start_to_close: 1s } }
      catch: { do: [{ say: { set: { said: '${ $error.detail }' } } }] }
";

const ALONE: &str = "
do:
  - ask: { call: http, with: { method: get, endpoint: 'http://WEB/alone' } }
";

const RETRIED: &str = "
do:
  - again:
      try:
        - both:
            fork:
              branches:
                - ask: { call: http, with: { method: get, endpoint: 'http://WEB/retried' } }
      catch: { retry: { delay: { milliseconds: 10 }, limit: { attempt: { count: 1 } } } }
";

/// The worker waits for the calls until its limit. Then their steps fail, because their results
/// are not known.
async fn a_shutdown_repeats_no_call_that_must_be_made_once(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let web = Web::start(|_| None).await?;
    let file = project.folder().join("done");
    project.write("post.yaml", &POST.replace("WEB", web.address()))?;
    let command = COMMAND.replace("FILE", &file.display().to_string());
    project.write("command.yaml", &command)?;
    let worker = worker(&project, &web)?.flag("--shutdown-timeout", "8s");
    let mut worker = worker.start().await?;
    let post = start(&project, "post", Value::Null).await?;
    let command = start(&project, "command", Value::Null).await?;
    eventually("both to be under way", || async {
        Ok(web.asked().len() == 1 && file.exists())
    })
    .await?;
    worker.terminate(SOON)?;
    worker.restart().await?;
    for id in [&post, &command] {
        let result = output(&project, id).await?;
        let detail = result["said"].to_string();
        assert!(detail.contains("may have been done"), "{detail}");
    }
    assert_eq!(web.asked().len(), 1);
    assert_eq!(std::fs::read_to_string(&file)?, "x\n");
    Ok(())
}

async fn a_short_limit_repeats_no_call_that_must_be_made_once(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let web = Web::start(|_| None).await?;
    project.write("short.yaml", &SHORT.replace("WEB", web.address()))?;
    let _worker = worker(&project, &web)?.start().await?;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(start(&project, "short", json!({})).await?);
    }
    for id in &runs {
        let result = output(&project, id).await?;
        assert!(result["said"].is_string(), "{result}");
    }
    // On a slow machine the limit may be over before a call is made.
    let asked = web.asked().len();
    assert!((1..=3).contains(&asked), "{asked} calls of 3 runs");
    Ok(())
}

/// Without one, Temporal asks again what may be asked again.
async fn a_retry_of_the_definition_is_the_only_one(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let web = Web::start(|_| Some((503, json!({})))).await?;
    project.write("alone.yaml", &ALONE.replace("WEB", web.address()))?;
    project.write("retried.yaml", &RETRIED.replace("WEB", web.address()))?;
    let _worker = worker(&project, &web)?.start().await?;
    for (definition, times) in [("alone", 3), ("retried", 2)] {
        let id = start(&project, definition, json!({})).await?;
        let error = failure(&project, &id).await?;
        let (_, error) = problem(error)?;
        assert!(error["detail"].to_string().contains("503"), "{error}");
        let target = format!("/{definition}");
        let asked = web.asked();
        let asked = asked.iter().filter(|request| request.target == target);
        assert_eq!(asked.count(), times, "{definition}");
    }
    Ok(())
}
