use almanac_steps::machine::OpenApiRequest;

use super::server::Server;
use super::*;

fn call(document: String, operation: &str, parameters: Value) -> OpenApiRequest {
    serde_json::from_value(json!({
        "document": document, "operation": operation, "parameters": parameters,
        "authentication": {
            "scheme": "bearer", "credentials": {"inline": {"token": "tok-12345"}},
        },
    }))
    .unwrap()
}

#[tokio::test]
async fn an_operation_is_called_at_the_address_in_its_document() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    let parameters = json!({"id": "a/b", "tags": ["x", "y"], "body": {"name": "Rex"}});
    let request = call(server.at("/pets.json"), "putPet", parameters);
    let answer = steps.openapi(&request, LONG, 1).await.unwrap();
    assert_eq!(answer["method"], "PUT");
    assert_eq!(answer["path"], "/echo/pets/a%2Fb");
    assert_eq!(answer["query"], "tags=x&tags=y");
    assert_eq!(answer["body"], r#"{"name":"Rex"}"#);
    assert_eq!(answer["headers"]["authorization"], "Bearer ***");
    // A document that comes compressed is the same document.
    let at = server.at("/coded/gzip/document");
    let request = call(at, "putPet", json!({"id": "a", "tags": [], "body": {}}));
    let answer = steps.openapi(&request, LONG, 1).await.unwrap();
    assert_eq!(answer["path"], "/echo/pets/a");
}

#[tokio::test]
async fn the_guard_stands_before_the_document_and_before_the_call() {
    let (server, steps) = (Server::start().await, steps(&[], &[]));
    let request = call(server.at("/pets.json"), "putPet", json!({}));
    let error = steps.openapi(&request, LONG, 1).await.unwrap_err();
    assert_eq!(kind(&error.fault), "configuration");
    // The document may be read, and names a server that may not be called.
    let steps = super::steps(&[&server.allowed()], &[]);
    let request = call(server.at("/inside.json"), "x", json!({}));
    let error = steps.openapi(&request, LONG, 1).await.unwrap_err();
    assert!(detail(&error).contains("cloud metadata"), "{error:?}");
}

#[tokio::test]
async fn a_document_that_cannot_be_had_is_an_error() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    for (path, expected, status) in [
        ("/status/404", "communication", 404),
        ("/status/503", "communication", 503),
        ("/text", "configuration", 400),
        ("/broken", "configuration", 400),
        ("/stream", "communication", 500),
    ] {
        let request = call(server.at(path), "putPet", json!({}));
        let error = steps.openapi(&request, LONG, 1).await.unwrap_err();
        assert_eq!(
            (kind(&error.fault), error.fault.status),
            (expected, status),
            "{path}"
        );
    }
}

/// A request that is not repeatable is not sent a second time, even if the first was lost.
#[tokio::test]
async fn a_second_attempt_is_sent_only_if_the_request_is_repeatable() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    let parameters = json!({"id": "a", "tags": ["x"], "body": {"name": "Rex"}});
    let put = call(server.at("/pets.json"), "putPet", parameters.clone());
    assert!(steps.openapi(&put, LONG, 2).await.is_ok());
    let post = call(server.at("/pets.json"), "postPet", parameters);
    assert!(steps.openapi(&post, LONG, 1).await.is_ok());
    let error = steps.openapi(&post, LONG, 2).await.unwrap_err();
    assert!(detail(&error).contains("may have been done"), "{error:?}");
    assert!(!error.retryable);
}
