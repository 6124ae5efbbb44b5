//! `almanac next`: the next fire times, of a file offline, of an id from Temporal.

use std::path::Path;
use std::process::ExitCode;

use almanac_workflows::names::DefinitionId;
use almanac_workflows::times::Spec;
use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde::Serialize;

use super::validate::definitions_of;
use super::{Remote, local};
use crate::args::NextArgs;
use crate::console::Page;

/// The next times of one definition.
#[derive(Debug, Serialize)]
struct Next {
    definition: DefinitionId,
    /// It would fire then, but it is paused.
    paused: bool,
    timezone: String,
    times: Vec<Timestamp>,
    /// There are no more.
    exhausted: bool,
}

impl Next {
    /// `actions`: how many it starts at most, where they are limited.
    fn of(
        definition: DefinitionId,
        paused: bool,
        spec: &Spec,
        actions: Option<u64>,
        args: &NextArgs,
    ) -> Self {
        let from = args.from.unwrap_or_else(Timestamp::now);
        let count = usize::from(args.count);
        let left = actions.map_or(count, |left| usize::try_from(left).unwrap_or(count));
        let found = spec.fire_times(from, count.min(left));
        Self {
            definition,
            paused,
            timezone: spec.timezone.clone(),
            times: found.times,
            exhausted: found.exhausted || left < count,
        }
    }
}

pub(super) async fn run(args: &NextArgs) -> anyhow::Result<ExitCode> {
    let path = Path::new(&args.what);
    let all = if path.is_file() {
        of_file(path, args)?
    } else {
        vec![of_live(args).await?]
    };
    super::show(args.target.format, &all, |all| {
        let mut page = Page::default();
        for next in all {
            text(next, &mut page);
        }
        page
    })?;
    Ok(ExitCode::SUCCESS)
}

fn of_file(path: &Path, args: &NextArgs) -> anyhow::Result<Vec<Next>> {
    let all: Vec<_> = definitions_of(path)?
        .into_iter()
        .filter_map(|definition| {
            let schedule = definition.schedule?;
            let paused = !(definition.enabled && schedule.enabled);
            Some(Next::of(
                definition.id,
                paused,
                &schedule.spec,
                schedule.max_actions.map(u64::from),
                args,
            ))
        })
        .collect();
    if all.is_empty() {
        bail!("no definition in {} has a schedule", path.display());
    }
    Ok(all)
}

async fn of_live(args: &NextArgs) -> anyhow::Result<Next> {
    let id = args
        .what
        .parse()
        .with_context(|| format!("`{}` is no file, and no definition's id", args.what))?;
    let project = &args.target.project;
    let remote = Remote::of(&args.target).await?;
    let hint = format!("there is no file `{}` either", args.what);
    let hint = looks_like_a_file(&args.what).then_some(hint.as_str());
    let live = remote.ours(project, &id, hint).await?;
    Ok(Next::of(
        id,
        live.values.paused,
        &live.values.spec,
        live.remaining_actions,
        args,
    ))
}

/// Whether a definition's id is more probably the name of a file.
fn looks_like_a_file(what: &str) -> bool {
    let path = Path::new(what);
    path.is_dir()
        || path
            .extension()
            .is_some_and(|it| it == "yaml" || it == "yml")
}

fn text(next: &Next, page: &mut Page) {
    let paused = if next.paused { ", paused" } else { "" };
    page.line(format!("{} ({}{paused})", next.definition, next.timezone));
    for time in &next.times {
        page.line(format!("  {}", local(*time, &next.timezone)));
    }
    if next.exhausted {
        page.line("  no more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_schedules_zone_and_in_utc() {
        let spec = Spec {
            timezone: "Europe/Berlin".to_owned(),
            ..Spec::default()
        };
        let next = Next {
            definition: "a".parse().unwrap(),
            paused: true,
            timezone: spec.timezone,
            times: vec!["2026-07-01T00:30:00Z".parse().unwrap()],
            exhausted: true,
        };
        let mut page = Page::default();
        text(&next, &mut page);
        insta::assert_snapshot!(page, @r"
        a (Europe/Berlin, paused)
          Wed 2026-07-01 02:30:00 +02:00  (2026-07-01 00:30:00 UTC)
          no more
        ");
    }
}
