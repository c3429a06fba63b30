//! Goal: each fault of a link, as a real kernel meets it. Method: a connection whose both ends this
//! process holds; bytes have to arrive whole however bad the link, and the cable has to tell what it did.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use halfopen_lab::{
    End, Fate, FrameSeen, Host, Lab, Loss, Topology,
    wire::{Direction, Link, Rate},
};

use crate::{
    cable::{SOON, connection},
    requires_lab,
};

/// 200 kB: a hundred and forty full segments.
const BULK: usize = 200_000;

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Sends [`BULK`] bytes through a cable with this link in force, and says how long they took and
/// what became of all frames.
fn bulk_through(link: Link) -> (Duration, Vec<FrameSeen>) {
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let (mut client, mut server) = connection(&lab);
    lab.cable(0).unwrap().set_link(Direction::Both, link);
    let sent: Vec<u8> = (0..BULK).map(|n| (n % 251) as u8).collect();
    let mut arrived = vec![0; BULK];
    // Enough for many retransmission time-outs on a busy machine.
    server.set_read_timeout(Some(SOON * 6)).unwrap();
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| client.write_all(&sent).unwrap());
        server.read_exact(&mut arrived).unwrap();
    });
    let took = began.elapsed();
    assert!(arrived == sent, "the bytes that arrived are others");
    (took, lab.cable(0).unwrap().frames(0))
}

/// Sends a byte there and a byte back, and says how long that took.
fn round_trip(client: &TcpStream, server: &TcpStream) -> Duration {
    let began = Instant::now();
    for (mut from, mut to) in [(client, server), (server, client)] {
        from.write_all(b"x").unwrap();
        to.set_read_timeout(Some(SOON)).unwrap();
        to.read_exact(&mut [0]).unwrap();
    }
    began.elapsed()
}

/// A counter of the host's TCP, as a file of /proc/PID/net has it: a row of names, and one of numbers.
pub(crate) fn counter(host: &Host, file: &str, row: &str, name: &str) -> u64 {
    let path = format!("/proc/{}/net/{file}", host.pid().unwrap());
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows =
        text.lines().filter_map(|line| line.strip_prefix(row)).map(str::split_whitespace);
    let (names, numbers) = (rows.next().unwrap(), rows.next().unwrap());
    let (_, number) = names.zip(numbers).find(|(there, _)| *there == name).unwrap();
    number.parse().unwrap()
}

#[test]
fn a_delay_is_met_twice_in_each_round_trip() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let (client, server) = connection(&lab);
    let link = Link { delay: ms(25), jitter: ms(5), ..Link::default() };
    lab.cable(0).unwrap().set_link(Direction::Both, link);
    let took = round_trip(&client, &server);
    assert!(took >= ms(40), "{took:?}");
}

#[test]
fn a_slow_link_takes_as_long_as_its_rate_says() {
    requires_lab!();
    // 200 kB at 8 Mbit/s are 0.2 s; the queue is long enough to lose nothing.
    let rate = Some(Rate { bits_per_second: 8_000_000, queue: 1_000_000 });
    let (took, frames) = bulk_through(Link { rate, ..Link::default() });
    // The last frame leaves the queue when all before it have.
    assert!(took >= ms(190), "{took:?}");
    assert!(frames.iter().all(|seen| seen.fate == Fate::Delivered));
}

#[test]
fn a_short_queue_drops_and_tcp_repairs_it() {
    requires_lab!();
    let rate = Some(Rate { bits_per_second: 20_000_000, queue: 8_000 });
    let (_, frames) = bulk_through(Link { rate, ..Link::default() });
    assert!(frames.iter().any(|seen| seen.fate == Fate::Dropped(Loss::QueueFull)));
}

#[test]
fn tcp_repairs_what_a_link_loses_one_by_one_and_in_bursts() {
    requires_lab!();
    for burst in [1.0, 3.0] {
        let (_, frames) = bulk_through(Link { loss: 5.0, burst, seed: 11, ..Link::default() });
        assert!(frames.iter().any(|seen| seen.fate == Fate::Dropped(Loss::Chance)), "{burst}");
    }
}

#[test]
fn frames_that_come_twice_late_or_bent_do_no_harm() {
    requires_lab!();
    let link = Link { duplicate: 10.0, reorder: 10.0, corrupt: 5.0, seed: 5, ..Link::default() };
    let (_, frames) = bulk_through(link);
    let some = |wanted: fn(&FrameSeen) -> bool| frames.iter().any(wanted);
    assert!(some(|seen| seen.marks.duplicated));
    assert!(some(|seen| seen.marks.reordered));
    assert!(some(|seen| seen.marks.corrupted));
}

#[test]
fn the_receiving_kernel_finds_the_bit_that_was_turned_over() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let (mut client, mut server) = connection(&lab);
    let bent = Link { corrupt: 100.0, ..Link::default() };
    lab.cable(0).unwrap().set_link(Direction::From(End::Left), bent);
    client.write_all(b"hello").unwrap();
    server.set_read_timeout(Some(ms(300))).unwrap();
    assert_eq!(server.read(&mut [0; 5]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_ne!(counter(lab.server().unwrap(), "snmp", "Tcp:", "InCsumErrors"), 0);
    lab.cable(0).unwrap().mend();
    server.set_read_timeout(Some(SOON)).unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
}

#[test]
fn a_black_hole_lets_the_handshake_and_small_talk_pass_and_swallows_full_segments() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let cable = lab.cable(0).unwrap();
    cable.set_link(Direction::Both, Link { mtu: Some(1400), ..Link::default() });
    let (mut client, mut server) = connection(&lab);
    round_trip(&client, &server);
    let mark = cable.next_number();
    client.write_all(&[7; 5_000]).unwrap();
    let swallowed = cable.wait_for(mark, SOON, |seen| seen.fate == Fate::Dropped(Loss::TooLong));
    assert!(swallowed.is_some());
    let icmp = |seen: &FrameSeen| seen.frame.segment().is_none();
    assert!(!cable.frames(mark).iter().any(icmp), "somebody told the sender");
    cable.mend();
    server.set_read_timeout(Some(SOON)).unwrap();
    server.read_exact(&mut [0; 5_000]).unwrap();
}

#[test]
fn a_cable_cut_in_one_direction_carries_the_other() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let (mut client, mut server) = connection(&lab);
    let cable = lab.cable(0).unwrap();
    cable.cut_from(End::Right);
    client.write_all(b"hello").unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    // It was heard, and the client does not know: it sends again.
    let again = |seen: &FrameSeen| seen.frame.segment().is_some_and(|s| s.payload == 5);
    let first = cable.wait_for(0, SOON, again).unwrap();
    assert!(cable.wait_for(first.number + 1, SOON, again).is_some());
    client.shutdown(Shutdown::Both).unwrap();
}

#[test]
fn what_is_on_its_way_from_a_host_that_is_unplugged_never_arrives() {
    requires_lab!();
    let lab = Lab::build(Topology::lan_without_arp()).unwrap();
    let (mut client, mut server) = connection(&lab);
    let cable = lab.cable(0).unwrap();
    // Longer than it takes to unplug, on the busiest machine.
    let link = Link { delay: Duration::from_secs(60), ..Link::default() };
    cable.set_link(Direction::From(End::Left), link);
    client.write_all(b"hello").unwrap();
    let data = |seen: &FrameSeen| seen.frame.segment().is_some_and(|s| s.payload == 5);
    let seen = cable.wait_for(0, SOON, data).unwrap();
    assert_eq!((seen.fate, seen.marks.held), (Fate::Delivered, link.delay));
    cable.unplug(End::Left);
    let lost = cable.frames(seen.number).remove(0);
    assert_eq!(lost.fate, Fate::Dropped(Loss::Unplugged));
    server.set_read_timeout(Some(ms(100))).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}
