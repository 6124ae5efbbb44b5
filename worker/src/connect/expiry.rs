//! When credentials expire, where they say so.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Returns the time at which a certificate expires.
pub(super) fn of_certificate(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

/// Returns the time at which an API key expires. Keys of Temporal Cloud are JSON web tokens; others
/// say nothing.
pub(super) fn of_api_key(key: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims = key.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    Timestamp::from_second(claims.exp).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_a_web_token_says_when_it_expires() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"a","exp":1767686400}"#);
        let expected: Timestamp = "2026-01-06T08:00:00Z".parse().unwrap();
        assert_eq!(of_api_key(&format!("h.{claims}.s")), Some(expected));
        for other in ["", "plain", "a.b.c", "a.e30.c"] {
            assert_eq!(of_api_key(other), None, "{other}");
        }
    }
}
