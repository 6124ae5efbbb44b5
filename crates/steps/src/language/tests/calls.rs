//! Tests of `call` and `run`.

use serde_json::{Value, json};

use super::{flow, problems};
use crate::language::{
    Authentication, AuthenticationScheme, Call, CallOutput, Credentials, Flow, Kind, Process,
    Template, Uri, UriPart,
};

fn call(task: &Value) -> Call {
    let flow = flow(&json!({
        "use": { "secrets": ["crm"], "authentications": { "shop": { "bearer": { "token": "${ .token }" } } } },
        "do": [{ "x": task }],
    }));
    match &flow.list(Flow::ROOT)[0].kind {
        Kind::Call(call) => call.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_http_call_has_a_uri_template_and_an_authentication() {
    let Call::Http(http) = call(&json!({ "call": "http", "with": {
        "method": "get",
        "endpoint": { "uri": "https://x.org/{id}/a?b={c}", "authentication": { "bearer": { "use": "crm" } } },
        "headers": { "Accept": "${ .type }" },
        "output": "response",
        "redirect": true,
    } })) else {
        unreachable!()
    };
    assert_eq!(
        http.endpoint.uri,
        Uri::Template(vec![
            UriPart::Text("https://x.org/".to_owned()),
            UriPart::Variable("id".to_owned()),
            UriPart::Text("/a?b=".to_owned()),
            UriPart::Variable("c".to_owned()),
        ])
    );
    assert_eq!(
        http.endpoint.authentication.as_deref(),
        Some(&Authentication {
            scheme: AuthenticationScheme::Bearer,
            credentials: Credentials::Secret("crm".to_owned()),
        })
    );
    assert_eq!((http.output, http.redirect), (CallOutput::Response, true));
}

#[test]
fn parameters_are_texts_numbers_booleans_and_lists_of_them() {
    let query = json!({ "a": 1, "b": true, "c": ["x", 2.5], "d": [], "e": "t" });
    let Call::Http(http) = call(&json!({ "call": "http", "with": {
        "method": "get",
        "endpoint": "https://x.org",
        "headers": { "X-Retries": 3, "Accept": ["a/b", "c/d"] },
        "query": query,
    } })) else {
        unreachable!()
    };
    assert_eq!(http.query, Some(Template::Literal(query)));
    assert!(http.headers.is_some());
}

#[test]
fn an_authentication_can_be_named() {
    let Call::OpenApi(openapi) = call(&json!({ "call": "openapi", "with": {
        "document": { "endpoint": "https://x.org/openapi.json" },
        "operationId": "find",
        "parameters": { "limit": 5, "status": "${ .status }" },
        "authentication": { "use": "shop" },
    } })) else {
        unreachable!()
    };
    let authentication = openapi.authentication.unwrap();
    assert_eq!(authentication.scheme, AuthenticationScheme::Bearer);
    assert!(matches!(
        authentication.credentials,
        Credentials::Inline(Template::Map(_))
    ));
}

#[test]
fn an_activity_is_called_on_its_queue() {
    let Call::Activity(activity) = call(
        &json!({ "call": "activity", "with": { "name": "Archive", "task_queue": "crm-python" } }),
    ) else {
        unreachable!()
    };
    assert_eq!(activity.arguments, Template::Literal(json!([])));
    let flow = flow(
        &json!([{ "x": { "run": { "workflow": { "namespace": "a", "name": "b", "version": "1.0.0", "input": { "c": ".user" } }, "await": false } } }]),
    );
    let Kind::Run(run) = &flow.list(Flow::ROOT)[0].kind else {
        unreachable!()
    };
    assert!(!run.wait && matches!(&run.process, Process::Workflow { name, .. } if name == "b"));
}

#[test]
fn errors_of_a_call_are_reported() {
    let http = |with: Value| json!({ "call": "http", "with": with });
    let endpoint = |endpoint: Value| json!({ "call": "http", "with": { "method": "get", "endpoint": endpoint } });
    insta::assert_snapshot!(problems(&json!([
        { "a": http(json!({ "method": "g e t", "body": "x" })) },
        { "b": http(json!({ "method": "get", "endpoint": "https://x", "headers": { "n": {} }, "query": "x", "output": "all", "redirect": "yes" })) },
        { "c": endpoint(json!("x.org/a")) },
        { "d": endpoint(json!("https://x.org/{+path}")) },
        { "e": endpoint(json!("https://x.org/{id")) },
        { "f": endpoint(json!({ "uri": "https://x.org", "authentication": { "use": "shop" } })) },
        { "g": endpoint(json!({ "uri": "https://x.org", "authentication": { "basic": { "use": "crm" } } })) },
        { "h": endpoint(json!({ "uri": "https://x.org", "authentication": { "digest": { "username": "a" }, "bearer": {} } })) },
        { "i": endpoint(json!({ "uri": "https://x.org", "authentication": { "oauth2": { "use": "x" } } })) },
        { "j": endpoint(json!({ "uri": "https://x.org", "authentication": { "bearer": { "token": "x", "use": "y" } } })) },
        { "k": { "call": "openapi", "with": { "document": "https://x.org" } } },
        { "l": { "call": "activity", "with": { "name": "A", "arguments": { "x": 1 } } } },
        { "m": { "call": "http" } },
        { "n": { "run": { "shell": { "command": "ls", "arguments": [5], "environment": { "A": 1 } }, "return": "some" } } },
        { "o": { "run": { "shell": { "command": "ls" }, "workflow": { "name": "x" } } } },
        { "p": { "wait": "PT1S", "metadata": { "temporal": { "start_to_close": "soon", "priority": 9, "queue": "q" } } } },
    ])), @r#"
    `do/0/a/with/endpoint` is missing
    `do/0/a/with/method` must be a method like `get`, not `g e t`
    `do/1/b/with/headers/n` must be text, a number, a boolean or a list of them, not a map
    `do/1/b/with/output` must be one of content, raw, response, not `all`
    `do/1/b/with/query` must be a map, or an expression `${ … }`, not the text `x`
    `do/1/b/with/redirect` must be true or false, not the text `yes`
    `do/10/k/with/operationId` is missing
    `do/10/k/with/document` must be a map, not the text `https://x.org`
    `do/11/l/with/task_queue` is missing
    `do/11/l/with/arguments` must be a list, or an expression `${ … }`, not a map
    `do/12/m/with` is missing
    `do/13/n/run/return` must be one of stdout, stderr, code, all, none, not `some`
    `do/13/n/run/shell/arguments/0` must be text, not `5` (quote it: "5")
    `do/13/n/run/shell/environment/A` must be text, not `1` (quote it: "1")
    `do/14/o/run` must have one of `workflow` and `shell`
    `do/15/p/metadata/temporal/priority` must be a whole number from 1 to 5, not `9`
    `do/15/p/metadata/temporal/queue` is not a key of `metadata.temporal` (the keys are start_to_close, schedule_to_close, schedule_to_start, heartbeat, task_queue, priority, summary)
    `do/15/p/metadata/temporal/start_to_close` must be a duration, not `soon` (write it like `90s`, `1h30m` or `PT1H30M`)
    `do/2/c/with/endpoint` must be a URI with http or https, not `x.org/a` (if data determines the host, write an expression: `${ .base + "/items" }`)
    `do/3/d/with/endpoint` has the template `{+path}` (a template supports only `{name}`; for more, write an expression: `${ @uri "https://…/\(.a.b)" }`)
    `do/4/e/with/endpoint` has `{` without `}`: `https://x.org/{id` (a template supports only `{name}`; for more, write an expression: `${ @uri "https://…/\(.a.b)" }`)
    `do/5/f/with/endpoint/authentication/use` refers to `shop`, which `use/authentications` does not define
    `do/6/g/with/endpoint/authentication/basic/use` refers to `crm`, which `use/secrets` does not define
    `do/7/h/with/endpoint/authentication` must have one key (the keys are use, basic, bearer, digest)
    `do/8/i/with/endpoint/authentication/oauth2` is not supported
    `do/9/j/with/endpoint/authentication/bearer` has `use` and other keys; the secret must contain all of them
    "#);
}

/// Options of Temporal that would do nothing are refused, as what they ask for
/// would not happen.
#[test]
fn options_without_effect_on_a_task_are_refused() {
    let all = json!({
        "start_to_close": "15s", "schedule_to_close": "1m", "schedule_to_start": "10s",
        "heartbeat": "5s", "task_queue": "q", "priority": 1, "summary": "says",
    });
    let with = |mut task: Value, temporal: &Value| {
        task["metadata"] = json!({ "temporal": temporal });
        task
    };
    let http = json!({ "call": "http", "with": { "method": "get", "endpoint": "https://x.org" } });
    let shell = json!({ "run": { "shell": { "command": "ls" } } });
    let activity = json!({ "call": "activity", "with": { "name": "A", "task_queue": "q" } });
    let child = json!({ "run": { "workflow": { "namespace": "n", "name": "W", "version": "1" } } });
    let wait = json!({ "wait": "PT1S" });
    let summary = json!({ "summary": "says" });
    let mut limited =
        json!({ "do": [{ "one": { "set": { "x": 1 } } }], "timeout": { "after": "PT1H" } });
    limited = with(limited, &summary);
    insta::assert_snapshot!(problems(&json!([
        { "http": with(http.clone(), &all) },
        { "shell": with(shell, &all) },
        { "activity": with(activity, &all) },
        { "child": with(child, &all) },
        { "wait": with(wait.clone(), &all) },
        { "says": with(wait, &summary) },
        { "limited": limited },
        { "set": with(json!({ "set": { "x": 1 } }), &json!({ "summary": "says", "heartbeat": "5s" })) },
        { "beats": with(http, &json!({ "heartbeat": "50ms" })) },
    ])), @r"
    `do/2/activity/metadata/temporal/task_queue` has no effect on `call: activity` (its task queue is `task_queue` of `with`)
    `do/3/child/metadata/temporal/heartbeat` has no effect on `run: workflow` (the options of `run: workflow` are start_to_close, schedule_to_close, task_queue, priority, summary)
    `do/3/child/metadata/temporal/schedule_to_start` has no effect on `run: workflow` (the options of `run: workflow` are start_to_close, schedule_to_close, task_queue, priority, summary)
    `do/4/wait/metadata/temporal/heartbeat` has no effect on `wait` (the options of `wait` are summary)
    `do/4/wait/metadata/temporal/priority` has no effect on `wait` (the options of `wait` are summary)
    `do/4/wait/metadata/temporal/schedule_to_close` has no effect on `wait` (the options of `wait` are summary)
    `do/4/wait/metadata/temporal/schedule_to_start` has no effect on `wait` (the options of `wait` are summary)
    `do/4/wait/metadata/temporal/start_to_close` has no effect on `wait` (the options of `wait` are summary)
    `do/4/wait/metadata/temporal/task_queue` has no effect on `wait` (the options of `wait` are summary)
    `do/7/set/metadata/temporal/heartbeat` has no effect on `set`
    `do/7/set/metadata/temporal/summary` has no effect on `set`
    `do/8/beats/metadata/temporal/heartbeat` must be at least `1s`
    ");
}

/// RFC 3986, 3.1.
#[test]
fn schemes_are_in_any_case() {
    for uri in [
        "HTTPS://example.com/",
        "Http://example.com/{id}",
        "https://x",
    ] {
        let steps = serde_json::json!([
            { "get": { "call": "http", "with": { "method": "get", "endpoint": uri } } },
            { "api": { "call": "openapi", "with": { "document": { "endpoint": uri }, "operationId": "x" } } },
        ]);
        let problems = crate::language::parse(&steps).err();
        assert_eq!(problems, None, "{uri}");
    }
    for uri in [
        "ftp://example.com/",
        "example.com",
        "https:/example.com",
        "HTTPS://u:p@x/",
    ] {
        let steps = serde_json::json!([
            { "get": { "call": "http", "with": { "method": "get", "endpoint": uri } } },
        ]);
        assert!(crate::language::parse(&steps).is_err(), "{uri}");
    }
}
