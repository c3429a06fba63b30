//! Goal: what a middlebox does, as both real kernels see it. Method: a box in the cable that forgets after
//! a moment; both ends are sockets of this process.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use halfopen_lab::{
    End, Fate, FrameSeen, Lab, Loss, Topology, wait,
    wire::{Forgery, Keepalives, Middlebox, Then},
};
use socket2::{SockRef, TcpKeepalive};

use crate::{
    cable::{SOON, connection},
    faults::ms,
    requires_lab,
};

/// A connection over a cable with a box in it, which has forgotten it.
struct Forgotten {
    client: TcpStream,
    server: TcpStream,
    lab: Lab,
}

impl Forgotten {
    fn by(middlebox: Middlebox) -> Self {
        let lab = Lab::build(Topology::lan_without_arp()).unwrap();
        let (client, server) = connection(&lab);
        let cable = lab.cable(0).unwrap();
        cable.set_middlebox(Some(middlebox));
        let empty = || (cable.known_flows() == Some(0)).then_some(());
        assert!(wait::until(SOON, empty).is_some(), "{:?} are known", cable.known_flows());
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(SOON)).unwrap();
        }
        Self { client, server, lab }
    }

    fn then(then: Then) -> Self {
        Self::by(Middlebox { expire_after: Some(ms(200)), then, ..Middlebox::default() })
    }
}

/// What a read says: how many bytes, or the error.
fn read(socket: &mut TcpStream) -> Result<usize, ErrorKind> {
    socket.read(&mut [0; 16]).map_err(|error| error.kind())
}

fn silent(socket: &mut TcpStream) -> bool {
    socket.set_read_timeout(Some(ms(100))).unwrap();
    read(socket) == Err(ErrorKind::WouldBlock)
}

#[test]
fn a_box_that_drops_leaves_both_ends_in_the_dark() {
    requires_lab!();
    let Forgotten { mut client, mut server, lab } = Forgotten::then(Then::Drop);
    client.write_all(b"hello").unwrap();
    let lost = |fate| fate == Fate::Dropped(Loss::Forgotten);
    assert!(lab.cable(0).unwrap().wait_for(0, SOON, |seen| lost(seen.fate)).is_some());
    assert!(silent(&mut client) && silent(&mut server));
}

#[test]
fn a_box_that_answers_with_rst_tells_the_one_who_speaks_and_not_the_other() {
    requires_lab!();
    let Forgotten { mut client, mut server, lab: _lab } = Forgotten::then(Then::RstOnPacket);
    client.write_all(b"hello").unwrap();
    assert_eq!(read(&mut client), Err(ErrorKind::ConnectionReset));
    assert!(silent(&mut server));
}

#[test]
fn a_box_that_tells_both_resets_two_idle_ends() {
    requires_lab!();
    let Forgotten { mut client, mut server, lab } = Forgotten::then(Then::RstBothNow);
    assert_eq!(read(&mut client), Err(ErrorKind::ConnectionReset));
    assert_eq!(read(&mut server), Err(ErrorKind::ConnectionReset));
    let frames = lab.cable(0).unwrap().frames(0);
    let forged = Fate::Forged(Forgery::ResetAtExpiry);
    assert_eq!(frames.iter().filter(|seen| seen.fate == forged).count(), 2);
}

#[test]
fn icmp_ends_no_connection() {
    requires_lab!();
    let Forgotten { mut client, mut server, lab } = Forgotten::then(Then::Icmp);
    client.write_all(b"hello").unwrap();
    let cable = lab.cable(0).unwrap();
    let told = Fate::Forged(Forgery::IcmpInAnswer);
    assert!(cable.wait_for(0, SOON, |seen| seen.fate == told).is_some());
    // It goes on trying, and gets through once the box is out of the way.
    let again = |seen: &FrameSeen| seen.fate == Fate::Dropped(Loss::Forgotten);
    let first = cable.wait_for(0, SOON, again).unwrap();
    assert!(cable.wait_for(first.number + 1, SOON, again).is_some());
    assert!(silent(&mut client));
    cable.set_middlebox(None);
    assert_eq!(read(&mut server), Ok(5));
}

#[test]
fn a_flow_that_leaks_is_reset_by_the_peers_own_kernel_which_keeps_its_connection() {
    requires_lab!();
    let Forgotten { mut client, mut server, lab } = Forgotten::then(Then::Leak);
    client.write_all(b"hello").unwrap();
    assert_eq!(read(&mut client), Err(ErrorKind::ConnectionReset));
    assert!(silent(&mut server));
    let resets = lab.cable(0).unwrap().frames(0);
    let reset = resets.iter().find(|seen| seen.frame.segment().is_some_and(|s| s.flags.rst));
    assert!(reset.is_some_and(|seen| seen.marks.readdressed), "{reset:?}");
}

#[test]
fn a_flow_is_picked_up_again_from_inside() {
    requires_lab!();
    let Forgotten { mut client, mut server, lab: _lab } = Forgotten::then(Then::PickUpOrRst);
    client.write_all(b"hello").unwrap();
    assert_eq!(read(&mut server), Ok(5));
    // From outside, the box's own kernel answers.
    let Forgotten { mut client, mut server, lab: _lab } = Forgotten::then(Then::PickUpOrRst);
    server.write_all(b"hello").unwrap();
    assert_eq!(read(&mut server), Err(ErrorKind::ConnectionReset));
    assert!(silent(&mut client));
}

#[test]
fn a_half_closed_flow_is_forgotten_first() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let (client, mut server) = connection(&lab);
    let cable = lab.cable(0).unwrap();
    cable.set_middlebox(Some(Middlebox {
        half_closed_after: Some(ms(100)),
        then: Then::RstOnPacket,
        ..Middlebox::default()
    }));
    client.shutdown(Shutdown::Write).unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(read(&mut server), Ok(0));
    let empty = || (cable.known_flows() == Some(0)).then_some(());
    assert!(wait::until(SOON, empty).is_some());
    server.write_all(b"the answer").unwrap();
    let reset = || server.take_error().unwrap().map(|error| error.kind());
    // The peer has closed, so the kernel calls it a broken pipe.
    assert_eq!(wait::until(SOON, reset), Some(ErrorKind::BrokenPipe));
}

#[test]
fn a_full_table_lets_no_new_connection_through() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let cable = lab.cable(0).unwrap();
    cable.set_middlebox(Some(Middlebox { max_flows: Some(1), ..Middlebox::default() }));
    let (client, server) = connection(&lab);
    let address = server.local_addr().unwrap();
    let second = lab.client().unwrap().enter(|| TcpStream::connect_timeout(&address, ms(200)));
    assert_eq!(second.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    let full = |fate| fate == Fate::Dropped(Loss::TableFull);
    assert!(cable.frames(0).iter().any(|seen| full(seen.fate)));
    drop((client, server));
}

/// Keepalive after a second, every second, dead after two.
fn keep_alive(socket: &TcpStream) {
    let second = Duration::from_secs(1);
    let keepalive = TcpKeepalive::new().with_time(second).with_interval(second).with_retries(2);
    SockRef::from(socket).set_tcp_keepalive(&keepalive).unwrap();
}

#[test]
fn a_box_that_eats_keepalive_probes_ends_a_connection_whose_peer_lives() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let (mut client, mut server) = connection(&lab);
    let cable = lab.cable(0).unwrap();
    let eater = Middlebox { keepalives: Keepalives::Drop, ..Middlebox::default() };
    cable.set_middlebox(Some(eater));
    keep_alive(&client);
    // Data passes all the same.
    client.write_all(b"hello").unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(read(&mut server), Ok(5));
    client.set_read_timeout(Some(SOON * 2)).unwrap();
    assert_eq!(read(&mut client), Err(ErrorKind::TimedOut));
    let eaten =
        cable.frames(0).iter().filter(|seen| seen.fate == Fate::Dropped(Loss::Keepalive)).count();
    assert_eq!(eaten, 2);
}

#[test]
fn a_box_that_answers_keepalive_probes_hides_a_dead_peer() {
    requires_lab!();
    let mut lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let (mut client, server) = connection(&lab);
    lab.cable(0)
        .unwrap()
        .set_middlebox(Some(Middlebox { keepalives: Keepalives::Answer, ..Middlebox::default() }));
    // The server's socket is this process's: without its cable it is as good as dead.
    lab.power_off("server").unwrap();
    keep_alive(&client);
    let cable = lab.cable(0).unwrap();
    let mut mark = 0;
    // Two unanswered probes would have ended it.
    for _ in 0..4 {
        let answered = cable.wait_for(mark, SOON, |seen| {
            seen.fate == Fate::Forged(Forgery::KeepaliveAnswer) && seen.from == End::Right
        });
        mark = answered.unwrap().number + 1;
    }
    assert!(client.take_error().unwrap().is_none());
    assert!(silent(&mut client));
    drop(server);
}
