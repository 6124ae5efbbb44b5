use super::server::Server;
use almanac_steps::machine::OpenApiRequest;

use super::*;

#[tokio::test]
async fn a_redirection_is_an_error_unless_it_is_followed() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    let uri = server.at("/to/302?uri=/echo");
    let error = get(&steps, json!({"uri": uri})).await.unwrap_err();
    assert_eq!(error.fault.status, 302);
    assert!(detail(&error).contains("redirect: true"), "{error:?}");
    let answer = get(&steps, json!({"uri": uri, "redirect": true}))
        .await
        .unwrap();
    assert_eq!(answer["path"], "/echo");
    let fields = json!({"uri": server.at("/status/304"), "redirect": true});
    get(&steps, fields).await.unwrap();
}

#[tokio::test]
async fn each_hop_is_checked() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    let port = server.address.port();
    for target in [
        "http://169.254.169.254/latest/".to_owned(),
        "http://0xa9fea9fe/".to_owned(),
        "http://[::ffff:10.0.0.1]/".to_owned(),
        format!("http://127.0.0.2:{port}/echo"),
        "file:///etc/passwd".to_owned(),
        "http://u:p@8.8.8.8/".to_owned(),
    ] {
        let uri = server.at(&format!("/to/307?uri={target}"));
        let fields = json!({"uri": uri, "redirect": true});
        let error = get(&steps, fields).await.unwrap_err();
        assert_eq!(kind(&error.fault), "configuration", "{target}: {error:?}");
    }
    assert!(server.asked().iter().all(|asked| asked == "GET /to/307"));
}

#[tokio::test]
async fn the_number_of_redirections_is_limited() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    let fields = json!({"uri": server.at("/loop"), "redirect": true});
    let error = get(&steps, fields).await.unwrap_err();
    assert!(detail(&error).contains("more than 10"), "{error:?}");
}

#[tokio::test]
async fn a_redirect_keeps_the_method_and_the_body_if_its_status_asks_for_it() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    for (code, sent, method, body) in [
        (301, "post", "GET", ""),
        (302, "post", "GET", ""),
        (303, "put", "GET", ""),
        (302, "put", "PUT", "{}"),
        (307, "post", "POST", "{}"),
        (308, "post", "POST", "{}"),
    ] {
        let uri = server.at(&format!("/to/{code}?uri=/echo"));
        let fields = json!({"method": sent, "uri": uri, "body": {}, "redirect": true});
        let answer = get(&steps, fields).await.unwrap();
        assert_eq!(
            (&answer["method"], &answer["body"]),
            (&json!(method), &json!(body))
        );
    }
}

#[tokio::test]
async fn another_origin_is_shown_no_credentials() {
    let (first, second) = (Server::start().await, Server::start().await);
    let token = file("tok-12345");
    let entry = format!("token=file:{}", token.path().display());
    let steps = steps(&[&first.allowed(), &second.allowed()], &[&entry]);
    let follow = async |target: String| {
        let fields = json!({
            "uri": first.at(&format!("/to/307?uri={target}")), "redirect": true,
            "headers": {"x-api-key": "k", "cookie": "c=1", "accept": "text/x"},
            "authentication": {"scheme": "bearer", "credentials": {"secret": "token"}},
        });
        get(&steps, fields).await.unwrap()["headers"].take()
    };
    let same = follow(first.at("/echo")).await;
    assert_eq!(same["authorization"], "Bearer ***");
    assert_eq!(same["x-api-key"], "k");
    // Also not when the way leads back.
    let back = format!("{}%3Furi%3D{}", second.at("/to/307"), first.at("/echo"));
    for target in [second.at("/echo"), back] {
        let other = follow(target).await;
        for name in ["authorization", "x-api-key", "cookie"] {
            assert_eq!(other[name], Value::Null, "{name}");
        }
        assert_eq!(other["accept"], "text/x");
    }
}

#[tokio::test]
async fn a_secret_is_sent_to_no_host_but_those_it_is_bound_to() {
    let (bound, other) = (Server::start().await, Server::start().await);
    let token = file("tok-12345");
    let entry = format!("token=file:{}@{}", token.path().display(), bound.address);
    let steps = steps(&[&bound.allowed(), &other.allowed()], &[&entry]);
    let authentication = json!({"scheme": "bearer", "credentials": {"secret": "token"}});
    let fields = |uri| json!({"uri": uri, "authentication": authentication.clone()});
    let answer = get(&steps, fields(bound.at("/echo"))).await.unwrap();
    assert_eq!(answer["headers"]["authorization"], "Bearer ***");

    let error = get(&steps, fields(other.at("/echo"))).await.unwrap_err();
    assert_eq!(kind(&error.fault), "authorization");
    let expected = format!("--secret binds it to {}", bound.address);
    assert!(detail(&error).contains(&expected), "{error:?}");
    assert!(other.asked().is_empty(), "{:?}", other.asked());

    // The server of an operation is what its document says.
    let request: OpenApiRequest = serde_json::from_value(json!({
        "document": other.at("/pets.json"), "operation": "putPet",
        "parameters": {"id": "a", "tags": ["x"], "body": {}}, "authentication": authentication,
    }))
    .unwrap();
    let error = steps.openapi(&request, LONG, 1).await.unwrap_err();
    assert_eq!(kind(&error.fault), "authorization", "{error:?}");
    let asked = other.asked();
    assert!(asked.iter().all(|one| !one.contains("/echo")), "{asked:?}");
}
