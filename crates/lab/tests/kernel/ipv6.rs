//! Goal: over IPv6 kernels find each other through the cable, and take what the wire makes for what it
//! is. Method: hosts that have no address of IPv4; both ends are sockets of this process.

use std::{
    io::{ErrorKind, Read, Write},
    thread,
};

use halfopen_lab::{
    End, Fate, Frame, FrameSeen, Host, IpFamily, Lab, Loss, Topology, wait,
    wire::{Direction, Forgery, Link, Middlebox, Then},
};

use crate::{
    cable::{SOON, connection},
    faults::ms,
    requires_lab,
};

fn bytes_pass(lab: &Lab) {
    let (mut client, mut server) = connection(lab);
    client.write_all(b"hello").unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    assert!(client.local_addr().unwrap().is_ipv6());
}

/// One of the host's counters of IPv6.
fn counter(host: &Host, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/net/snmp6", host.pid().unwrap())).unwrap();
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
    line.split_whitespace().last().unwrap().parse().unwrap()
}

#[test]
fn neighbours_find_each_other_through_both_cables_of_a_router() {
    requires_lab!();
    let mut lab = Lab::build(Topology::routed().over(IpFamily::V6)).unwrap();
    bytes_pass(&lab);
    // A host that boots again has its addresses again.
    lab.power_off("server").unwrap();
    lab.boot("server").unwrap();
    bytes_pass(&lab);
    for index in [0, 1] {
        let frames = lab.cable(index).unwrap().frames(0);
        let asked = |is_request| {
            let is = |seen: &&FrameSeen| match seen.frame {
                Frame::Neighbour(one) => one.sender.is_ipv6() && one.is_request == is_request,
                _ => false,
            };
            frames.iter().filter(is).count()
        };
        assert!(asked(true) > 0 && asked(false) > 0, "{frames:#?}");
        let is_four = |seen: &FrameSeen| {
            seen.frame.segment().is_some_and(|segment| segment.source.is_ipv4())
                || seen.frame == Frame::Other("IPv4".to_owned())
        };
        assert!(!frames.iter().any(is_four), "{frames:#?}");
    }
}

#[test]
fn known_neighbours_are_not_asked_for() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp().over(IpFamily::V6)).unwrap();
    bytes_pass(&lab);
    let frames = lab.cable(0).unwrap().frames(0);
    let hosts = ["fd00::a00:1", "fd00::a00:7"].map(|host| host.parse().unwrap());
    let asks = |seen: &FrameSeen| matches!(seen.frame, Frame::Neighbour(one) if hosts.contains(&one.target));
    assert!(!frames.iter().any(asks), "{frames:#?}");
}

#[test]
fn a_box_that_answers_with_rst_is_believed_by_the_one_who_speaks() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp().over(IpFamily::V6)).unwrap();
    let (mut client, mut server) = connection(&lab);
    let cable = lab.cable(0).unwrap();
    cable.set_middlebox(Some(Middlebox { then: Then::RstOnPacket, ..Middlebox::default() }));
    cable.forget_now();
    client.write_all(b"hello").unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    server.set_read_timeout(Some(ms(100))).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_box_that_answers_with_icmp_is_heard_and_ends_nothing() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp().over(IpFamily::V6)).unwrap();
    let (mut client, _server) = connection(&lab);
    let cable = lab.cable(0).unwrap();
    cable.set_middlebox(Some(Middlebox { then: Then::Icmp, ..Middlebox::default() }));
    cable.forget_now();
    client.write_all(b"hello").unwrap();
    let host = lab.client().unwrap();
    let heard = || (counter(host, "Icmp6InDestUnreachs") > 0).then_some(());
    assert!(wait::until(SOON, heard).is_some(), "the kernel did not take it for one");
    assert_eq!(counter(host, "Icmp6InErrors"), 0);
    client.set_read_timeout(Some(ms(100))).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// Over both families: what is told there is ICMP, and here ICMPv6.
#[test]
fn who_is_told_the_mtu_of_a_path_sends_shorter_packets() {
    requires_lab!();
    const BULK: usize = 100_000;
    for family in [IpFamily::V4, IpFamily::V6] {
        let lab = Lab::build(Topology::lan_without_arp().over(family)).unwrap();
        let (mut client, mut server) = connection(&lab);
        let cable = lab.cable(0).unwrap();
        let link = Link { mtu: Some(1300), tells_mtu: true, ..Link::default() };
        cable.set_link(Direction::From(End::Left), link);
        server.set_read_timeout(Some(SOON)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| client.write_all(&[7; BULK]).unwrap());
            server.read_exact(&mut [0; BULK]).unwrap();
        });
        let frames = cable.frames(0);
        let told = frames.iter().filter(|seen| seen.fate == Fate::Forged(Forgery::TooBig)).count();
        let lost = frames.iter().filter(|seen| seen.fate == Fate::Dropped(Loss::TooLong)).count();
        assert!(told > 0 && told == lost, "{family:?}: {told} told, {lost} lost");
        let passed = |seen: &&FrameSeen| seen.fate == Fate::Delivered;
        let longest = frames.iter().filter(passed).filter_map(|seen| seen.frame.segment());
        let longest = longest.map(|segment| segment.payload).max();
        // IP, TCP and its timestamps take 52 bytes of the 1300, or 72.
        let expected = if family == IpFamily::V4 { 1248 } else { 1228 };
        assert_eq!(longest, Some(expected), "{family:?}");
    }
}
