//! Requests of operators about single schedules, kept by the workflow until a pass has done them.

use std::collections::BTreeMap;

use almanac_base::names::DefinitionId;
use almanac_times::{check_zone, compile_cron};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Override, RequestProblem, check_text, check_words};

/// Maximum size of an override, in bytes of JSON. An override is part of a memo.
pub const OVERRIDE_LIMIT: usize = 480;

/// Operators' requests by definition.
pub type OperatorRequests = BTreeMap<DefinitionId, OperatorRequest>;

/// A request of an operator about one schedule. The request states the whole outcome, so a later
/// request replaces an earlier one, and doing a request twice has the same result as once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Order)]
pub struct OperatorRequest {
    /// Number that distinguishes this request from an earlier one that a pass may be doing.
    pub number: u64,
    /// The override that is to be in force; `None` clears the override.
    #[serde(default)]
    pub overridden: Option<Override>,
    /// End any pause. If the YAML pauses the schedule, an override of `enabled` ends the pause.
    #[serde(default)]
    pub unpause: bool,
    /// Name of the operator, if no override contains it.
    #[serde(default)]
    pub by: String,
    /// Reason that the operator gave, if no override contains it.
    #[serde(default)]
    pub reason: String,
    /// Time of the request.
    #[serde(default)]
    pub at: Timestamp,
}

/// The argument of the update `override`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OverrideRequest {
    /// Id of the request. A request with a known id gets the answer of the first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// Definition that the request is about.
    pub id: Option<DefinitionId>,
    /// Clear the present override before anything is set.
    pub clear: bool,
    /// End any pause.
    pub unpause: bool,
    /// `enabled` to set.
    pub enabled: Option<bool>,
    /// `cron` to set.
    pub cron: Option<Vec<String>>,
    /// `timezone` to set.
    pub timezone: Option<String>,
    /// Reason for the request; must not be empty if a value is set.
    pub reason: String,
    /// Name of the operator.
    pub by: String,
    /// Time at which the override expires.
    pub until: Option<Timestamp>,
}

impl OverrideRequest {
    /// Returns the definition of the request, or the mistake in the request at `now`.
    pub fn check(&self, now: Timestamp) -> Result<&DefinitionId, RequestProblem> {
        let id = self.id.as_ref().ok_or("id is missing")?;
        check_words(&self.request_id, &self.reason, &self.by)?;
        for text in self.cron.iter().flatten().chain(&self.timezone) {
            check_text("the override", text, OVERRIDE_LIMIT)?;
        }
        if !(self.clear || self.unpause || self.sets()) {
            return Err("nothing to change: give enabled, cron or timezone".into());
        }
        if self.unpause && self.enabled.is_some() {
            return Err("unpause and enabled cannot be combined".into());
        }
        if (self.sets() || self.unpause) && self.reason.trim().is_empty() {
            return Err("reason is missing".into());
        }
        if self.cron.as_ref().is_some_and(Vec::is_empty) {
            return Err("cron is an empty list".into());
        }
        for text in self.cron.iter().flatten() {
            compile_cron(text).map_err(|error| format!("cron `{text}`: {}", error.message))?;
        }
        if let Some(zone) = &self.timezone {
            check_zone(zone).map_err(|error| error.message)?;
        }
        if let Some(until) = self.until.filter(|until| *until <= now) {
            return Err(format!("until is {until}, which has passed").into());
        }
        let length = serde_json::to_string(&self.over(None, now)).map_or(0, |json| json.len());
        if length > OVERRIDE_LIMIT {
            return Err(format!(
                "the override takes {length} bytes, over the limit of {OVERRIDE_LIMIT}; hint: \
                 shorten its reason or its times"
            )
            .into());
        }
        Ok(id)
    }

    /// Returns `true` if the request sets a value.
    pub fn sets(&self) -> bool {
        self.enabled.is_some() || self.cron.is_some() || self.timezone.is_some()
    }

    /// The override that results from the request and the `present` override.
    pub fn over(&self, present: Option<&Override>, now: Timestamp) -> Option<Override> {
        let present = present.filter(|_| !self.clear).cloned();
        if !self.sets() {
            return present;
        }
        let mut next = present.unwrap_or_default();
        next.enabled = self.enabled.or(next.enabled);
        next.cron = self.cron.clone().or(next.cron);
        next.timezone = self.timezone.clone().or(next.timezone);
        next.reason.clone_from(&self.reason);
        next.by.clone_from(&self.by);
        next.at = now;
        next.until = self.until;
        Some(next)
    }
}

/// The argument of the update `clear_override`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClearRequest {
    /// Id of the request. A request with a known id gets the answer of the first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// Definition that the request is about.
    pub id: Option<DefinitionId>,
    /// Reason that the operator gave.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Name of the operator.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
}

impl ClearRequest {
    /// Returns the update `override` that has the same effect.
    pub fn as_override(&self) -> OverrideRequest {
        OverrideRequest {
            request_id: self.request_id.clone(),
            id: self.id.clone(),
            clear: true,
            reason: self.reason.clone(),
            by: self.by.clone(),
            ..OverrideRequest::default()
        }
    }
}

/// The answer of the updates `override` and `clear_override`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverrideAnswer {
    /// Number of the pass that will do the request; the pass's report is in `status`.
    pub pass: u64,
    /// The override that will be in force.
    pub overridden: Option<Override>,
}
