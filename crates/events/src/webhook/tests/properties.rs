//! Properties of any request.

use proptest::prelude::*;

use super::*;

fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let names = [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "svix-signature",
        "x-hub-signature-256",
        "x-github-event",
        "stripe-signature",
        "x-slack-signature",
        "x-slack-request-timestamp",
        "x-signature",
    ];
    let values = [
        "1700000000",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "t=1700000000,v1=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        "v0=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    ];
    let name = prop_oneof![
        8 => proptest::sample::select(names.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let value = prop_oneof![
        proptest::sample::select(values.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        any::<Vec<u8>>(),
        any::<String>().prop_map(String::into_bytes),
    ];
    (name, value)
}

proptest! {
    #[test]
    fn no_request_that_is_not_signed_is_verified(
        index in 0_usize..5,
        headers in proptest::collection::vec(header(), 0..8),
        body in any::<Vec<u8>>(),
        now in Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
    ) {
        let layout = layouts()[index].clone();
        let refusal = Request { layout, headers, body }.verify(&[SECRET], now).unwrap_err();
        let shown = format!("{refusal} {refusal:?}");
        prop_assert!(!shown.contains("canary") && shown.len() < 300, "{}", shown);
        prop_assert!(
            !matches!(refusal, Refusal::Body(_) | Refusal::Stale(_) | Refusal::Future(_)),
            "{}", shown
        );
    }

    #[test]
    fn any_body_that_is_signed_is_read_or_refused(
        index in 0_usize..5,
        form in any::<bool>(),
        text in prop_oneof![any::<String>(), any::<u64>().prop_map(|n| format!("{{\"id\":{n}}}"))],
    ) {
        let body = if form { format!("payload={text}") } else { text };
        let request = Request::signed(&layouts()[index], SECRET, NOW, &body);
        match request.verify(&[SECRET], NOW) {
            Ok(Verified::Delivery(delivery)) => {
                let event = to_event("a", "t", delivery.clone(), at(NOW)).unwrap();
                prop_assert_eq!(event.id(), delivery.id);
            }
            Ok(Verified::Challenge(_)) | Err(Refusal::Body(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}
