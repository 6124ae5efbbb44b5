//! Secrets and layouts that are configured.

use super::*;

#[test]
fn a_webhook_has_one_or_two_secrets_of_enough_bytes() {
    let new = |secrets: &[&[u8]]| Verifier::new(Layout::Github, secrets).map(|_| ());
    assert_eq!(new(&[]), Err(SecretError::Count(0)));
    assert_eq!(new(&[SECRET, OTHER, SECRET]), Err(SecretError::Count(3)));
    assert_eq!(new(&[SECRET, OTHER]), Ok(()));
    assert_eq!(new(&[&[b'x'; 16], &[b'x'; 1024]]), Ok(()));
    assert_eq!(
        new(&[SECRET, b"canary of 15 by"]),
        Err(SecretError::Length(1, 15))
    );
    assert_eq!(new(&[&[b'x'; 1025]]), Err(SecretError::Length(0, 1025)));
}

#[test]
fn a_secret_of_standard_webhooks_may_be_base64() {
    use base64::Engine as _;
    let encoded = |bytes: usize| {
        let text = base64::prelude::BASE64_STANDARD.encode(vec![7; bytes]);
        Verifier::new(Layout::Standard, &[format!("whsec_{text}")]).map(|_| ())
    };
    for good in [24, 25, 64] {
        assert_eq!(encoded(good), Ok(()), "{good}");
    }
    for bad in [12, 23, 65, 100] {
        assert_eq!(encoded(bad), Err(SecretError::Encoded(0)), "{bad}");
    }
    let new = |layout, secret: &str| Verifier::new(layout, &[secret]).map(|_| ());
    let canary = "whsec_canary of no base64!";
    assert_eq!(new(Layout::Standard, canary), Err(SecretError::Encoded(0)));
    for layout in [Layout::Stripe, Layout::Github, Layout::Slack, generic()] {
        assert_eq!(new(layout, canary), Ok(()));
    }
}

#[test]
fn no_secret_is_shown() {
    for layout in layouts() {
        let verifier = Verifier::new(layout.clone(), &[SECRET, OTHER]).unwrap();
        let shown = format!("{verifier:?}");
        assert_eq!(shown, format!("Verifier({}, secrets: 2)", layout.name()));
        assert_eq!(verifier.layout(), &layout);
    }
    for secrets in [
        &["canary"][..],
        &["whsec_canary canary canary"],
        &["canary"; 5],
    ] {
        let error = Verifier::new(Layout::Standard, secrets).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("canary"), "{shown}");
    }
    let short = Verifier::new(Layout::Slack, &["canary"]).unwrap_err();
    let expected = "secrets[0] has 6 bytes; a secret must have 16 to 1024 bytes";
    assert_eq!(short.to_string(), expected);
    let error = SecretError::Encoded(1).to_string();
    let expected = "secrets[1] begins with `whsec_`, so the rest must be base64 of 24 to 64 bytes";
    assert_eq!(error, expected);
    let count = SecretError::Count(3).to_string();
    assert_eq!(count, "a webhook needs 1 or 2 secrets, not 3");
}

#[test]
fn layouts_have_names() {
    let names = layouts().map(|layout| layout.name());
    assert_eq!(names, ["standard", "github", "stripe", "slack", "hmac"]);
}

#[test]
fn a_header_for_signatures_can_be_one() {
    assert!(HmacLayout::new("X-Shopify-Hmac-SHA256", "", None).is_ok());
    assert!(HmacLayout::new(&"x".repeat(100), &"=".repeat(100), None).is_ok());
    for bad in ["", "a b", "a:", "é", "a\n", &"x".repeat(101)] {
        let error = HmacLayout::new(bad, "", None).unwrap_err().to_string();
        assert_eq!(
            error,
            "the header must be the name of one, of at most 100 bytes"
        );
    }
    for bad in ["a b", "é", "\n", &"x".repeat(101)] {
        let error = HmacLayout::new("x-a", bad, None).unwrap_err().to_string();
        assert_eq!(
            error,
            "the prefix must have at most 100 ASCII characters and no spaces"
        );
    }
}
