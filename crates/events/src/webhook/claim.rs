//! The signatures of a request, and the text that they sign.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::hmac;

use super::headers::{Headers, is_id};
use super::{Encoding, HmacLayout, Layout, Refusal};

/// Maximum number of signatures of a request.
pub(super) const MAX_SIGNATURES: usize = 20;
/// Maximum number of digits of a time in seconds since 1970.
const TIME_DIGITS: usize = 11;
/// End of the sentence about a header whose signature cannot be read.
const NO_SIGNATURE: &str = "has no signature of this layout";

/// End of the sentence about a header that has no time.
const NO_TIME: &str = "must have a time in seconds since 1970";

/// HMAC with SHA-256.
type Signature = [u8; 32];

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The parts of a request that its signatures prove, as its headers state them.
pub(super) struct Claim {
    /// The signed text before the body.
    before: String,
    signatures: Vec<Signature>,
    /// Time of the signature, in seconds since 1970. `None` if the layout signs no time.
    pub(super) time: Option<i64>,
    /// The signed id of the delivery. `None` if the layout signs no id.
    pub(super) id: Option<String>,
}

impl Claim {
    /// Reads the headers of a layout. Nothing of the result is proved.
    pub(super) fn read(layout: &Layout, headers: &Headers<'_>) -> Result<Self, Refusal> {
        match layout {
            Layout::Standard => standard(headers),
            Layout::Github => body_only(headers, "x-hub-signature-256", |text| {
                hex(text.strip_prefix("sha256=")?)
            }),
            Layout::Stripe => stripe(headers),
            Layout::Slack => slack(headers),
            Layout::Hmac(layout) => {
                body_only(headers, &layout.header, |text| in_header(layout, text))
            }
        }
    }

    /// Returns `true` if one of the signatures is that of a key over the signed text.
    ///
    /// The time that this takes does not depend on the bytes of a signature: the comparison is
    /// that of [`hmac::verify`]. It compares the signatures of two signatures, so the body is
    /// hashed once, however many signatures there are.
    pub(super) fn is_signed_with(&self, key: &hmac::Key, body: &[u8]) -> bool {
        let mut context = hmac::Context::with_key(key);
        context.update(self.before.as_bytes());
        context.update(body);
        let expected = hmac::sign(key, context.sign().as_ref());
        self.signatures
            .iter()
            .any(|signature| hmac::verify(key, signature, expected.as_ref()).is_ok())
    }
}

fn standard(headers: &Headers<'_>) -> Result<Claim, Refusal> {
    // The three headers have one prefix. Headers of the other prefix are ignored.
    let is_svix = headers.has("svix-signature") && !headers.has("webhook-signature");
    let prefix = if is_svix { "svix" } else { "webhook" };
    let header = format!("{prefix}-signature");
    let mut signatures = Vec::new();
    for entry in headers.text(&header)?.split(' ') {
        // Other versions, such as `v1a`, are signatures of another kind.
        if let Some(text) = entry.strip_prefix("v1,") {
            signatures.push(base64(text.as_bytes()).and_then(signature));
        }
    }
    let signatures = all(&header, signatures)?;
    let header = format!("{prefix}-id");
    let id = headers.text(&header)?;
    if !is_id(id) {
        let why = "must have at most 256 bytes of printable characters";
        return Err(Refusal::MalformedHeader(header, why));
    }
    let (text, time) = time(headers, &format!("{prefix}-timestamp"))?;
    Ok(Claim {
        // A dot in the id cannot move text between the parts, because the time has only digits. The
        // exception is a body that is nothing but a number with a fraction.
        before: format!("{id}.{text}."),
        signatures,
        time: Some(time),
        id: Some(id.to_owned()),
    })
}

fn stripe(headers: &Headers<'_>) -> Result<Claim, Refusal> {
    let header = "stripe-signature";
    let malformed = |why| Refusal::MalformedHeader(header.to_owned(), why);
    let (mut signatures, mut times) = (Vec::new(), Vec::new());
    for part in headers.text(header)?.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) => times.push(text),
            Some(("v1", text)) => signatures.push(hex(text)),
            // Other schemes are not signatures of a delivery.
            Some(_) => {}
            None => return Err(malformed(NO_SIGNATURE)),
        }
    }
    let [text] = times[..] else {
        return Err(malformed("must have one time `t=`"));
    };
    let time = seconds(text).ok_or_else(|| malformed(NO_TIME))?;
    Ok(Claim {
        before: format!("{text}."),
        signatures: all(header, signatures)?,
        time: Some(time),
        id: None,
    })
}

fn slack(headers: &Headers<'_>) -> Result<Claim, Refusal> {
    let mut claim = body_only(headers, "x-slack-signature", |text| {
        hex(text.strip_prefix("v0=")?)
    })?;
    let (text, time) = time(headers, "x-slack-request-timestamp")?;
    claim.before = format!("v0:{text}:");
    claim.time = Some(time);
    Ok(claim)
}

/// Reads a header with one signature over the body.
fn body_only(
    headers: &Headers<'_>,
    header: &str,
    read: impl Fn(&str) -> Option<Signature>,
) -> Result<Claim, Refusal> {
    let signature = read(headers.text(header)?);
    Ok(Claim {
        before: String::new(),
        signatures: all(header, vec![signature])?,
        time: None,
        id: None,
    })
}

fn in_header(layout: &HmacLayout, text: &str) -> Option<Signature> {
    let text = text.strip_prefix(&layout.prefix)?;
    match layout.encoding {
        Some(Encoding::Hex) => hex(text),
        Some(Encoding::Base64) => base64(text.as_bytes()).and_then(signature),
        // 64 hexadecimal digits are also base64, but of 48 bytes.
        None => hex(text).or_else(|| base64(text.as_bytes()).and_then(signature)),
    }
}

/// Returns the signatures of a header if each is one and their number is within the limit.
fn all(header: &str, signatures: Vec<Option<Signature>>) -> Result<Vec<Signature>, Refusal> {
    let malformed = |why| Refusal::MalformedHeader(header.to_owned(), why);
    if signatures.is_empty() {
        return Err(malformed(NO_SIGNATURE));
    }
    if signatures.len() > MAX_SIGNATURES {
        return Err(malformed("has more than 20 signatures"));
    }
    let signatures: Option<Vec<_>> = signatures.into_iter().collect();
    signatures.ok_or_else(|| malformed(NO_SIGNATURE))
}

/// Returns the time in a header, as text and in seconds since 1970.
fn time<'a>(headers: &Headers<'a>, header: &str) -> Result<(&'a str, i64), Refusal> {
    let text = headers.text(header)?;
    let time = seconds(text).ok_or_else(|| Refusal::MalformedHeader(header.to_owned(), NO_TIME))?;
    Ok((text, time))
}

fn seconds(text: &str) -> Option<i64> {
    let good = text.len() <= TIME_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}

fn hex(text: &str) -> Option<Signature> {
    let mut signature = [0; 32];
    hex::decode_to_slice(text, &mut signature).ok()?;
    Some(signature)
}

/// Decodes base64, with or without padding.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

fn signature(bytes: Vec<u8>) -> Option<Signature> {
    bytes.try_into().ok()
}
