//! Upstreams that refuse, that do not answer, that are down: who is tried, and what the client is told.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use halfopen_relay::{Balance, Cause, Ending, Notice, Side, UpstreamStanding};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use crate::stage::{End, Stage, eventually, rest};

/// An upstream that answers no connection request, and what it waits for: once these are gone and
/// accepted, it answers again.
pub(crate) fn stage_with_a_full_backlog(timeout: Duration) -> (Stage, Vec<TcpStream>) {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let socket = socket.unwrap();
    bind(&socket, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listen(&socket, 0).unwrap();
    let upstream = TcpListener::from(socket);
    let address = upstream.local_addr().unwrap();
    let mut blockers = Vec::new();
    // The kernel lets one more in than the backlog says.
    while let Ok(blocker) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        blockers.push(blocker);
    }
    let stage = Stage::in_front_of(upstream, |plan| plan.services[0].connect_timeout = timeout);
    (stage, blockers)
}

#[test]
fn a_refused_connection_is_told_by_a_reset_at_once() {
    let refuses = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stage = Stage::with(|plan| plan.services[0].upstreams = vec![refuses]);
    let mut client = stage.client();
    assert_eq!(rest(&mut client), (0, End::Rst));
    let ending = Ending::Broken { side: Some(Side::Upstream), cause: Cause::Refused };
    assert_eq!(stage.ending(), ending);
}

#[test]
fn an_upstream_that_does_not_answer_is_told_by_a_reset_after_the_timeout() {
    let (stage, _blockers) = stage_with_a_full_backlog(Duration::from_millis(400));
    let mut client = stage.client();
    assert_eq!(rest(&mut client), (0, End::Rst));
    let record = stage.record();
    let cause = Cause::ConnectTimeout;
    assert_eq!(record.ending, Ending::Broken { side: Some(Side::Upstream), cause });
    assert!(record.lasted >= Duration::from_millis(400), "{:?}", record.lasted);
}

#[test]
fn the_next_takes_over_where_the_first_refuses_and_gives_back_once_it_is_up() {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = first.local_addr().unwrap();
    drop(first);
    let stage = Stage::with(|plan| plan.services[0].upstreams.insert(0, address));
    let mut client = stage.client();
    let mut reserve = stage.accepted();
    client.write_all(b"x").unwrap();
    reserve.read_exact(&mut [0]).unwrap();
    let standing = || stage.gauges().upstreams().into_iter().find(|(at, _)| *at == address);
    eventually("it is known to be down", || {
        standing().is_some_and(|(_, standing)| standing == UpstreamStanding::Down)
    });
    let first = TcpListener::bind(address).unwrap();
    eventually("it is known to be up", || {
        standing().is_some_and(|(_, standing)| standing == UpstreamStanding::Up)
    });
    let up = Notice::Upstream { upstream: address, standing: UpstreamStanding::Up };
    assert!(stage.notices.try_iter().any(|notice| notice == up));
    // The check itself, and then a client.
    drop(first.accept().unwrap());
    let _client = stage.client();
    first.accept().unwrap();
}

/// Goal: no client pays for an upstream that died while nobody used it. Method: it goes when its check was
/// let in, and whoever comes once the next one was not is relayed to the reserve, without being refused first.
#[test]
fn one_that_dies_while_nobody_uses_it_is_known_to_be_down_before_a_client_comes() {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = first.local_addr().unwrap();
    let stage = Stage::with(|plan| {
        plan.services[0].upstreams.insert(0, address);
        plan.services[0].check_every = Some(Duration::from_millis(100));
    });
    let standing = || stage.gauges().upstreams().into_iter().find(|(at, _)| *at == address);
    eventually("it was checked twice", || stage.gauges().checks_let_in() >= 4);
    drop(first);
    eventually("it is known to be down", || {
        standing().is_some_and(|(_, standing)| standing == UpstreamStanding::Down)
    });
    let kept_out = stage.gauges().checks_kept_out();
    assert!(kept_out >= 1 && stage.gauges().totals().accepted == 0);
    // Checks of the reserve come here too, and say nothing.
    let mut client = stage.client();
    client.write_all(b"x").unwrap();
    eventually("the reserve has the client", || {
        let mut accepted = stage.accepted();
        matches!(accepted.read(&mut [0]), Ok(1))
    });
}

#[test]
fn those_that_are_up_take_turns() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let stage = Stage::with(|plan| {
        plan.services[0].upstreams.push(other.local_addr().unwrap());
        plan.services[0].balance = Balance::RoundRobin;
    });
    for _ in 0..3 {
        let _one = stage.client();
        let _another = stage.client();
        stage.accepted();
        other.accept().unwrap();
    }
}
