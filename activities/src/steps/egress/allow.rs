//! `--http-allow`: hosts and networks that steps may call although they are not public.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::address::{Kind, inner};

/// An entry of `--http-allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    to: To,
    /// Port that the entry allows. `None` means every port.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum To {
    /// A host name in lower case, without the dot at the end.
    Name(String),
    Address(IpAddr),
    Network {
        base: IpAddr,
        bits: u8,
    },
}

/// Error of a malformed entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{entry}` {why}; hint: write HOST, HOST:PORT, ADDRESS, ADDRESS:PORT, [ADDRESS6]:PORT or NETWORK/BITS"
)]
pub struct AllowError {
    entry: String,
    why: &'static str,
}

impl FromStr for Allow {
    type Err = AllowError;

    fn from_str(entry: &str) -> Result<Self, AllowError> {
        let bad = |why| AllowError {
            entry: entry.to_owned(),
            why,
        };
        if entry.contains("://") {
            return Err(bad("has a scheme"));
        }
        if let Some((base, bits)) = entry.split_once('/') {
            let base: IpAddr = base.parse().map_err(|_| bad("is not a network"))?;
            let to = network(base, bits).map_err(bad)?;
            return Ok(Self { to, port: None });
        }
        // An IPv6 address alone has colons and no port.
        if let Ok(address) = entry.parse() {
            let to = To::Address(inner(address));
            return Ok(Self { to, port: None });
        }
        let (host, port) = match entry.rsplit_once(':') {
            None => (entry, None),
            Some((host, port)) => {
                let port = port.parse().map_err(|_| bad("has an invalid port"))?;
                (host, Some(port))
            }
        };
        if port == Some(0) {
            return Err(bad("has an invalid port"));
        }
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(host).parse() {
            let to = To::Address(inner(address));
            return Ok(Self { to, port });
        }
        let name = canonical(host);
        if !is_name(&name) {
            return Err(bad("has no valid host name"));
        }
        let to = To::Name(name);
        Ok(Self { to, port })
    }
}

impl Allow {
    /// Returns `true` if this entry allows an address of this kind at this port. `name` is
    /// the name that resolved to the address, or `None` if the URL has the address itself.
    pub(super) fn opens(&self, name: Option<&str>, address: IpAddr, kind: Kind, port: u16) -> bool {
        if self.port.is_some_and(|own| own != port) {
            return false;
        }
        match &self.to {
            To::Name(own) => kind.may_be_named() && name == Some(own.as_str()),
            To::Address(own) => *own == inner(address),
            // A network that is wide enough contains a metadata service that the operator
            // did not think of.
            To::Network { base, bits } => {
                kind != Kind::Metadata && masked(inner(address), *bits) == Some(*base)
            }
        }
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.to, self.port) {
            (To::Name(name), _) => f.write_str(name)?,
            (To::Address(IpAddr::V6(address)), Some(_)) => write!(f, "[{address}]")?,
            (To::Address(address), _) => write!(f, "{address}")?,
            (To::Network { base, bits }, _) => write!(f, "{base}/{bits}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Brings a host name into the form in which names are compared.
pub(super) fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

pub(super) fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    // A URL reads a name whose last label is a number as an address, however it is written.
    let last = name.rsplit('.').next().unwrap_or_default();
    let number = last.chars().all(|c| c.is_ascii_digit()) || last.starts_with("0x");
    name.len() <= 253 && !number && name.split('.').all(label)
}

fn network(base: IpAddr, bits: &str) -> Result<To, &'static str> {
    let most = if base.is_ipv4() { 32 } else { 128 };
    let bits: u8 = bits.parse().map_err(|_| "has an invalid number of bits")?;
    if bits > most {
        return Err("has too many bits");
    }
    if inner(base) != base {
        return Err("is an IPv4 network in IPv6 form; write it as IPv4");
    }
    if masked(base, bits) != Some(base) {
        return Err("has an address with bits set beyond the network's");
    }
    Ok(To::Network { base, bits })
}

/// Returns the network of an address. `None` if the address has fewer than `bits` bits.
fn masked(address: IpAddr, bits: u8) -> Option<IpAddr> {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(four) => {
            let rest = 32_u32.checked_sub(bits)?;
            let mask = u32::MAX.checked_shl(rest).unwrap_or(0);
            Some(IpAddr::V4((u32::from(four) & mask).into()))
        }
        IpAddr::V6(six) => {
            let rest = 128_u32.checked_sub(bits)?;
            let mask = u128::MAX.checked_shl(rest).unwrap_or(0);
            Some(IpAddr::V6((u128::from(six) & mask).into()))
        }
    }
}
