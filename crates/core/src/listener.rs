//! Owns the model of a listener's queues. Read: listen(2), RFC 9293 section 3.10.1.

use std::net::SocketAddr;

use crate::connection::NetnsId;

/// A listening socket and its two queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The namespace it listens in.
    pub netns: NetnsId,
    /// The address and port it listens on.
    pub local: SocketAddr,
    /// Connections that are established and wait for accept() (`idiag_rqueue`).
    pub accept_queue: u32,
    /// The longest accept queue allowed (`idiag_wqueue`); one more is accepted than this says.
    pub backlog: u32,
    /// Embryonic connections: SYN received, the handshake not finished. `None` at a connection that is
    /// not one of them, which may be judged before all are counted.
    pub embryonic: Option<u32>,
    /// TCP_SYNCNT of the listener, if its options were read: retries of its SYN-ACKs.
    pub syn_retries: Option<u32>,
    /// TCP_DEFER_ACCEPT of the listener, if its options were read, in seconds; 0 is off.
    pub defer_accept_s: Option<u32>,
}

impl Listener {
    /// No more connections fit: the kernel drops SYNs and final ACKs (sk_acceptq_is_full).
    pub const fn is_full(&self) -> bool {
        self.accept_queue > self.backlog
    }

    /// Whether a connection whose local end is `local` was accepted by this listener.
    pub fn covers(&self, local: SocketAddr) -> bool {
        let (own, theirs) = (self.local.ip().to_canonical(), local.ip().to_canonical());
        self.local.port() == local.port() && (own.is_unspecified() || own == theirs)
    }
}
