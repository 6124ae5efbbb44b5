use std::time::Duration;

use almanac_core::record::{DriftPolicy, Options, OrphanPolicy};
use axum::http::HeaderName;

use super::*;
use crate::telemetry::LogFormat;

fn parsed(line: &str) -> Cli {
    parse(line.split(' ')).unwrap()
}

fn refused(line: &str) -> String {
    parse(line.split(' ')).unwrap_err().to_string()
}

fn run(line: &str) -> RunArgs {
    match parsed(line).command {
        Cmd::Run(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_flag_has_its_documented_default() {
    let args = run("almanac run --project p").worker;
    assert_eq!(args.dir, [PathBuf::from("definitions")]);
    assert_eq!(args.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(args.options(), Options::default());
    assert_eq!(args.reconcile_concurrency, 10);
    assert_eq!(args.rps, None);
    assert_eq!(args.metrics_schedules, 0);
    assert_eq!(args.debounce, Duration::from_millis(500));
    assert_eq!(args.rescan_interval, Duration::from_secs(30));
    assert_eq!(args.startup_retry, Duration::from_mins(5));
    assert_eq!(args.shutdown_timeout, Duration::from_secs(30));
    assert_eq!(args.log_format, LogFormat::Text);
}

#[test]
fn worker_versioning_needs_names_that_the_server_takes() {
    let version = |flags: &str, has_other_code: bool| {
        let args = run(&format!("almanac run --project p{flags}")).worker;
        args.deployment_version(has_other_code)
    };
    assert_eq!(version("", true).unwrap(), None);
    let named = version(" --worker-deployment prod/billing_1", false).unwrap();
    let named = named.unwrap();
    assert_eq!(named.deployment, "prod/billing_1");
    assert_eq!(named.build_id, env!("CARGO_PKG_VERSION"));
    let error = version(" --worker-deployment d", true).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("--worker-build-id is required")
    );
    let flags = " --worker-deployment d --worker-build-id 1.2.3+a4";
    assert_eq!(version(flags, true).unwrap().unwrap().build_id, "1.2.3+a4");

    let (fits, long) = ("d".repeat(200), "d".repeat(201));
    assert!(version(&format!(" --worker-deployment {fits}"), false).is_ok());
    for name in ["", "a.b", "a:b", "__a", "a;b", "a$b", "ä", &long] {
        let line = format!("almanac run --project p --worker-deployment={name}");
        assert!(refused(&line).contains("is not a name of a worker deployment"));
        let line =
            format!("almanac run --project p --worker-deployment d --worker-build-id={name}");
        assert_eq!(parse(line.split(' ')).is_ok(), name == "a.b", "{name}");
    }
    let alone = refused("almanac run --project p --worker-build-id 1");
    assert!(alone.contains("--worker-deployment"), "{alone}");
}

#[test]
fn the_address_of_the_temporal_ui_is_a_web_address_without_more() {
    let given = |address: &str| format!("almanac run --project p --temporal-ui-url {address}");
    for (address, kept) in [
        ("http://127.0.0.1:8233", "http://127.0.0.1:8233"),
        (
            "https://temporal.example/ui/",
            "https://temporal.example/ui",
        ),
    ] {
        let args = run(&given(address)).worker;
        assert_eq!(args.temporal_ui_url.as_deref(), Some(kept));
    }
    for bad in [
        "javascript:alert(1)",
        "ftp://temporal.example",
        "temporal.example",
        "/ui",
        "https://user:secret@temporal.example",
        "https://temporal.example?a=b",
        "https://temporal.example#a",
    ] {
        assert!(refused(&given(bad)).contains("--temporal-ui-url"), "{bad}");
    }
}

#[test]
fn dev_uses_the_project_dev_and_its_own_database() {
    let Cmd::Dev(args) = parsed("almanac dev").command else {
        panic!("not dev")
    };
    assert_eq!(args.project.as_str(), "dev");
    assert_eq!(args.db, PathBuf::from(".almanac/temporal.db"));
    assert_eq!(args.temporal_cli, None);
}

#[test]
fn dir_can_be_repeated_and_durations_have_units() {
    let args = run(
        "almanac run --project p --dir a --dir b --reconcile-interval 1h30m --debounce 0s \
         --drift report --orphans keep --rps 2.5",
    )
    .worker;
    assert_eq!(args.dir, [PathBuf::from("a"), PathBuf::from("b")]);
    assert_eq!(args.reconcile_interval, Duration::from_mins(90));
    assert_eq!(args.debounce, Duration::ZERO);
    assert_eq!(args.options().drift, DriftPolicy::Report);
    assert_eq!(args.options().orphans, OrphanPolicy::Keep);
    assert_eq!(args.rps, Some(2.5));
}

#[test]
fn bad_usage_names_the_flag_and_the_value() {
    assert!(refused("almanac run").contains("--project <PROJECT>"));
    for (line, expected) in [
        ("almanac run --project A", "project `A` must be 1 to 40"),
        (
            "almanac run --project p --debounce fast",
            "--debounce <DURATION>",
        ),
        (
            "almanac run --project p --rescan-interval 10ms",
            "`10ms` is shorter than 1s",
        ),
        (
            "almanac run --project p --debounce -5s",
            "unexpected argument '-5'",
        ),
        ("almanac run --project p --rps 0", "`0` is not above 0"),
        (
            "almanac run --project p --orphans drop",
            "[possible values: delete, pause, keep]",
        ),
        ("almanac next x --from soon", "--from <TIME>"),
        ("almanac nonsense", "unrecognized subcommand 'nonsense'"),
    ] {
        let message = refused(line);
        assert!(message.contains(expected), "{line}: {message}");
    }
}

#[test]
fn every_flag_has_its_variable() {
    let mut seen = Vec::new();
    for subcommand in command().get_subcommands() {
        for arg in subcommand.get_arguments() {
            let Some(long) = arg.get_long().filter(|long| *long != "help") else {
                continue;
            };
            let expected = format!("ALMANAC_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(
                arg.get_env().and_then(|name| name.to_str()),
                Some(expected.as_str())
            );
            seen.push(long.to_owned());
        }
    }
    for flag in [
        "dir",
        "project",
        "shutdown-timeout",
        "detailed-exitcode",
        "confirm",
    ] {
        assert!(
            seen.iter().any(|long| long == flag),
            "{flag} is not among {seen:?}"
        );
    }
}

#[test]
fn the_command_is_consistent() {
    command().debug_assert();
}

/// The authority that these flags choose.
fn auth(flags: &str) -> Result<ChosenAuth, String> {
    let line = format!("almanac run --project p --auth {flags}");
    run(&line)
        .worker
        .auth
        .chosen()
        .map_err(|error| error.to_string())
}

#[test]
fn authority_is_chosen_by_flags_that_fit_together() {
    use jsonwebtoken::Algorithm::{ES256, EdDSA, RS256};

    assert_eq!(auth("none"), Ok(ChosenAuth::None));
    assert_eq!(
        auth("token --auth-token-file t"),
        Ok(ChosenAuth::Token("t".into()))
    );
    let rules = |keys, algorithms: &[jsonwebtoken::Algorithm]| {
        Ok(ChosenAuth::Jwt(JwtRules {
            keys,
            algorithms: algorithms.to_vec(),
            issuer: "i".into(),
            audience: "a".into(),
        }))
    };
    let who = "--auth-jwt-issuer i --auth-jwt-audience a";
    assert_eq!(
        auth(&format!("jwt --auth-jwks https://i/jwks {who}")),
        rules(KeyPlace::JwksUrl("https://i/jwks".into()), &[RS256, ES256])
    );
    assert_eq!(
        auth(&format!(
            "jwt --auth-jwks keys.json --auth-jwt-algorithms EdDSA,ES256 {who}"
        )),
        rules(KeyPlace::JwksFile("keys.json".into()), &[EdDSA, ES256])
    );
    assert_eq!(
        auth(&format!("jwt --auth-jwt-key k.pem {who}")),
        rules(KeyPlace::Pem("k.pem".into()), &[RS256, ES256])
    );
    let from = |networks: &[&str]| networks.iter().map(|one| one.parse().unwrap()).collect();
    let proxy = ProxyRules {
        from: from(&["10.0.0.0/8", "127.0.0.1/32", "::1"]),
        user: HeaderName::from_static("x-forwarded-user"),
        groups: HeaderName::from_static("x-forwarded-groups"),
        read: Vec::new(),
        operate: vec!["*".into()],
    };
    assert_eq!(
        auth(
            "proxy --auth-proxy-from 10.0.0.0/8,127.0.0.1 --auth-proxy-from ::1 --auth-proxy-operate *"
        ),
        Ok(ChosenAuth::Proxy(proxy.clone()))
    );
    assert_eq!(
        auth(
            "proxy --auth-proxy-from fd00::/8 --auth-proxy-read a --auth-proxy-read b \
             --auth-proxy-operate c --auth-proxy-user-header X-User --auth-proxy-groups-header X-G"
        ),
        Ok(ChosenAuth::Proxy(ProxyRules {
            from: from(&["fd00::/8"]),
            user: HeaderName::from_static("x-user"),
            groups: HeaderName::from_static("x-g"),
            read: vec!["a".into(), "b".into()],
            operate: vec!["c".into()],
        }))
    );
}

#[test]
fn a_network_contains_its_addresses() {
    let network = |text: &str| text.parse::<Network>();
    for (text, inside, outside) in [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
        ("10.1.2.3", "10.1.2.3", "10.1.2.2"),
        ("0.0.0.0/0", "1.2.3.4", "::1"),
        ("::/0", "fd00::1", "1.2.3.4"),
        ("::1", "::1", "::2"),
        ("fd00::/8", "fdff::1", "fc00::1"),
    ] {
        let network = network(text).unwrap();
        assert!(network.contains(inside.parse().unwrap()), "{text} {inside}");
        assert!(
            !network.contains(outside.parse().unwrap()),
            "{text} {outside}"
        );
        assert_eq!(network.to_string().parse(), Ok(network));
    }
    for (text, expected) in [
        ("", "is not an address or a network like 10.0.0.0/8"),
        (
            "proxy.example",
            "is not an address or a network like 10.0.0.0/8",
        ),
        (
            "10.0.0.1:80",
            "is not an address or a network like 10.0.0.0/8",
        ),
        ("10.0.0.0/33", "has an invalid number of bits"),
        ("10.0.0.0/", "has an invalid number of bits"),
        ("10.0.0.0/-1", "has an invalid number of bits"),
        (
            "10.0.0.1/8",
            "has an address with bits set beyond the network's",
        ),
        (
            "::ffff:10.0.0.0/104",
            "is IPv4 in IPv6 form; write it as IPv4",
        ),
    ] {
        let error = network(text).unwrap_err().to_string();
        assert_eq!(error, format!("`{text}` {expected}"));
    }
}

#[test]
fn flags_of_authority_that_do_not_fit_are_named() {
    for (flags, expected) in [
        (
            "none --auth-token-file t",
            "--auth-token-file has no effect with --auth none",
        ),
        (
            "none --auth-jwks k",
            "--auth-jwks has no effect with --auth none",
        ),
        ("token", "--auth-token-file is required with --auth token"),
        (
            "token --auth-token-file t --auth-jwt-algorithms RS256",
            "--auth-jwt-algorithms has no effect with --auth token",
        ),
        (
            "jwt --auth-jwt-key k --auth-jwt-issuer i --auth-jwt-audience a --auth-token-file t",
            "--auth-token-file has no effect with --auth jwt",
        ),
        (
            "jwt --auth-jwt-issuer i --auth-jwt-audience a",
            "--auth-jwt-key or --auth-jwks is required with --auth jwt",
        ),
        (
            "jwt --auth-jwt-key k --auth-jwks j --auth-jwt-issuer i --auth-jwt-audience a",
            "--auth-jwt-key and --auth-jwks exclude each other",
        ),
        (
            "jwt --auth-jwt-key k --auth-jwt-audience a",
            "--auth-jwt-issuer is required with --auth jwt",
        ),
        (
            "jwt --auth-jwt-key k --auth-jwt-issuer i",
            "--auth-jwt-audience is required with --auth jwt",
        ),
        (
            "jwt --auth-jwt-key k --auth-jwt-issuer i --auth-jwt-audience=",
            "--auth-jwt-audience is empty",
        ),
        (
            "none --auth-proxy-from ::1",
            "--auth-proxy-from has no effect with --auth none",
        ),
        (
            "token --auth-token-file t --auth-proxy-read a",
            "--auth-proxy-read has no effect with --auth token",
        ),
        (
            "jwt --auth-proxy-user-header x",
            "--auth-proxy-user-header has no effect with --auth jwt",
        ),
        (
            "proxy --auth-token-file t",
            "--auth-token-file has no effect with --auth proxy",
        ),
        (
            "proxy --auth-jwt-key k",
            "--auth-jwt-key has no effect with --auth proxy",
        ),
        (
            "proxy --auth-proxy-read a",
            "--auth-proxy-from is required with --auth proxy",
        ),
        (
            "proxy --auth-proxy-from ::1,0.0.0.0/0 --auth-proxy-read a",
            "--auth-proxy-from: 0.0.0.0/0 contains every address",
        ),
        (
            "proxy --auth-proxy-from ::1",
            "--auth-proxy-read or --auth-proxy-operate is required with --auth proxy",
        ),
        (
            "proxy --auth-proxy-from ::1 --auth-proxy-read a,b",
            "--auth-proxy-read: `a,b` is not the name of a group",
        ),
        (
            "proxy --auth-proxy-from ::1 --auth-proxy-operate=",
            "--auth-proxy-operate: `` is not the name of a group",
        ),
        (
            "proxy --auth-proxy-from ::1 --auth-proxy-read a --auth-proxy-user-header Cookie",
            "--auth-proxy-user-header: `cookie` is not a header",
        ),
        (
            "proxy --auth-proxy-from ::1 --auth-proxy-read a \
             --auth-proxy-user-header X-Forwarded-Groups",
            "--auth-proxy-user-header and --auth-proxy-groups-header name the same header",
        ),
    ] {
        let error = auth(flags).unwrap_err();
        assert!(error.starts_with(expected), "{flags}: {error}");
    }
    let shared =
        refused("almanac run --project p --auth jwt --auth-jwt-key k --auth-jwt-algorithms HS256");
    assert!(
        shared.contains("invalid value 'HS256' for '--auth-jwt-algorithms <LIST>'"),
        "{shared}"
    );
}

#[test]
fn secrets_of_webhooks_are_read_at_the_start_and_never_shown() {
    let opened = |line: &str| {
        let args = run(&format!("almanac run --project p --webhook-secret {line}"));
        args.worker.webhooks.open()
    };
    assert!(opened("a=env:CARGO_MANIFEST_DIR,b=env:CARGO_MANIFEST_DIR").is_ok());
    for (line, expected) in [
        ("a=env:ALMANAC_NO_SUCH", "ALMANAC_NO_SUCH is not set"),
        ("a=file:/no/such", "/no/such: No such file"),
        (
            "a=env:CARGO_MANIFEST_DIR,a=env:CARGO_MANIFEST_DIR",
            "given twice",
        ),
        ("whsec_hunter2", "NAME=env:VARIABLE"),
    ] {
        let error = opened(line).unwrap_err().to_string();
        assert!(error.contains(expected), "{line}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn what_steps_may_reach_is_checked_at_the_start() {
    let opened = |line: &str| {
        run(&format!("almanac run --project p {line}"))
            .worker
            .steps
            .open()
    };
    assert!(opened("--http-allow billing,10.0.0.0/8 --http-allow [::1]:80").is_ok());
    assert!(opened("--secret token=env:PATH --shell-allow sh=/bin/sh --shell-env LANG,TZ").is_ok());
    for (line, expected) in [
        (
            "--secret token=env:ALMANAC_NO_SUCH",
            "ALMANAC_NO_SUCH is not set",
        ),
        ("--secret token=file:/no/such", "/no/such: No such file"),
        ("--secret t=env:PATH,t=env:HOME", "given twice"),
        ("--shell-allow /no/such", "/no/such No such file"),
    ] {
        let error = opened(line).unwrap_err().to_string();
        assert!(error.contains(expected), "{line}: {error}");
    }
    for (line, expected) in [
        ("--http-allow http://billing", "has a scheme"),
        ("--http-allow 10.0.0.1/8", "bits set beyond the network's"),
        ("--shell-allow sh", "NAME=/path/to/program"),
        ("--shell-env LANG,PATH", "steps can never set it"),
        ("--shell-env A=B", "not a valid name"),
    ] {
        let error = refused(&format!("almanac run --project p {line}"));
        assert!(error.contains(expected), "{line}: {error}");
    }
    // Somebody who writes the secret itself does not find it in the log.
    let error = opened("--secret token=hunter2-hunter2").unwrap_err();
    assert!(
        error.to_string().contains("`env:VARIABLE` or `file:/path`"),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}
