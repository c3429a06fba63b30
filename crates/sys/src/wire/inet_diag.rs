//! Owns the messages of sock_diag for TCP: `inet_diag_req_v2` out, `inet_diag_msg` in.
//! Opens no socket. Read: sock_diag(7), uapi/linux/inet_diag.h, linux net/ipv4/inet_diag.c.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use halfopen_core::{
    ConnectionId, Cookie, Endpoints, Family, Inside, KernelTimer, Moment, NetnsId, Sample,
    Shutdown, Source, TcpState,
};

use super::{WireError, answer::Answer, int_at, netlink, tcp_info};

/// SOCK_DIAG_BY_FAMILY: the type of requests and of their answers.
pub const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// SOCK_DESTROY: the type of requests to end a socket, with the body of a look-up.
pub const SOCK_DESTROY: u16 = 21;

/// The body of a request for every TCP socket of one address family, with TCP_INFO.
pub fn dump_request(family: SocketFamily) -> Vec<u8> {
    let mut body = request_head(family);
    body.extend([0; SOCKET_ID]);
    body
}

/// The body of a request for, or to end, one socket. The kernel compares the cookie too, so that another
/// connection of the same addresses is not taken for it.
pub fn look_up_request(family: Family, endpoints: &Endpoints, cookie: Cookie) -> Vec<u8> {
    let socket_family = match family {
        Family::V4 => SocketFamily::Ipv4,
        Family::V6 | Family::V4Mapped => SocketFamily::Ipv6,
    };
    let mut body = request_head(socket_family);
    body.extend(endpoints.local.port().to_be_bytes());
    body.extend(endpoints.peer.port().to_be_bytes());
    body.extend(address_bytes(family, endpoints.local.ip()));
    body.extend(address_bytes(family, endpoints.peer.ip()));
    body.extend(endpoints.interface.unwrap_or_default().to_ne_bytes());
    // `idiag_cookie` is two words, the low one first in either byte order.
    let low = u32::try_from(cookie.0 & u64::from(u32::MAX)).unwrap_or_default();
    let high = u32::try_from(cookie.0 >> 32).unwrap_or_default();
    body.extend(low.to_ne_bytes());
    body.extend(high.to_ne_bytes());
    body
}

/// Reads one datagram that answers the request numbered `sequence`, which was asked in `netns`.
pub fn answer(datagram: &[u8], sequence: u32, netns: NetnsId, taken_at: Moment) -> Answer<Sample> {
    Answer::read(datagram, sequence, SOCK_DIAG_BY_FAMILY, |payload| {
        decode(payload, netns, taken_at).map(Some)
    })
}

/// `sdiag_family`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketFamily {
    /// AF_INET.
    Ipv4,
    /// AF_INET6, which includes sockets that carry IPv4 in mapped addresses.
    Ipv6,
}

impl SocketFamily {
    const fn number(self) -> u8 {
        match self {
            Self::Ipv4 => AF_INET,
            Self::Ipv6 => AF_INET6,
        }
    }
}

fn request_head(family: SocketFamily) -> Vec<u8> {
    let mut body = Vec::with_capacity(8 + SOCKET_ID);
    let info = 1 << (INET_DIAG_INFO - 1);
    body.extend([family.number(), IPPROTO_TCP, info, 0]);
    body.extend(ALL_STATES.to_ne_bytes());
    body
}

fn address_bytes(family: Family, address: IpAddr) -> [u8; 16] {
    match (family, address) {
        (Family::V4, IpAddr::V4(v4)) => {
            let [a, b, c, d] = v4.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        (Family::V6 | Family::V4Mapped, IpAddr::V4(v4)) => v4.to_ipv6_mapped().octets(),
        (_, IpAddr::V6(v6)) => v6.octets(),
    }
}

/// What one answer says of one socket. Addresses of IPv4 that are mapped into IPv6 are given as
/// IPv4; [`Family::V4Mapped`] says how they are carried. Unknown attributes are skipped.
///
/// `netns` and `taken_at` are not in the bytes: the kernel answers for the namespace of the netlink
/// socket, now.
///
/// # Errors
/// [`WireError`] where the bytes are no such answer; offsets count from the start of `payload`.
pub fn decode(payload: &[u8], netns: NetnsId, taken_at: Moment) -> Result<Sample, WireError> {
    let short =
        WireError::Short { what: "a socket", offset: 0, expected: HEADER, got: payload.len() };
    let (header, rest) = payload.split_at_checked(HEADER).ok_or_else(|| short.clone())?;
    let byte = |offset| int_at!(u8, header, offset).ok_or_else(|| short.clone());
    let word = |offset| int_at!(u32, header, offset).ok_or_else(|| short.clone());
    let nonzero = |offset| word(offset).map(|value| Some(value).filter(|value| *value != 0));

    let number = byte(0)?;
    if !matches!(number, AF_INET | AF_INET6) {
        return Err(WireError::Family { offset: 0, got: number });
    }
    let bytes = |at: usize| header.get(at..at + 16).and_then(|bytes| bytes.try_into().ok());
    let local = address(number, bytes(8).ok_or_else(|| short.clone())?);
    let peer = address(number, bytes(24).ok_or_else(|| short.clone())?);
    let port = |offset| int_at!(u16, header, offset).map(u16::from_be).ok_or_else(|| short.clone());
    let endpoints = Endpoints {
        local: SocketAddr::new(local.to_canonical(), port(4)?),
        peer: SocketAddr::new(peer.to_canonical(), port(6)?),
        interface: nonzero(40)?,
    };
    let said = decode_attributes(rest)?;
    let inode = nonzero(68)?.map(u64::from);
    Ok(Sample {
        source: Source::SockDiag,
        taken_at,
        id: ConnectionId {
            cookie: Cookie(u64::from(word(44)?) | u64::from(word(48)?) << 32),
            netns,
        },
        family: family(number, local, peer),
        endpoints,
        state: TcpState::from_kernel(byte(1)?),
        timer: KernelTimer::from_kernel(byte(2)?, byte(3)?, word(52)?),
        receive_queue: word(56)?,
        send_queue: word(60)?,
        // Sockets that no file refers to have no owner to take a user from (sock_i_uid), and mini
        // sockets are filled in with zeros: a 0 is root's only where an inode stands beside it.
        uid: Some(word(64)?).filter(|uid| *uid != 0 || inode.is_some()),
        inode,
        cgroup_id: said.cgroup_id,
        shutdown: said.shutdown,
        info: said.info.map(tcp_info::decode),
        inside: Inside::default(),
    })
}

/// The address in `bytes`, of which a socket of AF_INET fills the first four.
pub(crate) fn address(number: u8, bytes: [u8; 16]) -> IpAddr {
    let [a, b, c, d, ..] = bytes;
    match number {
        AF_INET => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        _ => IpAddr::V6(Ipv6Addr::from(bytes)),
    }
}

/// The family of a socket of AF_INET or AF_INET6 with these addresses.
pub(crate) fn family(number: u8, local: IpAddr, peer: IpAddr) -> Family {
    let mapped = |address: IpAddr| address.is_ipv6() && address.to_canonical().is_ipv4();
    match number {
        AF_INET => Family::V4,
        _ if mapped(local) || mapped(peer) => Family::V4Mapped,
        _ => Family::V6,
    }
}

#[derive(Default)]
struct Attributes<'a> {
    info: Option<&'a [u8]>,
    shutdown: Option<Shutdown>,
    cgroup_id: Option<u64>,
}

fn decode_attributes(bytes: &[u8]) -> Result<Attributes<'_>, WireError> {
    let mut said = Attributes::default();
    for attribute in netlink::attributes(bytes) {
        let attribute = attribute.map_err(|error| behind_header(error, HEADER))?;
        match attribute.kind {
            INET_DIAG_INFO => said.info = Some(attribute.payload),
            INET_DIAG_SHUTDOWN => {
                said.shutdown = int_at!(u8, attribute.payload, 0).map(shutdown);
            }
            INET_DIAG_CGROUP_ID => said.cgroup_id = int_at!(u64, attribute.payload, 0),
            _ => {}
        }
    }
    Ok(said)
}

/// `sk_shutdown`.
pub(crate) const fn shutdown(bits: u8) -> Shutdown {
    Shutdown { receive: bits & RCV_SHUTDOWN != 0, send: bits & SEND_SHUTDOWN != 0 }
}

/// The error with its offset counted from `by` bytes earlier.
fn behind_header(error: WireError, by: usize) -> WireError {
    match error {
        WireError::Short { what, offset, expected, got } => {
            WireError::Short { what, offset: offset + by, expected, got }
        }
        WireError::Length { what, offset, least, most, got } => {
            WireError::Length { what, offset: offset + by, least, most, got }
        }
        WireError::Family { offset, got } => WireError::Family { offset: offset + by, got },
        WireError::Kind { offset, got } => WireError::Kind { offset: offset + by, got },
    }
}

/// `sizeof(struct inet_diag_msg)`.
const HEADER: usize = 72;
/// `sizeof(struct inet_diag_sockid)`.
const SOCKET_ID: usize = 48;
/// ESTABLISHED (1) to NEW_SYN_RECV (12). Not TCP_BOUND_INACTIVE (13): sockets that have a port and
/// neither listen nor connect.
const ALL_STATES: u32 = 0x1ffe;
pub(crate) const AF_INET: u8 = 2;
pub(crate) const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_SHUTDOWN: u16 = 8;
const INET_DIAG_CGROUP_ID: u16 = 21;
const RCV_SHUTDOWN: u8 = 1;
const SEND_SHUTDOWN: u8 = 2;

#[cfg(test)]
mod tests;
