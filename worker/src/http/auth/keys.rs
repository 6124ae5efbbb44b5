//! An issuer's public keys.

use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::UnusableAuthority;

/// Lengths of points on the two curves, as keys are written.
const P256: usize = 65;
const P384: usize = 97;

/// Keys that can check signatures. Secrets are never among them.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

/// A public key.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    /// The only algorithm that the key is meant for, if the key names one.
    algorithm: Option<Algorithm>,
    pub(super) decoding: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Creates an empty set.
    pub(super) const fn empty() -> Self {
        Self(Vec::new())
    }

    /// Returns `true` if there is no key.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the one key of a PEM file.
    pub(super) fn of_pem(bytes: &[u8]) -> Result<Self, UnusableAuthority> {
        let text = String::from_utf8_lossy(bytes);
        if text.contains("PRIVATE KEY") {
            return Err("this is a private key; the public one is needed".into());
        }
        let decoding = [
            DecodingKey::from_rsa_pem,
            DecodingKey::from_ec_pem,
            DecodingKey::from_ed_pem,
        ]
        .into_iter()
        .find_map(|read| read(bytes).ok())
        .ok_or("this is not a public key of RSA, P-256, P-384 or Ed25519 as PEM")?;
        Ok(Self(vec![Key {
            id: None,
            algorithm: None,
            decoding,
        }]))
    }

    /// Reads the usable keys of a JWKS (RFC 7517). An unusable key does not affect the
    /// others.
    pub(super) fn of_jwks(bytes: &[u8]) -> Result<Self, UnusableAuthority> {
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|error| format!("this is not a JWKS: {error}"))?;
        let keys: Vec<_> = document.keys.into_iter().filter_map(Key::of).collect();
        if keys.is_empty() {
            return Err("this JWKS has no key for signatures".into());
        }
        Ok(Self(keys))
    }

    /// Returns the key that a token names; if the token names none, the only key of the
    /// set.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut keys = self.0.iter();
        match (id, self.0.as_slice()) {
            (Some(_), _) => keys.find(|key| key.id.as_deref() == id && key.is_for(algorithm)),
            (None, [only]) => Some(only).filter(|key| key.is_for(algorithm)),
            (None, _) => None,
        }
    }

    /// Returns `true` if a key can be used with one of these algorithms.
    pub(super) fn has_one_for(&self, algorithms: &[Algorithm]) -> bool {
        let mut keys = self.0.iter();
        keys.any(|key| algorithms.iter().any(|algorithm| key.is_for(*algorithm)))
    }
}

impl Key {
    /// Reads a key of a JWKS; `None` if the key cannot check signatures.
    fn of(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        let is_meant = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature))
            && common
                .key_operations
                .as_ref()
                .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        if !is_meant || decoding.family() == AlgorithmFamily::Hmac {
            return None;
        }
        Some(Self {
            id: common.key_id.clone(),
            algorithm: common.key_algorithm.map(known).transpose().ok()?,
            decoding,
        })
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        let fits = match (algorithm, self.decoding.try_get_as_bytes()) {
            (Algorithm::ES256, Ok(point)) => point.len() == P256,
            (Algorithm::ES384, Ok(point)) => point.len() == P384,
            _ => true,
        };
        fits && self.decoding.family() == algorithm.family()
            && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

/// Returns the signature algorithm of this name.
fn known(named: KeyAlgorithm) -> Result<Algorithm, jsonwebtoken::errors::Error> {
    named.to_string().parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256_PEM: &str = concat!(
        "-----BEGIN PUBLIC KEY-----\n",
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8urliJeDr4qL+QMPpRup5YCWhJUl\n",
        "U7IWItloSPHUj7OxvMChsJ1SUyxQ1N5nxUpnV+Po6empTtccbWJRv9lrIw==\n",
        "-----END PUBLIC KEY-----\n",
    );
    const P384_PEM: &str = concat!(
        "-----BEGIN PUBLIC KEY-----\n",
        "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAErghKbUagw9pGxUBv9o3Vgch0ULx3q0PK\n",
        "zpzZeRREQyiBON+fPB0UTD7qPpvRTGU7kfDpEXN+wLJuO2Vcij95JDMBx0oiPw4u\n",
        "Bx6EkTD7yzokcMpqdfAgIcSkOz7fPp8A\n",
        "-----END PUBLIC KEY-----\n",
    );
    const ED25519_PEM: &str = concat!(
        "-----BEGIN PUBLIC KEY-----\n",
        "MCowBQYDK2VwAyEAITBMommeEaZajehmPct9hcxsmnUL5IaQNPXhMxk5cSA=\n",
        "-----END PUBLIC KEY-----\n",
    );
    const ALL: [Algorithm; 5] = [
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];

    #[test]
    fn a_pem_is_for_the_algorithms_of_its_kind() {
        let rsa = include_str!("../tests/keys/rsa.pem");
        for (pem, expected) in [
            (rsa, &[Algorithm::RS256, Algorithm::PS256][..]),
            (P256_PEM, &[Algorithm::ES256]),
            (P384_PEM, &[Algorithm::ES384]),
            (ED25519_PEM, &[Algorithm::EdDSA]),
        ] {
            let keys = KeySet::of_pem(pem.as_bytes()).unwrap();
            let found: Vec<_> = ALL
                .into_iter()
                .filter(|algorithm| keys.find(None, *algorithm).is_some())
                .collect();
            assert_eq!(found, expected);
        }
        for bad in [
            "",
            "x",
            "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n",
        ] {
            assert!(KeySet::of_pem(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_that_is_meant_for_something_else_is_left_out() {
        let set = |more: &str| {
            let text = format!(
                r#"{{"keys": [{{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "AA" {more}}}]}}"#
            );
            KeySet::of_jwks(text.as_bytes())
        };
        for good in [
            "",
            r#", "use": "sig""#,
            r#", "key_ops": ["verify"], "alg": "EdDSA""#,
        ] {
            let keys = set(good).unwrap();
            assert!(keys.find(Some("a"), Algorithm::EdDSA).is_some(), "{good}");
            assert!(keys.find(Some("b"), Algorithm::EdDSA).is_none(), "{good}");
        }
        for bad in [
            r#", "use": "enc""#,
            r#", "key_ops": ["sign"]"#,
            r#", "alg": "RSA-OAEP""#,
        ] {
            assert!(set(bad).is_err(), "{bad}");
        }
        let other = set(r#", "alg": "ES256""#).unwrap();
        assert!(other.find(Some("a"), Algorithm::EdDSA).is_none());
    }
}
