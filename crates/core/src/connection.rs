//! Owns the identity of a connection: which one is meant, and how to say so. Read: sock_diag(7).

use std::{fmt, net::SocketAddr, str::FromStr};

/// A network namespace, by the inode number of its `/proc/PID/ns/net`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetnsId(pub u64);

impl fmt::Display for NetnsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The kernel's socket cookie: never reused while the host is up, unlike 4-tuples, inodes and descriptors.
///
/// It counts up, in 64 bits for all namespaces (linux net/core/sock_diag.c `__sock_gen_cookie`): at a
/// million sockets a second it comes round after 584,000 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cookie(pub u64);

/// Names one connection of the host for as long as the host is up, written `COOKIE@NETNS`,
/// the cookie in hexadecimal: `1f3a@4026531840`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    /// The socket's cookie (`idiag_cookie`).
    pub cookie: Cookie,
    /// The network namespace that the socket lives in.
    pub netns: NetnsId,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}@{}", self.cookie.0, self.netns)
    }
}

/// A text that is not `COOKIE@NETNS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a connection id is COOKIE@NETNS, as the first column of `ls --ids` shows it, e.g. 1f3a@4026531840")
    }
}

impl std::error::Error for NotAnId {}

impl FromStr for ConnectionId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (cookie, netns) = text.split_once('@').ok_or(NotAnId)?;
        let cookie = u64::from_str_radix(cookie, 16).map_err(|_| NotAnId)?;
        let netns = netns.parse().map_err(|_| NotAnId)?;
        Ok(Self { cookie: Cookie(cookie), netns: NetnsId(netns) })
    }
}

/// The 4-tuple, plus the interface for addresses that mean nothing without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Endpoints {
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's address and port; the unspecified address for listeners.
    pub peer: SocketAddr,
    /// The interface that the socket is bound to (`idiag_if`), if it is bound.
    pub interface: Option<u32>,
}

impl Endpoints {
    /// Both ends are on this host by their addresses alone: loopback, or one address talking to itself.
    /// IPv4 addresses mapped into IPv6 count as the IPv4 address they stand for.
    pub fn is_loopback(&self) -> bool {
        let (local, peer) = (self.local.ip().to_canonical(), self.peer.ip().to_canonical());
        local == peer || (local.is_loopback() && peer.is_loopback())
    }
}

/// The address family of the socket itself; a socket of IPv6 may carry IPv4 in mapped addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// AF_INET.
    V4,
    /// AF_INET6 with addresses of IPv6.
    V6,
    /// AF_INET6 whose addresses are IPv4, mapped (`::ffff:a.b.c.d`).
    V4Mapped,
}

impl Family {
    /// The word used in JSON: `ipv4`, `ipv6` or `ipv4-mapped`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
            Self::V4Mapped => "ipv4-mapped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let id = ConnectionId { cookie: Cookie(0x1f3a), netns: NetnsId(4_026_531_840) };
        assert_eq!(id.to_string(), "1f3a@4026531840");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn half_an_id_is_refused() {
        for text in ["", "1f3a", "@1", "1f3a@", "xyz@1", "1@-1"] {
            assert_eq!(text.parse::<ConnectionId>(), Err(NotAnId), "{text:?}");
        }
    }

    #[test]
    fn a_host_talking_to_its_own_address_is_loopback_also_in_mapped_form() {
        let ends = |local: &str, peer: &str| Endpoints {
            local: local.parse().unwrap(),
            peer: peer.parse().unwrap(),
            interface: None,
        };
        assert!(ends("127.0.0.1:1", "127.0.0.2:2").is_loopback());
        assert!(ends("[::1]:1", "[::1]:2").is_loopback());
        assert!(ends("[::ffff:10.0.0.1]:1", "10.0.0.1:2").is_loopback());
        assert!(!ends("10.0.0.1:1", "10.0.0.7:2").is_loopback());
        assert!(!ends("127.0.0.1:1", "10.0.0.7:2").is_loopback());
    }
}
