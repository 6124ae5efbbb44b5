//! An issuer of signed tokens, with its JWKS on an address.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};

use super::*;

pub(super) const RSA_PUBLIC: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/tests/keys/rsa.pem");
pub(super) const ISSUER: &str = "https://issuer.example";
pub(super) const AUDIENCE: &str = "almanac";

/// Something that signs.
pub(super) enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Secret(Vec<u8>),
    Nothing,
}

impl Signer {
    /// The key whose public half is [`RSA_PUBLIC`]. It is used nowhere else.
    pub(super) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::from_pkcs8(include_bytes!("keys/rsa.pk8")).unwrap())
    }

    pub(super) fn ec() -> Self {
        Self::of_curve(&ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub(super) fn ec384() -> Self {
        Self::of_curve(&ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    fn of_curve(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap())
    }

    pub(super) fn ed() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
            Self::Secret(_) => "HS256",
            Self::Nothing => "none",
        }
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signed = vec![0; key.public().modulus_len()];
                let encoding: &dyn RsaEncoding = match algorithm {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                key.sign(encoding, &random, message, &mut signed).unwrap();
                signed
            }
            Self::Ec(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
            Self::Secret(key) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, key);
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Self::Nothing => Vec::new(),
        }
    }

    /// A token that names this key.
    pub(super) fn token(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = json!({ "typ": "JWT", "alg": self.algorithm() });
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        self.token_with(&header, claims)
    }

    /// A token with this header, whatever that says; signed as it says where
    /// the key can.
    pub(super) fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.signed_as(header["alg"].as_str().unwrap(), header, claims)
    }

    /// The same, signed in another way than the header says.
    pub(super) fn signed_as(&self, algorithm: &str, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signed = BASE64.encode(self.sign(algorithm, message.as_bytes()));
        format!("{message}.{signed}")
    }

    /// Public half of the key, as an entry of a JWKS.
    pub(super) fn jwk(&self, kid: Option<&str>) -> Value {
        let text = |bytes: &[u8]| json!(BASE64.encode(bytes));
        let mut jwk = match self {
            Self::Rsa(key) => {
                let parts: PublicKeyComponents<Vec<u8>> = key.public().into();
                // Some issuers write the sign byte.
                let n = [&[0], parts.n.as_slice()].concat();
                json!({ "kty": "RSA", "n": text(&n), "e": text(&parts.e), "use": "sig" })
            }
            Self::Ec(key) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": text(x), "y": text(y) })
            }
            Self::Ed(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(key.public_key().as_ref()) })
            }
            Self::Secret(key) => json!({ "kty": "oct", "k": text(key) }),
            Self::Nothing => json!({ "kty": "none" }),
        };
        if let Some(kid) = kid {
            jwk["kid"] = kid.into();
        }
        jwk
    }
}

/// Claims of a good token.
pub(super) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": from_now(300),
        "scope": "openid almanac:operate",
    })
}

/// The same, but for one claim; without it where `value` is null.
pub(super) fn but(claim: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => claims.as_object_mut().unwrap().remove(claim),
        value => claims
            .as_object_mut()
            .unwrap()
            .insert(claim.to_owned(), value),
    };
    claims
}

/// A time, in seconds from now.
pub(super) fn from_now(seconds: i64) -> i64 {
    Timestamp::now().as_second() + seconds
}

/// A JWKS on an address.
pub(super) struct Issuer {
    pub(super) url: String,
    pub(super) fetches: Arc<AtomicU64>,
    answer: Arc<Mutex<(StatusCode, String)>>,
}

impl Issuer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let fetches = Arc::new(AtomicU64::new(0));
        let answer = Arc::new(Mutex::new((StatusCode::NOT_FOUND, String::new())));
        let (counter, answers) = (Arc::clone(&fetches), Arc::clone(&answer));
        let jwks = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            let answer = answers.lock().unwrap().clone();
            async move { answer }
        };
        let moved = || async {
            let headers: HeaderMap = [(header::LOCATION, "/jwks".parse().unwrap())]
                .into_iter()
                .collect();
            (StatusCode::FOUND, headers)
        };
        let app = Router::new()
            .route("/jwks", get(jwks))
            .route("/moved", get(moved));
        tokio::spawn(axum::serve(listener, app).into_future());
        Self {
            url,
            fetches,
            answer,
        }
    }

    /// Publishes these keys from now on.
    pub(super) fn publish(&self, keys: &[Value]) {
        self.answer_with(StatusCode::OK, json!({ "keys": keys }).to_string());
    }

    pub(super) fn answer_with(&self, status: StatusCode, body: String) {
        *self.answer.lock().unwrap() = (status, body);
    }

    pub(super) fn fetched(&self) -> u64 {
        self.fetches.load(Ordering::Relaxed)
    }
}
