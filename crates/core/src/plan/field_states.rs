//! The values of a schedule's fields side by side: in the file, as last written, and live.

use almanac_base::names::Project;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{Cause, Comparison, Known, Policy, compare};
use crate::field::Field;
use crate::record::{ActionMemo, Options, Override, Status};
use crate::schedule::{Desired, Live, ScheduleValues, hash_of};

/// A field of a schedule: its values, and the one that counts.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FieldState {
    /// The field.
    pub field: Field,
    /// Value that the served version of the definition states.
    pub file: Value,
    /// Value that the file had when the schedule was last written. `null` if it is neither the
    /// file's present value nor the live one: the schedule keeps only a digest of it.
    pub written: Option<Value>,
    /// Value that the schedule has in Temporal.
    pub live: Value,
    /// The value that counts, and the reason.
    pub verdict: Verdict,
}

/// The value of a field that counts, and the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Others keep changing the field back: the live value stays for now.
    Contested,
    /// The live value differs although the file did not change, and `--drift=report` leaves it.
    Drift,
    /// The live value differs although the file did not change. The next pass writes the file's.
    Corrected,
    /// The file changed. The next pass writes its value.
    Changed,
    /// The next pass writes another value, because an override begins or ends.
    Applied,
    /// An override is in force.
    Overridden,
    /// A person, the server or Almanac paused the schedule: the live value stays.
    Kept,
    /// The file and the schedule have the same value.
    Agrees,
}

/// Compares each field of a managed schedule with its definition. `None` if a newer release wrote
/// the schedule.
pub fn field_states(
    desired: &Desired,
    live: &Live,
    policy: &Policy<'_>,
) -> Option<Vec<FieldState>> {
    let Comparison::Known(known) = compare(desired, live, policy) else {
        return None;
    };
    let memo = live.readable_memo();
    let fields = Field::ALL.into_iter();
    let states = fields.map(|field| {
        let (file, live_value) = (desired.values.value(field), live.shown(field));
        FieldState {
            field,
            written: memo.and_then(|memo| written(field, memo, &file, live)),
            verdict: verdict(field, &known, live.agrees(&desired.values, field)),
            file,
            live: live_value,
        }
    });
    Some(states.collect())
}

fn verdict(field: Field, known: &Known, agrees: bool) -> Verdict {
    let update = known.update.as_ref();
    if known.contested.contains(&field) {
        return Verdict::Contested;
    }
    match update.and_then(|update| update.fields.get(&field)) {
        Some(Cause::Drift) => return Verdict::Corrected,
        Some(Cause::Definition | Cause::Encryption) => return Verdict::Changed,
        Some(Cause::Override | Cause::Finished | Cause::Orphan | Cause::Adoption) => {
            return Verdict::Applied;
        }
        None => {}
    }
    if known.drift.contains(&field) {
        return Verdict::Drift;
    }
    if known
        .overridden
        .as_ref()
        .is_some_and(|set| sets(set, field))
    {
        Verdict::Overridden
    } else if agrees {
        Verdict::Agrees
    } else {
        Verdict::Kept
    }
}

/// Returns `true` if the override sets the field.
fn sets(set: &Override, field: Field) -> bool {
    match field {
        Field::Paused => set.enabled.is_some(),
        Field::Times | Field::Intervals => set.cron.is_some(),
        Field::Timezone => set.timezone.is_some(),
        _ => false,
    }
}

/// The file's value at the last write, of which the memo has a digest.
fn written(field: Field, memo: &ActionMemo, file: &Value, live: &Live) -> Option<Value> {
    let default = ScheduleValues::default_value(field);
    let Some(digest) = memo.base.get(&field) else {
        return Some(default);
    };
    let candidates = [file.clone(), live.values.value(field)];
    let mut candidates = candidates.into_iter();
    candidates.find(|value| hash_of(memo.v, value).as_ref() == Some(digest))
}

impl<'a> Policy<'a> {
    /// The policy of the next pass, as far as the reconcile workflow's state tells.
    pub fn of_status(project: &'a Project, status: &'a Status, now: Timestamp) -> Self {
        let options = Options::safest(status.workers.values().map(|worker| &worker.options));
        Self {
            project,
            now,
            drift: options.drift,
            orphans: options.orphans,
            confirm: None,
            recently_removed: status.recently_removed,
            replicas_differ: false,
            overrides: &status.overrides,
            requests: &status.orders,
            corrections: &status.corrections,
            only: None,
        }
    }
}
