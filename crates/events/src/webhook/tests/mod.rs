mod bodies;
mod properties;
mod requests;
mod secrets;
mod vectors;

use ring::hmac;
use serde_json::Value;

use super::*;

/// A secret that every layout takes as it is.
const SECRET: &[u8] = b"canary secret number one";
const OTHER: &[u8] = b"canary secret number two";
/// The present, in seconds since 1970.
const NOW: i64 = 1_700_000_000;
const BODY: &str = r#"{"id":"evt_1","event_id":"Ev1","n":1}"#;

/// A request that is signed now.
fn signed(layout: &Layout) -> Request {
    Request::signed(layout, SECRET, NOW, BODY)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn tag(secret: &[u8], text: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::sign(&key, text).as_ref().to_vec()
}

fn generic() -> Layout {
    Layout::Hmac(HmacLayout::new("X-Signature", "", None).unwrap())
}

fn layouts() -> [Layout; 5] {
    [
        Layout::Standard,
        Layout::Github,
        Layout::Stripe,
        Layout::Slack,
        generic(),
    ]
}

/// A request whose headers a test may change.
#[derive(Clone)]
struct Request {
    layout: Layout,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    /// A request of a layout that is signed with a secret at a time.
    fn signed(layout: &Layout, secret: &[u8], time: i64, body: &str) -> Self {
        let sign = |before: String| {
            let text = [before.as_bytes(), body.as_bytes()].concat();
            hex::encode(tag(secret, &text))
        };
        let headers = match layout {
            Layout::Standard => {
                let text = format!("msg_1.{time}.{body}");
                vec![
                    ("webhook-id", "msg_1".to_owned()),
                    ("webhook-timestamp", time.to_string()),
                    ("webhook-signature", v1(secret, &text)),
                ]
            }
            Layout::Github => vec![(
                "X-Hub-Signature-256",
                format!("sha256={}", sign(String::new())),
            )],
            Layout::Stripe => {
                let signature = sign(format!("{time}."));
                vec![("Stripe-Signature", format!("t={time},v1={signature}"))]
            }
            Layout::Slack => vec![
                ("X-Slack-Request-Timestamp", time.to_string()),
                (
                    "X-Slack-Signature",
                    format!("v0={}", sign(format!("v0:{time}:"))),
                ),
            ],
            Layout::Hmac(_) => vec![("X-Signature", sign(String::new()))],
        };
        let headers = headers.into_iter();
        Self {
            layout: layout.clone(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.into_bytes()))
                .collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn has(&self, name: &str) -> bool {
        let mut names = self.headers.iter().map(|(name, _)| name);
        names.any(|other| other.eq_ignore_ascii_case(name))
    }

    /// Adds a header, beside another of the name.
    fn add(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let header = (name.to_owned(), value.as_ref().to_vec());
        self.headers.push(header);
        self
    }

    fn without(mut self, name: &str) -> Self {
        assert!(self.has(name), "{name}");
        self.headers
            .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    fn replace(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).add(name, value)
    }

    fn verify(&self, secrets: &[&[u8]], now: i64) -> Result<Verified, Refusal> {
        let verifier = Verifier::new(self.layout.clone(), secrets).unwrap();
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (&**name, &**value));
        verifier.verify(headers, &self.body, at(now))
    }

    fn verified(&self) -> Result<Delivery, Refusal> {
        match self.verify(&[SECRET], NOW)? {
            Verified::Delivery(delivery) => Ok(delivery),
            Verified::Challenge(text) => panic!("a challenge: {text}"),
        }
    }
}

/// A signature of Standard Webhooks.
fn v1(secret: &[u8], text: &str) -> String {
    use base64::Engine as _;
    let signature = tag(secret, text.as_bytes());
    let text = base64::prelude::BASE64_STANDARD.encode(signature);
    format!("v1,{text}")
}

fn malformed(header: &str, why: &'static str) -> Refusal {
    Refusal::MalformedHeader(header.to_owned(), why)
}

fn missing(header: &str) -> Refusal {
    Refusal::MissingHeader(header.to_owned())
}
