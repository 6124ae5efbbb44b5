//! Classification of IP addresses by purpose. Pure.
//!
//! [`inner`] comes first: an IPv6 address that carries an IPv4 address is classified by the
//! IPv4 address, because packets go there. The ranges are those of IANA's special-purpose
//! registries (RFC 6890 and its successors), and the metadata services of the large clouds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Purpose of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A public address on the internet.
    Public,
    /// A loopback address of this machine.
    Loopback,
    /// An address of a private network (RFC 1918).
    Private,
    /// An address of carrier-grade NAT (RFC 6598).
    Shared,
    /// A unique local address (RFC 4193).
    UniqueLocal,
    /// An address on the same link.
    LinkLocal,
    /// The metadata service of a cloud.
    Metadata,
    /// A multicast address, for many receivers.
    Multicast,
    /// The unspecified address, which is no address of a host.
    Unspecified,
    /// An address for documentation.
    Documentation,
    /// A reserved address, or a tunnel whose end cannot be determined.
    Reserved,
}

impl Kind {
    /// Name of the purpose, for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::Shared => "shared (carrier-grade NAT)",
            Self::UniqueLocal => "unique local",
            Self::LinkLocal => "link-local",
            Self::Metadata => "cloud metadata",
            Self::Multicast => "multicast",
            Self::Unspecified => "unspecified",
            Self::Documentation => "documentation",
            Self::Reserved => "reserved",
        }
    }

    /// Returns `true` if an allowed name may resolve to such an address. The other
    /// addresses are never the purpose of a name: whoever controls the DNS of a name must
    /// not reach them.
    pub const fn may_be_named(self) -> bool {
        matches!(
            self,
            Self::Public | Self::Loopback | Self::Private | Self::Shared | Self::UniqueLocal
        )
    }
}

/// Metadata services: AWS, GCP, Azure, `DigitalOcean`, Oracle and others share the first;
/// then ECS; EKS; Alibaba; Oracle; Azure's platform.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];
/// Metadata services with IPv6 addresses: AWS, EKS, GCP.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// Returns the address that packets reach: the IPv4 address inside of a mapped, compatible,
/// translated (RFC 2765), NAT64 or 6to4 address.
pub(super) fn inner(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else {
        return address;
    };
    let of = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match six.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => of(high, low),
        _ => address,
    }
}

/// Purpose of an address. An address that carries another has the other's purpose.
pub(super) fn kind(address: IpAddr) -> Kind {
    match inner(address) {
        IpAddr::V4(four) => kind_v4(four),
        IpAddr::V6(six) => kind_v6(six),
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    if METADATA_V4.contains(&address) {
        return Kind::Metadata;
    }
    match address.octets() {
        [0, 0, 0, 0] => Kind::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private,
        [100, 64..=127, ..] => Kind::Shared,
        [127, ..] => Kind::Loopback,
        [169, 254, ..] => Kind::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::Documentation,
        [224..=239, ..] => Kind::Multicast,
        // This network; protocol assignments; 6to4 relays; benchmarks; future use.
        [0 | 240..=255, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => {
            Kind::Reserved
        }
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    if METADATA_V6.contains(&address) {
        return Kind::Metadata;
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Kind::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Loopback,
        [0xfc00..=0xfdff, ..] => Kind::UniqueLocal,
        [0xfe80..=0xfebf, ..] => Kind::LinkLocal,
        [0xff00..=0xffff, ..] => Kind::Multicast,
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Kind::Documentation,
        // Protocol assignments, with Teredo, benchmarks and ORCHID.
        [0x2001, 0..=0x01ff, ..] => Kind::Reserved,
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Reserved,
    }
}
