//! What operators ask of single schedules: kept by the workflow until a pass has done it.

use std::collections::BTreeMap;

use almanac_base::names::DefinitionId;
use almanac_times::{check_zone, compile_cron};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Override, check_text, check_words};

/// The longest an override may be, in bytes of JSON: it is part of a memo.
pub const OVERRIDE_LIMIT: usize = 480;

/// What is asked of schedules, by definition.
pub type OperatorRequests = BTreeMap<DefinitionId, OperatorRequest>;

/// What an operator asked of one schedule. It says the whole outcome, so that
/// a later one takes its place and doing it twice is doing it once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Order)]
pub struct OperatorRequest {
    /// Tells it from an earlier one that a pass may be doing.
    pub number: u64,
    /// The override as it is to be; `None` clears it.
    #[serde(default)]
    pub overridden: Option<Override>,
    /// End any pause: by an override of `enabled` only where the YAML pauses.
    #[serde(default)]
    pub unpause: bool,
    /// Who asked, and why, where no override says so.
    #[serde(default)]
    pub by: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// When.
    #[serde(default)]
    pub at: Timestamp,
}

/// The argument of the update `override`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OverrideRequest {
    /// A repeated one gets the first one's answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// The definition.
    pub id: Option<DefinitionId>,
    /// Clear what is overridden before anything is set.
    pub clear: bool,
    /// End any pause.
    pub unpause: bool,
    /// `enabled` to set.
    pub enabled: Option<bool>,
    /// `cron` to set.
    pub cron: Option<Vec<String>>,
    /// `timezone` to set.
    pub timezone: Option<String>,
    /// Why; must not be empty when something is set.
    pub reason: String,
    /// Who.
    pub by: String,
    /// When it is to end.
    pub until: Option<Timestamp>,
}

impl OverrideRequest {
    /// The definition it is about, when the request makes sense at `now`.
    pub fn check(&self, now: Timestamp) -> Result<&DefinitionId, String> {
        let id = self.id.as_ref().ok_or("id is missing")?;
        check_words(&self.request_id, &self.reason, &self.by)?;
        for text in self.cron.iter().flatten().chain(&self.timezone) {
            check_text("the override", text, OVERRIDE_LIMIT)?;
        }
        if !(self.clear || self.unpause || self.sets()) {
            return Err("nothing to change: give enabled, cron or timezone".to_owned());
        }
        if self.unpause && self.enabled.is_some() {
            return Err("unpause and enabled exclude each other".to_owned());
        }
        if (self.sets() || self.unpause) && self.reason.trim().is_empty() {
            return Err("reason is missing".to_owned());
        }
        if self.cron.as_ref().is_some_and(Vec::is_empty) {
            return Err("cron is an empty list".to_owned());
        }
        for text in self.cron.iter().flatten() {
            compile_cron(text).map_err(|error| format!("cron `{text}`: {}", error.message))?;
        }
        if let Some(zone) = &self.timezone {
            check_zone(zone).map_err(|error| error.message)?;
        }
        if let Some(until) = self.until.filter(|until| *until <= now) {
            return Err(format!("it would end at {until}, which is over"));
        }
        let length = serde_json::to_string(&self.over(None, now)).map_or(0, |json| json.len());
        if length > OVERRIDE_LIMIT {
            return Err(format!(
                "the override takes {length} bytes, more than {OVERRIDE_LIMIT}: \
                 shorten its reason or its times"
            ));
        }
        Ok(id)
    }

    /// Whether it sets a value.
    pub fn sets(&self) -> bool {
        self.enabled.is_some() || self.cron.is_some() || self.timezone.is_some()
    }

    /// The override that it makes of `present`.
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
    /// A repeated one gets the first one's answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// The definition.
    pub id: Option<DefinitionId>,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
}

impl ClearRequest {
    /// The update `override` that does the same.
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
    /// The number of the pass that will do it; its report is in `status`.
    pub pass: u64,
    /// The override as it will be.
    pub overridden: Option<Override>,
}
