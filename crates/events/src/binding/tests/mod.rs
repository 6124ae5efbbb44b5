mod properties;

use serde_json::json;

use super::*;

const REQUIRED: [(&str, &str); 4] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "1"),
    ("ce-source", "/s"),
    ("ce-type", "t"),
];

/// Reads a message in the binary mode that has the required attributes and other headers.
fn binary(
    content_type: Option<&str>,
    headers: &[(&str, &[u8])],
    body: &[u8],
) -> Result<Value, ReadError> {
    let required = REQUIRED.map(|(name, value)| (name, value.as_bytes()));
    let headers = required.into_iter().chain(headers.iter().copied());
    one(read(content_type, headers, body))
}

/// Reads a message without headers.
fn body(content_type: &str, body: &str) -> Result<Vec<CloudEvent>, ReadError> {
    read(Some(content_type), [], body.as_bytes())
}

fn one(events: Result<Vec<CloudEvent>, ReadError>) -> Result<Value, ReadError> {
    let mut events = events?;
    assert_eq!(events.len(), 1);
    Ok(events.remove(0).into_json())
}

fn event() -> Value {
    json!({ "specversion": "1.0", "id": "1", "source": "/s", "type": "t" })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut event = event();
    event[name] = value.into();
    event
}

#[track_caller]
fn malformed<T: std::fmt::Debug>(result: Result<T, ReadError>, part: &str) {
    match result {
        Err(ReadError::Malformed(why)) if why.contains(part) => {}
        other => panic!("{part}: {other:?}"),
    }
}

#[track_caller]
fn unsupported<T: std::fmt::Debug>(result: Result<T, ReadError>) {
    match result {
        Err(ReadError::UnsupportedMediaType(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn too_large<T: std::fmt::Debug>(result: Result<T, ReadError>, part: &str) {
    match result {
        Err(ReadError::TooLarge(why)) if why.contains(part) => {}
        other => panic!("{part}: {other:?}"),
    }
}

#[test]
fn a_structured_message_is_an_event_in_the_json_format() {
    let sent = with("data", json!({ "a": 1 }));
    for content_type in [
        "application/cloudevents+json",
        " Application/CloudEvents+JSON; charset=UTF-8 ",
        "application/cloudevents+json;charset=\"us-ascii\"",
    ] {
        let read = one(body(content_type, &sent.to_string()));
        assert_eq!(read.as_ref(), Ok(&sent), "{content_type}");
    }
    // Headers may repeat the attributes, and the body counts.
    let headers = [("ce-id", &b"2"[..]), ("ce-id", b"\xff")];
    let read = one(read(Some(STRUCTURED), headers, sent.to_string().as_bytes()));
    assert_eq!(read, Ok(sent));

    malformed(body(STRUCTURED, ""), "the body is not JSON");
    malformed(body(STRUCTURED, "[]"), "the event: it is not a map");
    malformed(
        body(STRUCTURED, r#"{"id": ""}"#),
        "the event: `specversion` must be text",
    );
    malformed(super::read(Some(STRUCTURED), [], b"\xff"), "is not UTF-8");
    let twice = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","id":"2"}"#;
    malformed(body(STRUCTURED, twice), "the body has the key `id` twice");
    let long = with("data", 1)
        .to_string()
        .replace(":1,", ":18446744073709551616,");
    malformed(body(STRUCTURED, &long), "18446744073709551616");
}

#[test]
fn only_the_json_formats_of_events_are_read() {
    for content_type in [
        "application/cloudevents",
        "application/cloudevents+avro",
        "application/cloudevents-batch",
        "application/cloudevents-batch+xml",
        "application/cloudevents+json; charset=utf-16",
        "application/cloudevents-batch+json; charset=latin1",
    ] {
        unsupported(body(content_type, &event().to_string()));
        // No header makes such a message one in the binary mode.
        unsupported(binary(Some(content_type), &[], b"{}"));
    }
    for content_type in [None, Some("application/json"), Some("text/plain"), Some("")] {
        unsupported(read(
            content_type,
            [("x-ce-id", &b"1"[..]), ("ce", b"1")],
            b"{}",
        ));
    }
}

#[test]
fn a_batch_is_a_list_of_events() {
    let batch = |events: &[Value]| body(BATCHED, &json!(events).to_string());
    assert_eq!(batch(&[]), Ok(vec![]));
    let read = batch(&[event(), with("id", "2")]).unwrap();
    let ids: Vec<&str> = read.iter().map(CloudEvent::id).collect();
    assert_eq!(ids, ["1", "2"]);

    malformed(body(BATCHED, &event().to_string()), "must be a list");
    malformed(
        batch(&[event(), event(), with("id", 1)]),
        "events[2]: `id` must be text",
    );
    malformed(batch(&[json!([])]), "events[0]: it is not a map");
    assert_eq!(batch(&vec![event(); 100]).unwrap().len(), 100);
    too_large(
        batch(&vec![event(); 101]),
        "101 events, over the limit of 100",
    );
}

#[test]
fn a_binary_message_has_its_attributes_in_headers() {
    let headers = [
        ("CE-Time", &b"2018-04-05T03:56:24Z"[..]),
        ("Ce-ComExample", b" 5\t"),
        ("host", b"example.com"),
        ("x-other", b"\xff"),
    ];
    let read = binary(
        Some("application/json; charset=utf-8"),
        &headers,
        br#"{"a": 1}"#,
    );
    let mut expected = with("data", json!({ "a": 1 }));
    expected["time"] = json!("2018-04-05T03:56:24Z");
    expected["comexample"] = json!("5");
    expected["datacontenttype"] = json!("application/json; charset=utf-8");
    assert_eq!(read, Ok(expected));

    let headers = REQUIRED[1..]
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    malformed(
        super::read(None, headers, b""),
        "the event: `specversion` must be text",
    );
}

/// The examples are those of the HTTP binding.
#[test]
fn values_of_headers_are_decoded_once() {
    for (sent, expected) in [
        (&b"Euro%20%E2%82%AC%20%F0%9F%98%80"[..], "Euro € 😀"),
        (b"%e2%82%ac", "€"),
        (b"%2525", "%25"),
        (b"\"a b\"", "a b"),
        (br#""a \"b\" \\c%20""#, r#"a "b" \c "#),
        (br"a\b", r"a\b"),
        ("é".as_bytes(), "é"),
        (b"%41", "A"),
        (b"a+b", "a+b"),
    ] {
        let read = binary(None, &[("ce-subject", sent)], b"");
        assert_eq!(read, Ok(with("subject", expected)), "{expected}");
    }
    for bad in [
        &b"%C0%A0"[..],
        b"%ff",
        b"\xff",
        b"%",
        b"%4",
        b"100%zz",
        b"\"open",
        b"\"open\\",
        b"\"a\\\"",
    ] {
        malformed(
            binary(None, &[("ce-subject", bad)], b""),
            "`ce-subject` is not UTF-8 with percent-encoding",
        );
    }
    // An encoded character is as forbidden as any other.
    malformed(
        binary(None, &[("ce-subject", b"a%0ab")], b""),
        "`subject` has a control character",
    );
}

#[test]
fn headers_that_no_event_has_are_refused() {
    for (name, part) in [
        ("ce-id", "occurs more than once"),
        ("CE-ID", "occurs more than once"),
        ("ce-datacontenttype", "must not be sent"),
        ("ce-data", "must not be sent"),
        ("ce-data_base64", "names no attribute"),
        ("ce-", "names no attribute"),
        ("ce-a-b", "names no attribute"),
        ("ce-é", "names no attribute"),
    ] {
        malformed(binary(None, &[(name, b"1")], b""), part);
    }
    let names: Vec<String> = (0..=60).map(|index| format!("ce-e{index}")).collect();
    let headers: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b"x"[..])).collect();
    assert!(binary(None, &headers[..60], b"").is_ok());
    malformed(
        binary(None, &headers, b""),
        "over the limit of 64 attributes",
    );
    malformed(
        binary(None, &[("ce-x", "x".repeat(4097).as_bytes())], b""),
        "`x` has 4097 bytes",
    );
}

#[test]
fn the_content_type_says_what_the_data_is() {
    let data = |content_type: Option<&str>, body: &[u8]| {
        let event = binary(content_type, &[], body)?;
        Ok((event["data"].clone(), event["data_base64"].clone()))
    };
    let none = Value::Null;
    for json in [
        "application/json",
        "text/json",
        "image/svg+json",
        "A/B+JSON;charset=utf-8",
    ] {
        assert_eq!(
            data(Some(json), b"[1]"),
            Ok((json!([1]), none.clone())),
            "{json}"
        );
        malformed(data(Some(json), b"{"), "the body is not JSON");
        malformed(data(Some(json), br#"{"a":1,"a":2}"#), "twice");
        malformed(data(Some(json), b"\xff"), "is not UTF-8");
    }
    unsupported(data(Some("application/json;charset=utf-16"), b"{}"));
    let text = "<é>".as_bytes();
    assert_eq!(
        data(Some("text/xml"), text),
        Ok((json!("<é>"), none.clone()))
    );
    malformed(data(Some("text/plain"), b"\xff"), "not UTF-8");
    for other in [
        Some("application/xml"),
        Some("text/plain;charset=latin1"),
        Some(""),
        None,
    ] {
        assert_eq!(
            data(other, b"hi"),
            Ok((none.clone(), json!("aGk="))),
            "{other:?}"
        );
        assert_eq!(
            data(other, b"\xff"),
            Ok((none.clone(), json!("/w=="))),
            "{other:?}"
        );
    }
    for any in [Some("application/json"), Some("text/plain"), None] {
        let event = binary(any, &[], b"").unwrap();
        assert_eq!(event.get("data"), None);
        assert_eq!(event.get("data_base64"), None);
    }
    // Null is data.
    let event = binary(Some("application/json"), &[], b"null").unwrap();
    assert_eq!(event.get("data"), Some(&Value::Null));
}

#[test]
fn a_plain_message_is_the_data_of_an_event() {
    let read = |body: &[u8]| plain("orders.new", "/nats/ORDERS", "ORDERS/7", body);
    let event = read(br#"{"total": 5}"#).unwrap().into_json();
    let expected = json!({
        "specversion": "1.0", "id": "ORDERS/7", "source": "/nats/ORDERS", "type": "orders.new",
        "data": { "total": 5 },
    });
    assert_eq!(event, expected);
    assert_eq!(read(b"").unwrap().data(), None);
    malformed(read(b"hello"), "the body is not JSON");
    malformed(read(b"\xff"), "is not UTF-8");
    malformed(plain("", "/s", "1", b""), "`type` must be text");
    malformed(plain("t", "a b", "1", b""), "`source` must be a URI");
    malformed(plain("t", "/s", "\n", b""), "`id` has a control character");
}

#[test]
fn a_message_is_within_limits() {
    let large = "x".repeat(MAX_BODY + 1);
    for content_type in [None, Some(STRUCTURED), Some(BATCHED), Some("text/plain")] {
        too_large(
            binary(content_type, &[], large.as_bytes()),
            "the body has 1000001 bytes",
        );
    }
    too_large(
        plain("t", "/s", "1", large.as_bytes()),
        "the body has 1000001 bytes",
    );
    // The body fits, and the event does not.
    let full = "x".repeat(MAX_BODY);
    too_large(
        binary(Some("text/plain"), &[], full.as_bytes()),
        "bytes as JSON",
    );
    too_large(binary(None, &[], full.as_bytes()), "bytes as JSON");

    let mut event = event();
    event["data"] = json!("");
    let room = MAX_BODY - event.to_string().len();
    event["data"] = json!("x".repeat(room));
    assert!(body(STRUCTURED, &event.to_string()).is_ok());
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    malformed(
        binary(Some("application/json"), &[], deep.as_bytes()),
        "levels deep",
    );
}
