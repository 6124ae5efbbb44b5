//! The fire times of schedules before and after the changes of a plan.

use std::collections::{BTreeMap, BTreeSet};

use almanac_activities::schedules::{RequestError, Schedules, next_times_of, wire};
use almanac_base::names::{DefinitionId, Project, ScheduleId};
use almanac_core::field::Field;
use almanac_core::plan::Plan;
use almanac_core::schedule::Live;
use almanac_times::Spec;
use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// Maximum number of schedules whose fire times are shown.
const SCHEDULES_SHOWN: usize = 100;
/// Number of fire times before and after in the data.
const TIMES_COMPUTED: usize = 5;
/// Number of these times that are shown to people.
pub(crate) const TIMES_SHOWN: usize = 3;

/// The next fire times of a schedule that a pass would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TimesChange {
    pub timezone: String,
    pub before: Vec<Timestamp>,
    pub after: Vec<Timestamp>,
    /// Times at which the schedule fires both before and after.
    #[serde(skip)]
    pub kept: BTreeSet<Timestamp>,
}

impl TimesChange {
    /// Finds the times at which both specs fire.
    pub(crate) fn find_kept(&mut self, specs: [&Spec; 2]) {
        let fires_at = |spec: &Spec, at: Timestamp| {
            let before = at.checked_sub(SignedDuration::from_nanos(1));
            before.is_ok_and(|before| spec.times_after(before, 1).times == [at])
        };
        let all = self.before.iter().chain(&self.after);
        let kept = all.filter(|at| specs.iter().all(|spec| fires_at(spec, **at)));
        self.kept = kept.copied().collect();
    }

    /// The first times before and after in their order. Each sign is `-` for a time that is
    /// removed, `+` for a time that is added, and a space for a time that stays. `None` stands
    /// for a gap.
    pub(crate) fn merged(&self) -> Vec<Option<(Timestamp, char)>> {
        let is_kept = |at: &Timestamp| {
            self.kept.contains(at) || (self.before.contains(at) && self.after.contains(at))
        };
        let lists = [(&self.before, '-'), (&self.after, '+')];
        let mut all = BTreeMap::new();
        for (times, sign) in lists {
            all.extend(
                times
                    .iter()
                    .map(|at| (*at, if is_kept(at) { ' ' } else { sign })),
            );
        }
        // After the last of a full list, a time may be missing.
        let ends = lists
            .iter()
            .filter(|(times, _)| times.len() >= TIMES_COMPUTED);
        let end = ends.filter_map(|(times, _)| times.last()).min();
        let mut shown: BTreeMap<char, usize> = BTreeMap::new();
        let mut merged = Vec::new();
        for (at, sign) in &all {
            let count = shown.entry(*sign).or_default();
            *count += 1;
            if *count > TIMES_SHOWN || end.is_some_and(|end| at > end) {
                break;
            }
            merged.push(Some((*at, *sign)));
        }
        for (times, _) in lists {
            let mut shown = merged.iter().flatten();
            if times.is_empty() || shown.any(|(at, _)| times.contains(at)) {
                continue;
            }
            merged.push(None);
            let first = times.iter().take(TIMES_SHOWN);
            merged.extend(first.map(|at| Some((*at, all[at]))));
        }
        merged
    }
}

/// The fire times before and after, for the schedules that the plan changes.
pub async fn times(
    schedules: &Schedules,
    project: &Project,
    plan: &Plan,
) -> BTreeMap<DefinitionId, TimesChange> {
    let now = Timestamp::now();
    let mut all = BTreeMap::new();
    for create in plan.creates.iter().take(SCHEDULES_SHOWN) {
        let values = create.values();
        let after = fires(&values.spec, values.paused, now);
        let timezone = values.spec.timezone.clone();
        let times = TimesChange {
            timezone,
            after,
            ..TimesChange::default()
        };
        all.insert(create.definition().clone(), times);
    }
    let changed = plan
        .updates
        .iter()
        .filter(|update| update.fields.keys().any(|field| moves_times(*field)));
    for update in changed.take(SCHEDULES_SHOWN) {
        // A schedule that cannot be described now is in the plan without its times.
        let Ok(Some((live, before))) = coming(schedules, project, &update.schedule).await else {
            continue;
        };
        let values = &update.values;
        let mut times = TimesChange {
            timezone: values.spec.timezone.clone(),
            before,
            kept: BTreeSet::new(),
            after: if values.spec == live.values.spec && !values.paused {
                served(schedules, &live, now).await.unwrap_or_default()
            } else {
                fires(&values.spec, values.paused, now)
            },
        };
        if !values.paused && !live.values.paused {
            times.find_kept([&live.values.spec, &values.spec]);
        }
        all.insert(update.definition.clone(), times);
    }
    for delete in plan.deletes.iter().take(SCHEDULES_SHOWN) {
        if let Ok(Some((live, before))) = coming(schedules, project, &delete.schedule).await {
            let times = TimesChange {
                timezone: live.values.spec.timezone,
                before,
                ..TimesChange::default()
            };
            all.insert(delete.definition.clone(), times);
        }
    }
    all
}

/// Returns `true` if a change of this field changes a schedule's fire times.
fn moves_times(field: Field) -> bool {
    matches!(
        field,
        Field::Times
            | Field::Intervals
            | Field::Exclude
            | Field::Timezone
            | Field::StartAt
            | Field::EndAt
            | Field::Paused
    )
}

/// A live schedule, and its next fire times from the server, as `almanac list` shows them. A
/// paused schedule has none.
async fn coming(
    schedules: &Schedules,
    project: &Project,
    schedule: &ScheduleId,
) -> anyhow::Result<Option<(Live, Vec<Timestamp>)>> {
    let response = match schedules.describe(schedule).await {
        Ok(response) => response,
        Err(RequestError::NotFound) => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("describe `{schedule}`")),
    };
    let info = response.info.clone().unwrap_or_default();
    let Some(found) = wire::live(project, schedule, response) else {
        return Ok(None);
    };
    let mut times = next_times_of(&info);
    times.truncate(if found.live.values.paused {
        0
    } else {
        TIMES_COMPUTED
    });
    Ok(Some((found.live, times)))
}

/// The server's next times of a schedule whose times do not change.
async fn served(
    schedules: &Schedules,
    live: &Live,
    now: Timestamp,
) -> anyhow::Result<Vec<Timestamp>> {
    let spec = &live.values.spec;
    let asked = schedules.next_times(&live.schedule, spec, now, TIMES_COMPUTED);
    match asked.await {
        Ok(found) => Ok(found.times),
        Err(RequestError::Refused(_)) => Ok(fires(spec, false, now)),
        Err(error) => {
            Err(error).with_context(|| format!("ask for the times of `{}`", live.schedule))
        }
    }
}

/// The next fire times of a spec; none while it is paused.
pub(crate) fn fires(spec: &Spec, paused: bool, now: Timestamp) -> Vec<Timestamp> {
    if paused {
        Vec::new()
    } else {
        spec.times_after(now, TIMES_COMPUTED).times
    }
}
