//! Owns the meaning of a frame on the wire: what a reader of the picture wants to know of it.
//! Pure: bytes in, words out; foreign bytes never panic. Read: RFC 9293 section 3.1, RFC 826.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddrV4},
};

use etherparse::{ArpOperation, LaxNetSlice, LaxSlicedPacket, TransportSlice};

/// What a frame carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A TCP segment over IPv4.
    Tcp(Segment),
    /// An ARP packet for IPv4.
    Arp(Arp),
    /// Anything else, in one or two words.
    Other(String),
}

/// A TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The sender's address and port.
    pub source: SocketAddrV4,
    /// The receiver's address and port.
    pub destination: SocketAddrV4,
    /// SEG.SEQ.
    pub sequence: u32,
    /// SEG.ACK, if the ACK flag is set.
    pub acknowledgment: Option<u32>,
    /// The other flags.
    pub flags: Flags,
    /// SEG.WND as it stands in the header, not scaled.
    pub window: u16,
    /// Bytes of payload, by the length in the IP header: a capture may hold fewer.
    pub payload: u32,
}

/// The flags of a segment, without ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// SYN.
    pub syn: bool,
    /// FIN.
    pub fin: bool,
    /// RST.
    pub rst: bool,
    /// PSH.
    pub psh: bool,
}

/// An ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    /// It asks; else it answers.
    pub is_request: bool,
    /// The sender's address.
    pub sender: Ipv4Addr,
    /// The address asked for, or the one that asked.
    pub target: Ipv4Addr,
}

impl Frame {
    /// What `bytes`, an Ethernet frame or at least its first 128 bytes, carries.
    pub fn parse(bytes: &[u8]) -> Self {
        let Ok(packet) = LaxSlicedPacket::from_ethernet(bytes) else {
            return Self::Other("malformed".to_owned());
        };
        match (&packet.net, &packet.transport) {
            (Some(LaxNetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) => {
                let ip = ip.header();
                let headers = usize::from(ip.ihl()) * 4 + usize::from(tcp.data_offset()) * 4;
                let payload = usize::from(ip.total_len()).saturating_sub(headers);
                Self::Tcp(Segment {
                    source: SocketAddrV4::new(ip.source_addr(), tcp.source_port()),
                    destination: SocketAddrV4::new(ip.destination_addr(), tcp.destination_port()),
                    sequence: tcp.sequence_number(),
                    acknowledgment: tcp.ack().then(|| tcp.acknowledgment_number()),
                    flags: Flags { syn: tcp.syn(), fin: tcp.fin(), rst: tcp.rst(), psh: tcp.psh() },
                    window: tcp.window_size(),
                    payload: u32::try_from(payload).unwrap_or(u32::MAX),
                })
            }
            (Some(LaxNetSlice::Arp(arp)), _) => arp.to_packet().try_eth_ipv4().map_or_else(
                |_| Self::Other("ARP".to_owned()),
                |arp| {
                    Self::Arp(Arp {
                        is_request: arp.operation == ArpOperation::REQUEST,
                        sender: arp.sender_ipv4_addr(),
                        target: arp.target_ipv4_addr(),
                    })
                },
            ),
            (_, Some(TransportSlice::Udp(_))) => Self::Other("UDP".to_owned()),
            (_, Some(TransportSlice::Icmpv4(icmp))) => {
                Self::Other(format!("ICMP type {}", icmp.type_u8()))
            }
            (Some(LaxNetSlice::Ipv4(_)), _) => Self::Other("IPv4".to_owned()),
            (Some(LaxNetSlice::Ipv6(_)), _) => Self::Other("IPv6".to_owned()),
            (None, _) => Self::Other("unknown".to_owned()),
        }
    }

    /// The TCP segment, if it is one.
    pub const fn segment(&self) -> Option<&Segment> {
        match self {
            Self::Tcp(segment) => Some(segment),
            _ => None,
        }
    }
}

impl Segment {
    /// The sequence number after this segment: SYN and FIN count as one each.
    pub const fn next_sequence(&self) -> u32 {
        self.sequence
            .wrapping_add(self.payload)
            .wrapping_add(self.flags.syn as u32 + self.flags.fin as u32)
    }
}

impl fmt::Display for Arp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_request {
            write!(f, "ARP who-has {}?", self.target)
        } else {
            write!(f, "ARP {} is-at", self.sender)
        }
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    fn data_segment() -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 7])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 7], 64)
            .tcp(40_000, 111, 1000, 512)
            .ack(2000)
            .psh();
        let payload = [b'x'; 200];
        let mut bytes = Vec::with_capacity(builder.size(payload.len()));
        builder.write(&mut bytes, &payload).unwrap();
        bytes
    }

    #[test]
    fn a_segment_cut_short_by_the_capture_keeps_its_true_length() {
        let whole = Frame::parse(&data_segment());
        assert_eq!(Frame::parse(&data_segment()[..128]), whole);
        let Frame::Tcp(segment) = whole else { panic!("{whole:?}") };
        assert_eq!(segment.source, "10.0.0.1:40000".parse().unwrap());
        assert_eq!((segment.sequence, segment.acknowledgment), (1000, Some(2000)));
        assert_eq!((segment.payload, segment.next_sequence()), (200, 1200));
        assert!(segment.flags.psh && !segment.flags.syn);
    }

    #[test]
    fn no_bytes_make_the_parser_panic() {
        let bytes = data_segment();
        for end in 0..bytes.len() {
            let _ = Frame::parse(&bytes[..end]);
        }
        for position in 0..60 {
            let mut bent = bytes.clone();
            bent[position] ^= 0xff;
            let _ = Frame::parse(&bent);
        }
    }
}
