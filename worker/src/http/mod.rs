//! The HTTP API: `docs/contract.md#8-http`.
//!
//! Always holds:
//! - A handler that fails answers an RFC 9457 problem.
//! - A client that asks for more than the probes, the metrics page, the files of pages and
//!   the login form, and sends no signed request to a webhook, has shown who it is (see `auth`) or, if that is not required, comes
//!   from this machine.
//! - A form of a page was made for the browser that sends it (see `forms`).
//! - A page of another site can neither read nor trigger anything through a visitor's
//!   browser (see `cross_site`).
//! - No client takes more than its share (see `limits`, `connection_limiter` and
//!   `server`).
//!
//! Answers come from a [`Backend`]; no module here knows a Temporal client.

mod activity;
mod auth;
mod cached;
mod cached_map;
mod codec_server;
mod connection_limiter;
mod cookies;
mod cross_site;
mod definitions;
mod events;
mod form_values;
mod forms;
mod head;
mod limits;
mod listing;
mod manual_run_routes;
mod min_throughput;
mod openapi;
mod overrides;
mod pages;
mod probes;
mod problem;
mod query;
mod requests;
mod schedules;
mod server;
mod status_cache;
mod sync;
#[cfg(test)]
mod tests;
mod timeline;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use almanac_activities::webhooks::WebhookSecrets;
use axum::handler::Handler as _;
use axum::{Extension, Router, middleware};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::activity::Histories;
use self::cross_site::AllowedHosts;
use self::limits::{BodyLimit, ConcurrencyLimit, RenderWorkers};
use self::listing::Listings;
use self::pages::{Live, Overviews, Plans, Readings, Strips};
use self::probes::Metrics;
use self::server::Limits;
use self::status_cache::StatusCache;
use self::timeline::Timelines;
use self::webhooks::Webhooks;
use crate::backend::Backend;

pub use self::auth::{AuthError, Authority, Caller, Credential, Scope};
pub(crate) use self::codec_server::serve as serve_codec;
pub use self::definitions::{DefinitionStatus, DefinitionView};

/// Maximum number of requests that wait for a pass at a time: the server takes 10 updates
/// of a workflow at a time, and others send some too.
const SYNCS: usize = 8;
/// Maximum number of requests that wait for a run at a time.
const RUNS: usize = 64;
/// Maximum number of plans that are made at a time: each lists and describes schedules.
const PLAN_CONCURRENCY: usize = 2;
/// Maximum number of lists that are asked for at a time. Few lists are put together at a
/// time, so a request has to wait for the others.
const LIST_CONCURRENCY: usize = 32;
/// Maximum number of pages of lists that are loaded at a time: as many as can be open, since a
/// change makes all of them load again.
const PAGE_LOADS: usize = pages::STREAMS;
/// Maximum number of schedules that are described at a time.
const DESCRIBE_CONCURRENCY: usize = 16;
/// Maximum number of actions on many schedules that are done at a time. Their requests take no
/// turns of the requests about one schedule.
const BULKS: usize = 1;
/// Maximum number of requests with events that are handled at a time.
const EVENTS: usize = 128;
/// Maximum time that a request waits for its pass.
const SYNC_WAIT: Duration = Duration::from_secs(30);

/// The state that handlers share.
struct Service<B> {
    backend: Arc<B>,
    status_cache: StatusCache,
    histories: Histories,
    listings: Listings,
    overviews: Overviews,
    strips: Strips,
    live: Live,
    timelines: Timelines,
    definition_readings: Readings,
    shared_plans: Plans,
    metrics: Metrics,
    render_workers: RenderWorkers,
    syncs: ConcurrencyLimit,
    runs: ConcurrencyLimit,
    lists: ConcurrencyLimit,
    page_loads: ConcurrencyLimit,
    plans: ConcurrencyLimit,
    describes: ConcurrencyLimit,
    bulks: ConcurrencyLimit,
    events: ConcurrencyLimit,
    webhooks: Webhooks,
    sync_wait: Duration,
    stop: CancellationToken,
}

impl<B> Service<B> {
    /// Forgets the lists, the history and all that pages share, so that the next request sees a
    /// change that was just made. The strips of runs, and the times at which nothing started, end
    /// by their age.
    fn forget_schedules(&self) {
        self.forget_changed(|_| true);
        self.histories.forget();
        self.listings.forget();
    }

    /// Forgets what pages share, of the definitions that changed and of the whole project, so that
    /// a page that is told of a change does not read what was read before it.
    fn forget_changed(&self, is_changed: impl Fn(&str) -> bool) {
        self.timelines.forget();
        self.shared_plans.forget();
        self.definition_readings.forget_those(is_changed);
    }
}

/// Serves until `stop`. Requests in progress are finished; those that wait for a pass are
/// answered immediately.
pub async fn serve<B: Backend>(
    listener: TcpListener,
    backend: Arc<B>,
    authority: Authority,
    webhook_secrets: WebhookSecrets,
    stop: CancellationToken,
) {
    // All callers without a name count as the same caller.
    let is_named = authority.is_asked_for();
    let turns = |what, all: usize| {
        let each = if is_named { all - all.div_ceil(4) } else { all };
        ConcurrencyLimit::new(what, all, each)
    };
    let service = Arc::new(Service {
        backend,
        status_cache: StatusCache::default(),
        histories: Histories::default(),
        listings: Listings::default(),
        overviews: Overviews::default(),
        strips: Strips::default(),
        live: Live::default(),
        timelines: Timelines::default(),
        definition_readings: Readings::default(),
        shared_plans: Plans::default(),
        metrics: Metrics::default(),
        render_workers: RenderWorkers::default(),
        syncs: turns("a pass", SYNCS),
        runs: turns("a run", RUNS),
        lists: turns("a list", LIST_CONCURRENCY),
        page_loads: turns("a page", PAGE_LOADS),
        plans: turns("a plan", PLAN_CONCURRENCY),
        describes: turns("a schedule", DESCRIBE_CONCURRENCY),
        bulks: ConcurrencyLimit::new("an action on many schedules", BULKS, BULKS),
        events: turns("an event", EVENTS),
        webhooks: Webhooks::new(webhook_secrets),
        sync_wait: SYNC_WAIT,
        stop: stop.clone(),
    });
    let is_loopback = listener
        .local_addr()
        .is_ok_and(|address| address.ip().is_loopback());
    if !is_loopback && !authority.is_asked_for() {
        tracing::warn!(
            "only the probes, the metrics and webhooks are served: anyone could use the rest; hint: \
             --auth token, or --listen on a loopback address"
        );
    }
    let app = router(
        Arc::clone(&service),
        &authority,
        is_loopback,
        pages::routes(),
    );
    let keep_webhooks = service.webhooks.keep(&*service.backend);
    tokio::join!(
        authority.keep(stop.clone()),
        stop.run_until_cancelled(keep_webhooks),
        server::serve(listener, app, Limits::of_this_process(), stop.clone())
    );
}

fn router<B: Backend>(
    service: Arc<Service<B>>,
    authority: &Authority,
    is_loopback: bool,
    pages: Router<Arc<Service<B>>>,
) -> Router {
    let (open, mut described) = probes().split_for_parts();
    let (webhooks, of_webhooks) = webhook_routes().split_for_parts();
    described.merge(of_webhooks);
    let (guarded, mut of_guarded) = api().split_for_parts();
    let (events, of_events) = event_routes().split_for_parts();
    of_guarded.merge(of_events);
    let document = openapi::text(&openapi::document(described, of_guarded));
    let open = open
        .merge(pages::open_routes())
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn(limits::no_body))
        .merge(webhooks.method_not_allowed_fallback(problem::no_such_method));
    let all = if is_loopback || authority.is_asked_for() {
        let guarded = guarded.layer(Extension(document));
        open.merge(behind(authority, guarded, events, pages))
    } else {
        open.fallback(problem::no_such_page)
    };
    all.layer(middleware::from_fn(pages::problems))
        .layer(middleware::from_fn(limits::time))
        .layer(middleware::from_fn(head::check))
        .layer(middleware::from_fn(cross_site::headers))
        .with_state(service)
}

/// Routes that are served to everyone.
fn probes<B: Backend>() -> OpenApiRouter<Arc<Service<B>>> {
    OpenApiRouter::new()
        .routes(routes!(probes::healthz))
        .routes(routes!(probes::readyz))
        .routes(routes!(probes::metrics))
}

/// Routes that require a token, or a client of this machine. Methods of one path are in
/// one `routes!`.
fn api<B: Backend>() -> OpenApiRouter<Arc<Service<B>>> {
    OpenApiRouter::new()
        .routes(routes!(sync::sync))
        .routes(routes!(definitions::list))
        .routes(routes!(definitions::one))
        .routes(routes!(schedules::list))
        .routes(routes!(schedules::one, overrides::patch))
        .routes(routes!(overrides::clear))
        .routes(routes!(manual_run_routes::trigger))
        .routes(routes!(manual_run_routes::backfill))
        .routes(routes!(timeline::timeline))
        .routes(routes!(schedules::plan))
        .routes(routes!(schedules::reconcile))
        .routes(routes!(activity::list))
        .routes(routes!(events::list))
        .routes(routes!(events::one))
        .routes(routes!(events::replay_one))
        .routes(routes!(openapi::openapi))
}

/// Routes that take events, whose bodies may be larger than those of other requests.
fn event_routes<B: Backend>() -> OpenApiRouter<Arc<Service<B>>> {
    OpenApiRouter::new().routes(routes!(events::receive))
}

/// Routes whose requests show by a signature who sent them. They need no token, no browser sends
/// them, and they may use any host name.
fn webhook_routes<B: Backend>() -> OpenApiRouter<Arc<Service<B>>> {
    OpenApiRouter::new().routes(routes!(webhooks::receive))
}

/// Puts the routes behind the authority, which also covers paths that do not exist.
fn behind<B: Backend>(
    authority: &Authority,
    api: Router<Arc<Service<B>>>,
    events: Router<Arc<Service<B>>>,
    pages: Router<Arc<Service<B>>>,
) -> Router<Arc<Service<B>>> {
    let names = if authority.is_asked_for() {
        AllowedHosts::Any
    } else {
        AllowedHosts::Loopback
    };
    let authorize = middleware::from_fn_with_state(authority.clone(), auth::authorize);
    let protect = middleware::from_fn_with_state(authority.clone(), forms::protect);
    let limited = |limit| middleware::from_fn_with_state(limit, limits::body);
    // The last layer is the first to get a request. The page `/events` and `POST /events` are one
    // path, so the fallbacks come after both.
    let guarded = api
        .merge(pages.layer(protect.clone()))
        .layer(limited(BodyLimit::USUAL))
        .merge(events.layer(limited(BodyLimit::EVENTS)))
        .fallback(problem::no_such_page.layer(limited(BodyLimit::USUAL)))
        .method_not_allowed_fallback(problem::no_such_method.layer(limited(BodyLimit::USUAL)))
        .layer(authorize);
    let mut personal = pages::personal_routes();
    if authority.has_login() {
        personal = personal.merge(auth::login::routes(authority));
    }
    let personal = personal
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(protect)
        .layer(limited(BodyLimit::USUAL));
    guarded
        .merge(personal)
        .layer(middleware::from_fn_with_state(names, cross_site::same_site))
}
