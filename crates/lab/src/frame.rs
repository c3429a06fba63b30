//! Owns the meaning of a frame on the wire: what a reader of the picture wants to know of it.
//! Pure: bytes in, words out; foreign bytes never panic. Read: RFC 9293 section 3.1, RFC 8200 section 4,
//! RFC 826, RFC 4861 section 4.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use etherparse::{
    ArpOperation, Icmpv6Slice, LaxNetSlice, LaxSlicedPacket, TcpSlice, TransportSlice,
};

/// What a frame carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A TCP segment.
    Tcp(Segment),
    /// What hosts of one cable ask and tell of their hardware addresses.
    Neighbour(Neighbour),
    /// Anything else, in one or two words. A fragment of a packet is none of the others: only the first has
    /// ports, and no one tells how long the whole is.
    Other(String),
}

/// A TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The sender's address and port.
    pub source: SocketAddr,
    /// The receiver's address and port.
    pub destination: SocketAddr,
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

/// A packet of ARP, or of the neighbour discovery of IPv6 in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// It asks; else it answers.
    pub is_request: bool,
    /// The sender's address.
    pub sender: IpAddr,
    /// The address asked for; in an answer of ARP the one that asked, in one of IPv6 the one that is told of.
    pub target: IpAddr,
}

impl Frame {
    /// What `bytes`, an Ethernet frame or at least its first 128 bytes, carries.
    pub fn parse(bytes: &[u8]) -> Self {
        let Ok(packet) = LaxSlicedPacket::from_ethernet(bytes) else {
            return Self::Other("malformed".to_owned());
        };
        match (&packet.net, &packet.transport) {
            (Some(net), Some(TransportSlice::Tcp(tcp))) => {
                Segment::of(net, tcp).map_or_else(|| Self::Other("TCP".to_owned()), Self::Tcp)
            }
            (Some(LaxNetSlice::Arp(arp)), _) => arp.to_packet().try_eth_ipv4().map_or_else(
                |_| Self::Other("ARP".to_owned()),
                |arp| {
                    Self::Neighbour(Neighbour {
                        is_request: arp.operation == ArpOperation::REQUEST,
                        sender: arp.sender_ipv4_addr().into(),
                        target: arp.target_ipv4_addr().into(),
                    })
                },
            ),
            (_, Some(TransportSlice::Udp(_))) => Self::Other("UDP".to_owned()),
            (_, Some(TransportSlice::Icmpv4(icmp))) => {
                Self::Other(format!("ICMP type {}", icmp.type_u8()))
            }
            (Some(LaxNetSlice::Ipv6(ip)), Some(TransportSlice::Icmpv6(icmp))) => {
                match (Neighbour::of(ip.header().source_addr(), icmp), icmp.type_u8()) {
                    (Some(neighbour), _) => Self::Neighbour(neighbour),
                    (None, MULTICAST_REPORT) => Self::Other("MLD report".to_owned()),
                    (None, other) => Self::Other(format!("ICMPv6 type {other}")),
                }
            }
            (Some(net), _) => Self::Other(of_ip(net).to_owned()),
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
    /// The segment of a packet; `None` where that is no packet of IP.
    fn of(net: &LaxNetSlice<'_>, tcp: &TcpSlice<'_>) -> Option<Self> {
        // By the length in the header of IP, which a capture that is cut short does not change.
        let (source, destination, length) = match net {
            LaxNetSlice::Ipv4(ip) => {
                let ip = ip.header();
                let length = usize::from(ip.total_len()).saturating_sub(usize::from(ip.ihl()) * 4);
                (ip.source_addr().into(), ip.destination_addr().into(), length)
            }
            LaxNetSlice::Ipv6(ip) => {
                let extensions = ip.extensions().slice().len();
                let ip = ip.header();
                let length = usize::from(ip.payload_length()).saturating_sub(extensions);
                (ip.source_addr().into(), ip.destination_addr().into(), length)
            }
            LaxNetSlice::Arp(_) => return None,
        };
        let payload = length.saturating_sub(usize::from(tcp.data_offset()) * 4);
        Some(Self {
            source: SocketAddr::new(source, tcp.source_port()),
            destination: SocketAddr::new(destination, tcp.destination_port()),
            sequence: tcp.sequence_number(),
            acknowledgment: tcp.ack().then(|| tcp.acknowledgment_number()),
            flags: Flags { syn: tcp.syn(), fin: tcp.fin(), rst: tcp.rst(), psh: tcp.psh() },
            window: tcp.window_size(),
            payload: u32::try_from(payload).unwrap_or(u32::MAX),
        })
    }

    /// The sequence number after this segment: SYN and FIN count as one each.
    pub const fn next_sequence(&self) -> u32 {
        self.sequence
            .wrapping_add(self.payload)
            .wrapping_add(self.flags.syn as u32 + self.flags.fin as u32)
    }
}

impl Neighbour {
    /// What a message of neighbour discovery asks or tells; `None` for other messages of ICMPv6.
    fn of(sender: Ipv6Addr, icmp: &Icmpv6Slice<'_>) -> Option<Self> {
        let is_request = match icmp.type_u8() {
            SOLICITATION => true,
            ADVERTISEMENT => false,
            _ => return None,
        };
        let target = Ipv6Addr::from(*icmp.payload().first_chunk::<16>()?);
        Some(Self { is_request, sender: sender.into(), target: target.into() })
    }
}

/// Types of neighbour solicitation and advertisement (RFC 4861, sections 4.3 and 4.4).
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// By which every host tells which groups it listens to: all have one, so that neighbours can ask for them
/// (RFC 3810, section 5.2).
const MULTICAST_REPORT: u8 = 143;

/// What to call a packet whose payload is not read.
fn of_ip(net: &LaxNetSlice<'_>) -> &'static str {
    match net {
        LaxNetSlice::Ipv4(ip) if ip.payload().fragmented => "IPv4 fragment",
        LaxNetSlice::Ipv4(_) => "IPv4",
        LaxNetSlice::Ipv6(ip) if ip.payload().fragmented => "IPv6 fragment",
        LaxNetSlice::Ipv6(_) => "IPv6",
        LaxNetSlice::Arp(_) => "ARP",
    }
}

/// Where the TCP header of a frame stands, behind however many headers; `None` where it carries no whole one.
pub(crate) fn tcp_offset(bytes: &[u8]) -> Option<usize> {
    match LaxSlicedPacket::from_ethernet(bytes).ok()?.transport? {
        TransportSlice::Tcp(tcp) => tcp.slice().as_ptr().addr().checked_sub(bytes.as_ptr().addr()),
        _ => None,
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.sender, self.is_request) {
            (IpAddr::V4(_), true) => write!(f, "ARP who-has {}?", self.target),
            (IpAddr::V4(sender), false) => write!(f, "ARP {sender} is-at"),
            (IpAddr::V6(_), true) => write!(f, "NDP who-has {}?", self.target),
            // A host may speak of one of its addresses in the name of another.
            (IpAddr::V6(_), false) => write!(f, "NDP {} is-at", self.target),
        }
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{
        IpFragOffset, IpHeaders, IpNumber, Ipv6Extensions, Ipv6FragmentHeader, Ipv6Header,
        Ipv6RawExtHeader, PacketBuilder,
    };

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

    /// Data behind these extension headers; the fragment's offset in units of eight bytes.
    fn behind(extensions: Ipv6Extensions, payload: &[u8]) -> Vec<u8> {
        let header = Ipv6Header {
            source: "fd00::a00:1".parse::<Ipv6Addr>().unwrap().octets(),
            destination: "fd00::a00:7".parse::<Ipv6Addr>().unwrap().octets(),
            hop_limit: 64,
            ..Ipv6Header::default()
        };
        let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 7])
            .ip(IpHeaders::Ipv6(header, extensions))
            .tcp(40_000, 111, 1000, 512)
            .ack(2000);
        let mut bytes = Vec::new();
        builder.write(&mut bytes, payload).unwrap();
        bytes
    }

    fn fragment(offset: u16, more_fragments: bool) -> Option<Ipv6FragmentHeader> {
        let offset = IpFragOffset::try_new(offset).unwrap();
        Some(Ipv6FragmentHeader::new(IpNumber::TCP, offset, more_fragments, 7))
    }

    fn options() -> Option<Ipv6RawExtHeader> {
        // PadN of twelve bytes (RFC 8200, section 4.2).
        let padding = [1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        Some(Ipv6RawExtHeader::new_raw(IpNumber::TCP, &padding).unwrap())
    }

    #[test]
    fn a_segment_is_found_behind_the_extension_headers_of_ipv6() {
        let plain = Ipv6Extensions::default();
        let options = Ipv6Extensions {
            hop_by_hop_options: options(),
            destination_options: options(),
            // The whole packet in one fragment is none (RFC 6946).
            fragment: fragment(0, false),
            ..plain.clone()
        };
        for extensions in [plain, options] {
            let bytes = behind(extensions, &[b'x'; 200]);
            let Frame::Tcp(segment) = Frame::parse(&bytes) else { panic!("no segment") };
            assert_eq!(segment.source, "[fd00::a00:1]:40000".parse().unwrap());
            assert_eq!((segment.sequence, segment.payload), (1000, 200));
            assert_eq!(tcp_offset(&bytes), Some(bytes.len() - 200 - 20));
            // Nor does a capture that is cut short change it.
            assert_eq!(Frame::parse(&bytes[..128]), Frame::Tcp(segment));
        }
    }

    #[test]
    fn a_fragment_has_no_ports_wherever_it_stands() {
        for (offset, more) in [(0, true), (1, true), (40, false)] {
            let extensions =
                Ipv6Extensions { fragment: fragment(offset, more), ..Default::default() };
            let bytes = behind(extensions, &[b'x'; 200]);
            assert_eq!(Frame::parse(&bytes), Frame::Other("IPv6 fragment".to_owned()));
            assert_eq!(tcp_offset(&bytes), None);
        }
    }

    #[test]
    fn neighbours_ask_and_tell_in_the_words_of_their_family() {
        let told = |kind: u8, payload: &[u8]| {
            let (from, to) = ("fd00::a00:1".parse().unwrap(), "fd00::a00:7".parse().unwrap());
            let builder = crate::wire::headers([[2; 6], [4; 6]], from, to).unwrap();
            let mut bytes = Vec::new();
            builder.icmpv6_raw(kind, 0, [0; 4]).write(&mut bytes, payload).unwrap();
            Frame::parse(&bytes)
        };
        let target = "fd00::a00:9".parse::<Ipv6Addr>().unwrap().octets();
        let Frame::Neighbour(asked) = told(SOLICITATION, &target) else { panic!("not asked") };
        assert_eq!(asked.to_string(), "NDP who-has fd00::a00:9?");
        let Frame::Neighbour(answered) = told(ADVERTISEMENT, &target) else { panic!("no answer") };
        assert_eq!(answered.to_string(), "NDP fd00::a00:9 is-at");
        assert_eq!(told(SOLICITATION, &target[..15]), Frame::Other("ICMPv6 type 135".to_owned()));
        assert_eq!(told(1, &target), Frame::Other("ICMPv6 type 1".to_owned()));
    }

    #[test]
    fn no_bytes_make_the_parser_panic() {
        let whole = Ipv6Extensions { destination_options: options(), ..Default::default() };
        for bytes in [data_segment(), behind(whole, &[b'x'; 200])] {
            survives(&bytes);
        }
    }

    fn survives(bytes: &[u8]) {
        for end in 0..bytes.len() {
            let _ = Frame::parse(&bytes[..end]);
        }
        for position in 0..100 {
            let mut bent = bytes.to_vec();
            bent[position] ^= 0xff;
            let _ = Frame::parse(&bent);
        }
    }
}
