//! The page of a definition shows the steps at which runs are.

use almanac_tests::{Project, SOON, Scheduler, on_one_scheduler, wait_for};
use serde_json::Value;

use super::{at, start};
use crate::run_definition::{event, send_event};

on_one_scheduler!(runs_are_shown_at_their_steps,);

fn steps(last: &str) -> String {
    format!(
        r"
schedule: {{ every: 365d }}
do:
  - hear: {{ listen: {{ to: {{ one: {{ with: {{ type: go }} }} }} }} }}
  - both:
      fork:
        branches:
          - slow: {{ wait: {{ hours: 1 }} }}
          - many: {{ for: {{ each: item, in: '${{ [1, 2] }}' }}, do: [rest: {{ wait: {{ hours: 2 }} }}] }}
  - last: {{ set: {{ is: {last} }} }}
"
    )
}

/// The paths of the steps with runs as their boxes are named, in the order of the drawing, and
/// the words at them.
fn marked(page: &str) -> Vec<(String, String)> {
    let steps = page.split("<section class=\"sec\" id=\"steps\">").nth(1);
    let list = steps.and_then(|steps| steps.split("<div class=\"vh\">").nth(1));
    let items = list.unwrap_or_default().split("<li>").skip(1);
    items
        .filter_map(|item| {
            let (name, rest) = item.split_once(": ")?;
            let (_, words) = rest.split_once(" (")?;
            let words = words.split([',', ')']).next()?;
            Some((name.to_owned(), words.to_owned()))
        })
        .collect()
}

async fn runs_are_shown_at_their_steps(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("steps.yaml", &steps("before"))?;
    let worker = project.worker().start().await?;
    let shown = async |wanted: &[(&str, &str)]| -> anyhow::Result<String> {
        wait_for(&format!("{wanted:?}"), SOON, || async {
            let (status, page) = worker.get("/definitions/steps").await?;
            anyhow::ensure!(status == 200, "{status} {page}");
            let found = marked(&page);
            let found = found
                .iter()
                .map(|(name, words)| (name.as_str(), words.as_str()));
            Ok(found.eq(wanted.iter().copied()).then_some(page))
        })
        .await
    };
    let page = shown(&[]).await?;
    assert!(page.contains("<svg class=\"steps\""), "{page}");

    let first = start(&project, "steps", Value::Null).await?;
    start(&project, "steps", Value::Null).await?;
    at(&project, &first, "do/0/hear").await?;
    let page = shown(&[("hear", "2 runs here")]).await?;
    assert!(page.contains("2 live runs"), "{page}");

    // The step that contains the branches has no mark of its own.
    send_event(&project, &first, &event("go", "1", &Value::Null)).await?;
    at(&project, &first, "branches/1/many/do/0/rest").await?;
    let one = "1 run here";
    let page = shown(&[("hear", one), ("slow", one), ("rest", one)]).await?;
    assert_eq!(page.matches("step-box on").count(), 3, "{page}");

    // The drawing has the steps of the file as it is now.
    project.write("steps.yaml", &steps("after"))?;
    worker.sync().await?;
    let page = shown(&[]).await?;
    assert!(page.contains("2 runs use other versions"), "{page}");
    assert!(!page.contains("at steps that are not known"), "{page}");
    Ok(())
}
