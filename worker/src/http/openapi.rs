//! `GET /api/v1/openapi.json`: the description of the API, generated from the handlers
//! that serve it.
//!
//! A handler joins with `#[utoipa::path]` above it and `routes!` in [`super::router`].
//! `routes!` routes the path that `#[utoipa::path]` describes, so neither can exist
//! without the other. The parts that all endpoints have in common are added here.

use std::collections::BTreeMap;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, Response as Described,
    ResponseBuilder,
};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use super::problem::{Details, Problem};

/// The media type of problems.
pub(super) const PROBLEM: &str = "application/problem+json";
/// Name of the security scheme in the description.
const BEARER: &str = "bearer";

/// Error responses that every request may get.
const COMMON: [(&str, &str); 6] = [
    ("400", "The request cannot be read"),
    ("408", "The body did not arrive in time"),
    ("413", "The body is too large"),
    ("414", "The target is too large"),
    ("431", "The head is too large"),
    (
        "503",
        "There is no answer now; `Retry-After` says when to retry",
    ),
];
/// Error responses that every request with required authority may get.
const GUARDED: [(&str, &str); 3] = [
    ("401", "The request has no valid token"),
    (
        "403",
        "The token's scope is not sufficient, or the request comes from another site",
    ),
    ("429", "Too many requests; `Retry-After` says when to retry"),
];

/// Further error responses of a request that needs Temporal.
pub(super) struct Upstream;

impl IntoResponses for Upstream {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        problems([
            ("409", "The reconcile workflow refused the request"),
            ("429", "Too many requests; `Retry-After` says when to retry"),
            (
                "503",
                "Temporal is not available; `Retry-After` says when to retry",
            ),
        ])
    }
}

/// Describes error responses, each by its status.
pub(super) fn problems<const N: usize>(
    all: [(&str, &str); N],
) -> BTreeMap<String, RefOr<Described>> {
    all.map(|(status, what)| (status.to_owned(), problem(what).into()))
        .into()
}

/// Returns this description of the API.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", operation_id = "openapi", tag = "process",
    responses((status = 200, description = "The OpenAPI 3.1 document", body = Value))
)]
pub(super) async fn openapi(Extension(Text(text)): Extension<Text>) -> Response {
    json(text)
}

/// The description as it is answered: one text, shared by all readers.
#[derive(Debug, Clone)]
pub(super) struct Text(Bytes);

/// Returns the text of a description.
pub(super) fn text(document: &Value) -> Text {
    Text(document.to_string().into())
}

/// Serializes a value into a JSON answer immediately, so that the threads that serve all
/// requests do not have to.
pub(super) fn written(value: &impl Serialize) -> Result<Response, Problem> {
    let text = serde_json::to_vec(value).map_err(|error| {
        let detail = format!("the answer cannot be written: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })?;
    Ok(json(text))
}

fn json(text: impl Into<Body>) -> Response {
    let kind = HeaderValue::from_static("application/json");
    let mut response = Response::new(text.into());
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Merges the descriptions of the routes that are open to everyone and of those that
/// require authority.
pub(super) fn document(mut open: OpenApi, mut guarded: OpenApi) -> Value {
    for operation in operations(&mut guarded) {
        answer(operation, &GUARDED);
        operation.security = Some(vec![SecurityRequirement::new(BEARER, [] as [&str; 0])]);
    }
    open.merge(guarded);
    operations(&mut open).for_each(|operation| answer(operation, &COMMON));
    open.info = InfoBuilder::new()
        .title("Almanac")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(env!("CARGO_PKG_DESCRIPTION")))
        .license(Some(
            LicenseBuilder::new()
                .name(env!("CARGO_PKG_LICENSE"))
                .identifier(Some(env!("CARGO_PKG_LICENSE")))
                .build(),
        ))
        .build();
    let components = open.components.get_or_insert_default();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.add_security_scheme(BEARER, scheme);
    let schemas = &mut components.schemas;
    schemas.insert(Details::name().into_owned(), Details::schema());
    serde_json::to_value(open).unwrap_or_default()
}

fn operations(api: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    api.paths.paths.values_mut().flat_map(|item| {
        [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
        ]
        .into_iter()
        .flatten()
    })
}

/// Adds responses that the operation does not describe itself.
fn answer(operation: &mut Operation, answers: &[(&str, &str)]) {
    let responses = &mut operation.responses.responses;
    for (status, what) in answers {
        responses
            .entry((*status).to_owned())
            .or_insert_with(|| problem(what).into());
    }
}

fn problem(what: &str) -> Described {
    let details = Ref::from_schema_name(Details::name());
    let content = ContentBuilder::new().schema(Some(details)).build();
    ResponseBuilder::new()
        .description(what)
        .content(PROBLEM, content)
        .build()
}
