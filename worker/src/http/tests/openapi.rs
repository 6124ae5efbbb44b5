//! The description of the API, compared with the routes that are served.

use std::collections::BTreeSet;

use super::*;

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

async fn described() -> (Server, Value) {
    let server = server(Fake::reporting(Report::default())).await;
    let answer = server.get("/api/v1/openapi.json").await;
    assert_eq!(answer.status, 200);
    let document = answer.json();
    (server, document)
}

/// Path, method and description of every operation.
fn operations(document: &Value) -> Vec<(&String, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            METHODS
                .into_iter()
                .filter_map(move |method| Some((path, method, item.get(method)?)))
        })
        .collect()
}

#[tokio::test]
async fn the_description_names_every_endpoint() {
    let (_server, document) = described().await;
    assert_eq!(document["openapi"], "3.1.0");
    let names: Vec<_> = operations(&document)
        .into_iter()
        .map(|(path, method, _)| format!("{} {path}", method.to_uppercase()))
        .collect();
    insta::assert_snapshot!(names.join("\n"), @"
    POST /admin/sync
    GET /api/v1/activity
    GET /api/v1/definitions
    GET /api/v1/definitions/{id}
    GET /api/v1/events
    GET /api/v1/events/{id}
    POST /api/v1/events/{id}/replay
    GET /api/v1/openapi.json
    GET /api/v1/plan
    GET /api/v1/reconcile
    GET /api/v1/schedules
    GET /api/v1/schedules/{id}
    PATCH /api/v1/schedules/{id}
    POST /api/v1/schedules/{id}/backfill
    DELETE /api/v1/schedules/{id}/override
    POST /api/v1/schedules/{id}/trigger
    GET /api/v1/timeline
    POST /events
    GET /healthz
    GET /metrics
    GET /readyz
    POST /webhooks/{slug}
    ");
}

#[tokio::test]
async fn what_is_described_is_served_and_nothing_else() {
    let (server, document) = described().await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            let at = path.replace("{id}", "job-1");
            let answer = server
                .ask(&method.to_uppercase(), &at, "host: localhost")
                .await;
            let is_served = answer.status != 405;
            // The list of deliveries is a page for people.
            let is_page = (method, path.as_str()) == ("get", "/events");
            let is_described = item.get(method).is_some() || is_page;
            assert_eq!(is_served, is_described, "{method} {path}");
            assert!(
                is_page || !answer.body.contains("here\""),
                "{method} {path}"
            );
        }
    }
    // Whatever else is routed would have to be said past `routes!`.
    let router = include_str!("../mod.rs");
    assert!(!router.contains(".route("), "a route that is not described");
}

#[tokio::test]
async fn authority_problems_and_their_statuses_are_described() {
    let (_server, document) = described().await;
    for (path, method, operation) in operations(&document) {
        let is_probe = ["/healthz", "/readyz", "/metrics"].contains(&path.as_str());
        let is_open = is_probe || path == "/webhooks/{slug}";
        let responses = operation["responses"].as_object().unwrap();
        assert_eq!(
            operation.get("security").is_none(),
            is_open,
            "{method} {path}"
        );
        assert_eq!(responses.contains_key("401"), !is_probe, "{method} {path}");
        for (status, response) in responses {
            let is_problem = status.as_str() >= "400" && !(path == "/readyz" && status == "503");
            // An answer without a body has no content.
            let content = response.get("content").and_then(Value::as_object);
            let has_problem =
                content.is_some_and(|content| content.contains_key("application/problem+json"));
            assert_eq!(has_problem, is_problem, "{method} {path} {status}");
        }
        for part in ["operationId", "summary", "tags"] {
            assert!(operation.get(part).is_some(), "{method} {path}: no {part}");
        }
    }
    let scheme = &document["components"]["securitySchemes"]["bearer"];
    assert_eq!(scheme, &json!({ "type": "http", "scheme": "bearer" }));
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let (_server, document) = described().await;
    let mut references = BTreeSet::new();
    gather(&document, &mut references);
    assert!(
        references.contains("#/components/schemas/ScheduleView"),
        "{references:?}"
    );
    for reference in references {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference}");
    }
}

fn gather(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                references.insert(reference.clone());
            }
            object.values().for_each(|value| gather(value, references));
        }
        Value::Array(list) => list.iter().for_each(|value| gather(value, references)),
        _ => {}
    }
}
