use std::{
    io::Read as _,
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use halfopen_core::{Cookie, NetnsId};

use super::*;
use crate::{SocketDiag, netns::Netns};

struct Connection {
    client: TcpStream,
    server: TcpStream,
    listener: TcpListener,
}

impl Connection {
    fn make() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        Self { client, server, listener }
    }
}

fn target(socket: &impl std::os::fd::AsFd, endpoints: Endpoints) -> Target {
    let cookie = Cookie(sockopt::socket_cookie(socket).unwrap());
    Target {
        id: ConnectionId { cookie, netns: NetnsId(Netns::current().unwrap().id().0) },
        pid: std::process::id(),
        fd: u32::try_from(socket.as_fd().as_raw_fd()).unwrap(),
        inode: None,
        family: Family::V4,
        endpoints,
        reuse_address: None,
    }
}

fn of(stream: &TcpStream) -> Target {
    let (local, peer) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    target(stream, Endpoints { local, peer, interface: None })
}

fn heard(diag: &mut SocketDiag, target: &Target) -> u32 {
    let sample = diag.look_up(target.family, &target.endpoints, target.id.cookie).unwrap();
    sample.unwrap().info.unwrap().segments_received.unwrap()
}

/// Whether the peer's answer comes.
fn is_answered(diag: &mut SocketDiag, target: &Target, before: u32) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        if heard(diag, target) != before {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_window_probe_is_answered_and_leaves_the_address_as_reusable_as_before() {
    if !is_root() {
        return;
    }
    let connection = Connection::make();
    let mut diag = SocketDiag::open().unwrap();
    let mut prober = Prober::new().unwrap();
    for (stream, reuse) in [(&connection.client, false), (&connection.server, true)] {
        sockopt::set_socket_reuseaddr(stream, reuse).unwrap();
        let target = of(stream);
        let before = heard(&mut diag, &target);
        let sent = prober.window_probes(&[target]).unwrap();
        assert!(sent[0].is_ok(), "{sent:?}");
        assert!(is_answered(&mut diag, &target, before));
        assert_eq!(sockopt::socket_reuseaddr(stream), Ok(reuse));
    }
}

#[test]
fn an_option_that_was_set_since_it_was_read_is_not_lost() {
    if !is_root() {
        return;
    }
    let connection = Connection::make();
    sockopt::set_socket_reuseaddr(&connection.client, true).unwrap();
    let stale = Target { reuse_address: Some(false), ..of(&connection.client) };
    let sent = Prober::new().unwrap().window_probes(&[stale]).unwrap();
    assert!(matches!(sent[0], Err(ProbeError::NotSent)), "{sent:?}");
    assert_eq!(sockopt::socket_reuseaddr(&connection.client), Ok(true));
}

#[test]
fn a_one_shot_is_answered_and_leaves_every_option_as_it_was() {
    let connection = Connection::make();
    let stream = &connection.client;
    sockopt::set_tcp_user_timeout(stream, 45_000).unwrap();
    connection.server.shutdown(std::net::Shutdown::Write).unwrap();
    let target = of(stream);
    let mut diag = SocketDiag::open().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    // Keepalive waits for a second of silence.
    while Instant::now() < deadline {
        let sample = diag.look_up(target.family, &target.endpoints, target.id.cookie).unwrap();
        if sample.unwrap().last_heard().unwrap() > Duration::from_secs(1) {
            break;
        }
        std::thread::yield_now();
    }
    let before = (crate::options::read(stream.as_fd()).unwrap(), heard(&mut diag, &target));
    let sent = Prober::new().unwrap().keepalive_shots(&[target], &mut diag).unwrap();
    assert!(sent[0].is_ok(), "{sent:?}");
    assert!(is_answered(&mut diag, &target, before.1));
    assert_eq!(crate::options::read(stream.as_fd()).unwrap(), before.0);
}

#[test]
fn a_listener_and_another_socket_are_never_touched() {
    let connection = Connection::make();
    let local = connection.listener.local_addr().unwrap();
    let ends = Endpoints { local, peer: local, interface: None };
    let listener = target(&connection.listener, ends);
    let other = Target { fd: listener.fd, ..of(&connection.client) };
    let sent = Prober::new().unwrap().window_probes(&[listener, other]).unwrap();
    assert!(matches!(sent[0], Err(ProbeError::Listener)), "{sent:?}");
    assert!(matches!(sent[1], Err(ProbeError::Reach(_))), "{sent:?}");
}

#[test]
fn the_end_of_a_connection_is_read_without_taking_the_error_from_its_application() {
    let connection = Connection::make();
    let target = of(&connection.client);
    let mut prober = Prober::new().unwrap();
    assert_eq!(prober.ending(&target), Ending::Lives);
    sockopt::set_socket_linger(&connection.server, Some(Duration::ZERO)).unwrap();
    drop(connection.server);
    let deadline = Instant::now() + Duration::from_secs(5);
    while prober.ending(&target) == Ending::Lives && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(prober.ending(&target), Ending::WithError);
    let told = (&connection.client).read(&mut [0]).unwrap_err();
    assert_eq!(told.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(prober.ending(&target), Ending::Told);
    drop(connection.client);
    assert_eq!(prober.ending(&target), Ending::NoDescriptor);
}
