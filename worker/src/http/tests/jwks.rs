//! `--auth jwt`: an issuer's keys.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use jsonwebtoken::Algorithm;

use super::issuer::{Issuer, Signer, claims};
use super::jwt::{ONCE, refused, server_with};
use super::*;
use crate::args::KeyPlace;

/// A server that knows what the issuer publishes, and has fetched it.
async fn jwks_server(issuer: &Issuer, refetch: Duration) -> Server {
    let keys = KeyPlace::JwksUrl(issuer.url.clone());
    let algorithms = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    let server = server_with(keys, &algorithms, refetch).await;
    eventually("a first fetch", async || issuer.fetched() > 0).await;
    server
}

#[tokio::test]
async fn each_kind_of_key_of_a_jwks_checks_its_own_tokens() {
    let issuer = Issuer::start().await;
    let signers = [Signer::rsa(), Signer::ec(), Signer::ed()];
    let mut keys: Vec<_> = signers
        .iter()
        .zip(["a", "b", "c"])
        .map(|(signer, kid)| signer.jwk(Some(kid)))
        .collect();
    // What cannot be used makes nothing else useless.
    let mut sealing = Signer::ec().jwk(Some("seal"));
    sealing["use"] = json!("enc");
    keys.extend([json!({ "kty": "new", "kid": "n" }), json!(7), sealing]);
    issuer.publish(&keys);
    let server = jwks_server(&issuer, ONCE).await;
    for (signer, kid) in signers.iter().zip(["a", "b", "c"]) {
        let token = signer.token(Some(kid), &claims());
        eventually("a token to be good", async || {
            server.reading(&token).await == 200
        })
        .await;
    }
    // Of several keys a token has to name one, and that one counts.
    let unnamed = signers[0].token(None, &claims());
    assert_eq!(
        refused(&server, &unnamed).await,
        "the key of the token is unknown"
    );
    for (signer, kid) in signers.iter().zip(["b", "c", "a"]) {
        refused(&server, &signer.token(Some(kid), &claims())).await;
    }
}

#[tokio::test]
async fn each_algorithm_that_may_be_pinned_is_checked_as_it_is_named() {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let issuer = Issuer::start().await;
    let signers = [Signer::rsa(), Signer::ec(), Signer::ec384(), Signer::ed()];
    let [rsa, ec, ec384, ed] = &signers;
    issuer.publish(&[
        rsa.jwk(Some("k")),
        ec.jwk(Some("k")),
        ec384.jwk(Some("k")),
        ed.jwk(Some("k")),
    ]);
    let all = [
        ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512,
    ];
    let place = KeyPlace::JwksUrl(issuer.url.clone());
    let server = server_with(place, &all, ONCE).await;
    for algorithm in all {
        let signer = match algorithm {
            ES256 => ec,
            ES384 => ec384,
            EdDSA => ed,
            _ => rsa,
        };
        let header = json!({ "alg": algorithm, "kid": "k" });
        let token = signer.token_with(&header, &claims());
        assert_eq!(server.reading(&token).await, 200, "{algorithm:?}");
    }
    // What is good under one name is not under another.
    for (named, signed) in [("RS256", "PS256"), ("PS256", "RS256"), ("RS256", "RS512")] {
        let header = json!({ "alg": named, "kid": "k" });
        let token = rsa.signed_as(signed, &header, &claims());
        let why = refused(&server, &token).await;
        assert_eq!(why, "the signature of the token is invalid");
    }
}

#[tokio::test]
async fn a_token_without_a_kid_takes_the_only_key() {
    for kid in [None, Some("a")] {
        let issuer = Issuer::start().await;
        let signer = Signer::ec();
        issuer.publish(&[signer.jwk(kid)]);
        let server = jwks_server(&issuer, ONCE).await;
        assert_eq!(server.reading(&signer.token(None, &claims())).await, 200);
    }
}

#[tokio::test]
async fn a_secret_in_a_jwks_is_not_used_as_a_key() {
    let issuer = Issuer::start().await;
    let secret = Signer::Secret(vec![7; 32]);
    issuer.publish(&[secret.jwk(Some("a")), Signer::ec().jwk(Some("b"))]);
    let server = jwks_server(&issuer, ONCE).await;
    refused(&server, &secret.token(Some("a"), &claims())).await;
}

#[tokio::test]
async fn a_thousand_unknown_keys_cause_one_fetch() {
    let issuer = Issuer::start().await;
    let signer = Signer::ec();
    issuer.publish(&[signer.jwk(Some("a"))]);
    let server = jwks_server(&issuer, ONCE).await;
    assert_eq!(
        server.reading(&signer.token(Some("a"), &claims())).await,
        200
    );
    assert_eq!(issuer.fetched(), 1);

    let statuses: BTreeSet<_> = futures::stream::iter(0..1000)
        .map(|number| {
            let token = signer.token(Some(&format!("unknown-{number}")), &claims());
            let server = &server;
            async move { server.reading(&token).await }
        })
        .buffer_unordered(50)
        .collect()
        .await;
    assert_eq!(statuses, [401].into());
    assert_eq!(issuer.fetched(), 2);
    assert_eq!(
        server.reading(&signer.token(Some("a"), &claims())).await,
        200
    );
    assert_eq!(issuer.fetched(), 2);
}

#[tokio::test]
async fn a_rotated_key_is_found_and_the_old_one_is_dropped() {
    let issuer = Issuer::start().await;
    let (old, new) = (Signer::ec(), Signer::rsa());
    issuer.publish(&[old.jwk(Some("old"))]);
    let server = jwks_server(&issuer, Duration::from_millis(300)).await;
    let (old_token, new_token) = (
        old.token(Some("old"), &claims()),
        new.token(Some("new"), &claims()),
    );
    assert_eq!(server.reading(&old_token).await, 200);
    assert_eq!(server.reading(&new_token).await, 401);
    issuer.publish(&[new.jwk(Some("new"))]);
    eventually("the new key to be known", async || {
        server.reading(&new_token).await == 200
    })
    .await;
    assert_eq!(server.reading(&old_token).await, 401);
}

#[tokio::test]
async fn keys_outlive_a_fetch_that_fails() {
    let issuer = Issuer::start().await;
    let signer = Signer::ec();
    issuer.publish(&[signer.jwk(Some("a"))]);
    let server = jwks_server(&issuer, Duration::ZERO).await;
    let good = signer.token(Some("a"), &claims());
    assert_eq!(server.reading(&good).await, 200);
    let huge = json!({ "keys": [], "x": "x".repeat(1024 * 1024) }).to_string();
    for (status, body) in [
        (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
        (StatusCode::OK, "<html>".into()),
        (StatusCode::OK, json!({ "keys": [] }).to_string()),
        (StatusCode::OK, huge),
    ] {
        issuer.answer_with(status, body);
        let before = issuer.fetched();
        refused(&server, &signer.token(Some("b"), &claims())).await;
        assert_eq!(issuer.fetched(), before + 1);
        assert_eq!(server.reading(&good).await, 200);
    }
}

#[tokio::test]
async fn without_keys_requests_get_503_until_keys_are_fetched() {
    let issuer = Issuer::start().await;
    let server = jwks_server(&issuer, Duration::from_millis(200)).await;
    let signer = Signer::ec();
    let token = signer.token(Some("a"), &claims());
    assert_eq!(server.reading(&token).await, 503);
    assert_eq!(server.get("/healthz").await.status, 200);
    issuer.publish(&[signer.jwk(Some("a"))]);
    eventually("the keys to be known", async || {
        server.reading(&token).await == 200
    })
    .await;
}

#[tokio::test]
async fn keys_are_fetched_only_from_the_given_url() {
    let issuer = Issuer::start().await;
    let signer = Signer::ec();
    issuer.publish(&[signer.jwk(Some("a"))]);
    let moved = issuer.url.replace("/jwks", "/moved");
    let server = server_with(KeyPlace::JwksUrl(moved), &[Algorithm::ES256], ONCE).await;
    let token = signer.token(Some("a"), &claims());
    assert_eq!(server.reading(&token).await, 503);
    assert_eq!(issuer.fetched(), 0);
}

#[tokio::test]
async fn a_jwks_file_is_read_again_when_it_changes() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (old, new) = (Signer::ec(), Signer::ec());
    let write = |signer: &Signer, kid| {
        let keys = json!({ "keys": [signer.jwk(Some(kid))] });
        std::fs::write(&file, keys.to_string()).unwrap();
    };
    write(&old, "old");
    let place = KeyPlace::JwksFile(file.path().to_owned());
    let server = server_with(place, &[Algorithm::ES256], ONCE).await;
    let token = new.token(Some("new"), &claims());
    assert_eq!(
        server.reading(&old.token(Some("old"), &claims())).await,
        200
    );
    assert_eq!(server.reading(&token).await, 401);
    write(&new, "new");
    eventually("the new key to be known", async || {
        server.reading(&token).await == 200
    })
    .await;
    assert_eq!(
        server.reading(&old.token(Some("old"), &claims())).await,
        401
    );
}

/// The variable that tells the test that it is the process with the proxies.
const BEHIND_A_PROXY: &str = "ALMANAC_TEST_KEYS_BEHIND_A_PROXY";

#[tokio::test]
async fn keys_are_never_fetched_through_a_proxy_of_the_environment() {
    let test = "http::tests::jwks::keys_are_never_fetched_through_a_proxy_of_the_environment";
    if std::env::var_os(BEHIND_A_PROXY).is_some() {
        let issuer = Issuer::start().await;
        let signer = Signer::ec();
        issuer.publish(&[signer.jwk(Some("k"))]);
        let server = jwks_server(&issuer, ONCE).await;
        let token = signer.token(Some("k"), &claims());
        eventually("the key to be fetched", async || {
            server.reading(&token).await == 200
        })
        .await;
        return;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", test, "--nocapture"])
        .env(BEHIND_A_PROXY, "1");
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        child.env(name, "http://127.0.0.1:1");
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy");
    let ended = tokio::task::spawn_blocking(move || child.output()).await;
    let output = ended.unwrap().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}{errors}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}
