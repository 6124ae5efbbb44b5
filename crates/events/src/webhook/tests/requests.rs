//! Requests that others may send.

use serde_json::json;

use super::*;

#[test]
fn a_signed_request_is_verified() {
    for layout in layouts() {
        let delivery = signed(&layout).verified().unwrap();
        assert_eq!(
            delivery.body,
            json!({ "id": "evt_1", "event_id": "Ev1", "n": 1 })
        );
        assert_eq!(delivery.digest, hex::encode(Sha256::digest(BODY)));
        let id = match layout {
            Layout::Standard => "msg_1",
            Layout::Stripe => "evt_1",
            Layout::Slack => "Ev1",
            Layout::Github | Layout::Hmac(_) => &delivery.digest,
        };
        assert_eq!(delivery.id, id);
        assert_eq!(delivery.subject, None);
    }
}

#[test]
fn a_forged_request_is_refused() {
    for layout in layouts() {
        let good = signed(&layout);
        let name = layout.name();
        let wrong = Err(Refusal::WrongSignature);
        assert_eq!(good.verify(&[OTHER], NOW), wrong, "{name}: another secret");
        for index in 0..BODY.len() {
            let mut forged = good.clone();
            forged.body[index] ^= 1;
            assert_eq!(forged.verify(&[SECRET], NOW), wrong, "{name}: byte {index}");
        }
        let mut forged = good.clone();
        forged.body.push(b' ');
        assert_eq!(
            forged.verify(&[SECRET], NOW),
            wrong,
            "{name}: one more byte"
        );
        forged.body.clear();
        assert_eq!(forged.verify(&[SECRET], NOW), wrong, "{name}: no body");
        // The signature of a request of another layout is not one of this layout.
        for other in layouts().iter().filter(|other| **other != layout) {
            let refusal = Request {
                layout: other.clone(),
                ..good.clone()
            };
            let refusal = refusal.verify(&[SECRET], NOW).unwrap_err();
            assert!(matches!(refusal, Refusal::MissingHeader(_)), "{refusal:?}");
        }
    }
    // The id and the time are signed, too.
    let good = signed(&Layout::Standard);
    for (header, value) in [("webhook-id", "msg_2"), ("webhook-timestamp", "1700000001")] {
        let forged = good.clone().replace(header, value);
        assert_eq!(forged.verified(), Err(Refusal::WrongSignature), "{header}");
    }
    let forged = signed(&Layout::Slack).replace("x-slack-request-timestamp", "1700000001");
    assert_eq!(forged.verified(), Err(Refusal::WrongSignature));
    let value = signed(&Layout::Stripe).headers.remove(0).1;
    let value = String::from_utf8(value)
        .unwrap()
        .replace("t=1700000000", "t=1700000001");
    let forged = signed(&Layout::Stripe).replace("stripe-signature", value);
    assert_eq!(forged.verified(), Err(Refusal::WrongSignature));
}

#[test]
fn every_digit_of_a_signature_counts() {
    let good = signed(&generic());
    let digits = good.headers[0].1.clone();
    for index in 0..digits.len() {
        let mut other = digits.clone();
        other[index] = if other[index] == b'0' { b'1' } else { b'0' };
        let refusal = good.clone().replace("x-signature", other).verified();
        assert_eq!(refusal, Err(Refusal::WrongSignature), "digit {index}");
    }
    let zeros = good.replace("x-signature", "0".repeat(64)).verified();
    assert_eq!(zeros, Err(Refusal::WrongSignature));
}

#[test]
fn a_signature_has_a_window_in_both_directions() {
    for layout in [Layout::Standard, Layout::Stripe, Layout::Slack] {
        let good = signed(&layout);
        for now in [NOW - 300, NOW, NOW + 300] {
            assert!(good.verify(&[SECRET], now).is_ok(), "{now}");
        }
        assert_eq!(good.verify(&[SECRET], NOW + 301), Err(Refusal::Stale(301)));
        assert_eq!(good.verify(&[SECRET], NOW - 301), Err(Refusal::Future(301)));
        let year = 31_536_000;
        assert_eq!(
            good.verify(&[SECRET], NOW + year),
            Err(Refusal::Stale(year))
        );
        // The age of a request that is not signed is not told.
        assert_eq!(
            good.verify(&[OTHER], NOW + 301),
            Err(Refusal::WrongSignature)
        );
    }
    for layout in [Layout::Github, generic()] {
        assert!(signed(&layout).verify(&[SECRET], 0).is_ok());
    }
    // The extremes of both times.
    let far = Request::signed(&Layout::Slack, SECRET, 99_999_999_999, BODY);
    let refusal = far
        .verify(&[SECRET], Timestamp::MIN.as_second())
        .unwrap_err();
    assert!(matches!(refusal, Refusal::Future(_)), "{refusal:?}");
}

/// A request that is sent again is the same delivery, whatever headers it has.
#[test]
fn a_replayed_request_has_the_same_id() {
    for layout in layouts() {
        let good = signed(&layout);
        let first = good.verified().unwrap();
        let again = good
            .clone()
            .add("X-GitHub-Delivery", "another")
            .add("Content-Type", "application/x-www-form-urlencoded")
            .add("svix-id", "another")
            .verify(&[SECRET], NOW + 200);
        assert_eq!(again, Ok(Verified::Delivery(first)));
    }
    // Another attempt has another time and signature.
    for layout in [Layout::Standard, Layout::Stripe, Layout::Slack] {
        let later = Request::signed(&layout, SECRET, NOW + 900, BODY);
        let later = later.verify(&[SECRET], NOW + 900);
        assert_eq!(
            later,
            Ok(Verified::Delivery(signed(&layout).verified().unwrap()))
        );
    }
}

#[test]
fn a_secret_can_be_replaced() {
    for layout in layouts() {
        for secret in [SECRET, OTHER] {
            let request = Request::signed(&layout, secret, NOW, BODY);
            for secrets in [[SECRET, OTHER], [OTHER, SECRET]] {
                assert!(request.verify(&secrets, NOW).is_ok(), "{}", layout.name());
            }
        }
        let third = Request::signed(&layout, b"canary secret number three", NOW, BODY);
        let refusal = third.verify(&[SECRET, OTHER], NOW);
        assert_eq!(refusal, Err(Refusal::WrongSignature));
    }
}

#[test]
fn each_header_of_a_layout_is_there_once() {
    for layout in layouts() {
        let good = signed(&layout);
        for (header, value) in &good.headers {
            let name = header.to_ascii_lowercase();
            let without = good.clone().without(header).verified();
            assert_eq!(without, Err(missing(&name)));
            // A second header is refused before and after the good one, also if it is the same.
            let twice = Err(malformed(&name, "occurs more than once"));
            assert_eq!(
                good.clone().add(&header.to_uppercase(), value).verified(),
                twice
            );
            assert_eq!(good.clone().add(header, "x").verified(), twice);
            let mut first = good.clone();
            first.headers.insert(0, (header.clone(), b"x".to_vec()));
            assert_eq!(first.verified(), twice);
            let bytes = good.clone().replace(header, b"\xff").verified();
            assert_eq!(bytes, Err(malformed(&name, "is not UTF-8")));
            assert!(good.clone().replace(header, "").verified().is_err());
            // Spaces around a value are not part of it.
            let spaced = [b" \t", &**value, b" "].concat();
            assert!(good.clone().replace(header, spaced).verified().is_ok());
        }
    }
    let message = missing("webhook-id").to_string();
    assert_eq!(message, "the header `webhook-id` is missing");
}

#[test]
fn a_malformed_header_is_refused() {
    let no_signature = "has no signature of this layout";
    for (layout, header, values) in [
        (
            Layout::Standard,
            "webhook-signature",
            vec![
                "v1",
                "v1,",
                "v2,AAAA",
                "v1a,AAAA",
                "v1,!",
                "v1,AAAA",
                "v1,AAAA v1,",
                "V1,AAAA",
            ],
        ),
        (
            Layout::Github,
            "x-hub-signature-256",
            vec!["sha256=", "sha1=00", "sha256=zz", "sha256=00", "00"],
        ),
        (
            Layout::Slack,
            "x-slack-signature",
            vec!["v0=", "v1=00", "v0=00", "00"],
        ),
        (
            Layout::Stripe,
            "stripe-signature",
            vec![
                "t=1700000000",
                "t=1700000000,v1=",
                "t=1700000000,v1=00",
                "t=1700000000,v0=00",
                "t",
            ],
        ),
        (generic(), "x-signature", vec!["00", "?", "sha256="]),
    ] {
        for value in values {
            let refusal = signed(&layout).replace(header, value).verified();
            assert_eq!(refusal, Err(malformed(header, no_signature)), "{value}");
        }
    }
    let no_time = "must have a time in seconds since 1970";
    for time in ["-1", "+1", "1.0", "1e9", "0x1", "１", "now", "123456789012"] {
        for (layout, header) in [
            (Layout::Standard, "webhook-timestamp"),
            (Layout::Slack, "x-slack-request-timestamp"),
        ] {
            let refusal = signed(&layout).replace(header, time).verified();
            assert_eq!(refusal, Err(malformed(header, no_time)), "{time}");
        }
        let value = format!("t={time},v1={}", "0".repeat(64));
        let refusal = signed(&Layout::Stripe)
            .replace("stripe-signature", value)
            .verified();
        assert_eq!(
            refusal,
            Err(malformed("stripe-signature", no_time)),
            "{time}"
        );
    }
    for times in ["", "t=1700000000,t=1700000000,"] {
        let value = format!("{times}v1={}", "0".repeat(64));
        let refusal = signed(&Layout::Stripe)
            .replace("stripe-signature", value)
            .verified();
        assert_eq!(
            refusal,
            Err(malformed("stripe-signature", "must have one time `t=`"))
        );
    }
    for id in ["a\u{202e}b", "a\u{1}b", &"x".repeat(257), &"é".repeat(129)] {
        let refusal = signed(&Layout::Standard)
            .replace("webhook-id", id)
            .verified();
        let why = "must have at most 256 bytes of printable characters";
        assert_eq!(refusal, Err(malformed("webhook-id", why)), "{id}");
    }
}

#[test]
fn at_most_twenty_signatures_are_compared() {
    let text = format!("msg_1.{NOW}.{BODY}");
    let (good, bad) = (v1(SECRET, &text), v1(OTHER, &text));
    let with = |signatures: &[&str]| {
        let value = signatures.join(" ");
        signed(&Layout::Standard)
            .replace("webhook-signature", value)
            .verified()
    };
    let mut many = vec![bad.as_str(); 19];
    many.push(&good);
    assert!(with(&many).is_ok());
    many[19] = &bad;
    assert_eq!(with(&many), Err(Refusal::WrongSignature));
    many.push(&good);
    let too_many = "has more than 20 signatures";
    assert_eq!(with(&many), Err(malformed("webhook-signature", too_many)));
    // Other versions do not count.
    let mut many = vec!["v1a,AAAA"; 100];
    many.push(&good);
    assert!(with(&many).is_ok());

    let signatures = format!(",v1={}", "0".repeat(64)).repeat(21);
    let value = format!("t={NOW}{signatures}");
    let refusal = signed(&Layout::Stripe)
        .replace("stripe-signature", value)
        .verified();
    assert_eq!(refusal, Err(malformed("stripe-signature", too_many)));
    assert!(too_many.contains(&claim::MAX_SIGNATURES.to_string()));
}

#[test]
fn the_headers_of_svix_are_one_set() {
    let mut request = signed(&Layout::Standard);
    for (name, _) in &mut request.headers {
        *name = name.replace("webhook-", "Svix-");
    }
    assert!(request.verified().is_ok());
    let refusal = request
        .clone()
        .without("svix-id")
        .add("webhook-id", "msg_1")
        .verified();
    assert_eq!(refusal, Err(missing("svix-id")));
    // The other set does not count beside a signature of `webhook-`.
    let refusal = request.add("webhook-signature", "v1,AAAA").verified();
    assert!(
        matches!(refusal, Err(Refusal::MalformedHeader(header, _)) if header == "webhook-signature")
    );
}

#[test]
fn a_hint_is_short_and_printable() {
    let hint = |values: &[&[u8]]| {
        let request = signed(&Layout::Github);
        let add = |request: Request, value: &&[u8]| request.add("X-GitHub-Event", value);
        values.iter().fold(request, add).verified().unwrap().subject
    };
    assert_eq!(hint(&[b"pull_request"]).as_deref(), Some("pull_request"));
    let long = "x".repeat(256);
    assert_eq!(hint(&[long.as_bytes()]), Some(long));
    for bad in [
        &b""[..],
        b"a\x1b[0m",
        b"\xff",
        "\u{202e}".as_bytes(),
        "x".repeat(257).as_bytes(),
    ] {
        assert_eq!(hint(&[bad]), None);
    }
    assert_eq!(hint(&[b"push", b"push"]), None);
    let other = signed(&Layout::Slack).add("x-github-event", "push");
    assert_eq!(other.verified().unwrap().subject, None);
}
