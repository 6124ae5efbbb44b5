//! The list entry that a schedule in sync has.

use std::collections::BTreeSet;

use almanac_times::Spec;

use super::{Policy, overrides};
use crate::schedule::{Desired, Fingerprint};

/// The list entry of a schedule that follows its definition and its override, without any flag.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Expectation {
    pub spec: Spec,
    /// `true` if the schedule is paused.
    pub paused: bool,
    /// The type of the workflow that the schedule starts.
    pub workflow_type: String,
    /// The fingerprint in the mark of the note.
    pub fingerprint: Fingerprint,
    /// `true` if the actions are limited. A schedule without remaining actions has to be
    /// described.
    pub limited: bool,
}

impl Expectation {
    /// The expectation of a single schedule under `policy`'s overrides. Without an override,
    /// the fingerprint is the result of `plain`, which takes long to compute.
    pub fn of(desired: &Desired, policy: &Policy<'_>, plain: impl FnOnce() -> Fingerprint) -> Self {
        let overridden = policy
            .overrides
            .get(&desired.definition)
            .filter(|one| !overrides::is_over(one, policy.now));
        let values = overrides::expected(&desired.values, overridden);
        Self {
            paused: overridden
                .and_then(|one| one.enabled)
                .map_or(desired.values.paused, |enabled| !enabled),
            spec: values.spec.clone(),
            workflow_type: values.action.workflow_type.clone(),
            fingerprint: match overridden {
                None => plain(),
                Some(_) => Fingerprint::of(
                    &desired.base(),
                    overridden,
                    &BTreeSet::new(),
                    &BTreeSet::new(),
                ),
            },
            limited: desired.values.max_actions.is_some(),
        }
    }
}
