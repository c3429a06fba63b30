//! Owns the header of the PROXY protocol, by which a relay in front tells who the client is: reading
//! and writing versions 1 and 2. Pure. Read: proxy-protocol.txt of HAProxy, sections 2.1 and 2.2.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str,
};

/// Which form of the header is written; either is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What a header said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it took.
    pub length: usize,
    /// Who the client is; `None`: the relay in front speaks for itself, or of no TCP address.
    pub client: Option<SocketAddr>,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAHeader {
    /// So far it may be one.
    #[error("the header is not complete yet")]
    Incomplete,
    /// It is none.
    #[error("what came is no PROXY protocol header")]
    Invalid,
}

/// Reads the header at the beginning of `bytes`.
///
/// # Errors
/// [`NotAHeader::Incomplete`] as long as more bytes can make it one; never for [`LENGTH_MAX`] bytes.
pub fn read(bytes: &[u8]) -> Result<Header, NotAHeader> {
    let begins = |signature: &[u8]| {
        let length = bytes.len().min(signature.len());
        bytes.get(..length) == signature.get(..length)
    };
    if begins(SIGNATURE) {
        read_v2(bytes)
    } else if begins(b"PROXY ") {
        read_v1(bytes)
    } else {
        Err(NotAHeader::Invalid)
    }
}

/// Writes a header that says that `client` connected to `local`.
pub fn write(version: Version, client: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let (client, local) = alike(client, local);
    match version {
        Version::V1 => {
            let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
            format!(
                "PROXY {family} {} {} {} {}\r\n",
                client.ip(),
                local.ip(),
                client.port(),
                local.port()
            )
            .into_bytes()
        }
        Version::V2 => write_v2(client, local),
    }
}

fn read_v1(bytes: &[u8]) -> Result<Header, NotAHeader> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        let more = bytes.len() < LINE_MAX;
        return Err(if more { NotAHeader::Incomplete } else { NotAHeader::Invalid });
    };
    let length = end + 2;
    let line = bytes.get(..end).filter(|_| length <= LINE_MAX).ok_or(NotAHeader::Invalid)?;
    let line = str::from_utf8(line).map_err(|_| NotAHeader::Invalid)?;
    let words: Vec<_> = line.split(' ').collect();
    let client = match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family, source, destination, port, to] => {
            let ends = [v1_end(family, source, port), v1_end(family, destination, to)];
            let [Some(client), Some(_)] = ends else { return Err(NotAHeader::Invalid) };
            Some(client)
        }
        _ => return Err(NotAHeader::Invalid),
    };
    Ok(Header { length, client })
}

fn v1_end(family: &str, address: &str, port: &str) -> Option<SocketAddr> {
    let address: IpAddr = match family {
        "TCP4" => address.parse::<Ipv4Addr>().ok()?.into(),
        "TCP6" => address.parse::<Ipv6Addr>().ok()?.into(),
        _ => return None,
    };
    Some(SocketAddr::new(address, port.parse().ok()?))
}

fn read_v2(bytes: &[u8]) -> Result<Header, NotAHeader> {
    let after = bytes.get(SIGNATURE.len()..).ok_or(NotAHeader::Incomplete)?;
    let Some(([command, family, high, low], after)) = after.split_first_chunk() else {
        return Err(NotAHeader::Incomplete);
    };
    let rest = usize::from(u16::from_be_bytes([*high, *low]));
    let length = SIGNATURE.len() + 4 + rest;
    if length > LENGTH_MAX || !matches!(command, 0x20 | 0x21) {
        return Err(NotAHeader::Invalid);
    }
    let block = after.get(..rest).ok_or(NotAHeader::Incomplete)?;
    let client = match (command, family) {
        // LOCAL: a health check of the relay in front.
        (0x20, _) => None,
        (_, 0x11) => Some(v2_client::<4>(block, 8)?),
        (_, 0x21) => Some(v2_client::<16>(block, 32)?),
        _ => None,
    };
    Ok(Header { length, client })
}

/// The client's address begins the block, and its port stands behind both addresses.
fn v2_client<const N: usize>(block: &[u8], port_at: usize) -> Result<SocketAddr, NotAHeader>
where
    IpAddr: From<[u8; N]>,
{
    let address = block.first_chunk::<N>().ok_or(NotAHeader::Invalid)?;
    let ports = block.get(port_at..port_at + 4).ok_or(NotAHeader::Invalid)?;
    let port = ports.first_chunk::<2>().ok_or(NotAHeader::Invalid)?;
    Ok(SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes(*port)))
}

fn write_v2(client: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let (family, addresses) = match (client.ip(), local.ip()) {
        (IpAddr::V4(client), IpAddr::V4(local)) => {
            (0x11, [client.octets(), local.octets()].concat())
        }
        (client, local) => (0x21, [mapped(client).octets(), mapped(local).octets()].concat()),
    };
    let ports = [client.port().to_be_bytes(), local.port().to_be_bytes()].concat();
    // 12 or 36 bytes.
    let length = u16::try_from(addresses.len() + ports.len()).unwrap_or(0);
    header.extend([0x21, family]);
    header.extend(length.to_be_bytes());
    header.extend(addresses);
    header.extend(ports);
    header
}

/// Both as IPv4 where both can be: clients of a socket that listens on `[::]` are `::ffff:a.b.c.d`.
fn alike(client: SocketAddr, local: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let (one, other) = (canonical(client), canonical(local));
    if one.is_ipv4() == other.is_ipv4() {
        return (one, other);
    }
    let both = |end: SocketAddr| SocketAddr::new(mapped(end.ip()).into(), end.port());
    (both(one), both(other))
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line, its end included.
const LINE_MAX: usize = 107;
/// What is read of a header at most. Version 2 may carry 64 KiB of extensions; those that exist fit
/// into a fraction of this.
pub const LENGTH_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address() -> impl Strategy<Value = SocketAddr> {
        let ip = prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(IpAddr::from),
        ];
        (ip, any::<u16>()).prop_map(SocketAddr::from)
    }

    /// The same end, whether written as IPv4 or as IPv4 within IPv6.
    fn canonical(end: SocketAddr) -> (IpAddr, u16) {
        (end.ip().to_canonical(), end.port())
    }

    #[test]
    fn the_examples_of_the_specification_are_read() {
        let line = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n";
        let client = "192.168.0.1:56324".parse().ok();
        assert_eq!(read(line), Ok(Header { length: 47, client }));
        assert_eq!(read(b"PROXY UNKNOWN\r\n"), Ok(Header { length: 15, client: None }));
        let longest = b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n";
        assert_eq!(read(longest), Ok(Header { length: 59, client: None }));
    }

    #[test]
    fn what_is_no_header_is_refused_at_its_first_wrong_byte() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXX",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
            b"PROXY TCP4 ::1 5.6.7.8 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
        ] {
            assert_eq!(read(bytes), Err(NotAHeader::Invalid), "{bytes:?}");
        }
        assert_eq!(read(&[b"PROXY ".as_slice(), &[b'x'; 101]].concat()), Err(NotAHeader::Invalid));
        assert_eq!(read(b""), Err(NotAHeader::Incomplete));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(
            client in address(),
            local in address(),
            v2: bool,
            rest in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let version = if v2 { Version::V2 } else { Version::V1 };
            let header = write(version, client, local);
            for cut in 0..header.len() {
                prop_assert_eq!(read(&header[..cut]), Err(NotAHeader::Incomplete));
            }
            let read = read(&[header.clone(), rest].concat()).unwrap();
            prop_assert_eq!(read.length, header.len());
            prop_assert_eq!(canonical(read.client.unwrap()), canonical(client));
        }

        #[test]
        fn no_bytes_make_the_reader_panic_and_enough_of_them_decide(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            signed in 0u8..3,
        ) {
            let begin: &[u8] = match signed { 0 => b"", 1 => b"PROXY ", _ => SIGNATURE };
            let mut bytes = [begin, &bytes].concat();
            let _ = read(&bytes);
            bytes.resize(LENGTH_MAX, b'x');
            prop_assert_ne!(read(&bytes), Err(NotAHeader::Incomplete));
        }
    }
}
