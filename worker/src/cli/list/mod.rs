//! `almanac list`: prints the project's schedules as they are in Temporal.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::process::ExitCode;

use almanac_activities::schedules::view::{self, LastRun, PausedBy, ScheduleState, ScheduleView};
use almanac_base::names::DefinitionId;
use almanac_core::record::Status;
use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};

use super::Remote;
use super::selection::definitions_with_labels;
use super::watch::watch;
use crate::args::{ListArgs, SortBy};
use crate::console::{self, Cell, Column, Page, Table, Tone};
use crate::reconcile_client::ReconcileClientError;
use crate::time_text::{ago, coming_at, span_between, utc};

/// Time after which a schedule whose next run has not started is late.
pub(super) const LATE_AFTER: SignedDuration = SignedDuration::from_secs(60);

pub(super) async fn run(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    if let Some(interval) = args.watch {
        return Box::pin(watch(interval, || async {
            let listed = Listed::of(&remote, args).await?;
            let mut page = listed.text(&remote, args);
            page.append(listed.remark());
            Ok(page)
        }))
        .await;
    }
    let listed = Listed::of(&remote, args).await?;
    super::print(args.target.format, &listed.views, |_| {
        listed.text(&remote, args)
    })?;
    console::eprint_page(&listed.remark());
    Ok(ExitCode::SUCCESS)
}

/// The schedules that the command shows.
struct Listed {
    views: Vec<ScheduleView>,
    /// States that could not be checked for all schedules.
    unknown: BTreeSet<ScheduleState>,
    /// Reason why the reconcile workflow did not answer.
    unanswered: Option<String>,
    /// Number of the project's schedules.
    total: usize,
}

impl Listed {
    async fn of(remote: &Remote, args: &ListArgs) -> anyhow::Result<Self> {
        let (status, unanswered) = match remote.reconciler.status().await {
            Ok(status) => (Some(status), None),
            Err(ReconcileClientError::Absent(_)) => (None, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let context = super::view_context(&args.target.project, status.as_ref());
        let mut views = view::list(&remote.schedules, context, None)
            .await
            .context("list the schedules")?;
        let total = views.len();
        let unknown = unknown_states(&views, status.as_ref());
        if let Some(selector) = &args.selector {
            let selected: BTreeSet<DefinitionId> =
                definitions_with_labels(remote, selector).await?;
            views.retain(|view| selected.contains(&view.definition));
        }
        if !args.state.is_empty() {
            views.retain(|view| args.state.iter().any(|state| applies(*state, view)));
        }
        sort(&mut views, args.sort);
        view::ask_running(&remote.schedules, &mut views).await;
        Ok(Self {
            views,
            unknown,
            unanswered,
            total,
        })
    }

    fn text(&self, remote: &Remote, args: &ListArgs) -> Page {
        if self.total == 0 {
            return Page::of_line(format!(
                "no schedules of project `{}` in namespace `{}`",
                args.target.project, remote.namespace
            ));
        }
        if self.views.is_empty() {
            return Page::of_line(format!("none of the {} schedules matches", self.total));
        }
        table(&self.views, args.wide, Timestamp::now())
    }

    /// The lines below the list: what could not be checked, and why.
    fn remark(&self) -> Page {
        let mut page = Page::default();
        if let Some(why) = &self.unanswered {
            page.line(why);
        }
        page.append(unknown_remark(&self.unknown, ""));
        page
    }
}

/// The states that could not be checked for all schedules.
pub(super) fn unknown_states(
    views: &[ScheduleView],
    status: Option<&Status>,
) -> BTreeSet<ScheduleState> {
    let mut unknown: BTreeSet<_> = views.iter().flat_map(|one| &one.unknown).copied().collect();
    if status.and_then(Status::conflicts).is_none() {
        // A list without that report cannot show the schedules that are in conflict.
        unknown.insert(ScheduleState::Conflict);
    }
    unknown
}

/// A line with the states that could not be checked; an empty page if there are none.
pub(super) fn unknown_remark(unknown: &BTreeSet<ScheduleState>, indent: &str) -> Page {
    let mut page = Page::default();
    if !unknown.is_empty() {
        let names: Vec<_> = unknown.iter().map(|state| state.as_str()).collect();
        let names = names.join(", ");
        page.toned(
            Tone::Muted,
            format!("{indent}these states could not be checked: {names}"),
        );
    }
    page
}

/// Returns `true` if the state applies to the schedule. `active` applies if no other state
/// does.
fn applies(state: ScheduleState, view: &ScheduleView) -> bool {
    view.state == state || view.conditions.contains(&state)
}

fn sort(views: &mut [ScheduleView], by: SortBy) {
    match by {
        SortBy::Id => {}
        SortBy::State => views.sort_by_key(|view| view.state),
        // Schedules without the time come last.
        SortBy::Next => views.sort_by_key(|view| (view.next_run.is_none(), view.next_run)),
        SortBy::Last => {
            views.sort_by_key(|view| Reverse(view.last_run.as_ref().map(|run| run.at)));
        }
    }
}

fn table(views: &[ScheduleView], wide: bool, now: Timestamp) -> Page {
    let mut columns = vec![
        Column::shrinking("ID", 12),
        Column::new("STATE"),
        Column::shrinking("SCHEDULE", 12),
        Column::new("NEXT"),
        Column::new("LAST"),
    ];
    if wide {
        columns.push(Column::new("WORKFLOW"));
    }
    if views.iter().any(|view| note(view, wide).is_some()) {
        columns.push(Column::shrinking("NOTE", 8));
    }
    let mut table = Table::new(columns);
    for view in views {
        let mut cells = vec![
            view.definition.to_string().into(),
            Cell::toned(tone(view.state), state(view, wide)),
            view.summary.clone().into(),
            next(view, wide, now),
            last(view.last_run.as_deref(), wide, now),
        ];
        if wide {
            cells.push(view.workflow_type.clone().into());
        }
        cells.extend(note(view, wide).map(Cell::from));
        table.row(cells);
    }
    let mut page = Page::default();
    page.table(table);
    page
}

pub(super) fn tone(state: ScheduleState) -> Tone {
    match state {
        ScheduleState::Active => Tone::Good,
        ScheduleState::Paused
        | ScheduleState::Overridden
        | ScheduleState::Finished
        | ScheduleState::Held => Tone::Caution,
        ScheduleState::Conflict
        | ScheduleState::Unreadable
        | ScheduleState::Orphaned
        | ScheduleState::Contested => Tone::Bad,
    }
}

/// The state in one word, or all states and the origin of the pause.
pub(super) fn state(view: &ScheduleView, wide: bool) -> String {
    if !wide || view.conditions.is_empty() {
        return view.state.to_string();
    }
    let states: Vec<_> = view.conditions.iter().map(|state| state.as_str()).collect();
    let states = states.join(", ");
    match view.paused_by {
        Some(by) => format!("{states} {}", origin(by)),
        None => states,
    }
}

/// The origin of a pause, in words that follow `paused`.
fn origin(by: PausedBy) -> &'static str {
    match by {
        PausedBy::Yaml => "by its definition",
        PausedBy::Override => "by an override",
        PausedBy::Failure => "after a failure",
        PausedBy::Hand => "manually",
    }
}

fn next(view: &ScheduleView, wide: bool, now: Timestamp) -> Cell {
    if let Some(since) = view.overdue_since {
        return Cell::toned(Tone::Bad, format!("overdue {}", span_between(since, now)));
    }
    match view.next_run {
        None => "-".into(),
        // Not checked: the run may wait for an earlier one.
        Some(at) if at < now - LATE_AFTER => {
            Cell::toned(Tone::Caution, format!("late {}", span_between(at, now)))
        }
        Some(at) if wide => utc(at).into(),
        Some(at) => coming_at(at, now).into(),
    }
}

fn last(run: Option<&LastRun>, wide: bool, now: Timestamp) -> Cell {
    let Some(run) = run else {
        return "-".into();
    };
    let at = if wide { utc(run.at) } else { ago(run.at, now) };
    let Some(status) = &run.status else {
        return at.into();
    };
    let text = format!("{at}, {}", run_status(status));
    match run_tone(status) {
        Some(tone) => Cell::toned(tone, text),
        None => text.into(),
    }
}

/// The status of a run in words.
pub(super) fn run_status(status: &str) -> String {
    match status {
        "completed" => "ok".to_owned(),
        other => other.replace('_', " "),
    }
}

/// The tone of a run's status.
pub(super) fn run_tone(status: &str) -> Option<Tone> {
    match status {
        "failed" | "timed_out" | "terminated" => Some(Tone::Bad),
        "canceled" | "paused" => Some(Tone::Caution),
        _ => None,
    }
}

/// The words of a person about the schedule. The wide form says whose words they are, and how
/// long an override lasts.
pub(super) fn note(view: &ScheduleView, wide: bool) -> Option<String> {
    let reason = view.reason.as_ref()?;
    let until = view.overridden.as_ref().and_then(|set| set.until);
    let by = view.by.iter().map(|by| format!("by {by}"));
    let until = until.map(|until| format!("until {}", utc(until)));
    let details: Vec<_> = by.chain(until).collect();
    Some(if wide && !details.is_empty() {
        format!("{reason} ({})", details.join(", "))
    } else {
        reason.clone()
    })
}

#[cfg(test)]
pub(super) mod tests;
