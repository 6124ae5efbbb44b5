//! `--auth token`, and what every authority has in common.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::args::{AuthArgs, AuthMode, ChosenAuth};

const OPERATOR: &str = "operator-aaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const READER: &str = "reader-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const LATER: &str = "later-cccccccccccccccccccccccccccccccc";

/// Off loopback as far as the router knows, with these tokens.
async fn server_with(file: &Path) -> Server {
    let chosen = ChosenAuth::Token(file.to_owned());
    let authority = Authority::with_refetch(chosen, Duration::ZERO).unwrap();
    let fake = Fake::reporting(Report::default());
    serve_with(fake, Duration::from_secs(20), false, authority).await
}

fn token_file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, text).unwrap();
    file
}

fn both() -> tempfile::NamedTempFile {
    token_file(&format!("{OPERATOR} ann\n{READER} ci read\n"))
}

impl Server {
    /// Asks with a token, under a name that is not this machine's.
    pub(super) async fn with_token(&self, method: &str, path: &str, token: &str) -> Answer {
        let headers = format!("host: almanac.example\r\nauthorization: Bearer {token}");
        self.ask(method, path, &headers).await
    }

    /// The status of reading with a token.
    pub(super) async fn reading(&self, token: &str) -> u16 {
        self.with_token("GET", "/api/v1/definitions", token)
            .await
            .status
    }
}

#[tokio::test]
async fn a_token_opens_what_is_closed_off_loopback() {
    let file = both();
    let server = server_with(file.path()).await;
    assert_eq!(server.reading(OPERATOR).await, 200);
    assert_eq!(server.reading(READER).await, 200);
    let answer = server.with_token("POST", "/admin/sync", OPERATOR).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let lower = format!("host: x\r\nauthorization: bearer {OPERATOR}");
    let answer = server.ask("GET", "/api/v1/plan", &lower).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn without_a_valid_token_only_probes_and_metrics_are_served() {
    let file = both();
    let server = server_with(file.path()).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    let wrong = format!("authorization: Bearer {OPERATOR}x");
    let basic = format!("authorization: Basic {OPERATOR}");
    let bare = format!("authorization: {OPERATOR}");
    let plain = "www-authenticate: bearer realm=\"almanac\"\r\n";
    let invalid = "www-authenticate: bearer realm=\"almanac\", error=\"invalid_token\"";
    for (headers, challenge) in [
        ("accept: */*", plain),
        (&basic, plain),
        (&bare, plain),
        ("authorization: Bearer", plain),
        ("authorization: Bearer ", plain),
        (&wrong, invalid),
    ] {
        for (method, path) in [
            ("GET", "/api/v1/definitions"),
            ("GET", "/api/v1/schedules/job-1"),
            ("GET", "/admin/sync"),
            ("GET", "/nothing"),
            ("OPTIONS", "/admin/sync"),
            ("POST", "/admin/sync"),
        ] {
            let headers = format!("host: localhost\r\n{headers}");
            let answer = server.ask(method, path, &headers).await;
            assert_eq!(answer.status, 401, "{method} {path} {headers}");
            answer.problem();
            let head = format!("{}\r\n", answer.head);
            assert!(head.contains(challenge), "{head}");
            assert!(!head.contains("aaaa"), "{head}");
        }
    }
    let twice = format!(
        "host: localhost\r\nauthorization: Bearer {OPERATOR}\r\nauthorization: Bearer {READER}"
    );
    assert_eq!(server.ask("POST", "/admin/sync", &twice).await.status, 400);
    assert_eq!(server.fake.reloads.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_token_that_may_read_changes_nothing() {
    let file = both();
    let server = server_with(file.path()).await;
    let answer = server.with_token("POST", "/admin/sync", READER).await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        answer.problem(),
        "this request needs the scope `almanac:operate`"
    );
    assert!(answer.head.contains(
        "www-authenticate: bearer realm=\"almanac\", error=\"insufficient_scope\", \
         scope=\"almanac:operate\""
    ));
    assert_eq!(server.fake.reloads.load(Ordering::Relaxed), 0);
}

/// Collects the log of this thread until the guard is dropped.
pub(super) fn log() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    struct Writer(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    crate::telemetry::ask_every_subscriber();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || Writer(Arc::clone(&lines)))
        .finish();
    (kept, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn a_sync_is_logged_with_the_name_of_the_caller_and_no_token_ever_is() {
    let file = both();
    let (lines, _guard) = log();
    let server = server_with(file.path()).await;
    server.with_token("POST", "/admin/sync", OPERATOR).await;
    server.with_token("POST", "/admin/sync", READER).await;
    server.with_token("POST", "/admin/sync", LATER).await;
    let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    let asked: Vec<_> = lines
        .lines()
        .filter(|line| line.contains("sync requested"))
        .collect();
    assert_eq!(asked.len(), 1, "{lines}");
    assert!(asked[0].contains("caller=\"ann\""), "{lines}");
    for token in [OPERATOR, READER, LATER] {
        assert!(!lines.contains(token), "{lines}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_is_refused_with_a_token_too() {
    let file = both();
    let server = server_with(file.path()).await;
    for (site, status) in [
        ("origin: https://evil.example", 403),
        ("sec-fetch-site: cross-site", 403),
        ("origin: https://almanac.example", 200),
        ("sec-fetch-site: same-origin", 200),
    ] {
        let headers =
            format!("host: almanac.example\r\nauthorization: Bearer {OPERATOR}\r\n{site}");
        let answer = server.ask("POST", "/admin/sync", &headers).await;
        assert_eq!(answer.status, status, "{site}");
    }
}

#[tokio::test]
async fn a_token_file_that_changes_is_read_again_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let write = |text: &str| {
        let next = folder.path().join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, &file).unwrap();
    };
    write(&format!("{OPERATOR} ann"));
    let (lines, _guard) = log();
    let server = server_with(&file).await;
    assert_eq!(server.reading(LATER).await, 401);

    write(&format!("{LATER} ann"));
    eventually("the later token to be good", async || {
        server.reading(LATER).await == 200
    })
    .await;
    assert_eq!(server.reading(OPERATOR).await, 401);

    let errors = || {
        let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        lines.matches("the file cannot be read").count()
    };
    for (number, bad) in (1..).zip([Some(""), Some("short"), None, Some("\u{0}")]) {
        match bad {
            Some(text) => write(text),
            None => std::fs::remove_file(&file).unwrap(),
        }
        eventually("the error to be logged", async || errors() == number).await;
        assert_eq!(server.reading(LATER).await, 200, "{bad:?}");
    }

    write(&format!("{OPERATOR} ann"));
    eventually("the first token to be good again", async || {
        server.reading(OPERATOR).await == 200
    })
    .await;
    assert_eq!(server.reading(LATER).await, 401);
}

#[tokio::test]
async fn only_a_regular_file_is_read_and_nothing_else_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let next = folder.path().join("next");
    let put = || std::fs::rename(&next, &file).unwrap();
    std::fs::write(&file, format!("{LATER} ann")).unwrap();
    let (lines, _guard) = log();
    let server = server_with(&file).await;
    let errors = || {
        let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        lines.matches("the file cannot be read").count()
    };

    let made = std::process::Command::new("mkfifo").arg(&next).status();
    assert!(made.unwrap().success());
    put();
    eventually("the pipe to be an error", async || errors() == 1).await;
    std::os::unix::fs::symlink(&file, &next).unwrap();
    put();
    eventually("the loop to be an error", async || errors() == 2).await;
    std::os::unix::fs::symlink("/dev/zero", &next).unwrap();
    put();
    eventually("the device to be an error", async || errors() == 3).await;
    std::fs::write(&next, vec![b'#'; 2 * 1024 * 1024]).unwrap();
    put();
    eventually("the huge file to be an error", async || errors() == 4).await;
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    eventually("the folder to be an error", async || errors() == 5).await;
    assert_eq!(
        server.reading(LATER).await,
        200,
        "what it said last goes on"
    );

    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&next, format!("{OPERATOR} ann")).unwrap();
    put();
    eventually("the token to be taken back", async || {
        server.reading(LATER).await == 401
    })
    .await;
    assert_eq!(server.reading(OPERATOR).await, 200);
}

#[test]
fn a_pipe_in_place_of_the_file_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let made = std::process::Command::new("mkfifo").arg(&file).status();
    assert!(made.unwrap().success());
    let chosen = ChosenAuth::Token(file);
    let error = Authority::with_refetch(chosen, Duration::ZERO).unwrap_err();
    assert!(
        error.to_string().ends_with("this is not a regular file"),
        "{error}"
    );
}

#[test]
fn a_file_that_others_can_use_is_a_warning() {
    let (lines, _guard) = log();
    let warned = |mode| {
        let file = both();
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&file, permissions).unwrap();
        lines.lock().unwrap().clear();
        let chosen = ChosenAuth::Token(file.path().to_owned());
        Authority::with_refetch(chosen, Duration::ZERO).unwrap();
        let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        lines.contains("WARN") && lines.contains("other users can read or write the file")
    };
    assert!(warned(0o644));
    assert!(warned(0o602));
    assert!(!warned(0o600));
    assert!(!warned(0o440));
}

#[test]
fn a_file_that_is_bad_at_the_start_is_an_error_that_names_its_flag() {
    let open = |auth_token_file: &Path| {
        let args = AuthArgs {
            auth: AuthMode::Token,
            auth_token_file: Some(auth_token_file.to_owned()),
            ..AuthArgs::default()
        };
        Authority::open(&args).unwrap_err().to_string()
    };
    let bad = token_file("# nothing\n");
    let error = open(bad.path());
    assert!(error.starts_with("--auth-token-file: "), "{error}");
    assert!(error.ends_with(": the file has no token"), "{error}");
    let error = open(Path::new("/nowhere/tokens"));
    assert!(
        error.starts_with("--auth-token-file: /nowhere/tokens: No such file"),
        "{error}"
    );
}

#[tokio::test]
async fn only_those_who_may_operate_send_events() {
    let file = both();
    let server = server_with(file.path()).await;
    for (token, status) in [(READER, 403), ("wrong", 401), (OPERATOR, 415)] {
        let answer = server.with_token("POST", "/events", token).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        let replay = server.with_token("POST", "/api/v1/events/x/replay", token);
        assert_eq!(
            replay.await.status,
            if status == 415 { 404 } else { status }
        );
    }
}
