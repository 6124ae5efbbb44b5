//! What a list entry of a schedule in sync looks like.

use std::collections::BTreeSet;

use almanac_times::Spec;

use super::{Policy, overrides};
use crate::schedule::{Desired, Fingerprint};

/// What the list shows of a schedule that is as its definition and its
/// override say, and that nobody flagged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Expectation {
    /// The spec.
    pub spec: Spec,
    /// The paused flag.
    pub paused: bool,
    /// The type of the started workflow.
    pub workflow_type: String,
    /// What its note ends in.
    pub fingerprint: Fingerprint,
    /// Its actions are limited: with none left it wants to be looked at.
    pub limited: bool,
}

impl Expectation {
    /// The expectation of one schedule under `policy`'s overrides. Without one
    /// its fingerprint is `plain`, which takes long to hash.
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
