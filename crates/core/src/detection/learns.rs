//! Owns the words of a prediction: when, by which rule, who is told what, and what was assumed.
//! Read: linux net/ipv4/tcp_timer.c (`tcp_write_err`, `tcp_keepalive_timer`), docs/glossary.md.

use std::{fmt, sync::Arc};

use super::wheel::Interval;

/// The detection time of one connection: two hypothetical values and, where something already
/// waits for the peer, a countdown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectionTime {
    /// The peer vanishes now, with nothing in flight.
    pub idle: Learns,
    /// The peer vanishes now, and our application writes.
    pub busy: Learns,
    /// What runs already: data, a FIN, a SYN or probes are unanswered, or the kernel is finishing
    /// the connection alone. `None` if nothing is running out.
    pub now: Option<Learns>,
}

/// When the kernel ends the connection, and thereby tells its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Learns {
    /// No timer runs that could end it.
    Never(NeverBecause),
    /// The kernel gives up within this interval from the sample.
    Within(Prediction),
    /// Not enough was seen to say; the reason fits after "unknown: ".
    Unknown(Arc<str>),
    /// The question does not arise; the reason fits after "does not apply: ".
    NotApplicable(&'static str),
}

/// Why no timer would ever end a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeverBecause {
    /// Keepalive is off and nothing is in flight.
    KeepaliveOff,
    /// The peer answers window probes, and RFC 9293 section 3.8.6.1 lets it do so for ever.
    PeerHoldsWindowShut,
}

/// When and how the kernel ends a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// Counted from the moment of the sample.
    pub within: Interval,
    /// Which of the kernel's rules ends it.
    pub cause: Cause,
    /// What the application is told.
    pub application: AppTold,
    /// What goes to the peer.
    pub peer: PeerTold,
    /// What was assumed because it could not be seen. Empty: nothing.
    pub assumes: Assumptions,
}

/// The kernel's rule that ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Unacknowledged data or FIN, `tcp_retries2` (tcp_write_timeout).
    Retransmission,
    /// Unacknowledged data or FIN, TCP_USER_TIMEOUT (tcp_write_timeout).
    UserTimeout,
    /// Keepalive probes unanswered (tcp_keepalive_timer).
    Keepalive,
    /// Keepalive with TCP_USER_TIMEOUT, which replaces the probe count (tcp_keepalive_timer).
    KeepaliveUserTimeout,
    /// Window probes unanswered (tcp_probe_timer).
    WindowProbes,
    /// TCP_USER_TIMEOUT on a closed window, whether or not the peer answers (tcp_probe_timer).
    WindowUserTimeout,
    /// SYN unanswered (tcp_write_timeout).
    Syn,
    /// SYN-ACK unanswered (reqsk_timer_handler).
    SynAck,
    /// Nobody owns it, and its FIN or data is unacknowledged (tcp_orphan_retries).
    Orphan,
    /// Nobody owns it, and the peer does not close (tcp_fin_time).
    FinWait2,
    /// TIME-WAIT runs out (TCP_TIMEWAIT_LEN).
    TimeWait,
}

/// What the application is told when the kernel gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AppTold {
    /// ETIMEDOUT, or EHOSTUNREACH or ENETUNREACH if routers reported so (`sk_err_soft`).
    TimedOut,
    /// Nothing: no application holds the connection, or none ever knew of it.
    Nothing,
}

/// What is sent to the peer when the kernel gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerTold {
    /// RST.
    Reset,
    /// Nothing: if the peer still lives, its end becomes half-open.
    Nothing,
}

/// Something that a prediction takes for granted because it could not be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Assumption {
    /// The application set no TCP_USER_TIMEOUT.
    NoUserTimeout,
    /// The application left the keepalive times at the namespace's defaults.
    KeepaliveDefaults,
    /// The application set no TCP_RTO_MAX_MS.
    RtoMaxDefault,
    /// The application (or listener) set no TCP_SYNCNT.
    SynCountDefault,
    /// The application set no TCP_LINGER2.
    Linger2Default,
    /// The application set no TCP_DEFER_ACCEPT on the listener.
    NoDeferAccept,
}

impl Assumption {
    /// All that there are.
    pub const ALL: [Self; 6] = [
        Self::NoUserTimeout,
        Self::KeepaliveDefaults,
        Self::RtoMaxDefault,
        Self::SynCountDefault,
        Self::Linger2Default,
        Self::NoDeferAccept,
    ];

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// A clause that fits after "if ".
    pub const fn clause(self) -> &'static str {
        match self {
            Self::NoUserTimeout => "no TCP_USER_TIMEOUT is set",
            Self::KeepaliveDefaults => "the keepalive times are the namespace's defaults",
            Self::RtoMaxDefault => "no TCP_RTO_MAX_MS is set",
            Self::SynCountDefault => "no TCP_SYNCNT is set",
            Self::Linger2Default => "no TCP_LINGER2 is set",
            Self::NoDeferAccept => "no TCP_DEFER_ACCEPT is set on the listener",
        }
    }
}

/// A set of assumptions; a bit for each, since there is a set for every prediction of every connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Assumptions(u8);

impl Assumptions {
    /// Nothing is taken for granted.
    pub const NONE: Self = Self(0);

    /// This set, and `assumption`.
    #[must_use]
    pub const fn with(self, assumption: Assumption) -> Self {
        Self(self.0 | assumption.bit())
    }

    /// Nothing is taken for granted.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in the set, in the order of [`Assumption::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Assumption> {
        Assumption::ALL.into_iter().filter(move |one| self.0 & one.bit() != 0)
    }
}

impl FromIterator<Assumption> for Assumptions {
    fn from_iter<T: IntoIterator<Item = Assumption>>(all: T) -> Self {
        all.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Assumptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Learns {
    /// The interval, if there is one.
    pub const fn within(&self) -> Option<Interval> {
        match self {
            Self::Within(prediction) => Some(prediction.within),
            _ => None,
        }
    }

    /// The kernel would never end it.
    pub const fn is_never(&self) -> bool {
        matches!(self, Self::Never(_))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retransmission => "retransmissions run out (tcp_retries2)",
            Self::UserTimeout => "TCP_USER_TIMEOUT passes with data unacknowledged",
            Self::Keepalive => "keepalive probes run out",
            Self::KeepaliveUserTimeout => "keepalive goes unanswered past TCP_USER_TIMEOUT",
            Self::WindowProbes => "window probes run out (tcp_retries2)",
            Self::WindowUserTimeout => "TCP_USER_TIMEOUT passes with the window closed",
            Self::Syn => "SYN retries run out",
            Self::SynAck => "SYN-ACK retries run out",
            Self::Orphan => "retries of a connection without an owner run out (tcp_orphan_retries)",
            Self::FinWait2 => "FIN-WAIT-2 without an owner runs out (tcp_fin_timeout)",
            Self::TimeWait => "TIME-WAIT runs out",
        })
    }
}
