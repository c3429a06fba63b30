//! Owns the crafted acknowledgement: a segment like a keepalive probe, made here and sent on a raw
//! socket. It needs no descriptor, and touches nothing but the peer's attention.
//! Read: raw(7), RFC 9293 sections 3.1 and 3.10.7.4, RFC 8200 section 8.1 (the checksum).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsFd as _, OwnedFd},
};

use halfopen_core::{Endpoints, Moment, Sample};
use rustix::{
    io::Errno,
    net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto},
};

use super::ProbeError;
use crate::{boottime, syscall};

/// Raw sockets of one network namespace, one for each family.
#[derive(Debug)]
pub struct CraftedAcks {
    four: OwnedFd,
    /// `None` on a kernel without IPv6.
    six: Option<OwnedFd>,
}

impl CraftedAcks {
    /// Opens them in the namespace of the calling thread; they stay with it.
    ///
    /// # Errors
    /// [`ProbeError::Refused`] without CAP_NET_RAW.
    pub fn open() -> Result<Self, ProbeError> {
        let open = |family| {
            // With IPPROTO_RAW we write the IP header ourselves.
            let flags = SocketFlags::CLOEXEC;
            rustix::net::socket_with(family, SocketType::RAW, flags, Some(ipproto::RAW))
        };
        let failed = |errno: Errno| ProbeError::of(errno.into(), "CAP_NET_RAW");
        let six = match open(AddressFamily::INET6) {
            Err(Errno::AFNOSUPPORT) => None,
            opened => Some(opened.map_err(failed)?),
        };
        Ok(Self { four: open(AddressFamily::INET).map_err(failed)?, six })
    }

    /// Sends one on the connection that `sample` describes, which must know its sequence numbers.
    /// They may have moved on since: an old number is what makes the peer answer.
    ///
    /// # Errors
    /// [`ProbeError::NoSequence`], or what the kernel answered.
    pub fn send(&self, sample: &Sample) -> Result<Moment, ProbeError> {
        let sequence = sample.inside.sequence.ok_or(ProbeError::NoSequence)?;
        let Endpoints { local, peer, interface } = sample.endpoints;
        let numbers = (sequence.snd_una.wrapping_sub(1), sequence.rcv_nxt);
        let packet = packet(local, peer, numbers);
        let absent = || ProbeError::Failed { cause: Errno::AFNOSUPPORT.into() };
        let (socket, packet) = match &packet {
            Packet::Four(bytes) => (&self.four, bytes.as_slice()),
            Packet::Six(bytes) => (self.six.as_ref().ok_or_else(absent)?, bytes.as_slice()),
        };
        let index = interface.and_then(|index| libc::c_int::try_from(index).ok()).unwrap_or(0);
        syscall::set_socket_option(socket.as_fd(), libc::SOL_SOCKET, SO_BINDTOIFINDEX, index)
            .map_err(|cause| ProbeError::of(cause, "CAP_NET_RAW"))?;
        let at = boottime::now();
        let to = destination(peer, interface);
        rustix::io::retry_on_intr(|| rustix::net::sendto(socket, packet, SendFlags::empty(), &to))
            .map_err(|errno| ProbeError::of(errno.into(), "CAP_NET_RAW"))?;
        Ok(at)
    }
}

/// Where a raw socket sends to: the port must be 0.
fn destination(peer: SocketAddr, interface: Option<u32>) -> SocketAddr {
    match peer.ip().to_canonical() {
        IpAddr::V4(four) => SocketAddrV4::new(four, 0).into(),
        IpAddr::V6(six) => SocketAddrV6::new(six, 0, 0, interface.unwrap_or(0)).into(),
    }
}

/// An IP packet with a TCP segment of no data.
enum Packet {
    Four([u8; 40]),
    Six([u8; 60]),
}

fn packet(local: SocketAddr, peer: SocketAddr, numbers: (u32, u32)) -> Packet {
    let ports = (local.port(), peer.port());
    match (local.ip().to_canonical(), peer.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Packet::Four(packet4(from, to, ports, numbers)),
        (from, to) => Packet::Six(packet6(six(from), six(to), ports, numbers)),
    }
}

const fn six(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped(),
        IpAddr::V6(six) => six,
    }
}

fn packet4(from: Ipv4Addr, to: Ipv4Addr, ports: (u16, u16), numbers: (u32, u32)) -> [u8; 40] {
    let mut pseudo = [0; 12];
    put(&mut pseudo, 0, &from.octets());
    put(&mut pseudo, 4, &to.octets());
    put(&mut pseudo, 8, &[0, PROTOCOL_TCP, 0, 20]);
    let mut packet = [0; 40];
    // Version, length of the header, and don't fragment; the kernel fills in the rest of it.
    put(&mut packet, 0, &[0x45, 0, 0, 40, 0, 0, 0x40, 0, TTL, PROTOCOL_TCP]);
    put(&mut packet, 12, &from.octets());
    put(&mut packet, 16, &to.octets());
    put(&mut packet, 20, &segment(&pseudo, ports, numbers));
    packet
}

fn packet6(from: Ipv6Addr, to: Ipv6Addr, ports: (u16, u16), numbers: (u32, u32)) -> [u8; 60] {
    let mut pseudo = [0; 40];
    put(&mut pseudo, 0, &from.octets());
    put(&mut pseudo, 16, &to.octets());
    put(&mut pseudo, 32, &[0, 0, 0, 20, 0, 0, 0, PROTOCOL_TCP]);
    let mut packet = [0; 60];
    put(&mut packet, 0, &[0x60, 0, 0, 0, 0, 20, PROTOCOL_TCP, TTL]);
    put(&mut packet, 8, &from.octets());
    put(&mut packet, 24, &to.octets());
    put(&mut packet, 40, &segment(&pseudo, ports, numbers));
    packet
}

/// The TCP header, with its checksum over `pseudo` and itself.
fn segment(
    pseudo: &[u8],
    (from, to): (u16, u16),
    (sequence, acknowledgment): (u32, u32),
) -> [u8; 20] {
    let mut header = [0; 20];
    put(&mut header, 0, &from.to_be_bytes());
    put(&mut header, 2, &to.to_be_bytes());
    put(&mut header, 4, &sequence.to_be_bytes());
    put(&mut header, 8, &acknowledgment.to_be_bytes());
    // Five words long, ACK alone.
    put(&mut header, 12, &[0x50, 0x10]);
    put(&mut header, 14, &WINDOW.to_be_bytes());
    let sum = checksum(pseudo.iter().chain(&header));
    put(&mut header, 16, &sum.to_be_bytes());
    header
}

/// Writes `bytes` at `place`, which is inside by construction.
fn put(into: &mut [u8], place: usize, bytes: &[u8]) {
    for (to, from) in into.iter_mut().skip(place).zip(bytes) {
        *to = *from;
    }
}

/// RFC 1071, of an even number of bytes.
fn checksum<'a>(bytes: impl Iterator<Item = &'a u8>) -> u16 {
    let mut sum = 0u32;
    for (at, byte) in bytes.enumerate() {
        sum += u32::from(*byte) << if at % 2 == 0 { 8 } else { 0 };
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

const PROTOCOL_TCP: u8 = 6;
/// The usual one (RFC 1340 recommends 64).
const TTL: u8 = 64;
/// Not zero, which would ask the peer to stop. Its value is not taken over: the segment is too old.
const WINDOW: u16 = 1024;
/// SO_BINDTOIFINDEX of asm-generic/socket.h (since 5.1); 0 unbinds.
const SO_BINDTOIFINDEX: libc::c_int = 62;

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with a right checksum sums up to all ones, which is zero once complemented.
    #[test]
    fn the_checksum_of_a_whole_segment_comes_out_right() {
        let (four, to) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 7));
        let packet = packet4(four, to, (40_000, 111), (0xffff_fffe, 77));
        let mut pseudo = [four.octets(), to.octets()].concat();
        pseudo.extend([0, 6, 0, 20]);
        assert_eq!(checksum(pseudo.iter().chain(&packet[20..])), 0);
        let six: Ipv6Addr = "fd00::1".parse().unwrap();
        let packet = packet6(six, six, (1, 2), (3, 4));
        let mut pseudo = [six.octets(), six.octets()].concat();
        pseudo.extend([0, 0, 0, 20, 0, 0, 0, 6]);
        assert_eq!(checksum(pseudo.iter().chain(&packet[40..])), 0);
    }

    #[test]
    fn a_mapped_connection_is_probed_over_ipv4() {
        let mapped = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let (local, peer) = (mapped("[::ffff:10.0.0.1]:1"), mapped("[::ffff:10.0.0.7]:2"));
        assert!(matches!(packet(local, peer, (1, 2)), Packet::Four(_)));
        assert_eq!(destination(peer, None), "10.0.0.7:0".parse().unwrap());
    }
}
