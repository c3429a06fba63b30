//! Owns the pattern by which users name one end of a connection: `ADDR[/LEN][:PORT]`.
//! Resolves no names. Read: RFC 4291 section 2.3 (prefixes), RFC 3986 section 3.2.2 (brackets).

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// An address, a network, a port, or an address with a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointPattern {
    network: Option<Network>,
    port: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    /// In canonical form: an IPv4 address mapped into IPv6 is kept as IPv4.
    address: IpAddr,
    prefix: u8,
}

/// A text that is not an endpoint pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnEndpoint {
    /// The address cannot be read.
    #[error(
        "`{0}` is not an IP address (names are not resolved); write ADDR[/LEN][:PORT], IPv6 with a port in brackets, e.g. 10.0.0.0/8:443 or [2001:db8::1]:443"
    )]
    Address(String),
    /// The prefix length cannot be read, or is longer than the address.
    #[error("`/{0}` is not a prefix length: 0 to 32 for IPv4, 0 to 128 for IPv6")]
    Prefix(String),
    /// The port cannot be read.
    #[error("`{0}` is not a port: a number from 1 to 65535 (names of services are not known)")]
    Port(String),
}

impl EndpointPattern {
    /// Whether `end` is meant. IPv4 patterns also match IPv4 addresses mapped into IPv6.
    pub fn matches(&self, end: SocketAddr) -> bool {
        self.port.is_none_or(|port| port == end.port())
            && self.network.is_none_or(|network| network.contains(end.ip()))
    }

    /// Names a loopback address, so that hiding loopback would hide what was asked for.
    pub fn names_loopback(&self) -> bool {
        self.network.is_some_and(|network| network.address.is_loopback())
    }

    /// The port alone, if the pattern is nothing but a port.
    pub const fn port_alone(&self) -> Option<u16> {
        match (self.network, self.port) {
            (None, Some(port)) => Some(port),
            _ => None,
        }
    }
}

impl Network {
    fn new(address: IpAddr, prefix: Option<u8>) -> Option<Self> {
        let (width, canonical) = (width(address), address.to_canonical());
        let prefix = prefix.unwrap_or(width);
        if prefix > width {
            None
        } else if canonical == address {
            Some(Self { address, prefix })
        } else if let Some(mapped) = prefix.checked_sub(96) {
            Some(Self { address: canonical, prefix: mapped })
        } else {
            Some(Self { address, prefix })
        }
    }

    fn contains(self, other: IpAddr) -> bool {
        let same = |own: u128, other: u128, width: u32| {
            let shift = width - u32::from(self.prefix);
            own.checked_shr(shift) == other.checked_shr(shift)
        };
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same(own.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl FromStr for EndpointPattern {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let (host, port) = split(text);
        let port = port.map(parse_port).transpose()?;
        if matches!(host.as_str(), "" | "*") && port.is_some() {
            return Ok(Self { network: None, port });
        }
        let (address, prefix) = match host.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (host.as_str(), None),
        };
        let address: IpAddr =
            address.parse().map_err(|_| NotAnEndpoint::Address(text.to_owned()))?;
        let refused = || NotAnEndpoint::Prefix(prefix.unwrap_or_default().to_owned());
        let length = prefix.map(str::parse).transpose().map_err(|_| refused())?;
        let network = Network::new(address, length).ok_or_else(refused)?;
        Ok(Self { network: Some(network), port })
    }
}

/// The host with its prefix, brackets taken off, and the port's text. An address with two colons
/// or more and no brackets is IPv6 without a port.
fn split(text: &str) -> (String, Option<&str>) {
    if let Some((inside, after)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let (prefix, port) = match after.split_once(':') {
            Some((prefix, port)) => (prefix, Some(port)),
            None => (after, None),
        };
        return (format!("{inside}{prefix}"), port);
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host.to_owned(), Some(port)),
        _ => (text.to_owned(), None),
    }
}

/// Reads a port; 0 names none.
pub(super) fn parse_port(text: &str) -> Result<u16, NotAnEndpoint> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(NotAnEndpoint::Port(text.to_owned())),
    }
}

impl fmt::Display for EndpointPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network {
            None => f.write_str("*")?,
            Some(Network { address, prefix }) => {
                match address {
                    IpAddr::V6(address) if self.port.is_some() => write!(f, "[{address}]")?,
                    address => write!(f, "{address}")?,
                }
                if prefix < width(address) {
                    write!(f, "/{prefix}")?;
                }
            }
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, end: &str) -> bool {
        pattern.parse::<EndpointPattern>().unwrap().matches(end.parse().unwrap())
    }

    #[test]
    fn a_pattern_names_an_address_a_network_or_a_port() {
        assert!(matches("10.0.0.7", "10.0.0.7:111"));
        assert!(!matches("10.0.0.7", "10.0.0.8:111"));
        assert!(matches("10.0.0.7:111", "10.0.0.7:111"));
        assert!(!matches("10.0.0.7:111", "10.0.0.7:112"));
        assert!(matches("10.0.0.0/8", "10.255.0.1:1"));
        assert!(!matches("10.0.0.0/8", "11.0.0.1:1"));
        assert!(matches("10.0.0.0/8:443", "10.1.2.3:443"));
        assert!(matches("0.0.0.0/0", "203.0.113.9:1"));
        assert!(matches(":443", "[2001:db8::1]:443"));
        assert!(matches("*:443", "10.0.0.1:443"));
    }

    #[test]
    fn ipv6_takes_brackets_when_it_has_a_port() {
        assert!(matches("2001:db8::1", "[2001:db8::1]:443"));
        assert!(matches("[2001:db8::1]:443", "[2001:db8::1]:443"));
        assert!(!matches("[2001:db8::1]:443", "[2001:db8::1]:444"));
        assert!(matches("2001:db8::/32", "[2001:db8:ffff::1]:1"));
        assert!(matches("[2001:db8::/32]:443", "[2001:db8::9]:443"));
        assert!(matches("[2001:db8::]/32:443", "[2001:db8::9]:443"));
        assert!(matches("::/0", "[2001:db8::9]:443"));
        assert!(!matches("::/0", "10.0.0.1:443"));
    }

    #[test]
    fn mapped_addresses_are_the_ipv4_addresses_they_stand_for() {
        assert!(matches("10.0.0.0/8", "[::ffff:10.0.0.1]:1"));
        assert!(matches("[::ffff:10.0.0.1]", "10.0.0.1:1"));
        assert!(matches("::ffff:10.0.0.0/104", "10.9.9.9:1"));
        assert!(!matches("::ffff:10.0.0.0/104", "11.9.9.9:1"));
    }

    #[test]
    fn slips_get_one_clear_sentence() {
        let refusal = |text: &str| text.parse::<EndpointPattern>().unwrap_err().to_string();
        assert!(refusal("db1").starts_with("`db1` is not an IP address (names are not resolved)"));
        assert!(refusal("").contains("is not an IP address"));
        assert!(refusal("10.0.0.1:http").contains("`http` is not a port"));
        assert!(refusal("10.0.0.1:0").contains("`0` is not a port"));
        assert!(refusal("10.0.0.1/33").contains("`/33` is not a prefix length"));
        assert!(refusal("::1/x").contains("`/x` is not a prefix length"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*|[0-9a-f:./\\[\\]*]*") {
            let _ = text.parse::<EndpointPattern>();
        }

        #[test]
        fn every_endpoint_matches_itself_and_every_prefix_of_itself(
            v6 in any::<bool>(), bits in any::<u128>(), port in 1u16.., prefix in 0u8..=128,
        ) {
            let ip = if v6 { IpAddr::V6(bits.into()) } else { IpAddr::V4((bits as u32).into()) };
            let end = SocketAddr::new(ip, port);
            prop_assert!(end.to_string().parse::<EndpointPattern>().unwrap().matches(end));
            let prefix = prefix.min(width(ip));
            let network: EndpointPattern = format!("{ip}/{prefix}").parse().unwrap();
            prop_assert!(network.matches(end));
        }

        #[test]
        fn what_is_written_reads_back(bits in any::<u128>(), prefix in 0u8..=128, port in 1u16..) {
            let ip = std::net::Ipv6Addr::from_bits(bits);
            let pattern: EndpointPattern = format!("[{ip}]/{prefix}:{port}").parse().unwrap();
            prop_assert_eq!(pattern.to_string().parse::<EndpointPattern>().unwrap(), pattern);
        }
    }
}
