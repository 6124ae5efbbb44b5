//! `--auth jwt`: tokens.

use jsonwebtoken::Algorithm;

use super::issuer::{AUDIENCE, ISSUER, Issuer, RSA_PUBLIC, Signer, but, claims, from_now};
use super::*;
use crate::args::{ChosenAuth, JwtRules, KeyPlace};

/// No token causes a second fetch.
pub(super) const ONCE: Duration = Duration::from_secs(30);

pub(super) async fn server_with(
    keys: KeyPlace,
    algorithms: &[Algorithm],
    refetch: Duration,
) -> Server {
    let rules = JwtRules {
        keys,
        algorithms: algorithms.to_vec(),
        issuer: ISSUER.into(),
        audience: AUDIENCE.into(),
    };
    let authority = Authority::with_refetch(ChosenAuth::Jwt(rules), refetch).unwrap();
    let fake = Fake::reporting(Report::default());
    serve_with(fake, Duration::from_secs(20), false, authority).await
}

/// A server that knows the public half of [`Signer::rsa`].
async fn rsa_server() -> Server {
    let keys = KeyPlace::Pem(RSA_PUBLIC.into());
    server_with(keys, &[Algorithm::RS256, Algorithm::ES256], ONCE).await
}

/// The reason for a 401.
pub(super) async fn refused(server: &Server, token: &str) -> String {
    let answer = server.with_token("POST", "/admin/sync", token).await;
    assert_eq!(answer.status, 401, "{}", answer.body);
    assert!(answer.head.contains("error=\"invalid_token\""));
    assert_eq!(server.fake.reloads.load(Ordering::Relaxed), 0);
    answer.problem()
}

#[tokio::test]
async fn a_token_signed_by_the_issuer_opens_everything_its_scope_allows() {
    let (server, signer) = (rsa_server().await, Signer::rsa());
    for claims in [
        claims(),
        but("scope", json!("almanac:operate")),
        but("aud", json!(["other", AUDIENCE])),
        but("nbf", json!(from_now(-5))),
        but("sub", Value::Null),
    ] {
        let token = signer.token(Some("any"), &claims);
        let answer = server.with_token("POST", "/admin/sync", &token).await;
        assert_eq!(answer.status, 200, "{claims} {}", answer.body);
    }
}

#[tokio::test]
async fn a_scope_is_in_scope_or_scp_and_operate_implies_read() {
    let (server, signer) = (rsa_server().await, Signer::rsa());
    for (claim, value, read, sync) in [
        ("scope", json!("openid almanac:read"), 200, 403),
        ("scope", json!("almanac:operate"), 200, 200),
        ("scp", json!("almanac:read"), 200, 403),
        ("scp", json!(["x", "almanac:operate"]), 200, 200),
        ("scp", json!(["x almanac:operate"]), 403, 403),
        ("scope", json!("almanac:operates almanac"), 403, 403),
        ("scope", json!(""), 403, 403),
        ("x", json!("almanac:operate"), 403, 403),
    ] {
        let mut claims = but("scope", Value::Null);
        claims[claim] = value;
        let token = signer.token(None, &claims);
        assert_eq!(server.reading(&token).await, read, "{claims}");
        let answer = server.with_token("POST", "/admin/sync", &token).await;
        assert_eq!(answer.status, sync, "{claims}");
        assert!(sync == 200 || answer.head.contains("error=\"insufficient_scope\""));
    }
}

#[tokio::test]
async fn an_unsigned_token_is_refused() {
    let server = rsa_server().await;
    for alg in ["none", "None", "NONE", ""] {
        let header = json!({ "typ": "JWT", "alg": alg });
        let token = Signer::Nothing.token_with(&header, &claims());
        let why = refused(&server, &token).await;
        assert_eq!(why, "the token is not a signed JWT");
    }
    // A good header does not help a signature that is missing.
    let header = json!({ "typ": "JWT", "alg": "RS256" });
    let token = Signer::Nothing.token_with(&header, &claims());
    let why = refused(&server, &token).await;
    assert_eq!(why, "the signature of the token is invalid");
}

#[tokio::test]
async fn the_public_key_cannot_be_used_as_an_hmac_secret() {
    let server = rsa_server().await;
    let pem = std::fs::read(RSA_PUBLIC).unwrap();
    let trimmed = pem.trim_ascii_end().to_vec();
    for secret in [pem, trimmed] {
        let confused = Signer::Secret(secret);
        let why = refused(&server, &confused.token(None, &claims())).await;
        assert_eq!(why, "the algorithm of the token is not accepted");
        let header = json!({ "alg": "RS256" });
        let why = refused(&server, &confused.token_with(&header, &claims())).await;
        assert_eq!(why, "the signature of the token is invalid");
    }
}

#[tokio::test]
async fn an_algorithm_that_is_not_pinned_is_refused_though_the_key_could() {
    let (server, signer) = (rsa_server().await, Signer::rsa());
    for alg in ["RS512", "PS256", "EdDSA"] {
        let token = signer.token_with(&json!({ "alg": alg }), &claims());
        let why = refused(&server, &token).await;
        assert_eq!(why, "the algorithm of the token is not accepted");
    }
    // Pinned, and not this key's.
    let token = Signer::ec().token(None, &claims());
    let why = refused(&server, &token).await;
    assert_eq!(why, "the key of the token is unknown");
}

#[tokio::test]
async fn every_claim_that_is_required_is_checked() {
    let (server, signer) = (rsa_server().await, Signer::rsa());
    let lacks = "the token has no valid exp, aud or iss";
    for (claim, value, why) in [
        ("aud", Value::Null, lacks),
        ("aud", json!("other"), "the token is for another audience"),
        ("aud", json!([]), "the token is for another audience"),
        ("iss", Value::Null, "the token cannot be read"),
        (
            "iss",
            json!("https://evil.example"),
            "the issuer of the token is not accepted",
        ),
        ("iss", json!([ISSUER]), "the token cannot be read"),
        ("exp", Value::Null, lacks),
        ("exp", json!(from_now(300).to_string()), lacks),
        ("exp", json!(-1), lacks),
        ("exp", json!(from_now(-70)), "the token has expired"),
        ("nbf", json!(from_now(90)), "the token is not valid yet"),
        (
            "nbf",
            json!(from_now(0).to_string()),
            "a claim of the token has the wrong type",
        ),
        ("sub", json!(7), "the token cannot be read"),
        ("scope", json!(7), "the token cannot be read"),
    ] {
        let claims = but(claim, value);
        let message = refused(&server, &signer.token(None, &claims)).await;
        assert_eq!(message, why, "{claims}");
    }
}

#[tokio::test]
async fn clocks_may_be_a_minute_apart() {
    let (server, signer) = (rsa_server().await, Signer::rsa());
    for (claim, seconds, status) in [
        ("exp", -50, 200),
        ("exp", -70, 401),
        ("nbf", 50, 200),
        ("nbf", 90, 401),
    ] {
        let token = signer.token(None, &but(claim, json!(from_now(seconds))));
        assert_eq!(server.reading(&token).await, status, "{claim} {seconds}");
    }
}

#[tokio::test]
async fn malformed_and_changed_tokens_are_refused() {
    let (server, signer) = (rsa_server().await, Signer::rsa());
    let good = signer.token(None, &claims());
    let parts: Vec<_> = good.split('.').collect();
    let other = signer.token(None, &but("sub", json!("root")));
    let swapped = format!(
        "{}.{}.{}",
        parts[0],
        other.split('.').nth(1).unwrap(),
        parts[2]
    );
    assert_eq!(
        refused(&server, &swapped).await,
        "the signature of the token is invalid"
    );
    for bad in [
        "x".to_owned(),
        "a.b.c".to_owned(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}.x"),
        format!("{}.{}.", parts[0], parts[1]),
    ] {
        refused(&server, &bad).await;
    }
    let critical = json!({ "alg": "RS256", "crit": ["b64"], "b64": false });
    let token = signer.token_with(&critical, &claims());
    assert_eq!(
        refused(&server, &token).await,
        "the token has critical headers"
    );
}

#[tokio::test]
async fn a_key_in_the_header_of_a_token_is_not_used() {
    let (server, evil) = (rsa_server().await, Signer::ec());
    let issuer = Issuer::start().await;
    issuer.publish(&[evil.jwk(Some("evil"))]);
    let header = json!({
        "alg": "ES256", "kid": "evil", "jku": issuer.url, "jwk": evil.jwk(Some("evil")),
    });
    refused(&server, &evil.token_with(&header, &claims())).await;
    assert_eq!(issuer.fetched(), 0);
}

#[test]
fn keys_that_cannot_be_used_are_an_error_at_the_start() {
    let open = |keys, algorithm| {
        let rules = JwtRules {
            keys,
            algorithms: vec![algorithm],
            issuer: ISSUER.into(),
            audience: AUDIENCE.into(),
        };
        let chosen = ChosenAuth::Jwt(rules);
        let opened = Authority::with_refetch(chosen, ONCE);
        opened.unwrap_err().to_string()
    };
    let url = |url: &str| KeyPlace::JwksUrl(url.into());
    let pem = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&pem, "-----BEGIN PRIVATE KEY-----\n").unwrap();
    for (keys, algorithm, expected) in [
        (
            KeyPlace::Pem(RSA_PUBLIC.into()),
            Algorithm::ES256,
            "--auth-jwt-algorithms: no key of",
        ),
        (
            KeyPlace::Pem(pem.path().into()),
            Algorithm::RS256,
            "this is a private key",
        ),
        (
            KeyPlace::Pem("/nowhere".into()),
            Algorithm::RS256,
            "--auth-jwt-key: /nowhere: No such",
        ),
        (
            KeyPlace::JwksFile(RSA_PUBLIC.into()),
            Algorithm::RS256,
            "this is not a JWKS",
        ),
        (
            url("http://issuer.example/jwks"),
            Algorithm::RS256,
            "the URL must have https",
        ),
        (
            url("file:///etc/jwks"),
            Algorithm::RS256,
            "the URL must have https",
        ),
        (url("https://"), Algorithm::RS256, "--auth-jwks: `https://`"),
    ] {
        let error = open(keys, algorithm);
        assert!(error.contains(expected), "{error}");
        assert!(error.starts_with("--auth-"), "{error}");
    }
}
