//! Steps that reach out: HTTP, `OpenAPI`, commands, with secrets.

use almanac_tests::{
    Project, Scheduler, Worker, WorkerCommand, almanac, on_one_scheduler, temporal_cli,
};
use prost::Message;
use serde_json::{Value, json};

use super::{failure, output, problem, start};
use crate::replay::{history, record};
use crate::web::{Answer, Request, Web};

on_one_scheduler!(calls_of_steps_are_answered_and_no_secret_leaves_the_worker,);

const TOKEN: &str = "canary-71c2e0d9b4";
const PASSWORD: &str = "canary-0b9d4e2c17";

/// A shop: it takes orders, answers questions about stock with credentials, and repeats the
/// credentials.
pub(super) fn shop(request: &Request) -> Answer {
    let who = request.headers.get("authorization");
    let greeting = format!("you are {}", who.map_or("nobody", String::as_str));
    Some(match request.target.as_str() {
        "/orders/7?dry=true" if request.method == "POST" => {
            let body: Value = serde_json::from_str(&request.body).ok()?;
            (
                201,
                json!({ "number": 12, "taken": body, "kind": request.headers.get("x-kind"), "said": greeting }),
            )
        }
        "/openapi.json" => (200, description()),
        "/v1/stock/12?unit=box" => (200, json!({ "left": 3, "said": greeting })),
        _ => (500, json!({ "said": greeting, "token": TOKEN })),
    })
}

fn description() -> Value {
    let parameter = |name: &str, place: &str| json!({ "name": name, "in": place, "required": true, "schema": { "type": "string" } });
    json!({
        "openapi": "3.0.3",
        "info": { "title": "Stock", "version": "1" },
        "servers": [{ "url": "/v1" }],
        "paths": { "/stock/{item}": { "get": {
            "operationId": "stock",
            "parameters": [parameter("item", "path"), parameter("unit", "query")],
            "responses": { "200": { "description": "What is left." } },
        } } },
    })
}

const SHOP: &str = r#"
schedule: { every: 1h, enabled: false }
use: { secrets: [crm, stock] }
output: { as: $context }
do:
  - order:
      call: http
      with:
        method: post
        endpoint: { uri: 'http://WEB/orders/{id}', authentication: { bearer: { use: crm } } }
        headers: { X-Kind: test }
        query: { dry: 'true' }
        body: { lines: '${ .lines }' }
        output: response
      output: { as: '{ status: .statusCode, answer: .content }' }
      export: { as: '{ order: . }' }
  - stock:
      call: openapi
      with:
        document: { endpoint: 'http://WEB/openapi.json' }
        operationId: stock
        parameters: { item: '${ .answer.number }', unit: box }
        authentication: { basic: { use: stock } }
      export: { as: '$context + { stock: . }' }
  - print:
      run:
        shell:
          command: sh
          arguments: ['-c', 'cat; echo "$GREETING, $1"', sh, '${ "\(.left) are left" }']
          stdin: from the run
          environment: { GREETING: hello }
        return: all
      export: { as: '$context + { printed: . }' }
"#;

const BREAKS: &str = "
use: { secrets: [crm] }
do:
  - ask: { call: http, with: { method: post, endpoint: { uri: 'http://WEB/nowhere', authentication: { bearer: { use: crm } } } } }
";

const SETS: &str = "
do:
  - ask: { run: { shell: { command: sh, arguments: ['-c', 'true'], environment: { BASH_ENV: /x } } } }
";

/// Six times as large as JSON.
const LARGE: &str = r#"
do:
  - print: { run: { shell: { command: sh, arguments: ['-c', 'echo x >> FILE; head -c 500000 /dev/zero | tr "\0" "\1"'] } } }
"#;

const REFUSED: &str = "
do:
  - ask: { call: http, with: { method: get, endpoint: 'http://169.254.169.254/latest' } }
";

pub(super) fn worker(project: &Project, web: &Web) -> anyhow::Result<WorkerCommand> {
    let secret = |name: &str, text: &str| -> anyhow::Result<String> {
        let file = project.folder().join(name);
        std::fs::write(&file, text)?;
        Ok(format!("{name}=file:{}", file.display()))
    };
    Ok(project
        .worker()
        .flag("--http-allow", web.address())
        .flag("--secret", &secret("crm", TOKEN)?)
        .flag("--secret", &secret("stock", &format!("clerk:{PASSWORD}"))?)
        .flag("--shell-allow", "sh=/bin/sh")
        .flag("--shell-env", "GREETING")
        .flag("--log", "trace"))
}

/// Services get the secrets; histories, logs, metrics and answers do not.
async fn calls_of_steps_are_answered_and_no_secret_leaves_the_worker(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let web = Web::start(shop).await?;
    let tried = project.folder().join("tried");
    for (file, text) in [
        ("shop", SHOP),
        ("breaks", BREAKS),
        ("refused", REFUSED),
        ("sets", SETS),
        ("large", LARGE),
    ] {
        let text = text.replace("WEB", web.address());
        let text = text.replace("FILE", &tried.display().to_string());
        project.write(&format!("{file}.yaml"), &text)?;
    }
    let worker = worker(&project, &web)?.start().await?;
    let id = start(&project, "shop", json!({ "id": 7, "lines": [1, 2] })).await?;
    let breaks = start(&project, "breaks", Value::Null).await?;
    let refused = start(&project, "refused", Value::Null).await?;

    let done = output(&project, &id).await?;
    let answer = json!({ "number": 12, "taken": { "lines": [1, 2] }, "kind": "test", "said": "you are Bearer ***" });
    assert_eq!(done["order"], json!({ "status": 201, "answer": answer }));
    assert_eq!(
        done["stock"],
        json!({ "left": 3, "said": "you are Basic ***" })
    );
    let printed = json!({ "code": 0, "stdout": "from the runhello, 3 are left\n", "stderr": "" });
    assert_eq!(done["printed"], printed);
    if matches!(on, Scheduler::V1) {
        record(&project, &id, "outside.pb").await?;
    }
    let (kind, error) = problem(failure(&project, &breaks).await?)?;
    assert!(kind.ends_with("/errors/communication"), "{error}");
    assert_eq!(
        (&error["status"], &error["instance"]),
        (&json!(500), &json!("/do/0/ask"))
    );
    let (kind, error) = problem(failure(&project, &refused).await?)?;
    assert!(kind.ends_with("/errors/configuration"), "{error}");

    let sets = start(&project, "sets", Value::Null).await?;
    let (kind, error) = problem(failure(&project, &sets).await?)?;
    assert!(kind.ends_with("/errors/configuration"), "{error}");
    assert!(
        error["detail"].to_string().contains("--shell-env"),
        "{error}"
    );

    // What Temporal would not take is the step's error, and nothing is done again.
    let large = start(&project, "large", Value::Null).await?;
    let (kind, error) = problem(failure(&project, &large).await?)?;
    assert!(kind.ends_with("/errors/runtime"), "{error}");
    assert!(
        error["detail"].to_string().contains("3000002 bytes"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&tried)?, "x\n");

    // The services were shown them, each in its form.
    let shown = |target: &str| {
        let asked = web.asked();
        let of = asked
            .iter()
            .find(|request| request.target == target)
            .unwrap();
        of.headers["authorization"].clone()
    };
    assert_eq!(shown("/orders/7?dry=true"), format!("Bearer {TOKEN}"));
    let basic = shown("/v1/stock/12?unit=box");
    let encoded = basic.strip_prefix("Basic ").unwrap();
    let secrets = [TOKEN, PASSWORD, encoded];

    for (what, bytes) in visible_outside(&project, &worker, &[&id, &breaks, &refused]).await? {
        // What would be found is there to be found: payloads are plain.
        let marked = bytes.windows(10).any(|part| part == b"Bearer ***");
        assert_eq!(
            marked,
            what.ends_with(&id) || what.ends_with(&breaks),
            "{what}"
        );
        for secret in secrets {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(
                !found,
                "{secret} in {what}: {}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
    Ok(())
}

/// All that can be seen of the runs from outside the worker.
async fn visible_outside(
    project: &Project,
    worker: &Worker,
    runs: &[&str],
) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut left = vec![("the log".to_owned(), worker.log()?.into_bytes())];
    for id in runs {
        let (run, _) = project.temporal().run_of(id).await?;
        let events = history(project, id, &run).await?;
        left.push((format!("the history of {id}"), events.encode_to_vec()));
        let args = [
            "workflow",
            "describe",
            "--output",
            "json",
            "--workflow-id",
            id,
        ];
        let described = temporal_cli(project.address(), args)?;
        left.push((format!("the description of {id}"), described.into_bytes()));
    }
    for path in [
        "/metrics",
        "/readyz",
        "/api/v1/definitions",
        "/api/v1/definitions/shop",
        "/api/v1/schedules",
        "/api/v1/schedules/shop",
        "/api/v1/plan",
        "/api/v1/reconcile",
    ] {
        left.push((path.to_owned(), worker.get(path).await?.1.into_bytes()));
    }
    for command in [&["show", "shop"][..], &["show", "shop", "--format", "json"]] {
        let shown = project.almanac(command)?.success()?;
        left.push((command.join(" "), shown.into_bytes()));
    }
    Ok(left)
}

/// The same steps, without a server.
#[test]
fn steps_can_be_tried_without_a_server() {
    almanac_tests::run(async {
        let web = Web::start(shop).await?;
        let folder = tempfile::tempdir()?;
        let file = |name: &str, text: &str| -> anyhow::Result<String> {
            let file = folder.path().join(name);
            std::fs::write(&file, text)?;
            Ok(file.display().to_string())
        };
        let steps = file("shop.yaml", &SHOP.replace("WEB", web.address()))?;
        let secrets = [
            format!("crm=file:{}", file("crm", TOKEN)?),
            format!(
                "stock=file:{}",
                file("stock", &format!("clerk:{PASSWORD}"))?
            ),
        ];
        let flags = [
            "--http-allow",
            web.address(),
            "--shell-allow",
            "sh=/bin/sh",
            "--shell-env",
            "GREETING",
            "--secret",
            &secrets[0],
            "--secret",
            &secrets[1],
        ];
        let input = json!({ "id": 7, "lines": [1, 2] }).to_string();
        let args = ["exec", &steps, "--input", &input].into_iter().chain(flags);
        let tried = almanac("127.0.0.1:1", args)?;
        let text = format!("{}{}", tried.stdout, tried.stderr);
        assert!(!text.contains(TOKEN) && !text.contains(PASSWORD), "{text}");
        assert!(tried.stderr.contains("completes  do/2/print"), "{text}");
        let output: Value = serde_json::from_str(&tried.success()?)?;
        assert_eq!(
            output["printed"]["stdout"],
            "from the runhello, 3 are left\n"
        );

        let refused = almanac("127.0.0.1:1", ["exec", &steps, "--input", &input])?;
        assert_eq!(refused.code, 1);
        assert!(
            refused.stderr.contains("fails      do/0/order"),
            "{refused:?}"
        );
        Ok(())
    });
}
