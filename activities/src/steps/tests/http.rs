use super::server::Server;
use super::*;

#[tokio::test]
async fn a_request_has_its_query_headers_and_body() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    let answer = get(
        &steps,
        json!({
            "method": "post",
            "uri": server.at("/echo?a=1"),
            "query": {"b": "x y", "c": [1, true], "d": null},
            "headers": {"X-One": "1", "x-two": ["a", "b"]},
            "body": {"k": ["v"]},
        }),
    )
    .await
    .unwrap();
    assert_eq!(answer["method"], "POST");
    assert_eq!(answer["query"], "a=1&b=x+y&c=1&c=true");
    assert_eq!(answer["body"], r#"{"k":["v"]}"#);
    assert_eq!(answer["headers"]["x-one"], "1");
    assert_eq!(answer["headers"]["x-two"], "a, b");
    assert_eq!(answer["headers"]["content-type"], "application/json");
}

/// Servers that insist on a length refuse a request without.
#[tokio::test]
async fn a_request_without_the_body_that_its_method_may_have_states_length_0() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    for (method, body, length) in [
        ("post", Value::Null, json!("0")),
        ("put", json!(""), json!("0")),
        ("patch", Value::Null, json!("0")),
        ("post", json!("x"), json!("1")),
        ("get", Value::Null, Value::Null),
        ("delete", Value::Null, Value::Null),
    ] {
        let fields = json!({"method": method, "uri": server.at("/echo"), "body": body});
        let answer = get(&steps, fields).await.unwrap();
        assert_eq!(answer["headers"]["content-length"], length, "{method}");
        assert_eq!(answer["headers"]["transfer-encoding"], Value::Null);
    }
    // A redirect that becomes a GET has no body and no headers about one.
    let fields = json!({"method": "post", "uri": server.at("/to/303?a=/echo"), "redirect": true});
    let answer = get(&steps, fields).await.unwrap();
    assert_eq!(
        (&answer["method"], &answer["headers"]["content-length"]),
        (&json!("GET"), &Value::Null)
    );
}

#[tokio::test]
async fn a_body_is_written_in_the_form_of_its_content_type() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    for (kind, body, sent, sent_as) in [
        (None, json!("text"), "text", "text/plain; charset=utf-8"),
        (None, json!([1]), "[1]", "application/json"),
        (
            Some("application/json"),
            json!("{}"),
            "{}",
            "application/json",
        ),
        (
            Some("application/vnd.x+json"),
            json!({}),
            "{}",
            "application/vnd.x+json",
        ),
        (
            Some("application/x-www-form-urlencoded"),
            json!({"a": "x&y", "b": [1, 2]}),
            "a=x%26y&b=1&b=2",
            "application/x-www-form-urlencoded",
        ),
        (Some("text/xml"), json!("<a/>"), "<a/>", "text/xml"),
    ] {
        let headers = kind.map(|kind| json!({"content-type": kind}));
        let fields =
            json!({"method": "post", "uri": server.at("/echo"), "headers": headers, "body": body});
        let answer = get(&steps, fields).await.unwrap();
        assert_eq!(answer["body"], sent);
        assert_eq!(answer["headers"]["content-type"], sent_as);
    }
    let fields = json!({
        "method": "post", "uri": server.at("/echo"),
        "headers": {"content-type": "text/xml"}, "body": {"a": 1},
    });
    let error = get(&steps, fields).await.unwrap_err();
    assert_eq!(kind(&error.fault), "configuration");
}

#[tokio::test]
async fn the_output_is_content_or_raw_or_response() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    let of = async |path: &str, output: &str| {
        let fields = json!({"uri": server.at(path), "output": output});
        get(&steps, fields).await.unwrap()
    };
    assert_eq!(of("/text", "content").await, "plain");
    assert_eq!(of("/nothing", "content").await, Value::Null);
    assert_eq!(of("/binary", "content").await, "/wA=");
    assert_eq!(of("/text", "raw").await, "cGxhaW4=");
    let whole = of("/text?a=1", "response").await;
    assert_eq!(whole["request"]["method"], "GET");
    assert_eq!(whole["request"]["uri"], server.at("/text?a=1"));
    assert_eq!(whole["request"]["headers"], json!({}));
    assert_eq!(whole["statusCode"], 200);
    assert_eq!(whole["headers"]["content-length"], "5");
    assert_eq!(whole["content"], "plain");
}

#[tokio::test]
async fn an_error_has_the_type_of_the_specification_and_its_status() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    for (code, retryable) in [
        (301, false),
        (400, false),
        (401, false),
        (404, false),
        (408, true),
        (429, true),
        (500, true),
        (501, false),
        (503, true),
    ] {
        let uri = server.at(&format!("/status/{code}?secret=1"));
        let error = get(&steps, json!({"uri": uri})).await.unwrap_err();
        assert_eq!(kind(&error.fault), "communication");
        assert_eq!(error.fault.status, code);
        assert_eq!(error.retryable, retryable, "{code}");
        assert_eq!(
            error.retry_after,
            retryable.then_some(Duration::from_secs(7))
        );
        assert!(detail(&error).contains("because"), "{error:?}");
        assert!(!detail(&error).contains("secret=1"), "{error:?}");
    }
    // It asks for more than anybody waits by itself.
    let long = get(&steps, json!({"uri": server.at("/status/503?long")}))
        .await
        .unwrap_err();
    assert!(!long.retryable, "{long:?}");
    let error = get(&steps, json!({"uri": server.at("/broken")}))
        .await
        .unwrap_err();
    assert_eq!(kind(&error.fault), "communication");
}

#[tokio::test]
async fn a_call_that_may_have_been_done_is_retryable_only_if_its_method_is_idempotent() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed(), "127.0.0.1:1"], &[]);
    for (method, again) in [
        ("get", true),
        ("put", true),
        ("post", false),
        ("patch", false),
    ] {
        for (code, retryable) in [(429, true), (503, again), (500, again), (408, again)] {
            let uri = server.at(&format!("/status/{code}"));
            let error = get(&steps, json!({"method": method, "uri": uri}))
                .await
                .unwrap_err();
            assert_eq!(error.retryable, retryable, "{method} {code}");
        }
        // It never got there.
        let fields = json!({"method": method, "uri": "http://127.0.0.1:1/"});
        assert!(get(&steps, fields).await.unwrap_err().retryable, "{method}");
        // It got to a server that sent it there.
        let uri = server.at("/to/307?uri=http://127.0.0.1:1/");
        let fields = json!({"method": method, "uri": uri, "redirect": true});
        let error = get(&steps, fields).await.unwrap_err();
        assert_eq!(error.retryable, again, "{method} redirected");
        let request = request(json!({"method": method, "uri": server.at("/never")}));
        let error = steps
            .http(&request, Duration::from_millis(200))
            .await
            .unwrap_err();
        assert_eq!(error.retryable, again, "{method} in time");
    }
}

#[tokio::test]
async fn size_and_time_are_limited() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    for path in ["/large", "/stream"] {
        let error = get(&steps, json!({"uri": server.at(path)}))
            .await
            .unwrap_err();
        assert!(detail(&error).contains("larger than"), "{error:?}");
        assert!(!error.retryable);
    }
    let request = request(json!({"uri": server.at("/never")}));
    let error = steps
        .http(&request, Duration::from_millis(300))
        .await
        .unwrap_err();
    assert_eq!((kind(&error.fault), error.fault.status), ("timeout", 408));
    assert!(error.retryable);
}

#[tokio::test]
async fn a_port_without_a_server_is_a_communication_error() {
    let steps = steps(&["127.0.0.1"], &[]);
    let error = get(&steps, json!({"uri": "http://127.0.0.1:1/x?y"}))
        .await
        .unwrap_err();
    assert_eq!(kind(&error.fault), "communication");
    assert!(error.retryable);
    assert!(
        detail(&error).starts_with("http://127.0.0.1:1/x: "),
        "{error:?}"
    );
}

#[tokio::test]
async fn names_are_resolved_and_checked_where_the_connection_is_made() {
    let server = Server::start().await;
    let port = server.address.port();
    let uri = format!("http://localhost:{port}/echo");
    let refused = get(&steps(&[], &[]), json!({"uri": uri}))
        .await
        .unwrap_err();
    assert_eq!(kind(&refused.fault), "configuration");
    assert!(!refused.retryable);
    assert!(detail(&refused).contains("--http-allow"), "{refused:?}");
    let other = steps(&[&format!("localhost:{}", port.wrapping_add(1))], &[]);
    get(&other, json!({"uri": uri})).await.unwrap_err();
    assert_eq!(server.asked(), Vec::<String>::new());
    let allowed = steps(&[&format!("localhost:{port}")], &[]);
    get(&allowed, json!({"uri": uri})).await.unwrap();
    assert_eq!(server.asked(), ["GET /echo"]);
}

#[tokio::test]
async fn headers_of_the_connection_are_refused() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "a b",
        "Connection",
    ] {
        let fields = json!({"uri": server.at("/echo"), "headers": {name: "1"}});
        let error = get(&steps, fields).await.unwrap_err();
        assert_eq!(kind(&error.fault), "configuration", "{name}");
    }
    let fields = json!({"uri": server.at("/echo"), "headers": {"x": "a\r\nb: c"}});
    assert_eq!(
        kind(&get(&steps, fields).await.unwrap_err().fault),
        "configuration"
    );
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn basic_bearer_and_digest_send_the_credentials() {
    let server = Server::start().await;
    let (token, pair) = (file("tok-12345\n"), file("Aladdin:open sesame"));
    let lion = file(r#"{"username": "Mufasa", "password": "Circle of Life"}"#);
    let entries = [
        format!("token=file:{}", token.path().display()),
        format!("pair=file:{}", pair.path().display()),
        format!("lion=file:{}", lion.path().display()),
    ];
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let steps = steps(&[&server.allowed()], &entries);
    let with = async |path: &str, scheme: &str, credentials: Value| {
        let authentication = json!({"scheme": scheme, "credentials": credentials});
        let fields = json!({"uri": server.at(path), "authentication": authentication});
        get(&steps, fields).await
    };
    let secret = |name: &str| json!({"secret": name});
    let user = json!({"inline": {"username": "Aladdin", "password": "open sesame"}});
    with("/basic", "basic", user.clone()).await.unwrap();
    with("/basic", "basic", secret("pair")).await.unwrap();
    for algorithm in ["MD5", "SHA-256"] {
        let path = format!("/digest/{algorithm}?a=1");
        with(&path, "digest", secret("lion")).await.unwrap();
        // What is wrong stays wrong: no second try.
        let error = with(&path, "digest", user.clone()).await.unwrap_err();
        assert_eq!(error.fault.status, 401);
    }
    // The server says what it saw; the token is taken out.
    let answer = with("/echo", "bearer", secret("token")).await.unwrap();
    assert_eq!(answer["headers"]["authorization"], "Bearer ***");
    // Digest never falls back to showing the password.
    let error = with("/basic", "digest", user).await.unwrap_err();
    assert_eq!(error.fault.status, 401);
    for (scheme, name, wanted, why) in [
        ("bearer", "other", "authorization", "no secret `other`"),
        ("basic", "token", "configuration", "username:password"),
        ("bearer", "lion", "configuration", "`token`"),
    ] {
        let error = with("/echo", scheme, secret(name)).await.unwrap_err();
        assert_eq!(kind(&error.fault), wanted);
        assert!(detail(&error).contains(why), "{error:?}");
    }
}

/// Also a document of `OpenAPI`, and secrets in what was decoded.
#[tokio::test]
async fn a_coded_answer_is_decoded_or_the_error_names_its_coding() {
    let server = Server::start().await;
    let steps = steps(&[&server.allowed()], &[]);
    let fetch = async |path: &str, output: &str| {
        let fields = json!({"uri": server.at(path), "output": output});
        get(&steps, fields).await
    };
    for coding in ["gzip", "X-GZIP", "deflate", "identity"] {
        let answer = fetch(&format!("/coded/{coding}/json"), "content").await;
        assert_eq!(
            answer.unwrap(),
            json!({"accepted": "gzip, deflate"}),
            "{coding}"
        );
        let answer = fetch(&format!("/coded/{coding}/text"), "content").await;
        assert_eq!(answer.unwrap(), "some text", "{coding}");
    }
    let whole = fetch("/coded/gzip/text", "response").await.unwrap();
    assert_eq!(whole["content"], "some text");
    assert_eq!(whole["headers"].get("content-encoding"), None, "{whole}");
    let raw = fetch("/coded/gzip/text", "raw").await.unwrap();
    assert_eq!(raw, "c29tZSB0ZXh0");
    // A definition may ask for something else.
    let fields = json!({
        "uri": server.at("/coded/identity/json"), "headers": {"Accept-Encoding": "identity"}
    });
    let answer = get(&steps, fields).await.unwrap();
    assert_eq!(answer, json!({"accepted": "identity"}));
    let unknown = fetch("/coded/br/json", "content").await.unwrap_err();
    let message = detail(&unknown);
    assert!(message.contains("content coding \"br\""), "{message}");
    assert!(!unknown.retryable, "{message}");
    // The status says more.
    let error = fetch("/coded/br/text", "content").await.unwrap_err();
    assert_eq!(error.fault.status, 502, "{error:?}");
    let large = fetch("/coded/gzip/large", "content").await.unwrap_err();
    assert!(detail(&large).contains("larger than"), "{large:?}");
}
