//! `--auth` and the flags that belong to it: who may use HTTP.
//!
//! [`AuthArgs::chosen`] is the only way to read these flags. A flag that has no effect
//! with the chosen `--auth` is an error, since the operator who gave it relies on it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jsonwebtoken::Algorithm;

/// The flags that decide who may use HTTP.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Authority")]
pub struct AuthArgs {
    /// Require this of each request. With `none`, only the probes and the metrics are
    /// served on an address that is not loopback
    #[arg(long, value_enum, default_value_t)]
    pub auth: AuthMode,
    /// Read the accepted tokens from this file, one on each line: `TOKEN` or
    /// `TOKEN NAME [read|operate]`. The file is read again when it changes
    #[arg(long, value_name = "FILE")]
    pub auth_token_file: Option<PathBuf>,
    /// Read the issuer's public key from this PEM file. The file is read again when it
    /// changes
    #[arg(long, value_name = "FILE")]
    pub auth_jwt_key: Option<PathBuf>,
    /// Read the issuer's public keys from this JWKS
    #[arg(long, value_name = "URL|FILE")]
    pub auth_jwks: Option<String>,
    /// Accept only signatures of these algorithms [default: RS256,ES256]
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',')]
    pub auth_jwt_algorithms: Vec<JwtAlgorithm>,
    /// Require this value in `iss` of a token
    #[arg(long, value_name = "ISSUER")]
    pub auth_jwt_issuer: Option<String>,
    /// Require that `aud` of a token names this audience
    #[arg(long, value_name = "AUDIENCE")]
    pub auth_jwt_audience: Option<String>,
}

/// The values of `--auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum AuthMode {
    /// Require nothing; other programs of this machine are trusted.
    #[default]
    None,
    /// Require a token from the file `--auth-token-file`.
    Token,
    /// Require a token that an issuer signed.
    Jwt,
}

/// The values of `--auth-jwt-algorithms`: signatures with private keys. With a shared
/// secret, anyone who can check tokens could make them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum JwtAlgorithm {
    #[value(name = "RS256")]
    Rs256,
    #[value(name = "RS384")]
    Rs384,
    #[value(name = "RS512")]
    Rs512,
    #[value(name = "PS256")]
    Ps256,
    #[value(name = "PS384")]
    Ps384,
    #[value(name = "PS512")]
    Ps512,
    #[value(name = "ES256")]
    Es256,
    #[value(name = "ES384")]
    Es384,
    #[value(name = "EdDSA")]
    EdDsa,
}

impl From<JwtAlgorithm> for Algorithm {
    fn from(algorithm: JwtAlgorithm) -> Self {
        match algorithm {
            JwtAlgorithm::Rs256 => Self::RS256,
            JwtAlgorithm::Rs384 => Self::RS384,
            JwtAlgorithm::Rs512 => Self::RS512,
            JwtAlgorithm::Ps256 => Self::PS256,
            JwtAlgorithm::Ps384 => Self::PS384,
            JwtAlgorithm::Ps512 => Self::PS512,
            JwtAlgorithm::Es256 => Self::ES256,
            JwtAlgorithm::Es384 => Self::ES384,
            JwtAlgorithm::EdDsa => Self::EdDSA,
        }
    }
}

/// The authority that the flags choose together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChosenAuth {
    /// Requests need no token.
    None,
    /// Requests need a token from this file.
    Token(PathBuf),
    /// Requests need a token that an issuer signed.
    Jwt(JwtRules),
}

/// The rules that a signed token must follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtRules {
    /// Source of the issuer's public keys.
    pub keys: KeyPlace,
    /// The algorithms that the token's signature may have.
    pub algorithms: Vec<Algorithm>,
    /// The value that `iss` must have.
    pub issuer: String,
    /// The audience that `aud` must name.
    pub audience: String,
}

/// The source of an issuer's public keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// A PEM file with one key.
    Pem(PathBuf),
    /// A JWKS in a file.
    JwksFile(PathBuf),
    /// A JWKS at a URL.
    JwksUrl(String),
}

/// An error in the combination of the flags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthUsage {
    /// A required flag is missing.
    #[error("{flag} is required with --auth {mode}")]
    Missing {
        /// The name of the flag.
        flag: &'static str,
        /// The value of `--auth`.
        mode: &'static str,
    },
    /// A flag has no effect with the chosen `--auth`.
    #[error(
        "{flag} has no effect with --auth {mode}; hint: leave it out, or choose another --auth"
    )]
    Idle {
        /// The name of the flag.
        flag: &'static str,
        /// The value of `--auth`.
        mode: &'static str,
    },
    /// Two flags name a source of the keys.
    #[error("--auth-jwt-key and --auth-jwks exclude each other")]
    TwoKeys,
    /// The value of this flag is empty.
    #[error("{0} is empty")]
    Empty(&'static str),
}

const TOKEN_FILE: &str = "--auth-token-file";
const KEY: &str = "--auth-jwt-key";
const JWKS: &str = "--auth-jwks";
const ALGORITHMS: &str = "--auth-jwt-algorithms";
const ISSUER: &str = "--auth-jwt-issuer";
const AUDIENCE: &str = "--auth-jwt-audience";

impl AuthArgs {
    /// Returns the authority that the flags choose together.
    ///
    /// # Errors
    /// The flags do not fit together: see [`AuthUsage`].
    pub fn chosen(&self) -> Result<ChosenAuth, AuthUsage> {
        match self.auth {
            AuthMode::None => {
                self.without(
                    "none",
                    &[TOKEN_FILE, KEY, JWKS, ALGORITHMS, ISSUER, AUDIENCE],
                )?;
                Ok(ChosenAuth::None)
            }
            AuthMode::Token => {
                self.without("token", &[KEY, JWKS, ALGORITHMS, ISSUER, AUDIENCE])?;
                let file = given(self.auth_token_file.as_ref(), TOKEN_FILE, "token")?;
                Ok(ChosenAuth::Token(file.clone()))
            }
            AuthMode::Jwt => {
                self.without("jwt", &[TOKEN_FILE])?;
                Ok(ChosenAuth::Jwt(self.rules()?))
            }
        }
    }

    fn rules(&self) -> Result<JwtRules, AuthUsage> {
        let keys = match (&self.auth_jwt_key, &self.auth_jwks) {
            (Some(_), Some(_)) => return Err(AuthUsage::TwoKeys),
            (Some(file), None) => KeyPlace::Pem(file.clone()),
            (None, Some(place)) if place.contains("://") => KeyPlace::JwksUrl(place.clone()),
            (None, Some(file)) => KeyPlace::JwksFile(file.into()),
            (None, None) => {
                return Err(AuthUsage::Missing {
                    flag: "--auth-jwt-key or --auth-jwks",
                    mode: "jwt",
                });
            }
        };
        let mut algorithms: Vec<_> = self
            .auth_jwt_algorithms
            .iter()
            .map(|algorithm| Algorithm::from(*algorithm))
            .collect();
        if algorithms.is_empty() {
            algorithms = vec![Algorithm::RS256, Algorithm::ES256];
        }
        Ok(JwtRules {
            keys,
            algorithms,
            issuer: text(self.auth_jwt_issuer.as_ref(), ISSUER)?,
            audience: text(self.auth_jwt_audience.as_ref(), AUDIENCE)?,
        })
    }

    fn without(&self, mode: &'static str, flags: &[&'static str]) -> Result<(), AuthUsage> {
        let idle = flags.iter().find(|flag| self.has(flag));
        idle.map_or(Ok(()), |flag| Err(AuthUsage::Idle { flag, mode }))
    }

    fn has(&self, flag: &str) -> bool {
        match flag {
            TOKEN_FILE => self.auth_token_file.is_some(),
            KEY => self.auth_jwt_key.is_some(),
            JWKS => self.auth_jwks.is_some(),
            ALGORITHMS => !self.auth_jwt_algorithms.is_empty(),
            ISSUER => self.auth_jwt_issuer.is_some(),
            AUDIENCE => self.auth_jwt_audience.is_some(),
            _ => false,
        }
    }
}

fn given<'a, T>(
    value: Option<&'a T>,
    flag: &'static str,
    mode: &'static str,
) -> Result<&'a T, AuthUsage> {
    value.ok_or(AuthUsage::Missing { flag, mode })
}

fn text(value: Option<&String>, flag: &'static str) -> Result<String, AuthUsage> {
    let value = given(value, flag, "jwt")?;
    if value.is_empty() {
        return Err(AuthUsage::Empty(flag));
    }
    Ok(value.clone())
}
