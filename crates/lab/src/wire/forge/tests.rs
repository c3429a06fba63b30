//! What the wire makes is what a kernel accepts.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::*;
use crate::{frame::Frame, wire::tests::frame};

/// Whether the checksums of IP and TCP are right.
pub(in crate::wire) fn checksum_holds(bytes: &[u8]) -> bool {
    let packet = SlicedPacket::from_ethernet(bytes).unwrap();
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (packet.net, packet.transport)
    else {
        return false;
    };
    let header = ip.header().to_header();
    header.calc_header_checksum() == header.header_checksum
        && tcp.calc_checksum_ipv4(header.source, header.destination).unwrap() == tcp.checksum()
}

fn segment_of(bytes: &[u8]) -> Segment {
    let Frame::Tcp(segment) = Frame::parse(bytes) else { panic!("no segment") };
    segment
}

#[test]
fn the_answer_to_a_stranger_follows_the_rfc_with_and_without_an_ack() {
    let (from, bytes) = frame("> . 101 ack 301 len 5");
    let answer = reset_in_answer(&bytes, &segment_of(&bytes), from).unwrap();
    let reset = segment_of(&answer);
    assert!(reset.flags.rst && checksum_holds(&answer));
    assert_eq!((reset.sequence, reset.acknowledgment), (301, None));
    // It goes back where the frame came from.
    assert_eq!((&answer[..6], &answer[6..12]), (&bytes[6..12], &bytes[..6]));

    let (from, bytes) = frame("> S 100");
    let reset = segment_of(&reset_in_answer(&bytes, &segment_of(&bytes), from).unwrap());
    assert_eq!((reset.sequence, reset.acknowledgment), (0, Some(101)));
}

#[test]
fn other_ports_leave_the_checksum_right() {
    let (_, bytes) = frame("> . 101 ack 301 len 5");
    assert!(checksum_holds(&bytes));
    for (source, destination) in [(0, 0), (1, 2), (40_000, 111), (0xffff, 0xffff), (7232, 111)] {
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
