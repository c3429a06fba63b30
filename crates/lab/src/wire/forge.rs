//! Owns the frames that the wire makes itself or changes: RST, ACK, new ports, a bit turned over. Pure.
//! Read: RFC 9293 section 3.1 and 3.5.2, RFC 1624, RFC 792, RFC 4443.

use std::net::IpAddr;

use etherparse::{
    Icmpv4Type, Icmpv6Type, IpHeaders, PacketBuilder, PacketBuilderStep, TcpHeader, icmpv4, icmpv6,
};

use super::flow::{Flow, FlowKey};
use crate::{
    frame::{Segment, tcp_offset},
    topology::End,
};

/// An RST for `end` in the name of the other, with this sequence number. `None` where no frame of the flow
/// has told the hardware addresses.
pub(super) fn reset(key: &FlowKey, flow: &Flow, end: End, sequence: u32) -> Option<Vec<u8>> {
    let builder = segment(key, hardware_to(flow, end)?, end, sequence, 0)?.rst();
    written(builder)
}

/// The RST by which a host answers a segment of a connection that it does not know (RFC 9293, section
/// 3.5.2), for the one who sent it: `frame`, which carries `segment`.
pub(super) fn reset_in_answer(frame: &[u8], unknown: &Segment, from: End) -> Option<Vec<u8>> {
    let key = FlowKey::of(unknown, from);
    let hardware = swapped(frame.first_chunk()?);
    let builder = match unknown.acknowledgment {
        Some(number) => segment(&key, hardware, from, number, 0)?.rst(),
        None => segment(&key, hardware, from, 0, 0)?.rst().ack(unknown.next_sequence()),
    };
    written(builder)
}

/// The SYN by which `opener` has opened the connection, as it was but for its options. `None` where another has,
/// or where an RST has ended it.
pub(super) fn syn(key: &FlowKey, flow: &Flow, opener: End) -> Option<Vec<u8>> {
    let is_meant = flow.opened_by == Some(opener) && !flow.reset;
    let sequence = flow.side(opener).first.filter(|_| is_meant)?;
    let to = opener.other();
    written(segment(key, hardware_to(flow, to)?, to, sequence, WINDOW)?.syn())
}

/// What a box says of a frame that it does not let pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Communication administratively prohibited (RFC 1812 section 5.2.7.1, RFC 4443 section 3.1).
    Prohibited,
    /// Longer than this many bytes, as an MTU counts them (RFC 1191 section 4, RFC 4443 section 3.2).
    TooBig(u32),
}

/// The ICMP message that refuses `frame`, which carries `segment`, for the one who sent it. A box without an
/// address of its own speaks in the name of the other end.
pub(super) fn refusal(frame: &[u8], segment: &Segment, why: Refusal) -> Option<Vec<u8>> {
    let packet = frame.get(ETHERNET..)?;
    // A kernel tells by the ports which connection is meant, so they have to be among what is quoted.
    let ports = tcp_offset(frame)?.checked_sub(ETHERNET)? + 8;
    let (source, destination) = (segment.destination.ip(), segment.source.ip());
    let ip = headers(halves(swapped(frame.first_chunk()?)), source, destination)?;
    let mut bytes = Vec::new();
    if source.is_ipv4() {
        use icmpv4::DestUnreachableHeader as Code;
        let code = match why {
            Refusal::Prohibited => Code::FilterProhibited,
            Refusal::TooBig(mtu) => {
                let next_hop_mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
                Code::FragmentationNeeded { next_hop_mtu }
            }
        };
        let message = Icmpv4Type::DestinationUnreachable(code);
        ip.icmpv4(message).write(&mut bytes, packet.get(..ports)?).ok()?;
    } else {
        let message = match why {
            Refusal::Prohibited => {
                Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Prohibited)
            }
            Refusal::TooBig(mtu) => Icmpv6Type::PacketTooBig { mtu },
        };
        let quoted = packet.len().min(ICMPV6_QUOTES).max(ports);
        ip.icmpv6(message).write(&mut bytes, packet.get(..quoted)?).ok()?;
    }
    Some(bytes)
}

/// An ACK for `end` in the name of the other, which has nothing to say and has heard all.
pub(super) fn acknowledgment(key: &FlowKey, flow: &Flow, end: End) -> Option<Vec<u8>> {
    let (sequence, number) = (flow.expected_by(end)?, flow.side(end).next?);
    written(segment(key, hardware_to(flow, end)?, end, sequence, WINDOW)?.ack(number))
}

/// The frame with other ports; its checksum is brought up to date. `None` where it is no whole segment.
pub(super) fn with_ports(frame: &[u8], source: u16, destination: u16) -> Option<Vec<u8>> {
    let tcp = tcp_offset(frame)?;
    let mut bytes = frame.to_vec();
    let old = u32::from_be_bytes(bytes.get(tcp..)?.first_chunk().copied()?);
    let new = u32::from(source) << 16 | u32::from(destination);
    bytes.get_mut(tcp..tcp + 4)?.copy_from_slice(&new.to_be_bytes());
    let field = bytes.get_mut(tcp + CHECKSUM..tcp + CHECKSUM + 2)?;
    let sum = u16::from_be_bytes([*field.first()?, *field.last()?]);
    field.copy_from_slice(&updated(sum, old, new).to_be_bytes());
    Some(bytes)
}

/// The frame with one bit turned over.
pub(super) fn with_bit_turned(frame: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    bytes
}

/// The checksum after 32 bits of what it covers have changed (RFC 1624, equation 3).
const fn updated(sum: u16, old: u32, new: u32) -> u16 {
    let inverse = !old;
    let mut total =
        (!sum) as u32 + (inverse >> 16) + (inverse & 0xffff) + (new >> 16) + (new & 0xffff);
    while total >> 16 != 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

type Builder = PacketBuilderStep<TcpHeader>;

fn segment(
    key: &FlowKey,
    hardware: [u8; 12],
    to: End,
    sequence: u32,
    window: u16,
) -> Option<Builder> {
    let (source, destination) = (key.at(to.other()), key.at(to));
    let ip = headers(halves(hardware), source.ip(), destination.ip())?;
    Some(ip.tcp(source.port(), destination.port(), sequence, window))
}

/// A frame from one address to another, with the hardware addresses as they stand in it: destination first.
/// `None` where the families differ.
pub(crate) fn headers(
    [to, from]: [[u8; 6]; 2],
    source: IpAddr,
    destination: IpAddr,
) -> Option<PacketBuilderStep<IpHeaders>> {
    let ethernet = PacketBuilder::ethernet2(from, to);
    match (source, destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Some(ethernet.ipv4(from.octets(), to.octets(), HOPS)),
        (IpAddr::V6(from), IpAddr::V6(to)) => Some(ethernet.ipv6(from.octets(), to.octets(), HOPS)),
        _ => None,
    }
}

fn written(builder: Builder) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(builder.size(0));
    builder.write(&mut bytes, &[]).ok()?;
    Some(bytes)
}

/// Destination and source for a frame to `end`: as the other end's frames have them, or the reverse of its own.
fn hardware_to(flow: &Flow, end: End) -> Option<[u8; 12]> {
    let reverse = || flow.side(end).hardware.map(|own| swapped(&own));
    flow.side(end.other()).hardware.or_else(reverse)
}

const fn halves(hardware: [u8; 12]) -> [[u8; 6]; 2] {
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = hardware;
    [[d0, d1, d2, d3, d4, d5], [s0, s1, s2, s3, s4, s5]]
}

const fn swapped(hardware: &[u8; 12]) -> [u8; 12] {
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = *hardware;
    [s0, s1, s2, s3, s4, s5, d0, d1, d2, d3, d4, d5]
}

const ETHERNET: usize = 14;

/// An error of ICMPv6 quotes as much as fits into the least MTU of IPv6, beside two headers (RFC 4443,
/// section 2.4).
const ICMPV6_QUOTES: usize = 1280 - 40 - 8;

/// Where the checksum stands in the header of TCP.
const CHECKSUM: usize = 16;

/// What most hosts begin with.
const HOPS: u8 = 64;

/// Open, whatever the scale.
const WINDOW: u16 = 512;

#[cfg(test)]
pub(super) mod tests;
