//! Tests that search for a secret in everything that leaves a step.

use std::io::Write;
use std::sync::{Arc, Mutex};

use temporalio_sdk::activities::ActivityError;
use tracing_subscriber::fmt::MakeWriter;

use super::server::Server;
use super::*;

const SECRET_TEXT: &str = r#"canary "\ 7Gq-x/y"#;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The forms that must not be seen.
fn forms() -> Vec<String> {
    use base64::Engine as _;
    let encode = |text: &str| base64::prelude::BASE64_STANDARD.encode(text);
    vec![
        SECRET_TEXT.to_owned(),
        "7Gq-x".to_owned(),
        encode(SECRET_TEXT),
        encode(&format!("user:{SECRET_TEXT}")),
    ]
}

fn clean(what: &str, text: &str) {
    for form in forms() {
        assert!(!text.contains(&form), "{what} shows {form}: {text}");
    }
}

#[tokio::test]
async fn a_secret_is_in_no_output_error_debug_or_log() {
    // While there is only one subscriber, `tracing` asks the thread that reaches a log line
    // first, and another test's thread has none: it would switch the line off for all.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Server::start().await;
    let user = file(&json!({"username": "user", "password": SECRET_TEXT}).to_string());
    let token = file(SECRET_TEXT);
    let entries = [
        format!("user=file:{}", user.path().display()),
        format!("token=file:{}", token.path().display()),
    ];
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let steps = steps(&[&server.allowed()], &entries);
    clean("Steps", &format!("{steps:?}"));
    clean(
        "Secret",
        &format!("{:?}", steps.secrets.read("token").unwrap()),
    );
    for (scheme, name) in [("basic", "user"), ("bearer", "token"), ("digest", "user")] {
        for output in ["content", "raw", "response"] {
            for path in [
                "/echo",
                "/status/500",
                "/status/401",
                "/digest/MD5",
                "/never",
                "/to/307?uri=/status/403",
            ] {
                let request = request(json!({
                    "uri": server.at(path), "output": output, "redirect": true,
                    "authentication": {"scheme": scheme, "credentials": {"secret": name}},
                }));
                let credentials = crate::steps::http::Credentials::of(
                    request.authentication.as_ref(),
                    &steps.secrets,
                )
                .unwrap();
                clean("Credentials", &format!("{credentials:?}"));
                let within = Duration::from_millis(if path == "/never" { 100 } else { 60_000 });
                match steps.http(&request, within).await {
                    Ok(value) => {
                        clean(path, &value.to_string());
                        if let Some(text) = value.as_str() {
                            use base64::Engine as _;
                            let raw = base64::prelude::BASE64_STANDARD.decode(text).unwrap();
                            clean(path, &String::from_utf8_lossy(&raw));
                        }
                    }
                    Err(error) => {
                        clean(path, &format!("{error:?}"));
                        let failure = ActivityError::from(error);
                        clean(path, &format!("{failure:?} {failure:#?}"));
                    }
                }
            }
        }
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("connect"), "nothing was logged: {log}");
    clean("the log", &log);
}

/// The secret is removed from an answer before the answer is cut, encoded or parsed.
#[tokio::test]
async fn a_secret_is_removed_from_cut_encoded_and_numeric_answers() {
    use base64::Engine as _;
    let server = Server::start().await;
    let (token, pin) = (file("canary-0a1b2c3d4e5f"), file("4820917365"));
    let entries = [
        format!("token=file:{}", token.path().display()),
        format!("pin=file:{}", pin.path().display()),
    ];
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let steps = steps(&[&server.allowed()], &entries);
    let call = async |path: &str, name: &str, output: &str| {
        let fields = json!({
            "uri": server.at(path), "output": output,
            "authentication": {"scheme": "bearer", "credentials": {"secret": name}},
        });
        get(&steps, fields).await
    };
    let error = call("/cut", "token", "content").await.unwrap_err();
    assert!(detail(&error).ends_with("xxx***"), "{error:?}");
    assert!(!detail(&error).contains("cana"), "{error:?}");
    for output in ["content", "raw", "response"] {
        let value = call("/bytes", "token", output).await.unwrap();
        let text = value.get("content").unwrap_or(&value).as_str().unwrap();
        let bytes = base64::prelude::BASE64_STANDARD.decode(text).unwrap();
        assert_eq!(bytes, b"\xff***\xfe", "{output}");
    }
    let number = call("/number", "pin", "content").await.unwrap();
    assert_eq!(number, json!({"pin": "***"}));
}

#[test]
fn entries_that_hold_a_secret_itself_are_not_shown() {
    for entry in [
        SECRET_TEXT.to_owned(),
        format!("name={SECRET_TEXT}"),
        format!("a=env:{SECRET_TEXT}"),
    ] {
        let error = entry.parse::<SecretEntry>().unwrap_err();
        clean("the error", &format!("{error} {error:?}"));
    }
}

#[test]
fn secrets_come_from_variables_and_files_that_are_named() {
    let good = |entry: &str| Secrets::open(vec![entry.parse().unwrap()]);
    assert!(
        !good("a=env:PATH")
            .unwrap()
            .read("a")
            .unwrap()
            .0
            .expose()
            .is_empty()
    );
    let text = file("line\r\n");
    let entry = format!("a=file:{}", text.path().display());
    let secrets = good(&entry).unwrap();
    assert_eq!(secrets.read("a").unwrap().0.expose(), "line");
    std::fs::write(text.path(), "next").unwrap();
    assert_eq!(secrets.read("a").unwrap().0.expose(), "next");
    assert!(secrets.read("PATH").is_err());
    for (entry, why) in [
        ("a=env:ALMANAC_NO_SUCH_VARIABLE", "is not set"),
        ("a=file:/nonexistent", "No such file"),
        ("a=file:/proc", "is not a file"),
        ("a=file:/dev/null", "is not a file"),
    ] {
        let error = good(entry).unwrap_err().to_string();
        assert!(error.contains(why), "{entry}: {error}");
    }
    let empty = file("\n");
    let error = good(&format!("a=file:{}", empty.path().display())).unwrap_err();
    assert!(error.to_string().contains("is empty"), "{error}");
    let twice = vec!["a=env:PATH".parse().unwrap(), "a=env:HOME".parse().unwrap()];
    assert!(Secrets::open(twice).is_err());
    for entry in [
        "",
        "a",
        "=env:A",
        "a=A",
        "a=env:",
        "a=env:1A",
        "a=file:relative",
        "a b=env:A",
    ] {
        assert!(entry.parse::<SecretEntry>().is_err(), "{entry}");
    }
}

#[test]
fn a_binding_of_a_secret_names_hosts() {
    let parsed = |entry: &str| entry.parse::<SecretEntry>();
    let bound = "a=env:PATH@api.crm.example:443@*.eu.example";
    let secrets =
        Secrets::open(vec![parsed(bound).unwrap(), parsed("b=env:PATH").unwrap()]).unwrap();
    assert_eq!(secrets.unbound().collect::<Vec<_>>(), ["b"]);
    for entry in [
        "a=env:PATH@",
        "a=env:PATH@http://x",
        "a=file:/x@a b",
        "a=env:@x",
    ] {
        assert!(parsed(entry).is_err(), "{entry}");
    }
}
