//! Owns how pairs end, in words for logs and metrics. Decides nothing.

use std::{fmt, time::Duration};

use halfopen_core::Span;

use super::Side;

/// How a pair ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// Both directions ended with FIN, and everything was acknowledged.
    Finished {
        /// Whose FIN came first.
        first: Side,
    },
    /// It was cut, and both sides were told by RST.
    Broken {
        /// At whom; `None`: the relay itself decided.
        side: Option<Side>,
        /// Why.
        cause: Cause,
    },
}

/// Why a pair was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// RST came (ECONNRESET, or EPIPE where its FIN had come before).
    Reset,
    /// The kernel gave up: keepalive probes or retransmissions went unanswered (ETIMEDOUT).
    KernelGaveUp,
    /// The relay's own look found the peer gone while data was on its way.
    Silent(Lost),
    /// No upstream accepted a connection (ECONNREFUSED).
    Refused,
    /// No upstream answered in time.
    ConnectTimeout,
    /// No route, or another error, by its number in errno(3).
    Errno(i32),
    /// Half-closed and idle for longer than `--half-closed-idle` allows.
    HalfClosedIdle(Duration),
    /// The relay was stopped and the time for its connections to end was over.
    Drained,
    /// All connections that the relay may hold are in use.
    TooMany,
    /// The process or the system is out of descriptors (EMFILE, ENFILE).
    NoDescriptors,
    /// The client did not begin with a PROXY header that can be read, or not in time.
    NoHeader,
}

/// What TCP_INFO said of a peer that was found gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Since the last acknowledgement or data of the peer.
    pub unheard: Duration,
    /// Retransmission time-outs in a row.
    pub retransmits: u8,
    /// Window probes without an answer.
    pub probes: u8,
}

impl Cause {
    /// One word for logs and metrics. A closed set: never an address, never a number.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::KernelGaveUp => "timed-out",
            Self::Silent(_) => "silent",
            Self::Refused => "refused",
            Self::ConnectTimeout => "connect-timeout",
            Self::Errno(_) => "error",
            Self::HalfClosedIdle(_) => "half-closed-idle",
            Self::Drained => "drained",
            Self::TooMany => "too-many",
            Self::NoDescriptors => "no-descriptors",
            Self::NoHeader => "no-header",
        }
    }
}

impl fmt::Display for Cause {
    /// A clause that says what was found, and how.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => f.write_str("RST came"),
            Self::KernelGaveUp => f.write_str(
                "the kernel gave up: keepalive probes or retransmissions went unanswered",
            ),
            Self::Silent(lost) => write!(
                f,
                "nothing heard for {} with data on its way: {} retransmission time-outs, {} window probes unanswered",
                Span(lost.unheard),
                lost.retransmits,
                lost.probes
            ),
            Self::Refused => f.write_str("the connection was refused"),
            Self::ConnectTimeout => f.write_str("no answer to the connection request in time"),
            Self::Errno(number) => write!(f, "{}", std::io::Error::from_raw_os_error(*number)),
            Self::HalfClosedIdle(limit) => {
                write!(f, "half-closed and idle for longer than {}", Span(*limit))
            }
            Self::Drained => f.write_str("the relay stopped, and its time to drain was over"),
            Self::TooMany => f.write_str("as many connections as the relay may hold are open"),
            Self::NoDescriptors => {
                f.write_str("no descriptor is left; raise the limit (ulimit -n)")
            }
            Self::NoHeader => f.write_str("no readable PROXY header came in time"),
        }
    }
}

impl Ending {
    /// Where it was decided: `client`, `upstream` or `relay`. The side whose FIN came first counts.
    pub const fn at(&self) -> &'static str {
        match self {
            Self::Finished { first: side } | Self::Broken { side: Some(side), .. } => side.word(),
            Self::Broken { side: None, .. } => "relay",
        }
    }

    /// How: `finished`, or the word of the cause.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Finished { .. } => "finished",
            Self::Broken { cause, .. } => cause.word(),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished { first } => write!(f, "finished, {first} first"),
            Self::Broken { side: Some(side), cause } => {
                write!(f, "{} {}: {cause}", side, cause.word())
            }
            Self::Broken { side: None, cause } => write!(f, "relay {}: {cause}", cause.word()),
        }
    }
}
