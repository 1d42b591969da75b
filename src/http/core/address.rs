//! The client's address: the peer of the connection, or, if the peer is a trusted
//! proxy, an address from `X-Forwarded-For`. By default no proxy is trusted, because
//! any client can write that header.

use crate::base::error::Invalid;
use crate::http::core::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The client's address, resolved by the layers; an extractor. Never logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddr(pub IpAddr);

impl<S: Sync> FromRequestParts<S> for ClientAddr {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let known = parts.extensions.get::<Self>().copied();
        known.ok_or_else(|| Problem::internal("the layers that resolve the client's address are missing"))
    }
}

/// A block of addresses: `10.0.0.0/8`, `fd00::/8`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads CIDR notation (RFC 4632, RFC 4291 2.3) or a single address.
    ///
    /// # Errors
    /// `bad-network` if it is neither, or if bits after the prefix are set, which is
    /// usually a mistake.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refused = || {
            Invalid::new(
                "bad-network",
                format!("{text:?} is not a network such as 10.0.0.0/8, fd00::/8 or 127.0.0.1."),
            )
        };
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let base = IpAddr::from_str(address.trim()).map_err(|_| refused())?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let bits = match prefix {
            None => width,
            Some(prefix) => prefix.trim().parse().ok().filter(|bits| *bits <= width).ok_or_else(refused)?,
        };
        let network = Self { base, bits };
        if network.mask(base) != Some(number(base)) {
            return Err(refused());
        }
        Ok(network)
    }

    /// Whether the block contains `address`. An IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.mask(address.to_canonical()) == Some(number(self.base))
    }

    /// The address with the bits after the prefix cleared; `None` for the other address family.
    fn mask(&self, address: IpAddr) -> Option<u128> {
        if address.is_ipv4() != self.base.is_ipv4() {
            return None;
        }
        let width = if address.is_ipv4() { 32 } else { 128 };
        let behind = width - self.bits;
        Some(number(address).checked_shr(behind).and_then(|prefix| prefix.checked_shl(behind)).unwrap_or(0))
    }
}

impl FromStr for Network {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The client's address: the first address, read from the right, that is not a trusted proxy.
///
/// The client may have forged the entries to the left of this address. An entry that is not an address ends
/// the search; the result is then the proxy that passed it on.
#[must_use]
pub fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> ClientAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let entries = lines.iter().rev().flat_map(|line| line.to_str().unwrap_or("unreadable").rsplit(','));
    for entry in entries {
        if !is_trusted(client) {
            break;
        }
        // A list may have empty elements (RFC 9110, 5.6.1.2).
        if entry.trim().is_empty() {
            continue;
        }
        let Some(next) = forwarded(entry.trim()) else { break };
        client = next.to_canonical();
    }
    ClientAddr(client)
}

/// Parses an entry of `X-Forwarded-For`. No standard defines the header, so this accepts what the various
/// proxies write: an address, possibly with a port after it, in brackets, with a zone or in quotes.
fn forwarded(entry: &str) -> Option<IpAddr> {
    let entry = entry.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(entry);
    // A number above 65,535 is no port, so the entry is unusable like any other text.
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let host = match entry.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
                return None;
            }
            return without_zone(host).parse().ok().map(IpAddr::V6);
        }
        // An entry with more than one colon is an IPv6 address, which has no port unless the address is in
        // brackets.
        None => match entry.split_once(':') {
            Some((host, port)) if is_port(port) && host.contains('.') => host,
            _ => entry,
        },
    };
    without_zone(host).parse().ok()
}

/// The address without its zone (RFC 4007, 11): a zone has a meaning only on the proxy itself.
fn without_zone(address: &str) -> &str {
    address.split_once('%').map_or(address, |(address, _)| address)
}

/// The addresses that one subscriber can use at will: an IPv4 address, or an IPv6 /64 (RFC 4291, 2.5.4).
#[must_use]
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The block of addresses from which one person can easily send: an IPv4 /24, or an IPv6 /48, which is what a site gets
/// (RFC 6177).
#[must_use]
pub fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80)),
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() >> 8 << 8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
        }
        let trusted: Vec<_> = trusted.iter().map(|text| Network::parse(text).unwrap()).collect();
        resolve(ip(peer), &headers, &trusted).0.to_string()
    }

    #[test]
    fn nobody_is_believed_unless_told() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"], &[]), "203.0.113.9");
        assert_eq!(client("203.0.113.9", &["198.51.100.1"], &["10.0.0.0/8"]), "203.0.113.9");
    }

    #[test]
    fn a_chain_of_proxies_is_walked_to_the_first_stranger() {
        let trusted = &["10.0.0.0/8", "::1"];
        assert_eq!(client("10.0.0.2", &["198.51.100.1"], trusted), "198.51.100.1");
        assert_eq!(client("10.0.0.2", &["1.1.1.1, 198.51.100.1, 10.0.0.7"], trusted), "198.51.100.1");
        assert_eq!(client("10.0.0.2", &["1.1.1.1", "198.51.100.1", "10.0.0.7"], trusted), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.2", &["2001:db8::7"], trusted), "2001:db8::7");
        assert_eq!(client("::1", &["10.0.0.7"], trusted), "10.0.0.7", "only proxies: the farthest");
        assert_eq!(client("10.0.0.2", &["198.51.100.1, unknown"], trusted), "10.0.0.2");
        assert_eq!(client("10.0.0.2", &[], trusted), "10.0.0.2");
    }

    #[test]
    fn an_entry_may_have_a_port_brackets_and_a_zone() {
        let of = |line: &str| client("10.0.0.2", &[line], &["10.0.0.0/8"]);
        for (line, expected) in [
            ("192.0.2.7:5151", "192.0.2.7"),
            ("192.0.2.7:65535", "192.0.2.7"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[fe80::1%eth0]:443", "fe80::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("\"[2001:db8::1]:443\"", "2001:db8::1"),
            ("[::ffff:192.0.2.7]:443", "192.0.2.7"),
            ("192.0.2.7:5151, 10.0.0.7:80", "192.0.2.7"),
            ("192.0.2.7:5151, , 10.0.0.7:80,", "192.0.2.7"),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
        // An entry that is not an address ends the search: the result is the proxy that passed it on.
        for line in [
            "192.0.2.7:",
            "192.0.2.7:http",
            "192.0.2.7:123456",
            "192.0.2.7:99999",
            "192.0.2.7:65536",
            "192.0.2.7:+80",
            "192.0.2.7:abc",
            "[2001:db8::1]:99999",
            "[2001:db8::1]:abc",
            "[2001:db8::1",
            "[2001:db8::1]443",
            "[192.0.2.7]:80",
            "192.0.2.7:80:80",
            "_hidden",
            "unknown:80",
            ":80",
            "[]:80",
        ] {
            assert_eq!(of(line), "10.0.0.2", "{line}");
        }
    }

    #[test]
    fn networks_with_edges() {
        let all = Network::parse("0.0.0.0/0").unwrap();
        assert!(all.contains(ip("255.255.255.255")) && !all.contains(ip("2001:db8::1")));
        assert!(Network::parse("::/0").unwrap().contains(ip("2001:db8::1")));
        assert!(Network::parse("192.0.2.128/25").unwrap().contains(ip("192.0.2.255")));
        assert!(!Network::parse("192.0.2.128/25").unwrap().contains(ip("192.0.2.127")));
        for bad in
            ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "forest", "10.0.0.0/8/8", "10.0.0/8"]
        {
            assert_eq!(Network::parse(bad).unwrap_err().code, "bad-network", "{bad}");
        }
    }

    #[test]
    fn a_subscriber_is_an_address_or_a_64() {
        assert_eq!(subscriber(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_eq!(subscriber(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }

    #[test]
    fn a_block_is_a_24_or_a_48() {
        assert_eq!(block(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1::"));
        assert_eq!(block(ip("::ffff:192.0.2.77")), ip("192.0.2.0"));
    }

    proptest! {
        #[test]
        fn a_header_never_panics_and_never_wins_without_trust(line in "[ -~]{0,60}") {
            prop_assert_eq!(client("203.0.113.9", &[&line], &["10.0.0.0/8"]), "203.0.113.9");
            let _ = client("10.0.0.1", &[&line], &["10.0.0.0/8"]);
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}") {
            let _ = Network::parse(&text);
        }
    }
}
