//! `almanac adopt`: definitions take over from schedules of other owners.
//!
//! Without `--confirm` the command prints the changes, and writes nothing. With `--confirm` it
//! asks the reconcile workflow, which does all writes. The command waits for times without a
//! run, and for the passes.

mod outcome;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use almanac_activities::codec::Codec;
use almanac_activities::schedules::{ImportableSchedule, QUIET, RequestError};
use almanac_base::names::{DefinitionId, Project, ScheduleId};
use almanac_core::field::Field;
use almanac_core::plan::{self, ScheduledDefinitions};
use almanac_core::record::{AdoptRequest, ErrorSource, Flag};
use almanac_core::schedule::{Desired, ScheduledDefinition};
use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::{Remote, progress};
use crate::time_text::utc;
use crate::wording::{counted, project_flag};
use outcome::{Item, LiveState, Outcome, State, text};

use crate::args::AdoptArgs;
use crate::backoff::random;
use crate::console;
use crate::failure::{self, Failure};
use crate::reconcile_client::ReconcileClientError;

/// Maximum number of requests at a time.
const CONCURRENCY: usize = 10;
/// Maximum time to wait for the passes of an adoption.
const DONE_LIMIT: Duration = Duration::from_mins(10);

pub(super) async fn run(args: AdoptArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let scheduled = definitions(&args, &remote.codec).await?;
    let chosen = candidates(&args, &scheduled)?
        .into_iter()
        .map(|(desired, candidates)| choose(&remote, desired, candidates));
    let chosen: Vec<_> = stream::iter(chosen)
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    let (pairs, firing): (Vec<_>, Vec<_>) = chosen
        .into_iter()
        .map(|choice| ((choice.desired, choice.from), choice.firing))
        .unzip();
    let mut outcome = Outcome {
        digest: digest(&pairs),
        done: false,
        adoptions: Vec::new(),
    };
    for ((desired, from), firing) in pairs.iter().zip(firing) {
        let mut item = observe(&remote, &args, desired, from).await?;
        if let Some(other) = firing {
            let why = format!(
                "schedule `{other}` is not paused, and would fire beside `{}`",
                desired.schedule
            );
            let hint = format!(
                "pause or delete `{other}` first; to take over from it, delete `{from}` first"
            );
            item.refuse(Failure::new(why).hint(hint));
        }
        outcome.adoptions.push(item);
    }
    refuse_owned_by_live_projects(&remote, &args, &mut outcome).await?;
    if let Some(confirm) = &args.confirm {
        if *confirm != outcome.digest {
            let why = format!(
                "digest `{confirm}` does not name what would be adopted now; nothing was done"
            );
            let hint = "the same command without --confirm prints the digest";
            return Err(Failure::new(why).hint(hint).into());
        }
        if !outcome
            .adoptions
            .iter()
            .any(|item| item.state == State::Refused)
        {
            adopt(&remote, &args, &mut outcome).await?;
        }
    }
    let text = |outcome: &Outcome| text(outcome, &args);
    super::print(args.target.format, &outcome, text)?;
    let mut good = true;
    for item in &outcome.adoptions {
        if let Some(error) = &item.error {
            console::eprint_page(&error.page(&format!("error: {}: ", item.id)));
            good = false;
        }
    }
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The schedules that the files ask for.
async fn definitions(args: &AdoptArgs, codec: &Codec) -> anyhow::Result<ScheduledDefinitions> {
    let registry = super::load(&args.dir, codec).await?;
    let snapshot = registry.snapshot();
    if !snapshot.failed.is_empty() {
        let count = snapshot.failed.len();
        let invalid = counted(
            count as u64,
            "document is invalid and left out",
            "documents are invalid and left out",
        );
        console::eprint(&format!("{invalid}; see `almanac validate`"));
    }
    Ok(plan::scheduled(&args.target.project, &snapshot))
}

/// The definitions to adopt, each with the schedules that it may take over from.
fn candidates(
    args: &AdoptArgs,
    scheduled: &ScheduledDefinitions,
) -> anyhow::Result<Vec<(Desired, Vec<ScheduleId>)>> {
    if args.from.is_some() && args.ids.len() != 1 {
        bail!("--from names the schedule of one definition: give its ID");
    }
    let of = |one: &ScheduledDefinition| {
        if let Some(from) = &args.from {
            return vec![from.clone()];
        }
        let moved = args.from_project.as_ref();
        let moved = moved.map(|project| project.schedule_id(one.definition()));
        one.adopts.iter().cloned().chain(moved).collect()
    };
    let ids: BTreeSet<&DefinitionId> = args.ids.iter().collect();
    if ids.is_empty() {
        let all = scheduled.values();
        return Ok(all
            .map(|one| (one.desired(), of(one)))
            .filter(|(_, candidates)| !candidates.is_empty())
            .collect());
    }
    ids.into_iter()
        .map(|id| {
            let one = scheduled
                .get(id)
                .with_context(|| format!("no definition `{id}` with a schedule in --dir"))?;
            let candidates = of(one);
            if candidates.is_empty() {
                let why = format!("definition `{id}` has no `schedule.adopts`");
                return Err(Failure::new(why).hint("--from names the schedule").into());
            }
            Ok((one.desired(), candidates))
        })
        .collect()
}

/// The schedule that a definition takes over from.
struct Choice {
    desired: Desired,
    from: ScheduleId,
    /// Another one that exists and starts runs.
    firing: Option<ScheduleId>,
}

/// Chooses the first schedule that exists. If none does, chooses the last one.
async fn choose(
    remote: &Remote,
    desired: Desired,
    candidates: Vec<ScheduleId>,
) -> anyhow::Result<Choice> {
    let last = candidates.last().cloned();
    let last = last.context("no schedule to take over from")?;
    let (mut from, mut firing) = (None, None);
    // A single one is described later.
    let is_choice = candidates.len() > 1;
    for id in candidates.into_iter().filter(|_| is_choice) {
        let fires = match remote.schedules.describe(&id).await {
            Ok(response) => !ImportableSchedule::of(&id, response).values.paused,
            Err(RequestError::NotFound) => continue,
            Err(error @ RequestError::NoNamespace(_)) => return Err(error.into()),
            // It may exist, and start runs.
            Err(_) => true,
        };
        if from.is_none() {
            from = Some(id);
        } else if fires {
            firing = Some(id);
        }
    }
    Ok(Choice {
        desired,
        from: from.unwrap_or(last),
        firing,
    })
}

/// The digest that names exactly these adoptions with these revisions, independent of their
/// progress.
fn digest(pairs: &[(Desired, ScheduleId)]) -> String {
    let mut lines: Vec<String> = pairs
        .iter()
        .map(|(desired, from)| format!("{} {} from {from}", desired.schedule, desired.revision))
        .collect();
    lines.sort();
    hex::encode(Sha256::digest(lines.join("\n").as_bytes()))
}

/// The state of an adoption, from the two schedules in Temporal.
async fn observe(
    remote: &Remote,
    args: &AdoptArgs,
    desired: &Desired,
    from: &ScheduleId,
) -> anyhow::Result<Item> {
    let project = &args.target.project;
    let (managed, unreadable) = match remote.live(project, &desired.schedule).await {
        Ok(managed) => (managed, None),
        Err(error) => (None, Some(error)),
    };
    let flagged = managed.as_ref().and_then(|live| live.readable_memo());
    let waits = flagged.is_some_and(|memo| memo.flags.contains(&Flag::Adopting));
    let mut item = Item {
        id: desired.definition.clone(),
        schedule: desired.schedule.clone(),
        from: from.clone(),
        state: State::Ready,
        error: None,
        exists: managed.is_some(),
        live: None,
        differences: BTreeMap::new(),
        quiet: None,
        waits,
        jitter: false,
        revision: desired.revision.clone(),
    };
    if let Some(error) = unreadable {
        item.leave(failure::causes(&error));
        return Ok(item);
    }
    let foreign = match remote.schedules.describe(from).await {
        Ok(response) => ImportableSchedule::of(from, response),
        Err(RequestError::NotFound) if managed.is_some() && !waits => {
            item.state = State::Adopted;
            return Ok(item);
        }
        Err(RequestError::NotFound) => {
            item.refuse(if waits {
                format!(
                    "schedule `{from}` no longer exists, so nothing can be taken over; `almanac \
                     unpause {}{}` starts `{}`",
                    desired.definition,
                    project_flag(project),
                    desired.schedule
                )
            } else {
                format!("there is no schedule `{from}`")
            });
            return Ok(item);
        }
        Err(error @ RequestError::NoNamespace(_)) => return Err(error.into()),
        Err(error) => {
            item.leave(format!("describe `{from}`: {error}"));
            return Ok(item);
        }
    };
    if foreign.being_adopted {
        item.state = State::Begun;
    }
    if *from == desired.schedule {
        item.refuse(format!(
            "schedule `{from}` has the same id as the definition's schedule, and an id names only \
             one schedule; give the definition another id"
        ));
    } else if foreign.project() == Some(project) {
        item.refuse(format!("schedule `{from}` is this project's own"));
    } else if foreign.project() != args.from_project.as_ref()
        && let Some(owner) = foreign.project()
    {
        let why = format!("schedule `{from}` belongs to the Almanac project `{owner}`");
        let hint = format!("if that project moves here, add --from-project {owner}");
        item.refuse(Failure::new(why).hint(hint));
    }
    let (old_values, new_values) = (&foreign.values, &desired.values);
    let mut alike = old_values.clone();
    alike
        .action
        .workflow_id
        .clone_from(&new_values.action.workflow_id);
    let differ = |field: &Field| match field {
        Field::Paused => false,
        Field::MaxActions => old_values.max_actions.is_some() != new_values.max_actions.is_some(),
        field => alike.value(*field) != new_values.value(*field),
    };
    item.differences = Field::ALL
        .into_iter()
        .filter(differ)
        .map(|field| (field, [alike.value(field), new_values.value(field)]))
        .collect();
    let specs = [&old_values.spec, &new_values.spec];
    let now = Timestamp::now();
    item.jitter = specs.iter().any(|spec| !spec.jitter.is_zero()) && !old_values.paused;
    item.quiet = QUIET.next(&specs, now, now + SignedDuration::from_hours(24 * 7));
    item.live = Some(LiveState {
        paused: old_values.paused,
        note: foreign.note.clone(),
        remaining_actions: foreign.remaining_actions,
        running: foreign.running,
    });
    if item.jitter && item.quiet.is_none() {
        let why = format!(
            "the jitter of `{from}` leaves no moment without a run, in which the new schedule could \
             take over"
        );
        let hint = "make its jitter shorter than the time between its runs first";
        item.refuse(Failure::new(why).hint(hint));
    }
    Ok(item)
}

/// Refuses adoptions from a project with live workers: they would create its schedules again.
async fn refuse_owned_by_live_projects(
    remote: &Remote,
    args: &AdoptArgs,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let Some(project) = &args.from_project else {
        return Ok(());
    };
    if !remote.has_live_workers(project).await? {
        return Ok(());
    }
    for item in &mut outcome.adoptions {
        if !matches!(item.state, State::Adopted | State::Unreadable) {
            let why = format!(
                "project `{project}` has live workers, which would create its schedules again"
            );
            let hint = format!(
                "stop the workers, or `almanac suspend --project {project} --reason moving`"
            );
            item.refuse(Failure::new(why).hint(hint));
        }
    }
    Ok(())
}

/// Asks for the adoptions that are not done, and waits until they are.
async fn adopt(remote: &Remote, args: &AdoptArgs, outcome: &mut Outcome) -> anyhow::Result<()> {
    let left = |item: &Item| matches!(item.state, State::Ready | State::Begun);
    if outcome.adoptions.iter().any(left) {
        check_worker(remote, &args.target.project).await?;
    }
    let mut order: Vec<&mut Item> = outcome
        .adoptions
        .iter_mut()
        .filter(|item| left(item))
        .collect();
    order.sort_by_key(|item| (item.jitter, item.quiet));
    let mut asked = Vec::new();
    for item in order {
        if item.jitter
            && let Some(at) = item.quiet
        {
            let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
            if wait > args.wait {
                item.error = Some(Failure::new(format!(
                    "with its jitter, `{}` may start a run until {}; try again then, or --wait longer",
                    item.from,
                    utc(at)
                )));
                continue;
            }
            tokio::time::sleep(wait).await;
        }
        let request = AdoptRequest {
            request_id: format!("adopt-{:016x}", random()),
            id: Some(item.id.clone()),
            from: item.from.clone(),
            from_project: args.from_project.clone(),
            revision: Some(item.revision.clone()),
            by: super::operator(),
        };
        match remote.reconciler.adopt(&request).await {
            Ok(answer) => asked.push((answer.pass, item)),
            Err(error) => item.error = Some(Failure::new(error.to_string())),
        }
    }
    for (pass, item) in asked {
        let report = progress::report(&remote.reconciler, pass, DONE_LIMIT).await?;
        let own = Some(item.id.as_str());
        let error = report
            .into_iter()
            .flat_map(|report| report.errors)
            .find(|error| error.id.as_deref() == own && ErrorSource::Adopt.is_of(error));
        if let Some(error) = error {
            item.error = Some(Failure::new(error.message));
            continue;
        }
        match remote.schedules.describe(&item.from).await {
            Err(RequestError::NotFound) => item.state = State::Adopted,
            Ok(_) => {
                item.error = Some(Failure::new(format!(
                    "pass {pass} has not taken over from `{}` yet; run the same command again",
                    item.from
                )));
            }
            Err(error) => {
                let why = format!("check the result for `{}`: {error}", item.from);
                item.error = Some(why.into());
            }
        }
    }
    let adopted = |item: &Item| item.state == State::Adopted;
    outcome.done = outcome.adoptions.iter().all(adopted);
    Ok(())
}

async fn check_worker(remote: &Remote, project: &Project) -> anyhow::Result<()> {
    match remote.reconciler.status().await {
        Ok(status) if status.workers.is_empty() => {
            bail!("project `{project}` has no worker to do it; nothing was done")
        }
        Ok(_) => Ok(()),
        Err(error @ (ReconcileClientError::Absent(_) | ReconcileClientError::NoAnswer(_))) => {
            let hint = format!("`almanac run --project {project}` must run");
            Err(Failure::new(format!("{error}; nothing was done"))
                .hint(hint)
                .into())
        }
        Err(error) => Err(error.into()),
    }
}
