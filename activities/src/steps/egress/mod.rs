//! Which addresses steps may call.
//!
//! A URL's host is checked before each hop, and what its name resolves to
//! inside the resolver of the connection itself, so that what is checked is
//! what is connected to. One address that is refused refuses the name: a name
//! with a public and a private address is not to be trusted.

mod address;
mod allow;
mod host;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

pub use address::Kind;
pub use allow::{Allow, AllowError};
pub use host::{HostError, HostPattern};

use allow::canonical;

/// Which addresses steps may call: the public ones, and those that are allowed.
#[derive(Debug, Default)]
pub struct EgressGuard {
    allow: Vec<Allow>,
}

/// Why a host is not called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Neither http nor https.
    #[error("`{0}` is not http or https")]
    Scheme(String),
    /// The URL names nobody.
    #[error("the URI has no host")]
    NoHost,
    /// The URL carries credentials, which would stand in logs and histories.
    #[error("the URI has credentials in it; hint: use `authentication`")]
    Credentials,
    /// The address is not public, and not allowed.
    #[error("{host}:{port} is not called: {} is {}; hint: --http-allow names hosts that steps may call", shown(*address), .kind.name())]
    Address {
        /// As the URL names it.
        host: String,
        /// The port.
        port: u16,
        /// What it is.
        address: IpAddr,
        /// What that is for.
        kind: Kind,
    },
}

fn shown(address: IpAddr) -> String {
    let inner = address::inner(address);
    if inner == address {
        address.to_string()
    } else {
        format!("{address} (that is {inner})")
    }
}

impl EgressGuard {
    /// Public addresses, and these.
    pub fn new(allow: Vec<Allow>) -> Self {
        Self { allow }
    }

    /// Checks what can be told of a URL before its name is resolved; answers
    /// its port.
    pub fn check(&self, url: &Url) -> Result<u16, Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        let port = url.port_or_known_default().ok_or(Refused::NoHost)?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or(Refused::NoHost)?;
        // The URL's parser has made every form of an address the usual one.
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            self.check_address(host, None, address, port)?;
        }
        Ok(port)
    }

    /// Checks every address that a name resolved to.
    fn check_all(&self, name: &str, port: u16, addresses: &[SocketAddr]) -> Result<(), Refused> {
        let name = canonical(name);
        addresses
            .iter()
            .try_for_each(|address| self.check_address(&name, Some(&name), address.ip(), port))
    }

    fn check_address(
        &self,
        host: &str,
        name: Option<&str>,
        address: IpAddr,
        port: u16,
    ) -> Result<(), Refused> {
        let kind = address::kind(address);
        let mut entries = self.allow.iter();
        if kind == Kind::Public || entries.any(|entry| entry.opens(name, address, kind, port)) {
            return Ok(());
        }
        Err(Refused::Address {
            host: host.to_owned(),
            port,
            address,
            kind,
        })
    }
}

/// Resolves names for connections to one port, which a resolver is not told.
#[derive(Debug)]
pub(super) struct GuardedResolver {
    pub(super) guard: Arc<EgressGuard>,
    pub(super) port: u16,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, port) = (Arc::clone(&self.guard), self.port);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), port)).await?;
            let addresses: Vec<SocketAddr> = found.collect();
            guard.check_all(name.as_str(), port, &addresses)?;
            if addresses.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "no address").into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}
