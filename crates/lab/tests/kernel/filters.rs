//! Goal: births and deaths of connections that lose one segment, and RSTs from nowhere. Method: filters in
//! the cable, orders to it, and what both kernels make of them.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    time::Duration,
};

use halfopen_lab::{
    End, Fate, Host, IpFamily, Lab, Loss, Topology, wait,
    wire::{Aim, Direction, Filter, Forgery, Kind, Reset},
};
use socket2::SockRef;

use crate::{
    cable::{SOON, connection},
    faults::{counter, ms},
    requires_lab,
};

/// 10.0.0.7 on a port of the kernel's choice.
fn listener(lab: &Lab) -> TcpListener {
    lab.server().unwrap().enter(|| TcpListener::bind("10.0.0.7:0")).unwrap().unwrap()
}

fn connect(lab: &Lab, listener: &TcpListener, within: Duration) -> std::io::Result<TcpStream> {
    let address = listener.local_addr().unwrap();
    lab.client().unwrap().enter(|| TcpStream::connect_timeout(&address, within)).unwrap()
}

#[test]
fn a_lost_syn_is_sent_again_after_a_second() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let listener = listener(&lab);
    let cable = lab.cable(0).unwrap();
    cable.set_filters(vec![Filter { first: Some(1), ..Filter::losing(Kind::Syn) }]);
    let client = connect(&lab, &listener, SOON).unwrap();
    let syns = cable.frames(0);
    let syns: Vec<_> = syns
        .iter()
        .filter(|seen| {
            seen.frame.segment().is_some_and(|s| s.flags.syn && s.acknowledgment.is_none())
        })
        .collect();
    assert_eq!(syns.len(), 2);
    assert_eq!(syns[0].fate, Fate::Dropped(Loss::Filtered));
    assert!(syns[1].at.since(syns[0].at) >= ms(900));
    drop(client);
}

#[test]
fn without_the_third_ack_the_client_is_connected_and_the_server_has_nobody() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let listener = listener(&lab);
    let cable = lab.cable(0).unwrap();
    cable.set_filters(vec![Filter::losing(Kind::ThirdAck)]);
    let mut client = connect(&lab, &listener, SOON).unwrap();
    assert!(cable.wait_for(0, SOON, |seen| seen.fate == Fate::Dropped(Loss::Filtered)).is_some());
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    // The first data acknowledges too, and completes it.
    client.write_all(b"hello").unwrap();
    let accepted = wait::until(SOON, || listener.accept().ok());
    assert!(accepted.is_some());
    drop((client, accepted));
}

#[test]
fn a_lost_fin_leaves_the_peer_waiting_for_more() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let (client, mut server) = connection(&lab);
    let cable = lab.cable(0).unwrap();
    let from = Direction::From(End::Left);
    cable.set_filters(vec![Filter { from, ..Filter::losing(Kind::Fin) }]);
    client.shutdown(Shutdown::Write).unwrap();
    assert!(cable.wait_for(0, SOON, |seen| seen.fate == Fate::Dropped(Loss::Filtered)).is_some());
    server.set_read_timeout(Some(ms(100))).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    cable.set_filters(Vec::new());
    server.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_lost_rst_leaves_the_other_end_open() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let (client, mut server) = connection(&lab);
    let cable = lab.cable(0).unwrap();
    cable.set_filters(vec![Filter::losing(Kind::Rst)]);
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert!(cable.wait_for(0, SOON, |seen| seen.fate == Fate::Dropped(Loss::Filtered)).is_some());
    server.set_read_timeout(Some(ms(100))).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn only_an_rst_at_the_expected_byte_ends_a_connection() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let (mut client, mut server) = connection(&lab);
    server.write_all(b"hello").unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    let cable = lab.cable(0).unwrap();
    let is_reset = |fate| fate == Fate::Forged(Forgery::ResetOnDemand);
    let order = |aim| Reset { to: End::Left, aim, port: None };

    let mark = cable.next_number();
    assert_eq!(cable.inject(order(Aim::Blind)), 1);
    assert!(cable.wait_for(mark, SOON, |seen| is_reset(seen.fate)).is_some());
    assert!(client.take_error().unwrap().is_none());

    let mark = cable.next_number();
    assert_eq!(cable.inject(order(Aim::InWindow)), 1);
    // RFC 5961, section 3.2: the receiver asks back.
    let challenge = cable.wait_for(mark, SOON, |seen| {
        seen.from == End::Left && seen.frame.segment().is_some_and(|s| s.payload == 0)
    });
    assert!(challenge.is_some());
    assert!(client.take_error().unwrap().is_none());

    assert_eq!(cable.inject(order(Aim::Valid)), 1);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    // The other end was told nothing.
    server.set_read_timeout(Some(ms(100))).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// How often the host has answered a SYN in an established connection with a challenge ACK.
fn syn_challenges(host: &Host) -> u64 {
    counter(host, "netstat", "TcpExt:", "TCPSYNChallenge")
}

#[test]
fn a_syn_that_comes_again_is_answered_by_a_challenge_and_harms_nothing() {
    requires_lab!();
    for family in [IpFamily::V4, IpFamily::V6] {
        let lab = Lab::build(Topology::lan_without_arp().over(family)).unwrap();
        let (mut client, mut server) = connection(&lab);
        let host = lab.server().unwrap();
        assert_eq!(syn_challenges(host), 0);
        assert_eq!(lab.cable(0).unwrap().repeat_syn(End::Left), 1);
        let challenged = || (syn_challenges(host) == 1).then_some(());
        assert!(wait::until(SOON, challenged).is_some(), "{family:?}: {}", syn_challenges(host));
        client.write_all(b"hello").unwrap();
        server.set_read_timeout(Some(SOON)).unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
    }
}

/// RFC 9293, section 3.5.1: the client idles and has no timer; what it objects to tells the server that it
/// is wrong, and the server's RST tells the client.
#[test]
fn a_syn_that_comes_again_to_a_host_that_has_forgotten_finds_what_is_half_open() {
    requires_lab!();
    for family in [IpFamily::V4, IpFamily::V6] {
        let mut lab = Lab::build(Topology::lan_without_arp().over(family)).unwrap();
        let (mut client, server) = connection(&lab);
        let address = server.local_addr().unwrap();
        // Nothing of its end reaches the cable.
        lab.carrier_off(0, End::Right).unwrap();
        SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
        drop(server);
        lab.power_off("server").unwrap();
        lab.boot("server").unwrap();
        let _listener =
            lab.server().unwrap().enter(|| TcpListener::bind(address)).unwrap().unwrap();
        assert_eq!(lab.cable(0).unwrap().repeat_syn(End::Left), 1);
        client.set_read_timeout(Some(SOON)).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
