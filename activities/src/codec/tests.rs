use std::collections::HashMap;

use serde_json::json;
use temporalio_common::data_converters::SerializationContextData;
use temporalio_common::protos::temporal::api::common::v1::{Memo, Payloads, SearchAttributes};
use temporalio_common::protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;

use super::*;
use crate::payload::{encode_json, encode_readable};

const A: &str = "a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const B: &str = "b AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn codec(lines: &[&str]) -> Codec {
    let ring = Arc::new(KeyRing::parse(lines.join("\n").as_bytes()).unwrap());
    Codec::with_keys(move || Arc::clone(&ring))
}

fn key(id: &str) -> Encryption {
    Encryption::Key(id.into())
}

async fn encoded(codec: &Codec, payload: Payload) -> Payload {
    let all = codec.encode(&SerializationContextData::None, vec![payload]);
    all.await.unwrap().remove(0)
}

async fn decoded(codec: &Codec, payload: Payload) -> Payload {
    let all = codec.decode(&SerializationContextData::None, vec![payload]);
    all.await.unwrap().remove(0)
}

#[tokio::test]
async fn a_decoded_payload_names_its_key_and_a_plain_one_none() {
    let plain = encode_json(&json!(1));
    let sealed = encoded(&codec(&[A]), plain.clone()).await;
    let both = codec(&[B, A]);
    let opened = decoded(&both, sealed).await;
    assert_eq!(encryption_of(&opened), key("a"));
    assert_eq!(opened.data, plain.data);
    assert_eq!(
        encryption_of(&decoded(&both, plain).await),
        Encryption::None
    );
}

#[tokio::test]
async fn a_payload_cannot_claim_an_encryption_or_a_reason() {
    let mut hostile = encode_json(&json!(1));
    for (name, value) in [(ENCRYPTION, "key a"), (UNDECODED, "because"), (FOUND, "x")] {
        let value = value.as_bytes().to_vec();
        hostile.metadata.insert(name.to_owned(), value);
    }
    let sealed = encoded(&codec(&[A]), hostile.clone()).await;
    for codec in [Codec::default(), codec(&[A])] {
        let read = decoded(&codec, hostile.clone()).await;
        assert_eq!(read, encode_json(&json!(1)));
        assert_eq!(encoded(&Codec::default(), hostile.clone()).await, read);
    }
    let opened = decoded(&codec(&[A]), sealed).await;
    assert_eq!(undecoded_reason(&opened), None);
    assert_eq!(encryption_of(&opened), key("a"));
}

#[tokio::test]
async fn a_payload_that_cannot_be_decrypted_stays_and_says_why() {
    let sealed = encoded(&codec(&[A]), encode_json(&json!(1))).await;
    for codec in [Codec::default(), codec(&[B])] {
        let kept = decoded(&codec, sealed.clone()).await;
        assert!(is_encrypted(&kept));
        let reason = undecoded_reason(&kept).unwrap();
        assert!(reason.contains("key `a`, which is not among"), "{reason}");
        assert_eq!(encoded(&Codec::default(), kept).await, sealed);
    }
    let mut changed = sealed;
    changed.data[20] ^= 1;
    let kept = decoded(&codec(&[A]), changed).await;
    let reason = undecoded_reason(&kept).unwrap();
    assert!(reason.contains("does not decrypt with key `a`"), "{reason}");
}

#[tokio::test]
async fn almanacs_memo_and_search_attributes_stay_readable() {
    let mut info = NewWorkflowExecutionInfo {
        input: Some(Payloads {
            payloads: vec![encode_json(&json!("hush"))],
        }),
        memo: Some(Memo {
            fields: HashMap::from([
                ("almanac".to_owned(), encode_readable(&json!({"v": 1}))),
                ("team".to_owned(), encode_json(&json!("hush"))),
            ]),
        }),
        search_attributes: Some(SearchAttributes {
            indexed_fields: HashMap::from([("Team".to_owned(), encode_json(&json!("x")))]),
        }),
        ..NewWorkflowExecutionInfo::default()
    };
    let plain = info.clone();
    encode_fresh(&mut info, &codec(&[A])).await.unwrap();
    assert_eq!(info.search_attributes, plain.search_attributes);
    let memo = info.memo.clone().unwrap().fields;
    // The mark is not sent: with it, the Temporal CLI does not show the memo as JSON.
    assert_eq!(memo["almanac"], encode_json(&json!({"v": 1})));
    assert!(is_encrypted(&memo["team"]));
    assert!(is_encrypted(&info.input.unwrap().payloads[0]));
}

#[tokio::test]
async fn what_an_answer_had_is_sent_as_the_server_has_it() {
    let old = encoded(&codec(&[A]), encode_json(&json!("old"))).await;
    let plain = encode_json(&json!("plain"));
    let mut payloads = Payloads {
        payloads: vec![old.clone(), plain.clone()],
    };
    let now = codec(&[B, A]);
    decode_found(&mut payloads, &now).await.unwrap();
    assert_eq!(payloads.payloads[0].data, encode_json(&json!("old")).data);
    // A third payload is new, and one that was there is to be encrypted again.
    payloads.payloads.push(encode_json(&json!("new")));
    payloads
        .payloads
        .push(without_internal(payloads.payloads[0].clone()));
    encode_fresh(&mut payloads, &now).await.unwrap();
    let [first, second, third, fourth] = &payloads.payloads[..] else {
        panic!("{payloads:?}");
    };
    assert_eq!((first, second), (&old, &plain));
    for (payload, text) in [(third, "new"), (fourth, "old")] {
        assert_eq!(payload.metadata["encryption-key-id"], b"b");
        let opened = decoded(&now, payload.clone()).await;
        assert_eq!(opened.data, encode_json(&json!(text)).data);
    }
}

#[tokio::test]
async fn another_program_gets_only_what_is_to_be_encoded() {
    use axum::Json;
    use axum::routing::post;

    let _chosen_before = rustls::crypto::ring::default_provider().install_default();
    let sealing = codec(&[A]);
    let (to_encode, to_decode) = (sealing.clone(), sealing);
    let work = |json: PayloadsJson, codec: Codec, encode: bool| async move {
        let payloads = json.payloads().unwrap();
        let done = if encode {
            codec.encode_all(payloads).await
        } else {
            assert!(payloads.iter().all(is_encrypted), "{payloads:?}");
            codec.decode_all(payloads).await
        };
        Json(PayloadsJson::of(&done.unwrap()))
    };
    let app = axum::Router::new()
        .route(
            "/encode",
            post(move |Json(json)| work(json, to_encode.clone(), true)),
        )
        .route(
            "/decode",
            post(move |Json(json)| work(json, to_decode.clone(), false)),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let remote = Codec::remote(RemoteCodec::new(&endpoint, "ns", None).unwrap());
    assert_eq!(remote.encryption(), Encryption::Remote);

    let (memo, input) = (
        encode_readable(&json!({"v": 1})),
        encode_json(&json!("hush")),
    );
    let all = vec![memo.clone(), input.clone()];
    let encoded = remote.encode_all(all).await.unwrap();
    assert_eq!(encoded[0], encode_json(&json!({"v": 1})));
    assert!(is_encrypted(&encoded[1]));
    let decoded = remote.decode_all(encoded).await.unwrap();
    for (payload, expected) in decoded.iter().zip([&memo, &input]) {
        assert_eq!(payload.data, expected.data);
        assert_eq!(encryption_of(payload), Encryption::Remote);
    }
}
