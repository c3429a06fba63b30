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
    /// All buffers that the relay may have are full of bytes that their readers do not take.
    NoMemory,
    /// The client did not begin with a PROXY header that can be read, or not in time.
    NoHeader,
    /// The client and the relay came to no TLS connection.
    Handshake(Mistrust),
    /// The client's TLS stream ended without close_notify: somebody may have cut it.
    Truncated,
    /// What came in the middle of a TLS stream was no record of it.
    Record,
}

/// Why there is no TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mistrust {
    /// What came was no handshake.
    Garbage,
    /// The client refused, by an alert of this number (RFC 8446 section 6).
    Refused(u8),
    /// Client and relay have no version, cipher or signature in common.
    NothingShared,
    /// The client ended its direction first.
    Ended,
    /// It was not done in time.
    Late,
    /// So many others were on their way that there was no place for another one.
    TooMany,
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
            Self::NoMemory => "no-memory",
            Self::NoHeader => "no-header",
            Self::Handshake(_) => "no-handshake",
            Self::Truncated => "truncated",
            Self::Record => "bad-record",
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
            Self::NoMemory => f.write_str(
                "all buffers are full of bytes that nobody reads; raise --max-buffers, or end those who do not",
            ),
            Self::NoHeader => f.write_str("no readable PROXY header came in time"),
            Self::Handshake(mistrust) => mistrust.fmt(f),
            Self::Truncated => f.write_str("FIN came without close_notify: the stream may be cut"),
            Self::Record => f.write_str("what came was no record of the TLS connection"),
        }
    }
}

impl fmt::Display for Mistrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Garbage => f.write_str("what came was no TLS handshake"),
            Self::Refused(alert) => {
                write!(f, "the client refused the handshake by TLS alert {alert}")
            }
            Self::NothingShared => {
                f.write_str("client and relay have no TLS version or cipher in common")
            }
            Self::Ended => f.write_str("FIN came before the TLS handshake was done"),
            Self::Late => f.write_str("the TLS handshake was not done in time"),
            Self::TooMany => {
                f.write_str("as many TLS handshakes as the relay may have are going on")
            }
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
