//! Owns the nudge: the kernel is made to ask the peer now, by one keepalive probe, on a socket of our
//! own. Without privilege; the application's bytes are untouched, and the options are given back.
//! Read: linux net/ipv4/tcp.c `tcp_sock_set_keepidle_locked`, tcp_timer.c `tcp_keepalive_timer`.

use std::{io, os::fd::BorrowedFd};

use crate::journal::entry::{Keepalive, Was};

/// The options as they were before a nudge. They have to be given back soon: as long as the nudge
/// lasts, the kernel probes every TCP_KEEPINTVL and does not give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the options that the nudge has changed have to be given back"]
pub struct Nudge(Keepalive);

/// Makes the kernel send one keepalive probe with its next tick, if the peer was not heard for a second
/// and nothing is in flight; otherwise no probe goes out, and other traffic asks already.
///
/// # Errors
/// What getsockopt(2) and setsockopt(2) answer; what was changed until then is given back.
pub fn nudge(socket: BorrowedFd<'_>) -> io::Result<Nudge> {
    let was = Keepalive::read(socket)?;
    // `halfopen prove` has just asked, and gives back what it found.
    if was.is_shot() {
        return Ok(Nudge(was));
    }
    match was.shoot(socket) {
        Ok(()) => Ok(Nudge(was)),
        Err(cause) => {
            // A socket that refuses both ways is gone, which the caller learns from `cause`.
            let _ = Was::Keepalive(was).put_back(socket);
            Err(cause)
        }
    }
}

impl Nudge {
    /// Gives the options back.
    ///
    /// # Errors
    /// What getsockopt(2) and setsockopt(2) answer.
    pub fn give_back(self, socket: BorrowedFd<'_>) -> io::Result<()> {
        Was::Keepalive(self.0).put_back(socket).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::AsFd as _,
        thread,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::{options, own::tcp_info};

    #[test]
    fn a_quiet_peer_answers_a_nudge_and_the_options_are_as_before() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _server = listener.accept().unwrap();
        let before = options::read(client.as_fd()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let quiet_for =
            |span: Duration| tcp_info(client.as_fd()).unwrap().last_ack_received.unwrap() >= span;
        while !quiet_for(Duration::from_millis(1100)) {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(20));
        }
        let nudged = nudge(client.as_fd()).unwrap();
        while quiet_for(Duration::from_millis(1000)) {
            assert!(Instant::now() < deadline, "no answer");
            thread::yield_now();
        }
        nudged.give_back(client.as_fd()).unwrap();
        assert_eq!(options::read(client.as_fd()).unwrap(), before);
    }
}
