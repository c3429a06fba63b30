//! Options are set by BPF on exactly the sockets that are named. Goal: nothing else is ever touched,
//! an orphan's timer least of all. Method: a namespace with one connection of each kind, all named.

use std::{
    io::Write,
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::AsFd,
};

use halfopen_core::{ConnectionId, Cookie, NetnsId, TcpState, keeping::KeepOptions};
use halfopen_sys::{
    Scope, SocketDiag, Sources,
    bpf::keep::Keeper,
    options,
    set_options::{NotSet, Setting},
    survey_from,
};
use rustix::net::sockopt;

use crate::{elsewhere::Elsewhere, eventually};

const WANTED: KeepOptions =
    KeepOptions { keepalive: true, idle_s: 600, interval_s: 10, probes: 3, user_timeout_ms: 1_000 };

struct Sockets {
    listener: TcpListener,
    established: TcpStream,
    close_wait: TcpStream,
    fin_wait_2: TcpStream,
    _others: [TcpStream; 2],
}

impl Sockets {
    fn of_every_kind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pair = || {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (client, listener.accept().unwrap().0)
        };
        let (established, other) = pair();
        let (fin_wait_2, close_wait) = pair();
        fin_wait_2.shutdown(Shutdown::Write).unwrap();
        // An orphan that waits for longer than a minute is a whole socket, on the keepalive timer.
        let (orphan, mut kept_open) = pair();
        kept_open.write_all(b"x").unwrap();
        std::io::Read::read_exact(&mut &orphan, &mut [0]).unwrap();
        std::fs::write("/proc/sys/net/ipv4/tcp_fin_timeout", "120").unwrap();
        drop(orphan);
        Self { listener, established, close_wait, fin_wait_2, _others: [other, kept_open] }
    }
}

fn id(socket: &impl AsFd, netns: NetnsId) -> ConnectionId {
    ConnectionId { cookie: Cookie(sockopt::socket_cookie(socket.as_fd()).unwrap()), netns }
}

fn now(socket: &impl AsFd) -> KeepOptions {
    KeepOptions::of(&options::read(socket.as_fd()).unwrap()).unwrap()
}

#[test]
fn only_open_connections_that_are_named_and_unchanged_are_set_and_the_way_back_is_exact() {
    let Some(elsewhere) = Elsewhere::start() else { return };
    let netns = elsewhere.netns();
    let sockets = netns.enter(Sockets::of_every_kind).unwrap();
    let scope = Scope::Named(elsewhere.pid().to_string());
    let orphan = eventually("an orphan in FIN-WAIT-2", || {
        let survey = survey_from(&scope, Sources::Bpf).unwrap();
        survey.observations.into_iter().find(|seen| {
            seen.sample.state == TcpState::FinWait2
                && seen.sample.inode.is_none()
                && seen.options.read().is_some()
        })
    });
    let before = now(&sockets.established);
    let ids = [
        id(&sockets.established, netns.id()),
        id(&sockets.close_wait, netns.id()),
        id(&sockets.fin_wait_2, netns.id()),
        id(&sockets.listener, netns.id()),
        orphan.sample.id,
        ConnectionId { cookie: Cookie(u64::MAX), netns: netns.id() },
    ];
    let keeper = Keeper::open(ids.len()).unwrap();
    let set = |expected, wanted| {
        let settings = ids.map(|id| Setting { id, expected, wanted });
        netns.enter(|| keeper.set(&settings)).unwrap().unwrap()
    };
    let outcomes = set(before, WANTED);
    let not_open = || Err(NotSet::NotOpen);
    // The iterator over listeners comes first and is met too; it is no connection.
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(()), not_open(), not_open(), Err(NotSet::Gone)]);
    for socket in [&sockets.established, &sockets.close_wait, &sockets.fin_wait_2] {
        assert_eq!(now(socket), WANTED);
    }
    assert_eq!(now(&sockets.listener), before);
    let after = netns.enter(|| SocketDiag::open().unwrap().dump().unwrap()).unwrap();
    let still = after.samples.iter().find(|sample| sample.id == orphan.sample.id).unwrap();
    assert!(format!("{:?}", still.timer).contains("Keepalive"), "{still:?}");

    // What the application has set meanwhile stays.
    sockopt::set_tcp_keepcnt(&sockets.close_wait, 7).unwrap();
    let outcomes = set(WANTED, before);
    assert_eq!(outcomes[..3], [Ok(()), Err(NotSet::Changed), Ok(())]);
    assert_eq!(now(&sockets.established), before);
    assert_eq!(now(&sockets.fin_wait_2), before);
    assert_eq!(now(&sockets.close_wait).probes, 7);
}
