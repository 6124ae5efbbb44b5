//! Tokens that an issuer signed (RFC 7519).
//!
//! The flags fix the algorithms, the issuer, the audience and the source of the keys. No
//! value in a token's header changes any of them; its `kid` only selects one of the keys.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use serde::Deserialize;

use super::jwks::Jwks;
use super::keys::KeySet;
use super::{AuthError, Refusal, Scope, signature_verifier};
use crate::args::{JwtRules, KeyPlace};
use crate::reloading_file::ReloadingFile;

/// Maximum difference between clocks, in seconds.
const LEEWAY: u64 = 60;
/// Maximum length of the name that is kept of a caller, in characters.
const NAME_LIMIT: usize = 128;

/// The rules for tokens, and the keys.
#[derive(Debug)]
pub struct Jwt {
    keys: Keys,
    algorithms: Vec<Algorithm>,
    validation: Validation,
}

#[derive(Debug)]
enum Keys {
    /// A single key, whatever `kid` tokens give.
    Pem(ReloadingFile<KeySet>),
    File(ReloadingFile<KeySet>),
    Url(Arc<Jwks>),
}

/// The claims of a token, beside those that `jsonwebtoken` checks itself.
#[derive(Deserialize)]
struct Claims {
    /// Present only to check that `iss` is one string.
    #[serde(rename = "iss")]
    _issuer: String,
    sub: Option<String>,
    scope: Option<Words>,
    scp: Option<Words>,
}

/// Words in one string, or a list of words.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Text(String),
    List(Vec<String>),
}

impl Jwt {
    /// Reads the keys that are files. Keys at a URL are fetched later; tokens cause a
    /// fetch at most once in `refetch`.
    pub(super) fn open(rules: JwtRules, refetch: Duration) -> Result<Self, AuthError> {
        signature_verifier::install();
        let fits = |keys: ReloadingFile<KeySet>, flag: &str| {
            if keys.now().has_one_for(&rules.algorithms) {
                Ok(keys)
            } else {
                Err(AuthError::Algorithms(flag.to_owned()))
            }
        };
        let keys = match rules.keys {
            KeyPlace::Pem(file) => {
                let flag = "--auth-jwt-key";
                Keys::Pem(fits(
                    ReloadingFile::open(flag, file, KeySet::of_pem)?,
                    flag,
                )?)
            }
            KeyPlace::JwksFile(file) => {
                let flag = "--auth-jwks";
                Keys::File(fits(
                    ReloadingFile::open(flag, file, KeySet::of_jwks)?,
                    flag,
                )?)
            }
            KeyPlace::JwksUrl(url) => Keys::Url(Arc::new(Jwks::new(&url, refetch)?)),
        };
        let mut validation = Validation {
            leeway: LEEWAY,
            validate_exp: true,
            validate_nbf: true,
            validate_aud: true,
            // Each check adds the token's algorithm, which is one of the accepted ones.
            algorithms: Vec::new(),
            ..Validation::default()
        };
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        validation.set_issuer(&[rules.issuer]);
        validation.set_audience(&[rules.audience]);
        Ok(Self {
            keys,
            algorithms: rules.algorithms,
            validation,
        })
    }

    /// Follows changes of the keys, for ever.
    pub(super) async fn keep(&self) {
        match &self.keys {
            Keys::Pem(keys) | Keys::File(keys) => keys.follow().await,
            Keys::Url(keys) => keys.keep().await,
        }
    }

    /// Returns the name of the caller that a token names, and the scope that the token
    /// grants.
    pub(super) async fn caller(&self, token: &str) -> Result<(String, Option<Scope>), Refusal> {
        let header =
            decode_header(token).map_err(|_| Refusal::Bad("the token is not a signed JWT"))?;
        if !self.algorithms.contains(&header.alg) {
            return Err(Refusal::Bad("the algorithm of the token is not accepted"));
        }
        if header.crit.is_some() {
            return Err(Refusal::Bad("the token has critical headers"));
        }
        let keys = self.keys(&header).await?;
        let key = keys
            .find(self.id(&header), header.alg)
            .ok_or(Refusal::Bad("the key of the token is unknown"))?;
        let validation = Validation {
            algorithms: vec![header.alg],
            ..self.validation.clone()
        };
        let claims = decode::<Claims>(token, &key.decoding, &validation)
            .map_err(|error| Refusal::Bad(reason(error.kind())))?
            .claims;
        let words = [&claims.scope, &claims.scp].into_iter().flatten();
        let scope = Scope::of(words.flat_map(Words::each));
        Ok((claims.name(), scope))
    }

    /// Returns the keys, fetched again if the header's key is not among them.
    async fn keys(&self, header: &Header) -> Result<Arc<KeySet>, Refusal> {
        match &self.keys {
            Keys::Pem(keys) | Keys::File(keys) => Ok(keys.now()),
            Keys::Url(jwks) => {
                let mut keys = jwks.now();
                let is_unknown = keys.find(self.id(header), header.alg).is_none();
                if keys.is_empty() || (is_unknown && header.kid.is_some()) {
                    keys = jwks.other_than(&keys).await;
                }
                if keys.is_empty() {
                    return Err(Refusal::NoKeys);
                }
                Ok(keys)
            }
        }
    }

    fn id<'a>(&self, header: &'a Header) -> Option<&'a str> {
        match self.keys {
            Keys::Pem(_) => None,
            Keys::File(_) | Keys::Url(_) => header.kid.as_deref(),
        }
    }
}

impl Claims {
    fn name(&self) -> String {
        let name = self.sub.as_deref().unwrap_or("unnamed");
        // The name is written to logs.
        let visible = name.chars().filter(|c| !c.is_control());
        visible.take(NAME_LIMIT).collect()
    }
}

impl Words {
    fn each(&self) -> impl Iterator<Item = &str> {
        let (text, list) = match self {
            Self::Text(text) => (text.as_str(), &[][..]),
            Self::List(list) => ("", list.as_slice()),
        };
        text.split_whitespace()
            .chain(list.iter().map(String::as_str))
    }
}

/// Returns the reason why a token is not accepted, for its owner.
fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidIssuer => "the issuer of the token is not accepted",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::MissingRequiredClaim(_) => "the token has no valid exp, aud or iss",
        ErrorKind::InvalidClaimFormat(_) => "a claim of the token has the wrong type",
        ErrorKind::InvalidSignature => "the signature of the token is invalid",
        _ => "the token cannot be read",
    }
}
