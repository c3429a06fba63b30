//! Owns a hand-made SYN from an address that nobody has, so that its SYN-ACK is never answered.

use std::net::SocketAddrV4;

use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

/// Sends one SYN from `from` to `to`, in the calling thread's namespace.
pub(crate) fn send(from: SocketAddrV4, to: SocketAddrV4) {
    // IPPROTO_RAW: the IP header is ours too (raw(7)).
    let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW)).unwrap();
    let packet = packet(from, to);
    let sent = sendto(&raw, &packet, SendFlags::empty(), &to).unwrap();
    assert_eq!(sent, packet.len());
}

fn packet(from: SocketAddrV4, to: SocketAddrV4) -> Vec<u8> {
    // RFC 9293 section 3.1: ports, sequence 1, no acknowledgement, 5 words, SYN, window, zeros.
    let mut segment = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 5 << 4, 2, 0xff, 0xff, 0, 0, 0, 0]);
    let mut covered = [from.ip().octets(), to.ip().octets(), [0, 6, 0, 20]].concat();
    covered.extend(&segment);
    segment[16..18].copy_from_slice(&checksum(&covered));

    // RFC 791 section 3.1; the kernel fills in length, identification and checksum.
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    packet.extend(segment);
    packet
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}
