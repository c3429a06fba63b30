//! What the wire makes is what a kernel accepts.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::*;
use crate::{
    frame::Frame,
    topology::IpFamily,
    wire::tests::{frame, frame_over},
};

/// Whether the checksums of IP and TCP are right.
pub(in crate::wire) fn checksum_holds(bytes: &[u8]) -> bool {
    let packet = SlicedPacket::from_ethernet(bytes).unwrap();
    match (packet.net, packet.transport) {
        (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) => {
            let header = ip.header().to_header();
            header.calc_header_checksum() == header.header_checksum
                && tcp.calc_checksum_ipv4(header.source, header.destination).unwrap()
                    == tcp.checksum()
        }
        (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Tcp(tcp))) => {
            let header = ip.header().to_header();
            tcp.calc_checksum_ipv6(header.source, header.destination).unwrap() == tcp.checksum()
        }
        _ => false,
    }
}

fn segment_of(bytes: &[u8]) -> Segment {
    let Frame::Tcp(segment) = Frame::parse(bytes) else { panic!("no segment") };
    segment
}

#[test]
fn the_answer_to_a_stranger_follows_the_rfc_with_and_without_an_ack() {
    for family in [IpFamily::V4, IpFamily::V6] {
        let (from, bytes) = frame_over(family, "> . 101 ack 301 len 5");
        let answer = reset_in_answer(&bytes, &segment_of(&bytes), from).unwrap();
        let reset = segment_of(&answer);
        assert!(reset.flags.rst && checksum_holds(&answer));
        assert_eq!((reset.sequence, reset.acknowledgment), (301, None));
        // It goes back where the frame came from.
        assert_eq!((&answer[..6], &answer[6..12]), (&bytes[6..12], &bytes[..6]));
    }

    let (from, bytes) = frame("> S 100");
    let reset = segment_of(&reset_in_answer(&bytes, &segment_of(&bytes), from).unwrap());
    assert_eq!((reset.sequence, reset.acknowledgment), (0, Some(101)));
}

#[test]
fn other_ports_leave_the_checksum_right() {
    let ports = [(0, 0), (1, 2), (40_000, 111), (0xffff, 0xffff), (7232, 111)];
    let of = |family| ports.map(|ports| (frame_over(family, "> . 101 ack 301 len 5").1, ports));
    for (bytes, (source, destination)) in of(IpFamily::V4).into_iter().chain(of(IpFamily::V6)) {
        assert!(checksum_holds(&bytes));
        let changed = with_ports(&bytes, source, destination).unwrap();
        let segment = segment_of(&changed);
        assert_eq!((segment.source.port(), segment.destination.port()), (source, destination));
        assert!(checksum_holds(&changed), "{source} {destination}");
    }
}

#[test]
fn a_frame_that_ends_early_is_not_changed() {
    let (_, bytes) = frame("> . 101 ack 301 len 5");
    assert_eq!(with_ports(&bytes[..40], 1, 2), None);
    assert_eq!(with_ports(&[], 1, 2), None);
}
