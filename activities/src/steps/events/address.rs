//! Addresses of NATS, and the credentials for it.

use std::fmt;
use std::str::FromStr;

use almanac_base::percent;
use async_nats::{ConnectOptions, ServerAddr};

use crate::steps::secrets::Secret;

/// Addresses of one NATS cluster: `nats://` or `tls://`, with or without credentials,
/// separated by commas. The type never prints the credentials.
#[derive(Clone)]
pub struct NatsUrl {
    servers: Vec<ServerAddr>,
    credentials: Option<Credentials>,
}

#[derive(Clone)]
enum Credentials {
    Token(Secret),
    User { name: Secret, password: Secret },
}

/// Error of a text that is no address of NATS. The text is not shown, because it may hold a
/// password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the address of NATS must be nats://HOST:PORT or tls://HOST:PORT: {0}")]
pub struct NatsUrlError(&'static str);

impl FromStr for NatsUrl {
    type Err = NatsUrlError;

    fn from_str(text: &str) -> Result<Self, NatsUrlError> {
        let (mut servers, mut credentials) = (Vec::new(), None);
        for one in text.split(',') {
            let bad = NatsUrlError;
            let server: ServerAddr = one
                .trim()
                .parse()
                .map_err(|_shows_it| bad("it cannot be parsed"))?;
            if server.is_websocket() {
                return Err(bad("WebSockets are not supported"));
            }
            if server.host().is_empty() {
                return Err(bad("it has no host"));
            }
            if let Some(name) = server.username() {
                let name =
                    decoded(name).ok_or(bad("the user name is not percent-encoded correctly"))?;
                let password = server.password().map(decoded);
                credentials = Some(match password {
                    None => Credentials::Token(name),
                    Some(password) => {
                        let password =
                            password.ok_or(bad("the password is not percent-encoded correctly"))?;
                        Credentials::User { name, password }
                    }
                });
            }
            servers.push(bare(server).ok_or(bad("it cannot be parsed"))?);
        }
        Ok(Self {
            servers,
            credentials,
        })
    }
}

impl NatsUrl {
    /// Returns the servers, without credentials.
    pub(super) fn servers(&self) -> &[ServerAddr] {
        &self.servers
    }

    /// Returns `true` if the address has credentials.
    pub(super) fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// Returns connection options with the credentials.
    pub(super) fn options(&self) -> ConnectOptions {
        let options = ConnectOptions::new();
        match &self.credentials {
            None => options,
            Some(Credentials::Token(token)) => options.token(token.expose().to_owned()),
            Some(Credentials::User { name, password }) => {
                options.user_and_password(name.expose().to_owned(), password.expose().to_owned())
            }
        }
    }
}

impl fmt::Display for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, server) in self.servers.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{}", server.as_url_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Removes the credentials from an address.
fn bare(server: ServerAddr) -> Option<ServerAddr> {
    let mut url = server.into_inner();
    url.set_password(None).ok()?;
    url.set_username("").ok()?;
    url.set_query(None);
    url.set_fragment(None);
    ServerAddr::from_url(url).ok()
}

/// Decodes a part of a URL. `None` if it is not encoded well.
fn decoded(text: &str) -> Option<Secret> {
    let text = String::from_utf8(percent::decode(text)?);
    text.ok().map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out() {
        let url: NatsUrl = "nats://user:p%40ss-canary@one:4222,tls://two"
            .parse()
            .unwrap();
        assert_eq!(url.to_string(), "nats://one:4222,tls://two");
        assert_eq!(format!("{url:?}"), url.to_string());
        let Some(Credentials::User { name, password }) = url.credentials else {
            panic!("no user")
        };
        assert_eq!((name.expose(), password.expose()), ("user", "p@ss-canary"));
        let url: NatsUrl = "nats://canary-token@one".parse().unwrap();
        assert!(matches!(url.credentials, Some(Credentials::Token(_))));
        assert!("localhost".parse::<NatsUrl>().is_ok());
        assert!("localhost:4222".parse::<NatsUrl>().is_ok());
    }

    #[test]
    fn an_invalid_address_is_refused_and_not_shown() {
        for text in [
            "",
            "http://user:canary@one",
            "ws://user:canary@one",
            "nats://user:canary%zz@one",
            "nats://user:canary@",
            "nats://one,canary canary",
        ] {
            let error = text.parse::<NatsUrl>().unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("canary"), "{shown}");
        }
    }
}
