//! The addresses that steps may call.
//!
//! A URL's host is checked before each hop. The addresses of its name are checked inside
//! the resolver of the connection, so that the address that is checked is the address that
//! is connected to. A name with one refused address is refused: a name with a public and a
//! private address is not to be trusted.

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

/// The addresses that steps may call: public addresses, and those that are allowed.
#[derive(Debug, Default)]
pub struct EgressGuard {
    allow: Vec<Allow>,
}

/// Reason for which a host is not called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The scheme is neither http nor https.
    #[error("`{0}` is not http or https")]
    Scheme(String),
    /// The URL has no host.
    #[error("the URI has no host")]
    NoHost,
    /// The URL carries credentials, which would stand in logs and histories.
    #[error("the URI has credentials in it; hint: use `authentication`")]
    Credentials,
    /// The address is neither public nor allowed.
    #[error("{host}:{port} is not called: {} is {}; hint: --http-allow names hosts that steps may call", shown(*address), .kind.name())]
    Address {
        /// Host as the URL names it.
        host: String,
        port: u16,
        address: IpAddr,
        /// Purpose of the address.
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
    /// Allows public addresses, and those of these entries.
    pub fn new(allow: Vec<Allow>) -> Self {
        Self { allow }
    }

    /// Checks a URL before its name is resolved, as far as that is possible. Returns the
    /// port.
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
        // The URL's parser has brought every form of an address into the usual form.
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

/// Resolves names for connections to one port. A resolver does not know the port otherwise.
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
