//! The actions on one schedule: a page with a form for each, and its result.
//!
//! An action sends the same request as the API does. A form that is sent twice acts once:
//! the reconcile workflow knows the name of its request.

mod bulk;
mod forms;
mod project;
mod results;

use std::sync::Arc;

use almanac_base::names::DefinitionId;
use almanac_core::definition::OverlapPolicy;
use almanac_core::record::{BACKFILL_LIMIT, BACKFILL_MOST, OverrideRequest, RunKind, RunRequest};
use almanac_times::When;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use jiff::Timestamp;
use maud::Markup;
use serde::Deserialize;

use super::super::forms::Form;
use super::super::manual_run_routes::start;
use super::super::overrides::{apply, until};
use super::super::problem::Problem;
use super::super::requests::{bad_request, definition, no_such_schedule};
use super::super::{Service, overrides};
use super::frame::{Frame, Tab};
use crate::backend::Backend;

/// The routes of all actions.
pub(super) fn routes<B: Backend>() -> Router<Arc<Service<B>>> {
    Router::new()
        .route("/definitions/{id}/{action}", get(form).post(act))
        .route("/bulk", post(bulk::preview))
        .route("/bulk/{action}", post(bulk::act))
        .route("/sync", get(project::sync_form).post(project::sync))
        .route(
            "/confirm",
            get(project::confirm_form).post(project::confirm),
        )
        .route(
            "/suspend",
            get(project::suspend_form).post(project::suspend),
        )
        .route("/resume", get(project::resume_form).post(project::resume))
}

/// An action on schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Pause,
    Unpause,
    Override,
    Clear,
    Trigger,
    Backfill,
}

impl Action {
    const ALL: [Self; 6] = [
        Self::Pause,
        Self::Unpause,
        Self::Override,
        Self::Clear,
        Self::Trigger,
        Self::Backfill,
    ];

    /// The action's name in addresses.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Override => "override",
            Self::Clear => "clear",
            Self::Trigger => "trigger",
            Self::Backfill => "backfill",
        }
    }

    /// The action in the words of a button.
    const fn words(self) -> &'static str {
        match self {
            Self::Pause => "Pause",
            Self::Unpause => "Unpause",
            Self::Override => "Override",
            Self::Clear => "Clear override",
            Self::Trigger => "Run now",
            Self::Backfill => "Backfill",
        }
    }

    const fn starts_runs(self) -> bool {
        matches!(self, Self::Trigger | Self::Backfill)
    }

    fn of(name: &str) -> Result<Self, Problem> {
        let mut all = Self::ALL.into_iter();
        all.find(|action| action.as_str() == name)
            .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such action"))
    }
}

/// The fields of the forms of all actions. A form has those of its action; an empty field
/// counts as left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    /// The schedules of an action on several.
    id: Vec<String>,
    reason: String,
    /// Duration of a pause or an override, such as `2h`.
    #[serde(rename = "for")]
    duration: String,
    /// `true`, `false`, or empty to leave the value.
    enabled: String,
    /// Cron strings, one on each line.
    cron: String,
    timezone: String,
    overlap: String,
    from: String,
    to: String,
    limit: String,
    /// The backfill's times have been shown, and are confirmed.
    confirmed: String,
}

/// The text of a field, if it has one.
fn stated(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &str,
    text: &str,
) -> Result<Option<T>, Problem> {
    let stated = stated(text).map(str::parse).transpose();
    stated.map_err(|error| bad_request(format!("{name}: {error}")))
}

impl Fields {
    /// The request for an override, for an action that needs one.
    fn override_request(&self, action: Action) -> Result<Option<OverrideRequest>, Problem> {
        let end = stated(&self.duration).map(|text| until(text, Timestamp::now()));
        let request = OverrideRequest {
            reason: self.reason.trim().to_owned(),
            until: end.transpose()?,
            ..OverrideRequest::default()
        };
        Ok(Some(match action {
            Action::Pause => OverrideRequest {
                enabled: Some(false),
                ..request
            },
            Action::Unpause => OverrideRequest {
                unpause: true,
                until: None,
                reason: stated(&self.reason).unwrap_or("unpaused").to_owned(),
                ..request
            },
            Action::Clear => OverrideRequest {
                clear: true,
                until: None,
                ..request
            },
            Action::Override => OverrideRequest {
                enabled: parsed("enabled", &self.enabled)?,
                cron: stated(&self.cron)
                    .map(|cron| cron.lines().filter_map(stated).map(str::to_owned).collect()),
                timezone: stated(&self.timezone).map(str::to_owned),
                ..request
            },
            Action::Trigger | Action::Backfill => return Ok(None),
        }))
    }

    /// The request for runs, for an action that starts some.
    fn run_request(&self, action: Action) -> Result<Option<(RunKind, RunRequest)>, Problem> {
        let overlap = stated(&self.overlap).map(|text| {
            serde_json::from_value::<OverlapPolicy>(text.into())
                .map_err(|error| bad_request(format!("overlap: {error}")))
        });
        let request = RunRequest {
            reason: self.reason.trim().to_owned(),
            overlap: overlap.transpose()?,
            ..RunRequest::default()
        };
        Ok(match action {
            Action::Trigger => Some((RunKind::Trigger, request)),
            Action::Backfill => {
                let (from, to) = self.range()?;
                let request = RunRequest {
                    from: Some(from),
                    to: Some(to),
                    limit: parsed("limit", &self.limit)?,
                    ..request
                };
                Some((RunKind::Backfill, request))
            }
            _ => None,
        })
    }

    /// The range of a backfill.
    fn range(&self) -> Result<(When, When), Problem> {
        let when = |name: &str, text: &str| {
            parsed::<When>(name, text)?.ok_or_else(|| bad_request(format!("{name} is missing")))
        };
        Ok((when("from", &self.from)?, when("to", &self.to)?))
    }
}

/// `GET /definitions/{id}/{action}`
async fn form<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    Path((id, action)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let action = Action::of(&action)?;
    let _turn = service.describes.take(&frame.caller)?;
    let found = service.backend.schedule(&id).await?;
    let detail = found.ok_or_else(|| no_such_schedule(&id))?;
    let main = forms::page(&id, action, &detail, &Fields::default(), None, &frame);
    Ok(frame.page(Some(Tab::Schedules), &title(action, &id), &main))
}

/// `POST /definitions/{id}/{action}`
async fn act<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    Path((id, action)): Path<(String, String)>,
    form: Form<Fields>,
) -> Result<Response, Problem> {
    let action = Action::of(&action)?;
    let definition = definition(&id)?;
    let fields = &form.values;
    let done = match (action, stated(&fields.confirmed)) {
        (Action::Backfill, None) => backfill_list(&service, &definition, fields, &frame).await,
        _ => {
            perform(
                &service,
                &frame,
                action,
                &definition,
                fields,
                form.request_id
                    .part(&format!("{} {definition}", action.as_str())),
            )
            .await
        }
    };
    match done {
        Ok(main) => Ok(frame.page(Some(Tab::Schedules), &title(action, &id), &main)),
        // The form again, with what was typed and the reason.
        Err(problem) if problem.status().is_client_error() => {
            let Some(detail) = service.backend.schedule(&id).await? else {
                return Err(problem);
            };
            let error = Some(problem.detail());
            let main = forms::page(&id, action, &detail, fields, error, &frame);
            let status = problem.status();
            Ok(frame.with_status(status, Some(Tab::Schedules), &title(action, &id), &main))
        }
        Err(problem) => Err(problem),
    }
}

fn title(action: Action, id: &str) -> String {
    format!("{} {id}", action.words())
}

/// Does the action on one schedule, and returns the page with the result.
async fn perform<B: Backend>(
    service: &Service<B>,
    frame: &Frame,
    action: Action,
    definition: &DefinitionId,
    fields: &Fields,
    request_id: String,
) -> Result<Markup, Problem> {
    let by = frame.caller.name.clone();
    if let Some(request) = fields.override_request(action)? {
        let request = OverrideRequest {
            request_id,
            id: Some(definition.clone()),
            by,
            ..request
        };
        let turn = service.syncs.take(&frame.caller)?;
        let applied = apply(service, &turn, request).await?;
        return Ok(results::applied(definition, action, applied));
    }
    let Some((kind, request)) = fields.run_request(action)? else {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "there is no such action",
        ));
    };
    let request = RunRequest {
        request_id,
        id: Some(definition.clone()),
        by,
        ..request
    };
    let turn = service.runs.take(&frame.caller)?;
    let answer = start(service, kind, &turn, request).await?;
    Ok(results::runs(
        definition,
        action,
        &answer,
        frame.temporal_ui().as_deref(),
    ))
}

/// The times of a backfill, before they are started.
async fn backfill_list<B: Backend>(
    service: &Service<B>,
    definition: &DefinitionId,
    fields: &Fields,
    frame: &Frame,
) -> Result<Markup, Problem> {
    let (from, to) = fields.range()?;
    if let Some((kind, request)) = fields.run_request(Action::Backfill)? {
        let request = RunRequest {
            id: Some(definition.clone()),
            ..request
        };
        request.check(kind).map_err(bad_request)?;
    }
    let _turn = service.describes.take(&frame.caller)?;
    let times = service
        .backend
        .backfill_times(definition.as_str(), from, to)
        .await?;
    check_limit(times.as_ref().map_or(0, |times| times.count), fields)?;
    Ok(forms::backfill_list(
        definition,
        fields,
        times.as_ref(),
        frame,
    ))
}

/// Refuses a backfill of more runs than its limit.
fn check_limit(runs: u64, fields: &Fields) -> Result<(), Problem> {
    let limit = parsed("limit", &fields.limit)?.unwrap_or(BACKFILL_LIMIT);
    if runs <= u64::from(limit) {
        return Ok(());
    }
    let most = u64::from(BACKFILL_MOST);
    let runs = if runs > most {
        format!("more than {most}")
    } else {
        runs.to_string()
    };
    Err(bad_request(format!(
        "{runs} runs would start, and the limit is {limit}: raise the limit, or shorten the range"
    )))
}
