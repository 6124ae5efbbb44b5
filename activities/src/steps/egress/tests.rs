use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::prelude::*;

use super::address::{inner, kind};
use super::*;

fn guard(allow: &[&str]) -> EgressGuard {
    EgressGuard::new(allow.iter().map(|entry| entry.parse().unwrap()).collect())
}

/// The guard's decision about a URL whose name resolves to these addresses.
fn verdict(guard: &EgressGuard, url: &str, resolved: &[&str]) -> Result<(), Refused> {
    let url: Url = url.parse().unwrap();
    let port = guard.check(&url)?;
    let addresses: Vec<SocketAddr> = resolved
        .iter()
        .map(|address| SocketAddr::new(address.parse().unwrap(), port))
        .collect();
    guard.check_all(url.host_str().unwrap(), port, &addresses)
}

/// URLs and what they are: the table of forms that reach inside.
const TABLE: &[(&str, Kind)] = &[
    // Metadata.
    ("http://169.254.169.254/latest/meta-data/", Kind::Metadata),
    ("http://169.254.170.2/v2/credentials", Kind::Metadata),
    ("http://[::ffff:a9fe:a9fe]/", Kind::Metadata),
    ("http://[::ffff:169.254.169.254]/", Kind::Metadata),
    ("http://[::a9fe:a9fe]/", Kind::Metadata),
    ("http://[64:ff9b::a9fe:a9fe]/", Kind::Metadata),
    ("http://[2002:a9fe:a9fe::]/", Kind::Metadata),
    ("http://[::ffff:0:a9fe:a9fe]/", Kind::Metadata),
    ("http://2852039166/", Kind::Metadata),
    ("http://0xa9fea9fe/", Kind::Metadata),
    ("http://0251.0376.0251.0376/", Kind::Metadata),
    ("http://0xA9.0xFE.0xA9.0xFE/", Kind::Metadata),
    ("http://169.254.43518/", Kind::Metadata),
    ("http://169.254.169.254./", Kind::Metadata),
    ("http://%31%36%39.254.169.254/", Kind::Metadata),
    ("http://１６９.２５４.１６９.２５４/", Kind::Metadata),
    ("http://169。254。169。254/", Kind::Metadata),
    ("http://[fd00:ec2::254]/", Kind::Metadata),
    ("http://[fd20:ce::254]/", Kind::Metadata),
    ("http://100.100.100.200/", Kind::Metadata),
    ("http://192.0.0.192/", Kind::Metadata),
    ("http://168.63.129.16/", Kind::Metadata),
    // Loopback.
    ("http://127.0.0.1/", Kind::Loopback),
    ("http://127.0.0.1:8080/", Kind::Loopback),
    ("https://127.255.255.254/", Kind::Loopback),
    ("http://127.1/", Kind::Loopback),
    ("http://2130706433/", Kind::Loopback),
    ("http://0x7f000001/", Kind::Loopback),
    ("http://0x7f.1/", Kind::Loopback),
    ("http://017700000001/", Kind::Loopback),
    ("http://0177.0.0.1/", Kind::Loopback),
    ("http://①②⑦.0.0.1/", Kind::Loopback),
    ("http://[::1]/", Kind::Loopback),
    ("http://[0:0:0:0:0:0:0:1]/", Kind::Loopback),
    ("http://[::ffff:127.0.0.1]/", Kind::Loopback),
    ("http://[::127.0.0.1]/", Kind::Loopback),
    ("http://[64:ff9b::7f00:1]/", Kind::Loopback),
    ("http://[2002:7f00:1::1]/", Kind::Loopback),
    // Private, shared and local.
    ("http://10.0.0.1/", Kind::Private),
    ("http://10.1/", Kind::Private),
    ("http://172.16.0.1/", Kind::Private),
    ("http://172.31.255.255/", Kind::Private),
    ("http://192.168.0.1/", Kind::Private),
    ("http://[::ffff:192.168.0.1]/", Kind::Private),
    ("http://[2002:c0a8:1::]/", Kind::Private),
    ("http://100.64.0.1/", Kind::Shared),
    ("http://100.127.255.255/", Kind::Shared),
    ("http://[fc00::1]/", Kind::UniqueLocal),
    ("http://[fdff:ffff::1]/", Kind::UniqueLocal),
    ("http://169.254.0.1/", Kind::LinkLocal),
    ("http://[fe80::1]/", Kind::LinkLocal),
    ("http://[febf::1]/", Kind::LinkLocal),
    // Nobody in particular.
    ("http://0.0.0.0/", Kind::Unspecified),
    ("http://0/", Kind::Unspecified),
    ("http://[::]/", Kind::Unspecified),
    ("http://[::ffff:0.0.0.0]/", Kind::Unspecified),
    ("http://224.0.0.1/", Kind::Multicast),
    ("http://239.255.255.255/", Kind::Multicast),
    ("http://[ff02::1]/", Kind::Multicast),
    ("http://192.0.2.1/", Kind::Documentation),
    ("http://198.51.100.1/", Kind::Documentation),
    ("http://203.0.113.1/", Kind::Documentation),
    ("http://[2001:db8::1]/", Kind::Documentation),
    ("http://[3fff::1]/", Kind::Documentation),
    ("http://0.1.2.3/", Kind::Reserved),
    ("http://192.0.0.1/", Kind::Reserved),
    ("http://192.88.99.1/", Kind::Reserved),
    ("http://198.18.0.1/", Kind::Reserved),
    ("http://240.0.0.1/", Kind::Reserved),
    ("http://255.255.255.255/", Kind::Reserved),
    ("http://[100::1]/", Kind::Reserved),
    ("http://[2001::1]/", Kind::Reserved),
    ("http://[2001:20::1]/", Kind::Reserved),
    ("http://[64:ff9b:1::a00:1]/", Kind::Reserved),
    ("http://[fec0::1]/", Kind::Reserved),
    ("http://[5f00::1]/", Kind::Reserved),
];

#[test]
fn every_way_to_write_an_inner_address_is_refused() {
    let guard = EgressGuard::default();
    for (url, expected) in TABLE {
        match verdict(&guard, url, &[]) {
            Err(Refused::Address { kind, .. }) => assert_eq!(kind, *expected, "{url}"),
            other => panic!("{url}: {other:?}"),
        }
    }
}

#[test]
fn public_addresses_are_called() {
    let guard = EgressGuard::default();
    for url in [
        "http://1.1.1.1/",
        "https://8.8.8.8:8443/",
        "http://172.32.0.1/",
        "http://100.128.0.1/",
        "http://192.0.1.1/",
        "http://[2606:4700:4700::1111]/",
        "http://[::ffff:8.8.8.8]/",
    ] {
        assert_eq!(verdict(&guard, url, &[]), Ok(()), "{url}");
    }
    assert_eq!(
        verdict(&guard, "https://example.com/", &["93.184.216.34"]),
        Ok(())
    );
}

#[test]
fn a_name_with_an_inner_address_is_refused() {
    let guard = EgressGuard::default();
    for resolved in [
        &["10.0.0.1"] as &[&str],
        &["8.8.8.8", "127.0.0.1"],
        &["8.8.8.8", "::1"],
        &["::ffff:10.0.0.1"],
        &["fe80::1"],
    ] {
        let result = verdict(&guard, "http://rebinding.example/", resolved);
        assert!(
            matches!(result, Err(Refused::Address { .. })),
            "{resolved:?}: {result:?}"
        );
    }
}

#[test]
fn only_an_allowed_address_is_called() {
    // The entry, the URL, what its name resolves to, and whether it is called.
    for (entry, url, resolved, called) in [
        ("10.0.0.5", "http://10.0.0.5/", None, true),
        ("10.0.0.5", "http://10.0.0.5:99/", None, true),
        ("10.0.0.5", "http://10.0.0.6/", None, false),
        ("10.0.0.5:80", "http://10.0.0.5/", None, true),
        ("10.0.0.5:80", "http://10.0.0.5:81/", None, false),
        ("10.0.0.5:80", "http://[::ffff:10.0.0.5]/", None, true),
        ("10.0.0.5:443", "https://billing/", Some("10.0.0.5"), true),
        ("10.0.0.5:443", "http://billing/", Some("10.0.0.5"), false),
        ("[::1]:80", "http://[::1]/", None, true),
        ("::1", "http://[::1]:1234/", None, true),
        ("10.0.0.0/8", "http://10.255.0.1/", None, true),
        (
            "10.0.0.0/8",
            "http://11.0.0.1.example/",
            Some("10.1.1.1"),
            true,
        ),
        ("10.0.0.0/8", "http://192.168.0.1/", None, false),
        ("fd00::/8", "http://[fd12::1]/", None, true),
        ("fd00::/8", "http://10.0.0.1/", None, false),
        ("billing", "http://billing/", Some("10.0.0.5"), true),
        ("billing", "http://BILLING./", Some("10.0.0.5"), true),
        ("Billing.", "http://billing:8080/", Some("127.0.0.1"), true),
        (
            "billing:8080",
            "http://billing:8080/",
            Some("10.0.0.5"),
            true,
        ),
        ("billing:8080", "http://billing/", Some("10.0.0.5"), false),
        (
            "billing",
            "http://billing.evil.example/",
            Some("10.0.0.5"),
            false,
        ),
        ("billing", "http://10.0.0.5/", None, false),
        // Whoever controls the DNS of an allowed name cannot point it at these.
        ("billing", "http://billing/", Some("169.254.169.254"), false),
        ("billing", "http://billing/", Some("fd00:ec2::254"), false),
        ("billing", "http://billing/", Some("224.0.0.1"), false),
        ("billing", "http://billing/", Some("0.0.0.0"), false),
        // A wide network does not open a metadata service; its address does.
        ("0.0.0.0/0", "http://169.254.169.254/", None, false),
        ("169.254.0.0/16", "http://169.254.169.254/", None, false),
        ("169.254.0.0/16", "http://169.254.1.1/", None, true),
        ("fd00::/8", "http://[fd00:ec2::254]/", None, false),
        ("169.254.169.254", "http://169.254.169.254/", None, true),
    ] {
        let resolved: Vec<&str> = resolved.into_iter().collect();
        let result = verdict(&guard(&[entry]), url, &resolved);
        assert_eq!(
            result.is_ok(),
            called,
            "{entry}, {url}, {resolved:?}: {result:?}"
        );
    }
}

#[test]
fn the_error_of_a_bad_entry_gives_the_reason() {
    for (entry, why) in [
        ("", "no valid host name"),
        ("http://billing", "has a scheme"),
        ("billing:", "invalid port"),
        ("billing:0", "invalid port"),
        ("billing:70000", "invalid port"),
        ("10.0.0.0/33", "too many bits"),
        ("10.0.0.1/8", "beyond the network's"),
        ("10.0.0.0/x", "invalid number of bits"),
        ("billing/8", "not a network"),
        ("::ffff:10.0.0.0/104", "write it as IPv4"),
        ("127.1", "no valid host name"),
        ("0x7f000001", "no valid host name"),
        ("*.internal", "no valid host name"),
        ("a b", "no valid host name"),
    ] {
        let error = entry.parse::<Allow>().unwrap_err().to_string();
        assert!(error.contains(why), "{entry}: {error}");
    }
}

#[test]
fn other_schemes_and_credentials_are_refused() {
    let guard = guard(&["0.0.0.0/0"]);
    for (url, expected) in [
        ("file:///etc/passwd", Refused::Scheme("file".to_owned())),
        ("ftp://8.8.8.8/", Refused::Scheme("ftp".to_owned())),
        ("gopher://8.8.8.8/", Refused::Scheme("gopher".to_owned())),
        ("http://u:p@8.8.8.8/", Refused::Credentials),
        ("http://u@8.8.8.8/", Refused::Credentials),
    ] {
        assert_eq!(guard.check(&url.parse().unwrap()), Err(expected), "{url}");
    }
}

fn embedded(four: Ipv4Addr) -> Vec<Ipv6Addr> {
    let bits = u128::from(u32::from(four));
    let of = |prefix: u128| Ipv6Addr::from(prefix | bits);
    vec![
        of(0xffff << 32),
        of(0xffff << 48),
        of(0x0064_ff9b << 96),
        Ipv6Addr::from((0x2002 << 112) | (bits << 80)),
    ]
}

proptest! {
    #[test]
    fn an_address_inside_of_another_is_judged_as_itself(bits: u32) {
        let four = Ipv4Addr::from(bits);
        for six in embedded(four) {
            prop_assert_eq!(inner(IpAddr::V6(six)), IpAddr::V4(four));
            prop_assert_eq!(kind(IpAddr::V6(six)), kind(IpAddr::V4(four)));
        }
    }

    #[test]
    fn an_address_that_the_standard_library_calls_inner_is_not_public(bits: u32, wide: u128) {
        let four = Ipv4Addr::from(bits);
        if four.is_private() || four.is_loopback() || four.is_link_local() || four.is_multicast()
            || four.is_broadcast() || four.is_documentation() || four.is_unspecified()
        {
            prop_assert_ne!(kind(IpAddr::V4(four)), Kind::Public);
        }
        let six = Ipv6Addr::from(wide);
        if six.is_loopback() || six.is_multicast() || six.is_unspecified()
            || six.is_unique_local() || six.is_unicast_link_local()
        {
            prop_assert_ne!(kind(IpAddr::V6(six)), Kind::Public);
        }
    }

    #[test]
    fn a_url_with_any_form_of_an_address_is_judged_by_it(bits: u32) {
        let four = Ipv4Addr::from(bits);
        let [a, b, c, d] = four.octets();
        let low = u32::from(c) << 8 | u32::from(d);
        let guard = EgressGuard::default();
        let usual = verdict(&guard, &format!("http://{four}/"), &[]).is_ok();
        for host in [
            format!("{bits}"), format!("{bits:#x}"), format!("0{bits:o}"),
            format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"), format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
            format!("{a}.{b}.{low}"), format!("[::ffff:{four}]"), format!("{four}."),
        ] {
            let result = verdict(&guard, &format!("http://{host}/"), &[]);
            prop_assert_eq!(result.is_ok(), usual, "{}", host);
        }
    }

    #[test]
    fn a_network_holds_the_addresses_with_its_bits(base: u32, bits in 0_u8..=32, other: u32) {
        let shift = 32 - u32::from(bits);
        let cut = |value: u32| u32::try_from(u64::from(value) >> shift << shift).unwrap();
        let network = format!("{}/{bits}", Ipv4Addr::from(cut(base)));
        let guard = guard(&[&network]);
        let address = IpAddr::V4(Ipv4Addr::from(other));
        let expected = kind(address) == Kind::Public
            || (cut(other) == cut(base) && kind(address) != Kind::Metadata);
        prop_assert_eq!(verdict(&guard, &format!("http://{address}/"), &[]).is_ok(), expected);
    }

    #[test]
    fn entries_are_printed_as_they_are_read(entry in "([a-z][a-z0-9-]{0,8}(\\.[a-z]{1,5}){0,2}|\\[fd00::[1-9]\\]|10\\.0\\.0\\.[1-9])(:[1-9][0-9]{0,3})?") {
        if let Ok(allow) = entry.parse::<Allow>() {
            prop_assert_eq!(allow.to_string().parse::<Allow>(), Ok(allow));
        }
    }
}
