//! Owns a relay with an upstream, and what tests see at both ends of a pair.

use std::{
    io::{self, ErrorKind, Read as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use halfopen_core::detection::Tick;
use halfopen_relay::{
    Balance, Ending, Gauges, Listen, Liveness, Notice, Plan, Record, Relay, Service,
};
use rustix::net::sockopt;

/// Far longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A relay on the loopback, and the listener of its upstream.
pub(crate) struct Stage {
    relay: Option<Relay>,
    pub(crate) plan: Plan,
    pub(crate) notices: Receiver<Notice>,
    pub(crate) upstream: TcpListener,
    pub(crate) address: SocketAddr,
}

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Rst,
    /// Nothing came for as long as was waited.
    Open,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// As [`Stage::new`], with another plan.
    pub(crate) fn with(change: impl FnOnce(&mut Plan)) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::in_front_of(upstream, change)
    }

    pub(crate) fn in_front_of(upstream: TcpListener, change: impl FnOnce(&mut Plan)) -> Self {
        let mut plan = Plan {
            services: vec![service(upstream.local_addr().unwrap())],
            workers: 1,
            max_connections: Some(2000),
            max_buffers: 4096,
        };
        change(&mut plan);
        let (relay, notices) = Relay::start(&plan, Vec::new()).unwrap();
        let address = relay.addresses()[0];
        Self { relay: Some(relay), plan, notices, upstream, address }
    }

    pub(crate) fn relay(&mut self) -> &mut Relay {
        self.relay.as_mut().unwrap()
    }

    pub(crate) fn gauges(&self) -> Gauges {
        self.relay.as_ref().unwrap().gauges()
    }

    /// A client of the relay.
    pub(crate) fn client(&self) -> TcpStream {
        patient(TcpStream::connect(self.address).unwrap())
    }

    /// A client and the connection that the relay made for it.
    pub(crate) fn pair(&self) -> (TcpStream, TcpStream) {
        let client = self.client();
        (client, self.accepted())
    }

    /// The same, the other way round if `swapped`.
    pub(crate) fn ends(&self, swapped: bool) -> (TcpStream, TcpStream) {
        let (client, upstream) = self.pair();
        if swapped { (upstream, client) } else { (client, upstream) }
    }

    pub(crate) fn accepted(&self) -> TcpStream {
        patient(self.upstream.accept().unwrap().0)
    }

    /// What the relay says of the next pair that ends.
    #[track_caller]
    pub(crate) fn record(&self) -> Record {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.notices.recv_timeout(left).expect("a pair ends") {
                Notice::Ended(record) => return record,
                _ => continue,
            }
        }
    }

    #[track_caller]
    pub(crate) fn ending(&self) -> Ending {
        self.record().ending
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(relay) = self.relay.take() {
            let stopped = relay.stop();
            assert!(std::thread::panicking() || stopped.is_ok(), "{stopped:?}");
        }
    }
}

/// A service on any port of the loopback.
pub(crate) fn service(upstream: SocketAddr) -> Service {
    let tick = Tick::from_hz(250);
    let liveness = Liveness::new(Duration::from_secs(30), None, tick).unwrap();
    Service {
        name: "test".into(),
        listen: Listen::On("127.0.0.1:0".parse().unwrap()),
        upstreams: vec![upstream],
        balance: Balance::InOrder,
        client: liveness,
        upstream: liveness,
        connect_timeout: Duration::from_secs(5),
        check_every: None,
        half_closed_idle: None,
        header_in: false,
        header_out: None,
        tls: None,
    }
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Ends a connection with RST.
pub(crate) fn reset(stream: TcpStream) {
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Reads to the end; how many bytes there were, and how it ended.
#[track_caller]
pub(crate) fn rest(stream: &mut TcpStream) -> (usize, End) {
    let mut bytes = 0;
    let mut part = vec![0; 1 << 16];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return (bytes, End::Fin),
            Ok(length) => bytes += length,
            Err(error) => return (bytes, end_of(&error)),
        }
    }
}

#[track_caller]
fn end_of(error: &io::Error) -> End {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => End::Rst,
        ErrorKind::WouldBlock => End::Open,
        _ => panic!("{error}"),
    }
}

/// What comes within this time: an end, or nothing.
#[track_caller]
pub(crate) fn within(stream: &mut TcpStream, time: Duration) -> (usize, End) {
    stream.set_read_timeout(Some(time)).unwrap();
    let seen = rest(stream);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    seen
}

/// Waits until it holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Waits until writing to this socket tells that the peer has reset it.
#[track_caller]
pub(crate) fn is_told_by_rst(stream: &mut TcpStream) {
    use std::io::Write as _;
    eventually("the writer is told", || match stream.write(b"x") {
        Ok(_) => false,
        Err(error) => end_of(&error) == End::Rst,
    });
}
