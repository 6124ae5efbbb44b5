//! `almanac next`: prints the next fire times, computed offline for a file, or from Temporal
//! for an id.

use std::path::Path;
use std::process::ExitCode;

use almanac_activities::schedules::RequestError;
use almanac_base::names::DefinitionId;
use almanac_core::schedule::Live;
use almanac_times::{FireTimes, Rest, Spec, ZoneDifference};
use anyhow::{Context as _, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::Remote;
use super::validate::definitions_of;
use crate::args::NextArgs;
use crate::console::{self, Cell, Page, Tone};
use crate::time_text::in_zone;

/// The next fire times of a definition.
#[derive(Debug, Serialize)]
struct Next {
    definition: DefinitionId,
    /// `true` if the schedule is paused, so that it does not fire at these times.
    paused: bool,
    /// The times in words.
    summary: String,
    timezone: String,
    times: Vec<Timestamp>,
    /// `true` if there are no more times after these.
    exhausted: bool,
    /// `true` if the search for later times was given up, because it takes too many steps.
    #[serde(rename = "unknown")]
    is_unknown: bool,
    /// The first fire time for which the server's time zone data differ from Almanac's.
    #[serde(skip_serializing_if = "Option::is_none")]
    zone_difference: Option<ZoneDifference>,
}

impl Next {
    /// The fire times of a definition, computed by Almanac. `actions` is the maximum number of
    /// runs, if they are limited.
    fn of_definition(
        definition: DefinitionId,
        paused: bool,
        spec: &Spec,
        actions: Option<u64>,
        args: &NextArgs,
    ) -> Self {
        let (from, count) = asked(actions, args);
        let found = spec.times_after(from, count);
        Self::of(definition, paused, spec, found, count, args)
    }

    fn of(
        definition: DefinitionId,
        paused: bool,
        spec: &Spec,
        found: FireTimes,
        count: usize,
        args: &NextArgs,
    ) -> Self {
        Self {
            definition,
            paused,
            summary: spec.words(None),
            timezone: spec.timezone.clone(),
            times: found.times,
            exhausted: found.rest == Rest::Nothing || count < usize::from(args.count),
            is_unknown: found.rest == Rest::Unknown,
            zone_difference: None,
        }
    }
}

/// The start of the range, and the number of times.
fn asked(actions: Option<u64>, args: &NextArgs) -> (Timestamp, usize) {
    let from = args.from.unwrap_or_else(Timestamp::now);
    let count = usize::from(args.count);
    let left = actions.map_or(count, |left| usize::try_from(left).unwrap_or(count));
    (from, count.min(left))
}

pub(super) async fn run(args: &NextArgs) -> anyhow::Result<ExitCode> {
    let path = Path::new(&args.what);
    let all = if path.is_file() {
        of_file(path, args)?
    } else {
        vec![of_live(args).await?]
    };
    super::print(args.target.format, &all, |all| {
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
            Some(Next::of_definition(
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
    let id = args.what.parse().with_context(|| {
        format!(
            "`{}` is neither a file nor the id of a definition",
            args.what
        )
    })?;
    let project = &args.target.project;
    let remote = Remote::of(&args.target).await?;
    let hint = format!("there is no file `{}` either", args.what);
    let hint = looks_like_a_file(&args.what).then_some(hint.as_str());
    let live = remote.managed_schedule(project, &id, hint).await?;
    let spec = &live.values.spec;
    let (from, count) = asked(live.remaining_actions, args);
    let found = if live.values.paused {
        FireTimes::default()
    } else {
        served(&remote, &live, from, count).await?
    };
    let compared = remote.schedules.zone_difference(&live.schedule, spec, from);
    let zone_difference = compared.await.unwrap_or_default();
    Ok(Next {
        zone_difference,
        ..Next::of(id, live.values.paused, spec, found, count, args)
    })
}

/// The server's own fire times, or computed ones if the server gives none.
async fn served(
    remote: &Remote,
    live: &Live,
    from: Timestamp,
    count: usize,
) -> anyhow::Result<FireTimes> {
    let spec = &live.values.spec;
    let asked = remote
        .schedules
        .next_times(&live.schedule, spec, from, count);
    match asked.await {
        Ok(found) => Ok(found),
        Err(RequestError::Refused(why)) => {
            console::eprint(&format!(
                "the server gives no times ({why}); these are computed"
            ));
            Ok(spec.times_after(from, count))
        }
        Err(error) => {
            Err(error).with_context(|| format!("ask for the times of `{}`", live.schedule))
        }
    }
}

/// Returns `true` if a definition's id is more probably the name of a file.
fn looks_like_a_file(what: &str) -> bool {
    let path = Path::new(what);
    path.is_dir()
        || path
            .extension()
            .is_some_and(|it| it == "yaml" || it == "yml")
}

fn text(next: &Next, page: &mut Page) {
    let paused = if next.paused { ", paused" } else { "" };
    page.cells([
        Cell::toned(Tone::Strong, next.definition.as_str()),
        format!("  {}{paused}", next.summary).into(),
    ]);
    let zone = TimeZone::get(&next.timezone).unwrap_or(TimeZone::UTC);
    let mut before = None;
    for time in &next.times {
        let offset = zone.to_offset(*time);
        if before
            .replace(offset)
            .is_some_and(|before| before != offset)
        {
            page.toned(Tone::Muted, "  (the clocks change)");
        }
        page.line(format!("  {}", in_zone(*time, &next.timezone)));
    }
    if next.paused && next.times.is_empty() {
        page.line("  none while the schedule is paused");
    } else if next.exhausted {
        page.line("  no more fire times");
    }
    if next.is_unknown {
        page.line("  later fire times are not known: the search takes too many steps");
    }
    if let Some(difference) = &next.zone_difference {
        page.toned(Tone::Caution, format!("  warning: {difference}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_schedules_zone_and_in_utc() {
        let times = ["2026-10-24T00:30:00Z", "2026-10-25T01:30:00Z"];
        let next = Next {
            definition: "a".parse().unwrap(),
            paused: true,
            summary: "02:30 daily Europe/Berlin".to_owned(),
            timezone: "Europe/Berlin".to_owned(),
            times: times.map(|time| time.parse().unwrap()).to_vec(),
            exhausted: true,
            is_unknown: true,
            zone_difference: None,
        };
        let mut page = Page::default();
        text(&next, &mut page);
        insta::assert_snapshot!(page, @r"
        a  02:30 daily Europe/Berlin, paused
          Sat 2026-10-24 02:30:00 +02:00  (2026-10-24 00:30:00 UTC)
          (the clocks change)
          Sun 2026-10-25 02:30:00 +01:00  (2026-10-25 01:30:00 UTC)
          no more fire times
          later fire times are not known: the search takes too many steps
        ");
        let none = Next {
            times: Vec::new(),
            is_unknown: false,
            ..next
        };
        let mut page = Page::default();
        text(&none, &mut page);
        insta::assert_snapshot!(page, @r"
        a  02:30 daily Europe/Berlin, paused
          none while the schedule is paused
        ");
    }
}
