//! `--auth` and the flags that belong to it: who may use HTTP.
//!
//! [`AuthArgs::chosen`] is the only way to read these flags. A flag that has no effect
//! with the chosen `--auth` is an error, since the operator who gave it relies on it.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use axum::http::{HeaderName, header};
use clap::{Args, ValueEnum};
use jsonwebtoken::Algorithm;

/// The flags that decide who may use HTTP.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Authority")]
pub struct AuthArgs {
    /// Require this of each request. With `none`, only the probes, the metrics and webhooks
    /// are served on an address that is not loopback
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
    /// Accept requests from this proxy only: an address, or a network like 10.0.0.0/8.
    /// Give it several times, or as a list with commas
    #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
    pub auth_proxy_from: Vec<Network>,
    /// Read the user's name from this header [default: X-Forwarded-User]
    #[arg(long, value_name = "HEADER")]
    pub auth_proxy_user_header: Option<HeaderName>,
    /// Read the user's groups, with commas between them, from this header [default:
    /// X-Forwarded-Groups]
    #[arg(long, value_name = "HEADER")]
    pub auth_proxy_groups_header: Option<HeaderName>,
    /// Let members of this group read; `*` stands for every user. Give it several times
    #[arg(long, value_name = "GROUP")]
    pub auth_proxy_read: Vec<String>,
    /// Let members of this group read and operate; `*` stands for every user. Give it
    /// several times
    #[arg(long, value_name = "GROUP")]
    pub auth_proxy_operate: Vec<String>,
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
    /// Require that a proxy in front names the user in headers.
    Proxy,
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
    /// Requests need the name of a user, from a proxy.
    Proxy(ProxyRules),
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

/// The rules for requests that come through a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyRules {
    /// The networks that contain the proxy's address.
    pub from: Vec<Network>,
    /// The header with the user's name.
    pub user: HeaderName,
    /// The header with the user's groups.
    pub groups: HeaderName,
    /// The groups that may read.
    pub read: Vec<String>,
    /// The groups that may read and operate.
    pub operate: Vec<String>,
}

/// A network of IP addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

/// The text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {why}")]
pub struct NetworkError {
    text: String,
    why: &'static str,
}

impl Network {
    /// Returns `true` if the network contains this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.bits) == self.base
            && address.to_canonical().is_ipv4() == self.base.is_ipv4()
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let bad = |why| NetworkError {
            text: text.to_owned(),
            why,
        };
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = base
            .parse()
            .map_err(|_| bad("is not an address or a network like 10.0.0.0/8"))?;
        if base.to_canonical() != base {
            return Err(bad("is IPv4 in IPv6 form; write it as IPv4"));
        }
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| {
            bits.parse().ok().filter(|bits| *bits <= most).ok_or(())
        });
        let bits = bits.map_err(|()| bad("has an invalid number of bits"))?;
        if masked(base, bits) != base {
            return Err(bad("has an address with bits set beyond the network's"));
        }
        Ok(Self { base, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

/// Returns the first address of the network of this size around an address.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits));
            IpAddr::V4((u32::from(four) & mask.unwrap_or(0)).into())
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits));
            IpAddr::V6((u128::from(six) & mask.unwrap_or(0)).into())
        }
    }
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
    /// The network of the proxy contains every address.
    #[error("--auth-proxy-from: {0} contains every address, so anyone could be any user")]
    Everywhere(Network),
    /// The two headers of a proxy are the same.
    #[error("--auth-proxy-user-header and --auth-proxy-groups-header name the same header")]
    OneHeader,
    /// Clients send this header for another purpose.
    #[error("{flag}: `{header}` is not a header that a proxy names users in")]
    BadHeader {
        /// The name of the flag.
        flag: &'static str,
        /// The name of the header.
        header: HeaderName,
    },
    /// A group has this name, which no list of groups can contain.
    #[error("{flag}: `{group}` is not the name of a group")]
    BadGroup {
        /// The name of the flag.
        flag: &'static str,
        /// The name of the group.
        group: String,
    },
}

const TOKEN_FILE: &str = "--auth-token-file";
const KEY: &str = "--auth-jwt-key";
const JWKS: &str = "--auth-jwks";
const ALGORITHMS: &str = "--auth-jwt-algorithms";
const ISSUER: &str = "--auth-jwt-issuer";
const AUDIENCE: &str = "--auth-jwt-audience";
const FROM: &str = "--auth-proxy-from";
const USER: &str = "--auth-proxy-user-header";
const GROUPS: &str = "--auth-proxy-groups-header";
const READ: &str = "--auth-proxy-read";
const OPERATE: &str = "--auth-proxy-operate";

/// The flags of `--auth jwt`, and those of `--auth proxy`.
const JWT: [&str; 5] = [KEY, JWKS, ALGORITHMS, ISSUER, AUDIENCE];
const PROXY: [&str; 5] = [FROM, USER, GROUPS, READ, OPERATE];

/// Headers with a purpose of their own, in which no proxy names a user.
const OTHERS: [HeaderName; 6] = [
    header::HOST,
    header::ORIGIN,
    header::COOKIE,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
];

impl AuthArgs {
    /// Returns the authority that the flags choose together.
    ///
    /// # Errors
    /// The flags do not fit together: see [`AuthUsage`].
    pub fn chosen(&self) -> Result<ChosenAuth, AuthUsage> {
        match self.auth {
            AuthMode::None => {
                self.without("none", &[&[TOKEN_FILE], &JWT[..], &PROXY])?;
                Ok(ChosenAuth::None)
            }
            AuthMode::Token => {
                self.without("token", &[&JWT[..], &PROXY])?;
                let file = required(self.auth_token_file.as_ref(), TOKEN_FILE, "token")?;
                Ok(ChosenAuth::Token(file.clone()))
            }
            AuthMode::Jwt => {
                self.without("jwt", &[&[TOKEN_FILE], &PROXY[..]])?;
                Ok(ChosenAuth::Jwt(self.rules()?))
            }
            AuthMode::Proxy => {
                self.without("proxy", &[&[TOKEN_FILE], &JWT[..]])?;
                Ok(ChosenAuth::Proxy(self.proxy_rules()?))
            }
        }
    }

    fn proxy_rules(&self) -> Result<ProxyRules, AuthUsage> {
        let missing = |flag| {
            let mode = "proxy";
            Err(AuthUsage::Missing { flag, mode })
        };
        if self.auth_proxy_from.is_empty() {
            return missing(FROM);
        }
        let everywhere = self
            .auth_proxy_from
            .iter()
            .find(|network| network.bits == 0);
        if let Some(network) = everywhere {
            return Err(AuthUsage::Everywhere(*network));
        }
        if self.auth_proxy_read.is_empty() && self.auth_proxy_operate.is_empty() {
            return missing("--auth-proxy-read or --auth-proxy-operate");
        }
        for (flag, groups) in [
            (READ, &self.auth_proxy_read),
            (OPERATE, &self.auth_proxy_operate),
        ] {
            let bad = groups
                .iter()
                .find(|group| group.contains(',') || group.is_empty() || group.trim() != *group);
            if let Some(group) = bad.cloned() {
                return Err(AuthUsage::BadGroup { flag, group });
            }
        }
        let header = |flag, named: Option<&HeaderName>, default| {
            let header = named.cloned();
            let header = header.unwrap_or(HeaderName::from_static(default));
            if OTHERS.contains(&header) {
                return Err(AuthUsage::BadHeader { flag, header });
            }
            Ok(header)
        };
        let user = self.auth_proxy_user_header.as_ref();
        let user = header(USER, user, "x-forwarded-user")?;
        let groups = self.auth_proxy_groups_header.as_ref();
        let groups = header(GROUPS, groups, "x-forwarded-groups")?;
        if user == groups {
            return Err(AuthUsage::OneHeader);
        }
        Ok(ProxyRules {
            from: self.auth_proxy_from.clone(),
            user,
            groups,
            read: self.auth_proxy_read.clone(),
            operate: self.auth_proxy_operate.clone(),
        })
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

    fn without(&self, mode: &'static str, flags: &[&[&'static str]]) -> Result<(), AuthUsage> {
        let mut flags = flags.iter().copied().flatten();
        let idle = flags.find(|flag| self.has(flag));
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
            FROM => !self.auth_proxy_from.is_empty(),
            USER => self.auth_proxy_user_header.is_some(),
            GROUPS => self.auth_proxy_groups_header.is_some(),
            READ => !self.auth_proxy_read.is_empty(),
            OPERATE => !self.auth_proxy_operate.is_empty(),
            _ => false,
        }
    }
}

fn required<'a, T>(
    value: Option<&'a T>,
    flag: &'static str,
    mode: &'static str,
) -> Result<&'a T, AuthUsage> {
    value.ok_or(AuthUsage::Missing { flag, mode })
}

fn text(value: Option<&String>, flag: &'static str) -> Result<String, AuthUsage> {
    let value = required(value, flag, "jwt")?;
    if value.is_empty() {
        return Err(AuthUsage::Empty(flag));
    }
    Ok(value.clone())
}
