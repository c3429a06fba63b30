//! Owns the Sample: what the kernel said of one socket at one moment, verbatim, with its source.
//! Draws no conclusions. Read: sock_diag(7), uapi/linux/inet_diag.h, linux net/ipv4/inet_diag.c.

use std::time::Duration;

use crate::{
    age,
    connection::{ConnectionId, Endpoints, Family},
    state::TcpState,
    tcp_info::TcpInfo,
};

/// A moment on CLOCK_BOOTTIME, as the time since the host booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub Duration);

impl Moment {
    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where a sample came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// A netlink dump of NETLINK_SOCK_DIAG.
    SockDiag,
    /// A BPF iterator.
    Bpf,
}

/// What the kernel said of one socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Who said it.
    pub source: Source,
    /// When it was said.
    pub taken_at: Moment,
    /// Which socket it was said of.
    pub id: ConnectionId,
    /// The family of the socket.
    pub family: Family,
    /// The 4-tuple.
    pub endpoints: Endpoints,
    /// `idiag_state`.
    pub state: TcpState,
    /// The one timer that sock_diag shows (`idiag_timer`, `idiag_retrans`, `idiag_expires`).
    pub timer: KernelTimer,
    /// `idiag_rqueue`: bytes that the application has not read, plus one for an unread FIN
    /// (for a listener: connections waiting in the accept queue).
    pub receive_queue: u32,
    /// `idiag_wqueue`: bytes not acknowledged or not sent, plus one for our FIN or SYN
    /// (for a listener: the longest accept queue allowed).
    pub send_queue: u32,
    /// `idiag_uid`; the kernel says 0 for sockets without a full socket, which is kept as `None`.
    pub uid: Option<u32>,
    /// `idiag_inode`; `None` where the kernel says 0: no file refers to the socket.
    pub inode: Option<u64>,
    /// INET_DIAG_CGROUP_ID: the cgroup v2 that the socket was made in.
    pub cgroup_id: Option<u64>,
    /// INET_DIAG_SHUTDOWN: which directions our application has ended, or has been told are ended.
    pub shutdown: Option<Shutdown>,
    /// INET_DIAG_INFO; absent for mini sockets.
    pub info: Option<TcpInfo>,
    /// What sock_diag does not show.
    pub inside: Inside,
}

/// What only a BPF iterator shows of a socket. With [`Source::SockDiag`] every field is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inside {
    /// Where both streams stand.
    pub sequence: Option<Sequence>,
    /// `icsk_pending`: which of its timers the retransmission timer stands for.
    pub pending: Option<PendingTimer>,
    /// SOCK_DEAD: no process will ever hold the socket again; the kernel finishes it alone. Not so
    /// for a connection that waits to be accepted, nor for one that the kernel itself holds.
    pub orphan: Option<bool>,
    /// `sk_err`: the error number that the application's next call will get; 0 is none.
    pub error: Option<u32>,
    /// `sk_err_soft`: what the path said (ICMP) without ending the connection; 0 is none.
    pub soft_error: Option<u32>,
    /// `retrans_stamp`: since the first retransmission of this episode, which is what
    /// `retransmits_timed_out` counts from. `None` also while nothing is sent again.
    pub retransmitting_for: Option<Duration>,
    /// `icsk_probes_tstamp`: since the timer of a shut window fired for the first time, which is
    /// what TCP_USER_TIMEOUT counts from. `None` also if it has not fired.
    pub window_probed_for: Option<Duration>,
    /// `num_timeout` of a connection request: how often its timer has fired, which ends it, also
    /// where no SYN-ACK was sent again (TCP_DEFER_ACCEPT).
    pub request_timeouts: Option<u8>,
}

/// Sequence numbers, as RFC 9293 section 3.3.1 names them and the kernel too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sequence {
    /// The oldest number of ours that is not acknowledged.
    pub snd_una: u32,
    /// The next number that we will send.
    pub snd_nxt: u32,
    /// The end of what the application has written.
    pub write_seq: u32,
    /// The next number that we expect of the peer.
    pub rcv_nxt: u32,
    /// The next number that the application will read.
    pub copied_seq: u32,
}

/// What the retransmission timer is armed for (ICSK_TIME_* of include/net/inet_connection_sock.h).
/// sock_diag calls all but the window probe a retransmission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PendingTimer {
    /// 0: it is not armed.
    Nothing,
    /// 1: a retransmission time-out, also of a SYN.
    Retransmission,
    /// 3: a probe of a shut window.
    WindowProbe,
    /// 5: a tail loss probe (RFC 8985 section 7).
    LossProbe {
        /// An earlier one is unanswered, so none will be sent: the timer turns into a time-out.
        again: bool,
    },
    /// 6: RACK waits whether segments were only reordered (RFC 8985 section 6.3).
    Reordering,
    /// A number that this version does not know.
    Other(u8),
}

impl PendingTimer {
    /// From `icsk_pending`, and whether a tail loss probe is unanswered (`tlp_high_seq`).
    pub const fn from_kernel(number: u8, loss_probe_out: bool) -> Self {
        match number {
            0 => Self::Nothing,
            1 => Self::Retransmission,
            3 => Self::WindowProbe,
            5 => Self::LossProbe { again: loss_probe_out },
            6 => Self::Reordering,
            other => Self::Other(other),
        }
    }
}

impl Sample {
    /// A socket that the kernel keeps in its small form, with no more than a timer: TIME-WAIT, a
    /// FIN-WAIT-2 that nobody owns, or a connection request.
    pub fn is_mini(&self) -> bool {
        self.info.is_none()
            && matches!(
                (self.state, self.timer),
                (TcpState::TimeWait | TcpState::SynReceived, _)
                    | (TcpState::FinWait2, KernelTimer::TimeWait { .. })
            )
    }

    /// How long ago the peer was last heard from: its last data or its last acceptable
    /// acknowledgement, whichever is later. `None` where the kernel does not say. On a host that is
    /// up for long it may be longer ago, see [`crate::Observation::last_heard_may_have_wrapped`].
    pub fn last_heard(&self) -> Option<Duration> {
        // tcp_keepalive_timer judges by the same two clocks (keepalive_time_elapsed).
        if matches!(self.state, TcpState::SynSent | TcpState::Listen) {
            return None;
        }
        let info = self.info.as_ref()?;
        let possible = |age: Option<Duration>| age::possible(age?, self.taken_at);
        match (possible(info.last_data_received), possible(info.last_ack_received)) {
            (Some(data), Some(ack)) => Some(data.min(ack)),
            (one, other) => one.or(other),
        }
    }

    /// Segments that wait for an acknowledgement. A FIN counts.
    pub fn unacked_segments(&self) -> Option<u32> {
        self.info.as_ref()?.unacked_segments
    }

    /// Something of ours waits for the peer: data, a SYN or a FIN. `None` where the kernel does not say.
    pub fn in_flight(&self) -> Option<bool> {
        self.unacked_segments().map(|segments| segments > 0)
    }
}

/// `sk_shutdown`: RCV_SHUTDOWN (1) and SEND_SHUTDOWN (2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Shutdown {
    /// The receiving direction is over: the peer sent FIN, or our application called shutdown(SHUT_RD).
    pub receive: bool,
    /// The sending direction is over: our application closed or called shutdown(SHUT_WR).
    pub send: bool,
}

/// The timer that sock_diag shows: one only, the first that is pending of retransmission, window
/// probe, keepalive. So `Retransmit` and `WindowProbe` *hide* whether keepalive is on.
/// `expires_in` is the nominal expiry; the timer wheel fires up to an eighth of the interval later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KernelTimer {
    /// 0: nothing is pending.
    Off,
    /// 1: retransmission, or one of its kin (RACK reordering, tail loss probe, SYN and SYN-ACK).
    Retransmit {
        /// `icsk_retransmits`: time-outs in a row so far.
        retransmits: u8,
        /// Until the nominal expiry.
        expires_in: Duration,
    },
    /// 2: the keepalive timer. Also the first phase of FIN-WAIT-2 without an owner.
    Keepalive {
        /// `icsk_probes_out`: probes without an answer so far.
        probes: u8,
        /// Until the timer fires next; not the same as the next probe, since it is re-armed lazily.
        expires_in: Duration,
    },
    /// 3: the remaining life of a mini socket.
    TimeWait {
        /// Until the nominal expiry.
        expires_in: Duration,
    },
    /// 4: the zero-window probe ("persist") timer.
    WindowProbe {
        /// `icsk_probes_out`: probes since the peer's last acknowledgement.
        probes: u8,
        /// Until the nominal expiry.
        expires_in: Duration,
    },
    /// A number that this version does not know (5 is a delayed acknowledgement on newer kernels).
    Other {
        /// `idiag_timer`.
        kind: u8,
        /// Until the nominal expiry.
        expires_in: Duration,
    },
}

impl KernelTimer {
    /// From the three fields of `inet_diag_msg`.
    pub const fn from_kernel(kind: u8, count: u8, expires_ms: u32) -> Self {
        let expires_in = Duration::from_millis(expires_ms as u64);
        match kind {
            0 => Self::Off,
            1 => Self::Retransmit { retransmits: count, expires_in },
            2 => Self::Keepalive { probes: count, expires_in },
            3 => Self::TimeWait { expires_in },
            4 => Self::WindowProbe { probes: count, expires_in },
            kind => Self::Other { kind, expires_in },
        }
    }
}
