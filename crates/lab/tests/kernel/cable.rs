//! What passes a cable, what does not, and what it remembers.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

use halfopen_lab::{End, Fate, Frame, Lab, Loss, Topology};

use crate::requires_lab;

/// Far longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// A connection from the client to the server, both ends held by this process.
pub(crate) fn connection(lab: &Lab) -> (TcpStream, TcpStream) {
    let address = lab.topology().address("server").unwrap();
    let listener = lab.server().unwrap().enter(|| TcpListener::bind((address, 0))).unwrap();
    let listener = listener.unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = lab.client().unwrap().enter(|| TcpStream::connect((address, port))).unwrap();
    (client.unwrap(), listener.accept().unwrap().0)
}

fn bytes_pass(client: &mut TcpStream, server: &mut TcpStream) {
    client.write_all(b"hello").unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
}

#[test]
fn bytes_pass_a_cable_and_every_frame_is_remembered_with_its_fate() {
    requires_lab!();
    let lab = Lab::build(Topology::lan()).unwrap();
    let (mut client, mut server) = connection(&lab);
    bytes_pass(&mut client, &mut server);
    let cable = lab.cable(0).unwrap();
    let frames = cable.frames(0);
    assert!(frames.iter().all(|seen| seen.fate == Fate::Delivered));
    assert!(frames.iter().all(|seen| !matches!(seen.frame, Frame::Other(_))), "{frames:?}");
    assert!(frames.is_sorted_by_key(|seen| seen.at));
    let syns = frames.iter().filter_map(|seen| Some((seen.from, seen.frame.segment()?)));
    let syns: Vec<_> =
        syns.filter(|(_, segment)| segment.flags.syn).map(|(from, _)| from).collect();
    assert_eq!(syns, [End::Left, End::Right]);
    let data = |seen: &halfopen_lab::FrameSeen| {
        seen.frame.segment().is_some_and(|segment| segment.payload == 5)
    };
    assert!(cable.wait_for(0, SOON, data).is_some());
}

#[test]
fn a_cut_cable_drops_and_a_mended_one_lets_the_retransmission_pass() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let (mut client, mut server) = connection(&lab);
    let cable = lab.cable(0).unwrap();
    cable.cut();
    let mark = cable.next_number();
    client.write_all(b"hello").unwrap();
    let dropped =
        cable.wait_for(mark, SOON, |seen| seen.frame.segment().is_some_and(|s| s.payload == 5));
    assert_eq!(dropped.unwrap().fate, Fate::Dropped(Loss::Cut));
    cable.mend();
    server.set_read_timeout(Some(SOON)).unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
}

#[test]
fn a_host_without_carrier_sends_nothing_and_its_connection_survives() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let (mut client, mut server) = connection(&lab);
    lab.carrier_off(0, End::Left).unwrap();
    let mark = lab.cable(0).unwrap().next_number();
    client.write_all(b"hello").unwrap();
    assert_eq!(lab.cable(0).unwrap().next_number(), mark);
    lab.carrier_on(0, End::Left).unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
}

#[test]
fn a_routed_plan_passes_bytes_over_both_cables() {
    requires_lab!();
    let lab = Lab::build(Topology::routed()).unwrap();
    let (mut client, mut server) = connection(&lab);
    bytes_pass(&mut client, &mut server);
    let near = client.local_addr().unwrap().ip();
    assert_eq!(near, Ipv4Addr::new(10, 0, 1, 1));
    for index in [0, 1] {
        assert!(lab.cable(index).unwrap().next_number() > 3);
    }
}

#[test]
fn frames_on_the_cable_are_no_longer_than_the_mtu() {
    requires_lab!();
    let lab = Lab::build(Topology::lan()).unwrap();
    let (mut client, mut server) = connection(&lab);
    client.write_all(&[7; 100_000]).unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    server.read_exact(&mut [0; 100_000]).unwrap();
    let frames = lab.cable(0).unwrap().frames(0);
    let longest = frames.iter().filter_map(|seen| Some(seen.frame.segment()?.payload)).max();
    assert!(longest.is_some_and(|payload| payload <= 1460), "{longest:?}");
}
