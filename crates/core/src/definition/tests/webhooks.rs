//! The block `webhook` of event types.

use almanac_events::webhook::{Encoding, HmacLayout, Layout};

use super::schema::to_json;
use super::{parse, rendered, report};
use crate::definition::{EventType, Parsed, Webhook, json_schema};

pub(super) const PAID: &str = r"
kind: event_type
id: order.paid
webhook:
  slug: shop
  layout: hmac
  secrets: [shop_1, SHOP-2.new]
  header: X-Shop-Signature
  prefix: sha256=
  encoding: hex
";

pub(super) const SHOP: &str =
    "kind: event_type\nid: a.b\nwebhook: { layout: github, secrets: [hook] }\n";

#[track_caller]
fn event_type(text: &str) -> EventType {
    match &parse(text)[0].result {
        Ok(Parsed::EventType(one)) => EventType::clone(one),
        Ok(other) => panic!("{other:?}"),
        Err(errors) => panic!("{}", rendered(errors)),
    }
}

#[track_caller]
fn webhook(text: &str) -> Webhook {
    event_type(text).webhook.unwrap()
}

#[test]
fn a_webhook_is_read_whole() {
    let read = webhook(PAID);
    assert_eq!(read.slug.as_str(), "shop");
    assert_eq!(read.secrets, ["shop_1", "SHOP-2.new"]);
    let hmac = HmacLayout::new("x-shop-signature", "sha256=", Some(Encoding::Hex)).unwrap();
    assert_eq!(read.layout, Layout::Hmac(hmac));
    // The default of the slug is the id, and a prefix can be left out.
    assert_eq!(webhook(SHOP).slug.as_str(), "a.b");
    let bare = webhook(&PAID.replace("  prefix: sha256=\n", ""));
    let hmac = HmacLayout::new("x-shop-signature", "", Some(Encoding::Hex)).unwrap();
    assert_eq!(bare.layout, Layout::Hmac(hmac));
    for (name, layout) in [
        ("standard", Layout::Standard),
        ("github", Layout::Github),
        ("stripe", Layout::Stripe),
        ("slack", Layout::Slack),
    ] {
        let read = webhook(&SHOP.replace("github", name));
        assert_eq!(read.layout, layout);
        assert_eq!(layout.name(), name);
    }
}

#[test]
fn every_part_counts_for_the_revision() {
    let before = event_type(PAID).revision;
    for (from, to) in [
        ("slug: shop", "slug: store"),
        ("shop_1, ", ""),
        ("shop_1", "shop_0"),
        ("Shop-Signature", "Signature"),
        ("sha256=", "v1="),
        ("encoding: hex", "encoding: base64"),
    ] {
        assert_ne!(before, event_type(&PAID.replace(from, to)).revision, "{to}");
    }
    let github = event_type(SHOP).revision;
    assert_ne!(
        github,
        event_type(&SHOP.replace("github", "slack")).revision
    );
    // A slug that is stated and equal to the default changes nothing. No webhook does.
    let stated = SHOP.replace("{ ", "{ slug: a.b, ");
    assert_eq!(github, event_type(&stated).revision);
    let without = event_type("kind: event_type\nid: a.b\n").revision;
    assert_ne!(github, without);
}

#[test]
fn mistakes_are_found_at_their_places() {
    let found = report(
        "kind: event_type
id: a
webhook: {}
---
kind: event_type
id: b
webhook:
  slug: Shop/One
  layout: githup
  secrets: []
  secret: [b]
---
kind: event_type
id: c
webhook: { layout: hmac, secrets: [a, b, c], prefix: '' }
---
kind: event_type
id: d
webhook:
  layout: slack
  secrets: [a, a]
  header: x
  encoding: hex
---
kind: event_type
id: e
webhook: { layout: hmac, secrets: [a], header: 'a b', encoding: hexadecimal }
---
kind: event_type
id: f
webhook: { layout: hmac, secrets: [a], header: 'a b', encoding: hex }
---
kind: event_type
id: g
webhook: [a]
---
kind: event_type
id: h
webhook: { layout: 5, secrets: { a: b }, slug: 7 }
",
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:3:1: `webhook.layout` is missing
      3 | webhook: {}
        | ^
      hint: the layouts are standard, github, stripe, slack, hmac
    jobs/nightly.yaml:3:1: `webhook.secrets` is missing
      3 | webhook: {}
        | ^
      hint: a secret stays out of the file: give the worker `--webhook-secret NAME=file:/path`, and write NAME here
    jobs/nightly.yaml:8:9: `webhook.slug` must be 1 to 128 of a-z, 0-9, `.`, `_` and `-` and begin with a letter or digit, not `Shop/One`
      8 |   slug: Shop/One
        |         ^
      hint: `shop-one` would be valid
    jobs/nightly.yaml:9:11: `webhook.layout` must be one of standard, github, stripe, slack, hmac, not `githup`
      9 |   layout: githup
        |           ^
      hint: did you mean `github`?
    jobs/nightly.yaml:10:12: `webhook.secrets` must have 1 name, or 2 while a secret is replaced, not 0
      10 |   secrets: []
         |            ^
    jobs/nightly.yaml:11:3: unknown key `secret` in a webhook
      11 |   secret: [b]
         |   ^
      hint: did you mean `secrets`?
    jobs/nightly.yaml:15:1: `webhook.header` is missing, which `layout: hmac` needs
      15 | webhook: { layout: hmac, secrets: [a, b, c], prefix: '' }
         | ^
    jobs/nightly.yaml:15:1: `webhook.encoding` is missing, which `layout: hmac` needs
      15 | webhook: { layout: hmac, secrets: [a, b, c], prefix: '' }
         | ^
    jobs/nightly.yaml:15:35: `webhook.secrets` must have 1 name, or 2 while a secret is replaced, not 3
      15 | webhook: { layout: hmac, secrets: [a, b, c], prefix: '' }
         |                                   ^
    jobs/nightly.yaml:21:16: `webhook.secrets[1]` is the same as the other name
      21 |   secrets: [a, a]
         |                ^
    jobs/nightly.yaml:22:3: `webhook.header` needs `layout: hmac`
      22 |   header: x
         |   ^
    jobs/nightly.yaml:23:3: `webhook.encoding` needs `layout: hmac`
      23 |   encoding: hex
         |   ^
    jobs/nightly.yaml:27:65: `webhook.encoding` must be one of hex, base64, not `hexadecimal`
      27 | webhook: { layout: hmac, secrets: [a], header: 'a b', encoding: hexadecimal }
         |                                                                 ^
    jobs/nightly.yaml:31:48: `webhook`: the header must be the name of one, of at most 100 bytes
      31 | webhook: { layout: hmac, secrets: [a], header: 'a b', encoding: hex }
         |                                                ^
    jobs/nightly.yaml:35:10: `webhook` must be a map
      hint: the keys are slug, layout, secrets, header, prefix, encoding
    jobs/nightly.yaml:39:20: `webhook.layout` must be one of standard, github, stripe, slack, hmac, not `5`
      39 | webhook: { layout: 5, secrets: { a: b }, slug: 7 }
         |                    ^
    jobs/nightly.yaml:39:32: `webhook.secrets` must be a list of names of secrets
      39 | webhook: { layout: 5, secrets: { a: b }, slug: 7 }
         |                                ^
      hint: a secret stays out of the file: give the worker `--webhook-secret NAME=file:/path`, and write NAME here
    jobs/nightly.yaml:39:48: `webhook.slug` must be text, not `7`
      39 | webhook: { layout: 5, secrets: { a: b }, slug: 7 }
         |                                                ^
      hint: quote it: "7"
    "#);
}

#[test]
fn a_secret_is_an_error_that_does_not_show_it() {
    let secrets = [
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "WHSEC_C2FVsBQIhrscChlQIMV",
        "0123456789abcdef0123456789abcdef",
        "correct horse battery",
        "Zm9v/YmFy+YmF6Cg==",
        "pass!word",
        "zyxwvutsrqponmlkjihgfedcba-zyxwvutsrqponmlkjihgfedcba-zyxwvutsrqp",
        "g\u{fc}ltig-g\u{fc}ltig",
    ];
    for secret in secrets {
        for written in [
            format!("webhook: {{ layout: github, secrets: ['{secret}'] }}"),
            format!("webhook: {{ layout: github, secrets: [a, {secret}] }}"),
            format!("webhook: {{ layout: github, secrets: {secret} }}"),
            format!("webhook: {{ layout: github, secret: {secret} }}"),
            format!("webhook: {{ layout: github, Layout: x, secrets: {{ '{secret}': a }} }}"),
            format!("webhook: {{ layout: github, secrets: [a], key: [{{ a: '{secret}' }}] }}"),
            format!("webhook: '{secret}'"),
            format!("webhook:\n  layout: x\n  secrets:\n  - '{secret}'\n  slug: S"),
        ] {
            let found = report(&format!("kind: event_type\nid: a\n{written}\n"));
            assert!(!found.is_empty(), "{written}");
            let shown = found.to_lowercase();
            for part in [secret, &secret[..8]] {
                assert!(!shown.contains(&part.to_lowercase()), "{written}: {found}");
            }
        }
    }
    // A number is no name. A text of digits is one.
    let digits = SHOP.replace("hook]", "1234567890123456789]");
    assert!(!report(&digits).is_empty() && !report(&digits).contains("12345678"));
    webhook(&SHOP.replace("hook]", "'2026']"));
    // A name of 64 characters is one.
    webhook(&SHOP.replace("hook]", &format!("{}]", "h".repeat(64))));
}

#[test]
fn editors_find_the_same_mistakes() {
    let is_good = |text: &str| super::schema::validate(&json_schema(), &to_json(text)).is_ok();
    assert!(is_good(PAID) && is_good(SHOP));
    for (from, to) in [
        ("hook]", "'a b']"),
        ("hook]", "a, b, c]"),
        ("[hook]", "[]"),
        ("hook]", "a, a]"),
        ("layout: github, ", ""),
        ("github", "bitbucket"),
        ("github", "hmac"),
        ("secrets", "header: x, secrets"),
        ("secrets", "slug: A, secrets"),
    ] {
        let text = SHOP.replace(from, to);
        assert!(!is_good(&text), "{text}");
        assert!(!report(&text).is_empty(), "{text}");
    }
}
