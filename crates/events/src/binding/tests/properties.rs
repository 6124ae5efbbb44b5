//! Properties of any message.

use almanac_base::percent;
use proptest::prelude::*;

use super::*;

/// A text without the characters that no attribute may have.
fn attribute() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 1..20).prop_filter_map("forbidden", |chars| {
        let text: String = chars.into_iter().collect();
        let event = json!({ "specversion": "1.0", "id": text, "source": "/s", "type": "t" });
        CloudEvent::from_json(event).is_ok().then_some(text)
    })
}

proptest! {
    #[test]
    fn both_modes_give_the_same_event(
        id in attribute(),
        subject in proptest::option::of(attribute()),
        extension in proptest::option::of(attribute()),
        data in proptest::option::of(any::<Vec<u8>>()),
        kind in proptest::sample::select(&["application/json", "text/plain", "a/b"][..]),
    ) {
        let mut sent = json!({
            "specversion": "1.0", "id": id, "source": "/s%20", "type": "t", "datacontenttype": kind,
        });
        if let Some(subject) = subject {
            sent["subject"] = json!(subject);
        }
        if let Some(extension) = extension {
            sent["ext1"] = json!(extension);
        }
        let mut body = Vec::new();
        // An empty body is no data in the binary mode.
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            body = match kind {
                "application/json" => {
                    sent["data"] = json!({ "bytes": data });
                    sent["data"].to_string().into_bytes()
                }
                "text/plain" => {
                    let text = String::from_utf8_lossy(&data).into_owned();
                    sent["data"] = json!(text);
                    text.into_bytes()
                }
                _ => {
                    sent["data_base64"] = json!(BASE64_STANDARD.encode(&data));
                    data
                }
            };
        }
        let structured = one(super::body(STRUCTURED, &sent.to_string()));
        prop_assert_eq!(structured.as_ref(), Ok(&sent));
        let headers: Vec<(String, String)> = sent
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| !name.starts_with("data"))
            .map(|(name, value)| {
                (format!("ce-{name}"), percent::encode(value.as_str().unwrap()))
            })
            .collect();
        let headers = headers.iter().map(|(name, value)| (&**name, value.as_bytes()));
        prop_assert_eq!(one(read(Some(kind), headers, &body)), structured);
    }

    #[test]
    fn any_message_is_read_or_refused(
        content_type in proptest::option::of(prop_oneof![
            Just(STRUCTURED.to_owned()),
            Just(BATCHED.to_owned()),
            Just("application/json".to_owned()),
            Just("text/plain".to_owned()),
            any::<String>(),
        ]),
        headers in proptest::collection::vec(
            (
                prop_oneof![
                    proptest::sample::select(&["ce-id", "ce-type", "ce-source", "ce-specversion"][..])
                        .prop_map(str::to_owned),
                    any::<String>(),
                    any::<String>().prop_map(|name| format!("ce-{name}")),
                ],
                prop_oneof![Just(b"1.0".to_vec()), any::<Vec<u8>>()],
            ),
            0..8,
        ),
        body in prop_oneof![
            any::<Vec<u8>>(),
            Just(br#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#.to_vec()),
        ],
    ) {
        let headers = headers.iter().map(|(name, value)| (&**name, &**value));
        match read(content_type.as_deref(), headers, &body) {
            Ok(events) => {
                for event in events {
                    prop_assert!(!event.id().is_empty() && !event.kind().is_empty());
                    let json = event.as_json().clone();
                    prop_assert_eq!(CloudEvent::from_json(json), Ok(event));
                }
            }
            Err(why) => {
                let why = why.to_string();
                prop_assert!(why.len() < 600 && !why.contains(char::is_control), "{}", why);
            }
        }
    }
}
