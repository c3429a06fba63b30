//! The relay as an operator starts it: peers that vanish behind a cable, ends that are killed, and
//! what it costs. What each side is told otherwise is tested in `crates/relay/tests`.

mod cost;
mod killed;
mod operation;
mod supervised;
mod tls;
mod vanish;

use std::{
    io::{ErrorKind, Read as _},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Far longer than anything here takes that has no time of its own.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Fin,
    Rst,
    /// Nothing came for as long as was waited.
    Open,
}

/// Reads until it ends, or until nothing came for `patience`: what there was, and how it ended.
#[track_caller]
fn rest(stream: &mut TcpStream, patience: Duration) -> (Vec<u8>, End) {
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut bytes = Vec::new();
    let end = match stream.read_to_end(&mut bytes) {
        Ok(_) => End::Fin,
        Err(error) => match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => End::Rst,
            ErrorKind::WouldBlock => End::Open,
            _ => panic!("{error}"),
        },
    };
    (bytes, end)
}

/// Waits until it holds.
#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
