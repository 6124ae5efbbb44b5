use serde_json::json;

use super::*;
use crate::{MAX_BYTES, MAX_VALUES};

fn event() -> Value {
    json!({ "specversion": "1.0", "id": "1", "source": "/s", "type": "t" })
}

fn with(name: &str, value: impl Into<Value>) -> Result<CloudEvent, InvalidEvent> {
    let mut event = event();
    event[name] = value.into();
    CloudEvent::from_json(event)
}

#[track_caller]
fn refuses(name: &str, value: impl Into<Value>, expected: &str) {
    let value = value.into();
    let why = with(name, value.clone()).expect_err(expected).to_string();
    assert_eq!(why, expected, "{name}: {value}");
}

#[test]
fn an_event_is_kept_as_it_is() {
    let json = json!({
        "specversion": "1.0",
        "id": "A234-1234-1234",
        "source": "https://example.com/a%20b?c#d",
        "type": "com.example.some",
        "subject": "été 😀",
        "time": "2018-04-05T17:31:00.123+02:00",
        "datacontenttype": "application/json",
        "dataschema": "urn:x",
        "data": { "a": [1, 1.5, null] },
        "comexampleextension1": "value",
        "comexampleothervalue": 5,
        "flag": false,
        "anextensionwithaverylongname": "x",
    });
    let event = CloudEvent::from_json(json.clone()).unwrap();
    assert_eq!(event.id(), "A234-1234-1234");
    assert_eq!(event.source(), "https://example.com/a%20b?c#d");
    assert_eq!(event.kind(), "com.example.some");
    assert_eq!(event.subject(), Some("été 😀"));
    assert_eq!(event.time(), Some("2018-04-05T17:31:00.123+02:00"));
    assert_eq!(event.data(), Some(&json!({ "a": [1, 1.5, null] })));
    assert_eq!(event.extension("comexampleothervalue"), Some(&json!(5)));
    for name in ["id", "data", "specversion", "subject", "other"] {
        assert_eq!(event.extension(name), None, "{name}");
    }
    assert_eq!(event.as_json(), &json);
    assert_eq!(event.into_json(), json);
}

#[test]
fn an_attribute_that_is_null_is_not_there() {
    let null = json!({
        "specversion": "1.0", "id": "1", "source": "/s", "type": "t",
        "subject": null, "time": null, "ext": null, "data_base64": null, "data": null,
    });
    let event = CloudEvent::from_json(null).unwrap();
    assert_eq!((event.subject(), event.time()), (None, None));
    assert_eq!(event.extension("ext"), None);
    // Null is data, as any other JSON is.
    assert_eq!(event.data(), Some(&Value::Null));
    refuses("id", Value::Null, "`id` must be text");
    let event = CloudEvent::from_json(super::tests::event()).unwrap();
    assert_eq!(event.data(), None);
}

#[test]
fn the_checks_of_signals_apply() {
    refuses("specversion", "0.3", "`specversion` must be \"1.0\"");
    refuses("source", "", "`source` must be text");
    let why = CloudEvent::from_json(json!([])).unwrap_err();
    assert_eq!(why.to_string(), "it is not a map of attributes");
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let why = with("data", deep).unwrap_err().to_string();
    assert!(why.starts_with("it nests more than"), "{why}");
}

#[test]
fn names_consist_of_small_letters_and_digits() {
    assert!(with("a1", "x").is_ok() && with("1", "x").is_ok());
    for name in [
        "",
        "A",
        "a_b",
        "a-b",
        "é",
        "a b",
        "a\u{1b}[31m",
        "data_base65",
    ] {
        let why = with(name, "x").unwrap_err().to_string();
        let rule = "is not the name of an attribute: names of attributes consist of a-z and 0-9";
        assert!(why.ends_with(rule) && !why.contains('\u{1b}'), "{why}");
    }
    // A long name is not shown whole.
    let why = with(&"X".repeat(10_000), "x").unwrap_err().to_string();
    assert!(why.len() < 200, "{why}");
}

#[test]
fn each_attribute_has_its_form() {
    for good in [
        "1-555-123-4567",
        "mailto:a@b.c",
        "urn:uuid:6e8b",
        "/é",
        "%C3%A9",
        "a",
    ] {
        assert!(with("source", good).is_ok(), "{good}");
    }
    for bad in ["a b", "<a>", "a\"", "{a}", "a\\b"] {
        refuses("source", bad, "`source` must be a URI");
    }
    for bad in ["%", "a%2", "%zz"] {
        refuses(
            "source",
            bad,
            "`source` must be a URI: a `%` in it encodes nothing",
        );
        refuses(
            "dataschema",
            bad,
            "`dataschema` must be a URI: a `%` in it encodes nothing",
        );
    }
    for name in ["subject", "datacontenttype"] {
        refuses(name, "", &format!("`{name}` must be text"));
        refuses(name, 1, &format!("`{name}` must be text"));
    }
    for good in [json!(i32::MIN), json!(i32::MAX), json!(true), json!("")] {
        assert!(with("ext", good.clone()).is_ok(), "{good}");
    }
    for bad in [
        json!(i64::from(i32::MAX) + 1),
        json!(1.0),
        json!([]),
        json!({}),
    ] {
        let expected = "`ext` must be text, true, false or a whole number of 32 bits";
        refuses("ext", bad, expected);
    }
}

#[test]
fn times_are_those_of_rfc_3339() {
    for good in [
        "2026-01-31T08:00:00Z",
        "2026-01-31t08:00:00z",
        "2026-01-31T08:00:00.1-00:00",
        "2026-01-31T08:00:00.123456789+23:59",
        "2016-12-31T23:59:60Z",
        "0001-01-01T00:00:00Z",
    ] {
        assert!(with("time", good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "2026-01-31",
        "2026-01-31T08:00:00",
        "2026-01-31 08:00:00Z",
        "2026-01-31T08:00Z",
        "20260131T080000Z",
        "2026-01-31T08:00:00.Z",
        "2026-01-31T08:00:00,5Z",
        "2026-01-31T08:00:00+02",
        "2026-01-31T08:00:00+0200",
        "2026-01-31T08:00:00+02:00[Europe/Berlin]",
        "2026-01-31T08:00:00Z ",
        "2026-02-30T08:00:00Z",
        "2026-01-31T25:00:00Z",
        "+002026-01-31T08:00:00Z",
        "2026-01-31T08:00:0éZ",
        "1769846400",
    ] {
        refuses(
            "time",
            bad,
            "`time` must be a time like 2026-01-31T08:00:00Z",
        );
    }
}

#[test]
fn no_attribute_has_control_characters() {
    for c in [
        '\0',
        '\n',
        '\u{1b}',
        '\u{7f}',
        '\u{85}',
        '\u{fffe}',
        '\u{1ffff}',
        '\u{fdd0}',
    ] {
        for name in [
            "id",
            "source",
            "type",
            "subject",
            "ext",
            "time",
            "dataschema",
        ] {
            refuses(
                name,
                format!("a{c}"),
                &format!("`{name}` has a control character"),
            );
        }
    }
    assert!(with("data", "a\n\u{0}").is_ok());
    assert!(with("subject", "\u{10fffd}").is_ok());
}

#[test]
fn data_is_json_or_bytes() {
    let event = with("data_base64", "aGk=").unwrap();
    assert_eq!(event.data(), None);
    for bad in [
        json!("aGk"),
        json!("a Gk="),
        json!("_-8="),
        json!(1),
        json!({}),
    ] {
        refuses("data_base64", bad, "`data_base64` must be text in base64");
    }
    let mut both = super::tests::event();
    both["data"] = Value::Null;
    both["data_base64"] = json!("aGk=");
    let why = CloudEvent::from_json(both).unwrap_err();
    assert_eq!(why.to_string(), "it has both `data` and `data_base64`");
}

#[test]
fn an_event_is_within_limits() {
    let many = |count: usize| {
        let mut event = event();
        for index in 4..count {
            event[format!("e{index}")] = json!("x");
        }
        CloudEvent::from_json(event)
    };
    assert!(many(64).is_ok());
    let why = many(65).unwrap_err().to_string();
    assert_eq!(why, "it has 65 attributes, over the limit of 64");

    assert!(with("id", "x".repeat(4096)).is_ok());
    for name in ["id", "source", "time", "ext"] {
        let expected = format!("`{name}` has 4097 bytes, over the limit of 4096");
        refuses(name, "x".repeat(4097), &expected);
    }

    let envelope = with("data", "").unwrap().into_json().to_string().len();
    assert!(with("data", "x".repeat(MAX_BYTES - envelope)).is_ok());
    let large = with("data", "x".repeat(MAX_BYTES - envelope + 1)).unwrap_err();
    assert_eq!(large, InvalidEvent::TooLarge(1_000_001));
    let expected = "it has 1000001 bytes as JSON, over the limit of 1000000";
    assert_eq!(large.to_string(), expected);
}

/// A run hears what this function accepts, and recorded runs heard more than is accepted from
/// outside.
#[test]
fn signals_are_checked_less() {
    for (name, value) in [
        ("time", json!("yesterday")),
        ("source", json!("a b")),
        ("Ext_1", json!([1])),
        ("id", json!("a\nb")),
        ("type", json!("x".repeat(5000))),
        ("subject", Value::Null),
        ("data_base64", json!(1)),
    ] {
        let mut event = event();
        event[name] = value;
        assert_eq!(cloud_event(event.clone()), Ok(event.clone()), "{name}");
        let accepted = CloudEvent::from_json(event.clone()).map(CloudEvent::into_json);
        assert_ne!(accepted, Ok(event), "{name}");
    }
}

#[test]
fn the_number_of_values_is_limited() {
    let envelope = 5;
    let of = |count: usize| with("data", vec![0; count]);
    assert!(of(MAX_VALUES - envelope - 1).is_ok());
    let many = of(MAX_VALUES - envelope).unwrap_err().to_string();
    assert!(many.contains("more than 100000 values"), "{many}");
}
