//! Hosts that a secret is bound to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

use super::allow::{canonical, is_name};

/// A host of URLs: `HOST`, `HOST:PORT`, `*.DOMAIN` or an address. Without a port the
/// pattern matches every port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// A host name in lower case, without the dot at the end.
    Name(String),
    /// The hosts below this name, but not the name itself.
    Below(String),
    Address(IpAddr),
}

/// Error of a text that is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a host must be HOST, HOST:PORT, *.DOMAIN or an address")]
pub struct HostError;

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let address = |text: &str| text.parse().map(Host::Address);
        // An IPv6 address alone has colons and no port.
        if let Ok(host) = address(text) {
            return Ok(Self { host, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !port.ends_with(']') => {
                let port = port.parse().ok().filter(|port| *port != 0);
                (host, Some(port.ok_or(HostError)?))
            }
            _ => (text, None),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if let Ok(host) = address(bare.unwrap_or(host)) {
            return Ok(Self { host, port });
        }
        let (below, name) = match host.strip_prefix("*.") {
            Some(name) => (true, canonical(name)),
            None => (false, canonical(host)),
        };
        if !is_name(&name) {
            return Err(HostError);
        }
        let host = if below {
            Host::Below(name)
        } else {
            Host::Name(name)
        };
        Ok(Self { host, port })
    }
}

impl HostPattern {
    /// Returns `true` if a URL has this host.
    pub fn matches(&self, url: &Url) -> bool {
        let port = url.port_or_known_default();
        if self.port.is_some() && self.port != port {
            return false;
        }
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match &self.host {
            Host::Address(address) => bare.parse() == Ok(*address),
            Host::Name(name) => canonical(host) == *name,
            Host::Below(name) => canonical(host)
                .strip_suffix(name.as_str())
                .is_some_and(|label| label.len() > 1 && label.ends_with('.')),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (Host::Name(name), _) => f.write_str(name)?,
            (Host::Below(name), _) => write!(f, "*.{name}")?,
            (Host::Address(IpAddr::V6(address)), Some(_)) => write!(f, "[{address}]")?,
            (Host::Address(address), _) => write!(f, "{address}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, url: &str) -> bool {
        let pattern: HostPattern = pattern.parse().unwrap();
        assert_eq!(pattern.to_string().parse(), Ok(pattern.clone()));
        pattern.matches(&url.parse().unwrap())
    }

    #[test]
    fn a_host_is_compared_as_urls_name_it() {
        for (pattern, url) in [
            ("api.crm.example", "https://api.crm.example/a"),
            ("API.crm.example.", "http://api.CRM.example.:8080/"),
            ("api.crm.example:443", "https://api.crm.example/"),
            ("*.crm.example", "https://eu.api.crm.example/"),
            ("127.0.0.1:8080", "http://127.1:8080/"),
            ("::1", "http://[::1]:9/"),
            ("[::1]:9", "http://[0:0::1]:9/"),
        ] {
            assert!(matches(pattern, url), "{pattern} {url}");
        }
        for (pattern, url) in [
            ("api.crm.example", "https://api.crm.example.evil.test/"),
            ("api.crm.example", "https://xapi.crm.example/"),
            ("api.crm.example", "https://evil.test/api.crm.example"),
            ("api.crm.example:443", "http://api.crm.example/"),
            ("*.crm.example", "https://crm.example/"),
            ("*.crm.example", "https://evilcrm.example/"),
            ("127.0.0.1", "http://127.0.0.2/"),
        ] {
            assert!(!matches(pattern, url), "{pattern} {url}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_host_is_refused() {
        for text in [
            "", "*", "*.", "a b", "http://a", "a/b", "a:", "a:0", "a:x", "user@a", "a,b", "[::1",
        ] {
            assert_eq!(text.parse::<HostPattern>(), Err(HostError), "{text}");
        }
    }
}
