//! Signatures that services publish, and some that another implementation computed.

use serde_json::json;

use super::*;

const SVIX_BODY: &str = r#"{"email":"test@example.com","username":"test_user"}"#;
const SLACK_BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&\
    channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&\
    command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands\
    %2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
    trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
const SLACK_SECRET: &[u8] = b"8f742231b10e8888abcd99yyyzzz85a5";
/// `{"a":1}` signed with `a secret of enough bytes`.
const GENERIC: &str = "9a05a82bd406b830225adf3d53c3d6b4c62b85175a0933cd927e661949619fa6";
const GENERIC_BASE64: &str = "mgWoK9QGuDAiWt89U8PWtMYrhRdaCTPNkn5mGUlhn6Y=";
const GENERIC_DIGEST: &str = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";

fn verify(
    layout: Layout,
    secret: &[u8],
    headers: &[(&str, &str)],
    body: &str,
    now: i64,
) -> Result<Verified, Refusal> {
    let verifier = Verifier::new(layout, &[secret]).unwrap();
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    verifier.verify(headers, body.as_bytes(), at(now))
}

#[track_caller]
fn delivery(verified: Result<Verified, Refusal>) -> Delivery {
    match verified {
        Ok(Verified::Delivery(delivery)) => delivery,
        other => panic!("{other:?}"),
    }
}

/// From Svix's documentation of manual verification, and the tests of the Rust library of Standard
/// Webhooks.
#[test]
fn standard_webhooks() {
    let secret = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let body = r#"{"test": 2432232314}"#;
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    for prefix in ["webhook", "svix", "Webhook"] {
        let names = ["id", "timestamp", "signature"].map(|name| format!("{prefix}-{name}"));
        let values = ["msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", signature];
        let headers: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(values).collect();
        let verified = verify(Layout::Standard, secret, &headers, body, 1_614_265_330);
        let delivery = delivery(verified);
        assert_eq!(delivery.id, "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(delivery.body, json!({ "test": 2_432_232_314_u32 }));
        assert_eq!(delivery.subject, None);
    }
    let headers = [
        ("svix-id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
        ("svix-timestamp", "1649367553"),
        (
            "svix-signature",
            "v1a,AAAA v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= \
             v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
    ];
    let secret = b"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let verified = verify(Layout::Standard, secret, &headers, SVIX_BODY, 1_649_367_600);
    assert_eq!(delivery(verified).id, "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk");
}

/// From GitHub's documentation of validating webhook deliveries. Its payload is not JSON.
#[test]
fn github() {
    let secret = b"It's a Secret to Everybody";
    let headers = [(
        "X-Hub-Signature-256",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    )];
    let verified = |body| verify(Layout::Github, secret, &headers, body, NOW);
    let refusal = verified("Hello, World!").unwrap_err();
    assert!(matches!(&refusal, Refusal::Body(_)), "{refusal:?}");
    let message = refusal.to_string();
    assert!(message.starts_with("the body is not JSON: "), "{message}");
    assert_eq!(verified("Hello, World?"), Err(Refusal::WrongSignature));
}

#[test]
fn stripe() {
    let secret = b"whsec_canary_of_the_endpoint";
    let body =
        r#"{"id":"evt_1NG8Du2eZvKYlo2CUI79vXWy","object":"event","type":"setup_intent.created"}"#;
    let signature = "a61fc64bf13b8c3ee8e703d7e04ee34221f1233ef92f16ddb7679eb272a92648";
    let zeros = "0".repeat(64);
    for value in [
        format!("t=1686089970,v1={signature}"),
        format!("t=1686089970, v1={zeros}, v1={signature}, v0=6ffbb59b2300aae63f27"),
        format!("v0=x=y,v1={},t=1686089970", signature.to_uppercase()),
    ] {
        let headers = [("stripe-signature", value.as_str())];
        let verified = verify(Layout::Stripe, secret, &headers, body, 1_686_089_999);
        assert_eq!(
            delivery(verified).id,
            "evt_1NG8Du2eZvKYlo2CUI79vXWy",
            "{value}"
        );
    }
}

/// The first is from Slack's documentation of verifying requests. It is a command, whose form holds
/// no JSON.
#[test]
fn slack() {
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let headers = [
        ("X-Slack-Request-Timestamp", "1531420618"),
        ("X-Slack-Signature", signature),
    ];
    let verified = |body, now| verify(Layout::Slack, SLACK_SECRET, &headers, body, now);
    let refusal = verified(SLACK_BODY, 1_531_420_618).unwrap_err();
    assert!(matches!(&refusal, Refusal::Body(_)), "{refusal:?}");
    assert_eq!(
        verified(SLACK_BODY, 1_531_420_919),
        Err(Refusal::Stale(301))
    );
    assert_eq!(
        verified(&SLACK_BODY[1..], 1_531_420_618),
        Err(Refusal::WrongSignature)
    );

    let body = r#"{"token":"x","team_id":"T1","type":"event_callback","event_id":"Ev08MFMKH6","event":{"type":"reaction_added"}}"#;
    let signature = "v0=e7215aa29068be0f34a8765ea6bd06e1f0597c0162c3e622d175d5fb72dc0cc0";
    let headers = [
        ("x-slack-request-timestamp", "1531420618"),
        ("x-slack-signature", signature),
    ];
    let verified = verify(Layout::Slack, SLACK_SECRET, &headers, body, 1_531_420_700);
    assert_eq!(delivery(verified).id, "Ev08MFMKH6");
}

#[test]
fn hmac() {
    let unpadded = GENERIC_BASE64.trim_end_matches('=');
    let upper = GENERIC.to_uppercase();
    let (hex, base64) = (Some(Encoding::Hex), Some(Encoding::Base64));
    for (prefix, encoding, signature) in [
        ("", None, GENERIC),
        ("", None, GENERIC_BASE64),
        ("", None, unpadded),
        ("", hex, &upper),
        ("", base64, GENERIC_BASE64),
        ("sha256=", None, &format!("sha256={GENERIC}")),
        ("sha256=", base64, &format!("sha256={GENERIC_BASE64}")),
    ] {
        let layout = Layout::Hmac(HmacLayout::new("X-Shop-Hmac", prefix, encoding).unwrap());
        let headers = [("x-shop-HMAC", signature)];
        let secret = b"a secret of enough bytes";
        let delivery = delivery(verify(layout, secret, &headers, r#"{"a":1}"#, NOW));
        assert_eq!(delivery.body, json!({ "a": 1 }));
        assert_eq!(delivery.digest, GENERIC_DIGEST);
        assert_eq!(delivery.id, GENERIC_DIGEST);
    }
    for (prefix, encoding, signature) in [
        ("", hex, GENERIC_BASE64),
        ("", base64, GENERIC),
        ("sha256=", None, GENERIC),
        ("", None, &format!("sha256={GENERIC}")),
        ("sha256=", None, &format!("SHA256={GENERIC}")),
        ("", None, &GENERIC[1..]),
        ("", None, &format!("{GENERIC}00")),
        ("", None, ""),
    ] {
        let layout = Layout::Hmac(HmacLayout::new("x-shop-hmac", prefix, encoding).unwrap());
        let headers = [("x-shop-hmac", signature)];
        let secret = b"a secret of enough bytes";
        let refusal = verify(layout, secret, &headers, r#"{"a":1}"#, NOW).unwrap_err();
        let expected = malformed("x-shop-hmac", "has no signature of this layout");
        assert_eq!(refusal, expected, "{signature}");
    }
}
